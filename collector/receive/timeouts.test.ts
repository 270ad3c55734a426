/** The watch over slow bodies, by a clock of the test and over real sockets. Row N01. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { decodeStatus, head, RawClient, startServer } from "./fixture.ts";
import { DEFAULT_TIMEOUTS, makeSlowBodyWatch } from "./timeouts.ts";

describe("by the clock", () => {
  beforeEach(() => {
    vi.useFakeTimers({ now: 1_000_000 });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  function watchOne() {
    let byteCount = 0;
    const errors: Error[] = [];
    const { watch } = makeSlowBodyWatch(DEFAULT_TIMEOUTS, Date.now);
    const unwatch = watch(
      () => byteCount,
      (error) => errors.push(error),
    );
    return {
      errors,
      unwatch,
      receive: (bytes: number) => {
        byteCount += bytes;
      },
    };
  }

  test("a body of 1 KiB/s goes on, one that becomes slower is refused once", () => {
    const body = watchOne();
    for (let second = 0; second < 20; second += 1) {
      body.receive(1_024);
      vi.advanceTimersByTime(1_000);
    }
    expect(body.errors).toEqual([]);
    for (let second = 0; second < 20; second += 1) {
      body.receive(1_000);
      vi.advanceTimersByTime(1_000);
    }
    expect(body.errors).toMatchObject([{ code: "request_timeout" }]);
  });

  test("megabytes at first do not excuse silence later", () => {
    const body = watchOne();
    body.receive(50_000_000);
    vi.advanceTimersByTime(5_000);
    expect(body.errors).toEqual([]);
    vi.advanceTimersByTime(6_000);
    expect(body.errors).toHaveLength(1);
  });

  test("nobody is refused for the time in which this process did nothing", () => {
    const body = watchOne();
    vi.advanceTimersByTime(4_000);
    vi.setSystemTime(Date.now() + 20_000);
    vi.advanceTimersByTime(4_000);
    expect(body.errors).toEqual([]);
  });

  test("what has come is watched no more", () => {
    const body = watchOne();
    body.unwatch();
    vi.advanceTimersByTime(60_000);
    expect(body.errors).toEqual([]);
  });
});

test("N01 a body that trickles is 408 with a Status, one that is quick enough is taken", async () => {
  const timeouts = {
    ...DEFAULT_TIMEOUTS,
    body_window_ms: 250,
    min_body_bytes: 100,
    linger_ms: 50,
  };
  const server = await startServer({ timeouts });
  const lines = ["Content-Type: application/x-protobuf", "Content-Length: 1000"];
  const [slow, quick] = [new RawClient(server.port), new RawClient(server.port)];
  for (const client of [slow, quick]) await client.write(head(...lines));
  for (let step = 0; step < 10; step += 1) {
    await sleep(50);
    await slow.write("x");
    await quick.write("x".repeat(100));
  }
  const answer = await slow.readAnswer();
  expect(answer?.status).toBe(408);
  expect(answer?.headers.get("connection")).toBe("close");
  expect(decodeStatus("protobuf", answer?.body ?? new Uint8Array()).code).toBe(4);
  expect((await quick.readAnswer())?.status).toBe(200);
  expect(server.exported).toHaveLength(1);
  slow.close();
  quick.close();
  await server.close();
});
