/**
 * The ledger against real captured telemetry: what the rows say is what the provider billed, in any
 * encoding, batching and order; and the judge itself finds faults that are put in.
 */
import { describe, expect, test } from "vitest";
import { explainBodies } from "../cli/explain.ts";
import type { CallRow } from "../schemas/call.ts";
import { TOKEN_CLASSES, type TokenClass } from "../schemas/tokens.ts";
import {
  type CorpusSignal,
  encodeJson,
  encodeProtobuf,
  type OtlpJson,
  parseBody,
  splitRecords,
} from "./support/corpus-bodies.ts";
import { judgeCase, type Outcome } from "./support/corpus-judge.ts";
import { handCost, handPrice, readPicodollars } from "./support/corpus-prices.ts";
import { formatCase, runCase } from "./support/corpus-report.ts";
import { type CorpusCase, readCorpus, type TrueCall, type Truth } from "./support/corpus.ts";
import { makeRandom } from "./support/random.ts";

const CORPUS = readCorpus();
const SENT = CORPUS.filter(({ bodies }) => bodies.length > 0);

test("the corpus is complete: 171 cases of 29 clients, 156 billed calls", () => {
  expect(CORPUS.length).toBe(171);
  expect(new Set(CORPUS.map(({ client }) => client)).size).toBe(29);
  expect(CORPUS.flatMap(({ truth }) => truth.calls.filter((call) => call.billable)).length).toBe(
    156,
  );
});

describe("every call of a case is a row that is right, or that says what it does not know", () => {
  test.each(CORPUS.map((item) => [item.id, item] as const))("%s", (_id, item) => {
    const judged = runCase(item);
    expect(judged.verdict.outcome === "wrong" ? formatCase(judged) : "").toBe("");
  });
});

interface ParsedBody {
  readonly signal: CorpusSignal;
  readonly body: OtlpJson;
}

function parseCase(item: CorpusCase): ParsedBody[] {
  return item.bodies.map(({ signal, bytes }) => ({ signal, body: parseBody(signal, bytes) }));
}

function explainSorted(bodies: readonly Uint8Array[]): CallRow[] {
  return explainBodies(bodies).calls.sort((a, b) => (a.call_id < b.call_id ? -1 : 1));
}

function shuffle<Item>(items: readonly Item[], seed: number): Item[] {
  const random = makeRandom(seed);
  return items
    .map((item) => ({ item, at: random.next() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

describe("the rows of a case do not depend on how it was sent", () => {
  test.each(SENT.map((item) => [item.id, item] as const))("%s", (_id, item) => {
    const rows = explainSorted(item.bodies.map(({ bytes }) => bytes));
    const parsed = parseCase(item);
    const json = parsed.map(({ body }) => encodeJson(body));
    const protobuf = parsed.map(({ signal, body }) => encodeProtobuf(signal, body));
    expect(explainSorted(json), "as JSON").toEqual(rows);
    expect(explainSorted(protobuf), "as protobuf").toEqual(rows);
    expect(explainSorted([...json, ...protobuf]), "both, a redelivery").toEqual(rows);
    expect(explainSorted(protobuf.toReversed()), "backwards").toEqual(rows);
    const records = parsed.flatMap(({ signal, body }) =>
      splitRecords(signal, body).map((record) => ({ signal, body: record })),
    );
    for (const seed of [1, 2, 3]) {
      const single = shuffle(records, seed).map(({ signal, body }, index) =>
        index % 2 === 0 ? encodeProtobuf(signal, body) : encodeJson(body),
      );
      expect(explainSorted(single), `single records in the order of seed ${seed}`).toEqual(rows);
    }
  });
});

describe("the bodies are converted without a change", () => {
  // Where there is a second body, the encodings are of different exporters.
  const both = SENT.filter(
    ({ bodies }) => !bodies.some(({ name }) => name.includes(".2.")),
  ).flatMap(({ id, bodies }) =>
    bodies.flatMap((json) => {
      const twin = bodies.find(({ name }) => name === json.name.replace(/json$/, "pb"));
      return twin === undefined || twin === json
        ? []
        : [[`${id} ${json.name}`, json, twin] as const];
    }),
  );

  /** Attributes of every span, in one form for both encodings. */
  function spansOf(body: OtlpJson): Map<string, string> {
    return new Map(
      splitRecords("traces", body).map((record) => {
        const [resource] = record["resourceSpans"] as [{ scopeSpans: { spans: OtlpJson[] }[] }];
        const span = resource.scopeSpans[0]?.spans[0] ?? {};
        const attributes = (span["attributes"] ?? []) as { key: string; value: OtlpJson }[];
        const pairs = attributes.map(({ key, value }) => {
          const [kind = "", held] = Object.entries(value)[0] ?? [];
          return `${key}=${kind === "intValue" ? String(held) : JSON.stringify(held)}`;
        });
        return [`${String(span["traceId"])} ${String(span["spanId"])}`, pairs.join("\n")];
      }),
    );
  }

  test("a capture in both encodings holds the same spans, and each turns into the other", () => {
    expect(both.length).toBeGreaterThan(50);
    for (const [name, json, twin] of both) {
      const fromJson = parseBody(json.signal, json.bytes);
      const fromProtobuf = parseBody(twin.signal, twin.bytes);
      const converted = parseBody(json.signal, encodeProtobuf(json.signal, fromJson));
      expect(spansOf(converted), name).toEqual(spansOf(fromJson));
      expect(new Set(spansOf(fromProtobuf).keys()), name).toEqual(
        new Set(spansOf(fromJson).keys()),
      );
    }
  });

  test("protobuf decoded and encoded again is the same message", () => {
    for (const { bodies } of SENT) {
      for (const { signal, bytes, name } of bodies.filter((body) => body.name.endsWith(".pb"))) {
        const body = parseBody(signal, bytes);
        expect(parseBody(signal, encodeProtobuf(signal, body)), name).toEqual(body);
      }
    }
  });
});

/** A row that says exactly what the truth says; costs by hand. */
function rowOf(truth: Truth, call: TrueCall, index: number): CallRow {
  const counts: Partial<Record<TokenClass, number>> = {};
  if (call.tokens !== null) {
    const { tokens } = call;
    counts.input_uncached = tokens.input_uncached;
    counts.cache_read = tokens.cache_read;
    const hasLifetimes = tokens.cache_write_5m + tokens.cache_write_1h === tokens.cache_write;
    if (hasLifetimes) counts.cache_write_5m = tokens.cache_write_5m;
    if (hasLifetimes) counts.cache_write_1h = tokens.cache_write_1h;
    else counts.cache_write = tokens.cache_write;
    counts.output_text = tokens.output_total - tokens.reasoning_output;
    counts.output_reasoning = tokens.reasoning_output;
  }
  const perClass = <Value>(read: (name: TokenClass) => Value) =>
    Object.fromEntries(TOKEN_CLASSES.map((name) => [name, read(name)])) as Record<
      TokenClass,
      Value
    >;
  const words = truth.context as Record<string, string | undefined>;
  const row: CallRow = {
    call_id: `trace-${index}`,
    project: "default",
    trace_id: "trace",
    span_id: String(index),
    parent_span_id: null,
    start_time: `2026-11-01T00:00:0${index}.000000000Z`,
    duration_ns: 1,
    ttft_ns: null,
    provider: call.provider === "aws.bedrock" ? "bedrock" : call.provider,
    operation: "chat",
    request_model: call.request_model,
    response_model: call.response_model,
    response_id: call.response_id,
    streaming: call.streaming,
    status: call.billable ? "ok" : "error",
    error_type: null,
    http_status: call.http_status,
    finish_reason: call.finish_reason === null ? null : "stop",
    service_tier: call.service_tier ?? null,
    region: null,
    tokens: perClass((name) => counts[name] ?? null),
    input_total: call.tokens?.input_total ?? null,
    output_total: call.tokens?.output_total ?? null,
    usage_status: call.billable ? "reported" : "missing",
    provider_calls: 1,
    cost_usd: null,
    cost: perClass(() => null),
    fees: {},
    fees_usd: null,
    price_id: null,
    cost_status: "priced",
    client_cost_usd: null,
    service_name: null,
    environment: null,
    user_id: words["user"] ?? null,
    session_id: words["session"] ?? null,
    agent_name: words["agent"] ?? null,
    tags: {},
    dialect: "test",
    scope_name: null,
    scope_version: null,
    signal: "span",
    duplicates: 0,
    suspected_duplicate: false,
    reason: "made for a test",
  };
  if (call.finish_reason?.startsWith("tool") === true) row.finish_reason = "tool_call";
  return withCost(row, call);
}

function withCost(row: CallRow, call: TrueCall): CallRow {
  const model = call.response_model ?? call.request_model;
  const price = handPrice(model, call.provider, row.service_tier);
  const isKnown = Object.values(row.tokens).some((count) => count !== null);
  if (price === null || !isKnown) return row;
  const digits = handCost(price, row.tokens).toString().padStart(13, "0");
  return { ...row, cost_usd: `${digits.slice(0, -12)}.${digits.slice(-12)}` };
}

function rowsOf(truth: Truth): CallRow[] {
  return truth.calls.map((call, index) => rowOf(truth, call, index));
}

/** A case by its name, with its perfect rows. */
function perfect(id: string): { truth: Truth; rows: CallRow[]; call: TrueCall; row: CallRow } {
  const item = CORPUS.find((candidate) => candidate.id === id);
  if (item === undefined) throw new Error(`no case ${id}`);
  const rows = rowsOf(item.truth);
  const at = item.truth.calls.findIndex((call) => call.billable);
  const [call, row] = [item.truth.calls[at], rows[at]];
  if (call === undefined || row === undefined) throw new Error(`no billed call in ${id}`);
  return { truth: item.truth, rows, call, row };
}

function withTokens(
  row: CallRow,
  call: TrueCall,
  changes: Partial<Record<TokenClass, number | null>>,
): CallRow {
  const tokens = { ...row.tokens, ...changes };
  const sum = (names: readonly TokenClass[]) => {
    const known = names.map((name) => tokens[name]).filter((count) => count !== null);
    return known.length === 0 ? null : known.reduce((total, count) => total + count, 0);
  };
  const isOutput = (name: TokenClass) => name.startsWith("output_");
  return withCost(
    {
      ...row,
      tokens,
      cost_usd: null,
      input_total: sum(TOKEN_CLASSES.filter((name) => !isOutput(name))),
      output_total: sum(TOKEN_CLASSES.filter(isOutput)),
    },
    call,
  );
}

function whysOf(truth: Truth, rows: readonly CallRow[], outcome: Outcome): string[] {
  const verdict = judgeCase(truth, rows);
  expect(verdict.outcome, JSON.stringify(verdict.findings)).toBe(outcome);
  return verdict.findings.map(({ why }) => why);
}

/** A call with every class, and one whose cache and reasoning nobody sent. */
const CACHED = "anthropic-sdk-native-1.11.0/messages_cached";
const UNSENT = "otel-instrumentation-openai-0.22.0/responses_tool";
const LOOP = "vercel-ai-7.0.173/generate_tool_loop";
const NO_USAGE = "traceloop-openai-0.27.0/chat_stream_no_usage";
const RETRIED = "vercel-ai-5.0.277/retry_429_then_200";

describe("the judge", () => {
  test("finds perfect rows right in every case that has telemetry", () => {
    for (const { id, truth } of SENT) {
      expect(judgeCase(truth, rowsOf(truth)).findings, id).toEqual([]);
    }
  });

  test("prices by hand as the client and the price pages do", () => {
    // Claude Code's own figure: 25*3 + 2000*0.3 + 200*3.75 + 100*6 + 60*15, in millionths.
    expect(readPicodollars(perfect("claude-code-2.1.329/print_json").row.cost_usd ?? "")).toBe(
      2_925_000_000n,
    );
    // 476*0.25 + 1024*0.025 + 500*2 = 1144.6 millionths.
    const reasoning = perfect("double-openinference-agents-plus-openai/agent_run");
    expect(readPicodollars(reasoning.row.cost_usd ?? "")).toBe(1_144_600_000n);
  });

  test("finds a row that is there twice, in every case", () => {
    for (const { id, truth } of SENT) {
      const rows = rowsOf(truth);
      const twice = [...rows, ...rows.slice(0, 1).map((row) => ({ ...row, call_id: "again" }))];
      const verdict = judgeCase(truth, twice);
      expect(verdict.outcome, id).toBe("wrong");
      expect(verdict.findings.map(({ why }) => why)).toContain("superfluous row");
    }
  });

  test("finds a missing row, in every case with a billed call", () => {
    for (const { id, truth } of SENT.filter(({ truth }) => truth.billable_calls > 0)) {
      const rows = rowsOf(truth);
      const at = truth.calls.findIndex((call) => call.billable);
      const verdict = judgeCase(truth, rows.toSpliced(at, 1));
      expect(verdict.outcome, id).toBe("wrong");
      expect(
        verdict.findings.map(({ why }) => why),
        id,
      ).toContain("no row");
    }
  });

  test("finds a token moved from any class to another, in every billed call", () => {
    for (const { id, truth } of SENT) {
      truth.calls.forEach((call, index) => {
        if (call.tokens === null) return;
        const rows = rowsOf(truth);
        const row = rows[index] as CallRow;
        const moves = [
          ["input_uncached", "cache_read"],
          ["cache_read", "input_uncached"],
          ["cache_write_5m", "cache_write_1h"],
          ["output_text", "output_reasoning"],
          ["output_reasoning", "output_text"],
          ["input_uncached", "output_text"],
        ] as const;
        for (const [from, to] of moves) {
          if ((row.tokens[from] ?? 0) === 0) continue;
          const moved = withTokens(row, call, {
            [from]: (row.tokens[from] ?? 0) - 1,
            [to]: (row.tokens[to] ?? 0) + 1,
          });
          const verdict = judgeCase(truth, rows.with(index, moved));
          expect(verdict.outcome, `${id} ${from} to ${to}`).toBe("wrong");
        }
      });
    }
  });

  test("finds input that was clamped because the cache was taken off twice", () => {
    const { truth, call, row } = perfect(CACHED);
    expect(whysOf(truth, [withTokens(row, call, { input_uncached: 0 })], "wrong")).toContain(
      "wrong input_uncached (not sent as such)",
    );
  });

  test("finds cached tokens that are counted as uncached as well", () => {
    const { truth, call, row } = perfect(CACHED);
    const added = withTokens(row, call, { input_uncached: 2325 });
    expect(whysOf(truth, [added], "wrong")).toContain("wrong input_total");
  });

  test("finds a number that nobody sent, unless the row says that it is an estimate", () => {
    const { truth, call, row } = perfect(NO_USAGE);
    const guess = withTokens(row, call, { input_uncached: 4, cache_read: null, output_text: 4 });
    expect(whysOf(truth, [guess], "wrong")).toContain("wrong input_total (not sent as such)");
    const honest: CallRow = { ...guess, usage_status: "estimated" };
    expect(whysOf(truth, [honest], "flagged")).toContain("usage estimated");
  });

  test("accepts missing usage only where it was not sent", () => {
    for (const [id, outcome] of [
      [NO_USAGE, "flagged"],
      [CACHED, "wrong"],
    ] as const) {
      const { truth, call, row } = perfect(id);
      const nothing = Object.fromEntries(TOKEN_CLASSES.map((name) => [name, null]));
      const empty: CallRow = { ...withTokens(row, call, nothing), usage_status: "missing" };
      expect(whysOf(truth, [empty], outcome)).toContain("usage missing");
    }
  });

  test("accepts an unknown cache split that stays in the uncached class, but no other number", () => {
    const { truth, call, row } = perfect(UNSENT);
    const unknown = withTokens(row, call, { cache_read: null, input_uncached: 1200 });
    expect(whysOf(truth, [unknown], "flagged")).toEqual(["cache_read unknown"]);
    const invented = withTokens(row, call, { cache_read: 0, input_uncached: 1200 });
    expect(whysOf(truth, [invented], "wrong")).toContain("wrong cache_read (not sent as such)");
    const odd = withTokens(row, call, { cache_read: null, input_uncached: 1199 });
    expect(whysOf(truth, [odd], "wrong")).toContain("wrong input_total");
  });

  test("finds a class that is unknown although it was sent", () => {
    const { truth, call, row } = perfect(CACHED);
    const lost = withTokens(row, call, { cache_read: null, input_uncached: 2025 });
    expect(whysOf(truth, [lost], "wrong")).toContain("cache_read is unknown although it was sent");
  });

  test("finds an invented lifetime of a cache write, and a lost one", () => {
    const bedrock = perfect("openinference-bedrock-0.5.1/converse");
    const invented = withTokens(bedrock.row, bedrock.call, { cache_write: 0, cache_write_5m: 120 });
    expect(whysOf(bedrock.truth, [invented], "wrong")).toContain("cache_write_5m is invented");
    const { truth, call, row } = perfect(CACHED);
    const merged = withTokens(row, call, {
      cache_write: 300,
      cache_write_5m: null,
      cache_write_1h: null,
    });
    expect(whysOf(truth, [merged], "wrong")).toContain(
      "cache_write_1h is unknown although it was sent",
    );
  });

  test("finds a cost that is off by one picodollar, one that is missing, and one from nowhere", () => {
    const { truth, row } = perfect(CACHED);
    expect(whysOf(truth, [{ ...row, cost_usd: "0.002925000001" }], "wrong")).toEqual([
      "wrong cost",
    ]);
    expect(whysOf(truth, [{ ...row, cost_usd: null }], "wrong")).toEqual(["unpriced"]);
    const unknown = perfect(RETRIED);
    const priced = unknown.rows.map((other) => ({
      ...other,
      cost_usd: other.status === "ok" ? "0.1" : other.cost_usd,
    }));
    expect(whysOf(unknown.truth, priced, "wrong")).toEqual(["a price from nowhere"]);
  });

  test("finds a failed attempt that is billed or no error", () => {
    const { truth, rows } = perfect(RETRIED);
    const change = (changes: Partial<CallRow>) =>
      rows.map((row) => (row.status === "error" ? { ...row, ...changes } : row));
    expect(whysOf(truth, change({ cost_usd: "0.000001" }), "wrong")).toContain(
      "a failed attempt costs",
    );
    expect(whysOf(truth, change({ http_status: 500 }), "wrong")).toContain("wrong http_status");
    const used = rows.map((row, index) => {
      const call = truth.calls[index] as TrueCall;
      return row.status === "error"
        ? withTokens(row, call, { input_uncached: 100, output_text: 20 })
        : row;
    });
    expect(whysOf(truth, used, "wrong")).toContain("a failed attempt has tokens");
  });

  test("does not ask for a row of an attempt that the client retried by itself", () => {
    const { truth, row } = perfect(RETRIED);
    expect(whysOf(truth, [row], "right")).toEqual([]);
  });

  test("finds a wrong model, provider, response id, finish reason, status and stream flag", () => {
    const { truth, row } = perfect(CACHED);
    const faults: readonly (readonly [Partial<CallRow>, string])[] = [
      [{ response_model: "claude-sonnet-5" }, "wrong model"],
      [{ response_model: null, request_model: null }, "no model"],
      [{ provider: "openai" }, "wrong provider"],
      [{ provider: null }, "wrong provider"],
      [{ response_id: "msg_other" }, "wrong response_id"],
      [{ response_id: null }, "wrong response_id"],
      [{ finish_reason: "length" }, "wrong finish_reason"],
      [{ status: "error" }, "a good call is an error"],
      [{ streaming: true }, "wrong streaming"],
      [{ duration_ns: -1 }, "no valid row"],
    ];
    for (const [fault, why] of faults) {
      expect(whysOf(truth, [{ ...row, ...fault }], "wrong")).toContain(why);
    }
  });

  test("asks for user, session, status and stream flag where the bodies name them", () => {
    const { truth, rows } = perfect(LOOP);
    const bare = rows.map((row) => ({ ...row, user_id: null, session_id: null, streaming: null }));
    expect(judgeCase(truth, bare).outcome).toBe("right");
    const words = new Set([
      "user-1",
      "sess-1",
      ...truth.calls.flatMap(({ response_id }) => response_id ?? []),
    ]);
    const evidence = { values: words, plain: words, pairs: new Set<string>() };
    const whys = judgeCase(truth, bare, evidence).findings.map(({ why }) => why);
    expect(new Set(whys)).toEqual(new Set(["user lost", "session lost"]));
    const stream = perfect(NO_USAGE);
    const silent = stream.rows.map((row) => ({ ...row, streaming: null }));
    expect(judgeCase(stream.truth, silent).outcome).toBe("right");
    const pairs = new Set(["gen_ai.request.stream=true"]);
    const found = judgeCase(stream.truth, silent, { values: words, plain: words, pairs });
    expect(found.findings.map(({ why }) => why)).toEqual(["wrong streaming"]);
  });

  test("asks a row for the finish reason that was sent, unless it is made of a log record", () => {
    const { truth, row } = perfect(CACHED);
    const words = new Set(["end_turn"]);
    const evidence = { values: words, plain: words, pairs: new Set<string>() };
    const silent: CallRow = { ...row, finish_reason: null };
    expect(judgeCase(truth, [silent], evidence).outcome).toBe("wrong");
    expect(judgeCase(truth, [{ ...silent, signal: "log" }], evidence).outcome).toBe("flagged");
    expect(judgeCase(truth, [silent]).outcome).toBe("right");
  });

  test("lets an id that is only inside JSON text stay unknown, but not become another", () => {
    const { truth, row } = perfect(CACHED);
    const values = new Set(truth.calls.flatMap(({ response_id }) => response_id ?? []));
    const evidence = { values, plain: new Set<string>(), pairs: new Set<string>() };
    expect(judgeCase(truth, [{ ...row, response_id: null }], evidence).outcome).toBe("flagged");
    expect(judgeCase(truth, [{ ...row, response_id: "msg_x" }], evidence).outcome).toBe("wrong");
  });

  test("accepts a class without a price only where the model has a list of its own", () => {
    const bedrock = perfect("openinference-bedrock-0.5.1/invoke_model_claude");
    const cost = { ...bedrock.row.cost, input_uncached: "0", cache_read: "0", cache_write_5m: "0" };
    const partial: CallRow = {
      ...bedrock.row,
      cost: { ...cost, output_text: "0", output_reasoning: "0" },
      cost_status: "partial",
      // 25*3.3 + 2000*0.33 + 200*4.125 + 60*16.5, in millionths.
      cost_usd: "0.0025575",
    };
    expect(whysOf(bedrock.truth, [partial], "flagged")).toEqual(["partly priced"]);
    const { truth, row } = perfect(CACHED);
    const own: CallRow = { ...partial, ...row, cost: partial.cost, cost_status: "partial" };
    expect(whysOf(truth, [own], "wrong")).toContain("partly priced");
  });

  test("tells rows apart by response id, whatever their order", () => {
    const { truth, rows } = perfect(LOOP);
    expect(judgeCase(truth, rows.toReversed()).outcome).toBe("right");
    const swapped = rows.map((row, index) => ({
      ...row,
      start_time: `2026-11-01T00:00:0${9 - index}.000000000Z`,
    }));
    expect(judgeCase(truth, swapped).outcome).toBe("right");
  });

  test("accepts a suspected duplicate without the response id, but no other one", () => {
    const { truth, row } = perfect(CACHED);
    const twin: CallRow = { ...row, call_id: "twin", suspected_duplicate: true, response_id: null };
    expect(whysOf(truth, [row, twin], "flagged")).toEqual(["a suspected duplicate is counted"]);
    for (const fault of [{ suspected_duplicate: false }, { response_id: row.response_id }]) {
      expect(whysOf(truth, [row, { ...twin, ...fault }], "wrong")).toEqual(["superfluous row"]);
    }
  });

  test("accepts a sum of calls only where the single ones were not sent", () => {
    const { truth, rows, call, row } = perfect(LOOP);
    expect(rows.length).toBe(2);
    const sum = withTokens(row, call, { input_uncached: 352, cache_read: 2048, output_text: 60 });
    const whole: CallRow = { ...sum, usage_status: "aggregate", response_id: null };
    expect(whysOf(truth, [whole], "wrong")).toEqual(["one sum although each call was sent"]);
    const unsent: Truth = {
      ...truth,
      calls: truth.calls.map((item) => ({
        ...item,
        evidence_in_telemetry: { input_total: false, output_total: false, response_id: false },
      })),
    };
    expect(whysOf(unsent, [whole], "flagged")).toEqual(["one sum for several calls"]);
    const short = withTokens(whole, call, { output_text: 59 });
    expect(whysOf(unsent, [short], "wrong")).toContain("wrong output_total (not sent as such)");
  });

  test("lets no row exist where the client sent nothing", () => {
    const silent = CORPUS.filter(({ bodies }) => bodies.length === 0);
    expect(silent.length).toBe(15);
    for (const { truth } of silent) {
      expect(judgeCase(truth, []).outcome).toBe("silent");
      const [call] = truth.calls;
      if (call?.billable !== true) continue;
      const extra = rowsOf(truth).map((row) => ({ ...row, call_id: "x" }));
      expect(judgeCase(truth, [...rowsOf(truth), ...extra]).outcome).toBe("wrong");
    }
  });
});
