/**
 * Deliveries that are late, repeated or out of order (rows C16 to C19), sent to a real collector.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Engine } from "../../clickhouse/engine.ts";
import {
  encode,
  logsOf,
  makeSpan,
  newId,
  nowNs,
  openLaboratory,
  type Outcome,
  post,
  readOutcome,
  settle,
  startTestCollector,
  storedSessions,
  storedSpan,
  storedSpans,
  TAKEN,
  type TestCollector,
  text,
  tracesOf,
} from "../conformance/collector.ts";
import type { OtlpSpan } from "../support/otlp-proto.ts";
import { eventually } from "../support/program.ts";

const DAY_NS = 86_400n * 1_000_000_000n;
const MAX_AGE_DAYS = 100;

let engine: Engine;
let collector: TestCollector;
let close: () => Promise<void>;
beforeAll(async () => {
  const laboratory = await openLaboratory();
  engine = laboratory.engine;
  collector = await startTestCollector(engine, {
    SPANLEDGER_MAX_AGE_S: String(MAX_AGE_DAYS * 86_400),
  });
  close = async () => {
    await collector.stop();
    await laboratory.close();
  };
});
afterAll(() => close());

async function sendSpans(...spans: OtlpSpan[]): Promise<Outcome> {
  const body = encode("traces", "protobuf", tracesOf(...spans));
  return readOutcome("traces", await post(collector, "traces", "protobuf", body));
}

const call = (changes: Partial<OtlpSpan> = {}, tokens = 1000) =>
  makeSpan({
    ...changes,
    attributes: [
      text("gen_ai.operation.name", "chat"),
      text("gen_ai.provider.name", "openai"),
      text("gen_ai.request.model", "gpt-4o-mini"),
      { key: "gen_ai.usage.input_tokens", value: { intValue: tokens } },
      { key: "gen_ai.usage.output_tokens", value: { intValue: 0 } },
    ],
  });

/** What the ledger has of a trace. */
async function readTrace(id: Uint8Array): Promise<{ spans: number; tokens: number }> {
  const [row] = await engine.query<{ spans: string; tokens: string }>(
    `SELECT count() AS spans, sum(tokens_input_uncached) AS tokens FROM spans FINAL
     WHERE trace_id = unhex({id:String})`,
    { id: Buffer.from(id).toString("hex") },
  );
  return { spans: Number(row?.spans), tokens: Number(row?.tokens) };
}

test("C16 a body sent ten times, alone and with others at once, counts once", async () => {
  const span = call();
  expect(await sendSpans(span)).toEqual(TAKEN);
  await Promise.all(Array.from({ length: 8 }, () => sendSpans(call(), span, call())));
  expect(await sendSpans(span, span)).toEqual(TAKEN);
  await settle(collector, engine);
  expect(await readTrace(span.traceId)).toEqual({ spans: 1, tokens: 1000 });
});

test("C17 children before their parent and spans after their logs are stored whole", async () => {
  const trace = newId(16);
  const parentId = newId(8);
  const session = Buffer.from(trace).toString("hex");
  await post(collector, "logs", "protobuf", encode("logs", "protobuf", logsOf(session)));
  const start = nowNs();
  const child = call({ traceId: trace, parentSpanId: parentId, startTimeUnixNano: start + 5n });
  expect(await sendSpans(child)).toEqual(TAKEN);
  expect(
    await sendSpans(makeSpan({ traceId: trace, spanId: parentId, startTimeUnixNano: start })),
  ).toEqual(TAKEN);
  const stored = await storedSpans(engine, trace, 2);
  expect(stored.map(({ parent_span_id }) => parent_span_id)).toEqual([
    "0".repeat(16),
    Buffer.from(parentId).toString("hex"),
  ]);
  expect(await storedSessions(engine, "logs", session)).toHaveLength(1);
});

test("C18 a span seven days late is stored; one older than the limit is refused, told and kept aside", async () => {
  const at = (days: number) => {
    const startTimeUnixNano = nowNs() - BigInt(days) * DAY_NS;
    return call({ startTimeUnixNano, endTimeUnixNano: startTimeUnixNano + 5n });
  };
  const [late, old] = [at(7), at(400)];
  // A form that is known must not let an old one through.
  const outcome = await sendSpans(call(), late, old, call());
  expect(outcome).toMatchObject({ status: 200, rejected: 1 });
  expect(outcome.message).toContain(`${MAX_AGE_DAYS} days old`);
  await storedSpan(engine, late.traceId);
  expect(await readTrace(old.traceId)).toEqual({ spans: 0, tokens: 0 });
  const ask = () =>
    engine.query<{ reason: string }>(
      "SELECT toString(reason) AS reason FROM set_aside_items WHERE trace_id = unhex({id:String})",
      { id: Buffer.from(old.traceId).toString("hex") },
    );
  const { answer: aside } = await eventually(ask, (rows) => rows.length > 0, 10_000);
  expect(aside).toEqual([{ reason: "too_old" }]);
});

test("C19 of a span sent again with other content the last one counts", async () => {
  const span = call({}, 1000);
  for (const tokens of [1000, 7, 2000]) {
    expect(await sendSpans(call({ ...span }, tokens))).toEqual(TAKEN);
    await settle(collector, engine);
  }
  expect(await readTrace(span.traceId)).toEqual({ spans: 1, tokens: 2000 });
});
