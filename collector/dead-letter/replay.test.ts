/** A replay with a ClickHouse in memory: the order of its steps, and what a failure leaves. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { PermanentError, RetryableError } from "../../schemas/errors.ts";
import { type BucketMark, encodeRecord, type RecordTable } from "../../schemas/record.ts";
import { replay, type ReplayTarget } from "./replay.ts";
import { DeadLetters } from "./store.ts";

let root = "";
let letters: DeadLetters;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "spanledger-replay-"));
  letters = new DeadLetters(root, { max_bytes: 1e6, max_files: 10 }, Date.now);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

async function keep(sequence: number, table: RecordTable, buckets: [string, number][]) {
  const block = Uint8Array.of(sequence);
  const payload = Buffer.concat(encodeRecord({ header: { table, rows: 2, buckets }, block }));
  await letters.keep({ sequence, written_ms: 0, payload }, "w", "reason", "code");
}

function makeTarget(fail: (step: string) => void = () => {}) {
  const diary: string[] = [];
  const marked: BucketMark[][] = [];
  const note = (step: string) => {
    fail(step);
    diary.push(step);
  };
  const target: ReplayTarget = {
    async insertBlocks(table, blocks) {
      note(`insert ${table} ${blocks.map((block) => block[0]).join()}`);
    },
    async resolveCalls({ first_sequence, last_sequence }) {
      note(`resolve ${first_sequence} to ${last_sequence}`);
      return [["other", 2_700]];
    },
    async markBuckets(buckets, sequence) {
      note(`mark ${sequence}`);
      marked.push([...buckets]);
    },
  };
  return { diary, marked, target };
}

test("rows go in, then the counting rules, then the marks of all that changed, then the file goes", async () => {
  await keep(1, "spans", [["a", 900]]);
  await keep(2, "usage_metric_points", []);
  const { diary, marked, target } = makeTarget();
  expect(await replay(letters, ["1", "2"], target)).toEqual([
    { name: "1", table: "spans", rows: 2, error: null },
    { name: "2", table: "usage_metric_points", rows: 2, error: null },
  ]);
  expect(diary).toEqual([
    "insert spans 1",
    "resolve 1 to 1",
    "mark late",
    "insert usage_metric_points 2",
  ]);
  expect(marked).toEqual([
    [
      ["a", 900],
      ["other", 2_700],
    ],
  ]);
  expect(await letters.list()).toEqual([]);
});

test.each(["insert spans 1", "resolve 1 to 1", "mark late"])(
  "one that fails at '%s' stays, with the reason, and the next one goes on",
  async (step) => {
    await keep(1, "spans", [["a", 900]]);
    await keep(2, "usage_metric_points", []);
    const { target } = makeTarget((name) => {
      if (name === step) throw new RetryableError("clickhouse_unavailable", "away");
    });
    const outcomes = await replay(letters, ["1", "2"], target);
    expect(outcomes.map(({ name, error }) => [name, error])).toEqual([
      ["1", "away"],
      ["2", null],
    ]);
    expect((await letters.list()).map(({ name }) => name)).toEqual(["1"]);
  },
);

test("a record that cannot be read stays", async () => {
  const record = { sequence: 3, written_ms: 0, payload: Uint8Array.of(9, 9, 9, 9, 9) };
  await letters.keep(record, "w", "bad", "bad_record");
  const { diary, target } = makeTarget(() => {
    throw new PermanentError("never", "must not be asked");
  });
  expect(await replay(letters, ["3"], target)).toMatchObject([
    { name: "3", error: expect.stringContaining("shorter than its header says") },
  ]);
  expect(diary).toEqual([]);
  expect(await letters.list()).toHaveLength(1);
});
