/**
 * What is asked of usage and from where it is read: the shapes between the routes and the compiler.
 *
 * Invariant: a question names its project; nothing is compiled without one.
 */
import type { Engine } from "../clickhouse/engine.ts";
import type {
  DimensionName,
  GroupName,
  Interval,
  MeasureName,
  UsageSource,
} from "../schemas/usage.ts";
import type { UnitPrices } from "./measures.ts";

/**
 * What each source is read from: an SQL name, a sub-select in parentheses, or a rollup named `part` with its
 * PREWHERE, of which `fromTable` (query-api/reading.ts) makes the FROM.
 */
export type UsageTables = Readonly<Record<UsageSource, string>>;

/** The views, which are exact whatever is computed already. */
export const VIEWS: UsageTables = {
  usage_calls: "usage_calls",
  usage_15m: "usage_15m",
  usage_day: "usage_day",
  usage_user_day: "usage_user_day",
};

/** Where usage is read. */
export interface UsageReader {
  readonly engine: Engine;
  /** The views when it is not given. */
  readonly tables?: UsageTables;
  /** Prices by the rows of the price book; the list prices when it is not given. */
  readonly prices?: UnitPrices;
}

/** Values of dimensions, one of which a call must have; or must not, for exclusions. */
export type Filters = Readonly<Partial<Record<DimensionName, readonly string[]>>>;
/** The same for tags, by their keys. */
export type TagFilters = ReadonlyMap<string, readonly string[]>;

/** Where a page begins: behind this row, in the order of the rows. */
export interface RowPosition {
  /** Start of the step, Unix seconds; null without steps. */
  readonly time_s: number | null;
  readonly is_other: boolean;
  /** The sum that ranks, and the calls, as decimals. */
  readonly rank: string;
  readonly calls: string;
  /** Values of the dimensions in the order asked; empty text is unknown. */
  readonly keys: readonly string[];
}

/** What rows are held against: see `findBefore` (query-api/period.ts). */
export interface Comparison {
  readonly to: "previous";
  /** The clock: of a range that goes on, only what has passed is held against the period before. */
  readonly now_ms: number;
}

export interface UsageQuestion {
  readonly project_id: string;
  /** Unix ms; `from` inclusive, `to` exclusive. */
  readonly from_ms: number;
  readonly to_ms: number;
  readonly measures: readonly MeasureName[];
  readonly group_by: readonly GroupName[];
  readonly interval: Interval;
  /** As `canonicalTimeZone` gives it. */
  readonly tz: string;
  readonly filters: Filters;
  readonly tags?: TagFilters;
  readonly excluded?: Filters;
  readonly excluded_tags?: TagFilters;
  /** Rows of a page. */
  readonly limit: number;
  /** One of `RANK_NAMES`, the largest first; by default the cost when one is asked for, else the calls. */
  readonly order_by?: MeasureName;
  /** Keeps this many groups, ranked over the whole range, and adds up the others in a row a step. */
  readonly top?: number;
  readonly compare?: Comparison;
  /** The last row of the page before. */
  readonly after?: RowPosition;
}
