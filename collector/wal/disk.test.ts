/**
 * The log on the real file system and beside real processes: durability over kill -9, the lock,
 * and what only the system can say. Everything else is tested on the disk in memory.
 */

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { nodeDisk, writeFully } from "./disk.ts";
import type { DiskFile } from "./disk.ts";
import { openWal } from "./wal.ts";
import type { Wal } from "./wal.ts";

const ALL = Number.MAX_SAFE_INTEGER;
const HAS_PROC = existsSync("/proc/self/stat");

let directory = "";
let opened: Wal[] = [];
let children: ChildProcess[] = [];

beforeEach(async () => {
  directory = join(await mkdtemp(join(tmpdir(), "spanledger-wal-")), "data", "wal");
});

afterEach(async () => {
  for (const child of children) child.kill("SIGKILL");
  for (const wal of opened) await wal.close();
  [opened, children] = [[], []];
  await rm(join(directory, "..", ".."), { recursive: true });
});

async function openHere(): Promise<Wal> {
  const wal = await openWal({
    directory,
    disk: nodeDisk(),
    segment_max_bytes: 64 * 1024,
    max_bytes: 1024 * 1024,
    now_ms: Date.now,
    new_uuid: randomUUID,
  });
  opened.push(wal);
  return wal;
}

async function append(wal: Wal, text: string): Promise<number> {
  const sequence = wal.reserveSequence();
  await wal.append(sequence, [Buffer.from(text)]);
  return sequence;
}

async function readTexts(wal: Wal): Promise<string[]> {
  const records = await wal.read(0, ALL);
  return records.map((record) => Buffer.from(record.payload).toString());
}

/** Another process that opens the log and appends "child 1", "child 2", … until it is killed. */
function startChild(): { child: ChildProcess; lines: AsyncIterator<string> } {
  const script = `
    import { randomUUID } from "node:crypto";
    import { nodeDisk, openWal } from ${JSON.stringify(new URL("./wal.ts", import.meta.url).href)};
    const wal = await openWal({
      directory: ${JSON.stringify(directory)}, disk: nodeDisk(), segment_max_bytes: 4096,
      max_bytes: 2 ** 30, now_ms: Date.now, new_uuid: randomUUID,
    });
    for (let index = 1; ; index++) {
      await wal.append(wal.reserveSequence(), [Buffer.from("child " + index)]);
      process.stdout.write("child " + index + "\\n");
    }`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return { child, lines };
}

describe("on a real disk", () => {
  test("records survive a restart and released segments are gone", async () => {
    const wal = await openHere();
    const texts = Array.from({ length: 20 }, (_, index) => `${index} `.padEnd(10_000, "x"));
    const sequences: number[] = [];
    for (const text of texts) sequences.push(await append(wal, text));
    await wal.release(sequences[12] ?? 0);
    await wal.close();
    const reopened = await openHere();
    expect(reopened.writer_id).toBe(wal.writer_id);
    expect(await readTexts(reopened)).toEqual(texts.slice(13));
    expect(reopened.stats()).toMatchObject({ segments: 2, records_pending: 7 });
    await reopened.release(ALL);
    await reopened.close();
    const names = await readdir(directory);
    await openHere();
    expect(names.filter((name) => name.startsWith("segment-"))).toEqual([]);
  });

  test("files are for their owner only", async () => {
    const wal = await openHere();
    await append(wal, "secret");
    for (const name of await readdir(directory)) {
      expect((await stat(join(directory, name))).mode & 0o777).toBe(0o600);
    }
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
  });

  test("F15: a directory moved away is noticed by the next segment, a removed one at once", async () => {
    const wal = await openHere();
    await append(wal, "kept");
    await rename(directory, `${directory}-moved`);
    await expect(append(wal, "x".repeat(70_000))).rejects.toMatchObject({
      code: "wal_directory_lost",
    });
    await rename(`${directory}-moved`, directory);
    await append(wal, "back");
    expect(await readTexts(wal)).toEqual(["kept", "back"]);
    await rm(directory, { recursive: true });
    await expect(append(wal, "lost")).rejects.toMatchObject({ code: "wal_directory_lost" });
  });

  test("F01: kill -9 in the middle of appending loses nothing that was acknowledged", async () => {
    const { child, lines } = startChild();
    const acknowledged: unknown[] = [];
    while (acknowledged.length < 150) acknowledged.push((await lines.next()).value);
    child.kill("SIGKILL");
    await once(child, "exit");
    const texts = await readTexts(await openHere());
    expect(texts.slice(0, 150)).toEqual(acknowledged);
    expect(texts).toEqual(texts.map((_, index) => `child ${index + 1}`));
  });
});

describe("the lock", () => {
  const locked = { name: "PermanentError", code: "wal_locked" };

  test("keeps a second opener of the same process out until it is closed", async () => {
    const wal = await openHere();
    await expect(openHere()).rejects.toMatchObject(locked);
    await append(wal, "still works");
    await wal.close();
    expect(await readTexts(await openHere())).toEqual(["still works"]);
  });

  test("F16: keeps another process out while its owner runs, and is taken over after", async () => {
    const { child, lines } = startChild();
    await lines.next();
    await expect(openHere()).rejects.toMatchObject(locked);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect((await readTexts(await openHere()))[0]).toBe("child 1");
  });

  test("is given to one of many that take it over at once", async () => {
    await (await openHere()).close();
    const child = spawn(process.execPath, ["-e", ""]);
    await once(child, "exit");
    await writeFile(join(directory, "lock"), `${child.pid} - gone\n`);
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => openHere()));
    const refusals = results.filter((result) => result.status === "rejected");
    expect(refusals.map((result) => (result.reason as { code: unknown }).code)).toEqual(
      Array.from({ length: 7 }, () => "wal_locked"),
    );
    expect((await readdir(directory)).filter((name) => name.includes("takeover"))).toEqual([]);
  });

  test.runIf(HAS_PROC)("of a running process is told from one of a reused pid", async () => {
    await (await openHere()).close();
    const fields = readFileSync(`/proc/${process.ppid}/stat`, "utf8").replace(/^.*\) /s, "");
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const ticks = fields.split(" ")[19];
    const lock = join(directory, "lock");
    await writeFile(lock, `${process.ppid} ${boot}:${ticks} token\n`);
    await expect(openHere()).rejects.toMatchObject(locked);
    await writeFile(lock, `${process.ppid} ${boot}:1${ticks} token\n`);
    await (await openHere()).close();
    await writeFile(lock, `${process.ppid} ${randomUUID()}:${ticks} token\n`);
    await openHere();
  });

  test.runIf(HAS_PROC)("of a process that ended but was not reaped has no owner", async () => {
    const parent = spawn("sh", ["-c", "sleep 0.2 & echo $!; exec sleep 30"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    children.push(parent);
    const lines = createInterface({ input: parent.stdout })[Symbol.asyncIterator]();
    const pid = Number((await lines.next()).value);
    const readState = (): string =>
      readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /s, "");
    await expect.poll(readState, { timeout: 10_000 }).toMatch(/^Z/);
    expect(await nodeDisk().isAlive({ pid, start: "" })).toBe(false);
    expect(await nodeDisk().isAlive({ pid: parent.pid ?? 0, start: "" })).toBe(true);
  });

  test.each(["", "\0\0\0\0", "garbage", "99999999999 - x\n"])(
    "with the text %j has no owner",
    async (text) => {
      await (await openHere()).close();
      await writeFile(join(directory, "lock"), text);
      await expect(openHere()).resolves.toBeDefined();
    },
  );
});

describe("writing fully", () => {
  test("goes on after short writes at the right place", async () => {
    const written = new Uint8Array(40);
    const steps = [1, 4, 2, 9, 100];
    const file = {
      write: async (chunks: readonly Uint8Array[], position: number) => {
        const piece = Buffer.concat(chunks).subarray(0, steps.shift());
        written.set(piece, position);
        return piece.byteLength;
      },
    } as unknown as DiskFile;
    const chunks = ["abc", "", "defgh", "i", "jklmnopqrstuvwxyz"].map((text) => Buffer.from(text));
    expect(await writeFully(file, chunks, 5)).toBe(26);
    expect(Buffer.from(written).toString("latin1", 5, 31)).toBe("abcdefghijklmnopqrstuvwxyz");
    expect(steps).toEqual([]);
  });
});
