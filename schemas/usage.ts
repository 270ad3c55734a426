/**
 * The semantic layer: what can be asked of usage (`measures.ts`), by what it can be grouped and which
 * table can answer (`dimensions.ts`), and the steps of time. Defined once; the query API compiles it
 * to SQL.
 *
 * Invariant: every call falls into exactly one step of every interval in every time zone.
 */
export {
  CALL_FILTER_NAMES,
  DIMENSION_ALIASES,
  DIMENSION_NAMES,
  DIMENSIONS,
  type CallFilterName,
  type Dimension,
  type DimensionName,
  type GroupName,
  MAX_TAG_KEY_LENGTH,
  TAG_PREFIX,
  tagKeyOf,
  type TagName,
  USAGE_SOURCES,
  type UsageSource,
} from "./dimensions.ts";
export {
  DEFAULT_MEASURE_NAMES,
  type Measure,
  MEASURE_NAMES,
  type MeasureName,
  MEASURES,
  RANK_NAMES,
} from "./measures.ts";
export { COVERAGE_COLUMNS, HISTOGRAM_COLUMNS, MASK_COLUMNS } from "./usage-columns.ts";

/** Lengths of the steps of a time series; `none` gives one row for the whole range. */
export const INTERVALS = ["none", "15m", "hour", "day", "week", "month"] as const;
export type Interval = (typeof INTERVALS)[number];

/** A quarter of an hour is the finest step; no zone of our days moves by less. */
const QUARTER_SQL = "toStartOfFifteenMinutes({time})";
const HOUR_SQL = `toUnixTimestamp(${QUARTER_SQL}) - toMinute(${QUARTER_SQL}, {tz}) * 60`;

/**
 * Start of the step that a time falls in, as Unix seconds; {time} is a DateTime, {tz} the zone. An hour
 * is one of the clock; where clocks move by half an hour (Lord Howe) it starts when the clock was moved,
 * which `toStartOfInterval` of the engine (26.7) does not know.
 */
export const INTERVAL_SQL: Readonly<Record<Exclude<Interval, "none">, string>> = {
  "15m": `toUnixTimestamp(${QUARTER_SQL})`,
  hour: `toUInt32(${HOUR_SQL} + (60 - toMinute(toDateTime(${HOUR_SQL}, {tz}))) % 60 * 60)`,
  day: "toUnixTimestamp(toStartOfDay({time}, {tz}))",
  week: "toUnixTimestamp(toDateTime(toStartOfWeek({time}, 1, {tz}), {tz}))",
  month: "toUnixTimestamp(toDateTime(toStartOfMonth({time}, {tz}), {tz}))",
};
