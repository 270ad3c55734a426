/**
 * The examples of the reference, asked one by one of an installation with the things that they name:
 * each is answered as its route says, to the last field. With SPANLEDGER_TEST_UPDATE=1 the answers are
 * kept in docs/reference/api-examples.json, from which the reference shows them.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makePriceLister } from "../cli/price-lister.ts";
import { loadPrices } from "../collector/pipeline.ts";
import { ExportFiles } from "../rights/export-files.ts";
import { LiveFrame } from "../schemas/api-live.ts";
import { makeOperator } from "../schemas/access.ts";
import type { Job } from "../schemas/jobs.ts";
import { Attributes, type Span } from "../schemas/span.ts";
import type { Key, StateBody, StateKind } from "../schemas/state.ts";
import { AuditLog } from "../state/audit.ts";
import { makeTestApi, readStrictly, type TestApi } from "../test/support/api.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { insertSpans } from "../test/support/ledger.ts";
import { makeRandom } from "../test/support/random.ts";
import { byClass, idBytes, makeSpan } from "../test/support/span.ts";
import { writeAudit } from "./audit.ts";
import { EXAMPLE_IDS as ids } from "./examples.ts";
import { LiveHub } from "./live.ts";
import type { Method, Route, RouteExample } from "./route.ts";
import { describeRoutes } from "./routes.ts";

const NOW_MS = Date.UTC(2026, 10, 21, 12);
const HOUR_MS = 3_600_000;
const CREATED_AT = "2026-10-01T00:00:00.000Z";
const STAMPS = { created_at: CREATED_AT, updated_at: CREATED_AT };
const { organization_id, project_id } = ids;

const KEPT = new URL("../docs/reference/api-examples.json", import.meta.url);
const UPDATES = process.env["SPANLEDGER_TEST_UPDATE"] === "1";
/** An answer is shown up to so many characters. */
const MAX_SHOWN_LENGTH = 20_000;
/** Items of a list that are shown. */
const MAX_SHOWN_ITEMS = 2;

const random = makeRandom(3);
let test_engine: TestEngine;
let directory: string;
let api: TestApi;
let live: LiveHub;
const answers = new Map<string, { status: number; body: unknown }>();

/** Calls of a week: three models, one of them without a price, some that failed. */
function makeCalls(): Span[] {
  const models = ["gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18", "llama-local"];
  return Array.from({ length: 90 }, (_, number) => {
    const model = models[number % 3] ?? "";
    const is_priced = number % 3 !== 2;
    const has_failed = number % 13 === 0;
    const input = 200 + random.whole(2_000);
    const output = 20 + random.whole(400);
    const span = makeSpan({
      start_ns: BigInt(NOW_MS - 60_000 - number * 2 * HOUR_MS) * 1_000_000n,
      duration_ns: BigInt(300 + random.whole(4_000)) * 1_000_000n,
      trace_id: random.bytes(16),
      span_id: random.bytes(8),
      request_model: model,
      response_model: model,
      response_id: `chatcmpl-${number}`,
      service_name: number % 2 === 0 ? "checkout" : "search",
      environment: "production",
      user_id: `user-${number % 4}`,
      session_id: `session-${number % 9}`,
      tags: new Attributes(["team"], [number % 2 === 0 ? "shop" : "find"]),
      tokens: byClass({ input_uncached: input, output_text: output }),
      cost: is_priced
        ? byClass({
            input_uncached: BigInt(input) * 150_000n,
            output_text: BigInt(output) * 600_000n,
          })
        : byClass({}),
      cost_status: is_priced ? "priced" : "unpriced",
      price_id: is_priced ? "openai/gpt-4o-mini/standard/initial" : "",
    });
    return has_failed
      ? { ...span, status: "error", error_type: "timeout", http_status: 504 }
      : span;
  });
}

/** The trace that the examples name: an agent, and two calls below it. */
function makeExampleTrace(): Span[] {
  const trace_id = idBytes(ids.trace_id);
  const root_id = idBytes("53995c3f42cd8ad8");
  const start_ns = BigInt(NOW_MS - 120_000) * 1_000_000n;
  const call = makeSpan({ trace_id, parent_span_id: root_id, user_id: "user-1" });
  return [
    makeSpan({
      trace_id,
      span_id: root_id,
      start_ns,
      name: "answer question",
      span_class: "structure",
      operation: "invoke_agent",
      tokens: byClass({}),
      cost: byClass({}),
      cost_status: "none",
      usage_status: "none" as Span["usage_status"],
    }),
    { ...call, span_id: idBytes(ids.span_id), start_ns: start_ns + 1_000_000n },
    { ...call, span_id: random.bytes(8), start_ns: start_ns + 900_000_000n },
  ];
}

function makeKey(key_id: string, of_project: string | null): Key {
  return {
    key_id,
    organization_id,
    project_id: of_project,
    member_id: null,
    name: "reports",
    scopes: ["read"],
    sha256: "0".repeat(64),
    allowed_service_name: null,
    created_at: CREATED_AT,
    created_by: "operator",
    expires_at: null,
    revoked_at: null,
    replaced_by: null,
  };
}

function makeJob(job_id: string, state: Job["state"], work: Job["work"]): Job {
  const is_over = state === "done";
  return {
    job_id,
    project_id,
    organization_id,
    state,
    created_at: CREATED_AT,
    created_by: "operator",
    started_at: is_over ? CREATED_AT : null,
    updated_at: CREATED_AT,
    finished_at: is_over ? "2026-10-01T00:01:00.000Z" : null,
    wake_at: null,
    step: is_over ? "done" : "waits",
    share: is_over ? 1 : 0,
    rows: 0,
    failures: 0,
    problem: null,
    work,
  };
}

function makeExport(files: number): Job["work"] {
  return {
    kind: "export",
    files,
    bytes: 0,
    next_unit: 0,
    expires_at: null,
    is_removed: false,
  };
}

async function seedState(): Promise<void> {
  const { state } = api;
  const put = async <Kind extends StateKind>(
    kind: Kind,
    object_id: string,
    body: StateBody<Kind>,
    scope: { organization_id: string; project_id: string | null } = { organization_id, project_id },
  ) => {
    await state.put(kind, object_id, scope, body);
  };
  const of_organization = { organization_id, project_id: null };
  const { empty_organization_id } = ids;
  await put(
    "organization",
    empty_organization_id,
    { organization_id: empty_organization_id, name: "Old team", created_at: CREATED_AT },
    { organization_id: empty_organization_id, project_id: null },
  );
  await put(
    "member",
    ids.member_id,
    {
      member_id: ids.member_id,
      organization_id,
      name: "Kim Roe",
      email: "kim@example.com",
      role: "viewer",
      project_roles: [],
      is_project_only: false,
      created_at: CREATED_AT,
    },
    of_organization,
  );
  await put("key", ids.key_id, makeKey(ids.key_id, project_id));
  const organization_key = makeKey(ids.organization_key_id, null);
  await put("key", ids.organization_key_id, organization_key, of_organization);
  await put("channel", ids.channel_id, {
    channel_id: ids.channel_id,
    project_id,
    kind: "webhook",
    name: "On call",
    url: "https://hooks.example.com/spanledger",
    secret: "whsec_an_example_of_one",
    to: [],
    is_enabled: true,
    ...STAMPS,
  });
  await put("budget", ids.budget_id, {
    budget_id: ids.budget_id,
    project_id,
    name: "Chat, monthly",
    amount: "1000",
    unit: "usd",
    period: "month",
    tz: "UTC",
    filters: { service_name: ["checkout"] },
    tags: [],
    thresholds: [{ kind: "actual", percent: 80 }],
    channel_ids: [ids.channel_id],
    is_enabled: true,
    ...STAMPS,
  });
  await put("alert_rule", ids.rule_id, {
    rule_id: ids.rule_id,
    project_id,
    name: "Cost of an hour",
    measure: "cost_usd",
    condition: { kind: "threshold", direction: "above", value: 20, window_minutes: 60 },
    filters: {},
    tags: [],
    tz: "UTC",
    min_calls: 0,
    for_minutes: 0,
    cooldown_minutes: 60,
    notify_resolved: true,
    channel_ids: [ids.channel_id],
    is_enabled: true,
    ...STAMPS,
  });
  await seedJobs(put);
}

async function seedJobs(
  put: <Kind extends StateKind>(
    kind: Kind,
    object_id: string,
    body: StateBody<Kind>,
  ) => Promise<void>,
): Promise<void> {
  await put("job", ids.export_id, makeJob(ids.export_id, "done", makeExport(1)));
  await put("job", ids.open_export_id, makeJob(ids.open_export_id, "queued", makeExport(0)));
  await put(
    "job",
    ids.erasure_id,
    makeJob(ids.erasure_id, "queued", {
      kind: "erasure",
      with_traces: false,
      step: "begin",
      pass: 0,
      from_s: 0,
      is_drained: false,
      rows_before: {},
      deleted_s: 0,
      is_local: false,
      segments: [],
      writers: [],
      exports_removed: 0,
      receipt: null,
    }),
  );
  await put("erasure", ids.erasure_id, {
    erasure_id: ids.erasure_id,
    project_id,
    subject: { hash: "a1".repeat(16), key_a: "1", key_b: "2", is_anywhere: false },
    with_traces: false,
    requested_at: CREATED_AT,
    until: CREATED_AT,
    swept_at: CREATED_AT,
    late_rows: 0,
  });
  const files = new ExportFiles(directory);
  await files.make(ids.export_id);
  const manifest = { export_id: ids.export_id, project_id, files: [] };
  await files.writeText(ids.export_id, "manifest.json", JSON.stringify(manifest));
}

beforeAll(async () => {
  test_engine = await openTestEngine();
  directory = mkdtempSync(join(tmpdir(), "spanledger-examples-"));
  live = new LiveHub({ interval_ms: 50 });
  const { engine } = test_engine;
  const audit_log = new AuditLog(engine);
  api = makeTestApi(engine, {
    live,
    now_ms: () => NOW_MS,
    authenticate: () => ({ actor: makeOperator(), expires_at_ms: null }),
    audit: (entry) => writeAudit(audit_log, entry, NOW_MS),
    prices: makePriceLister(loadPrices(null)),
    exports: new ExportFiles(directory),
    senders: {
      send: async () => ({ is_delivered: true, status_code: 204 }),
      refuse: async () => null,
      can_email: true,
    },
  });
  await api.ask("/healthz", null);
  await seedState();
  await insertSpans(engine, [...makeCalls(), ...makeExampleTrace()], 1);
  await api.ask("/v1/orgs/default", null, makeRequest("PATCH", { name: "Default" }));
});
afterAll(async () => {
  await live.close();
  await test_engine.close();
  rmSync(directory, { recursive: true, force: true });
});

function makeRequest(method: Method, body?: unknown): RequestInit {
  if (body === undefined) return { method };
  return {
    method,
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  };
}

/** First what reads, last what removes: each finds what it names. */
const ORDER: readonly Method[] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

const ROUTES = describeRoutes();
const CASES = ROUTES.toSorted((a, b) => ORDER.indexOf(a.method) - ORDER.indexOf(b.method)).flatMap(
  (route) =>
    (route.examples ?? []).map(
      (example, index) =>
        [`${route.method} ${route.path} ${index + 1}`, route, example] satisfies [
          string,
          Route,
          RouteExample,
        ],
    ),
);

test("every route has an example, of its own path", () => {
  for (const { method, path, body, examples = [] } of ROUTES) {
    expect(
      examples.length,
      `${method} ${path} has no example: query-api/examples.ts`,
    ).toBeGreaterThan(0);
    const pattern = new RegExp(`^${path.replaceAll(/\{\w+\}/g, "[^/?]+")}(\\?|$)`);
    for (const example of examples) {
      expect(example.path).toMatch(pattern);
      expect(example.body === undefined, `${method} ${path}`).toBe(body === undefined);
    }
  }
});

test.each(CASES)("the example %s is answered as its route says", async (name, route, example) => {
  if (route.path === "/v1/live") return readLive(name, example);
  const init = makeRequest(route.method, example.body);
  const { status, json, text, headers } = await api.ask(example.path, null, init);
  expect(status, text.slice(0, 1_000)).toBe(route.status ?? 200);
  const media_type = headers.get("content-type")?.split(";")[0] ?? "";
  if (route.answer !== null) {
    expect(media_type).toBe("application/json");
    readStrictly(route.answer, json);
  } else if (status !== 204) expect(route.media_types).toContain(media_type);
  const is_shown = route.answer !== null && text.length <= MAX_SHOWN_LENGTH;
  answers.set(name, { status, body: is_shown ? shorten(withoutSecrets(json)) : null });
});

async function readLive(name: string, { path }: RouteExample): Promise<void> {
  const response = await api.app.request(path, { headers: { accept: "application/x-ndjson" } });
  expect(response.status).toBe(200);
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  const { value = new Uint8Array() } = await reader.read();
  const frame = readStrictly(LiveFrame, JSON.parse(Buffer.from(value).toString()));
  await reader.cancel();
  answers.set(name, { status: 200, body: shorten(frame) });
}

/** Keys and secrets are shown once, and not in a document. */
function withoutSecrets(json: unknown): unknown {
  return JSON.parse(
    JSON.stringify(json, (name, value: unknown) =>
      (name === "key" || name === "secret") && typeof value === "string" ? "(shown once)" : value,
    ),
  ) as unknown;
}

/** The answer with the first items of its lists of objects. */
function shorten(json: unknown): unknown {
  if (Array.isArray(json)) {
    const is_plain = json.every((item) => typeof item !== "object");
    return (is_plain ? json : json.slice(0, MAX_SHOWN_ITEMS)).map((item) => shorten(item));
  }
  if (typeof json !== "object" || json === null) return json;
  return Object.fromEntries(Object.entries(json).map(([key, value]) => [key, shorten(value)]));
}

test("the reference has an answer of each example; SPANLEDGER_TEST_UPDATE=1 keeps them anew", () => {
  const sorted = [...answers].toSorted(([a], [b]) => (a < b ? -1 : 1));
  if (UPDATES) {
    writeFileSync(KEPT, `${JSON.stringify(Object.fromEntries(sorted), null, 2)}\n`);
  }
  const kept = JSON.parse(readFileSync(KEPT, "utf8")) as Record<string, { body: unknown }>;
  expect(Object.keys(kept).sort()).toEqual(CASES.map(([name]) => name).sort());
  for (const [name, route] of CASES) {
    const body = kept[name]?.body ?? null;
    if (body !== null && route.answer !== null) readStrictly(route.answer, body);
  }
});
