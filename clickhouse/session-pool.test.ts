/**
 * The pool alone, with sessions made of counters: how many are open, who is served when, and what
 * is left when something fails.
 */
import { expect, test, vi } from "vitest";
import { RetryableError } from "../schemas/errors.ts";
import { MAX_WAITING_JOBS, SessionPool } from "./session-pool.ts";

/** A session that says whether it was closed and never does two jobs at once. */
interface FakeSession {
  readonly number: number;
  close(): void;
}

interface Gate {
  readonly opened: Promise<void>;
  open(): void;
}

function makeGate(): Gate {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve };
}

interface Setup {
  readonly pool: SessionPool<FakeSession>;
  readonly opened: FakeSession[];
  readonly closed: number[];
}

function makePool(size: number, max_wait_ms = 60_000, open?: () => Promise<void>): Setup {
  const opened: FakeSession[] = [];
  const closed: number[] = [];
  const pool = new SessionPool<FakeSession>(size, max_wait_ms, async () => {
    await open?.();
    const number = opened.length + 1;
    const session = { number, close: () => void closed.push(number) };
    opened.push(session);
    return session;
  });
  return { pool, opened, closed };
}

/** Lets every promise that can settle do so. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

test("sessions are opened only when needed, and used again", async () => {
  const { pool, opened } = makePool(4);
  expect(opened).toHaveLength(0);
  for (let count = 0; count < 3; count += 1) await pool.use(async () => {});
  expect(opened).toHaveLength(1);
  await pool.close();
});

test("no more jobs run at once than the size, and no session does two at once", async () => {
  const { pool, opened } = makePool(3);
  const busy = new Set<number>();
  let most = 0;
  await Promise.all(
    Array.from({ length: 50 }, () =>
      pool.use(async (session) => {
        expect(busy.has(session.number)).toBe(false);
        busy.add(session.number);
        most = Math.max(most, busy.size);
        await settle();
        busy.delete(session.number);
      }),
    ),
  );
  expect(most).toBe(3);
  expect(opened).toHaveLength(3);
  await pool.close();
});

test("waiting jobs are served in the order they came, before jobs that come later", async () => {
  const { pool } = makePool(1);
  const gate = makeGate();
  const order: number[] = [];
  const jobs = [
    pool.use(async () => {
      await gate.opened;
      order.push(0);
    }),
    ...[1, 2, 3].map((number) => pool.use(async () => void order.push(number))),
  ];
  await settle();
  gate.open();
  // A newcomer in the very moment the session becomes free must not jump the queue.
  jobs.push(pool.use(async () => void order.push(4)));
  await Promise.all(jobs);
  expect(order).toEqual([0, 1, 2, 3, 4]);
  await pool.close();
});

test("a job that waits too long is told to come back, and leaves its place to the others", async () => {
  vi.useFakeTimers();
  try {
    const { pool } = makePool(1, 1_000);
    const gate = makeGate();
    const running = pool.use(() => gate.opened);
    const late = pool.use(async () => "late");
    const refusal = late.catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await refusal).toBeInstanceOf(RetryableError);
    expect(await refusal).toMatchObject({ code: "engine_busy" });
    const next = pool.use(async () => "next");
    gate.open();
    await running;
    await expect(next).resolves.toBe("next");
    await pool.close();
  } finally {
    vi.useRealTimers();
  }
});

test("the time limit of a job that was served in time does nothing to those who wait after it", async () => {
  vi.useFakeTimers();
  try {
    const { pool } = makePool(1, 1_000);
    const gates = [makeGate(), makeGate()] as const;
    const jobs = [pool.use(() => gates[0].opened), pool.use(() => gates[1].opened)];
    await vi.advanceTimersByTimeAsync(500);
    gates[0].open();
    await vi.advanceTimersByTimeAsync(100);
    const third = pool.use(async () => "served");
    await vi.advanceTimersByTimeAsync(500);
    gates[1].open();
    await expect(third).resolves.toBe("served");
    await Promise.all(jobs);
    await pool.close();
  } finally {
    vi.useRealTimers();
  }
});

test("a wait of Infinity is never cut short", async () => {
  vi.useFakeTimers();
  try {
    const { pool } = makePool(1, Infinity);
    const gate = makeGate();
    const running = pool.use(() => gate.opened);
    const patient = pool.use(async () => "served");
    await vi.advanceTimersByTimeAsync(86_400_000);
    gate.open();
    await expect(patient).resolves.toBe("served");
    await running;
    await pool.close();
  } finally {
    vi.useRealTimers();
  }
});

test("a queue that is full refuses at once", async () => {
  const { pool } = makePool(1);
  const gate = makeGate();
  const running = pool.use(() => gate.opened);
  const waiting = Array.from({ length: MAX_WAITING_JOBS }, () => pool.use(async () => {}));
  await expect(pool.use(async () => {})).rejects.toMatchObject({ code: "engine_busy" });
  gate.open();
  await Promise.all([running, ...waiting]);
  await pool.close();
});

test("a job that fails, also before its first await, gives its session back", async () => {
  const { pool, opened } = makePool(1, 100);
  await expect(pool.use(() => Promise.reject(new Error("later")))).rejects.toThrow("later");
  await expect(
    pool.use(() => {
      throw new Error("at once");
    }),
  ).rejects.toThrow("at once");
  await expect(pool.use(async () => "fine")).resolves.toBe("fine");
  expect(opened).toHaveLength(1);
  await pool.close();
});

test("when a session cannot be opened, the next in line tries instead of waiting for ever", async () => {
  let attempts = 0;
  const { pool } = makePool(1, Infinity, async () => {
    attempts += 1;
    await settle();
    if (attempts === 1) throw new Error("no engine");
  });
  const first = pool.use(async () => "first");
  const second = pool.use(async () => "second");
  await expect(first).rejects.toThrow("no engine");
  await expect(second).resolves.toBe("second");
  await pool.close();
});

test("close waits for running jobs, then closes every session", async () => {
  const { pool, closed } = makePool(2);
  const gate = makeGate();
  const jobs = [pool.use(() => gate.opened), pool.use(() => gate.opened)];
  await settle();
  const closing = pool.close();
  await settle();
  expect(closed).toEqual([]);
  gate.open();
  await Promise.all(jobs);
  await closing;
  expect(new Set(closed)).toEqual(new Set([1, 2]));
  expect(closed).toHaveLength(2);
});

test("close waits for a session that is just being opened, and closes it too", async () => {
  const gate = makeGate();
  const { pool, opened, closed } = makePool(1, 1_000, () => gate.opened);
  const job = pool.use(async (session) => session.number);
  const closing = pool.close();
  gate.open();
  await closing;
  await expect(job).resolves.toBe(1);
  expect(opened).toHaveLength(1);
  expect(closed).toEqual([1]);
});

test("close refuses who waits and who comes later, and may be called twice", async () => {
  const { pool, closed } = makePool(1);
  const gate = makeGate();
  const running = pool.use(() => gate.opened);
  const waiting = pool.use(async () => {});
  const refusal = waiting.catch((error: unknown) => error);
  const closing = pool.close();
  expect(await refusal).toMatchObject({ code: "engine_closed" });
  await expect(pool.use(async () => {})).rejects.toBeInstanceOf(RetryableError);
  gate.open();
  await Promise.all([running, closing]);
  await pool.close();
  expect(closed).toEqual([1]);
});
