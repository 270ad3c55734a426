/**
 * The insert loop of a collector, put together from its settings: where batches go, where records
 * that are refused lie, and what is told of both.
 *
 * Invariant: the loop here and the replay of dead letters write by the same rules.
 */
import { randomUUID } from "node:crypto";
import type { Engine } from "../clickhouse/engine.ts";
import type { Log } from "../schemas/log.ts";
import type { Settings } from "../schemas/settings.ts";
import { DeadLetters } from "./dead-letter/store.ts";
import {
  type BatchTarget,
  type InsertEvent,
  type InsertLoop,
  startInsertLoop,
} from "./insert/loop.ts";
import { makeBatchTarget } from "./insert/target.ts";
import type { CollectorMetrics } from "./metrics.ts";
import type { Telemetry } from "./telemetry/telemetry.ts";
import { Resolver, type ResolverEvent } from "./ownership/resolver.ts";
import { countCalls, MULTI_SIGNAL_DIALECTS } from "./pipeline.ts";
import type { Wal } from "./wal/wal.ts";

/** What the loop needs of its collector. */
export interface InsertParts {
  readonly settings: Settings;
  readonly engine: Engine;
  readonly log: Log;
  readonly wal: Wal;
  readonly telemetry: Telemetry;
  readonly resolver: Resolver;
  /** Told how long each INSERT took, ms. */
  readonly onInserted: (duration_ms: number) => void;
}

/** The counting rules on an engine, by the settings. */
export function makeResolver(
  engine: Engine,
  settings: Settings,
  observe: (event: ResolverEvent) => void,
): Resolver {
  return new Resolver(engine, {
    decide: countCalls,
    session_dialects: MULTI_SIGNAL_DIALECTS,
    settle_ms: settings.SPANLEDGER_TRACE_SETTLE_S * 1000,
    window_s: settings.SPANLEDGER_TRACE_WINDOW_S,
    now_ms: Date.now,
    observe,
  });
}

/** Where replayed dead letters go: the engine, as a writer of its own for each run. */
export function makeReplayTarget(
  engine: Engine,
  settings: Settings,
  observe: (event: ResolverEvent) => void,
): BatchTarget {
  return makeBatchTarget(engine, makeResolver(engine, settings, observe), `replay-${randomUUID()}`);
}

/** The dead-letter folder of a data directory, by the settings. */
export function openDeadLetters(data_directory: string, settings: Settings): DeadLetters {
  const limits = {
    max_bytes: settings.SPANLEDGER_DEAD_LETTER_MAX_BYTES,
    max_files: settings.SPANLEDGER_DEAD_LETTER_MAX_FILES,
  };
  return new DeadLetters(data_directory, limits, Date.now);
}

/** Starts the insert loop of a log. */
export function startInserts(parts: InsertParts): InsertLoop {
  const { settings, engine, wal, resolver, telemetry } = parts;
  const { writer_id } = wal;
  const letters = openDeadLetters(settings.SPANLEDGER_DATA_DIR, settings);
  watchDeadLetters(letters, telemetry.metrics);
  return startInsertLoop(
    wal,
    watchTarget(makeBatchTarget(engine, resolver, writer_id), telemetry),
    wal.stats().released_sequence,
    {
      max_rows: settings.SPANLEDGER_INSERT_MAX_ROWS,
      max_backlog_rows: settings.SPANLEDGER_INSERT_BACKLOG_ROWS,
      max_age_ms: settings.SPANLEDGER_INSERT_MAX_AGE_MS,
      max_bytes: settings.SPANLEDGER_INSERT_MAX_BYTES,
      now_ms: Date.now,
      random: Math.random,
      setAside: (record, reason, code) => letters.keep(record, writer_id, reason, code),
      observe: (event) => observeInsert(event, parts),
    },
  );
}

/** The target with its steps timed. */
function watchTarget(target: BatchTarget, telemetry: Telemetry): BatchTarget {
  return {
    insertBlocks: telemetry.watchStep("insert", (table, blocks, range) =>
      target.insertBlocks(table, blocks, range),
    ),
    resolveCalls: telemetry.watchStep("resolve", (batch) => target.resolveCalls(batch)),
    markBuckets: telemetry.watchStep("mark", (buckets, sequence) =>
      target.markBuckets(buckets, sequence),
    ),
  };
}

function observeInsert(event: InsertEvent, parts: InsertParts): void {
  const { log, wal, telemetry } = parts;
  const { metrics } = telemetry;
  switch (event.kind) {
    case "inserted":
      telemetry.noteBatch(event.rows, null);
      metrics.insert_rows.observe(event.rows);
      metrics.inserted_rows.inc(event.rows);
      metrics.insert_duration.observe(event.duration_ms / 1000);
      parts.onInserted(event.duration_ms);
      break;
    case "failed":
      telemetry.noteBatch(0, event.code);
      metrics.insert_failures.inc({ remedy: event.remedy });
      tellFailure(log, event);
      break;
    case "set_aside":
      metrics.set_aside_records.inc();
      wal.countSetAside(1);
      log.error(
        { sequence: event.sequence, code: event.code },
        `a record was set aside, see "spanledger dead-letter list": ${event.message}`,
      );
      break;
  }
}

/** What needs a person is an error and says what to do. */
function tellFailure(log: Log, event: InsertEvent & { kind: "failed" }): void {
  const { retry_ms, code, remedy, message, advice } = event;
  const text = `insert failed, trying again: ${message}`;
  if (remedy === "alarm") log.error({ retry_ms, code }, `${text} ${advice}`);
  else log.warn({ retry_ms, code, remedy }, text);
}

/** Gauges of the folder, read when metrics are asked for. */
function watchDeadLetters(letters: DeadLetters, metrics: CollectorMetrics): void {
  const collect = async (): Promise<void> => {
    try {
      const { records, bytes } = await letters.use();
      metrics.dead_letter_records.set(records);
      metrics.dead_letter_bytes.set(bytes);
    } catch {
      // A folder that cannot be read must not take the other metrics away.
      metrics.dead_letter_records.set(Number.NaN);
    }
  };
  Object.assign(metrics.dead_letter_records, { collect });
}
