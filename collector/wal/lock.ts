/**
 * The lock of a log's directory: a file naming the process that has it open. It is taken over
 * when that process has ended, so a crash needs no cleaning up by hand.
 *
 * Invariant: `lock` is only ever replaced whole, by the one process that made `lock-takeover`,
 * and is held only while it holds our own text. A process cannot see an owner inside another
 * container: two containers must not share one directory.
 */

import { join } from "node:path";
import { PermanentError } from "../../schemas/errors.ts";
import { readSmallFile, systemCodeOf, writeFully } from "./disk.ts";
import type { Disk, DiskFile, ProcessIdentity } from "./disk.ts";

const LOCK_NAME = "lock";
const TAKEOVER_NAME = "lock-takeover";
const LOCK_MAX_BYTES = 512;

/** A take-over is over in a few milliseconds; one that stands still this long was left behind. */
const TAKEOVER_WAIT_MS = 100;
const TAKEOVER_ATTEMPTS_MAX = 3;

/** A held lock. `text` is unlike that of any other holder, of this process too. */
export interface Lock {
  readonly path: string;
  readonly text: string;
}

/**
 * Takes the lock of a directory. Throws PermanentError "wal_locked" when a process that still
 * runs has it or is about to, this one included.
 */
export async function acquireLock(disk: Disk, directory: string, token: string): Promise<Lock> {
  const identity = await disk.identify();
  const text = `${identity.pid} ${identity.start || "-"} ${token}\n`;
  const lock: Lock = { path: join(directory, LOCK_NAME), text };
  const takeover = join(directory, TAKEOVER_NAME);
  await refuseLiveOwner(disk, lock.path);
  await createTakeover(disk, takeover, text);
  try {
    // From here on only we may replace the lock: what was judged above may be old.
    await refuseLiveOwner(disk, lock.path);
    await disk.rename(takeover, lock.path);
  } catch (error) {
    await disk.remove(takeover).catch(() => undefined);
    throw error;
  }
  if (!(await holdsLock(disk, lock))) throw lockedError("another process");
  return lock;
}

/** Whether the directory is still there and still ours. */
export async function holdsLock(disk: Disk, lock: Lock): Promise<boolean> {
  return (await readText(disk, lock.path)) === lock.text;
}

/** Gives the lock back, unless someone else has it by now. */
export async function releaseLock(disk: Disk, lock: Lock): Promise<void> {
  if (await holdsLock(disk, lock)) await disk.remove(lock.path);
}

/** A text that a crash or a bit flip spoilt has no owner. */
async function refuseLiveOwner(disk: Disk, path: string): Promise<void> {
  const owner = parseOwner(await readText(disk, path));
  if (owner !== null && (await disk.isAlive(owner))) throw lockedError(`process ${owner.pid}`);
}

/** Makes the file that only one process can make, removing one that a crash left behind. */
async function createTakeover(disk: Disk, path: string, text: string): Promise<void> {
  for (let attempt = 1; attempt <= TAKEOVER_ATTEMPTS_MAX; attempt++) {
    if (await tryCreate(disk, path, text)) return;
    const found = await readText(disk, path);
    await refuseLiveOwner(disk, path);
    // Its maker may not have written its name yet.
    await new Promise((resolve) => setTimeout(resolve, TAKEOVER_WAIT_MS));
    if ((await readText(disk, path)) !== found) throw lockedError("another process");
    await disk.remove(path);
  }
  throw lockedError("another process");
}

/** False when the file is there already. */
async function tryCreate(disk: Disk, path: string, text: string): Promise<boolean> {
  let file: DiskFile;
  try {
    file = await disk.open(path, "create");
  } catch (error) {
    if (systemCodeOf(error) === "EEXIST") return false;
    throw error;
  }
  try {
    await writeFully(file, [new TextEncoder().encode(text)], 0);
    return true;
  } catch (error) {
    await disk.remove(path).catch(() => undefined);
    throw error;
  } finally {
    await file.close();
  }
}

function parseOwner(text: string | null): ProcessIdentity | null {
  const match = /^(\d{1,10}) (\S+) \S+\n$/.exec(text ?? "");
  if (match === null) return null;
  const start = match[2] ?? "-";
  return { pid: Number(match[1]), start: start === "-" ? "" : start };
}

async function readText(disk: Disk, path: string): Promise<string | null> {
  const bytes = await readSmallFile(disk, path, LOCK_MAX_BYTES);
  return bytes === null ? null : new TextDecoder().decode(bytes);
}

function lockedError(owner: string): PermanentError {
  return new PermanentError(
    "wal_locked",
    `${owner} has the write-ahead log open: stop it, or use another data directory`,
  );
}
