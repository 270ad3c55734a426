/**
 * What the hot path has met so far and knows again by its bytes: shapes of attributes, names, and the
 * contexts of spans.
 *
 * Invariant: a name or shape that is known again is the same text or sequence; `clear` forgets all of
 * it together.
 */
import { ByteTable } from "../../schemas/byte-table.ts";
import type { Word } from "../../schemas/span-row.ts";
import type { Shape, WireSpan } from "../../schemas/wire-span.ts";
import { MAX_PLAIN_TEXT_LENGTH } from "./content.ts";
import type { Context } from "./normalize.ts";
import { learnShape, type ShapeFacts } from "./shape-facts.ts";
import { readUtf8 } from "./stored-values.ts";

/** Names of spans and events known at once. */
const MAX_NAMES = 32_768;
const MAX_NAME_TABLE_BYTES = 4 * 1024 ** 2;
/** Attributes of all known shapes together; one takes about 100 bytes. */
const MAX_POSITIONS = 1_000_000;
/** Scopes of projects known at once. */
const MAX_SCOPES = 4_096;
/** Longest name and version of a scope that is known, characters together. */
const MAX_SCOPE_LENGTH = 1_024;
/** Stands for a scope that is not known. */
const NO_SCOPE = -1;

export interface KnownOptions {
  readonly capture_content: boolean;
  readonly describeShape: (shape: number) => Shape;
  /** For tables that senders fill. */
  readonly seed: number;
}

/** Shapes, names and contexts met so far. */
export class Known {
  readonly #options: KnownOptions;
  readonly #shapes: (ShapeFacts | undefined)[] = [];
  #positions = 0;
  readonly #names: ByteTable;
  readonly #words: Word[] = [];
  /** A context is as large as its sender likes, so none is kept alive by being known. */
  #contexts = new WeakMap<Context, number>();
  readonly #scopes = new Map<string, number>();
  #last_context: Context | null = null;
  #last_number = 0;

  constructor(options: KnownOptions) {
    this.#options = options;
    this.#names = new ByteTable(MAX_NAMES, MAX_NAME_TABLE_BYTES, options.seed);
  }

  /** Whether what comes next may find no room. */
  isFull(): boolean {
    if (this.#names.isFull() || this.#positions >= MAX_POSITIONS) return true;
    return this.#scopes.size >= MAX_SCOPES - (MAX_SCOPES >> 3);
  }

  clear(): void {
    this.#shapes.length = 0;
    this.#positions = 0;
    this.#names.clear();
    this.#words.length = 0;
    this.#contexts = new WeakMap();
    this.#scopes.clear();
    this.#last_context = null;
  }

  factsOf(shape: number): ShapeFacts {
    let facts = this.#shapes[shape];
    if (facts === undefined) {
      facts = learnShape(this.#options.describeShape(shape), this.#options.capture_content);
      this.#shapes[shape] = facts;
      this.#positions += facts.shape.keys.length;
    }
    return facts;
  }

  /** The name at a place; undefined for one that is too long or not UTF-8. */
  nameAt(wire: WireSpan, at: number, size: number): Word | undefined {
    if (size > MAX_PLAIN_TEXT_LENGTH) return undefined;
    const known = this.#names.find(wire.view, at, size);
    if (known !== -1) return this.#words[known];
    const text = readUtf8(wire, at, size);
    if (text === undefined) return undefined;
    const word = { text, block: 0, number: 0 };
    const number = this.#names.intern(wire.view, at, size);
    if (number !== -1) this.#words[number] = word;
    return word;
  }

  /**
   * A number for what dialects and prices ask of a context: many resources share one. NO_SCOPE, which
   * is negative, when there is no room for it.
   */
  numberContext(context: Context): number {
    if (context === this.#last_context) return this.#last_number;
    let number = this.#contexts.get(context);
    if (number === undefined) {
      number = this.#numberScope(context);
      if (number !== NO_SCOPE) this.#contexts.set(context, number);
    }
    this.#last_context = context;
    this.#last_number = number;
    return number;
  }

  #numberScope({ project_id, scope: { name, version } }: Context): number {
    if (name.length + version.length > MAX_SCOPE_LENGTH) return NO_SCOPE;
    // A name may hold any character, so only its length tells where it ends.
    const text = `${project_id}\u0000${name.length}\u0000${name}${version}`;
    const known = this.#scopes.get(text);
    if (known !== undefined) return known;
    const number = this.#scopes.size;
    if (number === MAX_SCOPES) return NO_SCOPE;
    this.#scopes.set(text, number);
    return number;
  }
}
