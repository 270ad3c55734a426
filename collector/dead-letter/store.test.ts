/** The dead-letter folder on a real disk: what is kept, what is said of it, and when it is full. */
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { encodeRecord } from "../../schemas/record.ts";
import { type DeadLetterLimits, DeadLetters } from "./store.ts";

const NOW_MS = Date.UTC(2026, 10, 21, 12);
let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "spanledger-letters-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function open(limits: Partial<DeadLetterLimits> = {}): DeadLetters {
  return new DeadLetters(root, { max_bytes: 1e6, max_files: 10, ...limits }, () => NOW_MS);
}

function recordOf(sequence: number, size = 100) {
  const header = {
    table: "spans" as const,
    rows: 3,
    buckets: [
      ["a", 900],
      ["b", 900],
      ["a", 1_800],
    ] as [string, number][],
  };
  const payload = Buffer.concat(encodeRecord({ header, block: new Uint8Array(size).fill(7) }));
  return { sequence, written_ms: NOW_MS - 60_000, payload };
}

test("a record is kept with all that is known of it, readable by its owner alone", async () => {
  const letters = open();
  const record = recordOf(1_838_310_000_123);
  await letters.keep(record, "writer", "Cannot read all data", "clickhouse_33");
  expect(await letters.list()).toEqual([
    {
      name: "1838310000123",
      sequence: 1_838_310_000_123,
      writer_id: "writer",
      table: "spans",
      rows: 3,
      projects: ["a", "b"],
      bytes: record.payload.length,
      acknowledged_at: "2026-11-21T11:59:00.000Z",
      set_aside_at: "2026-11-21T12:00:00.000Z",
      code: "clickhouse_33",
      reason: "Cannot read all data",
    },
  ]);
  expect(Buffer.compare(await letters.read("1838310000123"), record.payload)).toBe(0);
  expect(statSync(letters.directory).mode & 0o777).toBe(0o700);
  for (const file of readdirSync(letters.directory)) {
    expect(statSync(join(letters.directory, file)).mode & 0o777).toBe(0o600);
  }
});

test("they are listed in the order of the log, and a folder that is not there is empty", async () => {
  const letters = open();
  expect(await letters.list()).toEqual([]);
  expect(await letters.use()).toEqual({ records: 0, bytes: 0 });
  for (const sequence of [10, 9, 100]) await letters.keep(recordOf(sequence), "w", "r", "c");
  expect((await letters.list()).map(({ name }) => name)).toEqual(["9", "10", "100"]);
});

test("kept twice, as after a crash before the release, it is there once", async () => {
  const letters = open({ max_files: 1 });
  await letters.keep(recordOf(5), "w", "first", "c");
  await letters.keep(recordOf(5), "w", "second", "c");
  expect(await letters.list()).toMatchObject([{ name: "5", reason: "second" }]);
});

test("what a crash left half written is no record, and a record without its note is one", async () => {
  const letters = open();
  await letters.keep(recordOf(5), "w", "r", "c");
  writeFileSync(join(letters.directory, "6.record.tmp"), "half");
  writeFileSync(join(letters.directory, "7.record"), recordOf(7).payload);
  writeFileSync(join(letters.directory, "8.json"), "{}");
  writeFileSync(join(letters.directory, "9.record"), "no header");
  expect(await letters.list()).toMatchObject([
    { name: "5", reason: "r" },
    { name: "7", table: "spans", rows: 3, reason: "no note beside it" },
    { name: "9", table: "", rows: 0 },
  ]);
});

test.each([
  ["records", { max_files: 2 }],
  ["bytes", { max_bytes: 2_000 }],
])(
  "a folder that is full of %s refuses and says what to do, and takes again when there is room",
  async (_what, limits) => {
    const letters = open(limits);
    await letters.keep(recordOf(1), "w", "r", "c");
    await letters.keep(recordOf(2, 600), "w", "r", "c");
    const refusal = letters.keep(recordOf(3, 600), "w", "r", "c");
    await expect(refusal).rejects.toMatchObject({
      name: "RetryableError",
      code: "dead_letter_full",
      message: expect.stringContaining("spanledger dead-letter list"),
    });
    expect((await letters.list()).map(({ name }) => name)).toEqual(["1", "2"]);
    await letters.remove("2");
    await letters.keep(recordOf(3, 600), "w", "r", "c");
    expect((await letters.list()).map(({ name }) => name)).toEqual(["1", "3"]);
  },
);

test("a removed record leaves nothing behind", async () => {
  const letters = open();
  await letters.keep(recordOf(1), "w", "r", "c");
  await letters.remove("1");
  expect(readdirSync(letters.directory)).toEqual([]);
  await expect(letters.read("1")).rejects.toMatchObject({ code: "no_dead_letter" });
});

test("a name that leads out of the folder is no name", async () => {
  const letters = open();
  for (const name of ["../x", "1/../../x", "", "1.record", "a"]) {
    await expect(letters.read(name)).rejects.toMatchObject({ code: "no_dead_letter" });
    await expect(letters.remove(name)).rejects.toMatchObject({ code: "no_dead_letter" });
  }
});

test("a disk that cannot be written to is a reason to try again, not to go on", async () => {
  writeFileSync(join(root, "dead-letter"), "a file where the folder should be");
  await expect(open().keep(recordOf(1), "w", "r", "c")).rejects.toMatchObject({
    name: "RetryableError",
    code: "dead_letter_failed",
  });
});
