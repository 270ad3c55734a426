/** Logs of others are emptied one after the other, and left alone when someone has them open. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { PermanentError, RetryableError } from "../schemas/errors.ts";
import type { Log } from "../schemas/log.ts";
import { drainInherited, type InheritedLog } from "./inherited.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const SILENT = { info() {}, warn() {}, error() {} } as unknown as Log;

/** Logs by directory: how many records are left in each. */
function makeLogs(records: Record<string, number>) {
  const left = new Map(Object.entries(records));
  const opened: string[] = [];
  const closed: string[] = [];
  const open = async (directory: string): Promise<InheritedLog> => {
    opened.push(directory);
    return {
      pending: () => left.get(directory) ?? 0,
      stop: async () => void closed.push(directory),
    };
  };
  return { left, opened, closed, open };
}

test("one log is open at a time, until it is empty", async () => {
  const logs = makeLogs({ a: 2, b: 0, c: 1 });
  const drain = drainInherited({ directories: ["a", "b", "c"], open: logs.open, log: SILENT });
  await vi.advanceTimersByTimeAsync(10_000);
  expect(logs.opened).toEqual(["a"]);
  expect(logs.closed).toEqual([]);
  logs.left.set("a", 0);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(logs.opened).toEqual(["a", "b", "c"]);
  expect(logs.closed).toEqual(["a", "b"]);
  await drain.stop();
  expect(logs.closed).toEqual(["a", "b", "c"]);
});

test("a log in use is left to whoever has it, and one that fails to open is tried again", async () => {
  const logs = makeLogs({ used: 1, failing: 0, last: 0 });
  let failures = 2;
  const open = async (directory: string) => {
    if (directory === "used") throw new PermanentError("wal_locked", "process 1 has it open");
    if (directory === "failing" && failures > 0) {
      failures -= 1;
      throw new RetryableError("wal_open_failed", "no such device");
    }
    return logs.open(directory);
  };
  const drain = drainInherited({ directories: ["used", "failing", "last"], open, log: SILENT });
  await vi.advanceTimersByTimeAsync(1_000);
  expect(logs.opened).toEqual([]);
  await vi.advanceTimersByTimeAsync(20_000);
  expect(logs.opened).toEqual(["failing", "last"]);
  await drain.stop();
});

test("a stop ends the wait for a log that does not open, and the next one stays closed", async () => {
  const tried: string[] = [];
  const open = (directory: string) => {
    tried.push(directory);
    return Promise.reject(new RetryableError("wal_open_failed", "no such device"));
  };
  const drain = drainInherited({ directories: ["a", "b"], open, log: SILENT });
  await vi.advanceTimersByTimeAsync(1_000);
  await drain.stop();
  expect(tried).toEqual(["a"]);
});
