/**
 * The engine bench: bodies into the embedded engine until every span is
 * inserted, by our way (log, Native blocks, insert loop) and by the usual one (JSONEachRow files).
 *
 * Invariant: after each sample the table holds every span sent, once, with the content that the
 * other variant's table has.
 */
import { mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  DEFAULT_ENGINE_MEMORY_BYTES,
  DEFAULT_READ_SESSIONS,
  openEmbedded,
} from "../clickhouse/embedded.ts";
import { DEFAULT_ENGINE_LIMITS, type Engine, quote } from "../clickhouse/engine.ts";
import { migrate } from "../clickhouse/migrate.ts";
import { loadQuery } from "../clickhouse/queries.ts";
import { DEFAULT_BATCH_BYTES, type InsertLoop, startInsertLoop } from "../collector/insert/loop.ts";
import { Resolver } from "../collector/ownership/resolver.ts";
import { countCalls, MULTI_SIGNAL_DIALECTS } from "../collector/pipeline.ts";
import type { Wal } from "../collector/wal/wal.ts";
import { SPAN_COLUMNS } from "../schemas/columns.ts";
import { BUCKET_S } from "../schemas/record.ts";
import { parseSettings, type Settings } from "../schemas/settings.ts";
import { BASELINE_STRUCTURE, writeProtobufRows } from "./baseline.ts";
import { makeBodies, SPANS_PER_BODY } from "./bodies.ts";
import { exportBody, makeBenchPipeline, openBenchWal, sendAll } from "./durable.ts";
import {
  type BenchOptions,
  type BenchResult,
  measure,
  type Variant,
  type Work,
} from "./measure.ts";

type Bodies = readonly Uint8Array<ArrayBuffer>[];

/** Merges are over when none ran for this long, ms. */
const QUIET_MS = 400;
const MAX_SETTLE_MS = 60_000;

/** The settings a collector has when nothing is set. */
function defaultSettings(): Settings {
  const parsed = parseSettings({});
  if ("problems" in parsed) throw new Error(parsed.problems.join("; "));
  return parsed.settings;
}

/** Opens an embedded engine with the newest schema and the default limits in the directory. */
export async function openBenchEngine(directory: string): Promise<Engine> {
  const engine = await openEmbedded({
    directory,
    database: "spanledger",
    limits: DEFAULT_ENGINE_LIMITS,
    memory_bytes: DEFAULT_ENGINE_MEMORY_BYTES,
    read_sessions: DEFAULT_READ_SESSIONS,
  });
  await migrate(engine);
  return engine;
}

/** The one row of a query. */
export async function queryRow<Row>(engine: Engine, sql: string): Promise<Row> {
  const [row] = await engine.query<Row>(sql);
  if (row === undefined) throw new Error(`no row from ${sql}`);
  return row;
}

/** Version of the engine. */
export async function readVersion(engine: Engine): Promise<string> {
  return (await queryRow<{ version: string }>(engine, "SELECT version() AS version")).version;
}

/** Waits until the engine has merged what it wants to merge. */
export async function waitForMerges(engine: Engine): Promise<void> {
  const start_ms = performance.now();
  let quiet_since_ms = start_ms;
  for (;;) {
    const sql = "SELECT toUInt32(count()) AS merges FROM system.merges";
    const { merges } = await queryRow<{ merges: number }>(engine, sql);
    const now_ms = performance.now();
    if (merges > 0) quiet_since_ms = now_ms;
    if (now_ms - quiet_since_ms >= QUIET_MS) return;
    if (now_ms - start_ms > MAX_SETTLE_MS) throw new Error("the engine does not stop merging");
    await sleep(50);
  }
}

/** Bodies: just below two inserts of the default size. */
const BODIES = { full: 390, small: 4 };

/** Runs the bench: both ways in one process. Throws when the tables do not hold the same. */
export async function runEngine(options: BenchOptions): Promise<BenchResult> {
  const bodies = makeBodies(BODIES[options.small ? "small" : "full"]);
  const directory = join(options.directory, "engine");
  await mkdir(directory);
  const engine = await openBenchEngine(join(directory, "clickhouse"));
  const wal = await openBenchWal(join(directory, "wal"));
  try {
    await engine.command("CREATE TABLE spans_of_baseline AS spans");
    const variants = [baselineVariant(engine, bodies, directory), ourVariant(engine, wal, bodies)];
    const group = await measure(variants, {
      name: "engine",
      unit: "span",
      runs: options.small ? 1 : 5,
      sample_ms: 1, // one pass, which takes seconds at full size
      baseline: "protobufjs_insert",
      tell: options.tell,
    });
    const facts = { bodies: bodies.length, spans_per_body: SPANS_PER_BODY };
    return { name: "engine", clickhouse: await readVersion(engine), facts, groups: [group] };
  } finally {
    await engine.close();
    await wal.close();
  }
}

function baselineVariant(engine: Engine, bodies: Bodies, directory: string): Variant {
  return tableVariant(engine, bodies, {
    name: "protobufjs_insert",
    description: "baseline: protobufjs, rows, JSONEachRow file, INSERT SELECT FROM file",
    table: "spans_of_baseline",
    send: () => sendRows(engine, bodies, directory),
  });
}

function ourVariant(engine: Engine, wal: Wal, bodies: Bodies): Variant {
  return tableVariant(engine, bodies, {
    name: "wal_insert",
    description: "ours: pipeline, fsynced log, insert loop, counting rules, marks of the buckets",
    table: "spans",
    send: (record) => sendThroughLog(engine, wal, bodies, record),
  });
}

type Figures = Readonly<Record<string, number>>;

/** A variant that fills a table, which is checked and emptied after each sample. */
function tableVariant(
  engine: Engine,
  bodies: Bodies,
  job: {
    readonly name: string;
    readonly description: string;
    readonly table: string;
    readonly send: (record: (latency_ms: number) => void) => Promise<Figures>;
  },
): Variant {
  const { name, description, table, send } = job;
  const units = bodies.length * SPANS_PER_BODY;
  const bytes = bodies.reduce((sum, body) => sum + body.length, 0);
  let proven = "";
  return {
    name,
    description,
    async verify() {
      await send(() => {});
      proven = await hashTable(engine, table, units);
      return { hash: proven, agrees_on: "spans in the table" };
    },
    async run(record): Promise<Work> {
      return { units, bytes, figures: await send(record) };
    },
    settle: () => waitForMerges(engine),
    async reset() {
      const hash = await hashTable(engine, table, units);
      if (hash !== proven) throw new Error(`${name}: the table is not what it was the first time`);
      const { size } = await queryRow<{ size: number }>(
        engine,
        `SELECT toFloat64(sum(bytes_on_disk)) AS size FROM system.parts
         WHERE active AND database = currentDatabase() AND table = ${quote(table)}`,
      );
      await engine.command(`TRUNCATE TABLE ${table}`);
      await engine.command("TRUNCATE TABLE call_decisions");
      await engine.command("TRUNCATE TABLE rollup_dirty");
      await waitForMerges(engine);
      return { disk_bytes_per_span: size / units };
    },
  };
}

/**
 * Hash of the rows in any order, over the columns that both variants fill. Throws unless the table
 * has that many.
 */
async function hashTable(engine: Engine, table: string, rows_expected: number): Promise<string> {
  const { rows, hash } = await queryRow<{ rows: string; hash: string }>(
    engine,
    `SELECT toString(count()) AS rows, hex(sum(sipHash64(
       project_id, toUnixTimestamp64Nano(ts), trace_id, span_id, parent_span_id, name, kind,
       toString(status), duration_ns, service_name, scope_name, scope_version,
       toString(mapSort(attributes)), toString(mapSort(resource_attributes)),
       toString(arrayMap(time -> toUnixTimestamp64Nano(time), event_times)), toString(event_names)
     ))) AS hash
     FROM ${table} FINAL`,
  );
  if (Number(rows) !== rows_expected) {
    throw new Error(`${rows_expected} spans were acknowledged and ${rows} are in ${table}`);
  }
  return hash;
}

/** Our way: returns when the insert loop has released everything. */
async function sendThroughLog(
  engine: Engine,
  wal: Wal,
  bodies: Bodies,
  record: (latency_ms: number) => void,
): Promise<Figures> {
  const settings = defaultSettings();
  const start_ms = performance.now();
  let inserts = 0;
  // Once everything is acknowledged the last batch counts as old, so that a sample does not end
  // with the pause that a collector makes when traffic stops.
  let is_sent = false;
  let tellInserted: () => void = () => {};
  const resolver = new Resolver(engine, {
    decide: countCalls,
    session_dialects: MULTI_SIGNAL_DIALECTS,
    settle_ms: settings.SPANLEDGER_TRACE_SETTLE_S * 1000,
    window_s: settings.SPANLEDGER_TRACE_WINDOW_S,
    now_ms: Date.now,
    observe: () => {},
  });
  const loop: InsertLoop = startInsertLoop(
    wal,
    {
      insertBlocks: (_table, blocks) => engine.insertNative("spans", SPAN_COLUMNS, blocks),
      resolveCalls: ({ buckets, first_sequence, last_sequence }) => {
        const starts = buckets.map(([, start_s]) => start_s);
        const from_s = Math.min(...starts);
        const to_s = Math.max(...starts) + BUCKET_S;
        const projects = ["default"];
        return resolver.resolveBatch({ projects, from_s, to_s, first_sequence, last_sequence });
      },
      markBuckets: (buckets, sequence) =>
        engine.command(
          loadQuery("mark_buckets"),
          {
            projects: buckets.map(([project]) => project),
            starts: buckets.map(([, start_s]) => start_s),
            writer_id: wal.writer_id,
            sequence,
          },
          "insert",
        ),
    },
    wal.stats().released_sequence,
    {
      max_rows: settings.SPANLEDGER_INSERT_MAX_ROWS,
      max_age_ms: settings.SPANLEDGER_INSERT_MAX_AGE_MS,
      max_bytes: DEFAULT_BATCH_BYTES,
      now_ms: () => Date.now() + (is_sent ? settings.SPANLEDGER_INSERT_MAX_AGE_MS : 0),
      setAside: (_record, reason) => Promise.reject(new Error(reason)),
      observe(event) {
        if (event.kind !== "inserted") throw new Error(event.message);
        inserts += 1;
        tellInserted();
      },
    },
  );
  const pipeline = makeBenchPipeline(wal, () => loop.wake());
  await sendAll(bodies, (body) => exportBody(pipeline, body), record);
  const acknowledged_ms = performance.now() - start_ms;
  is_sent = true;
  while (loop.released() < wal.stats().synced_sequence) {
    const inserted = new Promise<void>((resolve) => (tellInserted = resolve));
    loop.wake();
    await inserted;
  }
  await loop.stop();
  const spans = bodies.length * SPANS_PER_BODY;
  return { acknowledged_per_s: (spans / acknowledged_ms) * 1_000, inserts };
}

/** Spans of one INSERT of the usual way: what ours has at most. */
const BATCH_BODIES = Math.floor(defaultSettings().SPANLEDGER_INSERT_MAX_ROWS / SPANS_PER_BODY);

/** The usual way: one batch is inserted while the next one is written. */
async function sendRows(engine: Engine, bodies: Bodies, directory: string): Promise<Figures> {
  let inserting = Promise.resolve();
  let inserts = 0;
  for (let start = 0; start < bodies.length; start += BATCH_BODIES) {
    const file = join(directory, `rows-${start}.json`);
    await writeRowsFile(file, bodies.slice(start, start + BATCH_BODIES));
    await inserting;
    inserting = insertRowsFile(engine, file);
    inserts += 1;
  }
  await inserting;
  return { inserts };
}

/** Writes the rows of the bodies and syncs them: a sender was told that they are safe. */
async function writeRowsFile(path: string, bodies: Bodies): Promise<void> {
  const file = await open(path, "w");
  try {
    for (const body of bodies) await file.write(writeProtobufRows(body));
    await file.datasync();
  } finally {
    await file.close();
  }
}

async function insertRowsFile(engine: Engine, path: string): Promise<void> {
  await engine.command(
    `INSERT INTO spans_of_baseline (
       project_id, ts, trace_id, span_id, parent_span_id, name, kind, status, status_message,
       duration_ns, service_name, scope_name, scope_version, attributes, resource_attributes,
       event_times, event_names, event_attributes
     )
     SELECT
       project_id, fromUnixTimestamp64Nano(ts, 'UTC'), unhex(trace_id), unhex(span_id),
       unhex(parent_span_id), name, kind, status, status_message, duration_ns, service_name,
       scope_name, scope_version, attributes, resource_attributes,
       arrayMap(time -> fromUnixTimestamp64Nano(time, 'UTC'), event_times), event_names,
       event_attributes
     FROM file(${quote(path)}, 'JSONEachRow', ${quote(BASELINE_STRUCTURE)})`,
    {},
    "insert",
  );
  await rm(path);
}
