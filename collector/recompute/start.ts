/**
 * Starts the recompute of a collector with its settings, and watches the load it has to give way to.
 *
 * Invariant: where another process can reach the engine, no rollup is written without the lease.
 */
import type { Engine } from "../../clickhouse/engine.ts";
import type { Settings } from "../../schemas/settings.ts";
import { DEFAULT_STATEMENT_MS } from "./compute.ts";
import { DEFAULT_LEASE_TTL_MS, Lease } from "./lease.ts";
import { InsertLoad, shareOf } from "./load.ts";
import {
  DEFAULT_DAY_INTERVAL_MS,
  DEFAULT_MAX_BUCKETS,
  Recompute,
  type RecomputeEvent,
  type RecomputeLag,
} from "./recompute.ts";

/** How much longer than a statement the lease must hold when it begins, ms: time to commit. */
const COMMIT_RESERVE_MS = 10_000;

export interface StartOptions {
  readonly settings: Settings;
  /** Name of this process among those that may compute; unique for each start. */
  readonly token: string;
  /** How long the oldest row has been waiting for its insert, ms. */
  readonly behind_ms: () => number;
  readonly observe: (event: RecomputeEvent) => void;
}

/** A recompute that runs. */
export interface RunningRecompute {
  /** Tells that an insert has taken that long, ms. */
  noteInsert(duration_ms: number): void;
  /** How far the rollups were behind when the last round began. */
  lag(): RecomputeLag;
  /** Whether this process computes the rollups; another one does otherwise. */
  isHolder(): boolean;
  stop(): Promise<void>;
}

/** Starts the recompute of an engine. The embedded engine has one process and needs no lease. */
export function startRecompute(engine: Engine, options: StartOptions): RunningRecompute {
  const { settings, token, behind_ms, observe } = options;
  const clock = () => performance.now();
  const load = new InsertLoad(clock);
  const reserve_ms = DEFAULT_STATEMENT_MS + COMMIT_RESERVE_MS;
  const lease = { token, ttl_ms: DEFAULT_LEASE_TTL_MS, reserve_ms, now_ms: clock };
  const recompute = new Recompute(engine, {
    interval_ms: settings.SPANLEDGER_RECOMPUTE_INTERVAL_MS,
    max_buckets: DEFAULT_MAX_BUCKETS,
    day_interval_ms: DEFAULT_DAY_INTERVAL_MS,
    memory_bytes: settings.SPANLEDGER_RECOMPUTE_MEMORY_BYTES,
    now_ms: Date.now,
    share: () => shareOf(settings.SPANLEDGER_RECOMPUTE_CPU_SHARE, load.busyPart(), behind_ms()),
    observe,
    ...(engine.kind === "server" ? { lease: new Lease(engine, lease) } : {}),
  });
  recompute.start();
  return {
    noteInsert: (duration_ms) => load.note(duration_ms),
    lag: () => recompute.lag,
    isHolder: () => recompute.is_holder,
    stop: () => recompute.stop(),
  };
}
