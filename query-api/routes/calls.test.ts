/**
 * `GET /v1/calls` against what was delivered: every call once, as `explain` would print it, of one
 * project only, whatever arrives between two pages.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { CallsAnswer } from "../../schemas/api.ts";
import { callOfSpan } from "../../schemas/call-of-span.ts";
import type { CallRow } from "../../schemas/call.ts";
import { Attributes, type Span } from "../../schemas/span.ts";
import { type DimensionName, CALL_FILTER_NAMES } from "../../schemas/usage.ts";
import { makeReader, makeTestApi, readStrictly, type TestApi } from "../../test/support/api.ts";
import { openTestEngine, type TestEngine } from "../../test/support/engine.ts";
import { insertSpans, LedgerModel } from "../../test/support/ledger.ts";
import { makeRandomSpan, ODD_TEXTS } from "../../test/support/random-span.ts";
import { makeRandom } from "../../test/support/random.ts";
import { byClass, idBytes, makeSpan } from "../../test/support/span.ts";
import { dimensionOf } from "../../test/support/usage-truth.ts";

const DAY_MS = 86_400_000;
const FROM_MS = Date.UTC(2026, 9, 24);
const TO_MS = FROM_MS + DAY_MS;
const RANGE = "from=2026-10-24&to=2026-10-25";

let test_engine: TestEngine;
let api: TestApi;
const model = new LedgerModel();
const random = makeRandom(7);
let sequence = 0;

async function deliver(spans: readonly Span[]): Promise<void> {
  sequence += 1;
  model.deliver(spans);
  await insertSpans(test_engine.engine, spans, sequence);
}

function spanAt(start_ms: number, project_id = "alpha"): Span {
  const start_ns = BigInt(Math.floor(start_ms)) * 1_000_000n + BigInt(random.whole(1_000_000));
  return makeRandomSpan(random, project_id, start_ns);
}

beforeAll(async () => {
  test_engine = await openTestEngine();
  api = makeTestApi(test_engine.engine);
  const spans = Array.from({ length: 1_200 }, () =>
    spanAt(FROM_MS + random.next() * DAY_MS, random.chance(0.75) ? "alpha" : "beta"),
  );
  // Calls of one instant, so that pages end between them.
  const at = spanAt(FROM_MS + DAY_MS / 2).start_ns;
  const together = Array.from({ length: 40 }, () => makeRandomSpan(random, "alpha", at));
  const ids = idBytes("aa00000000000000000000000000bb00");
  const one_trace = Array.from({ length: 12 }, () => ({
    ...spanAt(FROM_MS + 1_000),
    trace_id: ids,
  }));
  await deliver([...spans, ...together, ...one_trace]);
  await deliver(spans.slice(0, 200));
  await deliver([spanAt(FROM_MS - 1), spanAt(TO_MS), spanAt(TO_MS, "beta")]);
});
afterAll(() => test_engine.close());

function inRange(span: Span): boolean {
  return (
    span.start_ns >= BigInt(FROM_MS) * 1_000_000n && span.start_ns < BigInt(TO_MS) * 1_000_000n
  );
}

/** The rows of the calls of a project in the range, newest first. */
function truth(project_id: string, test: (span: Span) => boolean = () => true): CallRow[] {
  const calls = model
    .calls()
    .filter((span) => span.project_id === project_id && inRange(span) && test(span));
  const rows = calls.map((span) => ({ start_ns: span.start_ns, row: callOfSpan(span) }));
  rows.sort((a, b) => {
    if (a.start_ns !== b.start_ns) return a.start_ns > b.start_ns ? -1 : 1;
    return a.row.call_id > b.row.call_id ? -1 : 1;
  });
  return rows.map(({ row }) => row);
}

async function readPage(query: string, key?: string): Promise<CallsAnswer> {
  const { status, text, json } = await api.ask(`/v1/calls?${query}`, key);
  expect(status, `${query} answered ${text.slice(0, 300)}`).toBe(200);
  return readStrictly(CallsAnswer, json);
}

/** All pages; something may happen between two. */
async function readAll(
  query: string,
  key?: string,
  between: (page: number) => Promise<void> = async () => {},
): Promise<CallRow[]> {
  const rows: CallRow[] = [];
  let cursor: string | null = "";
  for (let page = 1; cursor !== null; page += 1) {
    const suffix = cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    const answer = await readPage(`${query}${suffix}`, key);
    rows.push(...answer.calls);
    cursor = answer.next_cursor;
    if (cursor !== null) await between(page);
  }
  return rows;
}

test("every delivered call is answered once, as its span says, newest first", async () => {
  expect(truth("alpha").length).toBeGreaterThan(700);
  expect(await readAll(`${RANGE}&limit=1000`)).toEqual(truth("alpha"));
});

test("the other project has its own calls and sees none of these", async () => {
  const rows = await readAll(`${RANGE}&limit=1000`, "key-beta");
  expect(rows).toEqual(truth("beta"));
  expect(rows.length).toBeGreaterThan(200);
});

test("every field of a full call is answered exactly", async () => {
  const full = makeSpan({
    project_id: "full",
    start_ns: BigInt(FROM_MS) * 1_000_000n + 123_456_789n,
    parent_span_id: idBytes("b1b2b3b4b5b6b7b8"),
    status: "error",
    error_type: "rate_limit",
    http_status: 429,
    streaming: false,
    ttft_ns: 0n,
    tokens: byClass({ input_uncached: 0, output_text: 1_000_000_000 }),
    cost: byClass({ input_uncached: 0n, output_text: 999_999_999_999_999_999n }),
    client_cost: 0n,
    service_tier: "flex",
    tags: new Attributes(["k", "k", "weird 'key'"], ["old", "new", "\\'\n\t"]),
    signal: "log",
  });
  await insertSpans(test_engine.engine, [full], 1);
  const only = makeTestApi(test_engine.engine, {
    authenticate: () => ({ actor: makeReader("full"), expires_at_ms: null }),
  });
  const { json } = await only.ask(`/v1/calls?${RANGE}`);
  const [row] = readStrictly(CallsAnswer, json).calls;
  expect(row).toEqual(callOfSpan(full));
  expect(row).toMatchObject({
    start_time: "2026-10-24T00:00:00.123456789Z",
    ttft_ns: 0,
    streaming: false,
    tags: { k: "new", "weird 'key'": "\\'\n\t" },
    cost_usd: "999999.999999999999",
    client_cost_usd: "0",
    tokens: { input_uncached: 0, cache_read: null, output_text: 1_000_000_000 },
    cost: { input_uncached: "0", cache_read: null, output_text: "999999.999999999999" },
  });
});

test("pages visit each call that was there exactly once while others arrive", async () => {
  const before = truth("alpha").map((row) => row.call_id);
  const rows = await readAll(`${RANGE}&limit=60`, "key-alpha", async (page) => {
    if (page % 4 !== 0) return;
    // Newer and older than the page, and a call of the page once more.
    const again = model.calls().find((span) => callOfSpan(span).call_id === before[page]) as Span;
    await deliver([spanAt(TO_MS - page), spanAt(FROM_MS + page), again]);
  });
  const visited = rows.map((row) => row.call_id);
  expect(new Set(visited).size).toBe(visited.length);
  expect(before.filter((id) => !visited.includes(id))).toEqual([]);
  const arrived = new Set(truth("alpha").map((row) => row.call_id));
  expect(visited.filter((id) => !arrived.has(id))).toEqual([]);
});

test("pages between calls of one instant lose and repeat none", async () => {
  const rows = await readAll(`from=2026-10-24T11:59:59Z&to=2026-10-24T12:00:01Z&limit=7`);
  const expected = truth("alpha", ({ start_ns }) => {
    const ms = Number(start_ns / 1_000_000n) - FROM_MS - DAY_MS / 2;
    return ms >= -1_000 && ms < 1_000;
  });
  expect(expected.length).toBeGreaterThan(25);
  expect(rows).toEqual(expected);
});

test("pages keep the range of the first when no range was given", async () => {
  let now_ms = TO_MS;
  const moving = makeTestApi(test_engine.engine, { now_ms: () => now_ms });
  const first = readStrictly(CallsAnswer, (await moving.ask("/v1/calls?limit=5")).json);
  now_ms += 3_600_000;
  const { json } = await moving.ask(`/v1/calls?limit=5&cursor=${String(first.next_cursor)}`);
  const second = readStrictly(CallsAnswer, json);
  expect([second.from, second.to]).toEqual([first.from, first.to]);
  const ids = [...first.calls, ...second.calls].map((row) => row.call_id);
  expect(ids).toEqual(
    truth("alpha")
      .slice(0, 10)
      .map((row) => row.call_id),
  );
});

test("a page has as many calls as asked for, 100 by default, and the last no cursor", async () => {
  expect((await readPage(`${RANGE}&limit=1`)).calls).toHaveLength(1);
  expect((await readPage(RANGE)).calls).toHaveLength(100);
  const count = truth("beta").length;
  const exact = await readPage(`${RANGE}&limit=${count}`, "key-beta");
  expect(exact.calls).toHaveLength(count);
  expect(exact.next_cursor).toBeNull();
  const less = await readPage(`${RANGE}&limit=${count - 1}`, "key-beta");
  expect(less.next_cursor).not.toBeNull();
});

/** Every second value that calls of the project have. */
function someValues(name: DimensionName): string[] {
  const spans = model.calls().filter((span) => span.project_id === "alpha" && inRange(span));
  const values = new Set(spans.map((span) => dimensionOf(span, name)));
  return [...values].toSorted().filter((_value, index) => index % 2 === 1);
}

test("each filter selects the calls of exactly its values", async () => {
  const odd = ODD_TEXTS.slice(0, 7);
  const filters: [DimensionName, string[]][] = [
    ...CALL_FILTER_NAMES.map((name): [DimensionName, string[]] => [
      name,
      [...odd, "user-1", "chat", ...someValues(name)],
    ]),
    ...["error_type", "finish_reason", "service_tier", "streaming"].map(
      (name): [DimensionName, string[]] => [name as DimensionName, [""]],
    ),
    ...odd.map((text): [DimensionName, string[]] => ["user_id", [text]]),
  ];
  for (const [name, values] of filters) {
    const params = new URLSearchParams(values.map((value): [string, string] => [name, value]));
    const rows = await readAll(`${RANGE}&limit=1000&${params.toString()}`);
    expect(rows, name).toEqual(truth("alpha", (span) => values.includes(dimensionOf(span, name))));
  }
});

test("several filters must all fit", async () => {
  const rows = await readAll(
    `${RANGE}&limit=1000&provider=openai&provider=google&environment=prod`,
  );
  expect(rows.length).toBeGreaterThan(10);
  expect(rows).toEqual(
    truth(
      "alpha",
      (span) => ["openai", "google"].includes(span.provider) && span.environment === "prod",
    ),
  );
});

test("a status is that of the row", async () => {
  for (const status of ["ok", "error"] as const) {
    const rows = await readAll(`${RANGE}&limit=1000&status=${status}`);
    expect(rows.length).toBeGreaterThan(20);
    expect(rows).toEqual(truth("alpha").filter((row) => row.status === status));
  }
});

test("a trace gives its calls, whatever the case of its id", async () => {
  const id = "AA00000000000000000000000000bb00";
  const expected = truth("alpha").filter((row) => row.trace_id === id.toLowerCase());
  expect(expected.length).toBeGreaterThan(5);
  expect(await readAll(`${RANGE}&trace_id=${id}`)).toEqual(expected);
  expect(await readAll(`${RANGE}&trace_id=${id}`, "key-beta")).toEqual([]);
});

test("a call corrected to another user is no more found under the first", async () => {
  const [call] = model.calls().filter((span) => span.project_id === "alpha" && inRange(span));
  const moved = { ...(call as Span), user_id: "moved-to", session_id: "moved-session" };
  await deliver([moved]);
  for (const query of ["user_id=moved-to", "session_id=moved-session"]) {
    expect(await readAll(`${RANGE}&${query}`)).toEqual([callOfSpan(moved)]);
  }
  await deliver([{ ...moved, user_id: "moved-on", session_id: "moved-on" }]);
  for (const query of ["user_id=moved-to", "session_id=moved-session"]) {
    expect(await readAll(`${RANGE}&${query}`)).toEqual([]);
  }
});

function forge(fields: readonly (string | number)[]): string {
  return Buffer.from(fields.join(":")).toString("base64url");
}

test("a cursor that the server did not give is refused", async () => {
  const trace_id = "a".repeat(32);
  const span_id = "b".repeat(16);
  const inside_ns = `${FROM_MS + 5}000000`;
  const given = (await readPage(`${RANGE}&limit=2`)).next_cursor as string;
  const forged = [
    "",
    "x",
    "AAAA",
    `${given}!`,
    `${given}AAAA`,
    given.slice(0, -3),
    forge([FROM_MS, TO_MS, inside_ns, trace_id]),
    forge([FROM_MS, TO_MS, inside_ns, trace_id, "b' OR '1'='1"]),
    forge([FROM_MS, TO_MS, "9".repeat(19), trace_id, span_id]),
    forge([FROM_MS, TO_MS, "9".repeat(20), trace_id, span_id]),
    forge([FROM_MS, TO_MS, "0", trace_id, span_id]),
    forge([FROM_MS, "9".repeat(15), inside_ns, trace_id, span_id]),
    forge([TO_MS, FROM_MS, inside_ns, trace_id, span_id]),
    forge([-5, TO_MS, inside_ns, trace_id, span_id]),
    forge([`0${FROM_MS}`, TO_MS, inside_ns, trace_id, span_id]),
  ];
  for (const cursor of forged) {
    const { status, json } = await api.ask(`/v1/calls?cursor=${encodeURIComponent(cursor)}`);
    expect({ cursor, status, json }).toMatchObject({
      status: 400,
      json: { error: { code: "invalid_cursor", details: [{ path: "cursor" }] } },
    });
  }
});

test("a cursor shows another project its own calls only", async () => {
  const given = (await readPage(`${RANGE}&limit=100`)).next_cursor as string;
  const { calls } = await readPage(`cursor=${given}&limit=1000`, "key-beta");
  expect(calls.length).toBeGreaterThan(50);
  expect(calls.every((row) => row.project === "beta")).toBe(true);
});

test("a range beside a cursor must be the cursor's", async () => {
  const given = (await readPage(`${RANGE}&limit=2`)).next_cursor as string;
  const same = await api.ask(`/v1/calls?${RANGE}&cursor=${given}`);
  expect(same.status).toBe(200);
  for (const range of ["from=2026-10-23&to=2026-10-25", "to=2026-10-26"]) {
    const { status, json } = await api.ask(`/v1/calls?${range}&cursor=${given}`);
    expect(status).toBe(400);
    expect(json).toMatchObject({ error: { code: "invalid_cursor" } });
  }
});

test("a range of months is one ledger: pages go on over quiet weeks and stop at its ends", async () => {
  // Days before TO_MS: within the first part that is looked at, at its edges, and far behind it.
  const ages = [0.5, 1, 1.000_001, 4.9, 5, 5.1, 20, 21, 60, 84.999, 85, 150];
  const spans = ages.map((days) => ({
    ...makeSpan({ project_id: "gamma" }),
    span_id: random.bytes(8),
    trace_id: random.bytes(16),
    start_ns: BigInt(Math.round(TO_MS - days * DAY_MS)) * 1_000_000n,
  }));
  await insertSpans(test_engine.engine, spans, 1_000);
  const months = makeTestApi(test_engine.engine, {
    authenticate: () => ({ actor: makeReader("gamma"), expires_at_ms: null }),
  });
  const readStarts = async (query: string) => {
    const starts: string[] = [];
    for (let cursor: string | null = ""; cursor !== null;) {
      const suffix: string = cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`;
      const { json } = await months.ask(`/v1/calls?to=2026-10-25&${query}${suffix}`);
      const answer = readStrictly(CallsAnswer, json);
      starts.push(...answer.calls.map((call) => call.start_time));
      cursor = answer.next_cursor;
    }
    return starts;
  };
  const all = spans.map((span) => callOfSpan(span).start_time);
  for (const limit of [1, 3, 100]) {
    expect(await readStarts(`from=2026-01-01&limit=${limit}`)).toEqual(all);
  }
  expect(await readStarts("from=2026-09-01&limit=4")).toEqual(all.slice(0, 8));
  expect(await readStarts("from=2026-10-24T18:00:00Z&limit=4")).toEqual([]);
});
