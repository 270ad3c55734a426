/**
 * Byte strings to small numbers, without making a string of them: the dictionaries of the hot path.
 *
 * Invariant: a number stands for the same bytes until `clear`; the table holds at most what it was
 * made for, so hostile input can fill it but not grow it.
 */

const HASH_SEED = 0x811c9dc5;
const HASH_FACTOR = 0x9e3779b1;
/**
 * Slots that are looked at. A table is never more than half full, so honest input hardly ever needs as
 * many, and input that was made to collide costs no more.
 */
const MAX_PROBES = 64;

/** A table of byte strings. */
export class ByteTable {
  /** Byte strings in it. */
  size = 0;
  readonly max_entries: number;
  readonly max_bytes: number;
  bytes: Uint8Array;
  view: DataView;
  /** Where each begins in `bytes`; the entry after the last is where the next one goes. */
  readonly starts: Int32Array;
  readonly #hashes: Int32Array;
  readonly #slots: Int32Array;
  readonly #mask: number;

  readonly #seed: number;

  /**
   * Room for that many entries, of that many bytes together. A seed nobody outside knows keeps
   * senders from choosing byte strings that collide.
   */
  constructor(max_entries: number, max_bytes: number, seed = HASH_SEED) {
    this.#seed = seed;
    this.max_entries = max_entries;
    this.max_bytes = max_bytes;
    this.bytes = new Uint8Array(Math.min(max_bytes, 1 << 14));
    this.view = new DataView(this.bytes.buffer);
    this.starts = new Int32Array(max_entries + 1);
    this.#hashes = new Int32Array(max_entries);
    const slots = 2 ** Math.ceil(Math.log2(max_entries * 2));
    this.#slots = new Int32Array(slots);
    this.#mask = slots - 1;
  }

  /** Whether it cannot be relied on to take more. */
  isFull(): boolean {
    return (
      this.size >= this.max_entries - (this.max_entries >> 3) ||
      (this.starts[this.size] as number) >= this.max_bytes - (this.max_bytes >> 3)
    );
  }

  clear(): void {
    this.size = 0;
    this.#slots.fill(0);
  }

  /** The number of the bytes; -1 when they are not in it. */
  find(view: DataView, at: number, size: number): number {
    const hash = hashBytes(this.#seed, view, at, size);
    let slot = hash & this.#mask;
    for (let probe = 0; probe < MAX_PROBES; probe += 1) {
      const id = (this.#slots[slot] as number) - 1;
      if (id === -1) return -1;
      if (this.#hashes[id] === hash) return this.is(id, view, at, size) ? id : -1;
      slot = (slot + 1) & this.#mask;
    }
    return -1;
  }

  /**
   * The number of the bytes, which are added if they are new; -1 when there is no room. Of bytes with
   * the same hash only the first are known: no seed keeps all of them apart.
   */
  intern(view: DataView, at: number, size: number): number {
    const hash = hashBytes(this.#seed, view, at, size);
    let slot = hash & this.#mask;
    for (let probe = 0; ; probe += 1) {
      const known = (this.#slots[slot] as number) - 1;
      if (known === -1) break;
      if (this.#hashes[known] === hash) return this.is(known, view, at, size) ? known : -1;
      if (probe === MAX_PROBES) return -1;
      slot = (slot + 1) & this.#mask;
    }
    const start = this.starts[this.size] as number;
    if (this.size >= this.max_entries || start + size > this.max_bytes) return -1;
    this.#reserve(start + size);
    for (let index = 0; index < size; index += 1) {
      this.bytes[start + index] = view.getUint8(at + index);
    }
    const id = this.size;
    this.#hashes[id] = hash;
    this.#slots[slot] = id + 1;
    this.size = id + 1;
    this.starts[id + 1] = start + size;
    return id;
  }

  /** Whether the entry is these bytes. */
  is(id: number, view: DataView, at: number, size: number): boolean {
    const start = this.starts[id] as number;
    if ((this.starts[id + 1] as number) - start !== size) return false;
    const own = this.view;
    if (size < 8) return isShortSame(own, start, view, at, size);
    const last = size - 8;
    for (let index = 0; index < last; index += 8) {
      if (own.getBigInt64(start + index, true) !== view.getBigInt64(at + index, true)) {
        return false;
      }
    }
    // The last eight overlap those before them: no byte is left for a loop of its own.
    return own.getBigInt64(start + last, true) === view.getBigInt64(at + last, true);
  }

  #reserve(size: number): void {
    if (size <= this.bytes.length) return;
    const bytes = new Uint8Array(Math.min(this.max_bytes, Math.max(size, this.bytes.length * 2)));
    bytes.set(this.bytes);
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer);
  }
}

/** Compares fewer than eight bytes. */
function isShortSame(
  own: DataView,
  start: number,
  view: DataView,
  at: number,
  size: number,
): boolean {
  if (size >= 4) {
    const last = size - 4;
    return (
      own.getInt32(start, true) === view.getInt32(at, true) &&
      own.getInt32(start + last, true) === view.getInt32(at + last, true)
    );
  }
  for (let index = 0; index < size; index += 1) {
    if (own.getUint8(start + index) !== view.getUint8(at + index)) return false;
  }
  return true;
}

/** A hash of the bytes, four at a time, the last four overlapping. Not for secrets. */
function hashBytes(seed: number, view: DataView, at: number, size: number): number {
  let hash = seed ^ size;
  if (size < 4) {
    for (let index = 0; index < size; index += 1) {
      hash = Math.imul(hash ^ view.getUint8(at + index), HASH_FACTOR);
      hash ^= hash >>> 15;
    }
    return hash ^ (hash >>> 13);
  }
  const last = size - 4;
  for (let index = 0; index < last; index += 4) {
    hash = Math.imul(hash ^ view.getInt32(at + index, true), HASH_FACTOR);
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash ^ view.getInt32(at + last, true), HASH_FACTOR);
  hash ^= hash >>> 15;
  return hash ^ (hash >>> 13);
}
