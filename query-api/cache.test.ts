/**
 * Kept answers: never of another ledger, another project or another question, never more bytes than
 * allowed; and what an HTTP client is told about them.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Engine } from "../clickhouse/engine.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { clearLedger, insertSpans } from "../test/support/ledger.ts";
import { makeSpan } from "../test/support/span.ts";
import { AnswerCache, answerCached, type AskedRequest, canonicalTarget, hasTag } from "./cache.ts";
import { type LedgerState, readLedger } from "./reading.ts";

const ROUTE = { cache: "ledger", method: "GET" } as const;
const RANGE = "from=2026-11-01&to=2026-11-30";

/** One project after another asks; what it is answered, and how often it was computed. */
class Asker {
  readonly cache: AnswerCache;
  version = "1";
  state_revision = 1;
  now_ms = 1_795_000_000_500;
  computed = 0;
  answer: (project_id: string) => Promise<unknown> = async (project_id) => ({
    of: project_id,
    version: this.version,
  });

  constructor(max_bytes = 100_000) {
    this.cache = new AnswerCache({ max_bytes });
  }

  async ask(
    project_id: string,
    path = `/v1/usage?${RANGE}`,
    headers: Record<string, string> = {},
    route: { cache?: "ledger"; method: "GET" | "POST" } = ROUTE,
  ): Promise<Response> {
    const url = `http://host${path}`;
    const request: AskedRequest = {
      project_id,
      url,
      raw: new Request(url, { headers }),
      now_ms: this.now_ms,
    };
    const versions = {
      readLedger: async (): Promise<LedgerState> => ({
        version: this.version,
        dirty_15m: [],
        dirty_days: [],
      }),
      state_revision: this.state_revision,
    };
    const value = await answerCached(this.cache, route, request, versions, async () => {
      this.computed += 1;
      return this.answer(project_id);
    });
    return value instanceof Response ? value : Response.json(value);
  }
}

test("a question asked again is answered without computing, and not at all to who has the answer", async () => {
  const asker = new Asker();
  const first = await asker.ask("alpha");
  const tag = first.headers.get("etag") ?? "";
  expect(tag).toMatch(/^W\/"[\w-]{20,}"$/);
  expect(first.headers.get("cache-control")).toBe("private, no-cache");
  expect(first.headers.get("vary")).toContain("Authorization");
  const text = await first.text();
  const second = await asker.ask("alpha");
  expect(await second.text()).toBe(text);
  expect(second.headers.get("content-type")).toBe("application/json");
  expect(second.headers.get("etag")).toBe(tag);
  const third = await asker.ask("alpha", undefined, { "if-none-match": `"x", ${tag}` });
  expect([third.status, await third.text(), third.headers.get("etag")]).toEqual([304, "", tag]);
  expect(asker.computed).toBe(1);
  expect(asker.cache.counts).toEqual({ hits: 1, misses: 1, not_modified: 1 });
});

test("a changed ledger or state has another tag, and the old answer is given to nobody", async () => {
  const asker = new Asker();
  const tags = new Set<string | null>();
  for (const change of [
    () => {},
    () => (asker.version = "2"),
    () => (asker.state_revision = 2),
    () => (asker.version = "1"), // even when a version came back, the state has not
  ]) {
    change();
    const old = [...tags].join(", ");
    const answer = await asker.ask("alpha", undefined, { "if-none-match": old });
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual({ of: "alpha", version: asker.version });
    tags.add(answer.headers.get("etag"));
  }
  expect([tags.size, asker.computed]).toEqual([4, 4]);
});

test("another project, question, media type or process never gets an answer", async () => {
  const asker = new Asker();
  const mine = await asker.ask("alpha");
  const tag = mine.headers.get("etag") ?? "";
  const has = { "if-none-match": tag };
  const theirs = await asker.ask("beta", undefined, has);
  expect([theirs.status, await theirs.json()]).toEqual([200, { of: "beta", version: "1" }]);
  for (const path of [`/v1/usage?${RANGE}&tz=UTC`, `/v1/calls?${RANGE}`]) {
    expect((await asker.ask("alpha", path, has)).status).toBe(200);
  }
  expect((await asker.ask("alpha", undefined, { ...has, accept: "text/csv" })).status).toBe(200);
  expect((await new Asker().ask("alpha", undefined, has)).status).toBe(200);
  expect(asker.computed).toBe(5);
  // No part of a key reaches into the next.
  expect((await asker.ask('alpha","', "/v1/usage")).headers.get("etag")).not.toBe(
    (await asker.ask("alpha", '/","/v1/usage')).headers.get("etag"),
  );
});

test("the order of parameters does not matter, that of values of one does", () => {
  const target = (query: string) => canonicalTarget(new URL(`http://h/v1/usage?${query}`));
  expect(target("a=1&b=2&a=3")).toBe(target("b=2&a=1&a=3"));
  expect(target("a=1&b=2&a=3")).not.toBe(target("b=2&a=3&a=1"));
  expect(target("a=1%26b%3D2")).not.toBe(target("a=1&b=2"));
});

test("an answer up to now is of its minute, of a range that is over of any", async () => {
  const asker = new Asker();
  for (const [path, computed] of [
    ["/v1/usage", 2],
    ["/v1/usage?from=2026-11-01&to=2026-11-15", 1],
  ] as const) {
    asker.now_ms = Math.ceil(asker.now_ms / 60_000) * 60_000;
    asker.computed = 0;
    await asker.ask("alpha", path);
    asker.now_ms += 59_999;
    await asker.ask("alpha", path);
    expect(asker.computed).toBe(1);
    asker.now_ms += 1;
    await asker.ask("alpha", path);
    expect(asker.computed).toBe(computed);
  }
});

test("an answer of a range that goes on is of its quarter of an hour, until the range is over", async () => {
  const asker = new Asker();
  const end = "2026-11-21T12:00:00Z";
  const asked = async (time: string) => {
    asker.now_ms = Date.parse(time);
    asker.computed = 0;
    await asker.ask("alpha", `/v1/usage?from=2026-11-01&to=${end}&compare=previous`);
    return asker.computed;
  };
  expect(await asked("2026-11-21T10:00:00Z")).toBe(1);
  expect(await asked("2026-11-21T10:14:59Z")).toBe(0);
  expect(await asked("2026-11-21T10:15:00Z")).toBe(1);
  expect(await asked(end)).toBe(1);
  expect(await asked("2026-11-22T10:15:00Z")).toBe(0);
});

test("kept bytes stay below the limit, the least used go first, and none are kept without room", async () => {
  const asker = new Asker(40_000);
  asker.answer = async () => "x".repeat(3_000);
  for (let number = 0; number < 50; number += 1) {
    await asker.ask("alpha", `/v1/usage?${RANGE}&n=${number}`);
    await asker.ask("alpha", `/v1/usage?${RANGE}&n=0`); // always in use
    expect(asker.cache.bytes).toBeLessThanOrEqual(40_000);
  }
  expect(asker.cache.bytes).toBeGreaterThan(30_000);
  expect(asker.computed).toBe(50);
  asker.answer = async () => "x".repeat(6_000); // more than an eighth
  await asker.ask("alpha", `/v1/usage?${RANGE}&large=1`);
  await asker.ask("alpha", `/v1/usage?${RANGE}&large=1`);
  expect(asker.computed).toBe(52);
  const without = new Asker(0);
  await without.ask("alpha");
  await without.ask("alpha");
  expect([without.computed, without.cache.bytes]).toEqual([2, 0]);
});

test("a newer answer takes the place of the older one of the same question", async () => {
  const asker = new Asker();
  await asker.ask("alpha");
  const { bytes } = asker.cache;
  for (let version = 10; version < 60; version += 1) {
    asker.version = String(version);
    await asker.ask("alpha");
  }
  expect(asker.cache.bytes).toBeLessThan(bytes + 10);
});

test("who asks the same at the same time waits for one computation", async () => {
  const asker = new Asker();
  let finish = (_value: unknown) => {};
  asker.answer = () => new Promise((resolve) => (finish = resolve));
  const asked = [asker.ask("alpha"), asker.ask("alpha"), asker.ask("alpha")];
  await new Promise((resolve) => setTimeout(resolve, 5));
  finish({ one: true });
  const texts = await Promise.all(asked.map(async (answer) => (await answer).text()));
  expect(texts).toEqual(Array(3).fill('{"one":true}'));
  expect(asker.computed).toBe(1);
});

test("errors are not kept, streams have a tag and are not kept, other routes are left alone", async () => {
  const asker = new Asker();
  asker.answer = () => Promise.reject(new Error("down"));
  await expect(asker.ask("alpha")).rejects.toThrow("down");
  await expect(asker.ask("alpha")).rejects.toThrow("down");
  asker.answer = async () => new Response("a,b\n", { headers: { "content-type": "text/csv" } });
  const answers = await Promise.all([asker.ask("alpha"), asker.ask("alpha")]);
  for (const answer of answers) {
    expect(await answer.text()).toBe("a,b\n");
    expect(answer.headers.get("content-type")).toBe("text/csv");
  }
  const has = { "if-none-match": answers[0].headers.get("etag") ?? "" };
  expect((await asker.ask("alpha", undefined, has)).status).toBe(304);
  expect(asker.cache.bytes).toBe(0);
  asker.answer = async () => ({ plain: true });
  for (const route of [{ method: "GET" }, { ...ROUTE, method: "POST" }] as const) {
    const plain = await asker.ask("alpha", undefined, has, route);
    expect([plain.status, plain.headers.get("etag")]).toEqual([200, null]);
  }
});

test("entity tags are compared weakly and a header of nonsense fits nothing", () => {
  expect(hasTag('W/"abc"', '"abc"')).toBe(true);
  expect(hasTag('"x" , "abc"', 'W/"abc"')).toBe(true);
  for (const header of [null, "", "abc", '"ABC"', '"abcd"', "*", ",,,"]) {
    expect(hasTag(header, 'W/"abc"')).toBe(false);
  }
});

let test_engine: TestEngine;
let engine: Engine;
beforeAll(async () => {
  test_engine = await openTestEngine();
  engine = test_engine.engine;
});
afterAll(() => test_engine.close());
beforeEach(() => clearLedger(engine));

test("on a real ledger spans change the tag of their project at once, and of no other", async () => {
  const cache = new AnswerCache({ max_bytes: 100_000 });
  const ask = async (project_id: string) => {
    const url = `http://h/v1/usage?${RANGE}`;
    const request = { project_id, url, raw: new Request(url), now_ms: Date.now() };
    const versions = {
      readLedger: (project: string) => readLedger(engine, project),
      state_revision: 1,
    };
    const value = await answerCached(cache, ROUTE, request, versions, async () => {
      const [row] = await engine.query<{ calls: string }>(
        "SELECT sum(calls) AS calls FROM usage_15m WHERE project_id = {project_id:String}",
        { project_id },
      );
      return row;
    });
    const { headers } = value as Response;
    return [await (value as Response).json(), headers.get("etag")] as const;
  };
  const [none, tag_of_none] = await ask("alpha");
  const [, tag_of_beta] = await ask("beta");
  expect(none).toEqual({ calls: "0" });
  for (let sequence = 1; sequence <= 3; sequence += 1) {
    const span_id = new Uint8Array(8).fill(sequence);
    const span = makeSpan({ project_id: "alpha", dialect: "otel-genai", span_id });
    await insertSpans(engine, [span], sequence);
    const [answer, tag] = await ask("alpha");
    expect(answer).toEqual({ calls: String(sequence) });
    expect(tag).not.toBe(tag_of_none);
    expect(await ask("alpha")).toEqual([answer, tag]);
  }
  expect((await ask("beta"))[1]).toBe(tag_of_beta);
});
