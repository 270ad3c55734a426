/**
 * What is known of all spans with the same attribute keys and value types: what is read of each
 * position, and how its value is stored. Found out once a shape.
 *
 * Invariant: of two spans of a shape the same positions decide.
 */
import {
  STORE_BYTES,
  STORE_DOUBLE,
  STORE_FLAG,
  STORE_NOTHING,
  STORE_TEXT,
  STORE_WHOLE,
  StoredKeys,
  type StoredTag,
} from "../../schemas/span-row.ts";
import {
  type Shape,
  WIRE_BYTES,
  WIRE_DOUBLE,
  WIRE_EMPTY_TEXT,
  WIRE_FLAG,
  WIRE_LIST,
  WIRE_NONE,
  WIRE_TEXT,
  WIRE_WHOLE,
} from "../../schemas/wire-span.ts";
import { verdictOf } from "./content.ts";
import type { KeyVerdict } from "./content-keys.ts";
import { findSlot } from "./slots.ts";
import { TAG_PREFIX } from "./tags.ts";

/** How the value at a position is looked at before it is stored as `STORE_*` say. */
export const LOOK_NOT = 0;
/** Text under an unsuspicious key. */
export const LOOK_PLAIN = 1;
/** Text that is a URL or path. */
export const LOOK_URL = 2;
/** What only its decoded value can tell. */
export const LOOK_DECODED = 3;

/** Facts of a shape. */
export interface ShapeFacts {
  readonly shape: Shape;
  readonly keys: StoredKeys;
  readonly verdicts: readonly KeyVerdict[];
  /** LOOK_* and STORE_* by position. */
  readonly looks: Uint8Array;
  readonly stores: Uint8Array;
  /** Positions whose values have to be looked at. */
  readonly checks: Int32Array;
  readonly positions_of_slots: ReadonlyMap<number, number>;
  /** Positions whose values decide, as far as spans met so far tell; ascending. */
  words: readonly number[];
  /** Counts changes of what decides. */
  version: number;
  /** Whether the name of the span decides too. */
  reads_name: boolean;
  /** Spans of this shape are never read in place. */
  is_odd: boolean;
  hits: number;
  misses: number;
  /** Positions of an exception event's attributes. */
  readonly exception_type: number;
  readonly exception_message: number;
}

/** Value types a tag can have. */
const TAG_TYPES: ReadonlySet<number> = new Set([WIRE_TEXT, WIRE_FLAG, WIRE_WHOLE, WIRE_DOUBLE]);

const SCALARS: ReadonlyMap<number, number> = new Map([
  [WIRE_NONE, STORE_TEXT],
  [WIRE_FLAG, STORE_FLAG],
  [WIRE_WHOLE, STORE_WHOLE],
  [WIRE_DOUBLE, STORE_DOUBLE],
]);

/** How a value of the type under a key of the verdict is stored and looked at. */
function judgePosition(
  verdict: KeyVerdict,
  type: number,
  capture_content: boolean,
): readonly [store: number, look: number] {
  if (capture_content) {
    const scalar = SCALARS.get(type);
    if (scalar !== undefined) return [scalar, LOOK_NOT];
    if (type === WIRE_EMPTY_TEXT) return [STORE_TEXT, LOOK_NOT];
    return type === WIRE_TEXT ? [STORE_BYTES, LOOK_PLAIN] : [STORE_TEXT, LOOK_DECODED];
  }
  // A list is decoded even where it is dropped: its bytes have not been looked at yet.
  const drop = type === WIRE_LIST ? LOOK_DECODED : LOOK_NOT;
  if (verdict === "content" || type === WIRE_BYTES) return [STORE_NOTHING, drop];
  const scalar = SCALARS.get(type);
  if (scalar !== undefined) return [scalar, LOOK_NOT];
  if (verdict === "suspect") return [STORE_NOTHING, drop];
  if (type === WIRE_LIST) return [STORE_TEXT, LOOK_DECODED];
  if (type === WIRE_EMPTY_TEXT) return [STORE_TEXT, LOOK_NOT];
  if (verdict === "numbers") return [STORE_TEXT, LOOK_DECODED];
  return [STORE_BYTES, verdict === "url" ? LOOK_URL : LOOK_PLAIN];
}

/** Finds out the facts of a shape. */
export function learnShape(shape: Shape, capture_content: boolean): ShapeFacts {
  const { keys, types } = shape;
  const verdicts = keys.map((key) => verdictOf(key));
  const looks = new Uint8Array(keys.length);
  const stores = new Uint8Array(keys.length);
  const positions_of_slots = new Map<number, number>();
  const tags: StoredTag[] = [];
  let is_odd = shape.repeats;
  for (const [position, key] of keys.entries()) {
    const type = types[position] as number;
    const [store, look] = judgePosition(verdicts[position] as KeyVerdict, type, capture_content);
    stores[position] = store;
    looks[position] = look;
    const slot = findSlot(key);
    if (slot !== -1) positions_of_slots.set(slot, position);
    if (!key.startsWith(TAG_PREFIX) || key.length === TAG_PREFIX.length) continue;
    if (TAG_TYPES.has(type)) tags.push({ position, name: key.slice(TAG_PREFIX.length), type });
    // Text that is blank is no tag; of lists and bytes there are none.
    else if (type !== WIRE_NONE && type !== WIRE_EMPTY_TEXT) is_odd = true;
  }
  return {
    shape,
    keys: new StoredKeys(keys, tags),
    verdicts,
    looks,
    stores,
    checks: Int32Array.from([...keys.keys()].filter((position) => looks[position] !== LOOK_NOT)),
    positions_of_slots,
    words: [],
    version: 0,
    reads_name: false,
    is_odd,
    hits: 0,
    misses: 0,
    exception_type: keys.indexOf("exception.type"),
    exception_message: keys.indexOf("exception.message"),
  };
}
