/**
 * `/v1/alerts`: alert rules of a project, and how each stands.
 *
 * Invariant: the state is what the evaluation stored; what a rule finds at the moment is asked of the
 * ledger.
 */
import { readStates, type StoredState } from "../../alerting/rule-state.ts";
import { RuleReader } from "../../alerting/rules.ts";
import {
  AlertRule,
  AlertRuleAnswer,
  AlertRuleChange,
  AlertRuleDetail,
  AlertRuleInput,
  AlertRulesAnswer,
  MAX_ALERT_RULES,
} from "../../schemas/alerting.ts";
import { PageQuery } from "../../schemas/notices.ts";
import { invalidBody } from "../errors.ts";
import { expectedVersion, makeId, pageOf } from "../page.ts";
import { type ApiRequest, defineRoute, type Route } from "../route.ts";
import { makeAsk, readObject, refuseForeignChannels, refuseTooMany, scopeOf } from "./budgets.ts";

const DEFAULT_LIMIT = 50;

function viewRule(rule: AlertRule, stored: StoredState | undefined): AlertRuleAnswer {
  if (stored === undefined) return { ...rule, state: null };
  const { status, since_ms, firing } = stored.state;
  const since = new Date(since_ms).toISOString();
  return { ...rule, state: { status, since, notice_id: firing?.notice_id ?? null } };
}

async function answerRule(request: ApiRequest, rule: AlertRule): Promise<AlertRuleDetail> {
  const { services, project_id, now_ms } = request;
  const states = await readStates(services.engine, project_id);
  const found = await new RuleReader(makeAsk(services)).read(rule, now_ms);
  return {
    ...viewRule(rule, states.get(rule.rule_id)),
    current: {
      from: new Date(found.window.start_ms).toISOString(),
      to: new Date(found.window.end_ms).toISOString(),
      value: found.value,
      baseline: found.baseline,
      is_breached: found.verdict === "no_data" ? null : found.verdict === "breached",
    },
  };
}

async function createRule(request: ApiRequest<unknown, AlertRuleInput>): Promise<AlertRuleDetail> {
  const { services, project_id, organization_id, body, now_ms } = request;
  refuseTooMany(request, "alert_rule", MAX_ALERT_RULES);
  refuseForeignChannels(request, body.channel_ids);
  const now = new Date(now_ms).toISOString();
  const rule_id = makeId(body.name, "alert");
  const rule: AlertRule = { ...body, rule_id, project_id, created_at: now, updated_at: now };
  await services.state.put("alert_rule", rule_id, { organization_id, project_id }, rule, 0);
  await request.audit({ object_kind: "alert_rule", object_id: rule_id, detail: { created: body } });
  return answerRule(request, rule);
}

async function changeRule(request: ApiRequest<unknown, AlertRuleChange>): Promise<AlertRuleDetail> {
  const { services, path, body, now_ms } = request;
  const found = readObject(request, "alert_rule", path["rule_id"]);
  const merged = { ...found.body, ...body, updated_at: new Date(now_ms).toISOString() };
  const checked = AlertRule.safeParse(merged);
  if (!checked.success) throw invalidBody(checked.error);
  if (body.channel_ids !== undefined) refuseForeignChannels(request, body.channel_ids);
  const version = expectedVersion(request.raw, undefined, found.version);
  await services.state.put("alert_rule", found.object_id, scopeOf(found), checked.data, version);
  const detail = { changed: body };
  await request.audit({ object_kind: "alert_rule", object_id: found.object_id, detail });
  return answerRule(request, checked.data);
}

async function removeRule(request: ApiRequest): Promise<void> {
  const found = readObject(request, "alert_rule", request.path["rule_id"]);
  await request.services.state.remove("alert_rule", found.object_id, found.version);
  const detail = { removed: { name: found.body.name } };
  await request.audit({ object_kind: "alert_rule", object_id: found.object_id, detail });
}

const common = { tag: "Budgets and alerts", of: "project", asks_ledger: true } as const;
const path_parameters = { rule_id: "Id of the rule" };

/** Alert rules. */
export const ALERT_ROUTES: readonly Route[] = [
  defineRoute({
    ...common,
    method: "GET",
    path: "/v1/alerts",
    summary: "Alert rules, and how each stands",
    action: "settings:read",
    query: PageQuery,
    answer: AlertRulesAnswer,
    handle: async ({ services, project_id, query }) => {
      const all = services.state.list("alert_rule", { project_id });
      const { page, next_cursor } = pageOf(all, { limit: DEFAULT_LIMIT, ...query });
      const states = await readStates(services.engine, project_id);
      return {
        alerts: page.map(({ object_id, body }) => viewRule(body, states.get(object_id))),
        next_cursor,
      };
    },
  }),
  defineRoute({
    ...common,
    method: "POST",
    path: "/v1/alerts",
    summary: "Makes an alert rule on any measure",
    description:
      "A threshold over a window, a change against the median of the same hours of days or weeks before, " +
      "or silence where those hours have calls.",
    action: "alerts:write",
    body: AlertRuleInput,
    answer: AlertRuleDetail,
    status: 201,
    errors: [409, 504],
    handle: createRule,
  }),
  defineRoute({
    ...common,
    method: "GET",
    path: "/v1/alerts/{rule_id}",
    path_parameters,
    summary: "An alert rule, how it stands and what it finds at the moment",
    action: "settings:read",
    answer: AlertRuleDetail,
    errors: [504],
    handle: async (request) =>
      answerRule(request, readObject(request, "alert_rule", request.path["rule_id"]).body),
  }),
  defineRoute({
    ...common,
    method: "PATCH",
    path: "/v1/alerts/{rule_id}",
    path_parameters,
    summary: "Changes fields of an alert rule",
    description: "With another measure, condition or scope it begins anew.",
    action: "alerts:write",
    body: AlertRuleChange,
    answer: AlertRuleDetail,
    errors: [409, 504],
    handle: changeRule,
  }),
  defineRoute({
    ...common,
    method: "DELETE",
    path: "/v1/alerts/{rule_id}",
    path_parameters,
    summary: "Removes an alert rule",
    action: "alerts:write",
    answer: null,
    status: 204,
    errors: [409],
    handle: removeRule,
  }),
];
