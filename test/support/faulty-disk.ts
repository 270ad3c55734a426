/**
 * A disk in memory that fails as real ones do: full disks with a short write first, failed syncs
 * after which the kernel forgets what it lost, power cuts that keep any part of what was not
 * synced, flipped bits, slow syncs. All chance comes from one seed.
 *
 * Invariant: after a power cut only synced bytes under synced names are sure to be there; the
 * rest is any prefix of what was done, cut anywhere, partly zeros.
 */

import { dirname } from "node:path";
import type { Disk, DiskFile, OpenMode, ProcessIdentity } from "../../collector/wal/disk.ts";
import { makeRandom } from "./random.ts";

/** The calls that can be made to fail. */
export type DiskOperation =
  | "makeDirectory"
  | "list"
  | "byteSize"
  | "open"
  | "rename"
  | "remove"
  | "syncDirectory"
  | "read"
  | "write"
  | "sync"
  | "truncate"
  | "isLinked"
  | "close";

type Change =
  | { readonly kind: "write"; readonly position: number; readonly bytes: Uint8Array }
  | { readonly kind: "truncate"; readonly byte_size: number };

interface Inode {
  live: Uint8Array;
  durable: Uint8Array;
  /** Done since the last sync. */
  changes: Change[];
  /** A sync failed: the kernel calls its pages clean, so later syncs save nothing. */
  is_poisoned: boolean;
}

/** One change of a directory, applied whole or not at all; a null inode is a removal. */
interface NameChange {
  readonly directory: string;
  readonly entries: readonly (readonly [path: string, inode: Inode | null])[];
}

interface Fault {
  readonly operation: DiskOperation;
  readonly code: string;
  readonly path: RegExp;
  count: number;
  was_short: boolean;
}

/** The medium and its kernel. Processes see it through `connect`. */
export class FaultyDisk {
  /** Bytes that all files together may have: beyond it writes fail with ENOSPC. */
  capacity_bytes: number = Number.POSITIVE_INFINITY;
  /** Turns of the event loop that a sync takes. */
  sync_turns = 0;
  /** Calls made so far, by all processes. */
  call_count = 0;
  /** Successful syncs of files so far. */
  sync_count = 0;
  /** Bytes read from files so far, and the longest single read. */
  read_bytes = 0;
  longest_read_bytes = 0;
  readonly #random: () => number;
  readonly #directories = new Set<string>();
  #names = new Map<string, Inode>();
  #durable_names = new Map<string, Inode>();
  #name_changes: NameChange[] = [];
  #faults: Fault[] = [];
  #fail_call: { readonly number: number; readonly code: string } | null = null;
  #process = { pid: 1000, is_alive: false };

  constructor(seed: number) {
    this.#random = makeRandom(seed).next;
  }

  /** Starts a process and gives its view of the disk; the one before must have ended. */
  connect(): Disk {
    this.#process = { pid: this.#process.pid + 1, is_alive: true };
    return connectProcess(this, this.#process);
  }

  /** Ends the process without warning (kill -9): the page cache stays. */
  kill(): void {
    this.#process.is_alive = false;
  }

  /** Cuts the power: the process ends and what was not synced survives by chance only. */
  crash(): void {
    this.kill();
    const directories = new Set(this.#name_changes.map((change) => change.directory));
    for (const directory of directories) {
      const changes = this.#name_changes.filter((change) => change.directory === directory);
      const kept = changes.slice(0, Math.floor(this.#random() * (changes.length + 1)));
      for (const change of kept) applyNames(this.#durable_names, change);
    }
    this.#name_changes = [];
    this.#names = new Map(this.#durable_names);
    for (const inode of new Set(this.#names.values())) this.#loseUnsynced(inode);
  }

  /** Makes the next `count` calls of a kind fail, on paths that match. */
  failNext(operation: DiskOperation, code: string, count = 1, path = /(?:)/): void {
    this.#faults.push({ operation, code, path, count, was_short: false });
  }

  /** Makes one call fail: the `number`th from now, whatever it is. */
  failCall(number: number, code: string): void {
    this.#fail_call = { number: this.call_count + number, code };
  }

  /** Takes back all faults; a full disk has space again. */
  heal(): void {
    this.#faults = [];
    this.#fail_call = null;
    this.capacity_bytes = Number.POSITIVE_INFINITY;
  }

  /** All files, sorted. */
  paths(): string[] {
    return [...this.#names.keys()].sort();
  }

  /** A copy of a file as processes see it. */
  readBytes(path: string): Uint8Array {
    return this.#inode(path).live.slice();
  }

  /** Replaces or makes a file, durably. */
  writeBytes(path: string, bytes: Uint8Array): void {
    this.#directories.add(dirname(path));
    const inode = createInode();
    inode.live = bytes.slice();
    inode.durable = bytes.slice();
    this.#names.set(path, inode);
    this.#durable_names.set(path, inode);
  }

  /** Removes a file, durably. */
  removePath(path: string): void {
    this.#names.delete(path);
    this.#durable_names.delete(path);
  }

  /** Removes a directory with all in it, durably, under the feet of whoever uses it. */
  removeDirectory(directory: string): void {
    this.#directories.delete(directory);
    for (const path of this.paths()) if (path.startsWith(`${directory}/`)) this.removePath(path);
  }

  /** Flips one bit of a file, in memory and on the medium. */
  flipBit(path: string, offset: number, bit: number): void {
    const inode = this.#inode(path);
    for (const bytes of [inode.live, inode.durable]) {
      if (offset < bytes.byteLength) bytes[offset] = (bytes[offset] ?? 0) ^ (1 << bit);
    }
    inode.changes = inode.changes.map((change) => {
      if (change.kind !== "write") return change;
      const index = offset - change.position;
      if (index < 0 || index >= change.bytes.byteLength) return change;
      const bytes = change.bytes.slice();
      bytes[index] = (bytes[index] ?? 0) ^ (1 << bit);
      return { ...change, bytes };
    });
  }

  /** Bytes of all files together. */
  usedBytes(): number {
    let byte_size = 0;
    for (const inode of new Set(this.#names.values())) byte_size += inode.live.byteLength;
    return byte_size;
  }

  /** For the processes: whether this call is to fail, and by which error. */
  enter(operation: DiskOperation, path: string): void {
    this.call_count += 1;
    if (this.#fail_call?.number === this.call_count) throw systemError(this.#fail_call.code, path);
    if (operation === "write") return;
    const fault = this.#faultFor(operation, path);
    if (fault === undefined) return;
    fault.count -= 1;
    throw systemError(fault.code, path);
  }

  isProcessAlive(identity: ProcessIdentity): boolean {
    return this.#process.is_alive && this.#process.pid === identity.pid;
  }

  makeDirectory(path: string): void {
    for (let each = path; each !== dirname(each); each = dirname(each)) this.#directories.add(each);
  }

  list(directory: string): string[] {
    if (!this.#directories.has(directory)) throw systemError("ENOENT", directory);
    return this.paths()
      .filter((path) => dirname(path) === directory)
      .map((path) => path.slice(directory.length + 1));
  }

  find(path: string): Inode {
    return this.#inode(path);
  }

  openInode(path: string, mode: OpenMode): Inode {
    const found = this.#names.get(path);
    if (mode === "read" || mode === "update") return this.#inode(path);
    if (mode === "create" && found !== undefined) throw systemError("EEXIST", path);
    if (!this.#directories.has(dirname(path))) throw systemError("ENOENT", path);
    if (found !== undefined) {
      this.truncate(found, 0);
      // No page that the kernel forgot to write is left.
      found.is_poisoned = false;
      return found;
    }
    const inode = createInode();
    this.#change(dirname(path), [[path, inode]]);
    return inode;
  }

  rename(from: string, to: string): void {
    const inode = this.#inode(from);
    if (!this.#directories.has(dirname(to))) throw systemError("ENOENT", to);
    this.#change(dirname(from), [
      [from, null],
      [to, inode],
    ]);
  }

  remove(path: string): void {
    if (this.#names.has(path)) this.#change(dirname(path), [[path, null]]);
  }

  syncDirectory(directory: string): void {
    if (!this.#directories.has(directory)) throw systemError("ENOENT", directory);
    const is_inside = (change: NameChange): boolean => change.directory === directory;
    for (const change of this.#name_changes.filter(is_inside)) {
      applyNames(this.#durable_names, change);
    }
    this.#name_changes = this.#name_changes.filter((change) => !is_inside(change));
  }

  isLinked(inode: Inode): boolean {
    return [...this.#names.values()].includes(inode);
  }

  /** Writes what there is room for. A fault writes a part first and fails the next attempt. */
  write(path: string, inode: Inode, bytes: Uint8Array, position: number): number {
    const fault = this.#faultFor("write", path);
    let room = bytes.byteLength;
    if (fault !== undefined) {
      room = fault.was_short ? 0 : Math.floor(this.#random() * bytes.byteLength);
      fault.was_short = !fault.was_short && room > 0;
      if (!fault.was_short) fault.count -= 1;
      if (room === 0) throw systemError(fault.code, path);
    }
    const growth = Math.max(0, position + bytes.byteLength - inode.live.byteLength);
    const free = this.capacity_bytes - this.usedBytes();
    if (growth > free) room = Math.min(room, bytes.byteLength - growth + Math.max(0, free));
    if (room <= 0 && bytes.byteLength > 0) throw systemError("ENOSPC", path);
    const change = { kind: "write", position, bytes: bytes.slice(0, room) } as const;
    inode.live = applyChange(inode.live, change);
    inode.changes.push(change);
    return room;
  }

  truncate(inode: Inode, byte_size: number): void {
    const change = { kind: "truncate", byte_size } as const;
    inode.live = applyChange(inode.live, change);
    inode.changes.push(change);
  }

  sync(inode: Inode): void {
    if (inode.is_poisoned) return;
    this.sync_count += 1;
    inode.durable = inode.live.slice();
    inode.changes = [];
  }

  #inode(path: string): Inode {
    const inode = this.#names.get(path);
    if (inode === undefined) throw systemError("ENOENT", path);
    return inode;
  }

  #faultFor(operation: DiskOperation, path: string): Fault | undefined {
    return this.#faults.find(
      (fault) => fault.operation === operation && fault.count > 0 && fault.path.test(path),
    );
  }

  #change(directory: string, entries: NameChange["entries"]): void {
    const change = { directory, entries };
    applyNames(this.#names, change);
    this.#name_changes.push(change);
  }

  #loseUnsynced(inode: Inode): void {
    let bytes: Uint8Array = inode.durable.slice();
    const kept = Math.floor(this.#random() * (inode.changes.length + 1));
    for (const change of inode.changes.slice(0, kept)) bytes = applyChange(bytes, change);
    const torn = inode.changes[kept];
    if (torn?.kind === "write") {
      const part = torn.bytes.slice();
      const cut = Math.floor(this.#random() * (part.byteLength + 1));
      // The size may reach the medium before the bytes do.
      const is_zero_filled = this.#random() < 0.3;
      if (is_zero_filled) part.fill(0, cut);
      bytes = applyChange(bytes, {
        ...torn,
        bytes: is_zero_filled ? part : part.slice(0, cut),
      });
    }
    inode.live = bytes;
    inode.durable = bytes.slice();
    inode.changes = [];
    inode.is_poisoned = false;
  }
}

function createInode(): Inode {
  const empty = new Uint8Array(0);
  return { live: empty, durable: empty, changes: [], is_poisoned: false };
}

function applyNames(names: Map<string, Inode>, change: NameChange): void {
  for (const [path, inode] of change.entries) {
    if (inode === null) names.delete(path);
    else names.set(path, inode);
  }
}

function applyChange(bytes: Uint8Array, change: Change): Uint8Array {
  if (change.kind === "truncate") {
    const cut = new Uint8Array(change.byte_size);
    cut.set(bytes.subarray(0, change.byte_size));
    return cut;
  }
  const end = change.position + change.bytes.byteLength;
  const grown = new Uint8Array(Math.max(bytes.byteLength, end));
  grown.set(bytes);
  grown.set(change.bytes, change.position);
  return grown;
}

function systemError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}

interface Process {
  readonly pid: number;
  readonly is_alive: boolean;
}

function connectProcess(medium: FaultyDisk, process: Process): Disk {
  async function call<T>(operation: DiskOperation, path: string, work: () => T): Promise<T> {
    // Another turn, so that a process can die between any two calls.
    await Promise.resolve();
    if (!process.is_alive) throw systemError("ESRCH", path);
    medium.enter(operation, path);
    return work();
  }
  return {
    makeDirectory: (path) => call("makeDirectory", path, () => medium.makeDirectory(path)),
    list: (directory) => call("list", directory, () => medium.list(directory)),
    byteSize: (path) => call("byteSize", path, () => medium.find(path).live.byteLength),
    open: (path, mode) =>
      call("open", path, () => openFile(medium, process, path, medium.openInode(path, mode))),
    rename: (from, to) => call("rename", from, () => medium.rename(from, to)),
    remove: (path) => call("remove", path, () => medium.remove(path)),
    syncDirectory: (directory) =>
      call("syncDirectory", directory, () => medium.syncDirectory(directory)),
    identify: () => Promise.resolve({ pid: process.pid, start: "boot" }),
    isAlive: (identity) => Promise.resolve(medium.isProcessAlive(identity)),
  };
}

function openFile(medium: FaultyDisk, process: Process, path: string, inode: Inode): DiskFile {
  async function call<T>(operation: DiskOperation, work: () => T): Promise<T> {
    await Promise.resolve();
    if (!process.is_alive) throw systemError("ESRCH", path);
    medium.enter(operation, path);
    return work();
  }
  return {
    read: (target, position) =>
      call("read", () => {
        const bytes = inode.live.subarray(position, position + target.byteLength);
        target.set(bytes);
        medium.read_bytes += bytes.byteLength;
        medium.longest_read_bytes = Math.max(medium.longest_read_bytes, bytes.byteLength);
        return bytes.byteLength;
      }),
    write: (chunks, position) =>
      call("write", () => medium.write(path, inode, Buffer.concat(chunks), position)),
    sync: async () => {
      for (let turn = 0; turn < medium.sync_turns; turn++) await nextTurn();
      await call("sync", () => medium.sync(inode)).catch((error: unknown) => {
        inode.is_poisoned ||= process.is_alive;
        throw error;
      });
    },
    truncate: (byte_size) => call("truncate", () => medium.truncate(inode, byte_size)),
    isLinked: () => call("isLinked", () => medium.isLinked(inode)),
    close: () => call("close", () => undefined),
  };
}

/** Waits for one turn of the event loop. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
