/**
 * The tables of the cost dashboard: calls and sessions that cost most, calls that have no price, and when
 * in the week the money goes.
 *
 * Invariant: a call is listed once, as the ledger counts it.
 */
import { linkTo } from "../dashboard.ts";
import { callFiltersSql, textSql } from "../filters.ts";
import { columnsIn, coverageSql, measureSql } from "../measure-sql.ts";
import { type BuiltPanel, tablePanel } from "../panels.ts";
import { table } from "../query.ts";
import { inRangeSql, usageRows, usageSql } from "../usage-sql.ts";
import { COST_COLUMNS } from "../../schemas/usage-columns.ts";
import { TOKEN_CLASSES } from "../../schemas/tokens.ts";

const COST = COST_COLUMNS.join(" + ");
const TOKENS = TOKEN_CLASSES.map((name) => `tokens_${name}`).join(" + ");

/** Rows of a list. */
const LIMIT = 25;

const TRACE_LINK = {
  title: "The trace of the call",
  url: linkTo("explorer", { trace_id: "${__data.fields.Trace}" }),
};

const CALLS_SQL = `SELECT
  toDateTime64(ts, 3, 'UTC') AS "Time",
  ${textSql("model")} AS "Model",
  ${textSql("service_name")} AS "Service",
  ${textSql("user_id")} AS "User",
  toDecimal128(cost, 12) AS "Cost",
  tokens AS "Tokens",
  duration_ns AS "Duration",
  if(status = 'error', 'error', 'ok') AS "Status",
  lower(hex(trace_id)) AS "Trace"
FROM (
  SELECT *, ${COST} AS cost, ${TOKENS} AS tokens
  FROM calls
  WHERE ${inRangeSql()}
    AND cost_status IN ('priced', 'partial')
    AND ${callFiltersSql()}
  ORDER BY cost DESC, ts
  LIMIT ${LIMIT}
)
ORDER BY "Cost" DESC, "Time"`;

/** The dearest calls; each leads to its trace. */
export const DEAREST_CALLS: BuiltPanel = tablePanel({
  id: 18,
  title: "Dearest calls",
  description:
    "The calls of the range that cost most, wholly or partly priced. A click on the trace opens it.",
  width: 14,
  unit: "text",
  targets: [table(CALLS_SQL)],
  fields: {
    Time: { unit: "time" },
    Cost: { unit: "usd_exact" },
    Tokens: { unit: "tokens" },
    Duration: { unit: "duration_ns" },
    Trace: { link: TRACE_LINK },
  },
});

/** The dearest sessions; each leads to its calls. */
export const DEAREST_SESSIONS: BuiltPanel = tablePanel({
  id: 19,
  title: "Dearest sessions",
  description:
    "Sessions with the largest spend of the range; calls that name no session are left out.",
  width: 10,
  unit: "count",
  targets: [
    table(
      usageSql({
        select: {
          Cost: measureSql("cost_usd"),
          Calls: measureSql("calls"),
          Errors: measureSql("error_rate"),
        },
        by: { Session: "session_id", User: "user_id" },
        where: { session_id: "!= '(none)'" },
        order: '"Cost" DESC NULLS LAST, "Session", "User"',
        limit: LIMIT,
      }),
    ),
  ],
  fields: {
    Session: {
      link: {
        title: "The session",
        url: linkTo("explorer", { session_id: "${__data.fields.Session:percentencode}" }),
      },
    },
    Cost: { unit: "usd_exact", cell: "bar", colour: "cost" },
    Errors: { unit: "share" },
  },
});

/** Models whose calls have no price. */
export const UNPRICED: BuiltPanel = tablePanel({
  id: 20,
  title: "Models without a price",
  description:
    "Calls that the spend does not or not wholly hold, because a price is missing. Add it to the price file and run `spanledger prices rerate`.",
  width: 12,
  unit: "count",
  may_be_empty: "a price book that has every model",
  targets: [
    table(
      usageSql({
        select: {
          "Calls without price": coverageSql("calls_unpriced"),
          "Tokens without price": "sums.tokens_unpriced",
          Calls: measureSql("calls"),
        },
        by: { Provider: "provider", Model: "model" },
        order: '"Calls without price" DESC, "Provider", "Model"',
        limit: LIMIT,
        having: "sums.calls_unpriced > 0",
      }),
    ),
  ],
  fields: { "Tokens without price": { unit: "tokens" } },
});

const HOURS = Array.from({ length: 24 }, (_, hour) => hour);

/** Spend by hour and day of the week: a row a day, a column an hour. */
function hoursSql(): string {
  const sums = columnsIn([measureSql("cost_usd")]);
  const cells = HOURS.map((hour) => {
    const name = String(hour).padStart(2, "0");
    return `  sumIf(part.cost_total, toHour(part.time) = ${hour}) AS "${name}"`;
  });
  return `SELECT
  ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'][toDayOfWeek(part.time)] AS "Day",
${cells.join(",\n")}
FROM ${usageRows({ columns: sums, step: "hour" })}
GROUP BY toDayOfWeek(part.time)
ORDER BY toDayOfWeek(part.time)`;
}

/** When in the week the money goes. */
export const HOURS_OF_WEEK: BuiltPanel = tablePanel({
  id: 14,
  title: "Spend by hour and weekday",
  description: "US dollars of the range by day of the week and hour of the day, of UTC.",
  width: 24,
  unit: "usd",
  has_colour_scale: true,
  targets: [table(hoursSql())],
  fields: {
    Day: { cell: "text", width: 60 },
    ...Object.fromEntries(
      HOURS.map((hour) => [String(hour).padStart(2, "0"), { cell: "colour" } as const]),
    ),
  },
});

/** Spend of one user or session: the middle, and the dearest 5 %. */
export function perOneSql(by: "user_id" | "session_id", name: string): string {
  const spends = usageSql({
    select: { spend: measureSql("cost_usd") },
    by: { name: by },
    where: { [by]: "!= '(none)'" },
  });
  return `SELECT
  toDecimal128(quantileExact(0.5)(spend), 12) AS "${name} p50",
  toDecimal128(quantileExact(0.95)(spend), 12) AS "${name} p95"
FROM (
${spends}
)
WHERE isNotNull(spend)
HAVING count() > 0`;
}
