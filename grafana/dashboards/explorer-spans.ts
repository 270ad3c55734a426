/**
 * Statements over single spans that more than one dashboard needs: sums of the calls of a trace, an agent
 * or any other group that the usage tables do not have, and ways from a row to its trace or session.
 *
 * Invariant: what is summed here is named and defined as in the view `usage_calls`, so that the measures of
 * grafana/measure-sql.ts over it are those of every other panel (grafana/dashboards/explorer.test.ts).
 */
import { usageColumn } from "../../schemas/usage-columns.ts";
import { TOKEN_CLASSES } from "../../schemas/tokens.ts";
import { linkTo } from "../dashboard.ts";
import { FILTER_NAMES, PROJECT_SQL, textBoxSql } from "../filters.ts";
import { columnsIn } from "../measure-sql.ts";
import { inRangeSql } from "../usage-sql.ts";

/** The condition that a row of `ledger_spans AS span` is a call that counts. */
export const IS_CALL = "(span.span_class IN ('billable', 'aggregate') AND span.counted = 1)";

const COST_NAMES = [...TOKEN_CLASSES.map((name) => `cost_${name}`), "cost_fees"];
/** US dollars of a row; wide, because a sum of narrow decimals can overflow. */
const COST = COST_NAMES.map((name) => `toDecimal128(span.${name}, 12)`).join(" + ");
const TOKENS = TOKEN_CLASSES.map((name) => `toUInt64(span.tokens_${name})`).join(" + ");
const IS_PRICED = "span.cost_status IN ('priced', 'partial')";

/** Columns of `usage_calls` that are not the column of the same name of a call, over `span`. */
const COLUMNS_OF_CALLS: Readonly<Record<string, string>> = {
  calls: "toUInt64(1)",
  errors: "toUInt64(span.status = 'error')",
  calls_priced: `toUInt64(${IS_PRICED})`,
  calls_unpriced: "toUInt64(span.cost_status != 'priced')",
  usage_mask: "span.usage_mask",
  cost_total: COST,
  tokens_total: TOKENS,
  cost_of_sessions: `if(span.session_id = '', toDecimal128(0, 12), ${COST})`,
  cost_of_users: `if(span.user_id = '', toDecimal128(0, 12), ${COST})`,
  unique_users: "span.user_id",
  unique_sessions: "span.session_id",
  priced_users: `if(${IS_PRICED}, span.user_id, '')`,
  priced_sessions: `if(${IS_PRICED}, span.session_id, '')`,
  ttft_calls: "toUInt64(span.ttft_known)",
  ttft_ns_sum: "span.ttft_ns",
  duration_ns_sum: "span.duration_ns",
};

function columnOfCall(name: string): string {
  const sql = Object.hasOwn(COLUMNS_OF_CALLS, name) ? COLUMNS_OF_CALLS[name] : undefined;
  if (sql !== undefined) return sql;
  if (name.startsWith("tokens_") && COST_NAMES.includes(name.replace("tokens_", "cost_"))) {
    return `toUInt64(span.${name})`;
  }
  throw new Error(`${name} is not known of single calls`);
}

const OF_CALLS: Readonly<Record<string, (sql: string) => string>> = {
  sum: (sql) => `sumIf(${sql}, ${IS_CALL})`,
  or: (sql) => `groupBitOrIf(${sql}, ${IS_CALL})`,
  distinct: (sql) => `uniqExactIf(${sql}, ${IS_CALL} AND ${sql} != '')`,
};

/**
 * The columns that measures are computed from, summed over the calls among the rows of
 * `ledger_spans AS span` of each group: for a sub-select named `sums`. Throws for a measure that needs
 * more than these rows have.
 */
export function sumsOfCalls(expressions: readonly string[]): string {
  const columns = columnsIn(expressions).map((name) => {
    const combine = OF_CALLS[usageColumn(name).combine];
    if (combine === undefined) throw new Error(`${name} cannot be summed over spans`);
    return `${combine(columnOfCall(name))} AS ${name}`;
  });
  return columns.join(",\n    ");
}

/** The same of one row that is a call or no call: zero of everything, as measures expect. */
export function columnsOfCall(expressions: readonly string[]): string {
  const columns = columnsIn(expressions).map((name) => {
    const sql = columnOfCall(name);
    return `if(${IS_CALL}, ${sql}, ${name.startsWith("cost_") ? "toDecimal128(0, 12)" : "0"}) AS ${name}`;
  });
  return columns.join(",\n    ");
}

/** The name of the tool of a span, by the keys of the dialects; else that of the span. */
export const TOOL_SQL = `coalesce(${[
  "gen_ai.tool.name",
  "tool_name",
  "tool.name",
  "ai.toolCall.name",
  "function_name",
]
  .map((key) => `nullIf(span.attributes['${key}'], '')`)
  .join(", ")}, toString(span.name))`;

/** The condition that a trace is the one of the text box `trace_id`; no trace when it is empty. */
export const IS_PICKED_TRACE = `trace_id = unhex(trimBoth(${textBoxSql("trace_id")}))`;

/**
 * The picked trace in `ledger_spans` and `spans`, whatever range is picked: its days are looked up by the
 * index of trace ids first.
 */
export const IN_PICKED_TRACE = `${PROJECT_SQL}
  AND ${IS_PICKED_TRACE}
  AND ts >= (SELECT min(ts) FROM spans WHERE ${PROJECT_SQL} AND ${IS_PICKED_TRACE})
  AND ts <= (SELECT max(ts) FROM spans WHERE ${PROJECT_SQL} AND ${IS_PICKED_TRACE})`;

/** Spans of the picked projects that start in the picked range. */
export const IN_PICKED_RANGE = `${PROJECT_SQL}
  AND ${inRangeSql()}`;

/** Text boxes of the explorer that a link may keep. */
type Kept = "session_id" | "search" | "min_cost" | "min_duration" | "status";

/**
 * The explorer with the range, the project and all filters kept, and these variables set: their values may
 * name fields of the row. From the explorer itself, text boxes can be kept as well.
 */
export function exploreUrl(
  variables: Readonly<Record<string, string>>,
  keep: readonly Kept[] = [],
): string {
  const kept = [...FILTER_NAMES, ...keep].map((name) => `&\${${name}:queryparam}`);
  return `${linkTo("explorer", variables)}${kept.join("")}`;
}

/** A link from a cell that holds the id of a trace. */
export const TRACE_LINK = {
  title: "Open the trace",
  url: exploreUrl({ trace_id: "${__value.raw}" }),
};
/** A link from a cell that holds the id of a session. */
export const SESSION_LINK = {
  title: "Open the session",
  url: exploreUrl({ session_id: "${__value.raw:percentencode}" }),
};
