/**
 * JSON texts inside attributes: the answer of the provider, or usage by names of the emitter's own.
 *
 * Invariant: a payload that cannot be read says nothing; it never fails a span. Names inside a
 * payload are only looked up, never enumerated into object properties of ours.
 */
import type { FeeUnits } from "../../schemas/span.ts";
import type { Slots } from "./dialect.ts";
import type { PresentValue } from "./slots.ts";

/** Longest payload that is parsed, characters: above it the attributes alone speak. */
export const MAX_PAYLOAD_LENGTH = 4 * 1024 ** 2;

/** Anything that JSON.parse gives. */
export type Json = unknown;

/** Token counts as a provider or an emitter counts them, each as sent: read by `readTokens`. */
export interface SentCounts {
  input?: Json;
  output?: Json;
  total?: Json;
  input_uncached?: Json;
  cache_read?: Json;
  cache_write?: Json;
  cache_write_5m?: Json;
  cache_write_1h?: Json;
  tool_input?: Json;
  reasoning?: Json;
  input_audio?: Json;
  output_audio?: Json;
  input_image?: Json;
  output_image?: Json;
  web_search?: Json;
  /** Whether `input` holds the cached tokens; absent leaves it to the dialect and to arithmetic. */
  input_includes_cache?: boolean;
  /** Whether `output` holds the reasoning tokens. */
  output_includes_reasoning?: boolean;
  /** How the counts had to be understood, where they are not plain: they are derived then. */
  note?: string;
  /** The counts are the client's own guess, as the note says. */
  is_estimate?: boolean;
}

/** What a payload says beyond the attributes. Texts are as sent; absent is unknown. */
export interface PayloadFacts {
  /** Replaces the counts of the attributes when it has an input or an output. */
  counts?: SentCounts;
  /** Only completes what the attributes say: emitted beside them by the same hand. */
  completes?: boolean;
  provider?: Json;
  /** Whose client made the call: the provider where neither anybody nor the model names one. */
  client_of?: Json;
  request_model?: Json;
  response_model?: Json;
  response_id?: Json;
  finish_reason?: Json;
  service_tier?: Json;
  region?: Json;
  streaming?: Json;
  user_id?: Json;
  session_id?: Json;
  agent_name?: Json;
  client_cost_usd?: Json;
  fee_units?: readonly FeeUnits[];
  operation?: Json;
}

/** Which attribute holds a payload and how it is read. */
export interface PayloadReader {
  readonly keys: Slots;
  /** Not read on a span that sums calls up: there it is the payload of the last call alone. */
  readonly of_calls_only?: boolean;
  /** Names the MIME type of the text: only what says it is JSON is read, not a model's own words. */
  readonly mime?: Slots;
  readonly read: (payload: Json) => PayloadFacts | undefined;
}

/** The value of a text attribute as JSON; undefined when it is none or too long. */
export function parsePayload(value: PresentValue | undefined): Json {
  if (typeof value !== "string" || value.length > MAX_PAYLOAD_LENGTH) return undefined;
  const first = value.charCodeAt(0);
  // An object, a list or a quoted text: plain answers of a model are not tried.
  if (first !== 0x7b && first !== 0x5b && first !== 0x22) return undefined;
  try {
    return JSON.parse(value) as Json;
  } catch {
    return undefined;
  }
}

/** The value at a path of own names and list positions; undefined when there is none. */
export function at(payload: Json, ...path: readonly (string | number)[]): Json {
  let value = payload;
  for (const name of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) {
      return undefined;
    }
    value = (value as Record<string | number, Json>)[name];
  }
  return value ?? undefined;
}

/** The first value that is there. */
export function firstOf(...values: readonly Json[]): Json {
  return values.find((value) => value !== undefined && value !== null);
}

/** Whether the payload is an object, not a list. */
export function isObject(payload: Json): payload is object {
  return typeof payload === "object" && payload !== null && !Array.isArray(payload);
}
