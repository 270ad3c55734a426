/** What is seen of the logs of a data directory by the names of files. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { watchLocalLogs } from "./local-logs.ts";

const SEGMENT = "segment-0000000000000001-0123456789abcdef.wal";
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "spanledger-logs-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function write(path: string, text = ""): void {
  mkdirSync(dirname(join(directory, path)), { recursive: true });
  writeFileSync(join(directory, path), text);
}

test("segments of the collector and of workers are listed, and nothing else", async () => {
  const logs = watchLocalLogs(directory);
  expect(await logs.listSegments()).toEqual([]);
  for (const path of [
    `wal/${SEGMENT}`,
    `workers/2/wal/${SEGMENT}`,
    `workers/x/wal/${SEGMENT}`,
    "wal/checkpoint",
    `wal/quarantine/${SEGMENT}`,
  ]) {
    write(path);
  }
  expect(await logs.listSegments()).toEqual([`wal/${SEGMENT}`, `workers/2/wal/${SEGMENT}`]);
});

test("dead letters count for the project they name, and for every one when they name none", async () => {
  const logs = watchLocalLogs(directory);
  write("dead-letter/1.json", JSON.stringify({ projects: ["alpha"] }));
  write("dead-letter/2.json", JSON.stringify({ projects: [] }));
  write("workers/1/dead-letter/3.json", JSON.stringify({ projects: ["beta", "alpha"] }));
  write("dead-letter/4.json", "no JSON");
  write("dead-letter/1.record");
  expect(await logs.countDeadLetters("alpha")).toBe(4);
  expect(await logs.countDeadLetters("gamma")).toBe(2);
});
