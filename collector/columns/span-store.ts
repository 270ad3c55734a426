/**
 * What the rows of one block are gathered in: columns that grow, and what many rows have in common.
 *
 * Invariant: every column has as many entries as there are rows, also after `takeBack`.
 */
import { Attributes, type Span } from "../../schemas/span.ts";
import type { SpanContext, SpanVariant, Word } from "../../schemas/span-row.ts";
import { TOKEN_CLASSES } from "../../schemas/tokens.ts";
import { Dictionary, SparseWords, Texts, Words } from "./growing.ts";
import { Maps } from "./maps.ts";
import { describeVariant } from "./span-columns.ts";
import { formatAttribute } from "./text.ts";

/** The resource attributes of a context as they are written with each of its rows. */
export interface WrittenContext {
  readonly key_numbers: Int32Array;
  readonly texts: Uint8Array;
}

/** How far everything was; see `mark`. */
export interface BlockMark {
  readonly rows: number;
  readonly links: number;
  readonly resource_bytes: number;
  readonly sizes: readonly number[];
}

/** Numbers blocks over all writers, so that key numbers of one are never taken for another's. */
let last_block = 0;

/** The rows of a block that is being gathered. `write.ts` writes it. */
export class SpanStore {
  count = 0;
  block = 0;
  readonly variants: Span[] = [];
  readonly #variants_by_text = new Map<string, number>();
  readonly contexts: SpanContext[] = [];
  readonly #context_numbers = new Map<SpanContext, number>();
  /** By number, as `contexts`. */
  readonly written_contexts: WrittenContext[] = [];
  readonly #contexts_by_resource = new Map<Attributes, SpanContext[]>();
  readonly row_variants = new Words();
  readonly row_contexts = new Words();
  readonly times = new Words();
  readonly trace_ids = new Words();
  readonly span_ids = new Words();
  readonly parent_ids = new Words();
  readonly durations = new Words();
  readonly ttfts = new Words();
  readonly masks = new Words();
  readonly names = new Words();
  readonly name_dictionary = new Dictionary();
  readonly response_ids = new Texts();
  readonly user_ids = new Texts();
  readonly session_ids = new Texts();
  /** Bits of the classes of which any row has tokens, and a cost. */
  token_classes = 0;
  cost_classes = 0;
  has_ttft = false;
  readonly tokens = new SparseWords(TOKEN_CLASSES.length, 1);
  readonly costs = new SparseWords(TOKEN_CLASSES.length, 2);
  readonly tags = new Maps();
  readonly attributes = new Maps();
  readonly #context_texts = new Texts();
  /** Keys of resource attributes. */
  readonly resource_dictionary = new Dictionary();
  /** Texts of the resource attributes of all rows, bytes. */
  resource_bytes = 0;
  readonly event_ends = new Words();
  readonly event_times = new Words();
  readonly event_names = new Words();
  readonly event_name_dictionary = new Dictionary();
  readonly event_maps = new Maps();
  /** Of each row that has any. */
  readonly links: (readonly [row: number, Span["links"]])[] = [];
  readonly #growing: readonly (Words | Texts)[];

  constructor() {
    const maps = [this.tags, this.attributes, this.event_maps];
    this.#growing = [
      this.row_variants,
      this.row_contexts,
      this.times,
      this.trace_ids,
      this.span_ids,
      this.parent_ids,
      this.durations,
      this.ttfts,
      this.masks,
      this.names,
      this.response_ids,
      this.user_ids,
      this.session_ids,
      this.event_ends,
      this.event_times,
      this.event_names,
      ...maps.flatMap(({ keys, texts, ends }) => [keys, texts, ends]),
    ];
    this.clear();
  }

  /** Forgets the rows, keeping the memory. */
  clear(): void {
    last_block += 1;
    this.block = last_block;
    this.tokens.clear(0, this.count);
    this.costs.clear(0, this.count);
    this.count = 0;
    this.token_classes = 0;
    this.cost_classes = 0;
    this.has_ttft = false;
    this.variants.length = 0;
    this.#variants_by_text.clear();
    this.contexts.length = 0;
    this.#context_numbers.clear();
    this.written_contexts.length = 0;
    this.#contexts_by_resource.clear();
    for (const list of this.#growing) list.size = 0;
    for (const maps of [this.tags, this.attributes, this.event_maps]) maps.clear();
    this.resource_dictionary.clear();
    this.resource_bytes = 0;
    this.name_dictionary.clear();
    this.event_name_dictionary.clear();
    this.links.length = 0;
  }

  /** Bytes that the rows take, roughly: those of their texts and numbers. */
  size(): number {
    return this.attributes.texts.size + this.resource_bytes + this.count * 256;
  }

  /** Remembers how far everything is, for `takeBack`. */
  mark(): BlockMark {
    return {
      rows: this.count,
      links: this.links.length,
      resource_bytes: this.resource_bytes,
      sizes: this.#growing.map(({ size }) => size),
    };
  }

  /** Takes the rows since the mark back. Dictionaries keep what no row names any more. */
  takeBack({ rows, links, resource_bytes, sizes }: BlockMark): void {
    this.tokens.clear(rows, this.count);
    this.costs.clear(rows, this.count);
    this.count = rows;
    this.links.length = links;
    this.resource_bytes = resource_bytes;
    for (const [index, list] of this.#growing.entries()) list.size = sizes[index] as number;
  }

  numberVariant(variant: SpanVariant): number {
    if (variant.block !== this.block) {
      variant.block = this.block;
      variant.number = this.variants.length;
      this.variants.push(variant.span);
    }
    return variant.number;
  }

  numberName(name: Word): number {
    if (name.block !== this.block) {
      name.block = this.block;
      name.number = this.name_dictionary.number(name.text);
    }
    return name.number;
  }

  /** Spans that are objects have a variant each, unless all its columns are those of another. */
  numberVariantOf(span: Span): number {
    const text = describeVariant(span);
    let number = this.#variants_by_text.get(text);
    if (number === undefined) {
      number = this.variants.length;
      this.variants.push(span);
      this.#variants_by_text.set(text, number);
    }
    return number;
  }

  contextOf(span: Span): SpanContext {
    const { resource_attributes, scope_name, scope_version, project_id } = span;
    const { key_id, service_name, environment } = span;
    let contexts = this.#contexts_by_resource.get(resource_attributes);
    if (contexts === undefined) {
      contexts = [];
      this.#contexts_by_resource.set(resource_attributes, contexts);
    }
    let context = contexts.find(
      (known) =>
        known.scope_name === scope_name &&
        known.scope_version === scope_version &&
        known.project_id === project_id &&
        known.key_id === key_id &&
        known.service_name === service_name &&
        known.environment === environment,
    );
    if (context === undefined) {
      const resource_tags = NO_TAGS;
      context = {
        project_id,
        key_id,
        service_name,
        environment,
        scope_name,
        scope_version,
        resource_attributes,
        resource_tags,
      };
      contexts.push(context);
    }
    return context;
  }

  pushContext(context: SpanContext): void {
    let number = this.last_context;
    if (this.contexts[number] !== context) {
      number = this.#context_numbers.get(context) ?? this.addContext(context);
      this.last_context = number;
    }
    this.row_contexts.push(number);
    this.resource_bytes += (this.written_contexts[number] as WrittenContext).texts.length;
  }
  last_context = 0;

  addContext(context: SpanContext): number {
    const { keys, values } = context.resource_attributes;
    const numbers: number[] = [];
    const texts = this.#context_texts;
    texts.size = 0;
    for (const [index, key] of keys.entries()) {
      if (keys.indexOf(key, index + 1) !== -1) continue;
      numbers.push(this.resource_dictionary.number(key));
      texts.pushText(formatAttribute(values[index] ?? null));
    }
    const number = this.contexts.length;
    this.contexts.push(context);
    this.#context_numbers.set(context, number);
    this.written_contexts.push({
      key_numbers: Int32Array.from(numbers),
      texts: new Uint8Array(texts.bytes.subarray(0, texts.size)),
    });
    return number;
  }
}

const NO_TAGS = new Attributes();
