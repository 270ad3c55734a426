/**
 * From the totals an emitter sends to disjoint token classes (DESIGN section 5 rule 5;
 * dialects.md sections 1.3 to 1.6). Nothing is clamped: `max(0, input - cache)` loses real tokens
 * wherever an emitter's input excludes the cache. Absent stays null, zero stays zero.
 */
import type { UsageStatus } from "../../schemas/span.ts";
import { CLASS_INDEX, TOKEN_CLASSES, type TokenClass } from "../../schemas/tokens.ts";
import type { UsageKeys } from "./dialect.ts";
import type { SlotValues } from "./slots.ts";
import { readTokens } from "./values.ts";

type Count = number | undefined;

/** The totals as sent, each believable or absent. */
type Sent = { readonly [Name in keyof UsageKeys]: Count };

export interface Usage {
  /** In the order of TOKEN_CLASSES. */
  tokens: (number | null)[];
  status: UsageStatus;
  /** What a reader of the row has to know about the numbers; empty when they are plain. */
  notes: string[];
}

const USAGE_NAMES: readonly (keyof UsageKeys)[] = [
  "input",
  "output",
  "cache_read",
  "cache_write",
  "cache_write_5m",
  "cache_write_1h",
  "reasoning",
  "input_audio",
  "output_audio",
  "input_image",
  "output_image",
];

/** Reads and splits the usage of a span. `hides_cache`: the emitter never reports cached tokens. */
export function splitUsage(values: SlotValues, keys: UsageKeys, hides_cache: boolean): Usage {
  const usage: Usage = {
    tokens: TOKEN_CLASSES.map(() => null),
    status: "missing",
    notes: [],
  };
  const sent = readSent(values, keys, usage);
  if (!USAGE_NAMES.some((name) => sent[name] !== undefined)) return usage;
  // Where one count is no count, the others are not the whole of the call.
  usage.status = usage.notes.length === 0 ? "reported" : "estimated";
  splitInput(sent, usage);
  splitOutput(sent, usage);
  if (hides_cache && sent.cache_read === undefined && (sent.input ?? 0) > 0) {
    usage.status = "estimated";
    usage.notes.push("this instrumentation hides cached tokens: all input is taken as uncached");
  }
  return usage;
}

function readSent(values: SlotValues, keys: UsageKeys, usage: Usage): Sent {
  const sent: { -readonly [Name in keyof Sent]: Count } = {
    input: undefined,
    output: undefined,
    cache_read: undefined,
    cache_write: undefined,
    cache_write_5m: undefined,
    cache_write_1h: undefined,
    reasoning: undefined,
    input_audio: undefined,
    output_audio: undefined,
    input_image: undefined,
    output_image: undefined,
  };
  for (const name of USAGE_NAMES) {
    const count = readTokens(values.first(keys[name]));
    if (count === "invalid") usage.notes.push(`the ${name} token count sent is no token count`);
    else sent[name] = count;
  }
  return sent;
}

function put(usage: Usage, name: TokenClass, count: Count): void {
  if (count !== undefined) usage.tokens[CLASS_INDEX[name]] = count;
}

function splitInput(sent: Sent, usage: Usage): void {
  const written = splitCacheWrites(sent, usage);
  put(usage, "cache_read", sent.cache_read);
  if (sent.input === undefined) {
    putInputParts(sent, usage);
    return;
  }
  let rest = sent.input - (sent.cache_read ?? 0) - written;
  if (rest < 0) {
    // More was cached than the input holds, so the input cannot include the cache.
    rest = sent.input;
    derive(usage, "input sent is less than the cached tokens: it excludes them");
  }
  const modal = (sent.input_audio ?? 0) + (sent.input_image ?? 0);
  if (modal <= rest) {
    putInputParts(sent, usage);
    put(usage, "input_uncached", rest - modal);
  } else if (modal <= sent.input) {
    // Cached and audio tokens overlap by an unknown number: kept apart they would count twice.
    put(usage, "input_uncached", rest);
    usage.status = "estimated";
    usage.notes.push("some audio or image tokens were cached: all are taken as text");
  } else {
    putInputParts(sent, usage);
    put(usage, "input_uncached", rest);
    derive(usage, "audio and image parts exceed the input sent: it excludes them");
  }
}

function putInputParts(sent: Sent, usage: Usage): void {
  put(usage, "input_audio", sent.input_audio);
  put(usage, "input_image", sent.input_image);
}

function splitOutput(sent: Sent, usage: Usage): void {
  put(usage, "output_reasoning", sent.reasoning);
  put(usage, "output_audio", sent.output_audio);
  put(usage, "output_image", sent.output_image);
  if (sent.output === undefined) return;

  let rest = sent.output - (sent.output_audio ?? 0) - (sent.output_image ?? 0);
  if (rest < 0) {
    rest = sent.output;
    derive(usage, "audio and image parts exceed the output sent: it excludes them");
  }
  const reasoning = sent.reasoning ?? 0;
  if (reasoning <= rest) {
    put(usage, "output_text", rest - reasoning);
  } else {
    put(usage, "output_text", rest);
    derive(usage, "output sent is less than its parts and the reasoning tokens: it excludes these");
  }
}

/** Marks the usage as found by arithmetic, and says by which. */
function derive(usage: Usage, note: string): void {
  if (usage.status === "reported") usage.status = "derived";
  usage.notes.push(note);
}

/** Puts the cache writes by lifetime and returns all that was written, tokens. */
function splitCacheWrites(sent: Sent, usage: Usage): number {
  const { cache_write, cache_write_5m, cache_write_1h } = sent;
  put(usage, "cache_write_5m", cache_write_5m);
  put(usage, "cache_write_1h", cache_write_1h);
  const known = (cache_write_5m ?? 0) + (cache_write_1h ?? 0);
  if (cache_write === undefined) return known;
  if (known > cache_write) {
    derive(usage, "cache writes by lifetime exceed their total: the lifetimes are taken");
    return known;
  }
  put(usage, "cache_write", cache_write - known);
  return cache_write;
}
