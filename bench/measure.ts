/**
 * Runs variants of one job side by side and sums up what they took: all variants take turns in one
 * process, so that what else the machine does hits all of them, and every figure is a median with
 * its minimum and maximum. What is compared is the ratio, round by round, to the baseline variant.
 *
 * Invariant: no figure of a variant is reported unless what it made has the hash of the others that
 * make the same.
 */
import { createHash } from "node:crypto";

/** What one pass of a variant worked on. */
export interface Work {
  /** Spans, or queries. */
  readonly units: number;
  /** OTLP bytes taken in; 0 for queries. */
  readonly bytes: number;
  /** Further figures of this pass, by name with the unit in it. */
  readonly figures?: Readonly<Record<string, number>>;
}

/** What a variant makes, as a hash, and the name of what other variants make as well. */
export interface Proof {
  readonly hash: string;
  readonly agrees_on: string;
}

export interface Variant {
  readonly name: string;
  readonly description: string;
  /** Does the job once and returns what came of it; also the warm-up. */
  readonly verify: () => Proof | Promise<Proof>;
  /** Makes the state that a sample starts from; its time does not count. */
  readonly prepare?: () => Promise<void>;
  /** Does the job once and tells how long each part of it (a body, a query) took. */
  readonly run: (record: (latency_ms: number) => void) => Work | Promise<Work>;
  /** Finishes what the job left to the background. Its CPU time is told apart from the job's. */
  readonly settle?: () => Promise<void>;
  /** Brings everything back for the next sample, checking it; its time does not count. */
  readonly reset?: () => Promise<Readonly<Record<string, number>>>;
}

export interface MeasureOptions {
  readonly name: string;
  /** What a unit of work is; the names of the figures follow from it. */
  readonly unit: "span" | "query";
  /** Samples of each variant. */
  readonly runs: number;
  /** A sample repeats its job until this much time has passed, ms. */
  readonly sample_ms: number;
  /** Name of the variant that the others are compared with. */
  readonly baseline: string;
  readonly tell: (progress: string) => void;
}

export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** Samples. */
  readonly n: number;
}

export interface Latency {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** How many were measured, all samples together. */
  readonly count: number;
}

export interface VariantResult {
  readonly name: string;
  readonly description: string;
  readonly hash: string;
  readonly agrees_on: string;
  readonly figures: Readonly<Record<string, Summary>>;
  /** Of one body or query, ms; null when the parts of the job were not timed. */
  readonly latency_ms: Latency | null;
  /**
   * How many times as fast as the baseline, by wall time, by CPU time of all threads and by that of the
   * main thread alone: above 1 is better.
   */
  readonly wall_ratio: Summary;
  readonly cpu_ratio: Summary;
  readonly main_cpu_ratio: Summary;
}

export interface GroupResult {
  readonly name: string;
  readonly unit: "span" | "query";
  readonly baseline: string;
  readonly sample_ms: number;
  readonly variants: readonly VariantResult[];
}

interface Sample {
  readonly wall_ms: number;
  /** CPU of all threads of the process, us. */
  readonly cpu_us: number;
  /** CPU of the main thread, us. */
  readonly main_cpu_us: number;
  readonly settled_cpu_us: number | null;
  readonly units: number;
  readonly bytes: number;
  readonly figures: Readonly<Record<string, number>>;
}

interface Track {
  readonly variant: Variant;
  readonly proof: Proof;
  readonly samples: Sample[];
  readonly latencies_ms: number[];
}

/** Proves and measures the variants. Throws when two that must agree do not. */
export async function measure(
  variants: readonly Variant[],
  options: MeasureOptions,
): Promise<GroupResult> {
  const tracks: Track[] = [];
  for (const variant of variants) {
    await variant.prepare?.();
    const proof = await variant.verify();
    await variant.settle?.();
    await variant.reset?.();
    tracks.push({ variant, proof, samples: [], latencies_ms: [] });
  }
  checkAgreement(tracks);
  for (let run = 0; run < options.runs; run += 1) {
    for (const track of tracks) {
      const sample = await takeSample(track, options.sample_ms);
      track.samples.push(sample);
      const ms = (sample.wall_ms / sample.units).toPrecision(3);
      options.tell(
        `${options.name}, run ${run + 1}/${options.runs}: ${track.variant.name} ${ms} ms a ${options.unit}`,
      );
    }
  }
  const baseline = tracks.find(({ variant }) => variant.name === options.baseline);
  if (baseline === undefined) throw new Error(`there is no variant ${options.baseline}`);
  return {
    name: options.name,
    unit: options.unit,
    baseline: options.baseline,
    sample_ms: options.sample_ms,
    variants: tracks.map((track) => summarizeTrack(track, baseline, options.unit)),
  };
}

function checkAgreement(tracks: readonly Track[]): void {
  for (const { variant, proof } of tracks) {
    const other = tracks.find(({ proof: { agrees_on } }) => agrees_on === proof.agrees_on);
    if (other === undefined || other.proof.hash === proof.hash) continue;
    throw new Error(
      `${variant.name} and ${other.variant.name} do not make the same ${proof.agrees_on}`,
    );
  }
}

/** Collects garbage of other variants, when the process was started with --expose-gc. */
function collectGarbage(): void {
  if (typeof globalThis.gc === "function") globalThis.gc();
}

async function takeSample({ variant, latencies_ms }: Track, sample_ms: number): Promise<Sample> {
  await variant.prepare?.();
  collectGarbage();
  let units = 0;
  let bytes = 0;
  let figures: Readonly<Record<string, number>> = {};
  const cpu_at_start = process.cpuUsage();
  const main_at_start = process.threadCpuUsage();
  const start_ms = performance.now();
  let wall_ms = 0;
  do {
    const work = await variant.run((latency_ms) => latencies_ms.push(latency_ms));
    units += work.units;
    bytes += work.bytes;
    figures = work.figures ?? figures;
    wall_ms = performance.now() - start_ms;
  } while (wall_ms < sample_ms);
  const cpu_us = cpuSince(cpu_at_start);
  const main = process.threadCpuUsage(main_at_start);
  const main_cpu_us = main.user + main.system;
  await variant.settle?.();
  const settled_cpu_us = variant.settle === undefined ? null : cpuSince(cpu_at_start);
  const checked = (await variant.reset?.()) ?? {};
  const all = { ...figures, ...checked };
  return { wall_ms, cpu_us, main_cpu_us, settled_cpu_us, units, bytes, figures: all };
}

function cpuSince(start: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(start);
  return user + system;
}

function summarizeTrack(track: Track, baseline: Track, unit: "span" | "query"): VariantResult {
  const { variant, proof, samples, latencies_ms } = track;
  return {
    name: variant.name,
    description: variant.description,
    ...proof,
    figures: unit === "span" ? spanFigures(samples) : queryFigures(samples),
    latency_ms: summarizeLatencies(latencies_ms),
    wall_ratio: summarizeRatios(baseline.samples, samples, (sample) => sample.wall_ms),
    cpu_ratio: summarizeRatios(baseline.samples, samples, (sample) => sample.cpu_us),
    main_cpu_ratio: summarizeRatios(baseline.samples, samples, (sample) => sample.main_cpu_us),
  };
}

function spanFigures(samples: readonly Sample[]): Record<string, Summary> {
  const figures: Record<string, Summary> = {
    spans_per_s: summarize(samples.map(({ units, wall_ms }) => (units / wall_ms) * 1_000)),
    mb_per_s: summarize(samples.map(({ bytes, wall_ms }) => bytes / 1e3 / wall_ms)),
    cpu_us_per_span: summarize(samples.map(({ cpu_us, units }) => cpu_us / units)),
    main_cpu_us_per_span: summarize(samples.map(({ main_cpu_us, units }) => main_cpu_us / units)),
  };
  const settled = samples.filter(({ settled_cpu_us }) => settled_cpu_us !== null);
  if (settled.length > 0) {
    figures["settled_cpu_us_per_span"] = summarize(
      settled.map(({ settled_cpu_us, units }) => (settled_cpu_us ?? 0) / units),
    );
  }
  return { ...figures, ...furtherFigures(samples) };
}

function queryFigures(samples: readonly Sample[]): Record<string, Summary> {
  return {
    ms: summarize(samples.map(({ wall_ms, units }) => wall_ms / units)),
    cpu_ms: summarize(samples.map(({ cpu_us, units }) => cpu_us / 1e3 / units)),
    ...furtherFigures(samples),
  };
}

function furtherFigures(samples: readonly Sample[]): Record<string, Summary> {
  const names = Object.keys(samples[0]?.figures ?? {});
  return Object.fromEntries(
    names.map((name) => [name, summarize(samples.map(({ figures }) => figures[name] ?? 0))]),
  );
}

/** Ratio of the time of a unit of work, round by round: the baseline's over the variant's. */
function summarizeRatios(
  baseline: readonly Sample[],
  samples: readonly Sample[],
  timeOf: (sample: Sample) => number,
): Summary {
  const perUnit = (sample: Sample) => timeOf(sample) / sample.units;
  return summarize(
    samples.map((sample, round) => perUnit(baseline[round] as Sample) / perUnit(sample)),
  );
}

/** Median, minimum and maximum of at least one number, to four digits. */
export function summarize(values: readonly number[]): Summary {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = (sorted.length - 1) / 2;
  const low = sorted[Math.floor(middle)] ?? 0;
  const high = sorted[Math.ceil(middle)] ?? 0;
  return {
    median: round((low + high) / 2),
    min: round(sorted[0] ?? 0),
    max: round(sorted.at(-1) ?? 0),
    n: values.length,
  };
}

/** Median, 99th percentile and maximum; null of none. */
export function summarizeLatencies(latencies_ms: readonly number[]): Latency | null {
  if (latencies_ms.length === 0) return null;
  const sorted = latencies_ms.toSorted((left, right) => left - right);
  const at = (share: number) => round(sorted[Math.ceil(share * sorted.length) - 1] ?? 0);
  return { p50: at(0.5), p99: at(0.99), max: at(1), count: sorted.length };
}

function round(value: number): number {
  return Number(value.toPrecision(4));
}

/** Hash of texts or bytes in their order, hex. */
export function hashOf(parts: Iterable<string | Uint8Array>): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex").slice(0, 16);
}

/** What a bench was asked for. */
export interface BenchOptions {
  /** Tiny amounts, to see that the bench still works; its figures mean nothing. */
  readonly small: boolean;
  /** An empty directory on the disk to measure; the caller removes it. */
  readonly directory: string;
  readonly tell: (progress: string) => void;
  /** Spans/s that the end-to-end bench begins with, and for how long, s; its own when not given. */
  readonly rate?: number;
  readonly duration_s?: number;
  /** Spans that the query bench asks about; its own number when not given. */
  readonly spans?: number;
}

/** What a bench found. */
export interface BenchResult {
  readonly name: string;
  /** Version of the embedded engine, or what is in its place. */
  readonly clickhouse: string;
  /** Sizes of the job, and what was found beside times, with the unit in the name. */
  readonly facts: Readonly<Record<string, number>>;
  readonly groups: readonly GroupResult[];
  /** What is no comparison of variants. */
  readonly tables?: readonly FigureTable[];
}

/** Figures with the unit in their names. */
export interface FigureTable {
  readonly name: string;
  readonly rows: readonly Readonly<Record<string, string | number>>[];
}
