/**
 * Langfuse's `usage_details` and `cost_details`: counts and dollars under names that whoever writes
 * them chooses (dialects.md section 7).
 *
 * Rule of Langfuse: the entries are disjoint and `total` is their sum. Invariant: each entry is
 * counted once; one whose name says nothing of input or output is not counted.
 */
import { at, isObject, type Json, type PayloadFacts, type SentCounts } from "./payload.ts";
import { readUsageObject } from "./provider-usage.ts";

/** Most entries of a usage object that are looked at. */
const MAX_ENTRIES = 100;

/** Shapes of providers, which some applications pass on as they are. */
const RAW_MARKS = [
  "prompt_tokens_details",
  "completion_tokens_details",
  "input_tokens_details",
  "output_tokens_details",
  "input_token_details",
  "output_token_details",
  "cache_creation",
  "promptTokenCount",
  "candidatesTokenCount",
  "prompt_token_count",
  "candidates_token_count",
];

/** What a name says of an entry, the first that fits; a part of the input or of the output. */
const PARTS: readonly (readonly [RegExp, Exclude<keyof SentCounts, "note">])[] = [
  [/^total/, "total"],
  [/cache.?(creation|write).*5.?m|ephemeral.?5m/, "cache_write_5m"],
  [/cache.?(creation|write).*1.?hr?|ephemeral.?1h/, "cache_write_1h"],
  [/cache.?(creation|write)/, "cache_write"],
  [/cache.?read|cached/, "cache_read"],
  [/reasoning|thought|thinking/, "reasoning"],
  [/^(input|prompt).*audio/, "input_audio"],
  [/^(output|completion).*audio/, "output_audio"],
  [/^(input|prompt).*image/, "input_image"],
  [/^(output|completion).*image/, "output_image"],
  [/tool.?use.?prompt/, "tool_input"],
  [/web.?search/, "web_search"],
  [/^(input|prompt)/, "input"],
  [/^(output|completion)/, "output"],
];

const INPUT_PARTS = ["cache_read", "cache_write", "input_audio", "input_image"] as const;
const OUTPUT_PARTS = ["reasoning", "output_audio", "output_image"] as const;

type Sums = Map<keyof SentCounts, number>;

/** The entries summed by what they are; undefined when one of them is no number. */
function sumEntries(usage: object): Sums | undefined {
  const sums: Sums = new Map();
  for (const [name, count] of Object.entries(usage).slice(0, MAX_ENTRIES) as [string, Json][]) {
    if (count === null || typeof count === "object") continue;
    if (typeof count !== "number") return undefined;
    const part = PARTS.find(([pattern]) => pattern.test(name.toLowerCase()))?.[1];
    if (part !== undefined) sums.set(part, (sums.get(part) ?? 0) + count);
  }
  return sums;
}

/** Makes the writes of the cache one sum, which lifetimes are parts of. */
function sumCacheWrites(sums: Sums): void {
  const by_lifetime = addUp(sums, ["cache_write_5m", "cache_write_1h"]);
  const others = sums.get("cache_write") ?? 0;
  if (by_lifetime > 0 && others !== by_lifetime) sums.set("cache_write", others + by_lifetime);
}

function addUp(sums: Sums, names: readonly (keyof SentCounts)[]): number {
  return names.reduce((sum, name) => sum + (sums.get(name) ?? 0), 0);
}

/** Reads a usage object; undefined when it has neither input nor output. */
export function readLangfuseUsage(usage: Json): PayloadFacts | undefined {
  if (!isObject(usage)) return undefined;
  if (RAW_MARKS.some((mark) => at(usage, mark) !== undefined)) {
    const counts = readUsageObject(usage);
    if (counts !== undefined) return { counts };
  }
  const sums = sumEntries(usage);
  if (sums === undefined) {
    const counts = readUsageObject(usage);
    return counts === undefined ? undefined : { counts };
  }
  sumCacheWrites(sums);
  const input = sums.get("input");
  const output = sums.get("output");
  const input_parts = addUp(sums, INPUT_PARTS);
  const output_parts = addUp(sums, OUTPUT_PARTS);
  const parts = input_parts + output_parts;
  // A total of just the two says that the rest are parts of them, against the rule.
  const are_parts = parts > 0 && sums.get("total") === (input ?? 0) + (output ?? 0);
  const counts: SentCounts = {
    ...Object.fromEntries(sums),
    ...(input === undefined || are_parts ? {} : { input: input + input_parts }),
    ...(output === undefined || are_parts ? {} : { output: output + output_parts }),
    input_includes_cache: true,
    output_includes_reasoning: true,
  };
  delete counts.total;
  return {
    counts: are_parts
      ? { ...counts, note: "the total sent holds the details: they are parts of the two counts" }
      : counts,
  };
}

/** What the application says the call cost: `total`, or the sum of the parts, USD. */
export function readLangfuseCost(cost: Json): PayloadFacts | undefined {
  if (!isObject(cost)) return undefined;
  const total = at(cost, "total");
  if (total !== undefined) return { client_cost_usd: total };
  const parts = Object.values(cost).filter((part) => typeof part === "number");
  if (parts.length === 0) return undefined;
  return { client_cost_usd: parts.reduce((sum, part) => sum + part, 0) };
}
