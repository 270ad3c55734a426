/**
 * All of a ledger that a test compares with what was sent: items, and the groups of the calls, of the
 * views and of the rollup tables. As a program it opens the data directory given as its argument, that
 * no other process uses, and prints the dump as JSON.
 *
 * Invariant: what is compared is read with plain SQL; the only code of the product here is the
 * recompute, which is asked to catch up with the marks that it finds.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { openEmbedded } from "../../clickhouse/embedded.ts";
import { DEFAULT_ENGINE_LIMITS, type Engine } from "../../clickhouse/engine.ts";
import { Recompute } from "../../collector/recompute/recompute.ts";

/** Calls, unpriced calls, tokens by class, cost in picodollars and duration of each group. */
export type Groups = Readonly<Record<string, readonly string[]>>;

/** The rollup tables behind the views. */
export const ROLLUP_SOURCES = {
  usage_15m: "usage_15m_rollup",
  usage_day: "usage_day_rollup",
  usage_user_day: "usage_user_day_rollup",
} as const;

export type GroupedBy = "calls" | keyof typeof ROLLUP_SOURCES;

export interface LedgerDump {
  /** Ids as in `ItemTruth`; an id that is there twice is twice in the list. */
  readonly items: {
    readonly traces: string[];
    readonly logs: string[];
    readonly metrics: string[];
  };
  /** Sum of the values of all data points. */
  readonly point_sum: string;
  /** From the views, with what is dirty taken live. */
  readonly live: Readonly<Record<GroupedBy, Groups>>;
  /** The same when nothing is dirty any more, and the rollup tables themselves. */
  readonly clean: Readonly<Record<GroupedBy, Groups>>;
  readonly rollups: Readonly<Record<keyof typeof ROLLUP_SOURCES, Groups>>;
  /** Buckets that stay dirty although the recompute had nothing more to do. */
  readonly dirty: number;
}

const DAY = "toString(toDate(day))";
const BUCKET = "toString(toUnixTimestamp(toDateTime(bucket, 'UTC')))";
const MODEL = "if(response_model = '', request_model, response_model)";

/** The dimensions in the order of the keys of `Groups`. */
const KEYS: Readonly<Record<GroupedBy, string>> = {
  calls:
    "toString(toUnixTimestamp(toStartOfFifteenMinutes(ts))), toString(provider), toString(model), " +
    "toString(environment), toString(service_name), toString(agent_name), user_id",
  usage_15m: `${BUCKET}, toString(provider), toString(${MODEL}), toString(environment)`,
  usage_day: `${DAY}, toString(provider), toString(${MODEL}), toString(environment), toString(service_name), toString(agent_name)`,
  usage_user_day: `${DAY}, user_id`,
};

const CLASSES = ["input_uncached", "cache_read", "output_text"];
const OTHER_CLASSES = [
  "cache_write_5m",
  "cache_write_1h",
  "cache_write",
  "output_reasoning",
  "input_audio",
  "output_audio",
  "input_image",
  "output_image",
];
const COSTS = [...CLASSES, ...OTHER_CLASSES].map((name) => `sum(toDecimal128(t.cost_${name}, 12))`);

function sumsOf(source: GroupedBy): string[] {
  const calls =
    source === "calls"
      ? ["count()", "countIf(t.cost_status != 'priced')"]
      : ["sum(t.calls)", "sum(t.calls_unpriced)"];
  const duration = source === "calls" ? "sum(t.duration_ns)" : "sum(t.duration_ns_sum)";
  return [
    ...calls,
    ...CLASSES.map((name) => `sum(t.tokens_${name})`),
    OTHER_CLASSES.map((name) => `sum(t.tokens_${name})`).join(" + "),
    `toInt128((${COSTS.join(" + ")}) * 1000000000000)`,
    ...(source === "usage_user_day" ? [] : [duration]),
  ];
}

async function readGroups(engine: Engine, by: GroupedBy, from: string): Promise<Groups> {
  const sums = sumsOf(by).map((sum) => `toString(${sum})`);
  const rows = await engine.query<{ k: string[]; v: string[] }>(
    `SELECT array(${KEYS[by]}) AS k, array(${sums.join(", ")}) AS v FROM (SELECT * FROM ${from}) AS t GROUP BY k`,
  );
  // A group without calls is none.
  return Object.fromEntries(
    rows.flatMap(({ k, v }) => (v[0] === "0" ? [] : [[k.join("|"), v] as const])),
  );
}

async function readViews(engine: Engine): Promise<Record<GroupedBy, Groups>> {
  return {
    calls: await readGroups(engine, "calls", "calls"),
    usage_15m: await readGroups(engine, "usage_15m", "usage_15m"),
    usage_day: await readGroups(engine, "usage_day", "usage_day"),
    usage_user_day: await readGroups(engine, "usage_user_day", "usage_user_day"),
  };
}

async function readRollups(engine: Engine): Promise<LedgerDump["rollups"]> {
  const read = (by: keyof typeof ROLLUP_SOURCES) =>
    readGroups(engine, by, `${ROLLUP_SOURCES[by]} FINAL WHERE is_deleted = 0`);
  return {
    usage_15m: await read("usage_15m"),
    usage_day: await read("usage_day"),
    usage_user_day: await read("usage_user_day"),
  };
}

async function readIds(engine: Engine, sql: string): Promise<string[]> {
  const [row] = await engine.query<{ ids: string[] }>(`SELECT groupArray(id) AS ids FROM (${sql})`);
  return row?.ids ?? [];
}

/** Reads the ledger, then lets the rollups catch up and reads it again. */
export async function dumpLedger(engine: Engine): Promise<LedgerDump> {
  const spans = "FROM spans FINAL WHERE signal";
  const items = {
    traces: await readIds(engine, `SELECT lower(hex(span_id)) AS id ${spans} = 'span'`),
    logs: await readIds(
      engine,
      `SELECT toString(toUnixTimestamp64Nano(ts)) AS id ${spans} = 'log'`,
    ),
    metrics: await readIds(engine, "SELECT session_id AS id FROM usage_metric_points FINAL"),
  };
  const [points] = await engine.query<{ total: string }>(
    "SELECT toString(toUInt64(sum(value))) AS total FROM usage_metric_points FINAL",
  );
  const live = await readViews(engine);
  const recompute = new Recompute(engine, {
    interval_ms: 10,
    max_buckets: 20_000,
    day_interval_ms: 0,
    now_ms: Date.now,
    observe: (event) => {
      if (event.kind === "failed") throw new Error(event.message);
    },
  });
  await recompute.drain();
  const [dirty] = await engine.query<{ count: string }>(
    "SELECT toString(count()) AS count FROM rollup_dirty FINAL WHERE marked > least(done_15m, done_day)",
  );
  return {
    items,
    point_sum: points?.total ?? "0",
    live,
    clean: await readViews(engine),
    rollups: await readRollups(engine),
    dirty: Number(dirty?.count ?? 0),
  };
}

/** The ledger of a directory that nobody uses, read by a process of its own. */
export async function readDirectory(directory: string): Promise<LedgerDump> {
  const child = spawn(process.execPath, [import.meta.filename, directory], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  return JSON.parse(await text(child.stdout)) as LedgerDump;
}

if (import.meta.main) {
  const engine = await openEmbedded({
    directory: join(process.argv[2] ?? "", "clickhouse"),
    database: "spanledger",
    limits: DEFAULT_ENGINE_LIMITS,
    memory_bytes: 2 * 1024 ** 3,
    read_sessions: 2,
  });
  const dump = await dumpLedger(engine);
  await engine.close();
  process.stdout.write(JSON.stringify(dump));
}
