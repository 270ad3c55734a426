/**
 * `GET /v1/traces` against what was delivered: every trace once, where it starts, with the sums of its
 * calls, in every order, found by every filter, of one project only.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type TraceRow, TracesAnswer } from "../../schemas/api-traces.ts";
import { callOfSpan } from "../../schemas/call-of-span.ts";
import { Attributes, type Span } from "../../schemas/span.ts";
import { formatTimestamp, formatUsd, parseUsd } from "../../schemas/units.ts";
import { makeTestApi, readStrictly, type TestApi } from "../../test/support/api.ts";
import { openTestEngine, type TestEngine } from "../../test/support/engine.ts";
import { insertSpans, LedgerModel } from "../../test/support/ledger.ts";
import { makeRandomSpan } from "../../test/support/random-span.ts";
import { makeRandom } from "../../test/support/random.ts";
import { makeSpan } from "../../test/support/span.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const FROM_MS = Date.UTC(2026, 9, 20);
const TO_MS = FROM_MS + 3 * DAY_MS;
const RANGE = "from=2026-10-20&to=2026-10-23";

let test_engine: TestEngine;
let api: TestApi;
const model = new LedgerModel();
const random = makeRandom(11);
let sequence = 0;

async function deliver(spans: readonly Span[]): Promise<void> {
  sequence += 1;
  model.deliver(spans);
  await insertSpans(test_engine.engine, spans, sequence);
}

/** A trace of up to six spans: a root without usage, and calls below it that start later. */
function makeTrace(start_ms: number, project_id: string): Span[] {
  const trace_id = random.bytes(16);
  const root_id = random.bytes(8);
  const start_ns = BigInt(Math.floor(start_ms)) * 1_000_000n + BigInt(random.whole(1_000_000));
  const root = {
    ...makeSpan({ project_id, trace_id, start_ns, span_id: root_id }),
    name: random.pick(["answer Question", "index", "it's a 100% trace"]),
    span_class: "structure" as const,
    status: random.chance(0.2) ? ("error" as const) : ("ok" as const),
    duration_ns: BigInt(random.whole(20_000)) * 1_000_000n,
    tokens: makeSpan().tokens.map(() => null),
    cost: makeSpan().cost.map(() => null),
  };
  const children = Array.from({ length: random.whole(6) }, () => {
    const tags = new Attributes();
    if (random.chance(0.5)) tags.add("team", random.pick(["search", "it's"]));
    return {
      ...makeRandomSpan(
        random,
        project_id,
        start_ns + BigInt(random.whole(9_000_000)) * 1_000_000n,
      ),
      trace_id,
      parent_span_id: root_id,
      tags,
    };
  });
  return [root, ...children];
}

beforeAll(async () => {
  test_engine = await openTestEngine();
  api = makeTestApi(test_engine.engine);
  // Most of them in the last hours, some long before, some that began before the range.
  const starts = [
    ...Array.from({ length: 90 }, () => TO_MS - random.next() * 6 * HOUR_MS),
    ...Array.from({ length: 40 }, () => FROM_MS + random.next() * 3 * DAY_MS),
    ...Array.from({ length: 6 }, () => FROM_MS - 1 - random.next() * HOUR_MS),
    ...Array.from({ length: 3 }, () => TO_MS + random.next() * HOUR_MS),
  ];
  const traces = starts.map((start) => makeTrace(start, random.chance(0.85) ? "alpha" : "beta"));
  await deliver(traces.flat());
  await deliver(traces.flat().slice(0, 50));
});
afterAll(() => test_engine.close());

interface Truth {
  readonly trace_id: string;
  readonly start_ns: bigint;
  readonly duration_ns: bigint;
  readonly name: string;
  readonly cost: bigint | null;
  readonly spans: readonly Span[];
  readonly calls: readonly Span[];
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** The traces of a project that start in the range, newest first. */
function truths(project_id = "alpha"): Truth[] {
  const groups = new Map<string, Span[]>();
  for (const span of model.spans()) {
    if (span.project_id !== project_id) continue;
    groups.set(hex(span.trace_id), [...(groups.get(hex(span.trace_id)) ?? []), span]);
  }
  const all = [...groups].map(([trace_id, spans]): Truth => {
    spans.sort((a, b) => (a.start_ns < b.start_ns ? -1 : 1));
    const start_ns = spans[0]?.start_ns ?? 0n;
    let end_ns = 0n;
    for (const span of spans) {
      if (span.start_ns + span.duration_ns > end_ns) end_ns = span.start_ns + span.duration_ns;
    }
    const calls = spans.filter((span) => span.span_class === "billable");
    const costs = calls.flatMap((span) => callOfSpan(span).cost_usd ?? []);
    const cost = costs.reduce((sum, usd) => sum + (parseUsd(usd) ?? 0n), 0n);
    const root = spans.find((span) => hex(span.parent_span_id) === "0".repeat(16)) ?? spans[0];
    return {
      trace_id,
      start_ns,
      duration_ns: end_ns - start_ns,
      name: root?.name ?? "",
      cost: costs.length === 0 ? null : cost,
      spans,
      calls,
    };
  });
  return all
    .filter(({ start_ns }) => {
      return start_ns >= BigInt(FROM_MS) * 1_000_000n && start_ns < BigInt(TO_MS) * 1_000_000n;
    })
    .sort((a, b) => (a.start_ns > b.start_ns ? -1 : 1));
}

async function readPage(query: string, key?: string): Promise<TracesAnswer> {
  const { status, text, json } = await api.ask(`/v1/traces?${query}`, key);
  expect(status, `${query} answered ${text.slice(0, 300)}`).toBe(200);
  return readStrictly(TracesAnswer, json);
}

async function readAll(
  query: string,
  between: () => Promise<void> = async () => {},
  key?: string,
): Promise<TraceRow[]> {
  const rows: TraceRow[] = [];
  for (let cursor: string | null = ""; cursor !== null;) {
    const suffix: string = cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    const answer = await readPage(`${query}${suffix}`, key);
    rows.push(...answer.traces);
    cursor = answer.next_cursor;
    if (cursor !== null) await between();
  }
  return rows;
}

function ids(rows: readonly { readonly trace_id: string }[]): string[] {
  return rows.map(({ trace_id }) => trace_id);
}

test("every trace is answered once, newest first, with the sums of its spans and calls", async () => {
  const expected = truths();
  expect(expected.length).toBeGreaterThan(100);
  const rows = await readAll(`${RANGE}&limit=200`);
  expect(ids(rows)).toEqual(ids(expected));
  for (const [index, truth] of expected.entries()) {
    const calls = truth.calls.map((span) => callOfSpan(span));
    expect(rows[index]).toMatchObject({
      name: truth.name,
      start_time: formatTimestamp(truth.start_ns),
      duration_ns: Number(truth.duration_ns),
      spans: truth.spans.length,
      failed_spans: truth.spans.filter((span) => span.status === "error").length,
      calls: calls.length,
      errors: calls.filter((call) => call.status === "error").length,
      cost_usd: truth.cost === null ? null : formatUsd(truth.cost),
      coverage: {
        calls: calls.length,
        calls_unpriced: calls.filter((call) => call.cost_status !== "priced").length,
      },
    });
    const inputs = calls.flatMap((call) => call.input_total ?? []);
    const total = inputs.length === 0 ? null : inputs.reduce((sum, tokens) => sum + tokens, 0);
    expect(rows[index]?.input_total).toBe(total);
    const users = new Set(calls.flatMap((call) => call.user_id ?? []));
    expect(rows[index]?.users).toEqual([...users].sort());
    const models = calls.flatMap((call) => call.response_model ?? call.request_model ?? []);
    expect(new Set(rows[index]?.models)).toEqual(new Set(models));
  }
});

test("the sums of a trace are those of its own page", async () => {
  const rows = (await readPage(`${RANGE}&limit=5&order_by=calls`)).traces;
  for (const row of rows) {
    const { json } = await api.ask(`/v1/traces/${row.trace_id}`);
    expect(json).toMatchObject({
      duration_ns: row.duration_ns,
      totals: { calls: row.calls, errors: row.errors, cost_usd: row.cost_usd },
      coverage: row.coverage,
    });
  }
});

test("the other project has its own traces and sees none of these", async () => {
  const rows = await readAll(`${RANGE}&limit=200`, undefined, "key-beta");
  expect(ids(rows)).toEqual(ids(truths("beta")));
  expect(rows.length).toBeGreaterThan(5);
});

test.each([
  ["cost", (truth: Truth) => truth.cost ?? -1n],
  ["duration", (truth: Truth) => truth.duration_ns],
  ["calls", (truth: Truth) => BigInt(truth.calls.length)],
] as const)("traces are ordered by %s, over pages too", async (order, rankOf) => {
  const rows = await readAll(`${RANGE}&order_by=${order}&limit=37`);
  const expected = truths().sort((a, b) => {
    if (rankOf(a) !== rankOf(b)) return rankOf(a) > rankOf(b) ? -1 : 1;
    return a.start_ns > b.start_ns ? -1 : 1;
  });
  expect(ids(rows)).toEqual(ids(expected));
});

test("pages of every size are the same list, whatever arrives between them", async () => {
  const expected = ids(truths());
  for (const limit of [7, 50]) {
    const rows = await readAll(`${RANGE}&limit=${limit}`);
    expect(ids(rows)).toEqual(expected);
  }
  let late = 0;
  const rows = await readAll(`${RANGE}&limit=20`, async () => {
    late += 1;
    // Newer than all that was given: it belongs before the first page.
    if (late <= 2) await deliver(makeTrace(TO_MS - 1 - late, "alpha"));
  });
  expect(ids(rows)).toEqual(expected);
  expect(late).toBeGreaterThan(3);
});

/** A filter, and what must hold of a trace that it lets through. */
const FILTERS: readonly (readonly [string, (truth: Truth) => boolean])[] = [
  ["user_id=user-3&user_id=user-4", ({ calls }) => calls.some(isOfUser("user-3", "user-4"))],
  ["provider=openai", ({ calls }) => calls.some((span) => span.provider === "openai")],
  [
    "provider=openai&user_id=user-3",
    ({ calls }) => calls.some((span) => span.provider === "openai" && span.user_id === "user-3"),
  ],
  ["error_type=x", ({ calls }) => calls.some(({ error_type }) => error_type === "x")],
  [
    "streaming=true&service_tier=batch&finish_reason=stop",
    ({ calls }) =>
      calls.some(
        ({ streaming, service_tier, finish_reason }) =>
          streaming === true && service_tier === "batch" && finish_reason === "stop",
      ),
  ],
  ["service_name=it%27s", ({ calls }) => calls.some((span) => span.service_name === "it's")],
  ["tag.team=search", ({ calls }) => calls.some(isOfTeam("search"))],
  [
    "tag.team=it%27s&tag.team=search&provider=openai",
    ({ calls }) =>
      calls.some((span) => span.provider === "openai" && isOfTeam("search", "it's")(span)),
  ],
  ["has_errors=true", ({ spans }) => spans.some((span) => span.status === "error")],
  ["has_errors=false", ({ spans }) => !spans.some((span) => span.status === "error")],
  ["name=QUESTION", ({ name }) => name === "answer Question"],
  ["name=100%25", ({ name }) => name === "it's a 100% trace"],
  ["min_duration_ms=9000", ({ duration_ns }) => duration_ns >= 9_000_000_000n],
  ["min_cost_usd=1000.5", ({ cost }) => cost !== null && cost >= 1_000_500_000_000_000n],
];

function isOfTeam(...teams: readonly string[]) {
  return (span: Span) => teams.some((team) => span.tags.get("team") === team);
}

function isOfUser(...users: readonly string[]) {
  return (span: Span) => users.includes(span.user_id);
}

test.each(FILTERS)(
  "the filter %s lets through what fits it and nothing else",
  async (query, fits) => {
    const expected = truths().filter((truth) => fits(truth));
    expect(expected.length).toBeGreaterThan(0);
    expect(expected.length).toBeLessThan(truths().length);
    expect(ids(await readAll(`${RANGE}&${query}&limit=9`))).toEqual(ids(expected));
    expect(new Set(ids(await readAll(`${RANGE}&${query}&order_by=cost&limit=200`)))).toEqual(
      new Set(ids(expected)),
    );
  },
);

test("the newest page reads nothing of the days before it", async () => {
  const read: string[] = [];
  const { engine } = test_engine;
  const watched = makeTestApi({
    ...engine,
    query: <Row>(sql: string, params: Record<string, unknown> = {}) => {
      read.push(String(params["from_s"]));
      return engine.query<Row>(sql, params as never);
    },
  });
  const { status } = await watched.ask(`/v1/traces?${RANGE}&limit=10`);
  expect(status).toBe(200);
  expect(Math.min(...read.map(Number))).toBeGreaterThan(TO_MS / 1000 - 86_400);
});

test("cursors that are not ours, and of other questions, are refused", async () => {
  const given = (await readPage(`${RANGE}&limit=2`)).next_cursor as string;
  expect((await api.ask(`/v1/traces?${RANGE}&cursor=${given}`)).status).toBe(200);
  const forged = Buffer.from(given, "base64url").toString().replace("start", "price");
  const queries = [
    `cursor=${Buffer.from(forged).toString("base64url")}`,
    "cursor=x",
    `order_by=cost&cursor=${given}`,
    `from=2026-10-21&cursor=${given}`,
  ];
  for (const query of queries) {
    const { status, json } = await api.ask(`/v1/traces?${query}`);
    expect({ query, status, json }).toMatchObject({
      status: 400,
      json: { error: { code: "invalid_cursor" } },
    });
  }
});

test("parameters that make no sense are refused, each by its name", async () => {
  const queries = ["limit=0", "limit=201", "order_by=price", "min_cost_usd=-1", "has_errors=maybe"];
  for (const query of [...queries, "min_duration_ms=1.5", "name=", "sql=1"]) {
    const { status, json } = await api.ask(`/v1/traces?${query}`);
    expect({ query, status, json }).toMatchObject({
      status: 400,
      json: { error: { code: "invalid_query", details: [{ path: query.split("=")[0] }] } },
    });
  }
});
