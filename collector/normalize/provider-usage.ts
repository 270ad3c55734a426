/**
 * The usage objects of providers' own APIs, told apart by their names: what a provider says of its
 * own call beats every attribute made from it (dialects.md section 1.3 (1); the shapes are those of
 * the API references, as `@pydantic/genai-prices` documents them).
 *
 * Invariant: a shape is recognised by names that only it has; what is ambiguous stays ambiguous and
 * is left to the dialect and to arithmetic.
 */
import type { FeeKind, FeeUnits } from "../../schemas/span.ts";
import { at, firstOf, isObject, type Json, type PayloadFacts, type SentCounts } from "./payload.ts";

/** Most output items of an answer that are searched for paid tools. */
const MAX_OUTPUT_ITEMS = 1_000;

/** Anthropic Messages, also through Bedrock's InvokeModel and Vertex: input leaves the cache out. */
function readAnthropic(usage: Json): SentCounts | undefined {
  const marks = ["cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation"];
  if (!marks.some((name) => at(usage, name) !== undefined)) return undefined;
  // LiteLLM adds the same names to OpenAI's, whose totals hold them.
  if (at(usage, "prompt_tokens") !== undefined) return undefined;
  return {
    input: at(usage, "input_tokens"),
    output: at(usage, "output_tokens"),
    cache_read: at(usage, "cache_read_input_tokens"),
    cache_write: at(usage, "cache_creation_input_tokens"),
    cache_write_5m: at(usage, "cache_creation", "ephemeral_5m_input_tokens"),
    cache_write_1h: at(usage, "cache_creation", "ephemeral_1h_input_tokens"),
    web_search: at(usage, "server_tool_use", "web_search_requests"),
    input_includes_cache: false,
    output_includes_reasoning: true,
  };
}

/** OpenAI Responses, and the images API: input and output hold all of their parts. */
function readResponses(usage: Json): SentCounts | undefined {
  if (at(usage, "input_tokens") === undefined && at(usage, "output_tokens") === undefined) {
    return undefined;
  }
  const input = at(usage, "input_tokens_details");
  const output = at(usage, "output_tokens_details");
  const is_certain = input !== undefined || output !== undefined;
  return {
    input: at(usage, "input_tokens"),
    output: at(usage, "output_tokens"),
    total: at(usage, "total_tokens"),
    cache_read: at(input, "cached_tokens"),
    cache_write: at(input, "cache_write_tokens"),
    reasoning: at(output, "reasoning_tokens"),
    input_audio: at(input, "audio_tokens"),
    output_audio: at(output, "audio_tokens"),
    input_image: at(input, "image_tokens"),
    output_image: at(output, "image_tokens"),
    ...(is_certain ? { input_includes_cache: true, output_includes_reasoning: true } : {}),
  };
}

/**
 * OpenAI Chat Completions and embeddings, and the many that speak it. Whether output holds the
 * reasoning is left open: xAI's does not, and its total tells.
 */
function readCompletions(usage: Json): SentCounts | undefined {
  if (at(usage, "prompt_tokens") === undefined && at(usage, "completion_tokens") === undefined) {
    return undefined;
  }
  const input = at(usage, "prompt_tokens_details");
  const output = at(usage, "completion_tokens_details");
  return {
    input: at(usage, "prompt_tokens"),
    output: at(usage, "completion_tokens"),
    total: at(usage, "total_tokens"),
    // LiteLLM's names beside OpenAI's, then DeepSeek's own.
    cache_read: firstOf(
      at(input, "cached_tokens"),
      at(usage, "cache_read_input_tokens"),
      at(usage, "prompt_cache_hit_tokens"),
    ),
    cache_write: firstOf(
      at(input, "cache_write_tokens"),
      at(input, "cache_creation_tokens"),
      at(usage, "cache_creation_input_tokens"),
    ),
    reasoning: at(output, "reasoning_tokens"),
    input_audio: at(input, "audio_tokens"),
    output_audio: at(output, "audio_tokens"),
    input_image: at(input, "image_tokens"),
    output_image: at(output, "image_tokens"),
    input_includes_cache: true,
  };
}

/** The tokens of one modality in Gemini's lists of details. */
function countOf(details: Json, modality: string): Json {
  if (!Array.isArray(details)) return undefined;
  const found = details.find((entry) => at(entry, "modality") === modality) as Json;
  return firstOf(at(found, "tokenCount"), at(found, "token_count"));
}

/** Gemini: candidates leave out thoughts, and results of tools stand beside the prompt. */
function readGemini(usage: Json): SentCounts | undefined {
  const input = firstOf(at(usage, "promptTokenCount"), at(usage, "prompt_token_count"));
  const output = firstOf(at(usage, "candidatesTokenCount"), at(usage, "candidates_token_count"));
  if (input === undefined && output === undefined) return undefined;
  const parts = firstOf(at(usage, "promptTokensDetails"), at(usage, "prompt_tokens_details"));
  const made = firstOf(
    at(usage, "candidatesTokensDetails"),
    at(usage, "candidates_tokens_details"),
  );
  return {
    input,
    output,
    total: firstOf(at(usage, "totalTokenCount"), at(usage, "total_token_count")),
    cache_read: firstOf(
      at(usage, "cachedContentTokenCount"),
      at(usage, "cached_content_token_count"),
    ),
    tool_input: firstOf(
      at(usage, "toolUsePromptTokenCount"),
      at(usage, "tool_use_prompt_token_count"),
    ),
    reasoning: firstOf(at(usage, "thoughtsTokenCount"), at(usage, "thoughts_token_count")),
    input_audio: countOf(parts, "AUDIO"),
    input_image: countOf(parts, "IMAGE"),
    output_audio: countOf(made, "AUDIO"),
    output_image: countOf(made, "IMAGE"),
    input_includes_cache: true,
    // Some backends fold them in, which the total tells (dialects.md section 1.4).
    output_includes_reasoning: false,
  };
}

/** Amazon Bedrock Converse: input leaves the cache out. */
function readConverse(usage: Json): SentCounts | undefined {
  const marks = ["cacheReadInputTokens", "cacheWriteInputTokens", "cacheDetails"];
  if (at(usage, "inputTokens") === undefined) return undefined;
  const is_certain = marks.some((name) => at(usage, name) !== undefined);
  const details = at(usage, "cacheDetails");
  return {
    input: at(usage, "inputTokens"),
    output: at(usage, "outputTokens"),
    total: at(usage, "totalTokens"),
    cache_read: at(usage, "cacheReadInputTokens"),
    cache_write: at(usage, "cacheWriteInputTokens"),
    cache_write_5m: writtenFor(details, "5m"),
    cache_write_1h: writtenFor(details, "1h"),
    ...(is_certain ? { input_includes_cache: false } : {}),
    output_includes_reasoning: true,
  };
}

/** Tokens written to the cache for a lifetime ("5m", "1h"), in Bedrock's list of details. */
export function writtenFor(details: Json, ttl: string): Json {
  if (!Array.isArray(details)) return undefined;
  return at(
    details.find((entry) => at(entry, "ttl") === ttl),
    "inputTokens",
  );
}

/** Tiers that LangChain puts before the names of details: `flex_cache_read`, `priority_reasoning`. */
const DETAIL_TIERS = ["priority", "flex", "batch", "scale"];

/** A detail by its name, or by its name behind a tier. */
function detailOf(details: Json, name: string): Json {
  const tiered = DETAIL_TIERS.map((tier) => at(details, `${tier}_${name}`));
  return firstOf(...tiered, at(details, name));
}

/** The tier that the details of LangChain's usage are named after; undefined for the usual one. */
export function tierOfDetails(usage: Json): string | undefined {
  const details = [at(usage, "input_token_details"), at(usage, "output_token_details")];
  return DETAIL_TIERS.find((tier) => details.some((detail) => at(detail, tier) !== undefined));
}

/** Whether LangChain's total holds the cached tokens beside the input, as through Bedrock. */
function isBesideInput(usage: Json, cached: readonly Json[]): boolean {
  const counts = [at(usage, "input_tokens"), at(usage, "output_tokens"), ...cached].map((count) =>
    typeof count === "number" ? count : 0,
  );
  const sum = counts.reduce((total, count) => total + count, 0);
  return cached.some((count) => count !== undefined && count !== 0)
    ? at(usage, "total_tokens") === sum
    : false;
}

/** LangChain's `usage_metadata`: totals with details, whatever the provider. */
export function readLangChain(usage: Json): SentCounts | undefined {
  const input = at(usage, "input_token_details");
  const output = at(usage, "output_token_details");
  if (input === undefined && output === undefined) return undefined;
  const cache_read = detailOf(input, "cache_read");
  const cache_write = detailOf(input, "cache_creation");
  return {
    input: at(usage, "input_tokens"),
    output: at(usage, "output_tokens"),
    total: at(usage, "total_tokens"),
    cache_read,
    cache_write,
    cache_write_5m: at(input, "ephemeral_5m_input_tokens"),
    cache_write_1h: firstOf(
      at(input, "ephemeral_1h_input_tokens"),
      at(input, "ephemeral_1hr_input_tokens"),
    ),
    reasoning: detailOf(output, "reasoning"),
    input_audio: detailOf(input, "audio"),
    output_audio: detailOf(output, "audio"),
    input_includes_cache: !isBesideInput(usage, [cache_read, cache_write]),
    output_includes_reasoning: true,
  };
}

/** Cohere bills other counts than it consumes, and the convention wants the billed ones. */
function readCohere(usage: Json): SentCounts | undefined {
  const billed = firstOf(at(usage, "billed_units"), at(usage, "billedUnits"));
  if (!isObject(billed)) return undefined;
  return {
    input: firstOf(at(billed, "input_tokens"), at(billed, "inputTokens")),
    output: firstOf(at(billed, "output_tokens"), at(billed, "outputTokens")),
  };
}

/** Most particular first: Anthropic's and OpenAI's Responses share names, LangChain's too. */
const SHAPES: readonly ((usage: Json) => SentCounts | undefined)[] = [
  readLangChain,
  readAnthropic,
  readResponses,
  readCompletions,
  readGemini,
  readConverse,
  readCohere,
];

/** The counts of a usage object of any known API; undefined when it is none. */
export function readUsageObject(usage: Json): SentCounts | undefined {
  if (!isObject(usage)) return undefined;
  for (const shape of SHAPES) {
    const counts = shape(usage);
    if (counts !== undefined) return counts;
  }
  return undefined;
}

/** Kinds of output items of OpenAI's Responses that are billed by the piece. */
const PAID_ITEMS: ReadonlyMap<Json, FeeKind> = new Map<Json, FeeKind>([
  ["web_search_call", "web_search"],
  ["file_search_call", "file_search"],
]);

/** What an answer used of tools that the provider bills by the piece. */
function readFees(answer: Json): readonly FeeUnits[] {
  const output = at(answer, "output");
  if (!Array.isArray(output)) return [];
  const counts = new Map<FeeKind, number>();
  for (const item of output.slice(0, MAX_OUTPUT_ITEMS)) {
    const kind = PAID_ITEMS.get(at(item, "type"));
    if (kind !== undefined) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return [...counts].map(([kind, count]) => ({ kind, count }));
}

/** Why an answer of OpenAI's Responses ended: it has a status, and its items tell of tools. */
function readResponsesEnd(answer: Json): Json {
  const output = at(answer, "output");
  if (!Array.isArray(output)) return undefined;
  const status = at(answer, "status");
  const calls_tools = output
    .slice(0, MAX_OUTPUT_ITEMS)
    .some((item) => at(item, "type") === "function_call");
  const ended = status === "completed" && calls_tools ? "tool_calls" : status;
  return firstOf(at(answer, "incomplete_details", "reason"), ended);
}

/** Whether Gemini grounded the answer in a search, which it bills by the prompt. */
function isGrounded(answer: Json): boolean {
  const metadata = at(answer, "candidates", 0, "groundingMetadata");
  const queries = at(metadata, "webSearchQueries");
  return Array.isArray(queries) && queries.length > 0;
}

/**
 * A whole answer of a provider: usage, id, model, tier, why it stopped. Undefined when there is no
 * usage in it and no id.
 */
export function readProviderAnswer(answer: Json): PayloadFacts | undefined {
  if (!isObject(answer)) return undefined;
  const counts = readUsageObject(
    firstOf(
      at(answer, "usage"),
      at(answer, "usageMetadata"),
      at(answer, "usage_metadata"),
      at(answer, "meta"),
    ),
  );
  const response_id = firstOf(
    at(answer, "id"),
    at(answer, "responseId"),
    at(answer, "response_id"),
  );
  if (counts === undefined && response_id === undefined) return undefined;
  const fees = readFees(answer);
  return {
    ...(counts === undefined ? {} : { counts }),
    response_id,
    response_model: firstOf(
      at(answer, "model"),
      at(answer, "modelVersion"),
      at(answer, "model_version"),
    ),
    finish_reason: firstOf(
      at(answer, "stop_reason"),
      at(answer, "stopReason"),
      at(answer, "choices", 0, "finish_reason"),
      at(answer, "candidates", 0, "finishReason"),
      at(answer, "finishReason"),
      at(answer, "finish_reason"),
      readResponsesEnd(answer),
    ),
    service_tier: firstOf(at(answer, "service_tier"), at(answer, "usage", "service_tier")),
    region: at(answer, "usage", "inference_geo"),
    fee_units: isGrounded(answer) ? [...fees, { kind: "grounding", count: 1 }] : fees,
  };
}
