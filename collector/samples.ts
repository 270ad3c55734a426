/**
 * The samples of a collector, put together: its metrics, its engine, its setting.
 *
 * Invariant: nothing here can fail or hold up the collector it tells of.
 */
import type { Engine } from "../clickhouse/engine.ts";
import { loadQuery } from "../clickhouse/queries.ts";
import type { Settings } from "../schemas/settings.ts";
import { type CollectorMetrics, WAL_COUNTS, type WalCount } from "./metrics.ts";
import { type Sample, SampleLoop, Sampler } from "./telemetry/samples.ts";

/** What samples are taken of and where they go. */
export interface SamplesOptions {
  readonly settings: Pick<Settings, "SPANLEDGER_SAMPLES_INTERVAL_S">;
  readonly engine: Pick<Engine, "command">;
  readonly metrics: CollectorMetrics;
  readonly wal: {
    readonly writer_id: string;
    /** What the log had counted before this process. */
    readonly counts_before: Readonly<Record<WalCount, number>>;
  };
}

/** Starts to take samples; what is answered takes the last one and stops. */
export function startSamples({ settings, engine, metrics, wal }: SamplesOptions): {
  readonly stop: () => Promise<void>;
} {
  const interval_ms = settings.SPANLEDGER_SAMPLES_INTERVAL_S * 1000;
  if (interval_ms === 0) return { stop: async () => {} };
  const counted_before = new Map(
    (Object.keys(WAL_COUNTS) as WalCount[]).map((name) => [
      `spanledger_wal_${name}_total`,
      wal.counts_before[name],
    ]),
  );
  const sampler = new Sampler(metrics.registry, counted_before);
  const loop = new SampleLoop({
    take: (at_ms) => sampler.take(at_ms),
    write: (rows) => writeSamples(engine, wal.writer_id, rows),
    interval_ms,
    now_ms: Date.now,
    noteDropped: (rows, reason) => metrics.dropped_samples.inc({ reason }, rows),
  });
  loop.start();
  return { stop: () => loop.stop() };
}

/** Stores samples of a collector. */
export async function writeSamples(
  engine: Pick<Engine, "command">,
  instance_id: string,
  rows: readonly Sample[],
): Promise<void> {
  await engine.command(loadQuery("insert_collector_samples"), {
    instance_id,
    rows: rows.map(({ at_ms, name, labels, kind, value }) =>
      JSON.stringify([
        at_ms,
        name,
        labels.map(([label]) => label),
        labels.map(([, text]) => text),
        kind === "gauge" ? 1 : 0,
        value,
      ]),
    ),
  });
}
