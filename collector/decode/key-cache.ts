/**
 * Remembers decoded attribute keys: the same few hundred keys come again in every span, so their
 * bytes are compared with those of the last time instead of being decoded into a new string.
 *
 * A direct-mapped table: a key has one slot, and a newcomer replaces what is there. Invariant: its
 * size is fixed, so hostile keys can make it useless but never large or slow.
 */
import { KEY_CACHE_SLOTS, MAX_CACHED_KEY_BYTES } from "./limits.ts";
import type { WireReader } from "./wire.ts";
import { readText } from "./wire.ts";

/** The cached keys by slot: their text, and their bytes, MAX_CACHED_KEY_BYTES for each slot. */
export interface KeyCache {
  readonly texts: string[];
  readonly sizes: Uint8Array;
  readonly bytes: Uint8Array;
}

/** Makes an empty cache. */
export function createKeyCache(): KeyCache {
  return {
    texts: Array.from({ length: KEY_CACHE_SLOTS }, () => ""),
    sizes: new Uint8Array(KEY_CACHE_SLOTS),
    bytes: new Uint8Array(KEY_CACHE_SLOTS * MAX_CACHED_KEY_BYTES),
  };
}

/** Reads the text up to `stop` like `readText`, from the cache if it is there. */
export function readKey(cache: KeyCache, reader: WireReader, stop: number): string {
  const start = reader.pos;
  const size = stop - start;
  if (size > MAX_CACHED_KEY_BYTES) return readText(reader, stop);
  const slot = hashBytes(reader.bytes, start, stop) & (KEY_CACHE_SLOTS - 1);
  const slotStart = slot * MAX_CACHED_KEY_BYTES;
  if (cache.sizes[slot] === size && isSame(cache.bytes, slotStart, reader.bytes, start, size)) {
    reader.pos = stop;
    return cache.texts[slot] as string;
  }
  const key = readText(reader, stop);
  // A key that is not UTF-8 must be met as such every time, for the warning.
  if (reader.has_invalid_text) return key;
  cache.texts[slot] = key;
  cache.sizes[slot] = size;
  for (let index = 0; index < size; index += 1) {
    cache.bytes[slotStart + index] = reader.bytes[start + index] as number;
  }
  return key;
}

function isSame(
  left: Uint8Array,
  leftStart: number,
  right: Uint8Array,
  rightStart: number,
  size: number,
): boolean {
  for (let index = 0; index < size; index += 1) {
    if (left[leftStart + index] !== right[rightStart + index]) return false;
  }
  return true;
}

/** FNV-1a over the bytes, with the high bits folded in because the slot is taken from the low. */
function hashBytes(bytes: Uint8Array, start: number, stop: number): number {
  let hash = 0x811c9dc5;
  for (let pos = start; pos < stop; pos += 1) {
    hash = Math.imul(hash ^ (bytes[pos] as number), 0x01000193);
  }
  return hash ^ (hash >>> 15);
}
