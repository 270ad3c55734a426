/**
 * The write-ahead log on a disk that works and on one that fails: order, grouping, budget, and
 * what each failure leaves behind in the same process life. Restarts are in recovery.test.ts.
 */

import { describe, expect, test } from "vitest";
import { FaultyDisk, nextTurn } from "../../test/support/faulty-disk.ts";
import { makeRandom } from "../../test/support/random.ts";
import { READ_ATTEMPTS_MAX } from "./reader.ts";
import { SCAN_WINDOW_BYTES } from "./scan.ts";
import { openWal } from "./wal.ts";
import type { Wal, WalOptions } from "./wal.ts";
import { QUEUE_MAX_BYTES } from "./writer.ts";

const DIRECTORY = "/data/wal";
const NOW_MS = 1_800_000_000_000;
const FRAME_BYTES = 44;
const ALL = Number.MAX_SAFE_INTEGER;

const random = makeRandom(1).next;

function newUuid(): string {
  return Array.from({ length: 32 }, () => Math.floor(random() * 16).toString(16)).join("");
}

function openOn(disk: FaultyDisk, changes: Partial<WalOptions> = {}): Promise<Wal> {
  return openWal({
    directory: DIRECTORY,
    disk: disk.connect(),
    segment_max_bytes: 4096,
    max_bytes: 64 * 1024,
    now_ms: () => NOW_MS,
    new_uuid: newUuid,
    ...changes,
  });
}

/** Appends one record of text, or of so many bytes; returns its sequence. */
async function append(wal: Wal, content: string | number): Promise<number> {
  const sequence = wal.reserveSequence();
  const payload = typeof content === "string" ? Buffer.from(content) : new Uint8Array(content);
  await wal.append(sequence, [payload]);
  return sequence;
}

async function readTexts(wal: Wal, after_sequence = 0, max_bytes = ALL): Promise<string[]> {
  const records = await wal.read(after_sequence, max_bytes);
  return records.map((record) => Buffer.from(record.payload).toString());
}

function segmentPaths(disk: FaultyDisk): string[] {
  return disk.paths().filter((path) => path.startsWith(`${DIRECTORY}/segment-`));
}

describe("sequences", () => {
  test("begin at the clock of a new log and rise by one", async () => {
    const wal = await openOn(new FaultyDisk(1));
    expect(wal.reserveSequence()).toBe(NOW_MS * 1024);
    expect(wal.reserveSequence()).toBe(NOW_MS * 1024 + 1);
  });

  test("are not given out while the disk does not store how far they are", async () => {
    const disk = new FaultyDisk(1);
    disk.failNext("write", "ENOSPC", 1, /checkpoint/);
    const wal = await openOn(disk);
    expect(() => wal.reserveSequence()).toThrow(
      expect.objectContaining({ name: "RetryableError", code: "wal_checkpoint_failed" }),
    );
    await nextTurn();
    expect(wal.reserveSequence()).toBe(NOW_MS * 1024);
  });

  test("out of order or not reserved are refused without harm", async () => {
    const wal = await openOn(new FaultyDisk(1));
    const [early, late] = [wal.reserveSequence(), wal.reserveSequence()];
    await wal.append(late, [Buffer.from("late")]);
    await expect(wal.append(early, [Buffer.from("early")])).rejects.toMatchObject({
      name: "RetryableError",
      code: "wal_sequence_passed",
    });
    await expect(wal.append(late + 1, [])).rejects.toMatchObject({ code: "wal_sequence_unknown" });
    expect(await readTexts(wal)).toEqual(["late"]);
  });
});

describe("reading", () => {
  test("returns records in order with their chunks joined, and empty ones too", async () => {
    const wal = await openOn(new FaultyDisk(1));
    const sequences = [await append(wal, "one"), await append(wal, "")];
    const last = wal.reserveSequence();
    await wal.append(last, [Buffer.from("th"), Buffer.from(""), Buffer.from("ree")]);
    const records = await wal.read(0, ALL);
    expect(records.map((record) => record.sequence)).toEqual([...sequences, last]);
    expect(records.map((record) => record.written_ms)).toEqual([NOW_MS, NOW_MS, NOW_MS]);
    expect(await readTexts(wal)).toEqual(["one", "", "three"]);
    expect(await readTexts(wal, sequences[0])).toEqual(["", "three"]);
    expect(await readTexts(wal, last)).toEqual([]);
  });

  test("stops at the size asked for, but gives at least one record", async () => {
    const wal = await openOn(new FaultyDisk(1));
    for (const text of ["aaaa", "bbbb", "cccc"]) await append(wal, text);
    expect(await readTexts(wal, 0, 2 * (FRAME_BYTES + 4))).toEqual(["aaaa", "bbbb"]);
    expect(await readTexts(wal, 0, 2 * (FRAME_BYTES + 4) - 1)).toEqual(["aaaa"]);
    expect(await readTexts(wal, 0, 1)).toEqual(["aaaa"]);
  });

  test("piece by piece goes through all segments, and back when asked again", async () => {
    const wal = await openOn(new FaultyDisk(1));
    const expected = Array.from({ length: 200 }, (_, index) => `record ${index}`);
    for (const text of expected) await append(wal, text);
    expect(wal.stats().segments).toBeGreaterThan(2);
    const seen: string[] = [];
    let after_sequence = 0;
    for (;;) {
      const records = await wal.read(after_sequence, 300);
      if (records.length === 0) break;
      seen.push(...records.map((record) => Buffer.from(record.payload).toString()));
      after_sequence = records.at(-1)?.sequence ?? 0;
    }
    expect(seen).toEqual(expected);
    expect(await readTexts(wal, NOW_MS * 1024 + 149)).toEqual(expected.slice(150));
    expect(await readTexts(wal, 0)).toEqual(expected);
  });

  test("a little of a large segment reads little of it", async () => {
    const disk = new FaultyDisk(1);
    const large = { segment_max_bytes: 8 * 2 ** 20, max_bytes: 16 * 2 ** 20 };
    const wal = await openOn(disk, large);
    const payload = new Uint8Array(1000);
    await Promise.all(
      Array.from({ length: 5000 }, () => wal.append(wal.reserveSequence(), [payload])),
    );
    disk.read_bytes = 0;
    disk.longest_read_bytes = 0;
    await wal.read(0, 10_000);
    expect(disk.read_bytes).toBeLessThan(40_000);
    await wal.read(NOW_MS * 1024 + 4000, 10_000);
    expect(disk.longest_read_bytes).toBeLessThanOrEqual(SCAN_WINDOW_BYTES);
  });

  test("gives payloads that later writes do not change", async () => {
    const wal = await openOn(new FaultyDisk(1));
    const chunk = Buffer.from("first");
    await wal.append(wal.reserveSequence(), [chunk]);
    const [record] = await wal.read(0, ALL);
    chunk.write("XXXXX");
    for (let index = 0; index < 20; index++) await append(wal, "other");
    await wal.read(0, ALL);
    expect(Buffer.from(record?.payload ?? []).toString()).toBe("first");
  });
});

describe("releasing", () => {
  test("hides records, removes their segments and keeps the rest", async () => {
    const disk = new FaultyDisk(1);
    const wal = await openOn(disk);
    const sequences: number[] = [];
    for (let index = 0; index < 20; index++) sequences.push(await append(wal, 1000));
    expect(segmentPaths(disk)).toHaveLength(7);
    await wal.release(sequences[9] ?? 0);
    expect(segmentPaths(disk)).toHaveLength(4);
    expect((await wal.read(0, ALL)).map((record) => record.sequence)).toEqual(sequences.slice(10));
    expect(wal.stats()).toMatchObject({
      records_pending: 10,
      released_sequence: sequences[9],
      synced_sequence: sequences[19],
      segments: 4,
      bytes: segmentPaths(disk).reduce((sum, path) => sum + disk.readBytes(path).byteLength, 0),
    });
  });

  test("more than was appended releases what there is, and nothing that comes later", async () => {
    const wal = await openOn(new FaultyDisk(1));
    await append(wal, "old");
    await wal.release(ALL);
    await append(wal, "new");
    expect(await readTexts(wal)).toEqual(["new"]);
  });

  test("less than before changes nothing", async () => {
    const wal = await openOn(new FaultyDisk(1));
    const first = await append(wal, "one");
    const second = await append(wal, "two");
    await wal.release(second);
    await wal.release(first);
    expect(await readTexts(wal)).toEqual([]);
    expect(wal.stats().released_sequence).toBe(second);
  });

  test("tells the age of the oldest record that waits", async () => {
    let now_ms = NOW_MS;
    const wal = await openOn(new FaultyDisk(1), { now_ms: () => now_ms });
    expect(wal.stats().oldest_pending_ms).toBe(0);
    const first = await append(wal, "one");
    now_ms += 300;
    await append(wal, "two");
    now_ms += 50;
    expect(wal.stats().oldest_pending_ms).toBe(350);
    await wal.release(first);
    expect(wal.stats().oldest_pending_ms).toBe(50);
    now_ms -= 3_600_000;
    expect(wal.stats().oldest_pending_ms).toBe(0);
    await wal.release(ALL);
    expect(wal.stats()).toMatchObject({ oldest_pending_ms: 0, records_pending: 0 });
  });

  test("F09: on a disk too full for a checkpoint makes its room by removing segments", async () => {
    const disk = new FaultyDisk(1);
    const wal = await openOn(disk);
    for (let index = 0; index < 8; index++) await append(wal, 1000);
    disk.capacity_bytes = disk.usedBytes();
    await wal.release(NOW_MS * 1024 + 5);
    expect(segmentPaths(disk)).toHaveLength(1);
    expect(await wal.read(0, ALL)).toHaveLength(2);
  });

  test("without a stored checkpoint is rejected and can be asked for again", async () => {
    const disk = new FaultyDisk(1);
    const wal = await openOn(disk);
    const sequence = await append(wal, "one");
    disk.failNext("rename", "EIO");
    await expect(wal.release(sequence)).rejects.toMatchObject({ code: "wal_checkpoint_failed" });
    expect(await readTexts(wal)).toEqual([]);
    await wal.release(sequence);
    disk.crash();
    expect(await readTexts(await openOn(disk))).toEqual([]);
  });
});

describe("appending while the front passes damage", () => {
  test("hides nothing that was appended meanwhile", async () => {
    for (let ticks = 0; ticks < 30; ticks++) {
      const disk = new FaultyDisk(1);
      const wal = await openOn(disk);
      const first = await append(wal, "first");
      await append(wal, "damaged");
      const [path = ""] = segmentPaths(disk);
      disk.flipBit(path, Buffer.from(disk.readBytes(path)).indexOf("damaged"), 0);
      expect(await readTexts(wal)).toEqual(["first"]);
      const appended = append(wal, "second");
      for (let tick = 0; tick < ticks; tick++) await Promise.resolve();
      await Promise.all([wal.release(first), appended]);
      expect(await readTexts(wal)).toEqual(["second"]);
      expect(wal.stats().records_pending).toBe(1);
    }
  });
});

describe("group commit", () => {
  test("appends made while a sync runs share the next one", async () => {
    const disk = new FaultyDisk(1);
    const wal = await openOn(disk);
    disk.sync_turns = 3;
    disk.sync_count = 0;
    const first = append(wal, "first");
    await nextTurn();
    const others = Array.from({ length: 20 }, (_, index) => append(wal, `other ${index}`));
    await Promise.all([first, ...others]);
    expect(disk.sync_count).toBe(2);
    expect(await readTexts(wal)).toHaveLength(21);
  });

  test("nothing is returned before it is synced", async () => {
    const disk = new FaultyDisk(1);
    const wal = await openOn(disk);
    disk.sync_turns = 5;
    const appended = append(wal, "slow");
    await nextTurn();
    await nextTurn();
    expect(await readTexts(wal)).toEqual([]);
    await appended;
    expect(await readTexts(wal)).toEqual(["slow"]);
  });

  test("F12: more than the queue holds is refused while the disk is slow", async () => {
    const disk = new FaultyDisk(1);
    const wal = await openOn(disk, { segment_max_bytes: 2 ** 31, max_bytes: 2 ** 31 });
    disk.sync_turns = 5;
    const shared = new Uint8Array(2 ** 20);
    const large = Array.from({ length: 255 }, () => shared);
    const first = append(wal, "first").catch((error: unknown) => error);
    await nextTurn();
    disk.failNext("sync", "EIO");
    disk.failNext("open", "EMFILE", 10);
    const waiting = [wal.append(wal.reserveSequence(), large)];
    waiting.push(wal.append(wal.reserveSequence(), large));
    const settled = Promise.allSettled(waiting);
    expect(wal.stats().queued_bytes).toBeLessThanOrEqual(QUEUE_MAX_BYTES);
    await expect(wal.append(wal.reserveSequence(), large)).rejects.toMatchObject({
      name: "RetryableError",
      code: "wal_busy",
    });
    expect(await first).toMatchObject({ code: "wal_sync_failed" });
    expect((await settled).map((result) => result.status)).toEqual(["rejected", "rejected"]);
    expect(wal.stats().queued_bytes).toBe(0);
  });
});

describe("a full disk", () => {
  test("F08: rejects, leaves no partial frame and recovers by itself when there is space", async () => {
    const disk = new FaultyDisk(1);
    const wal = await openOn(disk);
    await append(wal, "before");
    const [path = ""] = segmentPaths(disk);
    const byte_size = disk.readBytes(path).byteLength;
    disk.capacity_bytes = disk.usedBytes() + 50;
    await expect(append(wal, 500)).rejects.toMatchObject({
      name: "RetryableError",
      code: "disk_full",
    });
    expect(disk.readBytes(path).byteLength).toBe(byte_size);
    disk.heal();
    await append(wal, "after");
    expect(await readTexts(wal)).toEqual(["before", "after"]);
    disk.crash();
    const reopened = await openOn(disk);
    expect(await readTexts(reopened)).toEqual(["before", "after"]);
    expect(reopened.stats()).toMatchObject({ torn_tails: 0, quarantined_records: 0 });
  });

  test("rejects the whole group and nothing of it is read", async () => {
    const disk = new FaultyDisk(1);
    const wal = await openOn(disk);
    await append(wal, "before");
    disk.capacity_bytes = disk.usedBytes() + 300;
    const results = await Promise.allSettled([1, 2, 3].map(() => append(wal, 200)));
    expect(results.map((result) => result.status)).toEqual(["rejected", "rejected", "rejected"]);
    expect(await readTexts(wal)).toEqual(["before"]);
  });

  test("F09: at the start of a segment leaves no file behind", async () => {
    const disk = new FaultyDisk(1);
    const wal = await openOn(disk);
    disk.capacity_bytes = disk.usedBytes() + 70;
    await expect(append(wal, 500)).rejects.toMatchObject({ code: "disk_full" });
    expect(segmentPaths(disk)).toEqual([]);
    expect(wal.stats().bytes).toBe(0);
  });

  test("whose partial frame cannot be cut off goes on in a new segment", async () => {
    const disk = new FaultyDisk(3);
    const wal = await openOn(disk);
    await append(wal, "before");
    disk.capacity_bytes = disk.usedBytes() + 60;
    disk.failNext("truncate", "EIO");
    await expect(append(wal, 500)).rejects.toMatchObject({ code: "disk_full" });
    disk.heal();
    await append(wal, "after");
    expect(segmentPaths(disk)).toHaveLength(2);
    expect(await readTexts(wal)).toEqual(["before", "after"]);
    disk.kill();
    const reopened = await openOn(disk);
    expect(await readTexts(reopened)).toEqual(["before", "after"]);
    expect(reopened.stats()).toMatchObject({ torn_tails: 1, quarantined_records: 0 });
  });
});

describe("a failing sync", () => {
  test("F11: rejects the group, seals the segment and goes on in a new one", async () => {
    const disk = new FaultyDisk(1);
    const wal = await openOn(disk);
    await append(wal, "before");
    disk.failNext("sync", "EIO");
    await expect(append(wal, "lost")).rejects.toMatchObject({
      name: "RetryableError",
      code: "wal_sync_failed",
    });
    expect(wal.stats().consecutive_sync_failures).toBe(1);
    expect(await readTexts(wal)).toEqual(["before"]);
    await append(wal, "after");
    expect(segmentPaths(disk)).toHaveLength(2);
    expect(wal.stats().consecutive_sync_failures).toBe(0);
    expect(await readTexts(wal)).toEqual(["before", "after"]);
    disk.crash();
    const texts = await readTexts(await openOn(disk));
    expect(texts.filter((text) => text !== "lost")).toEqual(["before", "after"]);
  });

  test("again and again keeps rejecting, counts, and leaves no heap of files", async () => {
    const disk = new FaultyDisk(1);
    const wal = await openOn(disk);
    disk.failNext("sync", "EIO", 5, /segment/);
    for (let count = 1; count <= 5; count++) {
      await expect(append(wal, "lost")).rejects.toMatchObject({ code: "wal_sync_failed" });
      expect(wal.stats().consecutive_sync_failures).toBe(count);
    }
    expect(segmentPaths(disk)).toEqual([]);
    await append(wal, "saved");
    expect(await readTexts(wal)).toEqual(["saved"]);
  });

  test("of the directory rejects what went into the new segment", async () => {
    const disk = new FaultyDisk(1);
    const wal = await openOn(disk);
    disk.failNext("syncDirectory", "EIO");
    await expect(append(wal, "lost")).rejects.toMatchObject({ code: "wal_sync_failed" });
    await append(wal, "saved");
    disk.crash();
    const texts = await readTexts(await openOn(disk));
    expect(texts.filter((text) => text !== "lost")).toEqual(["saved"]);
  });
});

describe("the budget", () => {
  test("F10: refuses what does not fit, and takes appends again after a release", async () => {
    const disk = new FaultyDisk(1);
    const wal = await openOn(disk, { max_bytes: 8192 });
    const sequences: number[] = [];
    for (let index = 0; index < 8; index++) sequences.push(await append(wal, 900));
    await expect(append(wal, 900)).rejects.toMatchObject({
      name: "RetryableError",
      code: "wal_full",
    });
    expect(wal.stats().bytes).toBeLessThanOrEqual(8192);
    expect(await wal.read(0, ALL)).toHaveLength(8);
    await wal.release(sequences[4] ?? 0);
    await append(wal, 900);
    expect(wal.stats().bytes).toBeLessThanOrEqual(8192);
  });

  test("is not blocked by a released segment that is still the one being written", async () => {
    const disk = new FaultyDisk(1);
    const wal = await openOn(disk, { max_bytes: 4096 });
    for (let round = 0; round < 5; round++) {
      const sequence = await append(wal, 3000);
      expect(wal.stats().bytes).toBeLessThanOrEqual(4096);
      await wal.release(sequence);
    }
    const results = await Promise.allSettled([append(wal, 2000), append(wal, 1850)]);
    expect(results.map((result) => result.status)).toEqual(["fulfilled", "fulfilled"]);
    await expect(append(wal, 2000)).rejects.toMatchObject({ code: "wal_full" });
    expect(wal.stats().bytes).toBeLessThanOrEqual(4096);
  });

  test("takes a record that fills it to the last byte and never one that cannot fit", async () => {
    const disk = new FaultyDisk(1);
    const wal = await openOn(disk, { max_bytes: 8192 });
    const largest = 8192 - 64 - FRAME_BYTES;
    await expect(append(wal, largest + 1)).rejects.toMatchObject({
      name: "PermanentError",
      code: "record_too_large",
    });
    const sequence = await append(wal, largest);
    expect(wal.stats().bytes).toBe(8192);
    await wal.release(sequence);
    await append(wal, largest);
    expect(wal.stats()).toMatchObject({ bytes: 8192, segments: 1 });
  });

  test("payloads over 256 MiB are refused for good", async () => {
    const wal = await openOn(new FaultyDisk(1), { segment_max_bytes: 2 ** 30, max_bytes: 2 ** 31 });
    const chunk = new Uint8Array(2 ** 20);
    const chunks = [...Array.from({ length: 256 }, () => chunk), Uint8Array.of(1)];
    await expect(wal.append(wal.reserveSequence(), chunks)).rejects.toMatchObject({
      name: "PermanentError",
      code: "record_too_large",
    });
  });
});

describe("a directory removed or replaced under the log", () => {
  test("F15: is noticed before anything in it is acknowledged", async () => {
    const disk = new FaultyDisk(1);
    const wal = await openOn(disk);
    await append(wal, "before");
    disk.removeDirectory(DIRECTORY);
    await expect(append(wal, "lost")).rejects.toMatchObject({ code: "wal_directory_lost" });
    disk.writeBytes(`${DIRECTORY}/lock`, Buffer.from("1 other 2\n"));
    await expect(append(wal, "lost")).rejects.toMatchObject({ code: "wal_directory_lost" });
    await expect(wal.release(ALL)).rejects.toMatchObject({ code: "wal_directory_lost" });
    expect(disk.paths()).toEqual([`${DIRECTORY}/lock`]);
  });
});

describe("a segment that the disk does not give back", () => {
  test("F13: is tried a few times, then moved to quarantine, and the others go on", async () => {
    const disk = new FaultyDisk(1);
    const wal = await openOn(disk);
    for (let index = 0; index < 8; index++) await append(wal, 1000);
    const [path = ""] = segmentPaths(disk);
    disk.failNext("read", "EIO", Number.POSITIVE_INFINITY, new RegExp(path));
    for (let attempt = 1; attempt < READ_ATTEMPTS_MAX; attempt++) {
      await expect(wal.read(0, ALL)).rejects.toMatchObject({
        name: "RetryableError",
        code: "wal_read_failed",
      });
    }
    expect(await wal.read(0, ALL)).toHaveLength(5);
    expect(wal.stats()).toMatchObject({ quarantined_records: 3, records_pending: 5 });
    const name = path.slice(DIRECTORY.length + 1);
    expect(disk.paths()).toContain(`${DIRECTORY}/quarantine/${name}`);
    expect(disk.paths()).toContain(`${DIRECTORY}/quarantine/${name}.txt`);
  });

  test("while it is written is closed first, so that new records go elsewhere", async () => {
    const disk = new FaultyDisk(1);
    const wal = await openOn(disk);
    await append(wal, "unreadable");
    const [path = ""] = segmentPaths(disk);
    disk.failNext("read", "EIO", Number.POSITIVE_INFINITY, new RegExp(path));
    for (let attempt = 1; attempt <= READ_ATTEMPTS_MAX; attempt++) {
      await expect(wal.read(0, ALL)).rejects.toMatchObject({ code: "wal_read_failed" });
    }
    await append(wal, "new");
    expect(await readTexts(wal)).toEqual(["new"]);
    expect(wal.stats()).toMatchObject({ quarantined_records: 1, records_pending: 1 });
  });

  test("F14: for want of file handles is only tried again", async () => {
    const disk = new FaultyDisk(1);
    const wal = await openOn(disk);
    await append(wal, "kept");
    disk.failNext("open", "EMFILE", 10, /segment/);
    for (let attempt = 0; attempt < 10; attempt++) {
      await expect(wal.read(0, ALL)).rejects.toMatchObject({ code: "wal_read_failed" });
    }
    expect(await readTexts(wal)).toEqual(["kept"]);
  });

  test("because it is gone is counted, and the others go on", async () => {
    const disk = new FaultyDisk(1);
    const wal = await openOn(disk);
    for (let index = 0; index < 8; index++) await append(wal, 1000);
    disk.removePath(segmentPaths(disk)[1] ?? "");
    expect(await wal.read(0, ALL)).toHaveLength(5);
    expect(wal.stats().missing_segments).toBe(1);
  });
});

describe("closing", () => {
  test("settles what was appended and refuses the rest", async () => {
    const disk = new FaultyDisk(1);
    const wal = await openOn(disk);
    disk.sync_turns = 2;
    const appended = [append(wal, "one"), append(wal, "two")];
    await wal.close();
    await expect(Promise.all(appended)).resolves.toHaveLength(2);
    const closed = { name: "RetryableError", code: "wal_closed" };
    await expect(wal.append(1, [])).rejects.toMatchObject(closed);
    await expect(wal.read(0, 1)).rejects.toMatchObject(closed);
    await expect(wal.release(1)).rejects.toMatchObject(closed);
    expect(disk.paths()).not.toContain(`${DIRECTORY}/lock`);
    expect(await readTexts(await openOn(disk))).toEqual(["one", "two"]);
  });
});

test("no error tells a path", async () => {
  const disk = new FaultyDisk(1);
  const errors: unknown[] = [];
  disk.failNext("list", "EACCES");
  await openOn(disk).catch((error: unknown) => errors.push(error));
  const wal = await openOn(disk);
  for (const operation of ["open", "write", "sync", "syncDirectory"] as const) {
    disk.failNext(operation, "EIO");
    await append(wal, "lost").catch((error: unknown) => errors.push(error));
  }
  const sequence = await append(wal, "kept");
  disk.failNext("read", "EIO", 2);
  await wal.read(0, ALL).catch((error: unknown) => errors.push(error));
  await wal.release(sequence).catch((error: unknown) => errors.push(error));
  expect(errors).toHaveLength(7);
  for (const error of errors) expect(String(error)).not.toContain("/");
});

test("settings that cannot work are refused at once", async () => {
  const disk = new FaultyDisk(1);
  const refused = { name: "PermanentError", code: "wal_config" };
  await expect(openOn(disk, { max_bytes: 100 })).rejects.toMatchObject(refused);
  await expect(openOn(disk, { segment_max_bytes: 100, max_bytes: 1000 })).rejects.toMatchObject(
    refused,
  );
  await expect(openOn(disk, { new_uuid: () => "no" })).rejects.toMatchObject(refused);
});

describe("retiring", () => {
  test("removes the segment being written to when all of it is released, and goes on in another", async () => {
    const disk = new FaultyDisk(1);
    const wal = await openOn(disk);
    const first = await append(wal, "one");
    await wal.retire();
    expect(segmentPaths(disk), "what is not released stays").toHaveLength(1);
    await readTexts(wal);
    await wal.release(first);
    await wal.retire();
    expect(segmentPaths(disk)).toEqual([]);
    expect(wal.stats()).toMatchObject({ segments: 0, bytes: 0, records_pending: 0 });
    await wal.retire();
    const second = await append(wal, "two");
    expect(await readTexts(wal, first)).toEqual(["two"]);
    expect(wal.stats().records_pending).toBe(1);
    await wal.close();
    const again = await openOn(disk);
    expect(await readTexts(again)).toEqual(["two"]);
    expect(again.reserveSequence()).toBeGreaterThan(second);
    await again.close();
  });

  test("loses nothing that is appended at the same time", async () => {
    const disk = new FaultyDisk(1);
    const wal = await openOn(disk);
    await wal.release(await append(wal, "one"));
    const after = wal.stats().released_sequence;
    const [sequence] = await Promise.all([append(wal, "two"), wal.retire(), wal.retire()]);
    await Promise.all([wal.retire(), append(wal, "three")]);
    expect(await readTexts(wal, after)).toEqual(["two", "three"]);
    await wal.release(sequence);
    await wal.retire();
    expect(await readTexts(wal, sequence)).toEqual(["three"]);
    await wal.close();
    await wal.retire();
    expect(await readTexts(await openOn(disk), sequence)).toEqual(["three"]);
  });
});
