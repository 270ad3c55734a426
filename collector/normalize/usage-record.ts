/**
 * The two records between which usage is split: the counts of a call as sent, and what it used. Each is
 * made once and reused from call to call where spans never become objects.
 *
 * Invariant: a record that was reset says nothing of the call before.
 */
import type { UsageStatus } from "../../schemas/span.ts";
import { TOKEN_CLASSES } from "../../schemas/tokens.ts";
import type { UsageKeys } from "./dialect.ts";

/** A number of tokens; undefined is absent, which is not zero. */
export type Count = number | undefined;

/** A count that an emitter may send. */
export type UsageName = keyof UsageKeys;

/**
 * The totals of one call as sent, each believable or absent, with what else is known of them. A record
 * is made once, reset and filled for each call, and changed by `splitCounts`.
 */
export type Sent = Record<UsageName, Count> & {
  /** Whether `input` holds the cached tokens; undefined leaves it to the rules and to arithmetic. */
  input_includes_cache: boolean | undefined;
  /** Whether `output` holds the reasoning tokens. */
  output_includes_reasoning: boolean | undefined;
  /** Bit i is set where what was sent as USAGE_NAMES[i] is no count. */
  broken_mask: number;
  /** The counts are the provider's own and all of them: the emitter kept nothing back. */
  is_whole: boolean;
  /** The counts are the client's own guess. */
  is_estimate: boolean;
  /** How the counts had to be understood; undefined where they are plain. */
  note: string | undefined;
  /** Why the counts are the emitter's own guess: the answer of `estimate` of its dialect. */
  doubt: string | undefined;
  /** Whether the call ended in an error: then it may have taken nothing, or a prompt alone. */
  has_failed: boolean;
};

/** What a call used. */
export interface Usage {
  /** In the order of TOKEN_CLASSES. */
  tokens: (number | null)[];
  status: UsageStatus;
  /** Web searches billed by the piece; 0 when none are known of. */
  web_searches: number;
  /** What a reader of the row has to know about the numbers; empty when they are plain. */
  notes: string[];
}

/** Every count that is read, in the order in which broken ones are noted. Fewer than 32: see `Sent`. */
export const USAGE_NAMES: readonly UsageName[] = [
  "input",
  "output",
  "total",
  "input_uncached",
  "cache_read",
  "cache_write",
  "cache_write_5m",
  "cache_write_1h",
  "tool_input",
  "reasoning",
  "input_audio",
  "output_audio",
  "input_image",
  "output_image",
  "web_search",
];

/** Counts that say what was used; a total or a number of searches alone does not. */
export const TOKEN_NAMES: readonly UsageName[] = USAGE_NAMES.filter(
  (name) => name !== "total" && name !== "web_search",
);

/** A record without counts. */
export function makeSent(): Sent {
  const sent = {} as Sent;
  resetSent(sent);
  return sent;
}

/** Empties a record for the next call. */
export function resetSent(sent: Sent): void {
  sent.input = undefined;
  sent.output = undefined;
  sent.total = undefined;
  sent.input_uncached = undefined;
  sent.cache_read = undefined;
  sent.cache_write = undefined;
  sent.cache_write_5m = undefined;
  sent.cache_write_1h = undefined;
  sent.tool_input = undefined;
  sent.reasoning = undefined;
  sent.input_audio = undefined;
  sent.output_audio = undefined;
  sent.input_image = undefined;
  sent.output_image = undefined;
  sent.web_search = undefined;
  sent.input_includes_cache = undefined;
  sent.output_includes_reasoning = undefined;
  sent.broken_mask = 0;
  sent.is_whole = false;
  sent.is_estimate = false;
  sent.note = undefined;
  sent.doubt = undefined;
  sent.has_failed = false;
}

/** Puts what `readTokens` made of the value sent as USAGE_NAMES[index] into the record. */
export function putCount(sent: Sent, index: number, count: Count | "invalid"): void {
  if (count === "invalid") sent.broken_mask |= 1 << index;
  else sent[USAGE_NAMES[index] as UsageName] = count;
}

/** A usage of nothing. */
export function makeUsage(): Usage {
  return { tokens: TOKEN_CLASSES.map(() => null), status: "missing", web_searches: 0, notes: [] };
}

/** Empties a usage for the next call. */
export function resetUsage(usage: Usage): void {
  const { tokens, notes } = usage;
  for (let index = 0; index < TOKEN_CLASSES.length; index += 1) tokens[index] = null;
  usage.status = "missing";
  // Setting a length is slow, and most calls have no notes.
  if (notes.length > 0) notes.length = 0;
}
