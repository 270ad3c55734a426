/**
 * What a collector counts, looked at every few seconds and kept: the rows of `collector_samples`
 * (clickhouse/migrations/0044_collector_samples.sql).
 *
 * Invariant: whoever sends spans waits for none of this, and what waits to be stored is bounded; when it
 * cannot be stored the oldest goes first and is counted.
 */
import type { CollectorMetrics } from "../metrics.ts";

/** One row: the value of a gauge, or what was added to a counter since the sample before. */
export interface Sample {
  /** Unix ms. */
  readonly at_ms: number;
  readonly name: string;
  readonly labels: readonly (readonly [name: string, value: string])[];
  readonly kind: "counter" | "gauge";
  readonly value: number;
}

/** Rows of one sample at most; counters beyond it are told with the next one. */
export const MAX_SAMPLE_ROWS = 2_000;
/** Rows that wait while ClickHouse is away, at most: fifty minutes of a busy collector, some 10 MB. */
export const MAX_WAITING_ROWS = 40_000;
/** Rows of one INSERT at most. */
export const MAX_INSERT_ROWS = 5_000;
/** Longest a stop waits for the last sample to be stored, ms. */
export const STOP_WAIT_MS = 1_000;

/** Ours begin so. */
const OWN_PREFIX = "spanledger_";
/** Of Node's own metrics those of memory and CPU. */
const PROCESS_METRICS: ReadonlySet<string> = new Set([
  "process_cpu_seconds_total",
  "process_resident_memory_bytes",
  "nodejs_heap_size_used_bytes",
  "nodejs_external_memory_bytes",
]);

/** Begin a new period whenever they are read: those periods are Prometheus's (docs/guides/observability.md). */
const SINCE_LAST_READ = "nodejs_eventloop_lag";

type Registry = Pick<CollectorMetrics["registry"], "getMetricsAsArray" | "getSingleMetric">;

/** One value of a registry, by the name it has at /metrics. */
interface Reading {
  readonly name: string;
  readonly labels: Sample["labels"];
  readonly is_gauge: boolean;
  readonly value: number;
  /** Of buckets of a histogram: the bound. */
  readonly le: number | null;
}

/** Reads samples of a registry, one after the other. */
export class Sampler {
  readonly #registry: Registry;
  readonly #max_rows: number;
  /** What counters had when they were told of last, by name and labels. */
  readonly #told = new Map<string, number>();

  /** `counted_before`: what counters that go on over restarts had before this process, by name. */
  constructor(
    registry: Registry,
    counted_before: ReadonlyMap<string, number> = new Map(),
    max_rows = MAX_SAMPLE_ROWS,
  ) {
    this.#registry = registry;
    this.#max_rows = max_rows;
    for (const [name, value] of counted_before) this.#told.set(keyOf(name, []), value);
  }

  /** The rows of now, and how many there was no room for. */
  async take(at_ms: number): Promise<{ rows: Sample[]; left_out: number }> {
    const rows: Sample[] = [];
    let left_out = 0;
    let below: Reading | null = null;
    for (const reading of listReadings(await readMetrics(this.#registry))) {
      const { name, labels, is_gauge, value, le } = reading;
      const key = keyOf(name, labels);
      const added = is_gauge ? value : value - (this.#told.get(key) ?? 0);
      const lower: Reading | null =
        le !== null && below?.le != null && below.le < le ? below : null;
      below = !is_gauge && added === 0 ? reading : null;
      if (Number.isNaN(added) || (!is_gauge && added === 0)) continue;
      if (rows.length >= this.#max_rows) {
        left_out += 1;
        continue;
      }
      // The bound below the first bucket that grew: without it nobody knows where that bucket begins.
      if (lower !== null) rows.push({ at_ms, ...rowOf(lower), kind: "counter", value: 0 });
      rows.push({ at_ms, ...rowOf(reading), kind: is_gauge ? "gauge" : "counter", value: added });
      if (!is_gauge) this.#told.set(key, value);
    }
    return { rows, left_out };
  }
}

function rowOf({ name, labels }: Reading): Pick<Sample, "name" | "labels"> {
  return { name, labels };
}

function keyOf(name: string, labels: Sample["labels"]): string {
  return JSON.stringify([name, labels]);
}

type Metric = Awaited<ReturnType<NonNullable<ReturnType<Registry["getSingleMetric"]>>["get"]>>;

/** All metrics but those; also what is not kept, as one metric may fill in the others of its kind. */
async function readMetrics(registry: Registry): Promise<Metric[]> {
  const found = registry
    .getMetricsAsArray()
    .filter(({ name }) => !name.startsWith(SINCE_LAST_READ))
    .map(({ name }) => registry.getSingleMetric(name));
  const metrics = await Promise.all(found.map(async (metric) => metric?.get()));
  return metrics.filter((metric) => metric !== undefined);
}

/** What is kept of the metrics, in their order: the buckets of a histogram from the least bound on. */
function* listReadings(metrics: readonly Metric[]): Generator<Reading> {
  for (const { name: metric, type, values } of metrics) {
    if (!metric.startsWith(OWN_PREFIX) && !PROCESS_METRICS.has(metric)) continue;
    for (const value of values) {
      // Of a histogram each value has a name of its own; the types of prom-client leave it out.
      const name = "metricName" in value ? value.metricName : metric;
      const labels = Object.entries(value.labels).map(
        ([label, text]) => [label, String(text)] as const,
      );
      const bound = labels.find(([label]) => label === "le")?.[1];
      yield {
        name,
        labels: labels.toSorted(([a], [b]) => (a < b ? -1 : 1)),
        is_gauge: String(type) === "gauge",
        value: value.value,
        le: bound === undefined ? null : bound === "+Inf" ? Infinity : Number(bound),
      };
    }
  }
}

/** What a loop is made of. */
export interface SampleLoopOptions {
  readonly take: (at_ms: number) => Promise<{ rows: Sample[]; left_out: number }>;
  /** Stores rows; a repeated write must do no harm. */
  readonly write: (rows: readonly Sample[]) => Promise<void>;
  readonly interval_ms: number;
  readonly now_ms: () => number;
  /** Told of rows that are never stored, or (`left_out`) not with this sample. */
  readonly noteDropped: (rows: number, reason: "left_out" | "waited") => void;
  readonly max_waiting_rows?: number;
  readonly stop_wait_ms?: number;
}

/** Takes samples until it is stopped, and stores them as well as it can. */
export class SampleLoop {
  readonly #options: SampleLoopOptions;
  #waiting: Sample[] = [];
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | null = null;
  #taking: Promise<void> | null = null;

  constructor(options: SampleLoopOptions) {
    this.#options = options;
  }

  start(): void {
    const { interval_ms } = this.#options;
    // A sample that takes longer than the pause is not joined by another.
    this.#timer = setInterval(() => void this.sample(), interval_ms);
    this.#timer.unref();
  }

  /** Takes a sample and begins to store what waits; resolves when it is taken. */
  sample(): Promise<void> {
    this.#taking ??= this.#take().finally(() => {
      this.#taking = null;
    });
    return this.#taking;
  }

  /** Takes a last sample and waits for it to be stored, but not for long. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    const { stop_wait_ms = STOP_WAIT_MS } = this.#options;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, stop_wait_ms);
    await Promise.race([this.#finish(), promise]);
    clearTimeout(timer);
  }

  async #finish(): Promise<void> {
    await this.#taking;
    await this.#writing;
    await this.sample();
    await this.#writing;
  }

  async #take(): Promise<void> {
    const { take, now_ms, noteDropped } = this.#options;
    try {
      const { rows, left_out } = await take(now_ms());
      if (left_out > 0) noteDropped(left_out, "left_out");
      this.#keep([...this.#waiting, ...rows]);
    } catch {
      // A metric could not be read: counters are told whole with the next sample.
    }
    this.#writing ??= this.#write().finally(() => {
      this.#writing = null;
    });
  }

  /** The newest rows, as many as may wait. */
  #keep(rows: Sample[]): void {
    const { noteDropped, max_waiting_rows = MAX_WAITING_ROWS } = this.#options;
    const excess = Math.max(0, rows.length - max_waiting_rows);
    if (excess > 0) noteDropped(excess, "waited");
    this.#waiting = excess > 0 ? rows.slice(excess) : rows;
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const rows = this.#waiting.slice(0, MAX_INSERT_ROWS);
      this.#waiting = this.#waiting.slice(MAX_INSERT_ROWS);
      try {
        await this.#options.write(rows);
      } catch {
        // The insert loop tells why ClickHouse does not take anything; the next sample tries again.
        this.#keep([...rows, ...this.#waiting]);
        return;
      }
    }
  }
}
