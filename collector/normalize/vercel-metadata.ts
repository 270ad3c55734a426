/**
 * `ai.response.providerMetadata` of the Vercel AI SDK: what each provider package tells beyond the
 * SDK's own usage, under a name that the application may choose (dialects.md section 6).
 *
 * Invariant: whole usage objects are the provider's own and replace the attributes; single counts
 * only complete them, since what `input` includes differs between the SDK's versions.
 */
import type { FeeUnits } from "../../schemas/span.ts";
import { at, firstOf, isObject, type Json, type PayloadFacts, type SentCounts } from "./payload.ts";
import { readUsageObject, writtenFor } from "./provider-usage.ts";

/** Most providers in one metadata object that are looked at: the model's, a gateway's, spare. */
const MAX_PROVIDERS = 8;

/** OpenRouter's package renames the usage it received, and writes zeros where it received none. */
function readOpenRouter(usage: Json): SentCounts | undefined {
  const input = at(usage, "promptTokens");
  if (input === undefined || at(usage, "totalTokens") === 0) return undefined;
  return {
    input,
    output: at(usage, "completionTokens"),
    total: at(usage, "totalTokens"),
    cache_read: at(usage, "promptTokensDetails", "cachedTokens"),
    cache_write: at(usage, "promptTokensDetails", "cacheWriteTokens"),
    reasoning: at(usage, "completionTokensDetails", "reasoningTokens"),
    input_includes_cache: true,
  };
}

/** The usage as the provider sent it: Anthropic from v5 on, Gemini from v5 on, OpenRouter. */
function readWhole(entry: Json): SentCounts | undefined {
  return (
    readUsageObject(at(entry, "usageMetadata")) ??
    readUsageObject(at(entry, "usage")) ??
    readOpenRouter(at(entry, "usage"))
  );
}

/** Single counts: OpenAI and its compatibles in v4, Anthropic in v4, Bedrock, DeepSeek. */
function readParts(entry: Json): SentCounts | undefined {
  const usage = at(entry, "usage");
  const details = at(usage, "cacheDetails");
  const read_apart = firstOf(at(entry, "cacheReadInputTokens"), at(usage, "cacheReadInputTokens"));
  const counts: SentCounts = {
    cache_read: firstOf(
      read_apart,
      at(entry, "cachedPromptTokens"),
      at(entry, "promptCacheHitTokens"),
    ),
    cache_write: firstOf(at(entry, "cacheCreationInputTokens"), at(usage, "cacheWriteInputTokens")),
    cache_write_5m: writtenFor(details, "5m"),
    cache_write_1h: writtenFor(details, "1h"),
    reasoning: at(entry, "reasoningTokens"),
  };
  if (Object.values(counts).every((count) => count === undefined)) return undefined;
  // Packages that name cache reads here took the input as the provider counts it, without them;
  // those that give the lifetimes (Bedrock's for v6) add the cache to the input.
  if (read_apart !== undefined) counts.input_includes_cache = false;
  else if (details !== undefined) counts.input_includes_cache = true;
  return counts;
}

/** Gemini bills an answer that it grounded in a search, by the prompt. */
function readFees(entry: Json): readonly FeeUnits[] {
  const queries = at(entry, "groundingMetadata", "webSearchQueries");
  return Array.isArray(queries) && queries.length > 0 ? [{ kind: "grounding", count: 1 }] : [];
}

/** The first entry's word for something. */
function find(entries: readonly Json[], read: (entry: Json) => Json): Json {
  return firstOf(...entries.map(read));
}

/** What the metadata of one call tells; undefined when it is no object. */
export function readProviderMetadata(metadata: Json): PayloadFacts | undefined {
  if (!isObject(metadata)) return undefined;
  const entries = (Object.values(metadata) as Json[]).slice(0, MAX_PROVIDERS).filter(isObject);
  const whole = find(entries, readWhole) as SentCounts | undefined;
  const parts = whole ?? (find(entries, readParts) as SentCounts | undefined);
  return {
    ...(parts === undefined ? {} : { counts: parts }),
    completes: whole === undefined,
    provider: at(metadata, "gateway", "routing", "finalProvider"),
    response_id: find(entries, (entry) => at(entry, "responseId")),
    service_tier: find(entries, (entry) =>
      firstOf(
        at(entry, "serviceTier", "type"),
        at(entry, "serviceTier"),
        at(entry, "usage", "service_tier"),
      ),
    ),
    region: find(entries, (entry) => at(entry, "usage", "inference_geo")),
    client_cost_usd: firstOf(
      find(entries, (entry) => at(entry, "usage", "cost")),
      at(metadata, "gateway", "cost"),
    ),
    fee_units: entries.flatMap(readFees),
  };
}
