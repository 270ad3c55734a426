/**
 * Live frames from the insert to the listener: what comes and changes is told once and soon, whoever
 * comes back goes on, whoever is slow or may not is cut off, and the engine is asked once for all.
 */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { loadQuery } from "../clickhouse/queries.ts";
import { LiveFrame } from "../schemas/api-live.ts";
import { callOfSpan } from "../schemas/call-of-span.ts";
import { makeOperator } from "../schemas/access.ts";
import type { Span } from "../schemas/span.ts";
import { makeTestApi, readStrictly } from "../test/support/api.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { insertSpans, markSpans, replaceMethods } from "../test/support/ledger.ts";
import { makeRandom } from "../test/support/random.ts";
import { makeSpan } from "../test/support/span.ts";
import { LiveHub, type LiveOptions } from "./live.ts";

const random = makeRandom(5);
let test_engine: TestEngine;
let sequence = 100;
const hubs: LiveHub[] = [];
const open: ReadableStreamDefaultReader<Uint8Array>[] = [];

beforeAll(async () => {
  test_engine = await openTestEngine();
  // The writer is known before anyone listens: what it inserts is told by its sequences.
  await insert([makeCall(), makeCall("beta")]);
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((reader) => reader.cancel().catch(() => {})));
  await Promise.all(hubs.splice(0).map((hub) => hub.close()));
});
afterAll(() => test_engine.close());

function makeApi(
  options: Partial<LiveOptions> = {},
  changes: Parameters<typeof makeTestApi>[1] = {},
) {
  const live = new LiveHub({ interval_ms: 30, check_ms: 20, ...options });
  hubs.push(live);
  const api = makeTestApi(test_engine.engine, { live, ...changes });
  return { ...api, live };
}

/** A call of now. */
function makeCall(project_id = "alpha", changes: Partial<Span> = {}): Span {
  return makeSpan({
    project_id,
    start_ns: BigInt(Date.now() - 1_000) * 1_000_000n,
    trace_id: random.bytes(16),
    span_id: random.bytes(8),
    ...changes,
  });
}

async function insert(spans: readonly Span[]): Promise<void> {
  sequence += 1;
  await insertSpans(test_engine.engine, spans, sequence);
}

class Follower {
  readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly frames: LiveFrame[] = [];
  #rest = "";

  constructor(body: ReadableStream<Uint8Array>) {
    this.reader = body.getReader();
    open.push(this.reader);
  }

  /** The next frame that passes the test; null when the stream ends before. */
  async next<Kind extends LiveFrame["kind"]>(
    kind: Kind,
    test: (frame: Extract<LiveFrame, { kind: Kind }>) => boolean = () => true,
  ): Promise<Extract<LiveFrame, { kind: Kind }> | null> {
    for (;;) {
      const { done, value } = await this.reader.read();
      if (done) return null;
      this.#rest += Buffer.from(value).toString();
      const events = this.#rest.split("\n\n");
      this.#rest = events.pop() ?? "";
      for (const event of events) {
        const data = /^id: (\S+)\nevent: (\w+)\ndata: (.+)$/.exec(event);
        if (data === null) continue;
        const frame = readStrictly(LiveFrame, JSON.parse(data[3] ?? ""));
        if (frame.id !== data[1] || frame.kind !== data[2]) throw new Error(`odd event: ${event}`);
        this.frames.push(frame);
        if (frame.kind === kind && test(frame as Extract<LiveFrame, { kind: Kind }>)) {
          return frame as Extract<LiveFrame, { kind: Kind }>;
        }
      }
    }
  }
}

async function follow(
  api: ReturnType<typeof makeApi>,
  path = "/v1/live",
  headers: Record<string, string> = {},
): Promise<Follower> {
  await api.ask("/healthz", null);
  const response = await api.app.request(path, {
    headers: { "x-api-key": "key-alpha", ...headers },
  });
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe("text/event-stream");
  return new Follower(response.body as ReadableStream<Uint8Array>);
}

test("a call is told as the ledger has it, once, and the sums follow", async () => {
  const follower = await follow(makeApi());
  const first = await follower.next("totals");
  const call = makeCall();
  await insert([call, makeCall("beta")]);
  const frame = await follower.next("calls");
  expect(frame).toMatchObject({ calls: [callOfSpan(call)], withdrawn: [], left_out: 0 });
  const totals = await follower.next("totals");
  const before = first?.last_5m.calls ?? 0;
  expect(totals?.last_5m.calls).toBe(before + 1);
  expect(totals?.last_5m.coverage.calls).toBe(before + 1);
  expect(totals?.today.calls).toBeGreaterThanOrEqual(before + 1);
  const other = makeCall();
  await insert([other]);
  expect(await follower.next("calls")).toMatchObject({ calls: [callOfSpan(other)], left_out: 0 });
});

test("a call that is sent again, or decided anew, is told as it is now; one that gives way is withdrawn", async () => {
  const follower = await follow(makeApi());
  await follower.next("totals");
  const call = makeCall();
  await insert([call]);
  await follower.next("calls");
  await insert([{ ...call, finish_reason: "length" }]);
  expect((await follower.next("calls"))?.calls).toMatchObject([{ finish_reason: "length" }]);
  const ids = [call.trace_id, call.span_id].map((id) => Buffer.from(id).toString("hex"));
  const decision = {
    project: "alpha",
    start: String(call.start_ns),
    trace: ids[0],
    span: ids[1],
    counted: 1,
    waits: 0,
    duplicates: 0,
    suspected: 0,
    aggregate: 0,
    calls: 0,
    user: "",
    session: "",
    agent: "",
    finish: "",
    why: "a twin counts",
    instead: "",
  };
  await test_engine.engine.command(loadQuery("insert_decisions"), {
    rows: [JSON.stringify(decision)],
    version: Date.now() * 1000,
  });
  sequence += 1;
  await markSpans(test_engine.engine, [call], sequence);
  expect(await follower.next("calls")).toMatchObject({ calls: [], withdrawn: [ids.join("-")] });
});

test("a call of a day long past is told when it comes late", async () => {
  const follower = await follow(makeApi());
  await follower.next("totals");
  const start_ns = BigInt(Date.UTC(2026, 8, 1)) * 1_000_000n;
  const call = makeCall("alpha", { start_ns });
  await insert([call]);
  expect((await follower.next("calls"))?.calls).toEqual([callOfSpan(call)]);
});

test("a flood is cut to what a frame holds, and what is left out is counted", async () => {
  const follower = await follow(makeApi(), "/v1/live", { "x-api-key": "key-beta" });
  await follower.next("totals");
  await insert(Array.from({ length: 700 }, () => makeCall("beta")));
  const frame = await follower.next("calls");
  expect([frame?.calls.length, frame?.left_out]).toEqual([50, 650]);
});

test("who comes back goes on after the last frame that was read", async () => {
  const api = makeApi();
  const first = await follow(api);
  await first.next("totals");
  const calls = [makeCall(), makeCall(), makeCall()] as const;
  await insert([calls[0]]);
  const read = await first.next("calls");
  await first.reader.cancel();
  await insert([calls[1]]);
  await expect.poll(() => api.live.listeners).toBe(0);
  const watcher = await follow(api);
  await insert([calls[2]]);
  await watcher.next("calls", (frame) => frame.calls[0]?.call_id === callOfSpan(calls[2]).call_id);
  for (const again of [
    await follow(api, "/v1/live", { "last-event-id": read?.id ?? "" }),
    await follow(api, `/v1/live?last_event_id=${read?.id}`),
  ]) {
    const told: string[] = [];
    while (told.length < 2) {
      const frame = await again.next("calls");
      expect(frame?.left_out).toBe(0);
      told.push(...(frame?.calls.map(({ call_id }) => call_id) ?? []));
    }
    const missed = [calls[1], calls[2]].map((call) => callOfSpan(call).call_id);
    expect(new Set(told)).toEqual(new Set(missed));
  }
});

test("after a restart of the server the calls since the last frame are told", async () => {
  const before = makeApi();
  const first = await follow(before);
  const { id = "" } = (await first.next("totals")) ?? {};
  await before.live.close();
  const call = makeCall("alpha", {});
  sequence += 1;
  await insertSpans(test_engine.engine, [call], sequence, "another-wal");
  await test_engine.engine.command(
    `INSERT INTO spans SELECT * REPLACE (now64(3) AS ingested_at, ingest_seq + 1 AS ingest_seq)
     FROM spans WHERE span_id = unhex('${Buffer.from(call.span_id).toString("hex")}')`,
  );
  const again = await follow(makeApi(), "/v1/live", { "last-event-id": id });
  const frame = await again.next("calls", ({ calls }) => calls.length > 0);
  expect(frame?.calls.map(({ call_id }) => call_id)).toContain(callOfSpan(call).call_id);
});

test("an id of nowhere is told that something may be missing", async () => {
  const api = makeApi();
  await (await follow(api)).next("totals");
  const again = await follow(api, "/v1/live", { "last-event-id": "1.1.1" });
  expect(await again.next("calls")).toMatchObject({ calls: [], left_out: null });
});

test("however many listen, the engine is asked once, and no more when nobody does", async () => {
  let asked = 0;
  const { engine } = test_engine;
  const counting = replaceMethods(engine, {
    query: (sql, params) => {
      if (sql === loadQuery("select_live_marks")) asked += 1;
      return engine.query(sql, params);
    },
  });
  const live = new LiveHub({ interval_ms: 50, check_ms: 20 });
  hubs.push(live);
  const api = { ...makeTestApi(counting, { live }), live };
  const followers = await Promise.all(Array.from({ length: 10 }, () => follow(api)));
  expect([live.listeners, live.projects]).toEqual([10, 1]);
  await Promise.all(followers.map((one) => one.next("totals")));
  const before = asked;
  await insert([makeCall()]);
  const told = await Promise.all(followers.map((one) => one.next("calls")));
  expect(new Set(told.map((frame) => frame?.id)).size).toBe(1);
  expect(asked - before).toBeLessThan(10);
});

test("places are limited, for a project and in all, and free again when a stream ends", async () => {
  const api = makeApi({ max_listeners: 3, max_listeners_per_project: 2 });
  const first = await follow(api);
  await follow(api);
  const third = await api.ask("/v1/live");
  expect(third.status).toBe(429);
  expect(third.json).toMatchObject({ error: { code: "too_many_listeners" } });
  expect(Number(third.headers.get("retry-after"))).toBeGreaterThan(0);
  await follow(api, "/v1/live", { "x-api-key": "key-beta" });
  expect((await api.ask("/v1/live", "key-beta")).status).toBe(429);
  await first.reader.cancel();
  await expect.poll(() => api.live.listeners).toBe(2);
  await follow(api);
});

test("HEAD takes no place", async () => {
  const api = makeApi();
  const { status } = await api.ask("/v1/live", "key-alpha", { method: "HEAD" });
  expect([status, api.live.listeners]).toEqual([200, 0]);
});

test("a key that is revoked ends its streams, and no others", async () => {
  const revoked = new Set<string>();
  const api = makeApi(
    {},
    {
      authenticate: (headers) => {
        const key = headers["x-api-key"] ?? "";
        return revoked.has(key)
          ? { problem: "revoked", message: "revoked" }
          : { actor: makeOperator(key), expires_at_ms: null };
      },
    },
  );
  const gone = await follow(api, "/v1/live?project=alpha", { "x-api-key": "one" });
  const stays = await follow(api, "/v1/live?project=alpha", { "x-api-key": "two" });
  await gone.next("totals");
  revoked.add("one");
  const begun_ms = Date.now();
  expect(await gone.next("end")).toMatchObject({ reason: "not_allowed" });
  expect(Date.now() - begun_ms).toBeLessThan(5_000);
  expect(await gone.next("calls")).toBeNull();
  await insert([makeCall()]);
  expect(await stays.next("calls")).not.toBeNull();
});

test("keys that cannot be read just now end no stream", async () => {
  let is_away = false;
  const api = makeApi(
    {},
    {
      authenticate: () =>
        is_away
          ? { problem: "unavailable", message: "later" }
          : { actor: makeOperator(), expires_at_ms: null },
    },
  );
  const follower = await follow(api, "/v1/live?project=alpha");
  await follower.next("totals");
  is_away = true;
  await new Promise((resolve) => setTimeout(resolve, 100));
  await insert([makeCall()]);
  expect(await follower.next("calls")).not.toBeNull();
});

test("who does not read holds a bounded amount, is told what was missed, and is cut off in the end", async () => {
  let now_ms = Date.now();
  const api = makeApi({ now_ms: () => now_ms });
  const slow = await follow(api);
  await slow.next("totals");
  const quick = await follow(api);
  await quick.next("totals");
  for (let round = 0; round < 8; round += 1) {
    await insert(Array.from({ length: 60 }, () => makeCall()));
    await quick.next("calls");
  }
  const told = await slow.next("calls");
  // Eight frames of 50 calls are more than may wait: the oldest of them are gone, and counted.
  expect((told?.calls.length ?? 0) + (told?.left_out ?? 0)).toBeGreaterThan(120);
  const reading = quick.next("end");
  await expect
    .poll(() => quick.frames.filter(({ kind }) => kind === "totals").length > 8)
    .toBe(true);
  now_ms += 31_000;
  await expect(
    (async () => {
      await expect.poll(() => api.live.listeners).toBe(1);
      for (;;) if ((await slow.reader.read()).done) return;
    })(),
  ).rejects.toThrow("does not read");
  await api.live.close();
  expect(await reading).toMatchObject({ reason: "stopping" });
});

test("while the storage is away, heartbeats say so, and afterwards nothing is missing", async () => {
  let is_away = false;
  const { engine } = test_engine;
  const flaky = replaceMethods(engine, {
    query: (sql, params) =>
      is_away ? Promise.reject(new Error("away")) : engine.query(sql, params),
  });
  const live = new LiveHub({ interval_ms: 30, check_ms: 20, heartbeat_ms: 40 });
  hubs.push(live);
  const follower = await follow({ ...makeTestApi(flaky, { live }), live });
  await follower.next("totals");
  expect(await follower.next("heartbeat")).toMatchObject({ storage: "ok" });
  is_away = true;
  expect(await follower.next("heartbeat", (frame) => frame.storage !== "ok")).not.toBeNull();
  const call = makeCall();
  await insert([call]);
  is_away = false;
  expect((await follower.next("calls"))?.calls).toEqual([callOfSpan(call)]);
});

test("a stop ends every stream with a last frame", async () => {
  const api = makeApi();
  const follower = await follow(api);
  await follower.next("totals");
  await api.live.close();
  expect(await follower.next("end")).toMatchObject({ reason: "stopping" });
  expect(await follower.next("calls")).toBeNull();
  expect((await api.ask("/v1/live")).status).toBe(503);
});

test("lines of JSON are the same frames", async () => {
  const api = makeApi();
  await api.ask("/healthz", null);
  const response = await api.app.request("/v1/live", {
    headers: { "x-api-key": "key-alpha", accept: "application/x-ndjson" },
  });
  expect(response.headers.get("content-type")).toBe("application/x-ndjson");
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  open.push(reader);
  const { value = new Uint8Array() } = await reader.read();
  const line = Buffer.from(value).toString();
  expect(line.endsWith("\n")).toBe(true);
  expect(readStrictly(LiveFrame, JSON.parse(line)).kind).toBe("totals");
});
