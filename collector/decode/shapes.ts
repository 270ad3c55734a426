/**
 * Recognises attribute keys by their bytes and numbers the sequences of keys and value types that
 * spans have. Senders emit the same few sequences for ever, so each step is predicted from the last
 * time and only compared.
 *
 * Invariant: a shape stands for the same keys and types until `clear`, which the owner calls between
 * bodies; whoever sends ever new keys or sequences gets NO_SHAPE and takes the other path.
 */
import { ByteTable } from "../../schemas/byte-table.ts";
import type { Shape } from "../../schemas/wire-span.ts";

/** Keys known at once; those of all known emitters together are about 400. */
const MAX_KEYS = 8_192;
/** Longest key that is recognised, bytes; content keys may be longer, and are judged elsewhere. */
export const MAX_SHAPE_KEY_BYTES = 127;
/** Bytes of all keys. */
const MAX_KEY_TABLE_BYTES = 512 * 1024;
/** Steps known at once: a span of 30 attributes takes at most 30, and shares most of them. */
const MAX_NODES = 65_536;

/** The shape of what is not known. */
export const NO_SHAPE = -1;
/** The empty sequence. */
export const EMPTY_SHAPE = 0;

/** Bits of a value type. */
const TYPE_BITS = 3;

const strictText = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Known keys, and known sequences of them as a tree. */
export class Shapes {
  readonly keys: ByteTable;
  /** Texts of the keys by number. */
  readonly key_texts: string[] = [];
  /** Of each node: the step that was taken from it last time, and where it led. */
  readonly #next_key = new Int32Array(MAX_NODES);
  readonly #next_type = new Uint8Array(MAX_NODES);
  readonly #next_node = new Int32Array(MAX_NODES);
  readonly #parent = new Int32Array(MAX_NODES);
  readonly #key = new Int32Array(MAX_NODES);
  readonly #type = new Uint8Array(MAX_NODES);
  #node_count = 1;
  /** Steps by node, then key and type. */
  readonly #steps: (Map<number, number> | undefined)[] = [];

  constructor(seed?: number) {
    this.keys = new ByteTable(MAX_KEYS, MAX_KEY_TABLE_BYTES, seed);
    this.#next_key.fill(-1);
  }

  /** Whether what comes next may find no room. */
  isFull(): boolean {
    return this.keys.isFull() || this.#node_count > MAX_NODES - (MAX_NODES >> 3);
  }

  /** Forgets everything. */
  clear(): void {
    this.keys.clear();
    this.key_texts.length = 0;
    this.#next_key.fill(-1);
    this.#steps.length = 0;
    this.#node_count = 1;
  }

  /** The shape after one more attribute; NO_SHAPE when it cannot be known. */
  step(node: number, view: DataView, key_at: number, key_size: number, type: number): number {
    const expected = this.#next_key[node] as number;
    if (
      expected !== -1 &&
      this.#next_type[node] === type &&
      this.keys.is(expected, view, key_at, key_size)
    ) {
      return this.#next_node[node] as number;
    }
    return this.#stepUnexpected(node, view, key_at, key_size, type);
  }

  #stepUnexpected(
    node: number,
    view: DataView,
    key_at: number,
    key_size: number,
    type: number,
  ): number {
    const key_id = this.#findKey(view, key_at, key_size);
    if (key_id === -1) return NO_SHAPE;
    const steps = (this.#steps[node] ??= new Map());
    const name = (key_id << TYPE_BITS) | type;
    let next = steps.get(name);
    if (next === undefined) {
      if (this.#node_count === MAX_NODES) return NO_SHAPE;
      next = this.#node_count;
      this.#node_count += 1;
      this.#next_key[next] = -1;
      this.#parent[next] = node;
      this.#key[next] = key_id;
      this.#type[next] = type;
      steps.set(name, next);
    }
    this.#next_key[node] = key_id;
    this.#next_type[node] = type;
    this.#next_node[node] = next;
    return next;
  }

  /** The number of a key; -1 for one that is not UTF-8, and when there is no room. */
  #findKey(view: DataView, at: number, size: number): number {
    const known = this.keys.find(view, at, size);
    if (known !== -1) return known;
    let text: string;
    try {
      text = strictText.decode(new Uint8Array(view.buffer, view.byteOffset + at, size));
    } catch {
      return -1;
    }
    const key_id = this.keys.intern(view, at, size);
    if (key_id !== -1) this.key_texts[key_id] = text;
    return key_id;
  }

  /** What a shape holds, from its first attribute to its last. */
  describe(shape: number): Shape {
    const key_ids: number[] = [];
    const types: number[] = [];
    for (let node = shape; node !== EMPTY_SHAPE; node = this.#parent[node] as number) {
      key_ids.push(this.#key[node] as number);
      types.push(this.#type[node] as number);
    }
    key_ids.reverse();
    types.reverse();
    return {
      key_ids: Int32Array.from(key_ids),
      keys: key_ids.map((id) => this.key_texts[id] as string),
      types: Uint8Array.from(types),
      repeats: new Set(key_ids).size < key_ids.length,
    };
  }
}
