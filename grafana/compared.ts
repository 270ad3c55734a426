/**
 * Ranges held against each other: tiles with the change since the range before, the month of the end of
 * the picked range, and groups that moved.
 *
 * Invariant: both sides are the same statement over two ranges.
 */
import { type BuiltPanel, type PanelSpec, stat } from "./panels.ts";
import { table } from "./query.ts";
import {
  type GroupKey,
  measureSql,
  PICKED_RANGE,
  quoteName,
  RANGE_BEFORE,
  type Range,
  usageSql,
} from "./usage-sql.ts";

/** The month, of UTC, that the picked range ends in, up to that end. */
export const MONTH_RANGE: Range = {
  from: monthStart("$__toTime_ms"),
  to: PICKED_RANGE.to,
};

function monthStart(time: string): string {
  return `toUnixTimestamp64Milli(toDateTime64(toStartOfMonth(${time}, 'UTC'), 3, 'UTC'))`;
}

/** The end of that month, Unix ms. */
const MONTH_END = monthStart("addMonths($__toTime_ms, 1)");

/** A value of the range before, then of the picked one: a tile shows the last and the change to it. */
export function comparedSql(name: string, value: string): string {
  const side = (place: number, range: Range) =>
    `SELECT ${place} AS place, ${quoteName(name)} FROM (\n${usageSql({ select: { [name]: value }, range })}\n)`;
  return `SELECT ${quoteName(name)}
FROM (
${side(0, RANGE_BEFORE)}
UNION ALL
${side(1, PICKED_RANGE)}
)
ORDER BY place`;
}

/** Whether more is good, bad or neither. */
export type Direction = "good" | "bad" | "neutral";

const CHANGE_COLOURS = { good: "standard", bad: "inverted", neutral: "same_as_value" } as const;

/** A tile of a value over the picked range, with the change since the range before. */
export function comparedTile(
  spec: Omit<PanelSpec, "targets">,
  value: string,
  more: Direction,
): BuiltPanel {
  return stat(
    {
      ...spec,
      description: `${spec.description} The percentage is the change since the range of the same length before.`,
      no_value: spec.no_value ?? "no calls",
      targets: [table(comparedSql(spec.title, value))],
    },
    { showPercentChange: true, percentChangeColorMode: CHANGE_COLOURS[more] },
  );
}

/** Spend of the month so far, and what it ends at when the rest goes as the part so far. */
export function monthSql(): string {
  const elapsed = `(${MONTH_RANGE.to} - ${MONTH_RANGE.from})`;
  const whole = `(${MONTH_END} - ${MONTH_RANGE.from})`;
  return `SELECT "So far", toFloat64("So far") * ${whole} / greatest(${elapsed}, 1) AS "At this pace"
FROM (
${usageSql({ select: { "So far": measureSql("cost_usd") }, range: MONTH_RANGE })}
)`;
}

/** Spend and errors of groups now and in the range before, those whose spend moved most first. */
export function movedSql(by: GroupKey, limit: number): string {
  const select = {
    spend: `ifNull(${measureSql("cost_usd")}, toDecimal128(0, 12))`,
    calls: measureSql("calls"),
    errors: measureSql("errors"),
  };
  const side = (range: Range) => `(\n${usageSql({ select, by: { name: by }, range })}\n)`;
  return `SELECT
  if(now.name = '', before.name, now.name) AS "Group",
  now.spend AS "Spend",
  before.spend AS "Spend before",
  now.spend - before.spend AS "More",
  if(before.spend = 0, NULL, toFloat64(now.spend - before.spend) / toFloat64(before.spend)) AS "Change",
  if(now.calls = 0, NULL, now.errors / now.calls) AS "Errors",
  if(before.calls = 0, NULL, before.errors / before.calls) AS "Errors before"
FROM ${side(PICKED_RANGE)} AS now
FULL OUTER JOIN ${side(RANGE_BEFORE)} AS before ON now.name = before.name
ORDER BY abs("More") DESC, "Group"
LIMIT ${limit}`;
}
