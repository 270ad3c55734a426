/**
 * How budgets stand, in SQL: what each has spent in its window, and at which pace.
 *
 * Invariant: what was spent is what `GET /v1/budgets` answers (grafana/budget-sql.test.ts), or NULL where
 * SQL cannot tell: the engine takes the windows of one time zone only, UTC.
 */
import { DIMENSIONS, type DimensionName } from "../schemas/dimensions.ts";
import { INPUT_CLASSES, OUTPUT_CLASSES, TOKEN_CLASSES } from "../schemas/tokens.ts";
import { PROJECT_SQL } from "./filters.ts";
import { columnsIn, DERIVED_COLUMNS, measureSql } from "./measure-sql.ts";
import { quoteName } from "./usage-sql.ts";

/** The time that budgets are looked at: the end of the picked range. */
const NOW = "$__toTime_ms";

/** Start and end of the window of a period, as days of UTC; weeks begin on Monday. */
const WINDOWS: Readonly<Record<string, readonly [start: string, end: string]>> = {
  day: ["start", "start + 1"],
  week: ["toStartOfWeek(start, 1)", "toStartOfWeek(start, 1) + 7"],
  month: ["toStartOfMonth(start)", "addMonths(toStartOfMonth(start), 1)"],
  quarter: ["toStartOfQuarter(start)", "addMonths(toStartOfQuarter(start), 3)"],
  year: ["toStartOfYear(start)", "addYears(toStartOfYear(start), 1)"],
};

function windowSql(end: 0 | 1): string {
  const today = `toDate(${NOW}, 'UTC')`;
  const branches = Object.entries(WINDOWS).flatMap(([period, ends]) => [
    `period = '${period}'`,
    ends[end].replaceAll("start", today),
  ]);
  return `multiIf(${branches.join(", ")}, ${today})`;
}

/** Dimensions that the daily table has: budgets of these are answered from it. */
const DAILY = (Object.keys(DIMENSIONS) as DimensionName[]).filter((name) =>
  (DIMENSIONS[name].sources as readonly string[]).includes("usage_day"),
);

/** The condition that a row of a table is one that the budget counts. */
function countedSql(names: readonly DimensionName[]): string {
  const branches = names.flatMap((name) => [
    `name = '${name}'`,
    `toString(${DIMENSIONS[name].sql})`,
  ]);
  return `arrayAll((name, texts) -> has(texts, multiIf(${branches.join(", ")}, '')), mapKeys(budget.filters), mapValues(budget.filters))`;
}

const SPENT: Readonly<Record<string, string>> = {
  usd: measureSql("cost_usd"),
  tokens: tokensSql(),
  calls: measureSql("calls"),
};

/** Tokens of prompts and answers; NULL when neither is known. */
function tokensSql(): string {
  const [input, output] = [measureSql("input_total"), measureSql("output_total")];
  const mask = [...INPUT_CLASSES, ...OUTPUT_CLASSES].reduce(
    (bits, name) => bits | (1 << TOKEN_CLASSES.indexOf(name)),
    0,
  );
  return `if(bitAnd(sums.usage_mask, ${mask}) = 0, NULL, ifNull(${input}, 0) + ifNull(${output}, 0))`;
}

const COLUMNS = columnsIn(Object.values(SPENT));

/** The sums of each budget over one of the tables, for those budgets that it can answer. */
function sumsSql(table: "usage_day" | "usage_calls"): string {
  const is_daily = table === "usage_day";
  const names = is_daily ? DAILY : (Object.keys(DIMENSIONS) as DimensionName[]);
  const columns = COLUMNS.map((name) => {
    const combine = name === "usage_mask" ? "groupBitOr" : "sum";
    return `${combine}(${DERIVED_COLUMNS[name] ?? `${table}.${name}`}) AS ${name}`;
  });
  const in_window = is_daily
    ? "day >= budget.first_day AND day < budget.end_day"
    : "ts >= toDateTime64(budget.first_day, 9, 'UTC') AND ts < toDateTime64(budget.end_day, 9, 'UTC')";
  // Bounds of the table alone, so that the engine reads no more of it than the longest window.
  const first = is_daily
    ? "day >= (SELECT min(first_day) FROM budget_list WHERE is_daily)"
    : "ts >= (SELECT toDateTime64(min(first_day), 9, 'UTC') FROM budget_list WHERE NOT is_daily)";
  const tags = is_daily
    ? ""
    : "\n  AND arrayAll((key, texts) -> has(texts, tags[key]), mapKeys(budget.tags), mapValues(budget.tags))";
  return `SELECT budget.budget_id AS budget_id, ${columns.join(", ")}
FROM ${table}
INNER JOIN (SELECT * FROM budget_list WHERE ${is_daily ? "" : "NOT "}is_daily) AS budget ON ${table}.project_id = budget.project_id
WHERE ${first}
  AND ${in_window}
  AND ${countedSql(names)}${tags}
GROUP BY budget_id`;
}

/**
 * A row a budget that is on: its window, the amount, what was spent in the unit of the budget, and of both
 * the shares.
 */
export function budgetsSql(): string {
  const is_daily = `empty(tags) AND arrayAll(name -> name IN (${DAILY.map((name) => `'${name}'`).join(", ")}), mapKeys(filters))`;
  const spent = Object.entries(SPENT).flatMap(([unit, sql]) => [
    `list.unit = '${unit}'`,
    `CAST(${sql}, 'Nullable(Decimal(38, 12))')`,
  ]);
  const values: Readonly<Record<string, string>> = {
    Budget: "list.name",
    Project: "list.project_id",
    Unit: "list.unit",
    Period: "list.period",
    Zone: "list.tz",
    Amount: "list.amount",
    Spent: "spent",
    Used: "if(list.amount = 0, NULL, toFloat64(spent) / toFloat64(list.amount))",
    Elapsed: "elapsed",
    "At this pace": "if(elapsed <= 0, NULL, toFloat64(spent) / elapsed)",
    "Used at this pace":
      "if(elapsed <= 0 OR list.amount = 0, NULL, toFloat64(spent) / elapsed / toFloat64(list.amount))",
    // The engine computes both branches: neither may divide by nothing.
    "Used up on":
      "if(isNull(spent) OR spent = 0 OR elapsed <= 0 OR toFloat64(spent) / elapsed <= toFloat64(list.amount), NULL, list.first_time + toIntervalSecond(toInt64(toFloat64(list.amount) / greatest(toFloat64(ifNull(spent, 0)), 1e-12) * least(elapsed, 1) * list.seconds)))",
    "Window ends": "toDateTime(list.end_day, 'UTC')",
  };
  return `WITH budget_list AS (
  SELECT *, ${is_daily} AS is_daily,
    ${windowSql(0)} AS first_day,
    ${windowSql(1)} AS end_day
  FROM budgets
  WHERE is_enabled AND ${PROJECT_SQL}
)
SELECT
${Object.entries(values)
  .map(([name, sql]) => `  ${sql} AS ${quoteName(name)}`)
  .join(",\n")}
FROM (
  SELECT list.*, multiIf(list.tz != 'UTC', NULL, sums.calls = 0, toDecimal128(0, 12), ${spent.join(", ")}, NULL) AS spent,
    toDateTime(list.first_day, 'UTC') AS first_time,
    dateDiff('second', toDateTime(list.first_day, 'UTC'), toDateTime(list.end_day, 'UTC')) AS seconds,
    (toUnixTimestamp64Milli(${NOW}) - toUnixTimestamp(toDateTime(list.first_day, 'UTC')) * 1000) / 1000 / seconds AS elapsed
  FROM budget_list AS list
  LEFT JOIN (
${sumsSql("usage_day")}
UNION ALL
${sumsSql("usage_calls")}
  ) AS sums ON list.budget_id = sums.budget_id
) AS list
ORDER BY "Used" DESC NULLS LAST, "Budget"`;
}
