/**
 * What a dialect is: data that says how one family of emitters spells a model call. A new emitter
 * is a new file with a `Dialect` and a line in `dialects.ts`; no code changes.
 *
 * Invariant: a dialect names attributes and words; how they become classes, tokens and text is the
 * same for all of them (`classify.ts`, `usage.ts`, `normalize.ts`).
 */
import type { Scope, SpanClass } from "../../schemas/span.ts";
import type { PayloadReader } from "./payload.ts";
import { registerKeys, type SlotValues } from "./slots.ts";

/** Slots of attributes, in the order in which they are tried. */
export type Slots = readonly number[];

/** Fields of a call that come straight from one attribute. */
export interface FieldKeys {
  readonly operation: Slots;
  readonly provider: Slots;
  readonly request_model: Slots;
  readonly response_model: Slots;
  /** One model, the response's where the emitter knew it: the request's where nobody names another. */
  readonly either_model: Slots;
  readonly response_id: Slots;
  readonly finish_reason: Slots;
  readonly service_tier: Slots;
  readonly region: Slots;
  readonly streaming: Slots;
  /** What only an answer in pieces has, whatever its value. */
  readonly of_streams: Slots;
  readonly error_type: Slots;
  readonly error_message: Slots;
  readonly http_status: Slots;
  /** Time to first token in seconds. */
  readonly ttft_s: Slots;
  /** The same in milliseconds. */
  readonly ttft_ms: Slots;
  /** When the first token came, ISO 8601, also quoted as JSON. */
  readonly first_token_at: Slots;
  readonly user_id: Slots;
  readonly session_id: Slots;
  readonly agent_name: Slots;
  readonly client_cost_usd: Slots;
}

/** Token counts as emitters send them: totals with parts inside. */
export interface UsageKeys {
  readonly input: Slots;
  readonly output: Slots;
  readonly total: Slots;
  /** Input without what the cache served or took: settles what `input` includes. */
  readonly input_uncached: Slots;
  readonly cache_read: Slots;
  readonly cache_write: Slots;
  readonly cache_write_5m: Slots;
  readonly cache_write_1h: Slots;
  /** Prompt tokens of a tool's results that stand beside the input (Gemini). */
  readonly tool_input: Slots;
  readonly reasoning: Slots;
  readonly input_audio: Slots;
  readonly output_audio: Slots;
  readonly input_image: Slots;
  readonly output_image: Slots;
  /** Web searches the provider ran and bills by the piece. */
  readonly web_search: Slots;
}

/** What a word in a marking attribute makes of a span. */
export interface Kind {
  readonly span_class: SpanClass;
  /** The operation in OpenTelemetry's words, where the emitter has none; "" keeps what it says. */
  readonly operation: string;
  /** Whether the word itself tells that the answer was streamed. */
  readonly streaming?: boolean;
}

/** Kinds by the value of an attribute; a value that is not listed decides nothing. */
export interface KindTable {
  readonly keys: Slots;
  readonly kinds: ReadonlyMap<string, Kind>;
  /** What the attribute tells by being there, whatever it holds, and the word for it in reasons. */
  readonly otherwise?: Kind & { readonly word: string };
}

/** The value of a marking attribute that says that the call failed, whatever the span's status. */
export interface FailureMark {
  readonly keys: Slots;
  readonly words: ReadonlySet<string>;
}

/** Providers of which something is true; "all" for every one. */
export type Providers = ReadonlySet<string> | "all";

export interface Dialect {
  readonly name: string;
  /** Whether the dialect speaks for this span; the first one in the list that does is taken. */
  readonly matches: (scope: Scope, values: SlotValues) => boolean;
  readonly fields: FieldKeys;
  readonly usage: UsageKeys;
  /** Tried in order; what no table lists is judged by its operation, model and usage. */
  readonly kinds: readonly KindTable[];
  /** A span that is said to be a call counts only when it names a model or carries usage. */
  readonly needs_evidence: boolean;
  /** JSON texts that hold more than the attributes: the provider's own answer, usage details. */
  readonly payloads: readonly PayloadReader[];
  readonly failures: readonly FailureMark[];
  /** An exception event means failure even where the status says otherwise. */
  readonly exception_is_failure: boolean;
  /** The name of the span is that of the agent. */
  readonly names_agent_by_span: boolean;
  /** The list of finish reasons has one for each chunk of a stream: the last one ended it. */
  readonly lists_reasons_by_chunk: boolean;
  /** The attribute holds the emitter's word for why the model stopped, the answer the provider's. */
  readonly answer_tells_end: boolean;
  /** Models are named `provider/model`: what stands before the slash names the provider. */
  readonly qualifies_models: boolean;
  /** Providers whose `input` leaves out what was read from and written to the cache. */
  readonly input_excludes_cache_of: Providers;
  /** Providers whose `output` leaves out the reasoning. */
  readonly output_excludes_reasoning_of: Providers;
  /** Providers whose cached tokens this emitter never reports, so that its input cannot be split. */
  readonly hides_cache_of: Providers;
  /** Providers whose reasoning is neither reported nor inside `output`. */
  readonly hides_reasoning_of: Providers;
  /** Why the counts of this span are the emitter's own guess; undefined when they are not. */
  readonly estimate: ((values: SlotValues, provider: string) => string | undefined) | null;
}

const NOBODY: Providers = new Set();

/** What most emitters do: nothing out of the ordinary. */
export const ORDINARY = {
  needs_evidence: false,
  payloads: [],
  failures: [],
  exception_is_failure: false,
  names_agent_by_span: false,
  lists_reasons_by_chunk: false,
  answer_tells_end: false,
  qualifies_models: false,
  input_excludes_cache_of: NOBODY,
  output_excludes_reasoning_of: NOBODY,
  hides_cache_of: NOBODY,
  hides_reasoning_of: NOBODY,
  estimate: null,
} as const satisfies Partial<Dialect>;

export function includesProvider(providers: Providers, provider: string): boolean {
  return providers === "all" || providers.has(provider);
}

/** A set of keys that differs from another in some, which are then tried first. */
export function extendKeys<T extends object>(
  base: T,
  extra: Partial<Record<keyof T, string[]>>,
): T {
  const result = { ...base } as Record<keyof T, Slots>;
  for (const field of Object.keys(extra) as (keyof T)[]) {
    const slots = registerKeys(...(extra[field] ?? []));
    result[field] = [...slots, ...result[field]];
  }
  return result as T;
}

/** A set of keys with some taken out: the emitter uses the name for something else. */
export function withoutKeys<T extends object>(base: T, fields: readonly (keyof T)[]): T {
  const result = { ...base } as Record<keyof T, Slots>;
  for (const field of fields) result[field] = [];
  return result as T;
}

/** Rows of a kind table: words of one class, with the operation they stand for. */
export function kindsOf(
  rows: readonly (readonly [
    span_class: SpanClass,
    operation: string,
    words: string,
    streaming?: boolean,
  ])[],
): ReadonlyMap<string, Kind> {
  return new Map(
    rows.flatMap(([span_class, operation, words, streaming]) => {
      const kind = { span_class, operation, ...(streaming === undefined ? {} : { streaming }) };
      return words.split(" ").map((word): [string, Kind] => [word, kind]);
    }),
  );
}
