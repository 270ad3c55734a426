/** Every log that some number of processes left is found by any other number of them. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { makeDataDirectory } from "../test/support/program.ts";
import { listInheritedLogs } from "./backlogs.ts";

const data = makeDataDirectory();
afterEach(() => data.remove());

test("a start inherits the logs that it does not continue, and no other folder", () => {
  expect(listInheritedLogs(data.path, 0)).toEqual([]);
  expect(listInheritedLogs(data.path, 2)).toEqual([]);
  // A worker that was never started has no log; what is no number is not ours.
  for (const path of ["wal", "workers/1/wal", "workers/2/wal", "workers/10/wal", "workers/3"]) {
    mkdirSync(join(data.path, path), { recursive: true });
  }
  for (const path of ["workers/old/wal", "workers/02/wal", "workers/-1/wal"]) {
    mkdirSync(join(data.path, path), { recursive: true });
  }
  const inherited = (workers: number) =>
    listInheritedLogs(data.path, workers).map((path) => path.slice(data.path.length + 1));
  expect(inherited(0)).toEqual(["workers/1/wal", "workers/2/wal", "workers/10/wal"]);
  expect(inherited(1)).toEqual(["wal", "workers/2/wal", "workers/10/wal"]);
  expect(inherited(2)).toEqual(["wal", "workers/10/wal"]);
  expect(inherited(10)).toEqual(["wal"]);
});
