/**
 * `/v1/budgets`: budgets of a project, each with how it stands now by the ledger.
 *
 * Invariant: what a budget has spent is asked of the ledger in the request; nothing is added up between
 * requests.
 */
import {
  formatAmount,
  isComplete,
  isCrossed,
  measureBudget,
  shareOf,
} from "../../alerting/budgets.ts";
import { budgetNoticeId, NoticeStore } from "../../alerting/notices.ts";
import type { AskUsage } from "../../alerting/usage.ts";
import { windowOf } from "../../alerting/windows.ts";
import type { Engine } from "../../clickhouse/engine.ts";
import {
  Budget,
  BudgetAnswer,
  BudgetChange,
  BudgetInput,
  BudgetsAnswer,
  MAX_BUDGETS,
} from "../../schemas/alerting.ts";
import { PageQuery } from "../../schemas/notices.ts";
import type { StateObject } from "../../schemas/state.ts";
import { notFound } from "../answer.ts";
import { ApiError, invalidBody } from "../errors.ts";
import { expectedVersion, makeId, pageOf } from "../page.ts";
import { type ApiRequest, defineRoute, type Route, type Services } from "../route.ts";
import { openReader } from "../usage-reader.ts";
import { askUsage } from "../usage.ts";

const DEFAULT_LIMIT = 50;
/** Budgets of a page that are asked for at once. */
const MAX_QUESTIONS_AT_ONCE = 3;

/** The door to usage as budgets and rules ask it. */
export function makeAsk(services: Pick<Services, "engine" | "prices">): AskUsage {
  return async (question) => askUsage(await openReader(services, question), question);
}

/** Throws 409 when a project has as many of a kind as it may have. */
export function refuseTooMany(
  { services, project_id }: Pick<ApiRequest, "services" | "project_id">,
  kind: "budget" | "alert_rule" | "channel",
  most: number,
): void {
  if (services.state.list(kind, { project_id }).length < most) return;
  throw new ApiError(409, "too_many", `The project has ${most} of these; remove some first.`);
}

/** Throws 400 when a list names channels that the project does not have. */
export function refuseForeignChannels(
  { services, project_id }: Pick<ApiRequest, "services" | "project_id">,
  channel_ids: readonly string[],
): void {
  const foreign = channel_ids.find(
    (channel_id) => services.state.find("channel", channel_id)?.project_id !== project_id,
  );
  if (foreign === undefined) return;
  const message = `names ${foreign}, which is no channel of the project`;
  throw new ApiError(400, "invalid_body", `channel_ids ${message}`, [
    { path: "channel_ids", message },
  ]);
}

/** An object of a project; another's is as none. */
export function readObject<Kind extends "budget" | "alert_rule" | "channel">(
  { services, project_id }: Pick<ApiRequest, "services" | "project_id">,
  kind: Kind,
  object_id: string | undefined,
): StateObject<Kind> {
  const found = services.state.find(kind, object_id ?? "");
  if (found === undefined || found.project_id !== project_id) throw notFound();
  return found;
}

/** How budgets of one project stand, and what was told of them. */
export async function answerBudgets(
  engine: Engine,
  ask: AskUsage,
  budgets: readonly Budget[],
  now_ms: number,
  signal?: AbortSignal,
): Promise<BudgetAnswer[]> {
  const answers: BudgetAnswer[] = [];
  const queue = [...budgets.entries()];
  const work = async () => {
    for (let entry = queue.shift(); entry !== undefined; entry = queue.shift()) {
      // Nobody waits for the rest: others should have the engine.
      signal?.throwIfAborted();
      const [index, budget] = entry;
      answers[index] = await answerBudget(engine, ask, budget, now_ms);
    }
  };
  await Promise.all(Array.from({ length: MAX_QUESTIONS_AT_ONCE }, work));
  return answers;
}

async function answerBudget(
  engine: Engine,
  ask: AskUsage,
  budget: Budget,
  now_ms: number,
): Promise<BudgetAnswer> {
  const { unit, thresholds } = budget;
  const window = windowOf(budget.period, budget.tz, now_ms);
  const standing = await measureBudget(ask, budget, window, now_ms, true);
  const { amount, spent, forecast, coverage } = standing;
  const ids = thresholds.map((threshold) => budgetNoticeId(budget, window, threshold));
  const told = await new NoticeStore(engine).find([budget.project_id], ids);
  return {
    ...budget,
    window: describe(window),
    spent: spent === null ? null : formatAmount(unit, spent),
    share: spent === null ? null : shareOf(spent, amount),
    remaining: spent === null ? null : formatAmount(unit, amount - spent),
    forecast:
      forecast === null
        ? null
        : {
            amount: formatAmount(unit, forecast.amount),
            share: shareOf(forecast.amount, amount),
            known_days: forecast.known_days,
            method: forecast.method,
          },
    thresholds: thresholds.map((threshold, index) => {
      const told_ms = told.get(ids[index] ?? "");
      return {
        ...threshold,
        is_crossed: isCrossed(threshold, standing),
        notified_at: told_ms === undefined ? null : new Date(told_ms).toISOString(),
      };
    }),
    is_complete: isComplete(budget, standing),
    coverage,
  };
}

function describe({ start_ms, end_ms }: { start_ms: number; end_ms: number }) {
  return { start: new Date(start_ms).toISOString(), end: new Date(end_ms).toISOString() };
}

async function answerOne(request: ApiRequest, budget: Budget): Promise<BudgetAnswer> {
  const { services, now_ms } = request;
  return answerBudget(services.engine, makeAsk(services), budget, now_ms);
}

async function createBudget(request: ApiRequest<unknown, BudgetInput>): Promise<BudgetAnswer> {
  const { services, project_id, organization_id, body, now_ms } = request;
  refuseTooMany(request, "budget", MAX_BUDGETS);
  refuseForeignChannels(request, body.channel_ids);
  const now = new Date(now_ms).toISOString();
  const budget_id = makeId(body.name, "budget");
  const budget: Budget = { ...body, budget_id, project_id, created_at: now, updated_at: now };
  await services.state.put("budget", budget_id, { organization_id, project_id }, budget, 0);
  await request.audit({ object_kind: "budget", object_id: budget_id, detail: { created: body } });
  return answerOne(request, budget);
}

async function changeBudget(request: ApiRequest<unknown, BudgetChange>): Promise<BudgetAnswer> {
  const { services, path, body, now_ms } = request;
  const found = readObject(request, "budget", path["budget_id"]);
  const merged = { ...found.body, ...body, updated_at: new Date(now_ms).toISOString() };
  const checked = Budget.safeParse(merged);
  if (!checked.success) throw invalidBody(checked.error);
  if (body.channel_ids !== undefined) refuseForeignChannels(request, body.channel_ids);
  const version = expectedVersion(request.raw, undefined, found.version);
  await services.state.put("budget", found.object_id, scopeOf(found), checked.data, version);
  const detail = { changed: body };
  await request.audit({ object_kind: "budget", object_id: found.object_id, detail });
  return answerOne(request, checked.data);
}

async function removeBudget(request: ApiRequest): Promise<void> {
  const found = readObject(request, "budget", request.path["budget_id"]);
  await request.services.state.remove("budget", found.object_id, found.version);
  const detail = { removed: { name: found.body.name } };
  await request.audit({ object_kind: "budget", object_id: found.object_id, detail });
}

/** Whom an object belongs to. */
export function scopeOf({ organization_id, project_id }: StateObject) {
  return { organization_id, project_id };
}

const common = { tag: "Budgets and alerts", of: "project", asks_ledger: true } as const;
const path_parameters = { budget_id: "Id of the budget" };

/** Budgets. */
export const BUDGET_ROUTES: readonly Route[] = [
  defineRoute({
    ...common,
    method: "GET",
    path: "/v1/budgets",
    summary: "Budgets, and how each stands",
    description:
      "Spent is asked of the ledger each time, exact. The forecast is what was spent and, for the time " +
      "that is left, the mean of the whole days of the window (of the last 28 days when it has less than " +
      "three), from 14 known days on by the day of the week.",
    action: "settings:read",
    query: PageQuery,
    answer: BudgetsAnswer,
    errors: [504],
    handle: async (request) => {
      const { services, project_id, query, now_ms, raw } = request;
      const all = services.state.list("budget", { project_id });
      const { page, next_cursor } = pageOf(all, { limit: DEFAULT_LIMIT, ...query });
      const bodies = page.map(({ body }) => body);
      const budgets = await answerBudgets(
        services.engine,
        makeAsk(services),
        bodies,
        now_ms,
        raw.signal,
      );
      return { budgets, next_cursor };
    },
  }),
  defineRoute({
    ...common,
    method: "POST",
    path: "/v1/budgets",
    summary: "Makes a budget",
    description:
      "Notices are sent once for each threshold of each window; what arrives late counts for its window, " +
      "which is looked at until two days after its end.",
    action: "budgets:write",
    body: BudgetInput,
    answer: BudgetAnswer,
    status: 201,
    errors: [409, 504],
    handle: createBudget,
  }),
  defineRoute({
    ...common,
    method: "GET",
    path: "/v1/budgets/{budget_id}",
    path_parameters,
    summary: "A budget, and how it stands",
    action: "settings:read",
    answer: BudgetAnswer,
    errors: [504],
    handle: async (request) =>
      answerOne(request, readObject(request, "budget", request.path["budget_id"]).body),
  }),
  defineRoute({
    ...common,
    method: "PATCH",
    path: "/v1/budgets/{budget_id}",
    path_parameters,
    summary: "Changes fields of a budget",
    description: "With another amount, unit, window or scope its thresholds are told anew.",
    action: "budgets:write",
    body: BudgetChange,
    answer: BudgetAnswer,
    errors: [409, 504],
    handle: changeBudget,
  }),
  defineRoute({
    ...common,
    method: "DELETE",
    path: "/v1/budgets/{budget_id}",
    path_parameters,
    summary: "Removes a budget",
    action: "budgets:write",
    answer: null,
    status: 204,
    errors: [409],
    handle: removeBudget,
  }),
];
