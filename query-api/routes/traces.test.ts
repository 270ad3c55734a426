/**
 * `GET /v1/traces/{id}`: the spans of a trace with the cost of every node, held against a walk over
 * the parents that is slow and plain, also for parents that no tree has.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { MAX_TRACE_SPANS, TraceAnswer, TraceTreeAnswer } from "../../schemas/api-traces.ts";
import { callOfSpan, formatId } from "../../schemas/call-of-span.ts";
import { Attributes, type Span } from "../../schemas/span.ts";
import { makeTestApi, readStrictly, type TestApi } from "../../test/support/api.ts";
import { openTestEngine, type TestEngine } from "../../test/support/engine.ts";
import { insertSpans } from "../../test/support/ledger.ts";
import { makeRandomSpan } from "../../test/support/random-span.ts";
import { makeRandom } from "../../test/support/random.ts";
import { byClass, idBytes, makeSpan } from "../../test/support/span.ts";
import { callCost, coverageTruth, measureTruth, usdText } from "../../test/support/usage-truth.ts";

const START_NS = 1_792_800_000_000_000_001n;

let test_engine: TestEngine;
let api: TestApi;
const random = makeRandom(99);
let sequence = 0;
let traces = 0;

beforeAll(async () => {
  test_engine = await openTestEngine();
  api = makeTestApi(test_engine.engine);
});
afterAll(() => test_engine.close());

function newTraceId(): string {
  traces += 1;
  return traces.toString(16).padStart(32, "a");
}

function spanId(number: number): string {
  return number.toString(16).padStart(16, "0");
}

/** A span of a trace: its number, and that of its parent, 0 for a root. */
function node(trace_id: string, number: number, parent: number, changes: Partial<Span> = {}): Span {
  return makeSpan({
    project_id: "alpha",
    trace_id: idBytes(trace_id),
    span_id: idBytes(spanId(number)),
    parent_span_id: idBytes(spanId(parent)),
    start_ns: START_NS + BigInt(number),
    ...changes,
  });
}

const STRUCTURE: Partial<Span> = {
  span_class: "structure",
  tokens: byClass({}),
  cost: byClass({}),
  cost_status: "none",
  usage_status: "none",
};

/** A call that costs that many picodollars. */
function costs(picodollars: bigint): Partial<Span> {
  return { tokens: byClass({ output_text: 5 }), cost: byClass({ output_text: picodollars }) };
}

async function deliver(spans: readonly Span[]): Promise<void> {
  sequence += 1;
  await insertSpans(test_engine.engine, spans, sequence);
}

async function readTrace(trace_id: string, key?: string): Promise<TraceAnswer> {
  const { status, text, json } = await api.ask(`/v1/traces/${trace_id}`, key);
  expect(status, text.slice(0, 300)).toBe(200);
  return readStrictly(TraceAnswer, json);
}

/** What each span and all below it cost: from each call up its parents, each span once. */
function costsBelow(spans: readonly Span[]): Map<string, string | null> {
  const by_id = new Map(spans.map((span) => [formatId(span.span_id), span]));
  const sums = new Map<string, bigint>();
  for (const span of spans) {
    const cost = span.span_class === "billable" ? callCost(span) : null;
    if (cost === null) continue;
    const seen = new Set<string>();
    let at: Span | undefined = span;
    while (at !== undefined && !seen.has(formatId(at.span_id))) {
      const id = formatId(at.span_id);
      seen.add(id);
      sums.set(id, (sums.get(id) ?? 0n) + cost);
      at = by_id.get(formatId(at.parent_span_id));
    }
  }
  return new Map(
    [...by_id.keys()].map((id) => [id, sums.has(id) ? usdText(sums.get(id) ?? 0n) : null]),
  );
}

function costsOf(answer: TraceAnswer): Map<string, string | null> {
  return new Map(answer.spans.map((span) => [span.span_id, span.cost_usd]));
}

test("every node of a tree has the cost of itself and all below it", async () => {
  const id = newTraceId();
  const spans = [
    node(id, 1, 0, STRUCTURE),
    node(id, 2, 1, STRUCTURE),
    node(id, 3, 2, costs(3n)),
    node(id, 4, 2, costs(40n)),
    node(id, 5, 3, costs(500n)),
    node(id, 6, 1, STRUCTURE),
    node(id, 7, 0, { ...STRUCTURE, span_class: "aggregate", cost: byClass({ output_text: 9n }) }),
  ];
  await deliver(spans);
  const answer = await readTrace(id);
  expect([...costsOf(answer).values()]).toEqual([
    "0.000000000543",
    "0.000000000543",
    "0.000000000503",
    "0.00000000004",
    "0.0000000005",
    null,
    null,
  ]);
  expect(costsOf(answer)).toEqual(costsBelow(spans));
  expect(answer.totals).toEqual({
    calls: 3,
    errors: 0,
    input_total: null,
    output_total: 15,
    cost_usd: "0.000000000543",
  });
});

test("each span is answered with all that was sent", async () => {
  const id = newTraceId();
  const call = node(id, 2, 1, {
    name: "chat ☃",
    kind: 3,
    status: "error",
    status_message: "429 it's",
    attributes: new Attributes(["gen_ai.system", "__proto__", "n"], ["openai", "data", 4]),
    resource_attributes: new Attributes(["service.name"], ["checkout"]),
    events: [
      { time_ns: START_NS + 5n, name: "exception", attributes: new Attributes(["a"], ["b'"]) },
      { time_ns: START_NS + 6n, name: "", attributes: new Attributes() },
    ],
    duration_ns: 70n,
  });
  await deliver([
    call,
    node(id, 1, 0, { ...STRUCTURE, service_name: "", kind: 77, duration_ns: 9n }),
  ]);
  const answer = await readTrace(id.toUpperCase());
  expect({ ...answer, spans: [] }).toEqual({
    trace_id: id,
    start_time: "2026-10-24T00:00:00.000000002Z",
    duration_ns: 71,
    truncated: false,
    span_count: 2,
    totals: {
      calls: 1,
      errors: 1,
      input_total: 100,
      output_total: 20,
      cost_usd: "0.000027",
    },
    coverage: coverageTruth([call]),
    spans: [],
  });
  expect(answer.spans).toEqual([
    {
      span_id: spanId(1),
      parent_span_id: null,
      name: "chat gpt-4o-mini",
      kind: "77",
      start_time: "2026-10-24T00:00:00.000000002Z",
      duration_ns: 9,
      status: "unset",
      status_message: null,
      service_name: null,
      span_class: "structure",
      is_agent: false,
      counted: false,
      counted_by: null,
      reason: "chat is one model call",
      cost_usd: "0.000027",
      attributes: {},
      resource_attributes: {},
      events: [],
      call: null,
    },
    {
      span_id: spanId(2),
      parent_span_id: spanId(1),
      name: "chat ☃",
      kind: "client",
      start_time: "2026-10-24T00:00:00.000000003Z",
      duration_ns: 70,
      status: "error",
      status_message: "429 it's",
      service_name: "checkout",
      span_class: "billable",
      is_agent: false,
      counted: true,
      counted_by: null,
      reason: "chat is one model call",
      cost_usd: "0.000027",
      attributes: JSON.parse('{"gen_ai.system":"openai","__proto__":"data","n":"4"}') as object,
      resource_attributes: { "service.name": "checkout" },
      events: [
        { time: "2026-10-24T00:00:00.000000006Z", name: "exception", attributes: { a: "b'" } },
        { time: "2026-10-24T00:00:00.000000007Z", name: "", attributes: {} },
      ],
      call: callOfSpan(call),
    },
  ]);
});

test("parents that are missing, themselves or in a ring end the sums", async () => {
  const id = newTraceId();
  const spans = [
    node(id, 1, 999, costs(1n)), // no such parent
    node(id, 2, 2, costs(20n)), // its own parent
    node(id, 3, 2, costs(300n)),
    node(id, 4, 6, costs(4_000n)), // 4 -> 6 -> 5 -> 4
    node(id, 5, 4, STRUCTURE),
    node(id, 6, 5, costs(60_000n)),
    node(id, 7, 5, costs(700_000n)), // below the ring
    node(id, 8, 9, STRUCTURE), // a ring without calls
    node(id, 9, 8, STRUCTURE),
  ];
  await deliver(spans);
  const answer = await readTrace(id);
  expect(costsOf(answer)).toEqual(costsBelow(spans));
  expect(answer.spans.map((span) => span.cost_usd)).toEqual([
    "0.000000000001",
    "0.00000000032",
    "0.0000000003",
    "0.000000764",
    "0.000000764",
    "0.000000764",
    "0.0000007",
    null,
    null,
  ]);
  expect(answer.totals.cost_usd).toBe("0.000000764321");
});

test("random traces of odd spans and random parents sum up as walking them does", async () => {
  const all: [string, Span[]][] = [];
  for (let index = 0; index < 12; index += 1) {
    const id = newTraceId();
    const count = 1 + random.whole(40);
    const spans = Array.from({ length: count }, (_, number) => ({
      ...makeRandomSpan(random, "alpha", START_NS + BigInt(number)),
      trace_id: idBytes(id),
      span_id: idBytes(spanId(number + 1)),
      parent_span_id: idBytes(spanId(random.whole(count + 3))),
    }));
    all.push([id, spans]);
  }
  await deliver(all.flatMap(([, spans]) => spans));
  for (const [id, spans] of all) {
    const answer = await readTrace(id);
    const calls = spans.filter((span) => span.span_class === "billable");
    expect(costsOf(answer)).toEqual(costsBelow(spans));
    const { coverage: _coverage, ...totals } = measureTruth(calls, [
      "calls",
      "errors",
      "input_total",
      "output_total",
      "cost_usd",
    ]) as { coverage: object };
    expect(answer.totals).toEqual(totals);
    expect(answer.coverage).toEqual(coverageTruth(calls));
    expect(answer.spans.map((span) => span.call)).toEqual(
      spans.map((span) => (span.span_class === "billable" ? callOfSpan(span) : null)),
    );
  }
});

/** Stores a decision about a span, of random columns, some of them empty. */
async function decide(span: Span): Promise<void> {
  const text = (word: string) => (random.whole(2) === 0 ? "" : word);
  await test_engine.engine.command(
    `INSERT INTO call_decisions (project_id, ts, trace_id, span_id, counted, duplicates,
       suspected_duplicate, is_aggregate, provider_calls, user_id, session_id, agent_name,
       finish_reason, reason, counted_by, ver)
     SELECT {project_id:String}, fromUnixTimestamp64Nano({start_ns:Int64}, 'UTC'),
       unhex({trace_id:String}), unhex({span_id:String}), {counted:String}, {duplicates:UInt16},
       {suspected:UInt8}, {is_aggregate:UInt8}, {provider_calls:UInt32}, {user_id:String},
       {session_id:String}, {agent_name:String}, {finish_reason:String}, {reason:String},
       {counted_by:String}, {ver:UInt64}`,
    {
      project_id: span.project_id,
      start_ns: span.start_ns,
      trace_id: formatId(span.trace_id),
      span_id: formatId(span.span_id),
      counted: ["default", "no", "yes"][random.whole(3)] ?? "no",
      duplicates: random.whole(3),
      suspected: random.whole(2),
      is_aggregate: random.whole(2),
      provider_calls: random.whole(5),
      user_id: text("it's"),
      session_id: text("s-2"),
      agent_name: text("planner"),
      finish_reason: text("stop"),
      reason: text("another report of it counts"),
      counted_by: text("a call"),
      ver: (sequence += 1),
    },
  );
}

test("a span is answered as the ledger has it, whatever was decided of it", async () => {
  const id = newTraceId();
  const classes = ["billable", "aggregate"] as const;
  const spans = Array.from({ length: 60 }, (_, number) =>
    node(id, number + 1, 0, {
      ...costs(BigInt(number)),
      span_class: random.pick(classes),
      user_id: random.pick(["", "u-1"]),
      session_id: random.pick(["", "s-1"]),
      finish_reason: random.pick(["", "length"]),
      provider_calls: random.whole(4),
    }),
  );
  await deliver(spans);
  for (const span of spans.slice(0, 40)) await decide(span);
  for (const span of spans.slice(0, 10)) await decide(span); // a later decision replaces the first
  // The view is the definition.
  const rows = await test_engine.engine.query<Record<string, unknown>>(
    `SELECT lower(hex(span_id)) AS id, counted, counted_by, toString(reason) AS reason, duplicates,
       suspected_duplicate, usage_status, provider_calls, user_id, session_id,
       toString(agent_name) AS agent_name, toString(finish_reason) AS finish_reason
     FROM ledger_spans WHERE trace_id = unhex({id:String}) ORDER BY ts, ledger_spans.span_id`,
    { id },
  );
  const orNull = (value: unknown) => (value === "" || value === 0 ? null : value);
  const answer = await readTrace(id);
  expect(rows.filter(({ counted }) => counted === 1).length).toBeGreaterThan(5);
  expect(
    answer.spans.map(({ span_id, counted, counted_by, reason, call }) => ({
      id: span_id,
      counted,
      counted_by,
      reason,
      call: call && {
        duplicates: call.duplicates,
        suspected_duplicate: call.suspected_duplicate,
        usage_status: call.usage_status,
        provider_calls: call.provider_calls,
        user_id: call.user_id,
        session_id: call.session_id,
        agent_name: call.agent_name,
        finish_reason: call.finish_reason,
        reason: call.reason,
      },
    })),
  ).toEqual(
    rows.map((row) => ({
      id: row["id"],
      counted: row["counted"] === 1,
      counted_by: orNull(row["counted_by"]),
      reason: row["reason"],
      call:
        row["counted"] === 1
          ? {
              duplicates: row["duplicates"],
              suspected_duplicate: row["suspected_duplicate"] === 1,
              usage_status: row["usage_status"],
              provider_calls: orNull(row["provider_calls"]),
              user_id: orNull(row["user_id"]),
              session_id: orNull(row["session_id"]),
              agent_name: orNull(row["agent_name"]),
              finish_reason: orNull(row["finish_reason"]),
              reason: row["reason"],
            }
          : null,
    })),
  );
});

test("a trace of many days has all its spans", async () => {
  const id = newTraceId();
  const day_ns = 86_400_000_000_000n;
  const spans = [0n, 1n, 40n].map((days, index) =>
    node(id, index + 1, index, { ...costs(1n), start_ns: START_NS + days * day_ns }),
  );
  await deliver(spans);
  const answer = await readTrace(id);
  expect(answer.spans.map(({ span_id }) => span_id)).toEqual([1, 2, 3].map(spanId));
  expect(answer.totals.cost_usd).toBe("0.000000000003");
});

/** The fields of one value that another has, at all depths; lists place by place. */
function sameFields(wide: unknown, narrow: unknown): unknown {
  if (Array.isArray(narrow) && Array.isArray(wide)) {
    return wide.map((item, index) => sameFields(item, narrow[index]));
  }
  if (narrow === null || typeof narrow !== "object" || wide === null) return wide;
  const fields = wide as Record<string, unknown>;
  return Object.fromEntries(
    Object.entries(narrow).map(([name, value]) => [name, sameFields(fields[name], value)]),
  );
}

/** Twenty odd spans with attributes and events, each below one before it or below none. */
async function deliverOddTrace(): Promise<string> {
  const id = newTraceId();
  const spans = Array.from({ length: 20 }, (_, index) => ({
    ...makeRandomSpan(random, "alpha", START_NS + BigInt(index)),
    trace_id: idBytes(id),
    span_id: idBytes(`abcdef${spanId(index + 1).slice(6)}`),
    parent_span_id: idBytes(`abcdef${spanId(random.whole(index + 1)).slice(6)}`),
    attributes: new Attributes(["prompt"], ["x".repeat(500)]),
    resource_attributes: new Attributes(["service.name"], ["checkout"]),
    events: [{ time_ns: START_NS, name: "choice", attributes: new Attributes(["a"], ["b"]) }],
  }));
  await deliver(spans);
  return id;
}

test("the tree of a trace has the values of the full answer, without what is long", async () => {
  const id = await deliverOddTrace();
  const full = await readTrace(id);
  const { json, text } = await api.ask(`/v1/traces/${id}?detail=tree`);
  const tree = readStrictly(TraceTreeAnswer, json);
  expect(tree).toEqual(sameFields(full, tree));
  expect(tree.spans.filter(({ call }) => call !== null).length).toBeGreaterThan(0);
  const { spans: _spans, ...sums } = full;
  expect(tree).toMatchObject(sums);
  for (const name of ["attributes", "resource_attributes", "events", "tokens", "cost"]) {
    expect(text).not.toContain(`"${name}":`);
  }
  expect(JSON.stringify(full.spans)).toContain("x".repeat(500));
});

test("one span is answered as it is among all, with the totals of the trace", async () => {
  const id = await deliverOddTrace();
  const full = await readTrace(id);
  const { spans, ...sums } = full;
  for (const span of [spans[0], spans[7], spans[19]]) {
    const { json } = await api.ask(`/v1/traces/${id}?span_id=${span?.span_id.toUpperCase()}`);
    expect(readStrictly(TraceAnswer, json)).toEqual({ ...sums, spans: [span] });
  }
  const absent = await api.ask(`/v1/traces/${id}?span_id=${"f".repeat(16)}`);
  expect(absent.status).toBe(404);
  expect(absent.json).toMatchObject({ error: { code: "span_not_found" } });
  const foreign = await api.ask(`/v1/traces/${id}?span_id=${spans[0]?.span_id}`, "key-beta");
  expect(foreign.json).toMatchObject({ error: { code: "trace_not_found" } });
});

test("a limit gives the first spans, and the costs and totals of all", async () => {
  const id = await deliverOddTrace();
  const { spans, ...sums } = await readTrace(id);
  const { json } = await api.ask(`/v1/traces/${id}?limit=7`);
  expect(json).toEqual({ ...sums, spans: spans.slice(0, 7) });
  expect(sums.span_count).toBe(20);
});

test.each([
  ["gen_ai.operation.name", "invoke_agent", true],
  ["gen_ai.operation.name", "create_agent", true],
  ["gen_ai.operation.name", "chat", false],
  ["openinference.span.kind", "AGENT", true],
  ["openinference.span.kind", "CHAIN", false],
  ["traceloop.span.kind", "agent", true],
  ["my.kind", "agent", false],
])("a span whose %s is %s is that of an agent: %s", async (name, value, is_agent) => {
  const id = newTraceId();
  await deliver([node(id, 1, 0, { ...STRUCTURE, attributes: new Attributes([name], [value]) })]);
  const { json } = await api.ask(`/v1/traces/${id}?detail=tree`);
  expect(readStrictly(TraceTreeAnswer, json).spans[0]?.is_agent).toBe(is_agent);
});

test("a span delivered again is the last delivery of it, once", async () => {
  const id = newTraceId();
  await deliver([node(id, 1, 0, costs(5n)), node(id, 2, 1, costs(6n))]);
  await deliver([node(id, 1, 0, costs(7n))]);
  await deliver([node(id, 2, 1, STRUCTURE)]);
  const answer = await readTrace(id);
  expect(answer.spans.map((span) => span.cost_usd)).toEqual(["0.000000000007", null]);
  expect(answer.totals).toMatchObject({ calls: 1, cost_usd: "0.000000000007" });
});

test("the trace of another project cannot be told from one that does not exist", async () => {
  const id = newTraceId();
  await deliver([node(id, 1, 0)]);
  expect((await readTrace(id)).spans).toHaveLength(1);
  const foreign = await api.ask(`/v1/traces/${id}`, "key-beta");
  const absent = await api.ask(`/v1/traces/${"f".repeat(32)}`, "key-beta");
  expect(foreign.status).toBe(404);
  expect(foreign.text).toBe(absent.text);
  for (const { headers } of [foreign, absent]) headers.delete("x-request-id");
  expect([...foreign.headers]).toEqual([...absent.headers]);
});

test("a trace id that two projects use has the spans of each apart", async () => {
  const id = newTraceId();
  await deliver([
    node(id, 1, 0, { name: "of alpha" }),
    node(id, 1, 0, { name: "of beta", project_id: "beta" }),
  ]);
  const names = async (key: string) => (await readTrace(id, key)).spans.map((span) => span.name);
  expect(await names("key-alpha")).toEqual(["of alpha"]);
  expect(await names("key-beta")).toEqual(["of beta"]);
});

test("a trace longer than an answer is cut and says so, however deep it is", async () => {
  const id = newTraceId();
  // Each span is the parent of the next: as deep as a trace can be, and every one is a call.
  const spans = Array.from({ length: MAX_TRACE_SPANS + 1 }, (_, index) =>
    node(id, index + 1, index, costs(1n)),
  );
  await deliver(spans.slice(0, MAX_TRACE_SPANS));
  const whole = await readTrace(id);
  expect(whole.truncated).toBe(false);
  expect(whole.spans).toHaveLength(MAX_TRACE_SPANS);
  await deliver(spans.slice(MAX_TRACE_SPANS));
  const cut = await readTrace(id);
  expect(cut.truncated).toBe(true);
  expect(cut.spans).toHaveLength(MAX_TRACE_SPANS);
  expect(cut.spans[0]?.cost_usd).toBe(usdText(BigInt(MAX_TRACE_SPANS)));
  expect(cut.spans.at(-1)?.cost_usd).toBe("0.000000000001");
});

test("an id that is none is a 400, a parameter too", async () => {
  for (const id of ["x", "0".repeat(31), "0".repeat(33), "g".repeat(32), "%00", "' OR 1=1 --"]) {
    const { status, json } = await api.ask(`/v1/traces/${encodeURIComponent(id)}`);
    expect({ id, status, json }).toMatchObject({
      status: 400,
      json: { error: { code: "invalid_trace_id", details: [{ path: "trace_id" }] } },
    });
  }
  const wrong = ["from=5", "limit=0", "limit=10001", "span_id=12", "span_id=", "detail=short"];
  for (const query of wrong) {
    const { status, json } = await api.ask(`/v1/traces/${"a".repeat(32)}?${query}`);
    const path = query.split("=")[0];
    expect({ query, status, json }).toMatchObject({
      status: 400,
      json: { error: { code: "invalid_query", details: [{ path }] } },
    });
  }
});
