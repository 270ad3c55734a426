/**
 * The log against an array: random commands with random faults on the disk in memory, tiny
 * segments, and after each command what must hold. fast-check prints the seed of a failure and
 * the shortest commands that still fail.
 *
 * The array knows what was acknowledged, released or damaged only from what the commands did.
 */

import * as fc from "fast-check";
import { expect, test } from "vitest";
import { FaultyDisk, nextTurn } from "../../test/support/faulty-disk.ts";
import { makeRandom } from "../../test/support/random.ts";
import type { DiskOperation } from "../../test/support/faulty-disk.ts";
import { openWal } from "./wal.ts";
import type { Wal, WalRecord } from "./wal.ts";

const DIRECTORY = "/data/wal";
const SEGMENT_MAX_BYTES = 4096;
const MAX_BYTES = 24 * 1024;
const FRAME_BYTES = 44;
const RUN_COUNT = 150;
const COMMANDS_MAX = 60;

interface Entry {
  readonly sequence: number;
  readonly payload: Buffer;
  is_acknowledged: boolean;
  /** Readable in this process life: acknowledged in it, or found by its first read. */
  is_visible: boolean;
  is_damaged: boolean;
  /** Damaged while it was safe on disk, and no complete read has passed it since. */
  must_be_counted: boolean;
  /** Passed by a release that was resolved, or only by one that was rejected. */
  release: "none" | "asked" | "done";
}

interface Model {
  readonly entries: Entry[];
  /** Frame bytes of damaged entries that must have been counted, in whatever life. */
  owed_bytes: number;
  /** Frame bytes of all entries with a flipped bit. */
  damaged_bytes: number;
  /** Flipped bits, and power cuts, which may damage what was not acknowledged. */
  damaging_events: number;
  /** What lives counted that could not store it, at most. */
  lost_count_bytes: number;
  /** Bytes in segments when this life began: a crash may bring removed ones back. */
  opened_bytes: number;
  faults_ever: boolean;
}

interface Real {
  readonly disk: FaultyDisk;
  readonly new_uuid: () => string;
  wal: Wal;
  last_sequence: number;
  now_ms: number;
}

type Command = fc.AsyncCommand<Model, Real>;

async function openLife(real: Real): Promise<Wal> {
  const options = {
    directory: DIRECTORY,
    segment_max_bytes: SEGMENT_MAX_BYTES,
    max_bytes: MAX_BYTES,
    now_ms: () => real.now_ms,
    new_uuid: real.new_uuid,
  };
  try {
    return await openWal({ ...options, disk: real.disk.connect() });
  } catch (error) {
    expect(error).toMatchObject({ name: "RetryableError", code: "wal_open_failed" });
    real.disk.kill();
    real.disk.heal();
    return openWal({ ...options, disk: real.disk.connect() });
  }
}

/** Reads everything piece by piece; a fault that stops a read is taken away first. */
async function readAll(real: Real, piece_bytes: number): Promise<WalRecord[]> {
  const records: WalRecord[] = [];
  let after_sequence = 0;
  for (;;) {
    const read = real.wal.read(after_sequence, piece_bytes).catch((error: unknown) => {
      expect(error).toMatchObject({ code: "wal_read_failed" });
      real.disk.heal();
      return real.wal.read(after_sequence, piece_bytes);
    });
    const piece = await read;
    if (piece.length === 0) return records;
    records.push(...piece);
    after_sequence = piece.at(-1)?.sequence ?? 0;
  }
}

function isReadable(entry: Entry): boolean {
  return entry.is_visible && !entry.is_damaged && entry.release === "none";
}

function expectSame(records: readonly WalRecord[], entries: readonly Entry[]): void {
  expect(records.map((record) => record.sequence)).toEqual(entries.map((entry) => entry.sequence));
  for (const [index, record] of records.entries()) {
    expect(entries[index]?.payload.equals(record.payload)).toBe(true);
  }
}

/** The records are the first of the entries, at least so many of them. */
function expectPrefix(
  records: readonly WalRecord[],
  entries: readonly Entry[],
  shortest_count: number,
): void {
  expect(records.length).toBeGreaterThanOrEqual(shortest_count);
  expectSame(records, entries.slice(0, records.length));
}

/** After a complete read: what was damaged since the one before is counted, and kept. */
function expectDamageCounted(model: Model, real: Real): void {
  const stats = real.wal.stats();
  const paths = real.disk.paths().filter((path) => path.endsWith(".bin"));
  const copies = paths.map((path) => Buffer.from(real.disk.readBytes(path)));
  for (const entry of model.entries) {
    if (!entry.must_be_counted) continue;
    entry.must_be_counted = false;
    if (entry.release !== "none") continue;
    model.owed_bytes += FRAME_BYTES + entry.payload.byteLength;
    if (model.faults_ever) continue;
    const middle = entry.payload.byteLength / 2;
    const halves = [entry.payload.subarray(0, middle), entry.payload.subarray(middle)];
    expect(copies.some((copy) => halves.some((half) => copy.includes(half)))).toBe(true);
  }
  const counted_bytes = model.lost_count_bytes + stats.quarantined_bytes;
  expect(counted_bytes).toBeGreaterThanOrEqual(model.owed_bytes);
  // Found again at each start, and counted once: only damage right behind it makes it a new range.
  const cut = model.entries.filter((entry) => !entry.is_acknowledged);
  const cut_bytes = cut.reduce((sum, { payload }) => sum + FRAME_BYTES + payload.byteLength, 0);
  if (!model.faults_ever) {
    expect(stats.quarantined_bytes).toBeLessThanOrEqual(
      (model.damaged_bytes + cut_bytes) * model.damaging_events,
    );
  }
  expect(stats.quarantined_records > 0).toBe(stats.quarantined_bytes > 0);
}

function expectInvariants(model: Model, real: Real): void {
  const stats = real.wal.stats();
  const on_disk = real.disk
    .paths()
    .filter((path) => path.startsWith(`${DIRECTORY}/segment-`))
    .reduce((sum, path) => sum + real.disk.readBytes(path).byteLength, 0);
  const limit = Math.max(MAX_BYTES, model.opened_bytes);
  expect(stats.bytes).toBeLessThanOrEqual(limit);
  expect(on_disk).toBeLessThanOrEqual(limit);
  if (!model.faults_ever) expect(stats.missing_segments).toBe(0);
  const is_plain = !model.faults_ever && model.entries.every((entry) => entry.is_acknowledged);
  if (!is_plain || model.entries.some((entry) => entry.is_damaged)) return;
  expect(stats.records_pending).toBe(model.entries.filter(isReadable).length);
  expect(stats).toMatchObject({ torn_tails: 0, quarantined_records: 0 });
}

/** Ends this life, opens the next one, and compares what it finds with what it must find. */
async function restart(model: Model, real: Real, how: "close" | "kill" | "crash"): Promise<void> {
  // Only a disk that fails keeps counts from being stored.
  if (model.faults_ever) model.lost_count_bytes += real.wal.stats().quarantined_bytes;
  if (how === "close") await real.wal.close();
  if (how === "crash") {
    real.disk.crash();
    model.damaging_events += 1;
  } else real.disk.kill();
  await nextTurn();
  real.wal = await openLife(real);
  model.opened_bytes = real.wal.stats().bytes;
  const records = await readAll(real, 1000);
  const found = new Map(records.map((record) => [record.sequence, record]));
  expect(found.size).toBe(records.length);
  const sequences = records.map((record) => record.sequence);
  expect(sequences).toEqual(sequences.toSorted((one, other) => one - other));
  for (const entry of model.entries) {
    const record = found.get(entry.sequence);
    found.delete(entry.sequence);
    if (record !== undefined) expect(entry.payload.equals(record.payload)).toBe(true);
    if (entry.is_damaged || entry.release === "done") expect(record).toBeUndefined();
    const is_owed = entry.is_acknowledged && !entry.is_damaged && entry.release === "none";
    if (is_owed) expect(record, `acknowledged ${entry.sequence}`).toBeDefined();
    entry.is_visible = record !== undefined;
    // A release that was not stored has to be asked for again.
    if (record !== undefined) entry.release = "none";
  }
  expect([...found.keys()]).toEqual([]);
  expectDamageCounted(model, real);
}

/** Starts appends without waiting; each entry is marked when its append is acknowledged. */
function startAppends(model: Model, real: Real, sizes: readonly number[]): Promise<void>[] {
  return sizes.map(async (byte_size) => {
    let sequence: number;
    try {
      sequence = real.wal.reserveSequence();
    } catch (error) {
      expect(error).toMatchObject({ code: "wal_checkpoint_failed" });
      return;
    }
    expect(sequence).toBeGreaterThan(real.last_sequence);
    real.last_sequence = sequence;
    const payload = Buffer.from(`<${sequence}>`.padEnd(byte_size, String(sequence)));
    const entry: Entry = {
      sequence,
      payload,
      is_acknowledged: false,
      is_visible: false,
      is_damaged: false,
      must_be_counted: false,
      release: "none",
    };
    model.entries.push(entry);
    try {
      await real.wal.append(sequence, [payload.subarray(0, 7), payload.subarray(7)]);
      entry.is_acknowledged = true;
      entry.is_visible = true;
    } catch (error) {
      expect(error).toMatchObject({ name: "RetryableError" });
    }
  });
}

class Append implements Command {
  readonly #sizes: readonly number[];
  constructor(sizes: readonly number[]) {
    this.#sizes = sizes;
  }
  check(): boolean {
    return true;
  }
  async run(model: Model, real: Real): Promise<void> {
    await Promise.all(startAppends(model, real, this.#sizes));
    expectInvariants(model, real);
  }
  toString(): string {
    return `append(${this.#sizes.join(", ")})`;
  }
}

/** Ends the process or cuts the power in the middle of appends. */
class AppendAndDie implements Command {
  readonly #sizes: readonly number[];
  readonly #ticks: number;
  readonly #how: "kill" | "crash";
  constructor(sizes: readonly number[], ticks: number, how: "kill" | "crash") {
    this.#sizes = sizes;
    this.#ticks = ticks;
    this.#how = how;
  }
  check(): boolean {
    return true;
  }
  async run(model: Model, real: Real): Promise<void> {
    const appends = startAppends(model, real, this.#sizes);
    for (let tick = 0; tick < this.#ticks; tick++) await Promise.resolve();
    if (this.#how === "crash") {
      real.disk.crash();
      model.damaging_events += 1;
    } else real.disk.kill();
    await Promise.all(appends);
    await restart(model, real, "kill");
    expectInvariants(model, real);
  }
  toString(): string {
    return `appendAndDie(${this.#sizes.join(", ")}; ${this.#ticks}, ${this.#how})`;
  }
}

class Read implements Command {
  readonly #share: number;
  readonly #max_bytes: number;
  constructor(share: number, max_bytes: number) {
    this.#share = share;
    this.#max_bytes = max_bytes;
  }
  check(): boolean {
    return true;
  }
  async run(model: Model, real: Real): Promise<void> {
    const index = Math.floor(this.#share * model.entries.length);
    const after_sequence = this.#share < 0.3 ? 0 : (model.entries[index]?.sequence ?? 0);
    const records = await real.wal.read(after_sequence, this.#max_bytes).catch(() => null);
    if (records === null) return;
    const expected = model.entries.filter(
      (entry) => isReadable(entry) && entry.sequence > after_sequence,
    );
    let byte_size = 0;
    const fitting = expected.filter((entry, position) => {
      byte_size += FRAME_BYTES + entry.payload.byteLength;
      return position === 0 || byte_size <= this.#max_bytes;
    });
    // A read that a fault stops returns what it has so far.
    expectPrefix(
      records,
      fitting,
      model.faults_ever ? Math.min(1, fitting.length) : fitting.length,
    );
    expectInvariants(model, real);
  }
  toString(): string {
    return `read(${this.#share}, ${this.#max_bytes})`;
  }
}

class ReadAll implements Command {
  check(): boolean {
    return true;
  }
  async run(model: Model, real: Real): Promise<void> {
    expectSame(await readAll(real, 500), model.entries.filter(isReadable));
    expectDamageCounted(model, real);
    expectInvariants(model, real);
  }
  toString(): string {
    return "readAll";
  }
}

async function release(model: Model, real: Real, through_sequence: number): Promise<void> {
  const passed = model.entries.filter(
    (entry) => entry.sequence <= through_sequence && entry.release !== "done",
  );
  for (const entry of passed) entry.release = "asked";
  try {
    await real.wal.release(through_sequence);
    for (const entry of passed) entry.release = "done";
  } catch (error) {
    expect(error).toMatchObject({ name: "RetryableError", code: "wal_checkpoint_failed" });
  }
}

class Release implements Command {
  readonly #share: number;
  constructor(share: number) {
    this.#share = share;
  }
  check(model: Readonly<Model>): boolean {
    return model.entries.some(isReadable);
  }
  async run(model: Model, real: Real): Promise<void> {
    const readable = model.entries.filter(isReadable);
    const entry = readable[Math.floor(this.#share * readable.length)];
    await release(model, real, entry?.sequence ?? 0);
    expectInvariants(model, real);
  }
  toString(): string {
    return `release(${this.#share})`;
  }
}

/** Appending, reading and releasing at the same time. */
class Busy implements Command {
  readonly #sizes: readonly number[];
  constructor(sizes: readonly number[]) {
    this.#sizes = sizes;
  }
  check(): boolean {
    return true;
  }
  async run(model: Model, real: Real): Promise<void> {
    const before = model.entries.filter(isReadable);
    const entry_count = model.entries.length;
    const reading = real.wal.read(0, Number.MAX_SAFE_INTEGER).catch(() => null);
    const appends = startAppends(model, real, this.#sizes);
    const middle = before[Math.floor(before.length / 2)];
    if (middle !== undefined) await release(model, real, middle.sequence);
    const records = await reading;
    await Promise.all(appends);
    if (records !== null) {
      const added = model.entries.slice(entry_count).filter((entry) => entry.is_visible);
      expectPrefix(records, [...before, ...added], model.faults_ever ? 0 : before.length);
    }
    expectInvariants(model, real);
  }
  toString(): string {
    return `busy(${this.#sizes.join(", ")})`;
  }
}

class Restart implements Command {
  readonly #how: "close" | "kill" | "crash";
  readonly #clock_ms: number;
  constructor(how: "close" | "kill" | "crash", clock_ms: number) {
    this.#how = how;
    this.#clock_ms = clock_ms;
  }
  check(): boolean {
    return true;
  }
  async run(model: Model, real: Real): Promise<void> {
    real.now_ms += this.#clock_ms;
    await restart(model, real, this.#how);
    expectInvariants(model, real);
  }
  toString(): string {
    return `restart(${this.#how}, ${this.#clock_ms})`;
  }
}

/** Flips one bit somewhere in the frame of an acknowledged, unreleased record. */
class Flip implements Command {
  readonly #share: number;
  readonly #byte_share: number;
  readonly #bit: number;
  constructor(share: number, byte_share: number, bit: number) {
    this.#share = share;
    this.#byte_share = byte_share;
    this.#bit = bit;
  }
  check(model: Readonly<Model>): boolean {
    return model.entries.some((entry) => isReadable(entry) && entry.is_acknowledged);
  }
  async run(model: Model, real: Real): Promise<void> {
    const entries = model.entries.filter((entry) => isReadable(entry) && entry.is_acknowledged);
    const entry = entries[Math.floor(this.#share * entries.length)];
    if (entry === undefined) return;
    for (const path of real.disk.paths()) {
      if (!path.startsWith(`${DIRECTORY}/segment-`)) continue;
      const start = Buffer.from(real.disk.readBytes(path)).indexOf(entry.payload);
      if (start < 0) continue;
      const frame_bytes = FRAME_BYTES + entry.payload.byteLength;
      const offset = start - FRAME_BYTES + Math.floor(this.#byte_share * frame_bytes);
      real.disk.flipBit(path, offset, this.#bit);
      model.damaging_events += 1;
      if (!entry.is_damaged) model.damaged_bytes += frame_bytes;
      entry.is_damaged = true;
      entry.must_be_counted = true;
      return;
    }
    expect.fail(`no segment holds acknowledged ${entry.sequence}`);
  }
  toString(): string {
    return `flip(${this.#share}, ${this.#byte_share}, ${this.#bit})`;
  }
}

class Fail implements Command {
  readonly #operation: DiskOperation;
  readonly #code: string;
  readonly #count: number;
  constructor(operation: DiskOperation, code: string, count: number) {
    this.#operation = operation;
    this.#code = code;
    this.#count = count;
  }
  check(): boolean {
    return true;
  }
  async run(model: Model, real: Real): Promise<void> {
    model.faults_ever = true;
    // Failing reads send whole segments to quarantine, which a test of its own covers.
    real.disk.failNext(this.#operation, this.#code, this.#count);
  }
  toString(): string {
    return `fail(${this.#operation}, ${this.#code}, ${this.#count})`;
  }
}

/** Leaves so many free bytes on the disk, or heals it. */
class Space implements Command {
  readonly #free_bytes: number | null;
  constructor(free_bytes: number | null) {
    this.#free_bytes = free_bytes;
  }
  check(): boolean {
    return true;
  }
  async run(model: Model, real: Real): Promise<void> {
    if (this.#free_bytes === null) {
      real.disk.heal();
      return;
    }
    model.faults_ever = true;
    real.disk.capacity_bytes = real.disk.usedBytes() + this.#free_bytes;
  }
  toString(): string {
    return `space(${this.#free_bytes ?? "healed"})`;
  }
}

const share = fc.double({ min: 0, max: 0.999, noNaN: true });
const sizes = fc.array(fc.integer({ min: 20, max: 1800 }), { minLength: 1, maxLength: 5 });
const dying = fc.constantFrom<"kill" | "crash">("kill", "crash");
const ending = fc.constantFrom<"close" | "kill" | "crash">("close", "kill", "crash");

const appends = sizes.map((each): Command => new Append(each));
const healthy: fc.Arbitrary<Command>[] = [
  appends,
  appends,
  fc.tuple(sizes, fc.nat(60), dying).map((args): Command => new AppendAndDie(...args)),
  fc.tuple(share, fc.nat(6000)).map((args): Command => new Read(...args)),
  fc.constant(null).map((): Command => new ReadAll()),
  share.map((each): Command => new Release(each)),
  share.map((each): Command => new Release(each)),
  sizes.map((each): Command => new Busy(each)),
  fc
    .tuple(ending, fc.constantFrom(0, 1, 1000, -86_400_000))
    .map((args): Command => new Restart(...args)),
];
const faulty: fc.Arbitrary<Command>[] = [
  fc
    .tuple(
      fc.constantFrom<DiskOperation>(
        "sync",
        "syncDirectory",
        "write",
        "truncate",
        "rename",
        "remove",
        "close",
        "isLinked",
      ),
      fc.constantFrom("EIO", "ENOSPC"),
      fc.integer({ min: 1, max: 3 }),
    )
    .map((args): Command => new Fail(...args)),
  fc.constantFrom(1, 2).map((count): Command => new Fail("open", "EMFILE", count)),
  fc.option(fc.nat(3000)).map((free_bytes): Command => new Space(free_bytes)),
];
const damaging: fc.Arbitrary<Command>[] = [
  fc.tuple(share, share, fc.nat(7)).map((args): Command => new Flip(...args)),
];

async function checkModel(arbitraries: fc.Arbitrary<Command>[]): Promise<void> {
  const commands = fc.commands(arbitraries, { maxCommands: COMMANDS_MAX, size: "+1" });
  const property = fc.asyncProperty(fc.nat(), fc.nat(3), commands, async (seed, turns, steps) => {
    const random = makeRandom(seed).next;
    const disk = new FaultyDisk(seed);
    disk.sync_turns = turns;
    const new_uuid = (): string =>
      Array.from({ length: 32 }, () => Math.floor(random() * 16).toString(16)).join("");
    await fc.asyncModelRun(async () => {
      const real = { disk, new_uuid, last_sequence: 0, now_ms: 1_800_000_000_000 } as Real;
      real.wal = await openLife(real);
      const model: Model = {
        entries: [],
        owed_bytes: 0,
        damaged_bytes: 0,
        damaging_events: 0,
        lost_count_bytes: 0,
        opened_bytes: 0,
        faults_ever: false,
      };
      return { model, real };
    }, steps);
  });
  await fc.assert(property, { numRuns: RUN_COUNT });
}

test("F17: on a disk that works, restarts and power cuts change nothing", async () => {
  await expect(checkModel(healthy)).resolves.toBeUndefined();
});

test("on a disk that fails, what was acknowledged is read until it is released", async () => {
  await expect(checkModel([...healthy, ...faulty])).resolves.toBeUndefined();
});

test("on a disk that flips bits, what is lost is counted and nothing else is lost", async () => {
  await expect(checkModel([...healthy, ...damaging])).resolves.toBeUndefined();
});

test("on a disk that does all of this at once, each promise holds", async () => {
  await expect(checkModel([...healthy, ...faulty, ...damaging])).resolves.toBeUndefined();
});
