/**
 * What the named endpoints share: the range asked for, where it is read, and how parts of answers are
 * made of sums.
 *
 * Invariant: all usage comes from readers that `makeReader` makes, so that there is one place where it
 * is decided which tables are read.
 */
import type { Params } from "../../../clickhouse/engine.ts";
import type { Change } from "../../../schemas/api-analytics.ts";
import { DEFAULT_ANALYTICS_DAYS } from "../../../schemas/api-analytics-parts.ts";
import { canonicalTimeZone } from "../../../schemas/api-parts.ts";
import type { MeasureValues } from "../../../schemas/api-usage.ts";
import { formatUsd, parseUsd } from "../../../schemas/units.ts";
import { DIMENSION_NAMES, type DimensionName, type MeasureName } from "../../../schemas/usage.ts";
import { localTime, startOfDay } from "../../calendar.ts";
import { readMeasures, type Sums } from "../../measures.ts";
import { endOfQuarter } from "../../period.ts";
import { chooseTables } from "../../reading.ts";
import { readUsageFilters, resolveRangeIn, type TimeRange } from "../../request.ts";
import type { Services } from "../../route.ts";
import type { Filters, UsageReader } from "../../usage-question.ts";
import type { SetRow } from "../../usage-sets.ts";

const DAY_MS = 86_400_000;
export const DEFAULT_TIME_ZONE = "UTC";

/** Where a question of analytics is answered. */
export type Source = Pick<Services, "engine" | "prices" | "ledger">;

/** What every question of analytics asks for. */
export interface Asked extends TimeRange {
  /** As `canonicalTimeZone` gives it. */
  readonly tz: string;
  readonly filters: Filters;
}

type FilterQuery = Readonly<Partial<Record<DimensionName, string[] | undefined>>>;

/** The time zone asked for, and the filters. */
export function readZoneAndFilters(
  query: FilterQuery & { readonly tz?: string | undefined },
): Pick<Asked, "tz" | "filters"> {
  return {
    tz: canonicalTimeZone(query.tz ?? DEFAULT_TIME_ZONE) ?? DEFAULT_TIME_ZONE,
    filters: readUsageFilters(query).filters,
  };
}

/**
 * The range asked for, with time zone and filters; by default the 30 days of the zone up to now, today
 * among them. Throws ApiError(400).
 */
export function readAsked(
  query: FilterQuery & {
    readonly from?: number | string | undefined;
    readonly to?: number | string | undefined;
    readonly tz?: string | undefined;
  },
  now_ms: number,
): Asked {
  const common = readZoneAndFilters(query);
  const to = query.to ?? endOfQuarter(now_ms);
  const last_day = resolveRangeIn({ to }, common.tz, now_ms);
  const from = query.from ?? startOfDays(last_day.to_ms, common.tz);
  return { ...common, ...resolveRangeIn({ from, to }, common.tz, now_ms) };
}

/** The first instant of the days of which the last one ends with the range. */
function startOfDays(to_ms: number, tz: string): number {
  const local_ms = localTime(to_ms - 1, tz);
  const date_ms = local_ms - (local_ms % DAY_MS) - (DEFAULT_ANALYTICS_DAYS - 1) * DAY_MS;
  return Math.max(0, startOfDay(date_ms, tz));
}

/** Where the usage of a project in ranges is read. */
export async function makeReader(
  { engine, prices, ledger }: Source,
  project_id: string,
  ...ranges: readonly TimeRange[]
): Promise<UsageReader> {
  const whole = {
    from_ms: Math.min(...ranges.map(({ from_ms }) => from_ms)),
    to_ms: Math.max(...ranges.map(({ to_ms }) => to_ms)),
  };
  return {
    engine,
    tables: await chooseTables(engine, project_id, whole, ledger),
    ...(prices === undefined ? {} : { prices: prices.priceOf }),
  };
}

/** The range of an answer. */
export function describeRange({ from_ms, to_ms }: TimeRange): { from: string; to: string } {
  return { from: new Date(from_ms).toISOString(), to: new Date(to_ms).toISOString() };
}

/** The measures of sums, all of them there. */
export function measure<Name extends MeasureName>(
  sums: Sums,
  names: readonly Name[],
  { prices }: Pick<UsageReader, "prices"> = {},
): Measured<Name> {
  return readMeasures(sums, names, prices) as Measured<Name>;
}

/** Values of measures that were asked for. */
export type Measured<Name extends MeasureName> = {
  readonly [Field in Name]: Exclude<MeasureValues[Field], undefined>;
} & Pick<MeasureValues, "coverage">;

type Compared = Measured<"calls" | "cost_usd">;

function toPicodollars(amount: string | null): bigint | null {
  return amount === null ? null : parseUsd(amount);
}

function shareOf(difference: number, before: number): number | null {
  return before === 0 ? null : difference / before;
}

/** What is more than before; costs are compared when both are known, or there were no calls before. */
export function changeOf(now: Compared, before: Compared): Change {
  const cost = toPicodollars(now.cost_usd);
  const cost_before = before.calls === 0 ? 0n : toPicodollars(before.cost_usd);
  const more = cost === null || cost_before === null ? null : cost - cost_before;
  return {
    cost_usd: more === null ? null : formatUsd(more),
    cost_share:
      more === null || cost_before === null ? null : shareOf(Number(more), Number(cost_before)),
    calls: now.calls - before.calls,
    calls_share: shareOf(now.calls - before.calls, before.calls),
  };
}

/** What all groups have that are not listed; null when all are. */
export function otherOf(
  total: Compared,
  listed: readonly Compared[],
): { calls: number; cost_usd: string | null } | null {
  const calls = total.calls - listed.reduce((sum, group) => sum + group.calls, 0);
  if (calls === 0) return null;
  const cost = toPicodollars(total.cost_usd);
  const listed_cost = listed.reduce(
    (sum, group) => sum + (toPicodollars(group.cost_usd) ?? 0n),
    0n,
  );
  return { calls, cost_usd: cost === null ? null : formatUsd(cost - listed_cost) };
}

/** The share of an amount in a total; null when one is not known, or the total is zero. */
export function costShare(cost_usd: string | null, total_usd: string | null): number | null {
  const [part, whole] = [toPicodollars(cost_usd), toPicodollars(total_usd)];
  return part === null || whole === null || whole === 0n ? null : Number(part) / Number(whole);
}

/** A range and filters as parameters of the statements that read single calls; none allows everything. */
export function bindRange({ from_ms, to_ms, filters }: Asked): Record<string, Params[string]> {
  const lists = DIMENSION_NAMES.map((name) => [name, filters[name] ?? []] as const);
  return { ...Object.fromEntries(lists), from_s: toSeconds(from_ms), to_s: toSeconds(to_ms) };
}

/** Unix ms as the decimal seconds that parameters are read from. */
export function toSeconds(unix_ms: number): string {
  return (unix_ms / 1000).toFixed(3);
}

/** The value of a group; null when it is not known. */
export function keyOf(row: SetRow, name: DimensionName): string | null {
  return row.keys.get(name) ?? null;
}
