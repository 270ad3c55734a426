/** `POST /v1/analytics/roi-calculator`: what a use of models brings against what it costs. */
import { RoiAnswer, RoiBody } from "../../../schemas/api-savings.ts";
import type { MeasureName } from "../../../schemas/usage.ts";
import { divide, fromWhole, multiply, ONE, readDecimal, writeDecimal } from "../../decimal.ts";
import { ApiError } from "../../errors.ts";
import { computeRoi, type RoiInput, type RoiResult } from "../../roi.ts";
import { defineRoute, type Route } from "../../route.ts";
import { askUsage } from "../../usage.ts";
import { type Asked, describeRange, makeReader, readAsked, type Source } from "./question.ts";

const DAY_MS = 86_400_000;
/** Length of a month: a twelfth of 365.25 days, ms. */
const MONTH_MS = (365.25 / 12) * DAY_MS;
const DEFAULT_MONTHS = 12;
const MINUTES_PER_HOUR = fromWhole(60);

type Measured = Exclude<RoiAnswer["measured"], null>;

/** What is counted as a task, and the measure that counts it. */
const COUNTERS: Readonly<Record<Measured["counted_as"], MeasureName>> = {
  calls: "calls",
  sessions: "sessions",
  users: "unique_users",
};

/** Answers what the use brings. */
export async function answerRoi(
  source: Source,
  project_id: string,
  body: RoiBody,
  now_ms: number,
): Promise<RoiAnswer> {
  const asked = readAsked({ ...body.measured, ...body.measured?.filters }, now_ms);
  refuseIncomplete(body);
  const measured = isComplete(body) ? null : await measureTasks(source, project_id, asked, body);
  const input = makeInput(body, asked, measured);
  const result = computeRoi(input);
  return {
    ...describeRange(asked),
    tz: body.measured?.tz ?? asked.tz,
    measured,
    input: {
      tasks_per_month: writeDecimal(input.tasks_per_month),
      value_per_task_usd: writeDecimal(input.value_per_task),
      success_share: writeDecimal(input.success_share),
      model_cost_per_month_usd: writeDecimal(input.model_cost_per_month),
      fixed_cost_per_month_usd: writeDecimal(input.fixed_cost_per_month),
      setup_cost_usd: writeDecimal(input.setup_cost),
      growth_per_month: writeDecimal(input.growth_per_month),
      months: input.months,
    },
    ...result,
    by_month: [...result.by_month],
    sensitivity: [...result.sensitivity],
    ...explainMinutes(body, result),
    assumptions: listAssumptions(body, asked, measured),
    coverage: measured?.coverage ?? null,
  };
}

function refuse(path: string, message: string): never {
  throw new ApiError(400, "invalid_body", `${path} ${message}`, [{ path, message }]);
}

/** Throws ApiError(400) when a task has no value, or minutes without a price. */
function refuseIncomplete(body: RoiBody): void {
  const { value_per_task_usd, minutes_saved_per_task, hourly_cost_usd } = body;
  if (minutes_saved_per_task !== undefined && hourly_cost_usd === undefined) {
    refuse("hourly_cost_usd", "is needed with minutes_saved_per_task");
  }
  if (value_per_task_usd === undefined && minutes_saved_per_task === undefined) {
    refuse(
      "value_per_task_usd",
      "is needed, or minutes_saved_per_task and hourly_cost_usd: what is a task worth?",
    );
  }
}

/** Whether nothing of the ledger is needed. */
function isComplete(body: RoiBody): boolean {
  return body.tasks_per_month !== undefined && body.model_cost_per_month_usd !== undefined;
}

async function measureTasks(
  source: Source,
  project_id: string,
  asked: Asked,
  body: RoiBody,
): Promise<Measured> {
  const counted_as = body.measured?.tasks ?? "calls";
  const counter = COUNTERS[counted_as];
  const reader = await makeReader(source, project_id, asked);
  const { totals, coverage } = await askUsage(reader, {
    ...asked,
    project_id,
    measures: ["calls", "cost_usd", ...(counter === "calls" ? [] : [counter])],
    group_by: [],
    interval: "none",
    limit: 1,
  });
  return {
    tasks: Number(totals[counter] ?? 0),
    counted_as,
    days: (asked.to_ms - asked.from_ms) / DAY_MS,
    cost_usd: totals.cost_usd ?? null,
    coverage,
  };
}

/** An amount of the range as that of a month. */
function perMonth(amount: bigint, { from_ms, to_ms }: Asked): bigint {
  return divide(amount * BigInt(MONTH_MS), fromWhole(to_ms - from_ms)) ?? 0n;
}

function makeInput(body: RoiBody, asked: Asked, measured: Measured | null): RoiInput {
  const read = (text: string | undefined, missing = 0n) =>
    text === undefined ? missing : readDecimal(text);
  const work = multiply(read(body.minutes_saved_per_task), read(body.hourly_cost_usd));
  return {
    tasks_per_month: read(body.tasks_per_month, perMonth(fromWhole(measured?.tasks ?? 0), asked)),
    value_per_task: read(body.value_per_task_usd) + (divide(work, MINUTES_PER_HOUR) ?? 0n),
    success_share: read(body.success_share, ONE),
    model_cost_per_month: read(
      body.model_cost_per_month_usd,
      perMonth(read(measured?.cost_usd ?? undefined), asked),
    ),
    fixed_cost_per_month: read(body.fixed_cost_per_month_usd),
    setup_cost: read(body.setup_cost_usd),
    growth_per_month: read(body.growth_per_month),
    months: body.months ?? DEFAULT_MONTHS,
  };
}

/** What a task must bring so that the net is zero, as minutes of work. */
function explainMinutes(
  body: RoiBody,
  result: RoiResult,
): Pick<RoiAnswer, "break_even_minutes_per_task" | "reasons"> {
  const value = result.break_even_value_per_task_usd;
  const hour = body.hourly_cost_usd === undefined ? null : readDecimal(body.hourly_cost_usd);
  const minutes = value === null || hour === null ? null : divide(readDecimal(value) * 60n, hour);
  const reason =
    hour === null
      ? "hourly_cost_usd is not given"
      : value === null
        ? "no task has a result that is of use"
        : "an hour of work costs nothing";
  return {
    break_even_minutes_per_task: minutes === null ? null : writeDecimal(minutes, 4),
    reasons: [
      ...result.reasons,
      ...(minutes === null ? [{ field: "break_even_minutes_per_task", reason }] : []),
    ],
  };
}

function listAssumptions(body: RoiBody, asked: Asked, measured: Measured | null): string[] {
  const { coverage } = measured ?? {};
  const days = (asked.to_ms - asked.from_ms) / DAY_MS;
  const scaled = `of the measured ${days.toFixed(2)} days for 30.4375 days, the twelfth part of 365.25`;
  const rules: readonly (readonly [boolean, string])[] = [
    [
      body.tasks_per_month === undefined,
      `Tasks of a month: the ${measured?.counted_as} ${scaled}.`,
    ],
    [body.model_cost_per_month_usd === undefined, `Cost of models of a month: the cost ${scaled}.`],
    [
      measured !== null && measured.counted_as !== "calls",
      "Who comes back in another month counts there again.",
    ],
    [
      coverage !== undefined && coverage.calls_unpriced > 0,
      `${coverage?.calls_unpriced} of ${coverage?.calls} calls have no price, or not for everything: the cost is a lower bound.`,
    ],
    [body.success_share === undefined, "Every task has a result that is of use."],
    [
      body.minutes_saved_per_task !== undefined,
      "Time that is saved is worth what it costs: it is used for other work.",
    ],
    [body.fixed_cost_per_month_usd === undefined, "Nothing is paid beside the models."],
    [body.setup_cost_usd === undefined, "Nothing was paid to set it up."],
    [body.growth_per_month === undefined, "Every month is as the first."],
    [
      body.growth_per_month !== undefined,
      "Tasks grow from month to month and the cost of models with them; value and cost of a task stay.",
    ],
    [
      true,
      "Amounts are not discounted. They are exact, but for divisions and growth, which round at 12 decimals.",
    ],
  ];
  return rules.filter(([applies]) => applies).map(([, text]) => text);
}

/** The calculator. */
export const ROI_ROUTES: readonly Route[] = [
  defineRoute({
    method: "POST",
    path: "/v1/analytics/roi-calculator",
    summary: "What a use of models brings against what it costs",
    description:
      "Tasks and the cost of models are given, or measured in the ledger. A field that cannot be worked out is null and `reasons` says why. Nothing is stored.",
    tag: "Analytics",
    action: "usage:read",
    of: "project",
    body: RoiBody,
    answer: RoiAnswer,
    examples: [
      {
        summary: "Support answers: six minutes saved each, four of five are good",
        path: "/v1/analytics/roi-calculator",
        body: {
          minutes_saved_per_task: "6",
          hourly_cost_usd: "45",
          success_share: "0.8",
          fixed_cost_per_month_usd: "400",
          setup_cost_usd: "12000",
          measured: { tasks: "sessions", filters: { service_name: ["support"] } },
        },
      },
    ],
    handle: ({ services, project_id, body, now_ms }) =>
      answerRoi(services, project_id, body, now_ms),
  }),
];
