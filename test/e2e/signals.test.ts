/**
 * Clients that tell one call by several signals, through the running server: the ledger has each call
 * once, as `explain` makes it of the same bodies, and the metrics are kept beside it for comparison.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { explainBodies } from "../../cli/explain.ts";
import { openEmbedded } from "../../clickhouse/embedded.ts";
import { DEFAULT_ENGINE_LIMITS } from "../../clickhouse/engine.ts";
import type { CallsAnswer } from "../../schemas/api.ts";
import type { CallRow } from "../../schemas/call.ts";
import { eventually, makeDataDirectory, type Program, startServe } from "../support/program.ts";

const CAPTURES = fileURLToPath(new URL("../captures/", import.meta.url));
const CLIENTS = ["claude-code-2.1.329", "codex-cli-0.169.0", "gemini-cli-0.61.0"];

interface Body {
  readonly signal: "traces" | "logs" | "metrics";
  readonly content_type: string;
  readonly bytes: Uint8Array;
}

/** The part of expect.json that is used: what the provider's own log says. */
interface Expectation {
  readonly billable_calls: number;
  readonly calls: readonly {
    readonly billable: boolean;
    readonly tokens: Readonly<Record<string, number>> | null;
  }[];
}

interface Truth extends Expectation {
  readonly client: string;
  /** Whether a body of metrics was captured. */
  readonly has_metrics: boolean;
}

const filesOf = (client: string) => readdirSync(`${CAPTURES}${client}`).toSorted();

const bodies: readonly Body[] = CLIENTS.flatMap((client) =>
  filesOf(client)
    .filter((file) => !file.endsWith(".expect.json"))
    .map((file) => ({
      signal: /\.(logs|metrics)\./.exec(file)?.[1] as "logs" | "metrics" | undefined,
      content_type: file.endsWith(".pb") ? "application/x-protobuf" : "application/json",
      bytes: readFileSync(join(CAPTURES, client, file)),
    }))
    .map((body) => ({ ...body, signal: body.signal ?? "traces" })),
);

const truths: readonly Truth[] = CLIENTS.flatMap((client) =>
  filesOf(client)
    .filter((file) => file.endsWith(".expect.json"))
    .map((file) => ({
      ...(JSON.parse(readFileSync(join(CAPTURES, client, file), "utf8")) as Expectation),
      client,
      has_metrics: filesOf(client).some((other) =>
        other.startsWith(file.replace("expect.json", "metrics.")),
      ),
    })),
);

/** Sum of a class of tokens over the calls that the provider billed and metrics were captured of. */
function billedTokens(client: string, ...classes: string[]): number {
  return truths
    .filter((truth) => truth.client === client && truth.has_metrics)
    .flatMap(({ calls }) => calls.filter(({ billable }) => billable))
    .flatMap(({ tokens }) => classes.map((name) => tokens?.[name] ?? 0))
    .reduce((sum, count) => sum + count, 0);
}

const data = makeDataDirectory();
let program: Program;

beforeAll(async () => {
  program = await startServe(data.path, { SPANLEDGER_TRACE_SETTLE_S: "1" });
});
afterAll(async () => {
  await program.end("SIGTERM");
  data.remove();
});

async function post(to: Program, { signal, bytes, content_type }: Body): Promise<void> {
  const response = await fetch(`${to.otlp}/v1/${signal}`, {
    method: "POST",
    headers: { "content-type": content_type, "content-encoding": "gzip" },
    body: gzipSync(bytes),
  });
  const answer = Buffer.from(await response.arrayBuffer()).toString();
  const empty = content_type.endsWith("json") ? "{}" : "";
  expect([signal, response.status, answer]).toEqual([signal, 200, empty]);
}

const byId = (a: CallRow, b: CallRow) => (a.call_id < b.call_id ? -1 : 1);

async function readLedger(from: Program): Promise<CallRow[]> {
  const response = await fetch(`${from.api}/v1/calls?from=2026-01-01&limit=1000`);
  const { calls } = (await response.json()) as CallsAnswer;
  return calls.sort(byId);
}

/** Waits until the ledger is what is expected; tells the difference when it does not become so. */
async function expectLedger(from: Program): Promise<void> {
  const passes = (rows: CallRow[]) => JSON.stringify(rows) === JSON.stringify(expected);
  await eventually(() => readLedger(from), passes, 20_000).catch(() => {});
  expect(await readLedger(from)).toEqual(expected);
}

/** Value of a counter of the program for a signal. */
async function readCounter(name: string, signal: string): Promise<number> {
  const text = await (await fetch(`${program.api}/metrics`)).text();
  const line = text.split("\n").find((one) => one.startsWith(`${name}{signal="${signal}"}`));
  return Number(line?.split(" ").at(-1) ?? Number.NaN);
}

const explained = explainBodies(bodies.map(({ bytes }) => bytes));
const expected = explained.calls.toSorted(byId);

test("explain counts what the provider billed, whatever signals tell of it", () => {
  const billed = truths.reduce((sum, { billable_calls }) => sum + billable_calls, 0);
  expect(billed).toBe(5);
  expect(expected.filter(({ status }) => status === "ok")).toHaveLength(billed);
  expect(explained.rejected_items).toBe(0);
});

test("the server has the rows that explain makes, also when everything is sent again", async () => {
  expect(new Set(bodies.map(({ signal }) => signal)).size).toBe(3);
  expect(expected.length).toBeGreaterThan(5);
  for (const body of bodies) await post(program, body);
  await expectLedger(program);
  // Everything again, backwards, as a sender does whose answers were lost.
  for (const body of bodies.toReversed()) await post(program, body);
  await new Promise((resolve) => {
    setTimeout(resolve, 2_000);
  });
  await expectLedger(program);
});

test("the server has them too when each body comes alone and metrics and logs come first", async () => {
  const other_data = makeDataDirectory();
  const other = await startServe(other_data.path, {
    SPANLEDGER_TRACE_SETTLE_S: "1",
    SPANLEDGER_INSERT_MAX_AGE_MS: "1",
  });
  try {
    const order = ["metrics", "logs", "traces"];
    const ordered = bodies.toSorted((a, b) => order.indexOf(a.signal) - order.indexOf(b.signal));
    for (const body of ordered) {
      await post(other, body);
      await new Promise((resolve) => {
        setTimeout(resolve, 50);
      });
    }
    await expectLedger(other);
  } finally {
    await other.end("SIGTERM");
    other_data.remove();
  }
});

test("the program tells what it took and ignored, by signal", async () => {
  for (const signal of ["traces", "logs", "metrics"]) {
    expect(await readCounter("spanledger_accepted_items_total", signal)).toBeGreaterThan(0);
  }
  const logs = await readCounter("spanledger_ignored_items_total", "logs");
  const metrics = await readCounter("spanledger_ignored_items_total", "metrics");
  // Everything was sent twice.
  expect(logs + metrics).toBe(2 * explained.ignored_items);
});

test("the metrics are kept, each point once, and say what the provider billed", async () => {
  await program.end("SIGTERM");
  const engine = await openEmbedded({
    directory: join(data.path, "clickhouse"),
    database: "spanledger",
    limits: DEFAULT_ENGINE_LIMITS,
    memory_bytes: 1024 ** 3,
    read_sessions: 1,
  });
  try {
    const rows = await engine.query<{ metric: string; token_class: string; amount: string }>(
      `SELECT metric, token_class, toString(round(sum(amount), 6)) AS amount
       FROM usage_metrics WHERE kind != 'calls' GROUP BY metric, token_class`,
    );
    const amounts = new Map(rows.map((row) => [`${row.metric} ${row.token_class}`, row.amount]));
    const claude = (...classes: string[]) =>
      String(billedTokens("claude-code-2.1.329", ...classes));
    const codex = (...classes: string[]) => String(billedTokens("codex-cli-0.169.0", ...classes));
    expect(amounts).toEqual(
      new Map([
        ["claude_code.token.usage input", claude("input_uncached")],
        ["claude_code.token.usage cache_read", claude("cache_read")],
        ["claude_code.token.usage cache_write", claude("cache_write")],
        ["claude_code.token.usage output", claude("output_total")],
        // 25 x 3 + 2000 x 0.3 + 200 x 3.75 + 100 x 6 + 60 x 15 dollars per million, three times
        ["claude_code.cost.usage ", "0.008775"],
        ["codex.turn.token_usage input", codex("input_total")],
        ["codex.turn.token_usage cache_read", codex("cache_read")],
        ["codex.turn.token_usage cache_write", codex("cache_write")],
        ["codex.turn.token_usage output", codex("output_total")],
        ["codex.turn.token_usage reasoning", codex("reasoning_output")],
        ["codex.turn.token_usage total", codex("input_total", "output_total")],
      ]),
    );
    expect(amounts.get("claude_code.token.usage cache_read")).toBe("6000");
    const [stored] = await engine.query<{ points: string }>(
      "SELECT toString(count()) AS points FROM usage_metric_points FINAL",
    );
    expect(stored?.points).toBe(String(explained.metric_points));
  } finally {
    await engine.close();
  }
});
