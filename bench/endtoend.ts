/**
 * The end-to-end bench: the real program `serve` with the embedded engine, the recompute and every other
 * default, and a load generator in another process on the same cores. Every span is new and of now. The
 * load does not depend on the answers; the ledger's answer is compared with the bench's own arithmetic.
 *
 * Three parts: the asked rate for the asked time; half of what was acknowledged then, for the acks of a
 * machine with room; and steps up or down from there to the highest rate that is sustained, each in a
 * directory of its own.
 *
 * Invariant: a run ends only when the answer holds exactly what was acknowledged; otherwise it fails.
 */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { SPANS_PER_BODY } from "./bodies.ts";
import type { LoadReport } from "./load-job.ts";
import type { BenchOptions, BenchResult } from "./measure.ts";
import {
  type Load,
  type Metrics,
  type Program,
  readMemory,
  startLoad,
  startProgram,
  startThreadWatch,
} from "./processes.ts";
import { formatUsd } from "./truth.ts";

const SIZES = {
  full: { bodies: 64, rate: 150_000, duration_s: 60, half_s: 20, step_s: 20, max_steps: 5 },
  small: { bodies: 16, rate: 10_000, duration_s: 1, half_s: 0.5, step_s: 0.5, max_steps: 1 },
};
const IN_FLIGHT = 32;
/** Spans/s and time before anything is measured: the program compiles what it needs. */
const WARM_UP = { full: { rate: 20_000, duration_s: 3 }, small: { rate: 5_000, duration_s: 0.5 } };
/** Settings of the program: its defaults, or what makes a small run short. */
const SETTINGS = {
  full: {},
  small: { SPANLEDGER_TRACE_SETTLE_S: "1", SPANLEDGER_RECOMPUTE_INTERVAL_MS: "100" },
};
/** A rate is held when so much of it is acknowledged ... */
const HELD_SHARE = 0.98;
/** ... and the log is empty so soon after the last answer, s. */
const HELD_DRAIN_S = 5;
/** What the next step is of the last one. */
const STEP_UP = 1.2;
const STEP_DOWN = 0.8;
const ASK_MS = 50;
const MAX_EXACT_MS = 600_000;
const MAX_ROLLUPS_MS = 300_000;
/** Rollups stay caught up for that long before they are believed to be, ms: rounds come every two seconds. */
const CAUGHT_UP_MS = 3_000;
/** The log is inserted at last by then, ms. */
const MAX_DRAIN_MS = 600_000;

/** Runs the bench. Throws when an answer does not become what was sent. */
export async function runEndToEnd(options: BenchOptions): Promise<BenchResult> {
  const size = SIZES[options.small ? "small" : "full"];
  const { rate = size.rate, duration_s = size.duration_s } = options;
  const load = startLoad();
  try {
    await load.prepare({
      bodies: size.bodies,
      transport: "http",
      compression: "identity",
      is_json: false,
      renews: true,
      in_flight: IN_FLIGHT,
    });
    const main = await runPart(load, options, { rate, duration_s, half_s: size.half_s });
    const steps = await findHighest(load, options, size, main);
    return {
      name: "endtoend",
      clickhouse: "embedded",
      facts: { spans_per_body: SPANS_PER_BODY, bodies: size.bodies, in_flight: IN_FLIGHT },
      groups: [],
      tables: [
        { name: "end to end", rows: [main.row, ...main.half] },
        { name: "CPU while the load ran", rows: main.profile },
        { name: "stages behind the log while the load ran", rows: main.stages },
        { name: "steps", rows: steps },
      ],
    };
  } finally {
    await load.stop();
  }
}

type Row = Readonly<Record<string, string | number>>;

interface Part {
  readonly row: Row;
  readonly half: readonly Row[];
  readonly profile: readonly Row[];
  readonly stages: readonly Row[];
  readonly is_held: boolean;
}

interface PartPlan {
  readonly rate: number;
  readonly duration_s: number;
  /** How long half of the rate is kept up afterwards, s; not at all when it is not given. */
  readonly half_s?: number;
}

/** One program from its start to its end. */
async function runPart(load: Load, options: BenchOptions, plan: PartPlan): Promise<Part> {
  const directory = join(options.directory, "serve");
  mkdirSync(directory);
  const size = options.small ? "small" : "full";
  const program = await startProgram("serve", directory, SETTINGS[size]);
  try {
    const ledger = new Ledger(program);
    const address = program.addresses["otlp_http"] ?? "";
    ledger.expect(await load.run({ address, ...WARM_UP[size] }));
    await ledger.waitUntilExact();
    options.tell(`endtoend: ${Math.round(plan.rate)} spans/s for ${plan.duration_s} s`);
    const before = await program.readMetrics();
    const threads = startThreadWatch(program.pid);
    const report = await load.run({ address, rate: plan.rate, duration_s: plan.duration_s });
    const profile = profileRows(threads.stop(), report);
    const stages = stageRows(before, await program.readMetrics(), report);
    const drained = await ledger.waitUntilDrained(report);
    ledger.expect(report);
    const exact = await ledger.waitUntilExact();
    const row = { ...describeLoad(report, plan.rate), ...drained, ...exact };
    const figures = { profile, stages, is_held: isHeld(row) };
    if (plan.half_s === undefined) return { row, half: [], ...figures };
    const rollups = await ledger.waitUntilCaughtUp(report);
    const rate = report.acknowledged_spans / report.duration_s / 2;
    const half = await load.run({ address, rate, duration_s: plan.half_s });
    const half_drained = await ledger.waitUntilDrained(half);
    ledger.expect(half);
    const half_exact = await ledger.waitUntilExact();
    const half_row = { ...describeLoad(half, rate), ...half_drained, ...half_exact };
    const whole = { ...row, ...rollups, ...describeMemory(program) };
    return { row: whole, half: [half_row], ...figures };
  } finally {
    await program.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

function isHeld(row: Row): boolean {
  const share = Number(row["acknowledged_per_s"]) / Number(row["offered_per_s"]);
  return (
    share >= HELD_SHARE && row["failed"] === 0 && Number(row["drained_after_s"]) <= HELD_DRAIN_S
  );
}

function describeLoad(report: LoadReport, rate: number): Row {
  const { acknowledged_spans, duration_s, ack_ms, failed_requests } = report;
  return {
    offered_per_s: Math.round(rate),
    acknowledged_per_s: Math.round(acknowledged_spans / duration_s),
    spans: acknowledged_spans,
    failed: failed_requests,
    ack_p50_ms: ack_ms?.p50 ?? 0,
    ack_p99_ms: ack_ms?.p99 ?? 0,
    ack_max_ms: ack_ms?.max ?? 0,
    load_cores: round(report.cpu_us / 1e6 / duration_s),
  };
}

function describeMemory({ pid }: Program): Row {
  return { peak_rss_mb: Math.round(readMemory(pid).peak_rss_bytes / 1e6) };
}

/** What each kind of thread took while the load ran, the most first. */
function profileRows(threads: ReadonlyMap<string, number>, report: LoadReport): Row[] {
  const program_us = [...threads.values()].reduce((sum, us) => sum + us, 0);
  const all: readonly (readonly [string, number])[] = [
    ...threads,
    ["all of the program", program_us],
    ["load generator", report.cpu_us],
  ];
  return all
    .filter(([, us]) => us > 0)
    .toSorted(([, left], [, right]) => right - left)
    .map(([thread, us]) => ({
      thread,
      cores: round(us / 1e6 / report.duration_s),
      us_per_span: round(us / report.acknowledged_spans),
    }));
}

/** What is done with spans after they are acknowledged, by the histograms of its times. */
const STAGES: Readonly<Record<string, string>> = {
  "insert rows": 'insert_step_duration_seconds_sum{step="insert"}',
  "counting rules": 'insert_step_duration_seconds_sum{step="resolve"}',
  "mark buckets": 'insert_step_duration_seconds_sum{step="mark"}',
  "inserts, whole": "insert_duration_seconds_sum",
  recompute: "recompute_duration_seconds_sum",
  fdatasync: "wal_sync_duration_seconds_sum",
};

/** How long the stages worked while the load ran: waiting for a core is in it. */
function stageRows(before: Metrics, after: Metrics, { duration_s }: LoadReport): Row[] {
  const grown = (name: string): number => (after.get(name) ?? 0) - (before.get(name) ?? 0);
  const rows = grown("inserted_rows_total");
  const inserts = grown("insert_duration_seconds_count");
  return Object.entries(STAGES).map(([stage, name]) => ({
    stage,
    share_of_time: round(grown(name) / duration_s),
    us_per_row: round((grown(name) * 1e6) / Math.max(rows, 1)),
    ...(stage === "inserts, whole" ? { count: inserts, rows: Math.round(rows / inserts) } : {}),
  }));
}

/** Steps from the part that was run to the highest rate that is held; each step is a row. */
async function findHighest(
  load: Load,
  options: BenchOptions,
  size: (typeof SIZES)["full"],
  main: Part,
): Promise<Row[]> {
  const rows: Row[] = [{ ...main.row, held: String(main.is_held) }];
  const factor = main.is_held ? STEP_UP : STEP_DOWN;
  let rate = Number(main.row["offered_per_s"]);
  for (let step = 0; step < size.max_steps; step += 1) {
    rate *= factor;
    const part = await runPart(load, options, { rate, duration_s: size.step_s });
    rows.push({ ...part.row, held: String(part.is_held) });
    if (part.is_held !== main.is_held) break;
  }
  return rows;
}

function round(value: number): number {
  return Number(value.toPrecision(3));
}

/** What the program must answer, and when it does. */
class Ledger {
  readonly #program: Program;
  readonly #from_ms = Date.now() - 300_000;
  #calls = 0;
  #cost_picodollars = 0n;
  #last_answer_ms = 0;
  #rounds = 0;

  constructor(program: Program) {
    this.#program = program;
  }

  /** Adds what a load had acknowledged. */
  expect({ calls, cost_picodollars, last_answer_ms }: LoadReport): void {
    this.#calls += calls;
    this.#cost_picodollars += BigInt(cost_picodollars);
    this.#last_answer_ms = last_answer_ms;
  }

  /** Asks until the answer is exact; throws when it never is. */
  async waitUntilExact(): Promise<Row> {
    const expected = `${this.#calls} calls, ${formatUsd(this.#cost_picodollars)} USD`;
    const url = new URL(`http://${this.#program.addresses["http"]}/v1/usage`);
    url.searchParams.set("measures", "calls,cost_usd");
    url.searchParams.set("from", new Date(this.#from_ms).toISOString());
    for (;;) {
      url.searchParams.set("to", new Date(Date.now() + 300_000).toISOString());
      const asked_ms = now();
      const answer = await fetch(url);
      const text = await answer.text();
      const { totals } = JSON.parse(text) as { totals?: { calls: number; cost_usd: string } };
      const exact_after_s = (now() - this.#last_answer_ms) / 1_000;
      if (`${totals?.calls} calls, ${totals?.cost_usd} USD` === expected) {
        return { exact_after_s: round(exact_after_s), usage_ms: round(now() - asked_ms) };
      }
      if (exact_after_s * 1_000 > MAX_EXACT_MS) {
        throw new Error(`the answer has to be ${expected} and is ${text.slice(0, 500)}`);
      }
      await sleep(ASK_MS);
    }
  }

  /** Waits until the engine has everything that is in the log. */
  async waitUntilDrained({ last_answer_ms }: LoadReport): Promise<Row> {
    const at_end = await this.#program.readMetrics();
    this.#rounds = at_end.get("recompute_duration_seconds_count") ?? 0;
    for (let metrics = at_end; ; metrics = await this.#program.readMetrics()) {
      if (metrics.get("wal_pending_records") === 0) break;
      if (now() - last_answer_ms > MAX_DRAIN_MS) throw new Error("the log is not inserted");
      await sleep(ASK_MS);
    }
    return { drained_after_s: round((now() - last_answer_ms) / 1_000) };
  }

  /** Waits until the rollups hold everything. */
  async waitUntilCaughtUp({ last_answer_ms }: LoadReport): Promise<Row> {
    let since_ms = Infinity;
    for (;;) {
      const metrics = await this.#program.readMetrics();
      const rounds = metrics.get("recompute_duration_seconds_count") ?? 0;
      const is_clean = metrics.get("recompute_dirty_buckets") === 0 && rounds > this.#rounds;
      since_ms = is_clean ? Math.min(since_ms, now()) : Infinity;
      if (now() - since_ms >= CAUGHT_UP_MS) break;
      if (now() - last_answer_ms > MAX_ROLLUPS_MS) {
        return { rollups_after_s: "not in 300" };
      }
      await sleep(ASK_MS * 2);
    }
    return { rollups_after_s: round((since_ms - last_answer_ms) / 1_000) };
  }
}

/** The time, ms, comparable between processes. */
function now(): number {
  return performance.timeOrigin + performance.now();
}
