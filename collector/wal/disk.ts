/**
 * The only door from the write-ahead log to the operating system: files, directories, and the
 * question whether a process is alive. Tests put a faulty disk in its place.
 *
 * Invariant: nothing else in this folder touches the file system, and nothing here decides what
 * an error means: system errors leave with their `code` (ENOSPC, EIO, …) untouched.
 */

import { constants, mkdir, open, readFile, readdir, rename, rm, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import { kill, pid } from "node:process";

/** An open file. Positions and sizes are in bytes. */
export interface DiskFile {
  /** Reads into the whole of `target`; returns fewer bytes only at the end of the file. */
  read(target: Uint8Array, position: number): Promise<number>;
  /** Writes once and returns the bytes written, which may be fewer than given (a full disk). */
  write(chunks: readonly Uint8Array[], position: number): Promise<number>;
  /** Makes the contents and the size durable (fdatasync). */
  sync(): Promise<void>;
  truncate(byte_size: number): Promise<void>;
  /** False when no directory names the file any more: what is written to it is already lost. */
  isLinked(): Promise<boolean>;
  close(): Promise<void>;
}

/** `read` only; `update` reads and writes what exists; `create` must not exist; `replace` may. */
export type OpenMode = "read" | "update" | "create" | "replace";

/** A process: `start` tells two users of one pid apart and is "" where the system cannot say. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly start: string;
}

/** What the log needs of a file system. Every failure is thrown as the system's own error. */
export interface Disk {
  /** Makes a directory and its parents, durably; content when it exists. */
  makeDirectory(path: string): Promise<void>;
  /** Names in a directory, in no order. */
  list(directory: string): Promise<string[]>;
  byteSize(path: string): Promise<number>;
  open(path: string, mode: OpenMode): Promise<DiskFile>;
  rename(from: string, to: string): Promise<void>;
  /** Removes a file; content when it does not exist. */
  remove(path: string): Promise<void>;
  /** Makes the names created, renamed and removed in a directory durable (fsync). */
  syncDirectory(directory: string): Promise<void>;
  /** The calling process. */
  identify(): Promise<ProcessIdentity>;
  /** Whether that very process, not a later one of the same pid, still runs. */
  isAlive(identity: ProcessIdentity): Promise<boolean>;
}

/** The `code` of a system error ("ENOSPC"), or "" for anything else thrown. */
export function systemCodeOf(error: unknown): string {
  if (!(error instanceof Error) || !("code" in error)) return "";
  return typeof error.code === "string" ? error.code : "";
}

/** What failed, for messages that a sender may see: a system error's own text has paths in it. */
export function nameFailure(error: unknown): string {
  return systemCodeOf(error) || (error instanceof Error ? error.name : "unknown error");
}

/**
 * Writes all chunks, going on after short writes: Node reports a full disk as a short write
 * first and as ENOSPC only on the next attempt. Returns the bytes written; throws what the disk
 * throws, by then with part of the bytes possibly in the file.
 */
export async function writeFully(
  file: DiskFile,
  chunks: readonly Uint8Array[],
  position: number,
): Promise<number> {
  let rest = chunks.filter((chunk) => chunk.byteLength > 0);
  let written = 0;
  while (rest.length > 0) {
    const count = await file.write(rest, position + written);
    if (count <= 0) throw Object.assign(new Error("the disk wrote nothing"), { code: "EIO" });
    written += count;
    rest = dropBytes(rest, count);
  }
  return written;
}

function dropBytes(chunks: readonly Uint8Array[], count: number): Uint8Array[] {
  let left = count;
  const rest: Uint8Array[] = [];
  for (const chunk of chunks) {
    if (left >= chunk.byteLength) {
      left -= chunk.byteLength;
      continue;
    }
    rest.push(left === 0 ? chunk : chunk.subarray(left));
    left = 0;
  }
  return rest;
}

/**
 * Replaces a small file so that a crash leaves the old or the new contents, never a mixture:
 * temporary file, sync, rename, sync of the directory.
 */
export async function replaceFile(
  disk: Disk,
  directory: string,
  name: string,
  contents: Uint8Array,
): Promise<void> {
  const temporary = join(directory, `${name}.tmp`);
  try {
    const file = await disk.open(temporary, "replace");
    try {
      await writeFully(file, [contents], 0);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    // A file whose sync failed once is not trusted again: the next attempt makes a new one.
    await disk.remove(temporary).catch(() => undefined);
    throw error;
  }
  await disk.rename(temporary, join(directory, name));
  await disk.syncDirectory(directory);
}

/** Reads at most `max_bytes` of a file; null when it does not exist. */
export async function readSmallFile(
  disk: Disk,
  path: string,
  max_bytes: number,
): Promise<Uint8Array | null> {
  let file: DiskFile;
  try {
    file = await disk.open(path, "read");
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return null;
    throw error;
  }
  try {
    const target = new Uint8Array(max_bytes);
    return target.subarray(0, await file.read(target, 0));
  } finally {
    await file.close();
  }
}

const OPEN_FLAGS: Readonly<Record<OpenMode, number>> = {
  read: constants.O_RDONLY,
  update: constants.O_RDWR,
  create: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL,
  replace: constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC,
};

/** Owner only: a log may hold prompts, when their capture is switched on. */
const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

/** The real disk. */
export function nodeDisk(): Disk {
  return {
    makeDirectory: makeDirectoryDurably,
    list: (directory) => readdir(directory),
    byteSize: async (path) => (await stat(path)).size,
    open: async (path, mode) => fileOf(await open(path, OPEN_FLAGS[mode], FILE_MODE)),
    rename: (from, to) => rename(from, to),
    remove: (path) => rm(path, { force: true }),
    syncDirectory: syncNodeDirectory,
    identify: async () => ({ pid, start: (await processState(pid))?.start ?? "" }),
    isAlive: isProcessAlive,
  };
}

function fileOf(handle: FileHandle): DiskFile {
  return {
    read: async (target, position) => {
      let count = 0;
      while (count < target.byteLength) {
        const { bytesRead } = await handle.read(
          target,
          count,
          target.byteLength - count,
          position + count,
        );
        if (bytesRead === 0) break;
        count += bytesRead;
      }
      return count;
    },
    write: async (chunks, position) => (await handle.writev([...chunks], position)).bytesWritten,
    sync: () => handle.datasync(),
    truncate: (byte_size) => handle.truncate(byte_size),
    isLinked: async () => (await handle.stat()).nlink > 0,
    close: () => handle.close(),
  };
}

async function syncNodeDirectory(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A new directory survives a power cut only when each parent that got a new name is synced. */
async function makeDirectoryDurably(path: string): Promise<void> {
  const first_created = await mkdir(path, { recursive: true, mode: DIRECTORY_MODE });
  if (first_created === undefined) return;
  const top = dirname(first_created);
  let parent = dirname(path);
  await syncNodeDirectory(parent);
  while (parent !== top && parent !== dirname(parent)) {
    parent = dirname(parent);
    await syncNodeDirectory(parent);
  }
}

interface ProcessState {
  readonly start: string;
  readonly ended: boolean;
}

/**
 * Start of a process as boot id and clock ticks since boot, from /proc: the ticks alone could
 * repeat after a reboot. Null when there is no such process or no /proc.
 */
async function processState(process_id: number): Promise<ProcessState | null> {
  try {
    const text = await readFile(`/proc/${process_id}/stat`, "utf8");
    // The second field is the program's name in parentheses and may hold spaces and more of them.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const boot = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
    const state = fields[0] ?? "";
    return { start: `${boot}:${fields[19] ?? ""}`, ended: state === "Z" || state === "X" };
  } catch {
    return null;
  }
}

async function isProcessAlive(identity: ProcessIdentity): Promise<boolean> {
  if ((await processState(pid)) !== null) {
    const seen = await processState(identity.pid);
    if (seen === null || seen.ended) return false;
    return identity.start === "" || identity.start === seen.start;
  }
  try {
    // Signal 0 sends nothing and only asks: without /proc a reused pid counts as alive.
    return kill(identity.pid, 0);
  } catch (error) {
    return systemCodeOf(error) === "EPERM";
  }
}
