import { afterEach, expect, test, vi } from "vitest";
import { followLive, LineSplitter, type LiveState, waitAfter } from "./live-stream.ts";

/** What a browser has and Node has not: nothing is kept in these. */
const NO_STORAGE = { getItem: () => null, setItem: () => {}, removeItem: () => {} };

function frame(number: number): string {
  const time = "2026-11-21T12:00:00.000Z";
  return `${JSON.stringify({ kind: "heartbeat", id: `1.${number}.1`, time, storage: "ok" })}\n`;
}

function streamOf(...pieces: readonly string[]): Response {
  return new Response(
    new ReadableStream({
      start: (controller) => {
        for (const piece of pieces) controller.enqueue(new TextEncoder().encode(piece));
        controller.close();
      },
    }),
  );
}

interface Followed {
  readonly asked: string[];
  readonly ids: string[];
  readonly states: LiveState[];
  readonly stop: () => void;
}

/** Follows a server that gives these answers one after the other, and then never any. */
function follow(...answers: readonly ((signal: AbortSignal) => Response)[]): Followed {
  vi.useFakeTimers();
  vi.stubGlobal("sessionStorage", NO_STORAGE);
  vi.stubGlobal("localStorage", NO_STORAGE);
  const asked: string[] = [];
  const rest = [...answers];
  vi.stubGlobal("fetch", async (address: string, { signal }: { signal: AbortSignal }) => {
    asked.push(address);
    return rest.shift()?.(signal) ?? new Promise(() => {});
  });
  const ids: string[] = [];
  const states: LiveState[] = [];
  const stop = followLive({
    project: null,
    last_id: null,
    onFrame: ({ id }) => ids.push(id),
    onState: (state) => states.push(state),
  });
  return { asked, ids, states, stop };
}

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("waits grow twofold from one second and end at thirty", () => {
  expect([1, 2, 3, 4, 5, 6, 7, 100].map(waitAfter)).toEqual([
    1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000,
  ]);
});

test("lines that come in pieces are put together", () => {
  const splitter = new LineSplitter();
  expect(splitter.add('{"a":')).toEqual([]);
  expect(splitter.add('1}\n\n{"b":2}\n{"c"')).toEqual(['{"a":1}', '{"b":2}']);
  expect(splitter.add(":3}\n")).toEqual(['{"c":3}']);
});

test("a line without end is refused", () => {
  expect(() => new LineSplitter().add("x".repeat(4_000_001))).toThrow(RangeError);
});

test("a stream that breaks is opened again after the frame that was read last", async () => {
  const line = frame(2);
  const { asked, ids, states, stop } = follow(() =>
    streamOf(frame(1), line.slice(0, 9), line.slice(9)),
  );
  await vi.advanceTimersByTimeAsync(900);
  expect(ids).toEqual(["1.1.1", "1.2.1"]);
  expect(asked).toEqual(["/v1/live"]);
  expect(states.map(({ kind }) => kind)).toEqual(["connecting", "connected", "waiting"]);
  await vi.advanceTimersByTimeAsync(200);
  expect(asked).toEqual(["/v1/live", "/v1/live?last_event_id=1.2.1"]);
  stop();
});

test("a stream that falls silent is opened again", async () => {
  // As fetch does: a request that is given up breaks its answer.
  const silent = (signal: AbortSignal) =>
    new Response(
      new ReadableStream({
        start: (controller) =>
          signal.addEventListener("abort", () => controller.error(signal.reason)),
      }),
    );
  const { asked, states, stop } = follow(silent);
  await vi.advanceTimersByTimeAsync(34_000);
  expect(asked).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(3_000);
  expect(asked).toHaveLength(2);
  expect(states.at(-2)).toMatchObject({ kind: "waiting", words: "The server fell silent." });
  stop();
});

test("when all places are taken it comes again no sooner than the server asks for", async () => {
  const body = JSON.stringify({
    error: { code: "too_many_listeners", message: "Full.", details: [] },
  });
  const { asked, states, stop } = follow(() => new Response(body, { status: 429 }));
  await vi.advanceTimersByTimeAsync(9_900);
  expect(states.at(-1)).toMatchObject({ kind: "waiting", words: "Full." });
  expect(asked).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(200);
  expect(asked).toHaveLength(2);
  stop();
});

test("a key that may not is not tried again", async () => {
  const body = JSON.stringify({ error: { code: "forbidden", message: "Not yours.", details: [] } });
  const { asked, states } = follow(() => new Response(body, { status: 403 }));
  await vi.advanceTimersByTimeAsync(120_000);
  expect(states.at(-1)).toEqual({ kind: "refused", words: "Not yours." });
  expect(asked).toHaveLength(1);
});

test("nothing is asked or told after it was stopped", async () => {
  const { asked, ids, states, stop } = follow(() => streamOf(frame(1)));
  stop();
  const before = states.length;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(ids).toEqual([]);
  expect(states).toHaveLength(before);
  expect(asked).toHaveLength(1);
});
