/**
 * A row of the table `spans` on the hot path: what normalizing and pricing found out of a span that is
 * only places in a body. One record, refilled for each span; `collector/columns` copies it.
 *
 * Invariant: the row is the one that the span would give as a `Span`.
 */
import type { Attributes, Span } from "./span.ts";
import { TOKEN_CLASSES } from "./tokens.ts";
import { MAX_WIRE_ATTRIBUTES, NOWHERE, WireSpan } from "./wire-span.ts";

/** What the spans of one scope of one resource share. Compared by identity. */
export interface SpanContext {
  readonly project_id: string;
  /** Id of the key of the sender; empty without one. */
  readonly key_id: string;
  readonly service_name: string;
  readonly environment: string;
  readonly scope_name: string;
  readonly scope_version: string;
  /** As stored. */
  readonly resource_attributes: Attributes;
  readonly resource_tags: Attributes;
}

/** A text that many rows share, with its number in the dictionary of the block of that number. */
export interface Word {
  readonly text: string;
  block: number;
  number: number;
}

/** How the value at a position is stored. */
export const STORE_NOTHING = 0;
/** The bytes of the value, as they are. */
export const STORE_BYTES = 1;
/** The text of `numbers`. */
export const STORE_WHOLE = 2;
export const STORE_DOUBLE = 3;
export const STORE_FLAG = 4;
/** `stored_texts`. */
export const STORE_TEXT = 5;

/** A tag among the attributes of a shape. */
export interface StoredTag {
  readonly position: number;
  readonly name: string;
  /** WIRE_TEXT, WIRE_FLAG, WIRE_WHOLE or WIRE_DOUBLE. */
  readonly type: number;
}

/** The keys of a shape, for whoever writes dictionaries of keys. Compared by identity. */
export class StoredKeys {
  /** By position. */
  readonly keys: readonly string[];
  readonly tags: readonly StoredTag[];
  /** Numbers of the keys in the dictionaries of the block of that number; NOWHERE is unnumbered. */
  block = 0;
  /** Whether every key has a number. */
  is_numbered = false;
  readonly key_numbers: Int32Array;
  readonly tag_numbers: Int32Array;

  constructor(keys: readonly string[], tags: readonly StoredTag[]) {
    this.keys = keys;
    this.tags = tags;
    this.key_numbers = new Int32Array(keys.length);
    this.tag_numbers = new Int32Array(tags.length);
  }
}

/** The columns that many spans have in common, with their number in the block of that number. */
export interface SpanVariant {
  readonly span: Span;
  block: number;
  number: number;
}

/** A row. Times are in the places of `wire`. */
export class SpanRow {
  wire: WireSpan;
  context!: SpanContext;
  /**
   * All columns that many spans have in common: of `Span` all but times, ids, name, tokens, cost,
   * tags, attributes and events, and what is of the context. Compared by identity.
   */
  variant!: SpanVariant;
  keys: StoredKeys;
  name!: Word;
  /** Of each event. */
  readonly event_keys: StoredKeys[] = [];
  readonly event_names: string[] = [];
  /** Duration, ns: below 2^53. */
  duration_ns = 0;
  /** NOWHERE for none; else in `wire.bytes`. */
  response_id_at = NOWHERE;
  response_id_size = 0;
  user_id_at = NOWHERE;
  user_id_size = 0;
  session_id_at = NOWHERE;
  session_id_size = 0;
  /** -1 when unknown. */
  ttft_ns = -1;
  /** In the order of TOKEN_CLASSES. */
  tokens: readonly (number | null)[] = TOKEN_CLASSES.map(() => null);
  /** Bits of the classes whose cost is known, and the costs, picodollars. */
  priced_mask = 0;
  cost: Float64Array = new Float64Array(TOKEN_CLASSES.length);
  /** By position: how each value is stored, and the texts of those that are stored as texts. */
  stores!: Uint8Array;
  stored_texts!: readonly string[];
  /** The same of the values of events, by the position in `wire`. */
  readonly events = { stores: new Uint8Array(MAX_WIRE_ATTRIBUTES), texts: [] as string[] };

  /** The context and variant are set before a row is used. */
  constructor(wire: WireSpan) {
    this.wire = wire;
    this.keys = new StoredKeys([], []);
  }
}
