/**
 * `GET /v1/collector`: how the pipeline does, from what collectors tell of themselves
 * (`collector_samples`) and from what ClickHouse holds.
 *
 * Invariant: a step without a sample is null everywhere, never 0.
 */
import type { Engine } from "../../clickhouse/engine.ts";
import { loadQuery } from "../../clickhouse/queries.ts";
import {
  COLLECTOR_STEPS_S,
  CollectorAnswer,
  type CollectorPoint,
  CollectorQuery,
  MAX_COLLECTOR_POINTS,
  MAX_COLLECTOR_RANGE_S,
} from "../../schemas/api-collector.ts";
import {
  type CountRow,
  COUNTER_NAMES,
  GAUGE_NAMES,
  type GaugeRow,
  listItems,
  listRefusals,
  QUANTILE_NAMES,
  type QuantileRow,
  readGauges,
  readWork,
  totalOf,
} from "../collector-figures.ts";
import { ApiError } from "../errors.ts";
import { newestEvidence } from "../price-rows.ts";
import { defineRoute, type Route, type Services } from "../route.ts";
import { priceRowsOf } from "./price-book.ts";

const DEFAULT_RANGE_S = 3_600;
/** Collectors that were silent for longer count as gone, ms: three samples at the longest pause. */
const SILENT_MS = 180_000;
/** The lag of ingest is read from spans, and only for the end of a longer range, seconds. */
const MAX_LAG_RANGE_S = 86_400;

/** Steps of time, Unix seconds: `from_s` is where the first begins, `to_s` where the last ends. */
interface Steps {
  readonly from_s: number;
  readonly to_s: number;
  readonly interval_s: number;
}

/** The steps asked for. Throws ApiError(400) for a range or a number of steps that is too large. */
export function readSteps(query: CollectorQuery, now_ms: number): Steps {
  const to_s = Math.ceil((query.to ?? now_ms) / 1000);
  const from_s = Math.max(
    0,
    Math.floor((query.from ?? to_s * 1000 - DEFAULT_RANGE_S * 1000) / 1000),
  );
  const fail = (path: string, message: string): never => {
    throw new ApiError(400, "invalid_range", message, [{ path, message }]);
  };
  if (from_s >= to_s) fail("from", "from must lie before to");
  if (to_s - from_s > MAX_COLLECTOR_RANGE_S) fail("from", "the range is longer than 31 days");
  const fitting = COLLECTOR_STEPS_S.find(
    (step) => countSteps(from_s, to_s, step) <= MAX_COLLECTOR_POINTS,
  );
  const interval_s = query.interval_s ?? fitting ?? 86_400;
  if (countSteps(from_s, to_s, interval_s) > MAX_COLLECTOR_POINTS) {
    fail("interval_s", `gives more than ${MAX_COLLECTOR_POINTS} points; ask for longer steps`);
  }
  return {
    from_s: Math.floor(from_s / interval_s) * interval_s,
    to_s: Math.ceil(to_s / interval_s) * interval_s,
    interval_s,
  };
}

function countSteps(from_s: number, to_s: number, step_s: number): number {
  return Math.ceil(to_s / step_s) - Math.floor(from_s / step_s);
}

/** Everything that is asked of the engine. */
async function readFigures(engine: Engine, steps: Steps, now_ms: number) {
  const ask = <Row>(name: string, params: Parameters<Engine["query"]>[1] = {}): Promise<Row[]> =>
    engine.query<Row>(loadQuery(name), params);
  // One step that is as long as the range and begins with it would have to lie on the grid of steps.
  const whole = { ...steps, interval_s: 2 ** 32 - 1 };
  const lag_from_s = Math.max(steps.from_s, steps.to_s - MAX_LAG_RANGE_S);
  const [counts, gauges, quantiles, totals, lags, lag] = await Promise.all([
    ask<CountRow>("select_collector_counts", { ...steps, names: COUNTER_NAMES }),
    ask<GaugeRow>("select_collector_gauges", { ...steps, names: GAUGE_NAMES }),
    ask<QuantileRow>("select_collector_quantiles", { ...steps, names: QUANTILE_NAMES }),
    ask<QuantileRow>("select_collector_quantiles", { ...whole, names: QUANTILE_NAMES }),
    ask<QuantileRow>("select_collector_lag", { ...steps, from_s: lag_from_s }),
    ask<QuantileRow>("select_collector_lag", { ...whole, from_s: lag_from_s }),
  ]);
  const [now, last, duplicates, backlog, tables] = await Promise.all([
    ask<NowRow>("select_collector_now", { since_ms: Math.floor(now_ms - SILENT_MS) }),
    ask<{ last_ms: string }>("select_last_sample"),
    ask<{ duplicates: string }>("count_duplicate_reports", {
      from_s: steps.from_s,
      to_s: steps.to_s,
    }),
    ask<BacklogRow>("select_recompute_lag"),
    ask<TableRow>("select_tables"),
  ]);
  return { counts, gauges, quantiles, totals, lags, lag, now, last, duplicates, backlog, tables };
}

interface NowRow {
  readonly instance_id: string;
  readonly last_ms: string;
  readonly version: string;
  readonly gauges: readonly (readonly [metric: string, value: number])[];
}

interface BacklogRow {
  readonly dirty_buckets: number;
  readonly oldest_dirty_s: number;
  readonly rows_waiting: number;
}

interface TableRow {
  readonly name: string;
  readonly rows: string;
  readonly parts: string;
  readonly bytes_on_disk: string;
  readonly uncompressed_bytes: string;
  readonly compressed_bytes: string;
}

/** Answers how the pipeline does. */
export async function answerCollector(
  services: Pick<Services, "engine" | "version" | "price_rows">,
  query: CollectorQuery,
  now_ms: number,
): Promise<CollectorAnswer> {
  const { engine, version } = services;
  const steps = readSteps(query, now_ms);
  const found = await readFigures(engine, steps, now_ms);
  // Of the installation: contracts of projects are none of these.
  const prices = priceRowsOf(services).list("");
  const last_ms = Number(found.last[0]?.last_ms ?? 0);
  return {
    from: formatSeconds(steps.from_s),
    to: formatSeconds(steps.to_s),
    interval_s: steps.interval_s,
    version,
    engine: engine.kind,
    prices: { rows: prices.length, evidence_date: newestEvidence(prices) },
    last_sample_at: last_ms > 0 ? new Date(last_ms).toISOString() : null,
    collectors: found.now.map((row) => ({
      instance_id: row.instance_id,
      version: row.version,
      last_sample_at: new Date(Number(row.last_ms)).toISOString(),
    })),
    now: readGauges(nowRows(found.now)),
    totals: {
      ...readWork({
        counts: found.counts,
        quantiles: [...found.totals, ...lagRows(found.lag)],
        is_sampled: found.gauges.length > 0,
        duration_s: Math.min(steps.to_s, now_ms / 1000) - steps.from_s,
      }),
      items: listItems(found.counts),
      refusals: listRefusals(found.counts),
      duplicate_reports: Number(found.duplicates[0]?.duplicates ?? 0),
      set_aside_records: totalOf(found.counts, "set_aside_records", found.gauges.length > 0),
      dropped_samples: totalOf(found.counts, "dropped_samples", found.gauges.length > 0),
    },
    points: makePoints(steps, found, now_ms),
    backlog: {
      dirty_buckets: found.backlog[0]?.dirty_buckets ?? 0,
      oldest_dirty_s: found.backlog[0]?.oldest_dirty_s ?? 0,
      rows_waiting: found.backlog[0]?.rows_waiting ?? 0,
    },
    tables: found.tables.map((row) => describeTable(row)),
  };
}

type Figures = Awaited<ReturnType<typeof readFigures>>;

function makePoints(steps: Steps, found: Figures, now_ms: number): CollectorPoint[] {
  const counts = Map.groupBy(found.counts, ({ step_s }) => step_s);
  const gauges = Map.groupBy(found.gauges, ({ step_s }) => step_s);
  const quantiles = Map.groupBy(
    [...found.quantiles, ...lagRows(found.lags)],
    ({ step_s }) => step_s,
  );
  const length = (steps.to_s - steps.from_s) / steps.interval_s;
  return Array.from({ length }, (_unused, index) => {
    const step_s = steps.from_s + index * steps.interval_s;
    const end_s = Math.min(step_s + steps.interval_s, now_ms / 1000);
    return {
      time: formatSeconds(step_s),
      ...readWork({
        counts: counts.get(step_s) ?? [],
        quantiles: quantiles.get(step_s) ?? [],
        is_sampled: gauges.has(step_s),
        duration_s: end_s - step_s,
      }),
      ...readGauges(gauges.get(step_s) ?? []),
    };
  });
}

/** The lag of ingest beside the quantiles of the collector. */
function lagRows(rows: readonly QuantileRow[]): QuantileRow[] {
  return rows.map((row) => ({ ...row, metric: "ingest_lag" }));
}

/** The gauges of single collectors as those of a step. */
function nowRows(rows: readonly NowRow[]): GaugeRow[] {
  const values = rows.flatMap(({ gauges }) => gauges);
  return [...Map.groupBy(values, ([metric]) => metric)].map(([metric, of_metric]) => ({
    step_s: 0,
    metric,
    total: of_metric.reduce((sum, [, value]) => sum + value, 0),
    greatest: Math.max(...of_metric.map(([, value]) => value)),
  }));
}

function describeTable(row: TableRow): CollectorAnswer["tables"][number] {
  const compressed = Number(row.compressed_bytes);
  return {
    name: row.name,
    rows: Number(row.rows),
    parts: Number(row.parts),
    bytes_on_disk: Number(row.bytes_on_disk),
    uncompressed_bytes: Number(row.uncompressed_bytes),
    compression_ratio: compressed === 0 ? null : Number(row.uncompressed_bytes) / compressed,
  };
}

function formatSeconds(unix_s: number): string {
  return new Date(unix_s * 1000).toISOString();
}

/** How the pipeline does. */
export const COLLECTOR_ROUTES: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/collector",
    summary: "How the pipeline does: what came in, how fast it is stored, what waits",
    description:
      "Collectors tell of themselves every SPANLEDGER_SAMPLES_INTERVAL_S seconds, and it is kept for 30 days. The figures are of the whole installation, so only its operator is answered; others get 403. `GET /v1/analytics/quality` tells of one project.",
    tag: "Operations",
    action: "installation:manage",
    of: "installation",
    query: CollectorQuery,
    answer: CollectorAnswer,
    examples: [{ summary: "The last hour", path: "/v1/collector?interval_s=1800" }],
    handle: ({ services, query, now_ms }) => answerCollector(services, query, now_ms),
  }),
];
