/**
 * A ledger for the tests of the dashboards: odd random calls of 30 days and of the last hour, priced from
 * a small price book, with half of the rollups computed; and some of everything else that panels show.
 *
 * Invariant: every table that a panel reads has rows in the last hour and in the last 30 days, unless the
 * panel says why it may have none.
 */
import type { Engine } from "../clickhouse/engine.ts";
import { Recompute } from "../collector/recompute/recompute.ts";
import type { PriceLister, UnitPrices } from "../query-api/prices.ts";
import { writeUnitPrices } from "../query-api/unit-prices.ts";
import { Attributes, type Span } from "../schemas/span.ts";
import { CLASS_INDEX, TOKEN_CLASSES } from "../schemas/tokens.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { insertSpans } from "../test/support/ledger.ts";
import { makeRandomSpan } from "../test/support/random-span.ts";
import { makeRandom, type Random } from "../test/support/random.ts";
import type { VariableValues } from "./macros.ts";

/** The clock of the tests: a Friday, at no whole minute. */
export const NOW_MS = Date.UTC(2026, 9, 23, 14, 37, 21, 417);
export const HOUR_MS = 3_600_000;
export const DAY_MS = 86_400_000;

/** Days before now that have calls: each is a partition and costs time. */
const DAYS_AGO = [0, 1, 2, 9, 28];
const CALLS = 320;
/** Those of the last hour, at least. */
const CALLS_OF_HOUR = 90;

/** Picodollars of a token of the first class; those of the others follow from it. */
const PRICE_IDS = [
  ["openai/gpt-4o-mini/standard/initial", 150_000n],
  ["anthropic/claude-sonnet-4/standard/2026-01-01", 3_000_000n],
  ["anthropic/b,c/batch/2026-01-01", 1_500_000n],
  ["p'q/r/standard/initial", 77_777n],
] as const;

/** A small price book; the last row has no price for cached tokens. */
export const UNIT_PRICES: readonly UnitPrices[] = PRICE_IDS.map(([price_id, first], row) => ({
  price_id,
  tier: "standard",
  region: "",
  input_tokens_over: 0,
  picodollars_per_token: TOKEN_CLASSES.map((name, index) => {
    if (row === 3 && name === "cache_read") return null;
    // The third row says nothing of uncached tokens, so nobody knows what its caches save.
    if (row === 2 && name === "input_uncached") return null;
    return name.startsWith("cache_read") ? first / 10n : first + BigInt(index) * 7_919n;
  }),
}));

/** The price book as the API asks it. */
export const LISTER: PriceLister = {
  priceOf: (price_id, name) =>
    UNIT_PRICES.find((row) => row.price_id === price_id)?.picodollars_per_token[
      CLASS_INDEX[name]
    ] ?? null,
  findRow: (price_id) => UNIT_PRICES.find((row) => row.price_id === price_id) ?? null,
  listPrices: () => [],
  hasModel: () => false,
  listModels: () => [],
};

const SERVICES = ["checkout", "search", "o'brien's service", ""];
const USERS = ["ann", "o'brien", "user-3", "user-4", ""];
const MODELS = ["gpt-4o-mini", "claude-sonnet-4", "it's", ""];

/** A random call with costs of its price, so that what caches save can be told. */
function makeCall(random: Random, project_id: string, start_ms: number): Span {
  const start_ns = BigInt(start_ms) * 1_000_000n + BigInt(random.whole(1_000_000));
  const span = makeRandomSpan(random, project_id, start_ns);
  span.service_name = random.pick(SERVICES);
  span.user_id = random.pick(USERS);
  span.request_model = random.pick(MODELS);
  span.response_model = random.chance(0.3) ? "" : span.request_model;
  span.provider = random.pick(["openai", "anthropic", ""]);
  span.environment = random.pick(["production", "staging", ""]);
  span.duration_ns = BigInt(Math.floor(2 ** (25 + random.next() * 10)));
  if (span.status === "error") {
    span.error_type = random.pick(["timeout", "rate_limit_exceeded", "it's broken"]);
    span.http_status = random.pick([429, 500, 504, 0]);
    span.status_message = "too many requests: it's over";
  }
  if (span.price_id === "") return span;
  const row = random.pick(UNIT_PRICES);
  span.price_id = row.price_id;
  span.cost = span.tokens.map((tokens, index) => {
    const price = row.picodollars_per_token[index] ?? null;
    return tokens === null || price === null ? null : BigInt(tokens % 100_000) * price;
  });
  span.tokens = span.tokens.map((tokens) => (tokens === null ? null : tokens % 100_000));
  const isWhole = span.tokens.every(
    (tokens, index) => (tokens === null) === (span.cost[index] === null),
  );
  const isPart = span.cost.some((cost) => cost !== null) || span.cost_fees !== null;
  if (span.cost_status !== "none") {
    span.cost_status = isWhole ? "priced" : isPart ? "partial" : "unpriced";
  }
  if (span.cost_status === "unpriced") span.price_id = "";
  return span;
}

const NOTHING = TOKEN_CLASSES.map(() => null);

/** What spans that are no calls leave out. */
const UNCOUNTED: Partial<Span> = {
  tokens: NOTHING,
  cost: NOTHING,
  cost_fees: null,
  fee_units: [],
  price_id: "",
  usage_status: "none",
  cost_status: "none",
  provider_calls: null,
  client_cost: null,
  request_model: "",
  response_model: "",
  ttft_ns: null,
  http_status: 0,
};

function makeTool(name: string, fails: boolean): Partial<Span> {
  return {
    ...UNCOUNTED,
    span_class: "tool",
    operation: "execute_tool",
    name: `execute_tool ${name}`,
    duration_ns: 300_000_000n,
    attributes: new Attributes(["gen_ai.tool.name", "gen_ai.tool.type"], [name, "function"]),
    ...(fails ? { status: "error", error_type: "tool_error" } : {}),
  };
}

/** The spans of a run of an agent: how long after its start, and what is said of each. */
const RUN: readonly (readonly [offset_ms: number, Partial<Span>])[] = [
  [100, { span_class: "billable", operation: "chat", streaming: true, ttft_ns: 400_000_000n }],
  [1_500, makeTool("search", false)],
  [2_000, makeTool("it's a tool", true)],
  [2_500, { span_class: "billable", operation: "chat", finish_reason: "length" }],
];

/** Traces of agents: a root, two model calls, two tools of which one fails. */
function makeAgentTraces(random: Random, project_id: string, starts_ms: readonly number[]): Span[] {
  return starts_ms.flatMap((start_ms, run) => {
    const root_id = random.bytes(8);
    const common: Partial<Span> = {
      trace_id: random.bytes(16),
      service_name: "o'brien's service",
      session_id: `run-${run % 5}`,
      agent_name: run % 2 === 0 ? "planner" : "o'brien",
      user_id: "ann",
      dialect: "otel-genai",
    };
    const make = (offset_ms: number, changes: Partial<Span>): Span => ({
      ...makeCall(random, project_id, start_ms + offset_ms),
      start_ns: BigInt(start_ms + offset_ms) * 1_000_000n,
      span_id: random.bytes(8),
      parent_span_id: root_id,
      status: "ok",
      error_type: "",
      ...common,
      ...changes,
    });
    const root = make(0, {
      ...UNCOUNTED,
      span_class: "structure",
      operation: "invoke_agent",
      name: "invoke_agent planner",
      span_id: root_id,
      parent_span_id: new Uint8Array(8),
      duration_ns: 5_000_000_000n,
    });
    return [root, ...RUN.map(([offset_ms, changes]) => make(offset_ms, changes))];
  });
}

/** The ledger, open. */
export interface SeededLedger {
  readonly engine: Engine;
  readonly test_engine: TestEngine;
  /** A trace and a session that have everything. */
  readonly trace_id: string;
  readonly session_id: string;
}

/** What seeds the tables of one concern, beside the calls. */
export type Seed = (engine: Engine, random: Random) => Promise<void>;

/** Opens an engine with the ledger of the projects alpha and beta, and what the seeds add. */
export async function openSeeded(seeds: readonly Seed[] = []): Promise<SeededLedger> {
  const test_engine = await openTestEngine();
  const { engine } = test_engine;
  // The clock of the tests stands; that of the engine would find rows too old and drop them.
  await engine.command("SYSTEM STOP TTL MERGES");
  const random = makeRandom(20_261_023);
  const project = () => (random.chance(0.75) ? "alpha" : "beta");
  const spans = Array.from({ length: CALLS }, () => {
    const days_ago = random.pick(DAYS_AGO) + random.next();
    return makeCall(random, project(), NOW_MS - Math.floor(days_ago * DAY_MS));
  });
  const recent = Array.from({ length: CALLS_OF_HOUR }, () =>
    makeCall(random, project(), NOW_MS - Math.floor(random.next() * HOUR_MS)),
  );
  const starts = Array.from({ length: 8 }, (_, run) =>
    run % 2 === 0 ? NOW_MS - (run + 1) * 300_000 : NOW_MS - run * DAY_MS - 7_000,
  );
  const agents = makeAgentTraces(random, "alpha", starts);
  await insertSpans(engine, spans, 1);
  await computeRollups(engine);
  // What came last is not computed yet, so every source has something of both sides.
  await insertSpans(engine, [...recent, ...agents], 2);
  await writeUnitPrices(engine, UNIT_PRICES, NOW_MS);
  for (const seed of seeds) await seed(engine, random);
  const [first] = agents;
  if (first === undefined) throw new Error("no agent was seeded");
  return {
    engine,
    test_engine,
    trace_id: Buffer.from(first.trace_id).toString("hex"),
    session_id: first.session_id,
  };
}

/** Computes the rollups; what is delivered later is read from the calls. */
export async function computeRollups(engine: Engine): Promise<void> {
  await new Recompute(engine, {
    interval_ms: 10,
    max_buckets: 5_000,
    day_interval_ms: 10_000,
    now_ms: Date.now,
    observe: () => {},
  }).drain();
}

/** What the variables hold: all, except those given. */
export function pick(
  values: Readonly<Record<string, string | readonly string[]>> = {},
): VariableValues {
  const all = ["project", "service", "environment", "provider", "model", "user"];
  return new Map<string, string | readonly string[]>([
    ...all.map((name) => [name, "$__all"] as const),
    ["group_by", "model"],
    ["datasource", "spanledger-clickhouse"],
    ...Object.entries(values),
  ]);
}
