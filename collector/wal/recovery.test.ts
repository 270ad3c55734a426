/**
 * Restarts: each known kind of damage to the files of a log, what is read afterwards and what is
 * counted. Where a record stands is found by searching its bytes, not by asking the log.
 */

import { crc32 } from "node:zlib";
import { describe, expect, test } from "vitest";
import { FaultyDisk } from "../../test/support/faulty-disk.ts";
import { makeRandom } from "../../test/support/random.ts";
import { openWal } from "./wal.ts";
import type { Disk, Wal, WalOptions } from "./wal.ts";

const DIRECTORY = "/data/wal";
const NOW_MS = 1_800_000_000_000;
const SEGMENT_HEADER_BYTES = 64;
const FRAME_BYTES = 44;
const ALL = Number.MAX_SAFE_INTEGER;

const random = makeRandom(2).next;

function newUuid(): string {
  return Array.from({ length: 32 }, () => Math.floor(random() * 16).toString(16)).join("");
}

function openOn(disk: FaultyDisk, changes: Partial<WalOptions> = {}): Promise<Wal> {
  return openWal({
    directory: DIRECTORY,
    segment_max_bytes: 4096,
    max_bytes: 256 * 1024,
    now_ms: () => NOW_MS,
    new_uuid: newUuid,
    ...changes,
    disk: changes.disk ?? disk.connect(),
  });
}

/** `count` records of about 1,000 bytes, three to a segment: "record 0000 …", "record 0001 …". */
function textsOf(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `record ${index} `.padEnd(1000, `${index};`));
}

async function appendAll(wal: Wal, texts: readonly string[]): Promise<number[]> {
  const sequences: number[] = [];
  for (const text of texts) {
    const sequence = wal.reserveSequence();
    await wal.append(sequence, [Buffer.from(text)]);
    sequences.push(sequence);
  }
  return sequences;
}

/** A log with records, whose process was killed. */
async function fill(disk: FaultyDisk, texts: readonly string[]): Promise<number[]> {
  const sequences = await appendAll(await openOn(disk), texts);
  disk.kill();
  return sequences;
}

async function readTexts(wal: Wal): Promise<string[]> {
  const records = await wal.read(0, ALL);
  return records.map((record) => Buffer.from(record.payload).toString());
}

function segmentPaths(disk: FaultyDisk): string[] {
  return disk.paths().filter((path) => path.startsWith(`${DIRECTORY}/segment-`));
}

/** File and offset of a record's payload. */
function locate(disk: FaultyDisk, text: string): { path: string; offset: number } {
  for (const path of segmentPaths(disk)) {
    const offset = Buffer.from(disk.readBytes(path)).indexOf(text);
    if (offset >= 0) return { path, offset };
  }
  throw new Error(`no file holds ${text.slice(0, 20)}`);
}

function quarantined(disk: FaultyDisk, ending: string): string[] {
  const paths = disk.paths().filter((path) => path.startsWith(`${DIRECTORY}/quarantine/`));
  return paths
    .filter((path) => path.endsWith(ending))
    .map((path) => Buffer.from(disk.readBytes(path)).toString());
}

describe("a torn tail", () => {
  test("F03: cut at every byte of the last record leaves all records before it", async () => {
    const source = new FaultyDisk(1);
    await fill(source, ["first record", "second record", "the last record"]);
    const [path = ""] = segmentPaths(source);
    const bytes = source.readBytes(path);
    const start = bytes.byteLength - FRAME_BYTES - "the last record".length;
    for (let cut = start; cut < bytes.byteLength; cut++) {
      const disk = new FaultyDisk(1);
      disk.writeBytes(path, bytes.subarray(0, cut));
      const wal = await openOn(disk);
      expect(await readTexts(wal)).toEqual(["first record", "second record"]);
      expect(wal.stats()).toMatchObject({
        torn_tails: cut === start ? 0 : 1,
        quarantined_records: 0,
        records_pending: 2,
      });
      expect(disk.readBytes(path).byteLength).toBe(start);
      await appendAll(wal, ["after"]);
      expect(await readTexts(wal)).toEqual(["first record", "second record", "after"]);
    }
  });

  test.each([1, 43, 44, 45, 5000])(
    "F06: of %i zeros is an end and not a record",
    async (zero_bytes) => {
      const disk = new FaultyDisk(1);
      await fill(disk, ["one", "two"]);
      const [path = ""] = segmentPaths(disk);
      const bytes = disk.readBytes(path);
      disk.writeBytes(path, Buffer.concat([bytes, new Uint8Array(zero_bytes)]));
      const wal = await openOn(disk);
      expect(await readTexts(wal)).toEqual(["one", "two"]);
      expect(wal.stats()).toMatchObject({ torn_tails: 1, quarantined_records: 0 });
      expect(disk.readBytes(path).byteLength).toBe(bytes.byteLength);
    },
  );

  test("of a segment that is not the last is counted when it is read, once", async () => {
    const disk = new FaultyDisk(1);
    const texts = textsOf(5);
    await fill(disk, texts);
    const { path, offset } = locate(disk, texts[2] ?? "");
    disk.writeBytes(path, disk.readBytes(path).subarray(0, offset + 100));
    const wal = await openOn(disk);
    expect(wal.stats().torn_tails).toBe(0);
    const expected = texts.filter((text) => text !== texts[2]);
    expect(await readTexts(wal)).toEqual(expected);
    expect(await readTexts(wal)).toEqual(expected);
    expect(wal.stats()).toMatchObject({ torn_tails: 1, quarantined_records: 0 });
  });

  test("that cannot be cut is not returned either", async () => {
    const disk = new FaultyDisk(1);
    await fill(disk, ["one", "two"]);
    const [path = ""] = segmentPaths(disk);
    disk.writeBytes(path, disk.readBytes(path).subarray(0, -1));
    disk.failNext("truncate", "EROFS");
    const wal = await openOn(disk);
    expect(await readTexts(wal)).toEqual(["one"]);
    expect(wal.stats().torn_tails).toBe(1);
  });
});

describe("a flipped bit", () => {
  test("F04: in the payload of an older record loses that record alone, with a copy", async () => {
    const disk = new FaultyDisk(1);
    const texts = textsOf(7);
    await fill(disk, texts);
    const { path, offset } = locate(disk, texts[1] ?? "");
    disk.flipBit(path, offset + 500, 3);
    const wal = await openOn(disk);
    expect(wal.stats().quarantined_records).toBe(0);
    for (let again = 0; again < 2; again++) {
      expect(await readTexts(wal)).toEqual(texts.filter((text) => text !== texts[1]));
    }
    expect(wal.stats()).toMatchObject({
      quarantined_records: 1,
      quarantined_bytes: FRAME_BYTES + 1000,
      records_pending: 6,
    });
    const copies = quarantined(disk, ".bin");
    expect(copies).toHaveLength(1);
    expect(copies[0]).toContain(texts[1]?.slice(0, 400));
    expect(quarantined(disk, ".txt")[0]).toMatch(/checksum of the payload/);
  });

  test("F04: in each byte of a record's header loses that record alone", async () => {
    for (let byte = 0; byte < FRAME_BYTES; byte++) {
      const disk = new FaultyDisk(byte);
      const texts = textsOf(4);
      await fill(disk, texts);
      const { path, offset } = locate(disk, texts[1] ?? "");
      disk.flipBit(path, offset - FRAME_BYTES + byte, byte % 8);
      const wal = await openOn(disk);
      expect(await readTexts(wal)).toEqual(texts.filter((text) => text !== texts[1]));
      expect(wal.stats()).toMatchObject({ quarantined_records: 1, torn_tails: 0 });
      expect(quarantined(disk, ".bin")[0]).toContain(texts[1]);
    }
  });

  test("F05: in a length makes no giant read", async () => {
    const disk = new FaultyDisk(1);
    const texts = textsOf(3);
    await fill(disk, texts);
    const { path, offset } = locate(disk, texts[0] ?? "");
    // The length's highest byte: 1,000 becomes over two thousand million.
    disk.flipBit(path, offset - FRAME_BYTES + 35, 7);
    disk.longest_read_bytes = 0;
    const wal = await openOn(disk);
    expect(await readTexts(wal)).toEqual(texts.slice(1));
    expect(disk.longest_read_bytes).toBeLessThanOrEqual(4096);
  });

  test("in the payload of the last record keeps a copy and takes new records", async () => {
    const disk = new FaultyDisk(1);
    await fill(disk, ["one", "the last one"]);
    const { path, offset } = locate(disk, "the last one");
    disk.flipBit(path, offset, 0);
    const wal = await openOn(disk);
    expect(await readTexts(wal)).toEqual(["one"]);
    expect(wal.stats()).toMatchObject({ quarantined_records: 1, torn_tails: 0 });
    expect(quarantined(disk, ".bin")[0]).toContain("he last one");
    expect(disk.readBytes(path).byteLength).toBe(offset - FRAME_BYTES);
    await appendAll(wal, ["two"]);
    expect(await readTexts(wal)).toEqual(["one", "two"]);
  });

  test("in the last record's header keeps a copy and does not cut it when that fails", async () => {
    const disk = new FaultyDisk(1);
    await fill(disk, ["one", "the last one"]);
    const { path, offset } = locate(disk, "the last one");
    disk.flipBit(path, offset - 1, 0);
    const byte_size = disk.readBytes(path).byteLength;
    disk.failNext("open", "ENOSPC", 1, /quarantine/);
    const wal = await openOn(disk);
    expect(await readTexts(wal)).toEqual(["one"]);
    expect(wal.stats()).toMatchObject({ quarantined_records: 1, quarantine_failures: 1 });
    expect(disk.readBytes(path).byteLength).toBe(byte_size);
    await wal.close();
    const reopened = await openOn(disk);
    expect(quarantined(disk, ".bin")[0]).toContain("the last one");
    expect(disk.readBytes(path).byteLength).toBe(offset - FRAME_BYTES);
    expect(await readTexts(reopened)).toEqual(["one"]);
  });

  test("while the log is open loses that record alone, and none that follow", async () => {
    const disk = new FaultyDisk(1);
    const wal = await openOn(disk);
    await appendAll(wal, ["first one", "last one"]);
    const { path, offset } = locate(disk, "last one");
    disk.flipBit(path, offset, 0);
    expect(await readTexts(wal)).toEqual(["first one"]);
    await wal.release(NOW_MS * 1024);
    await wal.read(NOW_MS * 1024, ALL);
    expect(wal.stats()).toMatchObject({ quarantined_records: 1, records_pending: 0 });
    await appendAll(wal, ["new one"]);
    expect(await readTexts(wal)).toEqual(["new one"]);
    expect(wal.stats().quarantined_records).toBe(1);
  });

  test("in records that follow each other loses these and no others", async () => {
    const disk = new FaultyDisk(1);
    const texts = textsOf(6);
    await fill(disk, texts);
    for (const text of [texts[1], texts[2], texts[3]]) {
      const { path, offset } = locate(disk, text ?? "");
      disk.flipBit(path, offset + 20, 6);
    }
    const wal = await openOn(disk);
    expect(await readTexts(wal)).toEqual([texts[0], texts[4], texts[5]]);
    expect(wal.stats()).toMatchObject({ quarantined_records: 3, records_pending: 3 });
  });

  test("in a header right behind what is released is kept before its segment is removed", async () => {
    const disk = new FaultyDisk(1);
    const texts = textsOf(7);
    const sequences = await fill(disk, texts);
    const { path, offset } = locate(disk, texts[2] ?? "");
    disk.flipBit(path, offset - 1, 6);
    const wal = await openOn(disk);
    await wal.release(sequences[1] ?? 0);
    expect(await readTexts(wal)).toEqual(texts.slice(3));
    expect(wal.stats().quarantined_records).toBe(1);
    await wal.release(sequences[6] ?? 0);
    expect(disk.paths()).not.toContain(path);
  });

  test("found at each start is copied once", async () => {
    const disk = new FaultyDisk(1);
    const texts = textsOf(4);
    await fill(disk, texts);
    const { path, offset } = locate(disk, texts[0] ?? "");
    disk.flipBit(path, offset, 6);
    for (let start = 0; start < 3; start++) {
      const wal = await openOn(disk);
      expect(await readTexts(wal)).toEqual(texts.slice(1));
      expect(wal.stats()).toMatchObject({ quarantined_records: 1, quarantine_failures: 0 });
      disk.kill();
    }
    expect(quarantined(disk, ".bin")).toHaveLength(1);
  });
});

describe("a frame inside a payload", () => {
  test("is never taken for a record, even when the record around it is damaged", async () => {
    const disk = new FaultyDisk(1);
    await fill(disk, ["innocent"]);
    const [path = ""] = segmentPaths(disk);
    const forged = disk.readBytes(path).subarray(SEGMENT_HEADER_BYTES);
    const wal = await openOn(disk);
    await wal.append(wal.reserveSequence(), [Buffer.from("evil "), forged, Buffer.from(" end")]);
    disk.kill();
    const evil = locate(disk, "evil ");
    disk.flipBit(evil.path, evil.offset - 20, 0);
    const reopened = await openOn(disk);
    expect(await readTexts(reopened)).toEqual(["innocent"]);
    expect(reopened.stats().quarantined_records).toBe(1);
  });
});

describe("a checkpoint", () => {
  const checkpoint = `${DIRECTORY}/checkpoint`;

  async function release(disk: FaultyDisk): Promise<number[]> {
    const wal = await openOn(disk);
    const sequences = await appendAll(wal, ["one", "two", "three"]);
    await wal.release(sequences[1] ?? 0);
    disk.kill();
    return sequences;
  }

  test("hides what was released", async () => {
    const disk = new FaultyDisk(1);
    const sequences = await release(disk);
    const wal = await openOn(disk);
    expect(await readTexts(wal)).toEqual(["three"]);
    expect(wal.stats()).toMatchObject({ released_sequence: sequences[1], records_pending: 1 });
  });

  test("F07: that is stale gives records again and no sequence twice", async () => {
    const disk = new FaultyDisk(1);
    const wal = await openOn(disk);
    const stale = disk.readBytes(checkpoint);
    const sequences = await appendAll(wal, ["one", "two"]);
    await wal.release(sequences[1] ?? 0);
    disk.kill();
    disk.writeBytes(checkpoint, stale);
    const reopened = await openOn(disk);
    expect(await readTexts(reopened)).toEqual(["one", "two"]);
    expect(reopened.reserveSequence()).toBeGreaterThan(sequences[1] ?? 0);
  });

  test.each([
    ["missing", null],
    ["empty", new Uint8Array(0)],
    ["garbage", Buffer.from("garbage ".repeat(7))],
    ["zeros", new Uint8Array(56)],
  ])("F07: that is %s makes everything present unreleased", async (_, contents) => {
    const disk = new FaultyDisk(1);
    const sequences = await release(disk);
    if (contents === null) disk.removePath(checkpoint);
    else disk.writeBytes(checkpoint, contents);
    const wal = await openOn(disk);
    expect(await readTexts(wal)).toEqual(["one", "two", "three"]);
    expect(wal.reserveSequence()).toBeGreaterThan(sequences[2] ?? 0);
    expect(wal.stats().records_pending).toBe(3);
  });

  test("F07: with any one bit flipped is not believed", async () => {
    const source = new FaultyDisk(1);
    await release(source);
    for (let bit = 0; bit < 56 * 8; bit += 5) {
      const disk = new FaultyDisk(1);
      for (const path of [checkpoint, `${DIRECTORY}/writer-id`, ...segmentPaths(source)]) {
        disk.writeBytes(path, source.readBytes(path));
      }
      disk.flipBit(checkpoint, bit >> 3, bit & 7);
      expect(await readTexts(await openOn(disk))).toEqual(["one", "two", "three"]);
    }
  });

  test("F07: of another log is not believed", async () => {
    const disk = new FaultyDisk(1);
    await release(disk);
    const other = new FaultyDisk(2);
    const ahead = await openOn(other, { now_ms: () => NOW_MS + 1000 });
    await appendAll(ahead, ["x"]);
    await ahead.release(ALL);
    disk.writeBytes(checkpoint, other.readBytes(checkpoint));
    expect(await readTexts(await openOn(disk))).toEqual(["one", "two", "three"]);
  });

  test("outlives its segments, so that no sequence comes twice", async () => {
    const disk = new FaultyDisk(1);
    const sequences = await release(disk);
    for (const path of segmentPaths(disk)) disk.removePath(path);
    const wal = await openOn(disk, { now_ms: () => 1000 });
    expect(await readTexts(wal)).toEqual([]);
    expect(wal.reserveSequence()).toBeGreaterThan(sequences[2] ?? 0);
  });
});

describe("sequences", () => {
  test("F25: rise although the clock goes back, and whatever was reserved is not given again", async () => {
    const disk = new FaultyDisk(1);
    let now_ms = NOW_MS;
    let last = 0;
    for (let start = 0; start < 5; start++) {
      const wal = await openOn(disk, { now_ms: () => now_ms });
      for (let index = 0; index < 10; index++) {
        const sequence = wal.reserveSequence();
        expect(sequence).toBeGreaterThan(last);
        last = sequence;
      }
      if (start % 2 === 0) await wal.append(last, [Buffer.from("some")]);
      disk.crash();
      now_ms -= 86_400_000;
    }
  });

  test("rise without checkpoint and with a clock of 1970", async () => {
    const disk = new FaultyDisk(1);
    const sequences = await fill(disk, textsOf(5));
    disk.removePath(`${DIRECTORY}/checkpoint`);
    const wal = await openOn(disk, { now_ms: () => 0 });
    expect(wal.reserveSequence()).toBeGreaterThan(sequences[4] ?? 0);
    expect(await wal.read(0, ALL)).toHaveLength(5);
  });

  test.each([Number.NaN, -5, 1e300, 0.5])(
    "are safe integers with the clock at %d",
    async (now_ms) => {
      const wal = await openOn(new FaultyDisk(1), { now_ms: () => now_ms });
      const sequence = wal.reserveSequence();
      expect(Number.isSafeInteger(sequence + 2 ** 40)).toBe(true);
      await wal.append(sequence, [Buffer.from("kept")]);
      expect(await readTexts(wal)).toEqual(["kept"]);
    },
  );
});

describe("a writer id", () => {
  test("stays over restarts and is new after the directory was wiped", async () => {
    const disk = new FaultyDisk(1);
    const first = await openOn(disk);
    expect(first.writer_id).toMatch(
      /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/,
    );
    disk.crash();
    const second = await openOn(disk);
    expect(second.writer_id).toBe(first.writer_id);
    disk.kill();
    disk.removeDirectory(DIRECTORY);
    expect((await openOn(disk)).writer_id).not.toBe(first.writer_id);
  });

  test("whose file is damaged comes back from the segments", async () => {
    const disk = new FaultyDisk(1);
    const wal = await openOn(disk);
    await appendAll(wal, ["one"]);
    disk.kill();
    disk.writeBytes(`${DIRECTORY}/writer-id`, Buffer.from("\0\0\0"));
    const reopened = await openOn(disk);
    expect(reopened.writer_id).toBe(wal.writer_id);
    expect(await readTexts(reopened)).toEqual(["one"]);
  });
});

describe("a segment", () => {
  test("missing in the middle is counted and the rest is read", async () => {
    const disk = new FaultyDisk(1);
    const texts = textsOf(9);
    await fill(disk, texts);
    disk.removePath(segmentPaths(disk)[1] ?? "");
    const wal = await openOn(disk);
    expect(wal.stats().missing_segments).toBe(1);
    expect(await readTexts(wal)).toEqual([...texts.slice(0, 3), ...texts.slice(6)]);
  });

  test("missing at the front is counted unless it was released", async () => {
    const disk = new FaultyDisk(1);
    const texts = textsOf(9);
    const wal = await openOn(disk);
    const sequences = await appendAll(wal, texts);
    await wal.release(sequences[2] ?? 0);
    disk.kill();
    const reopened = await openOn(disk);
    expect(reopened.stats().missing_segments).toBe(0);
    disk.kill();
    disk.removePath(segmentPaths(disk)[0] ?? "");
    const again = await openOn(disk);
    expect(again.stats().missing_segments).toBe(1);
    expect(await readTexts(again)).toEqual(texts.slice(6));
  });

  test.each([0, 1, 63])("cut to %i bytes of its header is passed over", async (byte_size) => {
    for (const index of [1, 2]) {
      const disk = new FaultyDisk(1);
      const texts = textsOf(9);
      await fill(disk, texts);
      const path = segmentPaths(disk)[index] ?? "";
      disk.writeBytes(path, disk.readBytes(path).subarray(0, byte_size));
      const wal = await openOn(disk);
      expect(await readTexts(wal)).toEqual(texts.toSpliced(index * 3, 3));
      await appendAll(wal, ["after"]);
      expect(await readTexts(wal)).toEqual([...texts.toSpliced(index * 3, 3), "after"]);
      await wal.release(ALL);
      expect(segmentPaths(disk)).toHaveLength(1);
    }
  });

  test("F06: of zeros only is passed over and removed", async () => {
    const disk = new FaultyDisk(1);
    const texts = textsOf(3);
    await fill(disk, texts);
    const [path = ""] = segmentPaths(disk);
    const zeros = path.replace(/segment-\d{16}/, `segment-${NOW_MS * 1024 + 50}`);
    disk.writeBytes(zeros, new Uint8Array(4096));
    const wal = await openOn(disk);
    expect(await readTexts(wal)).toEqual(texts);
    expect(wal.stats()).toMatchObject({ torn_tails: 1, quarantined_records: 0 });
    await wal.release(ALL);
    expect(segmentPaths(disk)).toEqual([]);
  });

  test("with a damaged header gives all its records", async () => {
    const disk = new FaultyDisk(1);
    const texts = textsOf(9);
    await fill(disk, texts);
    for (const path of segmentPaths(disk)) {
      for (const offset of [0, 8, 30, 62]) disk.flipBit(path, offset, 2);
    }
    expect(await readTexts(await openOn(disk))).toEqual(texts);
  });

  test("F20: of a newer version stops the opening by name and nothing is changed", async () => {
    const disk = new FaultyDisk(1);
    await fill(disk, textsOf(9));
    const path = segmentPaths(disk)[1] ?? "";
    const bytes = disk.readBytes(path);
    const { encodeSegmentHeader, decodeSegmentHeader } = await import("./segment.ts");
    const header = decodeSegmentHeader(bytes);
    if (header === null) throw new Error("the header is not readable");
    bytes.set(encodeSegmentHeader({ ...header, version: 2 }));
    disk.writeBytes(path, bytes);
    const last = segmentPaths(disk)[2] ?? "";
    disk.writeBytes(last, disk.readBytes(last).subarray(0, -5));
    const before = disk.paths().map((each) => [each, [...disk.readBytes(each)]]);
    await expect(openOn(disk)).rejects.toMatchObject({
      name: "PermanentError",
      code: "wal_version_newer",
      message: expect.stringContaining(path.slice(DIRECTORY.length + 1)),
    });
    const after = disk.paths().map((each) => [each, [...disk.readBytes(each)]]);
    const lock = `${DIRECTORY}/lock`;
    expect(after).toEqual(before.filter(([each]) => each !== lock));
  });

  test("that cannot be read does not stop the opening, only the reading", async () => {
    const disk = new FaultyDisk(1);
    const texts = textsOf(9);
    await fill(disk, texts);
    disk.failNext("read", "EIO", 5, /segment/);
    const wal = await openOn(disk);
    await appendAll(wal, ["after"]);
    let seen: string[] = [];
    while (seen.length === 0) seen = await readTexts(wal).catch(() => []);
    expect(seen).toEqual([...texts, "after"]);
  });

  test("F18: left half made by a crash of each call of its making does no harm", async () => {
    for (let call = 1; call <= 12; call++) {
      const disk = new FaultyDisk(call);
      const wal = await openOn(disk);
      await appendAll(wal, ["kept"]);
      disk.failNext("sync", "EIO");
      await appendAll(wal, ["lost"]).catch(() => undefined);
      const appended = appendAll(wal, ["perhaps"]).catch(() => undefined);
      for (let turn = 0; turn < call; turn++) await Promise.resolve();
      disk.crash();
      await appended;
      const texts = await readTexts(await openOn(disk));
      expect(texts[0]).toBe("kept");
      expect(["kept", "lost", "perhaps"]).toEqual(expect.arrayContaining(texts));
    }
  });
});

describe("counts", () => {
  const checkpoint = `${DIRECTORY}/checkpoint`;
  const COUNTED = [
    "torn_tails",
    "torn_bytes",
    "quarantined_records",
    "quarantined_bytes",
    "quarantine_failures",
    "missing_segments",
    "refused_records",
    "refused_bytes",
    "set_aside_records",
  ] as const;

  function countsOf(wal: Wal): number[] {
    const stats = wal.stats();
    return COUNTED.map((name) => stats[name]);
  }

  /** A log that lost a tail of 10 bytes, a record and a segment, and refused and set aside one. */
  async function spoil(disk: FaultyDisk): Promise<void> {
    const texts = textsOf(12);
    await fill(disk, texts);
    const paths = segmentPaths(disk);
    disk.removePath(paths[1] ?? "");
    const { path, offset } = locate(disk, texts[0] ?? "");
    disk.flipBit(path, offset, 6);
    const last = paths.at(-1) ?? "";
    disk.writeBytes(last, Buffer.concat([disk.readBytes(last), new Uint8Array(10)]));
    const wal = await openOn(disk, { max_bytes: 12 * 1024 });
    await expect(appendAll(wal, ["x".repeat(4000)])).rejects.toMatchObject({ code: "wal_full" });
    const records = await wal.read(0, ALL);
    wal.countSetAside(1);
    await wal.release(records[0]?.sequence ?? 0);
    disk.kill();
  }

  const EXPECTED = [1, 10, 1, FRAME_BYTES + 1000, 0, 1, 1, FRAME_BYTES + 4000, 1];

  test("outlive a kill, and what is found again at each start is counted once", async () => {
    const disk = new FaultyDisk(1);
    await spoil(disk);
    for (let start = 0; start < 3; start++) {
      const wal = await openOn(disk);
      expect(countsOf(wal)).toEqual(EXPECTED);
      await readTexts(wal);
      expect(countsOf(wal)).toEqual(EXPECTED);
      disk.kill();
    }
  });

  test("of refusals are stored by closing", async () => {
    const disk = new FaultyDisk(1);
    const wal = await openOn(disk, { max_bytes: 4096 });
    await expect(appendAll(wal, textsOf(5))).rejects.toMatchObject({ code: "wal_full" });
    await wal.close();
    expect((await openOn(disk)).stats()).toMatchObject({ refused_records: 1, refused_bytes: 1044 });
  });

  test("of damage that a kill lost before they were stored are made again", async () => {
    const disk = new FaultyDisk(1);
    const texts = textsOf(4);
    await fill(disk, texts);
    const { path, offset } = locate(disk, texts[0] ?? "");
    disk.flipBit(path, offset, 6);
    const wal = await openOn(disk);
    const before = disk.readBytes(checkpoint);
    await readTexts(wal);
    expect(quarantined(disk, ".txt")).toHaveLength(1);
    disk.kill();
    // The damage was copied, and the checkpoint that counts it did not reach the disk.
    disk.writeBytes(checkpoint, before);
    for (let start = 0; start < 2; start++) {
      const reopened = await openOn(disk);
      await readTexts(reopened);
      expect(reopened.stats().quarantined_records).toBe(1);
      disk.kill();
    }
  });

  test("F13: of a segment moved to quarantine are not made again as a missing one", async () => {
    const disk = new FaultyDisk(1);
    await fill(disk, textsOf(9));
    const wal = await openOn(disk);
    const path = segmentPaths(disk)[1] ?? "";
    disk.failNext("read", "EIO", Number.POSITIVE_INFINITY, new RegExp(path));
    const last = (await wal.read(0, ALL)).at(-1)?.sequence ?? 0;
    for (let attempt = 0; attempt < 3; attempt++) await wal.read(last, ALL).catch(() => []);
    expect(wal.stats()).toMatchObject({ quarantined_records: 3, missing_segments: 0 });
    disk.heal();
    disk.kill();
    const reopened = await openOn(disk);
    expect(reopened.stats()).toMatchObject({ quarantined_records: 3, missing_segments: 0 });
  });

  test("F20: are 0 in a checkpoint of the first layout, which is believed all the same", async () => {
    const disk = new FaultyDisk(1);
    await spoil(disk);
    disk.writeBytes(checkpoint, disk.readBytes(checkpoint).subarray(0, 56));
    const wal = await openOn(disk);
    expect(wal.stats()).toMatchObject({ torn_tails: 0, refused_records: 0, set_aside_records: 0 });
    expect(await readTexts(wal)).toHaveLength(7);
  });

  test("that are damaged are 0 and cost nothing else", async () => {
    const source = new FaultyDisk(1);
    await spoil(source);
    const stored = source.readBytes(checkpoint);
    expect(stored.byteLength).toBe(56 + 4 + 10 * 8 + 4);
    for (let bit = 56 * 8; bit < stored.byteLength * 8; bit += 7) {
      const disk = new FaultyDisk(1);
      for (const path of source.paths()) disk.writeBytes(path, source.readBytes(path));
      disk.flipBit(checkpoint, bit >> 3, bit & 7);
      const wal = await openOn(disk);
      expect(wal.stats().set_aside_records).toBe(0);
      expect(await readTexts(wal)).toHaveLength(7);
    }
  });

  test("F20: of a later layout with more numbers are read", async () => {
    const disk = new FaultyDisk(1);
    await spoil(disk);
    const bytes = Buffer.alloc(4 + 12 * 8 + 4);
    bytes.writeUInt32LE(12, 0);
    for (let index = 0; index < 12; index++) {
      bytes.writeBigUInt64LE(BigInt(100 + index), 4 + index * 8);
    }
    bytes.writeUInt32LE(crc32(bytes.subarray(0, -4)), bytes.byteLength - 4);
    const first = disk.readBytes(checkpoint).subarray(0, 56);
    disk.writeBytes(checkpoint, Buffer.concat([first, bytes]));
    expect(countsOf(await openOn(disk))).toEqual([101, 102, 103, 104, 105, 106, 107, 108, 109]);
  });
});

/** A segment as README.md lays it out, made without the code of the log. */
function segmentByHand(first: number, texts: readonly string[]): { name: string; bytes: Buffer } {
  const marker = Buffer.from("0123456789abcdef", "hex");
  const header = Buffer.alloc(64);
  header.write("spanlwal");
  header.writeUInt32LE(1, 8);
  Buffer.from("f".repeat(32), "hex").copy(header, 12);
  marker.copy(header, 28);
  header.writeBigUInt64LE(BigInt(first), 36);
  header.writeUInt32LE(crc32(header.subarray(0, 60)), 60);
  const frames = texts.flatMap((text, index) => {
    const frame = Buffer.alloc(44);
    frame.write("SLWR");
    frame.writeUInt16LE(1, 4);
    marker.copy(frame, 8);
    frame.writeBigUInt64LE(BigInt(first + index), 16);
    frame.writeBigUInt64LE(BigInt(NOW_MS), 24);
    frame.writeUInt32LE(Buffer.byteLength(text), 32);
    frame.writeUInt32LE(crc32(text, 0x5ba91e0d), 36);
    frame.writeUInt32LE(crc32(frame.subarray(0, 40), 0x5ba91e0d), 40);
    return [frame, Buffer.from(text)];
  });
  const name = `segment-${String(first).padStart(16, "0")}-${marker.toString("hex")}.wal`;
  return { name, bytes: Buffer.concat([header, ...frames]) };
}

describe("a log left by the first version", () => {
  test("F21: is read to its end, goes on, and can be read by that version again", async () => {
    const disk = new FaultyDisk(1);
    const { name, bytes } = segmentByHand(5000, ["one", "two", "three"]);
    disk.writeBytes(`${DIRECTORY}/${name}`, bytes);
    disk.writeBytes(
      `${DIRECTORY}/writer-id`,
      Buffer.from("ffffffff-ffff-ffff-ffff-ffffffffffff\n"),
    );
    const old = Buffer.alloc(56);
    old.write("spanlckp");
    old.writeUInt32LE(1, 8);
    Buffer.from("f".repeat(32), "hex").copy(old, 12);
    old.writeBigUInt64LE(5000n, 28);
    old.writeBigUInt64LE(9000n, 36);
    old.writeBigUInt64LE(5000n, 44);
    old.writeUInt32LE(crc32(old.subarray(0, 52)), 52);
    disk.writeBytes(`${DIRECTORY}/checkpoint`, old);
    const wal = await openOn(disk);
    expect(await readTexts(wal)).toEqual(["two", "three"]);
    const [sequence = 0] = await appendAll(wal, ["four"]);
    expect(sequence).toBeGreaterThanOrEqual(9000);
    await wal.release(5002);
    // What the first version looks at: 56 bytes with their checksum, and version 1 in all files.
    const stored = Buffer.from(disk.readBytes(`${DIRECTORY}/checkpoint`));
    expect(stored.readUInt32LE(8)).toBe(1);
    expect(stored.readBigUInt64LE(28)).toBe(5002n);
    expect(stored.readUInt32LE(52)).toBe(crc32(stored.subarray(0, 52)));
    for (const path of segmentPaths(disk)) {
      expect(Buffer.from(disk.readBytes(path)).readUInt32LE(8)).toBe(1);
    }
  });
});

describe("the lock of an ended process", () => {
  test("is not taken from one who took it over since it was judged", async () => {
    const disk = new FaultyDisk(1);
    await fill(disk, ["one"]);
    const process = disk.connect();
    const taken: Promise<Wal>[] = [];
    const late: Disk = {
      ...process,
      open: async (path, mode) => {
        if (path.endsWith("lock-takeover")) {
          if (taken.length === 0) taken.push(openOn(disk, { disk: process }));
          await Promise.all(taken);
        }
        return process.open(path, mode);
      },
    };
    await expect(openOn(disk, { disk: late })).rejects.toMatchObject({ code: "wal_locked" });
    const [wal] = await Promise.all(taken);
    expect(wal === undefined ? null : await readTexts(wal)).toEqual(["one"]);
  });

  test("is taken over although it died while taking it over itself", async () => {
    const disk = new FaultyDisk(1);
    await fill(disk, ["one"]);
    for (const left of ["", "1001 boot token\n"]) {
      disk.writeBytes(`${DIRECTORY}/lock-takeover`, Buffer.from(left));
      expect(await readTexts(await openOn(disk))).toEqual(["one"]);
      disk.kill();
    }
  });
});

describe("a long backlog", () => {
  test("F01: opens without reading the payloads of any but the last segment", async () => {
    const disk = new FaultyDisk(1);
    const large = { segment_max_bytes: 2 ** 20, max_bytes: 2 ** 30 };
    const wal = await openOn(disk, large);
    const payload = new Uint8Array(400_000);
    for (let index = 0; index < 40; index++) await wal.append(wal.reserveSequence(), [payload]);
    disk.kill();
    expect(segmentPaths(disk)).toHaveLength(20);
    disk.read_bytes = 0;
    const reopened = await openOn(disk, large);
    expect(disk.read_bytes).toBeLessThan(900_000);
    expect(reopened.stats()).toMatchObject({ records_pending: 40, segments: 20 });
  });

  test("counts what waits in a segment that is partly released", async () => {
    const disk = new FaultyDisk(1);
    const wal = await openOn(disk);
    const sequences = await appendAll(wal, textsOf(10));
    await wal.release(sequences[3] ?? 0);
    disk.kill();
    expect((await openOn(disk)).stats()).toMatchObject({
      records_pending: 6,
      oldest_pending_ms: 0,
      segments: 3,
    });
  });
});

describe("any one failing call", () => {
  test.each(["EIO", "ENOSPC", "EMFILE", "EROFS"])(
    "F14: with %s loses no acknowledged record and invents none",
    async (code) => {
      let number = 0;
      for (let reached = true; reached;) {
        number += 1;
        const disk = new FaultyDisk(number);
        disk.failCall(number, code);
        const { acknowledged, attempted, released } = await runWorkload(disk);
        reached = disk.call_count > number;
        disk.heal();
        disk.crash();
        const seen = await readTexts(await openOn(disk));
        const missing = acknowledged.filter((text) => !seen.includes(text));
        expect(missing.filter((text) => !released.includes(text))).toEqual([]);
        expect(seen.filter((text) => !attempted.includes(text))).toEqual([]);
      }
      expect(number).toBeGreaterThan(60);
    },
  );
});

interface WorkloadResult {
  readonly acknowledged: string[];
  readonly attempted: string[];
  readonly released: string[];
}

/** Opens, appends, reads, releases and opens again; whatever is thrown ends that step only. */
async function runWorkload(disk: FaultyDisk): Promise<WorkloadResult> {
  const result: WorkloadResult = { acknowledged: [], attempted: [], released: [] };
  for (let life = 0; life < 2; life++) {
    const wal = await openOn(disk).catch(() => openOn(disk));
    for (let index = 0; index < 5; index++) {
      const text = `life ${life} record ${index} `.padEnd(1500, ".");
      result.attempted.push(text);
      await appendAll(wal, [text]).then(
        () => result.acknowledged.push(text),
        () => undefined,
      );
    }
    const records = await wal.read(0, 3000).catch(() => []);
    const last = records.at(-1);
    if (last !== undefined) {
      result.released.push(...records.map((record) => Buffer.from(record.payload).toString()));
      await wal.release(last.sequence).catch(() => undefined);
    }
    disk.crash();
  }
  return result;
}
