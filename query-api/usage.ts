/**
 * The one door to usage: a question of measures, dimensions and time in, exact rows out. Every route
 * that sums asks here, so that no two of them can differ.
 *
 * Invariant: what a row says is the sum over the calls of its group, whichever table was read.
 */
import type { Coverage, MeasureValues, UsageRow } from "../schemas/api-usage.ts";
import { NO_SUCH_ZONE } from "../schemas/api-parts.ts";
import { PermanentError } from "../schemas/errors.ts";
import { startOfStep } from "./calendar.ts";
import { ApiError } from "./errors.ts";
import { coverageOf, isDistinct, readMeasures, type SumRow, Sums } from "./measures.ts";
import { findBefore } from "./period.ts";
import type { TimeRange } from "./request.ts";
import type { Comparison, RowPosition, UsageQuestion, UsageReader } from "./usage-question.ts";
import { type CompileOptions, compileUsage, rankOf, rowKeyOf } from "./usage-sql.ts";

export type { UsageQuestion, UsageReader, UsageTables } from "./usage-question.ts";
export type { UsageRow } from "../schemas/api-usage.ts";

/** Measures of all rows; with `compare` also those of the period before. */
export type UsageTotals = MeasureValues & { readonly previous?: MeasureValues | null };

export interface UsageResult {
  /** By time, then the largest first; at most `limit`. */
  readonly rows: readonly UsageRow[];
  /** Over all rows, also those beyond the limit. */
  readonly totals: UsageTotals;
  readonly coverage: Coverage;
  /** True when there are more rows than the limit. */
  readonly truncated: boolean;
  /** `after` of the next page; null on the last. */
  readonly next: RowPosition | null;
  /** Groups that `top` kept apart, by their keys; null without it. */
  readonly top_groups: readonly (readonly string[])[] | null;
  /** The period before, Unix ms, with `compare`. */
  readonly previous?: TimeRange;
}

/** ClickHouse's code for a time zone that its database does not have (BAD_ARGUMENTS). */
const UNKNOWN_ZONE_CODE = "clickhouse_36";

/** A row as the engine answers it, taken apart. */
interface FoundRow {
  readonly position: RowPosition;
  readonly columns: SumRow;
}

/**
 * Answers a question of usage. Throws ApiError(400) for a time zone that the engine does not have, and
 * the errors of the engine.
 */
export async function askUsage(reader: UsageReader, question: UsageQuestion): Promise<UsageResult> {
  const top_groups = await findTopGroups(reader, question);
  const options = top_groups === null ? {} : { top_groups };
  const found = await readRows(reader, question, options);
  const truncated = found.length > question.limit;
  const page = found.slice(0, question.limit);
  const sums = page.map(({ columns }) => sumOf([columns]));
  const is_whole = !truncated && question.after === undefined && !isDistinct(question.measures);
  const totals = is_whole
    ? sumOf(page.map(({ columns }) => columns))
    : await sumAll(reader, question);
  const before = await readPrevious(reader, question, page, options);
  const measure = (from: Sums) => readMeasures(from, question.measures, reader.prices);
  return {
    rows: page.map(({ position }, index) => ({
      ...describeRow(question, position),
      ...measure(sums[index] ?? new Sums()),
      ...(before === null ? {} : { previous: measureOrNull(before.rows[index] ?? null, measure) }),
    })),
    totals: {
      ...measure(totals),
      ...(before === null ? {} : { previous: measureOrNull(before.totals, measure) }),
    },
    coverage: coverageOf(totals),
    truncated,
    next: truncated ? (page.at(-1)?.position ?? null) : null,
    top_groups,
    ...(before === null ? {} : { previous: before.range }),
  };
}

function measureOrNull(
  sums: Sums | null,
  measure: (sums: Sums) => MeasureValues,
): MeasureValues | null {
  return sums === null || sums.count("calls") === 0n ? null : measure(sums);
}

function sumOf(rows: readonly SumRow[]): Sums {
  const sums = new Sums();
  for (const row of rows) sums.add(row);
  return sums;
}

/** The step and the dimensions of a row. */
function describeRow({ group_by }: UsageQuestion, { time_s, is_other, keys }: RowPosition) {
  return {
    ...(time_s === null ? {} : { time: new Date(time_s * 1000).toISOString() }),
    ...(is_other ? { is_other: true as const } : {}),
    // Names of tags have a prefix, so that no key of one can be a property of every object.
    ...Object.fromEntries(
      group_by.map((name, index) => [name, keys[index] === "" ? null : (keys[index] ?? null)]),
    ),
  };
}

/** The largest groups over the whole range; null when all are wanted. */
async function findTopGroups(
  reader: UsageReader,
  question: UsageQuestion,
): Promise<string[][] | null> {
  const { top, group_by } = question;
  if (top === undefined || group_by.length === 0) return null;
  const { after: _page, ...whole } = question;
  const found = await readRows(reader, {
    ...whole,
    measures: [],
    order_by: rankOf(question),
    interval: "none",
    limit: top,
  });
  return found.slice(0, top).map(({ position }) => [...position.keys]);
}

/** The sums over all groups. */
async function sumAll(reader: UsageReader, question: UsageQuestion): Promise<Sums> {
  const { after: _page, order_by: _order, ...whole } = question;
  const rows = await readRows(reader, { ...whole, group_by: [], interval: "none", limit: 1 });
  return sumOf(rows.map(({ columns }) => columns));
}

/** The period before, and the way back from an instant to the one that is held against it. */
function findPrevious(question: UsageQuestion, { now_ms }: Comparison) {
  const { from_ms, to_ms, interval, tz } = question;
  return findBefore({ from_ms, to_ms }, interval, tz, now_ms);
}

/** The range of a question, and the period before where it is compared with that. */
export function periodsOf(question: UsageQuestion): TimeRange & { readonly previous?: TimeRange } {
  const { from_ms, to_ms, compare } = question;
  if (compare === undefined) return { from_ms, to_ms };
  return { from_ms, to_ms, previous: findPrevious(question, compare).range };
}

/** The sums of the period before, one for each row of the page, and of all. */
async function readPrevious(
  reader: UsageReader,
  question: UsageQuestion,
  page: readonly FoundRow[],
  options: CompileOptions,
): Promise<{
  rows: (Sums | null)[];
  totals: Sums;
  range: TimeRange;
} | null> {
  const { interval, tz, compare } = question;
  if (compare === undefined) return null;
  const { range, back } = findPrevious(question, compare);
  const { after: _page, ...whole } = { ...question, ...range };
  // A range of the first days of 1970 has none before it.
  if (range.from_ms >= range.to_ms) {
    return { rows: page.map(() => null), totals: new Sums(), range };
  }
  const keys = page.map(({ position: { time_s, is_other, keys: values } }) => {
    const time =
      time_s === null || interval === "none"
        ? null
        : startOfStep(back(time_s * 1000), interval, tz) / 1000;
    return rowKeyOf(time, is_other, values);
  });
  const found =
    keys.length === 0
      ? []
      : await readRows(reader, { ...whole, limit: keys.length }, { ...options, only_rows: keys });
  const by_key = new Map(
    found.map(({ position: { time_s, is_other, keys: values }, columns }) => [
      JSON.stringify(rowKeyOf(time_s, is_other, values)),
      columns,
    ]),
  );
  const rows = keys.map((key) => {
    const columns = by_key.get(JSON.stringify(key));
    return columns === undefined ? null : sumOf([columns]);
  });
  return { rows, totals: await sumAll(reader, whole), range };
}

async function readRows(
  { engine, tables }: UsageReader,
  question: UsageQuestion,
  options: CompileOptions = {},
): Promise<FoundRow[]> {
  const { sql, params } = compileUsage(
    question,
    tables === undefined ? options : { ...options, tables },
  );
  try {
    const rows = await engine.query<Record<string, string | number>>(sql, params);
    return rows.map((row) => takeApart(row, question.group_by.length));
  } catch (error) {
    const isZone = error instanceof PermanentError && error.code === UNKNOWN_ZONE_CODE;
    if (!isZone || question.tz === "UTC") throw error;
    // The engine's database of time zones may be older than ours.
    const details = [{ path: "tz", message: NO_SUCH_ZONE }];
    throw new ApiError(400, "invalid_query", `tz ${NO_SUCH_ZONE}`, details);
  }
}

/** Takes a row of `compileUsage` apart. */
export function takeApart(
  row: Readonly<Record<string, string | number>>,
  dimensions: number,
): FoundRow {
  const { time, is_other, rank, ...rest } = row;
  const columns = new Map(Object.entries(rest));
  const keys = Array.from({ length: dimensions }, (_, index) => {
    const value = columns.get(`k${index}`);
    columns.delete(`k${index}`);
    return String(value ?? "");
  });
  return {
    position: {
      time_s: time === undefined ? null : Number(time),
      is_other: Number(is_other ?? 0) === 1,
      rank: String(rank ?? "0"),
      calls: String(columns.get("calls") ?? "0"),
      keys,
    },
    columns: Object.fromEntries(columns),
  };
}
