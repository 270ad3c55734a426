/** `GET /v1/calls/{call_id}/explain` against decisions that the counting rules made of real spans. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { decideCalls } from "../../collector/ledger/count.ts";
import { Resolver } from "../../collector/ownership/resolver.ts";
import { ExplainAnswer } from "../../schemas/api.ts";
import type { Span } from "../../schemas/span.ts";
import { makeTestApi, readStrictly, type TestApi } from "../../test/support/api.ts";
import { openTestEngine, type TestEngine } from "../../test/support/engine.ts";
import { insertSpans } from "../../test/support/ledger.ts";
import { idBytes, makeSpan } from "../../test/support/span.ts";

const TRACE = "c1".repeat(16);
const OTHER_TRACE = "c2".repeat(16);
const id = (byte: string) => byte.repeat(8);
const START_NS = BigInt(Date.UTC(2026, 9, 24, 5)) * 1_000_000n;

/** An SDK's call, a gateway's report of it in another trace, and the agent above. */
const CALL: Partial<Span> = {
  project_id: "alpha",
  start_ns: START_NS,
  trace_id: idBytes(TRACE),
  span_id: idBytes(id("01")),
  parent_span_id: idBytes(id("03")),
  response_id: "resp_1",
  scope_name: "sdk",
  usage_status: "reported",
};
const TWIN: Partial<Span> = {
  ...CALL,
  trace_id: idBytes(OTHER_TRACE),
  span_id: idBytes(id("02")),
  parent_span_id: new Uint8Array(8),
  scope_name: "gateway",
  usage_status: "estimated",
};
const AGENT: Partial<Span> = {
  ...CALL,
  span_id: idBytes(id("03")),
  parent_span_id: new Uint8Array(8),
  span_class: "structure",
  response_id: "",
  session_id: "session-1",
  usage_status: "none",
  cost_status: "none",
};

let test_engine: TestEngine;
let api: TestApi;

beforeAll(async () => {
  test_engine = await openTestEngine();
  api = makeTestApi(test_engine.engine);
  await insertSpans(test_engine.engine, [makeSpan(CALL), makeSpan(TWIN), makeSpan(AGENT)], 1);
  const resolver = new Resolver(test_engine.engine, {
    decide: (candidates, is_settled) =>
      decideCalls(candidates, {
        is_settled,
        prefer_signal: new Map(),
        session_sources: new Set(),
      }),
    session_dialects: [],
    settle_ms: 0,
    window_s: 3600,
    now_ms: Date.now,
    observe: () => {},
  });
  const start_s = Number(START_NS / 1_000_000_000n);
  await resolver.resolveBatch({
    projects: ["alpha"],
    from_s: start_s - 900,
    to_s: start_s + 900,
    first_sequence: 1,
    last_sequence: 1,
  });
});
afterAll(() => test_engine.close());

async function explain(call_id: string): Promise<ExplainAnswer> {
  const { status, json } = await api.ask(`/v1/calls/${call_id}/explain`, "key-alpha");
  expect(status).toBe(200);
  return readStrictly(ExplainAnswer, json);
}

test("a call says why it counts, what it took over, and which reports gave way to it", async () => {
  const call_id = `${TRACE}-${id("01")}`;
  const answer = await explain(call_id);
  expect(answer.call).toMatchObject({ call_id, duplicates: 1, session_id: "session-1" });
  expect(answer.span).toMatchObject({ call_id, counted: true, counted_by: null });
  expect(answer.replaced).toMatchObject([
    {
      call_id: `${OTHER_TRACE}-${id("02")}`,
      scope_name: "gateway",
      counted: false,
      counted_by: call_id,
    },
  ]);
  expect(answer.truncated).toBe(false);
});

test("a report that gave way names the call that counts in its place", async () => {
  const answer = await explain(`${OTHER_TRACE}-${id("02")}`);
  expect(answer.call).toBeNull();
  expect(answer.span).toMatchObject({ counted: false, counted_by: `${TRACE}-${id("01")}` });
  expect(answer.span.reason).not.toBe("");
  expect(answer.replaced).toEqual([]);
});

test("a span that is no call is explained too", async () => {
  const answer = await explain(`${TRACE}-${id("03")}`.toUpperCase());
  expect(answer).toMatchObject({ call: null, span: { span_class: "structure", counted: false } });
});

test("of another project nothing is told", async () => {
  const { status } = await api.ask(`/v1/calls/${TRACE}-${id("01")}/explain`, "key-beta");
  expect(status).toBe(404);
});

test.each(["x", TRACE, `${TRACE}-`, `${TRACE}-${id("01")}0`, `${TRACE}_${id("01")}`])(
  "%s is no call id",
  async (call_id) => {
    const { status, json } = await api.ask(`/v1/calls/${call_id}/explain`, "key-alpha");
    expect([status, json]).toMatchObject([400, { error: { code: "invalid_call_id" } }]);
  },
);
