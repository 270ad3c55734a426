/**
 * What a dialect is: data that says how one family of emitters spells a model call. A new emitter
 * is a new file with a `Dialect` and a line in `index.ts`; no code changes.
 */
import type { Scope, SpanClass } from "../../schemas/span.ts";
import { registerKeys, type SlotValues } from "./slots.ts";

/** Text fields of a call that come straight from one attribute. */
export interface FieldKeys {
  readonly operation: readonly number[];
  readonly provider: readonly number[];
  readonly request_model: readonly number[];
  readonly response_model: readonly number[];
  readonly response_id: readonly number[];
  readonly finish_reason: readonly number[];
  readonly service_tier: readonly number[];
  readonly streaming: readonly number[];
  readonly error_type: readonly number[];
  readonly http_status: readonly number[];
  readonly ttft_s: readonly number[];
  readonly user_id: readonly number[];
  readonly session_id: readonly number[];
  readonly agent_name: readonly number[];
  readonly client_cost_usd: readonly number[];
}

/** Token counts as emitters send them: totals with parts inside. */
export interface UsageKeys {
  readonly input: readonly number[];
  readonly output: readonly number[];
  readonly cache_read: readonly number[];
  readonly cache_write: readonly number[];
  readonly cache_write_5m: readonly number[];
  readonly cache_write_1h: readonly number[];
  readonly reasoning: readonly number[];
  readonly input_audio: readonly number[];
  readonly output_audio: readonly number[];
  readonly input_image: readonly number[];
  readonly output_image: readonly number[];
}

export interface Dialect {
  readonly name: string;
  /** Whether the dialect speaks for this span; the first one in the list that does is taken. */
  readonly matches: (scope: Scope, values: SlotValues) => boolean;
  readonly fields: FieldKeys;
  readonly usage: UsageKeys;
  /** Class by operation name; see classify.ts for operations that are not listed. */
  readonly operations: ReadonlyMap<string, SpanClass>;
  /**
   * The emitter never says how much of the input came from a cache, so its input cannot be split:
   * the row is `estimated`. Names the providers it is true of; empty for an emitter that does say.
   */
  readonly hides_cache_of: ReadonlySet<string>;
}

/** A dialect that differs from another in some keys, which are then tried first. */
export function extendKeys<T extends object>(
  base: T,
  extra: Partial<Record<keyof T, string[]>>,
): T {
  const result = { ...base } as Record<keyof T, readonly number[]>;
  for (const field of Object.keys(extra) as (keyof T)[]) {
    const slots = registerKeys(...(extra[field] ?? []));
    result[field] = [...slots, ...result[field]];
  }
  return result as T;
}
