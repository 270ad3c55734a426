/**
 * Answers kept by the version of the ledger, through the whole application: the same question costs one
 * look, and no answer is older than what was delivered.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeTestApi, type TestApi } from "../test/support/api.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { insertSpans, replaceMethods } from "../test/support/ledger.ts";
import { idBytes, makeSpan } from "../test/support/span.ts";
import { AnswerCache } from "./cache.ts";

const PATH = "/v1/usage?from=2026-10-26&to=2026-10-27&measures=calls&group_by=model";
const START_NS = BigInt(Date.UTC(2026, 9, 26, 5)) * 1_000_000n;

let test_engine: TestEngine;
let api: TestApi;
let statements: string[] = [];
let sequence = 0;

async function deliver(project_id: string, span_id: string): Promise<void> {
  sequence += 1;
  const span = makeSpan({ project_id, start_ns: START_NS, span_id: idBytes(span_id.repeat(8)) });
  await insertSpans(test_engine.engine, [span], sequence);
}

const callsOf = (json: unknown) => (json as { totals: { calls: number } }).totals.calls;

beforeAll(async () => {
  test_engine = await openTestEngine();
  const counting = replaceMethods(test_engine.engine, {
    query: (sql, params) => {
      statements.push(sql);
      return test_engine.engine.query(sql, params);
    },
  });
  api = makeTestApi(counting, { answers: new AnswerCache({ max_bytes: 1_000_000 }) });
  await deliver("alpha", "01");
  await deliver("beta", "02");
});
afterAll(() => test_engine.close());

test("the same question again costs one look at the version, and 304 for who has the answer", async () => {
  const first = await api.ask(PATH);
  const tag = first.headers.get("etag") ?? "";
  expect([first.status, callsOf(first.json), tag]).toEqual([200, 1, expect.stringMatching(/^W\//)]);
  expect(first.headers.get("cache-control")).toBe("private, no-cache");
  statements = [];
  const again = await api.ask(PATH);
  expect([again.status, again.text, again.headers.get("etag")]).toEqual([200, first.text, tag]);
  const known = await api.ask(PATH, "key-alpha", { headers: { "if-none-match": tag } });
  expect([known.status, known.text]).toEqual([304, ""]);
  expect(statements).toHaveLength(2);
});

test("another project has its own answer and its own tag", async () => {
  const own = await api.ask(PATH);
  const tag = own.headers.get("etag") ?? "";
  await deliver("beta", "03");
  const other = await api.ask(PATH, "key-beta", { headers: { "if-none-match": tag } });
  expect([other.status, callsOf(other.json)]).toEqual([200, 2]);
  expect(other.headers.get("etag")).not.toBe(tag);
});

test("what is delivered is in the next answer, and the old tag is of no use", async () => {
  const before = await api.ask(PATH);
  const tag = before.headers.get("etag") ?? "";
  await deliver("alpha", "04");
  const after = await api.ask(PATH, "key-alpha", { headers: { "if-none-match": tag } });
  expect([after.status, callsOf(after.json)]).toEqual([200, callsOf(before.json) + 1]);
});

test("single calls and traces are never kept", async () => {
  for (const path of ["/v1/calls", "/v1/traces"]) {
    const { headers } = await api.ask(`${path}?from=2026-10-26&to=2026-10-27`);
    expect([path, headers.get("etag"), headers.get("cache-control")]).toEqual([
      path,
      null,
      "no-store",
    ]);
  }
});
