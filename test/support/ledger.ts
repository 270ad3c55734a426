/**
 * A ledger for tests: spans go into a real engine the way the insert loop puts them there, and a
 * plain map remembers what the ledger must then hold.
 *
 * Invariant: of the deliveries of one span (project, start, trace, span id) the last one counts.
 */
import type { Engine, Params } from "../../clickhouse/engine.ts";
import { loadQuery } from "../../clickhouse/queries.ts";
import { makeBlockWriter } from "../../collector/columns/block.ts";
import { SPAN_COLUMNS } from "../../schemas/columns.ts";
import { BUCKET_S } from "../../schemas/record.ts";
import type { Span } from "../../schemas/span.ts";

const writer = makeBlockWriter();

/** Inserts a block of spans, at least one, without telling the rollups. */
export async function insertUnmarked(
  engine: Engine,
  spans: readonly Span[],
  sequence: number,
): Promise<void> {
  const block = writer.encode(spans, { ingest_seq: sequence, ingested_ms: 1_795_225_706_001 });
  await engine.insertNative("spans", SPAN_COLUMNS, [block]);
}

/** Marks the buckets of the spans as changed up to the sequence; spans of no dialect change none. */
export async function markSpans(
  engine: Engine,
  spans: readonly Span[],
  sequence: number,
  writer_id = "test-wal",
): Promise<void> {
  const buckets = new Map<string, readonly [string, number]>();
  for (const span of spans) {
    if (span.dialect === "") continue;
    const start_s = Number(span.start_ns / 1_000_000_000n);
    const bucket_s = start_s - (start_s % BUCKET_S);
    buckets.set(`${bucket_s} ${span.project_id}`, [span.project_id, bucket_s]);
  }
  if (buckets.size === 0) return;
  const pairs = [...buckets.values()];
  await engine.command(
    loadQuery("mark_buckets"),
    {
      projects: pairs.map(([project]) => project),
      starts: pairs.map(([, start_s]) => start_s),
      writer_id,
      sequence,
    },
    "insert",
  );
}

/** Inserts spans as the insert loop does: the rows, then the marks of their buckets. */
export async function insertSpans(
  engine: Engine,
  spans: readonly Span[],
  sequence: number,
  writer_id = "test-wal",
): Promise<void> {
  if (spans.length === 0) return;
  await insertUnmarked(engine, spans, sequence);
  await markSpans(engine, spans, sequence, writer_id);
}

/** Empties every table that spans and rollups are in. */
export async function clearLedger(engine: Engine): Promise<void> {
  for (const table of [
    "spans",
    "usage_15m_rollup",
    "usage_day_rollup",
    "usage_user_day_rollup",
    "rollup_dirty",
  ]) {
    await engine.command(`TRUNCATE TABLE ${table}`);
  }
}

/** An engine of which some methods are others; the rest is asked of the engine given. */
export function replaceMethods(engine: Engine, changes: Partial<Engine>): Engine {
  return {
    kind: engine.kind,
    query: <Row>(sql: string, params?: Params) => engine.query<Row>(sql, params),
    queryBytes: (sql, params, format) => engine.queryBytes(sql, params, format),
    command: (sql, params, lane) => engine.command(sql, params, lane),
    insertNative: (table, columns, blocks, range) =>
      engine.insertNative(table, columns, blocks, range),
    ping: () => engine.ping(),
    close: () => engine.close(),
    ...changes,
  };
}

function identity(span: Span): string {
  const ids = [span.trace_id, span.span_id].map((id) => Buffer.from(id).toString("hex"));
  return [span.start_ns, ...ids, span.project_id].join(" ");
}

/** What the tables must hold after the deliveries told to it. */
export class LedgerModel {
  readonly #spans = new Map<string, Span>();

  /** Takes deliveries in the order of their sequences. */
  deliver(spans: readonly Span[]): void {
    for (const span of spans) this.#spans.set(identity(span), span);
  }

  /** Every span once, in its last delivery. */
  spans(): Span[] {
    return [...this.#spans.values()];
  }

  /** The spans that count as calls. */
  calls(): Span[] {
    return this.spans().filter((span) => span.span_class === "billable");
  }
}
