/**
 * The insert loop with a log and a ClickHouse in memory. Both keep a diary, so that a test can say
 * what happened before what; delays are small and real.
 */
import * as fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { PermanentError, RetryableError } from "../../schemas/errors.ts";
import {
  decodeRecord,
  encodeRecord,
  type RecordTable,
  type TimeRange,
} from "../../schemas/record.ts";
import {
  type BatchTarget,
  type InsertedBatch,
  type InsertEvent,
  type InsertLoop,
  type InsertOptions,
  type RecordSource,
  type SourceRecord,
  startInsertLoop,
  MAX_UNEXPLAINED_FAILURES,
} from "./loop.ts";
import { MAX_INSERT_DAYS } from "./slices.ts";

type Bucket = [project: string, start_s: number];
type Step = "insert" | "resolve" | "mark" | "release";

const HOUR_MS = 3_600_000;

function sleep(duration_ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, duration_ms);
  });
}

/** A log and a ClickHouse; `before` may make any step fail or wait. */
class World implements RecordSource, BatchTarget {
  readonly records: SourceRecord[] = [];
  readonly diary: string[] = [];
  /** Sequences in the order they were inserted. */
  readonly inserted: number[] = [];
  /** Sequences of data points, in the order they were inserted. */
  readonly inserted_points: number[] = [];
  readonly resolved: InsertedBatch[] = [];
  /** Buckets of other spans that the counting rules change. */
  changed_buckets: Bucket[] = [];
  readonly marks: { buckets: Bucket[]; sequence: number | "late" }[] = [];
  readonly set_aside: number[] = [];
  readonly events: InsertEvent[] = [];
  released = 0;
  reads = 0;
  /** Records that reads have handed out, each as often as it was. */
  records_read = 0;
  before: (step: Step, sequences: readonly number[]) => void | Promise<void> = () => {};
  duringRead: () => void | Promise<void> = () => {};

  /** Adds a record of so many rows; its block says its sequence. */
  append(
    rows: number,
    buckets: Bucket[] = [["default", 900]],
    written_ms = Date.now(),
    table: RecordTable = "spans",
  ): number {
    const sequence = (this.records.at(-1)?.sequence ?? 0) + 1;
    const block = new Uint8Array(4);
    new DataView(block.buffer).setUint32(0, sequence);
    const payload = Buffer.concat(encodeRecord({ header: { table, rows, buckets }, block }));
    this.records.push({ sequence, written_ms, payload });
    return sequence;
  }

  async read(after_sequence: number, max_bytes: number): Promise<SourceRecord[]> {
    this.reads += 1;
    const found: SourceRecord[] = [];
    let bytes = 0;
    for (const record of this.records) {
      if (record.sequence <= after_sequence || record.sequence <= this.released) continue;
      bytes += record.payload.length;
      if (bytes > max_bytes && found.length > 0) break;
      found.push(record);
    }
    this.records_read += found.length;
    await this.duringRead();
    return found;
  }

  async release(through_sequence: number): Promise<void> {
    await this.before("release", [through_sequence]);
    this.released = through_sequence;
    this.diary.push(`release ${through_sequence}`);
  }

  /** Adds a record of data points, which are in no bucket. */
  appendPoints(rows: number): number {
    return this.append(rows, [], Date.now(), "usage_metric_points");
  }

  async insertBlocks(table: RecordTable, blocks: readonly Uint8Array[]): Promise<void> {
    const sequences = blocks.map((block) =>
      new DataView(block.buffer, block.byteOffset).getUint32(0),
    );
    const what = table === "spans" ? sequences.join() : `points ${sequences.join()}`;
    this.diary.push(`try ${what}`);
    await this.before("insert", sequences);
    (table === "spans" ? this.inserted : this.inserted_points).push(...sequences);
    this.diary.push(`insert ${what}`);
  }

  async resolveCalls(batch: InsertedBatch): Promise<Bucket[]> {
    await this.before("resolve", [batch.first_sequence, batch.last_sequence]);
    this.resolved.push(batch);
    this.diary.push(`resolve ${batch.first_sequence} to ${batch.last_sequence}`);
    return this.changed_buckets;
  }

  async markBuckets(buckets: readonly (readonly [string, number])[], sequence: number | "late") {
    await this.before("mark", sequence === "late" ? [] : [sequence]);
    this.marks.push({ buckets: buckets.map(([project, start_s]) => [project, start_s]), sequence });
    this.diary.push(`mark ${sequence}`);
  }

  options(changes: Partial<InsertOptions> = {}): InsertOptions {
    return {
      max_rows: 100,
      max_age_ms: 20,
      max_bytes: 1024 ** 2,
      now_ms: Date.now,
      setAside: async (record) => void this.set_aside.push(record.sequence),
      observe: (event) => this.events.push(event),
      ...changes,
    };
  }

  attempts(): number {
    return this.diary.filter((line) => line.startsWith("try")).length;
  }
}

const running: InsertLoop[] = [];

function start(world: World, changes: Partial<InsertOptions> = {}): InsertLoop {
  const loop = startInsertLoop(world, world, world.released, world.options(changes));
  running.push(loop);
  return loop;
}

/** Waits until the world has released that sequence. */
function released(world: World, sequence: number): Promise<void> {
  return vi.waitFor(() => expect(world.released).toBe(sequence), { timeout: 5_000, interval: 2 });
}

function numbers(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

afterEach(async () => {
  await Promise.all(running.splice(0).map((loop) => loop.stop()));
});

describe("batches", () => {
  test("are closed by rows, at once, and what is left waits for its age", async () => {
    const world = new World();
    for (let count = 0; count < 25; count += 1) world.append(10);
    start(world, { max_age_ms: HOUR_MS });
    await released(world, 20);
    await sleep(50);
    expect(world.diary).toEqual([
      `try ${numbers(1, 10).join()}`,
      `insert ${numbers(1, 10).join()}`,
      "resolve 1 to 10",
      "mark 10",
      "release 10",
      `try ${numbers(11, 20).join()}`,
      `insert ${numbers(11, 20).join()}`,
      "resolve 11 to 20",
      "mark 20",
      "release 20",
    ]);
  });

  test("are closed by the age of their first record, not earlier", async () => {
    const world = new World();
    const loop = start(world, { max_age_ms: 120 });
    const started_ms = performance.now();
    world.append(1);
    loop.wake();
    await sleep(40);
    world.append(1);
    loop.wake();
    await released(world, 2);
    const age_ms = performance.now() - started_ms;
    expect(age_ms).toBeGreaterThanOrEqual(115);
    expect(age_ms).toBeLessThan(1_000);
    expect(world.attempts()).toBe(1);
  });

  test("go out sooner by what the last INSERT took, but wait for half of the age at least", async () => {
    const world = new World();
    let insert_ms = 60;
    world.before = async (step) => {
      if (step === "insert") await sleep(insert_ms);
    };
    const loop = start(world, { max_age_ms: 1_000 });
    const takeOne = async (): Promise<number> => {
      const started_ms = performance.now();
      const before = world.attempts();
      const sequence = world.append(1);
      loop.wake();
      await vi.waitFor(() => expect(world.attempts()).toBe(before + 1), {
        interval: 1,
        timeout: 5_000,
      });
      const waited_ms = performance.now() - started_ms;
      await released(world, sequence);
      return waited_ms;
    };
    expect(await takeOne()).toBeGreaterThanOrEqual(995);
    insert_ms = 600;
    await takeOne();
    const waited_ms = await takeOne();
    expect(waited_ms).toBeGreaterThanOrEqual(495);
    expect(waited_ms).toBeLessThan(995);
  });

  test("fill up while they wait for their age", async () => {
    const world = new World();
    const loop = start(world, { max_age_ms: HOUR_MS, max_rows: 3 });
    for (let count = 0; count < 3; count += 1) {
      world.append(1);
      loop.wake();
      await sleep(10);
    }
    await released(world, 3);
    expect(world.inserted).toEqual([1, 2, 3]);
  });

  test("of a backlog are not held up by their age, in order and each record once", async () => {
    const world = new World();
    for (let count = 0; count < 333; count += 1) world.append(7, [], Date.now() - HOUR_MS);
    start(world, { max_age_ms: 1_000 });
    await released(world, 333);
    expect(world.inserted).toEqual(numbers(1, 333));
    for (const event of world.events) {
      expect(event).toMatchObject({
        kind: "inserted",
        rows: expect.toSatisfy((rows) => rows <= 100),
      });
    }
  });

  test("hold one record at least, also when it alone has too many rows", async () => {
    const world = new World();
    world.append(5);
    world.append(1_000);
    world.append(5);
    start(world);
    await released(world, 3);
    expect(world.diary.filter((line) => line.startsWith("insert"))).toEqual([
      "insert 1",
      "insert 2",
      "insert 3",
    ]);
  });

  test("are read in pieces of the bytes that are allowed", async () => {
    const world = new World();
    for (let count = 0; count < 10; count += 1) world.append(1);
    const record_bytes = world.records[0]?.payload.length ?? 0;
    start(world, { max_bytes: record_bytes * 3 });
    await released(world, 10);
    expect(world.inserted).toEqual(numbers(1, 10));
    for (const line of world.diary.filter((entry) => entry.startsWith("insert"))) {
      expect(line.split(",").length).toBeLessThanOrEqual(3);
    }
  });

  test("go out within the age when the clock of the log is ahead", async () => {
    const world = new World();
    world.append(1, [], Date.now() + HOUR_MS);
    start(world, { max_age_ms: 30 });
    await vi.waitFor(() => expect(world.released).toBe(1), { timeout: 500 });
  });
});

describe("marks", () => {
  test("come after the blocks and before the release, each bucket once, with the last sequence", async () => {
    const world = new World();
    world.append(1, [
      ["a", 900],
      ["b", 900],
    ]);
    world.append(1, [
      ["a", 1_800],
      ["a", 900],
    ]);
    start(world);
    await released(world, 2);
    expect(world.diary).toEqual(["try 1,2", "insert 1,2", "resolve 1 to 2", "mark 2", "release 2"]);
    expect(world.marks).toHaveLength(1);
    expect(world.marks[0]?.sequence).toBe(2);
    expect(new Set(world.marks[0]?.buckets.map(String))).toEqual(
      new Set(["a,900", "b,900", "a,1800"]),
    );
    expect(world.marks[0]?.buckets).toHaveLength(3);
  });

  test("are not written for a batch that changes no bucket", async () => {
    const world = new World();
    world.append(1, []);
    start(world);
    await released(world, 1);
    expect(world.marks).toEqual([]);
    expect(world.resolved).toEqual([]);
  });

  test("of projects with the same letters in another order are not confused", async () => {
    const world = new World();
    world.append(1, [
      ["1 2", 900],
      ["2", 900],
      ["2 1", 900],
      ["1", 2_900],
    ]);
    start(world);
    await released(world, 1);
    expect(world.marks[0]?.buckets).toHaveLength(4);
  });
});

describe("the counting rules", () => {
  test("are asked with all that was inserted, and what they change is marked with the rest", async () => {
    const world = new World();
    world.append(1, [["a", 900]]);
    world.append(1, [["a", 1_800]]);
    world.changed_buckets = [
      ["a", 900],
      ["b", 2_700],
    ];
    start(world);
    await released(world, 2);
    expect(world.resolved).toEqual([
      {
        first_sequence: 1,
        last_sequence: 2,
        buckets: [
          ["a", 900],
          ["a", 1_800],
        ],
      },
    ]);
    expect(world.marks).toHaveLength(1);
    expect(world.marks[0]?.buckets.toSorted()).toEqual([
      ["a", 1_800],
      ["a", 900],
      ["b", 2_700],
    ]);
  });

  test("that fail repeat the batch, whatever the failure: the records are not to blame", async () => {
    for (const failure of [
      new RetryableError("x", "away"),
      new PermanentError("clickhouse_62", "a statement that is wrong"),
      new TypeError("a bug"),
    ]) {
      const world = new World();
      let failures = 1;
      world.before = (step) => {
        if (step === "resolve" && failures-- > 0) throw failure;
      };
      world.append(1);
      world.append(1);
      start(world);
      await released(world, 2);
      expect(world.diary).toEqual([
        "try 1,2",
        "insert 1,2",
        "try 1,2",
        "insert 1,2",
        "resolve 1 to 2",
        "mark 2",
        "release 2",
      ]);
      expect(world.set_aside).toEqual([]);
    }
  });
});

describe("records of data points", () => {
  test("go to their own table, are no call and change no bucket", async () => {
    const world = new World();
    world.appendPoints(3);
    world.appendPoints(4);
    start(world);
    await released(world, 2);
    expect(world.diary).toEqual(["try points 1,2", "insert points 1,2", "release 2"]);
    expect(world.events).toMatchObject([{ kind: "inserted", rows: 7 }]);
  });

  test("among spans go in the same batch, one insert a table, released with them", async () => {
    const world = new World();
    world.appendPoints(1);
    world.append(1);
    world.appendPoints(1);
    world.append(1);
    start(world);
    await released(world, 4);
    expect(world.diary).toEqual([
      "try 2,4",
      "insert 2,4",
      "try points 1,3",
      "insert points 1,3",
      "resolve 1 to 4",
      "mark 4",
      "release 4",
    ]);
  });

  test("that will never be taken are set aside and the spans beside them are not", async () => {
    const world = new World();
    world.append(1);
    world.appendPoints(1);
    world.append(1);
    world.before = (step, sequences) => {
      if (step === "insert" && sequences.includes(2)) {
        throw new PermanentError("clickhouse_117", "incorrect data");
      }
    };
    start(world);
    await released(world, 3);
    expect(world.set_aside).toEqual([2]);
    expect(new Set(world.inserted)).toEqual(new Set([1, 3]));
    expect(world.inserted_points).toEqual([]);
    expect(world.marks.at(-1)?.sequence).toBe(3);
  });
});

describe("an error that may pass", () => {
  test("is tried again after pauses that grow, and nothing is released before", async () => {
    const world = new World();
    for (let count = 0; count < 3; count += 1) world.append(1);
    let is_away = true;
    world.before = () => {
      if (is_away) throw new RetryableError("clickhouse_unavailable", "away");
    };
    start(world, { max_age_ms: 0 });
    await sleep(1_000);
    // 0, 100, 300 and 700 ms.
    expect(world.attempts()).toBeGreaterThanOrEqual(3);
    expect(world.attempts()).toBeLessThanOrEqual(4);
    expect(world.released).toBe(0);
    const pauses = world.events.map((event) => (event.kind === "failed" ? event.retry_ms : 0));
    expect(pauses).toEqual([100, 200, 400, 800].slice(0, pauses.length));
    is_away = false;
    await released(world, 3);
    expect(world.inserted).toEqual([1, 2, 3]);
    expect(world.set_aside).toEqual([]);
  });

  test("starts with a short pause again once an insert went through", async () => {
    const world = new World();
    let attempts = 0;
    world.before = (step) => {
      if (step !== "insert") return;
      attempts += 1;
      if (attempts !== 3) throw new RetryableError("x", "away");
    };
    world.append(1);
    const loop = start(world, { max_age_ms: 0 });
    await released(world, 1);
    world.append(1);
    loop.wake();
    await vi.waitFor(() => expect(world.events).toHaveLength(4), 2_000);
    expect(world.events.map((event) => (event.kind === "failed" ? event.retry_ms : "ok"))).toEqual([
      100,
      200,
      "ok",
      100,
    ]);
  });

  test("does not become a storm when new records keep waking the loop", async () => {
    const world = new World();
    world.before = () => {
      throw new RetryableError("clickhouse_unavailable", "away");
    };
    world.append(1);
    const loop = start(world, { max_age_ms: 0 });
    for (let count = 0; count < 100; count += 1) {
      world.append(1);
      loop.wake();
      await sleep(5);
    }
    expect(world.attempts()).toBeLessThanOrEqual(5);
  });

  test("of the marks repeats the batch, blocks included, before it is released", async () => {
    const world = new World();
    let failures = 1;
    world.before = (step) => {
      if (step === "mark" && failures-- > 0) throw new RetryableError("x", "away");
    };
    world.append(1);
    start(world);
    await released(world, 1);
    expect(world.diary).toEqual([
      "try 1",
      "insert 1",
      "resolve 1 to 1",
      "try 1",
      "insert 1",
      "resolve 1 to 1",
      "mark 1",
      "release 1",
    ]);
  });

  test("of the log is told and read again, whether it is the reading or the release", async () => {
    const world = new World();
    let read_failures = 1;
    let release_failures = 1;
    world.duringRead = () => {
      if (read_failures-- > 0) throw new RetryableError("wal_read_failed", "no disk");
    };
    world.before = (step) => {
      if (step === "release" && release_failures-- > 0) {
        throw new RetryableError("wal_checkpoint_failed", "no disk");
      }
    };
    world.append(1);
    start(world);
    await released(world, 1);
    expect(world.events.map(({ kind }) => kind)).toEqual(["failed", "failed", "inserted"]);
  });
});

describe("an error that will not pass", () => {
  test("sets aside the one record that is poison and inserts all the others, in order", async () => {
    const world = new World();
    for (let count = 0; count < 10; count += 1) world.append(1, [["default", count * 900]]);
    world.before = (step, sequences) => {
      if (step === "insert" && sequences.includes(4)) {
        throw new PermanentError("clickhouse_117", "incorrect data");
      }
    };
    start(world);
    await released(world, 10);
    expect(world.inserted).toEqual([1, 2, 3, 5, 6, 7, 8, 9, 10]);
    expect(world.set_aside).toEqual([4]);
    const marked = world.marks.flatMap(({ buckets }) =>
      buckets.map(([, start_s]) => start_s / 900),
    );
    expect(new Set(marked)).toEqual(new Set([0, 1, 2, 4, 5, 6, 7, 8, 9]));
    expect(world.events).toContainEqual({
      kind: "set_aside",
      sequence: 4,
      code: "clickhouse_117",
      message: "incorrect data",
    });
    expect(world.diary.filter((line) => line.startsWith("release"))).toEqual(["release 10"]);
  });

  test("of a record that is no record sets that one aside", async () => {
    const world = new World();
    world.append(1);
    world.records.push({ sequence: 2, written_ms: 0, payload: new Uint8Array([9, 9, 9, 9, 9]) });
    world.append(1);
    start(world);
    await released(world, 3);
    expect(world.inserted).toEqual([1, 3]);
    expect(world.set_aside).toEqual([2]);
  });

  test("is not decided while the engine is away: the records are tried again, not set aside", async () => {
    const world = new World();
    for (let count = 0; count < 3; count += 1) world.append(1);
    let is_away = false;
    world.before = (step, sequences) => {
      if (step !== "insert") return;
      if (sequences.length > 1) throw new PermanentError("clickhouse_117", "incorrect data");
      if (sequences[0] === 2 && !is_away) {
        is_away = true;
        throw new RetryableError("clickhouse_unavailable", "away");
      }
      if (sequences[0] === 3) throw new PermanentError("clickhouse_117", "incorrect data");
    };
    start(world);
    await released(world, 3);
    expect(new Set(world.inserted)).toEqual(new Set([1, 2]));
    expect(world.set_aside).toEqual([3]);
  });

  test("keeps the record in the log until it is set aside durably", async () => {
    const world = new World();
    world.append(1);
    world.before = (step) => {
      if (step === "insert") throw new PermanentError("clickhouse_117", "incorrect data");
    };
    let failures = 2;
    start(world, {
      setAside: async (record) => {
        expect(world.released).toBe(0);
        if (failures-- > 0) throw new Error("no space left");
        world.set_aside.push(record.sequence);
      },
    });
    await released(world, 1);
    expect(world.set_aside).toEqual([1]);
    expect(world.events.filter(({ kind }) => kind === "failed")).toHaveLength(2);
  });
});

describe("a crash", () => {
  test("at any step loses no record and releases none that is not inserted and marked", async () => {
    const plan = fc.record({
      records: fc.integer({ min: 1, max: 12 }),
      max_rows: fc.integer({ min: 1, max: 5 }),
      crashes: fc.array(fc.integer({ min: 1, max: 8 }), { minLength: 1, maxLength: 4 }),
      poison: fc.integer({ min: 0, max: 12 }),
    });
    await fc.assert(
      fc.asyncProperty(plan, async ({ records, max_rows, crashes, poison }) => {
        const world = new World();
        for (let count = 1; count <= records; count += 1) world.append(1, [["p", count * 900]]);
        const marked = new Set<number>();
        const checkReleased = (through: number): void => {
          for (const sequence of numbers(1, through)) {
            const is_done = world.inserted.includes(sequence) && marked.has(sequence);
            expect(is_done || world.set_aside.includes(sequence)).toBe(true);
          }
        };
        for (const crash_at of [...crashes, Infinity]) {
          let steps = 0;
          const crashed = Promise.withResolvers<void>();
          world.before = (step, sequences) => {
            steps += 1;
            if (steps >= crash_at) {
              crashed.resolve();
              throw new RetryableError("crash", "gone");
            }
            if (step === "insert" && sequences.includes(poison)) {
              throw new PermanentError("poison", "bad");
            }
            for (const { buckets } of world.marks) {
              for (const [, start_s] of buckets) marked.add(start_s / 900);
            }
            if (step === "release") checkReleased(sequences[0] ?? 0);
          };
          const loop = startInsertLoop(
            world,
            world,
            world.released,
            world.options({ max_rows, max_age_ms: 0 }),
          );
          const finished = vi.waitFor(() => expect(world.released).toBe(records), { interval: 1 });
          await Promise.race([crashed.promise, finished]);
          await loop.stop();
        }
        expect(world.released).toBe(records);
        expect(new Set([...world.inserted, ...world.set_aside])).toEqual(
          new Set(numbers(1, records)),
        );
        expect(new Set(world.set_aside)).toEqual(
          new Set(numbers(1, records).filter((n) => n === poison)),
        );
      }),
      { numRuns: 60 },
    );
  });
});

describe("stop", () => {
  test("finishes the batch at hand, release included, and begins no other", async () => {
    const world = new World();
    for (let count = 0; count < 20; count += 1) world.append(1);
    const gate = Promise.withResolvers<void>();
    world.before = async (step) => {
      if (step === "insert") await gate.promise;
    };
    const loop = start(world, { max_rows: 5 });
    await vi.waitFor(() => expect(world.attempts()).toBe(1));
    let is_stopped = false;
    const stopping = loop.stop().then(() => {
      is_stopped = true;
    });
    await sleep(20);
    expect(is_stopped).toBe(false);
    gate.resolve();
    await stopping;
    expect(world.diary).toEqual([
      "try 1,2,3,4,5",
      "insert 1,2,3,4,5",
      "resolve 1 to 5",
      "mark 5",
      "release 5",
    ]);
    expect(loop.released()).toBe(5);
  });

  test.each<[string, (world: World) => void, number]>([
    ["there is nothing to do", () => {}, 20],
    ["a batch waits for its age", (world) => void world.append(1), HOUR_MS],
    [
      "the engine is away",
      (world) => {
        world.append(1);
        world.before = () => {
          throw new RetryableError("x", "away");
        };
      },
      0,
    ],
  ])("does not wait when %s, and inserts nothing any more", async (_when, prepare, max_age_ms) => {
    const world = new World();
    prepare(world);
    const loop = start(world, { max_age_ms });
    await sleep(450);
    const attempts = world.attempts();
    const started_ms = performance.now();
    await loop.stop();
    expect(performance.now() - started_ms).toBeLessThan(60);
    await sleep(20);
    expect(world.attempts()).toBe(attempts);
    expect(world.released).toBe(0);
  });
});

describe("waking", () => {
  test("an idle loop sleeps until it is woken, without looking again and again", async () => {
    const world = new World();
    const loop = start(world);
    await sleep(150);
    expect(world.reads).toBe(1);
    world.append(1);
    loop.wake();
    await released(world, 1);
    expect(loop.released()).toBe(1);
  });

  test("in the middle of a read is not lost", async () => {
    const world = new World();
    let appended = false;
    world.duringRead = async () => {
      await sleep(10);
      if (appended) return;
      appended = true;
      // After the log was looked at, before the answer is there.
      world.append(1);
      loop.wake();
    };
    const loop = start(world);
    await vi.waitFor(() => expect(world.released).toBe(1), { timeout: 500 });
  });

  test("often while a batch waits for its age does not read its records again and again", async () => {
    const world = new World();
    const loop = start(world, { max_age_ms: HOUR_MS, max_rows: 1_000 });
    for (let count = 0; count < 200; count += 1) {
      world.append(1);
      loop.wake();
      await sleep(1);
    }
    await vi.waitFor(() => expect(world.records_read).toBeGreaterThanOrEqual(200));
    expect(world.records_read).toBeLessThan(1_000);
  });
});

const DAY_S = 86_400;
/** 2026-11-21. */
const TODAY = 20_778;

function daysBack(first: number, count: number): Bucket[] {
  return Array.from({ length: count }, (_unused, index) => ["p", (TODAY - first - index) * DAY_S]);
}

/**
 * A ClickHouse that knows which days of which records it has, and rollups that are computed at once
 * from whatever is there when a mark tells them to. A mark tells them only when it is higher than the
 * one before of its writer.
 */
class DayWorld extends World {
  /** "sequence day" of each INSERT, in order. */
  readonly inserts: string[][] = [];
  readonly rollups = new Map<string, ReadonlySet<number>>();
  readonly #rows = new Map<string, Set<number>>();
  readonly #highest = new Map<string, number>();
  #late = 0;

  #bucketsOf(sequence: number, range: TimeRange | null): Bucket[] {
    const record = this.records.find((each) => each.sequence === sequence) as SourceRecord;
    return decodeRecord(record.payload).header.buckets.filter(
      ([, start_s]) =>
        start_s >= (range?.from_s ?? -Infinity) && start_s < (range?.to_s ?? Infinity),
    );
  }

  override async insertBlocks(
    table: RecordTable,
    blocks: readonly Uint8Array[],
    range: TimeRange | null = null,
  ): Promise<void> {
    await super.insertBlocks(table, blocks);
    const rows: string[] = [];
    for (const block of blocks) {
      const sequence = new DataView(block.buffer, block.byteOffset).getUint32(0);
      for (const [project, start_s] of this.#bucketsOf(sequence, range)) {
        rows.push(`${sequence} ${start_s / DAY_S}`);
        const key = `${project} ${start_s}`;
        this.#rows.set(key, (this.#rows.get(key) ?? new Set()).add(sequence));
      }
    }
    this.inserts.push(rows);
  }

  override async markBuckets(
    buckets: readonly (readonly [string, number])[],
    sequence: number | "late",
  ): Promise<void> {
    await super.markBuckets(buckets, sequence);
    if (sequence === "late") this.#late += 1;
    const mark = sequence === "late" ? this.#late : sequence;
    for (const [project, start_s] of buckets) {
      const key = `${project} ${start_s}`;
      const writer = `${sequence === "late" ? "late" : "log"} ${key}`;
      if (mark <= (this.#highest.get(writer) ?? 0)) continue;
      this.#highest.set(writer, mark);
      this.rollups.set(key, new Set(this.#rows.get(key)));
    }
  }

  /** Whether every bucket of every record is in its rollup. */
  missing(): string[] {
    return this.records.flatMap(({ sequence }) =>
      this.#bucketsOf(sequence, null).flatMap(([project, start_s]) =>
        this.rollups.get(`${project} ${start_s}`)?.has(sequence) === true
          ? []
          : [`${sequence} ${start_s / DAY_S}`],
      ),
    );
  }
}

describe("C08: records of many days", () => {
  test("are inserted a bounded number of days at a time, newest first, and records of today come in between", async () => {
    const world = new DayWorld();
    world.append(60, daysBack(0, 60));
    for (let count = 0; count < 3; count += 1) world.append(60, daysBack(0, 1));
    start(world, { max_rows: 60 });
    await released(world, 4);
    const wide = (first: number, count: number) =>
      daysBack(first, count).map(([, start_s]) => `1 ${start_s / DAY_S}`);
    expect(world.inserts).toEqual([
      wide(0, 25),
      [`2 ${TODAY}`],
      wide(25, 25),
      [`3 ${TODAY}`],
      wide(50, 10),
      [`4 ${TODAY}`],
    ]);
    expect(world.diary.filter((line) => line.startsWith("release"))).toEqual([
      "release 3",
      "release 4",
    ]);
    expect(world.missing()).toEqual([]);
  });

  test("go on alone when nothing else comes, and hold up no age", async () => {
    const world = new DayWorld();
    world.append(1, daysBack(0, 110));
    start(world, { max_age_ms: 0 });
    await released(world, 1);
    expect(world.inserts.map((days) => days.length)).toEqual([25, 25, 25, 25, 10]);
  });

  test("that are refused on an older day are set aside once, and what shared the batch is not", async () => {
    const world = new DayWorld();
    world.append(1, daysBack(0, 40));
    world.append(1, daysBack(0, 40));
    let inserts = 0;
    world.before = (step, sequences) => {
      if (step !== "insert") return;
      inserts += 1;
      if (inserts > 1 && sequences.includes(2)) throw new PermanentError("clickhouse_117", "bad");
    };
    start(world);
    await released(world, 2);
    expect(world.set_aside).toEqual([2]);
    expect(world.missing().every((row) => row.startsWith("2 "))).toBe(true);
  });

  test("are all in, each bucket told to the rollups after its last row, whatever fails and wherever it crashes", async () => {
    const days = fc.record({
      first: fc.integer({ min: 0, max: 70 }),
      count: fc.integer({ min: 1, max: 70 }),
    });
    const plan = fc.record({
      records: fc.array(days, { minLength: 1, maxLength: 8 }),
      max_rows: fc.integer({ min: 1, max: 4 }),
      crashes: fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(plan, async ({ records, max_rows, crashes }) => {
        const world = new DayWorld();
        for (const { first, count } of records) world.append(1, daysBack(first, count));
        for (const crash_at of [...crashes, Infinity]) {
          let steps = 0;
          const crashed = Promise.withResolvers<void>();
          world.before = () => {
            steps += 1;
            if (steps < crash_at) return;
            crashed.resolve();
            throw new RetryableError("crash", "gone");
          };
          const options = world.options({ max_rows, max_age_ms: 0 });
          const loop = startInsertLoop(world, world, world.released, options);
          const finished = vi.waitFor(() => expect(world.released).toBe(records.length), {
            interval: 1,
          });
          await Promise.race([crashed.promise, finished]);
          await loop.stop();
        }
        expect(world.missing()).toEqual([]);
        for (const rows of world.inserts) {
          const touched = new Set(rows.map((row) => row.split(" ")[1]));
          expect(touched.size).toBeLessThanOrEqual(MAX_INSERT_DAYS);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe("C03: a slow engine", () => {
  test("has one INSERT at a time, while the next records are read", async () => {
    const world = new World();
    for (let count = 0; count < 5; count += 1) world.append(1);
    let running_inserts = 0;
    let peak = 0;
    let read_while_inserting = 0;
    world.duringRead = async () => {
      await sleep(2);
      if (running_inserts > 0) read_while_inserting += 1;
    };
    world.before = async (step) => {
      if (step !== "insert") return;
      running_inserts += 1;
      peak = Math.max(peak, running_inserts);
      await sleep(10);
      running_inserts -= 1;
    };
    const loop = start(world, { max_rows: 1 });
    for (let count = 0; count < 5; count += 1) {
      world.append(1);
      loop.wake();
      await sleep(5);
    }
    await released(world, 10);
    expect(peak).toBe(1);
    expect(read_while_inserting).toBeGreaterThan(0);
    expect(world.inserted).toEqual(numbers(1, 10));
  });

  test("with a backlog gets larger batches, and never more rows than are allowed", async () => {
    const world = new World();
    for (let count = 0; count < 100; count += 1) world.append(10);
    start(world, { max_backlog_rows: 400, max_age_ms: 0 });
    await released(world, 100);
    const rows = world.events.map((event) => (event.kind === "inserted" ? event.rows : 0));
    expect(rows).toEqual([400, 400, 200]);
  });
});

describe("C06: an engine that says why", () => {
  test("and has too little memory for a batch gets halves, until they fit, then larger ones again", async () => {
    const world = new World();
    for (let count = 0; count < 64; count += 1) world.append(1);
    let is_small = true;
    const sizes: number[] = [];
    world.before = (step, sequences) => {
      if (step !== "insert") return;
      sizes.push(sequences.length);
      if (is_small && sequences.length > 8) throw new RetryableError("clickhouse_241", "memory");
      is_small = false;
    };
    start(world, { max_rows: 32, max_age_ms: 0 });
    await released(world, 64);
    expect(sizes).toEqual([32, 16, 8, 16, 32, 8]);
    expect(world.inserted).toEqual(numbers(1, 64));
    expect(world.set_aside).toEqual([]);
  });

  test.each([
    ["C15: has a full disk", "clickhouse_243", /Free space/],
    ["C09: lacks a column", "clickhouse_16", /spanledger migrate/],
    ["lacks the table", "clickhouse_60", /spanledger migrate/],
    ["has a quota that is used up", "clickhouse_201", /quota/],
    ["is read-only", "clickhouse_164", /read|writes/],
  ])(
    "and %s is asked every 5 s at most, and a person is told what to do",
    async (_what, code, advice) => {
      vi.useFakeTimers();
      try {
        const world = new World();
        world.append(1);
        world.before = () => {
          throw new RetryableError(code, "no");
        };
        const loop = startInsertLoop(world, world, 0, world.options({ random: () => 0.99 }));
        await vi.advanceTimersByTimeAsync(60_000);
        expect(world.attempts()).toBeGreaterThan(5);
        expect(world.attempts()).toBeLessThanOrEqual(12);
        for (const event of world.events) {
          expect(event).toMatchObject({ kind: "failed", code, remedy: "alarm" });
          expect(event).toMatchObject({ advice: expect.stringMatching(advice) });
        }
        expect(world.set_aside).toEqual([]);
        await loop.stop();
      } finally {
        vi.useRealTimers();
      }
    },
  );
});

describe("C07: a record that is poison", () => {
  test("among a thousand is found by halving, and all others are in", async () => {
    const world = new World();
    for (let count = 0; count < 1_000; count += 1) world.append(1);
    world.before = (step, sequences) => {
      if (step === "insert" && sequences.includes(777)) {
        throw new PermanentError("clickhouse_117", "incorrect data");
      }
    };
    start(world, { max_rows: 1_000 });
    await released(world, 1_000);
    expect(world.set_aside).toEqual([777]);
    expect(new Set(world.inserted)).toEqual(new Set(numbers(1, 1_000).filter((n) => n !== 777)));
    // 1 + 2 * ceil(log2(1000))
    expect(world.attempts()).toBeLessThanOrEqual(21);
  });

  test("for a reason that ClickHouse does not explain does not hold up the log for ever", async () => {
    vi.useFakeTimers();
    try {
      const world = new World();
      for (let count = 0; count < 20; count += 1) world.append(1);
      world.before = (step, sequences) => {
        if (step === "insert" && sequences.includes(13)) {
          throw new RetryableError("clickhouse_49", "Bad cast");
        }
      };
      const loop = startInsertLoop(world, world, 0, world.options());
      await vi.advanceTimersByTimeAsync(120_000);
      expect(world.released).toBe(20);
      expect(world.set_aside).toEqual([13]);
      const failures = world.events.filter(({ kind }) => kind === "failed");
      expect(failures).toHaveLength(MAX_UNEXPLAINED_FAILURES);
      await loop.stop();
    } finally {
      vi.useRealTimers();
    }
  });

  test("is nobody when all records fail for a reason that is not explained: the engine is at fault", async () => {
    vi.useFakeTimers();
    try {
      const world = new World();
      for (let count = 0; count < 100; count += 1) world.append(1);
      world.before = (step) => {
        if (step === "insert") throw new RetryableError("clickhouse_49", "Bad cast");
      };
      const loop = startInsertLoop(world, world, 0, world.options());
      await vi.advanceTimersByTimeAsync(120_000);
      expect(world.set_aside).toEqual([]);
      expect(world.released).toBe(0);
      world.before = () => {};
      await vi.advanceTimersByTimeAsync(10_000);
      expect(world.released).toBe(100);
      await loop.stop();
    } finally {
      vi.useRealTimers();
    }
  });

  test("stays in the log while the dead-letter folder is full, and the good rows are written once", async () => {
    vi.useFakeTimers();
    try {
      const world = new World();
      for (let count = 0; count < 4; count += 1) world.append(1);
      world.before = (step, sequences) => {
        if (step === "insert" && sequences.includes(2)) {
          throw new PermanentError("clickhouse_117", "incorrect data");
        }
      };
      let is_full = true;
      const setAside = async (record: SourceRecord) => {
        if (is_full) throw new RetryableError("dead_letter_full", "full");
        world.set_aside.push(record.sequence);
      };
      const loop = startInsertLoop(world, world, 0, world.options({ setAside }));
      await vi.advanceTimersByTimeAsync(60_000);
      expect(world.released).toBe(0);
      expect(world.inserted).toEqual([1, 3, 4]);
      expect(world.events.at(-1)).toMatchObject({ kind: "failed", remedy: "alarm" });
      is_full = false;
      await vi.advanceTimersByTimeAsync(10_000);
      expect(world.released).toBe(4);
      expect(world.set_aside).toEqual([2]);
      await loop.stop();
    } finally {
      vi.useRealTimers();
    }
  });
});
