/**
 * What a model run of LangChain gave back, as OpenInference and LangSmith put it into an attribute,
 * and the `ls_` names of its metadata (dialects.md sections 1.7, 4 and 8).
 *
 * Invariant: an id that LangChain made itself (`run-…`, or a bare UUID on the message) is no
 * response id: it would hide that two spans are one call.
 */
import { at, firstOf, isObject, type Json, type PayloadFacts, type SentCounts } from "./payload.ts";
import { readProviderAnswer, readUsageObject, tierOfDetails } from "./provider-usage.ts";

/** Ids of answers by the APIs that most use. */
const RESPONSE_ID = /^(?:resp_|chatcmpl-|msg_)/;

/** Ids of LangChain's own runs, and those that LangGraph gives to messages that have none. */
const RUN_ID = /^(?:lc_)?run-/;
const UUID = /^[\da-f]{8}-(?:[\da-f]{4}-){3}[\da-f]{12}$/i;

/** The parts of a run's answer. */
interface Parts {
  /** The message: its own fields, whatever they are wrapped in. */
  readonly message: Json;
  /** What the integration kept of the provider's answer. */
  readonly metadata: Json;
  readonly generation: Json;
  /** What it kept for the whole run. */
  readonly run: Json;
}

function partsOf(answer: Json): Parts | undefined {
  const generation = firstOf(at(answer, "generations", 0, 0), at(answer, "generations", 0));
  if (!isObject(generation)) return undefined;
  const message = at(generation, "message");
  const fields = firstOf(at(message, "kwargs"), message);
  return {
    message: fields,
    metadata: at(fields, "response_metadata"),
    generation: firstOf(at(generation, "generationInfo"), at(generation, "generation_info")),
    run: firstOf(at(answer, "llmOutput"), at(answer, "llm_output")),
  };
}

/** The usage as the provider sent it, of the places where integrations keep it. */
function readRawUsage(parts: Parts): SentCounts | undefined {
  const { metadata, generation, run } = parts;
  const places = [
    at(metadata, "usage"),
    at(metadata, "token_usage"),
    at(metadata, "usageMetadata"),
    at(metadata, "usage_metadata"),
    at(generation, "usage_metadata"),
    at(run, "usage"),
    at(run, "token_usage"),
  ];
  for (const place of places) {
    const counts = readUsageObject(place);
    if (counts !== undefined) return counts;
  }
  return undefined;
}

/** LangChain's own three totals; where a provider sends none in a stream it makes them up. */
function readTotals({ metadata, run }: Parts): SentCounts | undefined {
  const sent = firstOf(at(run, "tokenUsage"), at(metadata, "tokenUsage"));
  const is_estimate = at(sent, "promptTokens") === undefined;
  const totals = is_estimate ? at(run, "estimatedTokenUsage") : sent;
  const input = at(totals, "promptTokens");
  const output = at(totals, "completionTokens");
  if (input === undefined && output === undefined) return undefined;
  const counts: SentCounts = { input, output, total: at(totals, "totalTokens") };
  return is_estimate
    ? { ...counts, is_estimate, note: "LangChain counted the tokens itself" }
    : counts;
}

function numberOf(count: Json): number {
  return typeof count === "number" ? count : 0;
}

/** All of the input, cached tokens among it. */
function inputOf(counts: SentCounts): number {
  const cached = numberOf(counts.cache_read) + numberOf(counts.cache_write);
  return numberOf(counts.input) + (counts.input_includes_cache === false ? cached : 0);
}

/**
 * The provider's own counts where LangChain's agree with them: they know more (lifetimes of cache
 * writes). Where they differ LangChain's are taken: it adds up the parts of a stream, while of the
 * raw ones it keeps a part.
 */
function readCounts(parts: Parts): SentCounts | undefined {
  const raw = readRawUsage(parts);
  const summed = readUsageObject(at(parts.message, "usage_metadata"));
  if (summed === undefined || raw === undefined) return summed ?? raw ?? readTotals(parts);
  const agrees = inputOf(raw) === inputOf(summed) && raw.output === summed.output;
  return agrees ? raw : { ...summed, ...readLifetimes(parts, summed) };
}

/** Of a stream only the raw usage keeps how long the cache writes live, where it tells of all. */
function readLifetimes({ metadata }: Parts, summed: SentCounts): SentCounts {
  const written = at(metadata, "usage", "cache_creation");
  const cache_write_5m = at(written, "ephemeral_5m_input_tokens");
  const cache_write_1h = at(written, "ephemeral_1h_input_tokens");
  const total = numberOf(cache_write_5m) + numberOf(cache_write_1h);
  return total > 0 && total === summed.cache_write ? { cache_write_5m, cache_write_1h } : {};
}

/** Anthropic's stream counts some output in its first event, which LangChain adds to the last. */
function noteStream(counts: SentCounts, provider: Json): SentCounts {
  if (provider !== "anthropic") return counts;
  return {
    ...counts,
    is_estimate: true,
    note: "LangChain counts the first tokens of a stream twice",
  };
}

function isProviderId(id: Json): boolean {
  return typeof id === "string" && id !== "" && !RUN_ID.test(id);
}

function readResponseId({ message, metadata, run }: Parts): Json {
  const kept = [at(metadata, "id"), at(run, "id")].find(isProviderId);
  if (kept !== undefined) return kept;
  const id = at(message, "id");
  return isProviderId(id) && !UUID.test(id as string) ? id : undefined;
}

/** Why the model stopped; the Responses API has a status instead, and says nothing of tools. */
function readFinishReason({ message, metadata, generation }: Parts): Json {
  const calls = at(message, "tool_calls");
  const status = at(metadata, "status");
  const called_tools = status === "completed" && Array.isArray(calls) && calls.length > 0;
  return firstOf(
    at(metadata, "finish_reason"),
    at(metadata, "stop_reason"),
    at(metadata, "finishReason"),
    at(metadata, "stopReason"),
    // Of a stream of Anthropic's.
    at(message, "additional_kwargs", "stop_reason"),
    at(generation, "finish_reason"),
    at(generation, "finishReason"),
    at(metadata, "incomplete_details", "reason"),
    called_tools ? "tool_calls" : status,
  );
}

/** Only what came in pieces is made of chunks: what the request said of streaming is overruled. */
function isStreamed(answer: Json, message: Json): boolean {
  const names = firstOf(
    at(answer, "generations", 0, 0, "message", "id"),
    at(answer, "generations", 0, "message", "id"),
  );
  const name = Array.isArray(names) ? (names.at(-1) as Json) : at(message, "type");
  return name === "AIMessageChunk";
}

/** The answer of a model run; undefined when the payload is none. */
function readLangChainAnswer(answer: Json): PayloadFacts | undefined {
  const parts = partsOf(answer);
  if (parts === undefined) return undefined;
  const { message, metadata, generation, run } = parts;
  const sent = readCounts(parts);
  const is_streamed = isStreamed(answer, message);
  const counts =
    is_streamed && sent !== undefined ? noteStream(sent, at(metadata, "model_provider")) : sent;
  return {
    ...(counts === undefined ? {} : { counts }),
    ...(is_streamed ? { streaming: true } : {}),
    provider: at(metadata, "model_provider"),
    response_id: readResponseId(parts),
    response_model: firstOf(
      at(metadata, "model_name"),
      at(metadata, "model"),
      at(message, "additional_kwargs", "model"),
      at(generation, "model_name"),
      at(run, "model_name"),
      at(run, "model"),
    ),
    finish_reason: readFinishReason(parts),
    service_tier: firstOf(
      at(metadata, "service_tier"),
      at(metadata, "usage", "service_tier"),
      at(generation, "service_tier"),
      tierOfDetails(at(message, "usage_metadata")),
    ),
  };
}

/**
 * The answer of LangChain, or of a provider. One without usage has to have an id that can be a
 * provider's: a model that was asked for JSON also writes objects with an id.
 */
export function readAnswer(sent: Json): PayloadFacts | undefined {
  // openai-agents lists the answers of a chat completion, of which there is one.
  const answer: Json = Array.isArray(sent) && sent.length === 1 ? sent[0] : sent;
  const facts = readLangChainAnswer(answer) ?? readProviderAnswer(answer);
  if (facts === undefined || facts.counts !== undefined) return facts;
  const id = facts.response_id;
  return typeof id === "string" && RESPONSE_ID.test(id) ? facts : undefined;
}

/** Whose call it is, by the names that applications give to LangChain's and Mastra's metadata. */
export function readRunMetadata(metadata: Json): PayloadFacts | undefined {
  if (!isObject(metadata)) return undefined;
  return {
    provider: at(metadata, "ls_provider"),
    request_model: at(metadata, "ls_model_name"),
    session_id: firstOf(
      at(metadata, "session_id"),
      at(metadata, "sessionId"),
      at(metadata, "thread_id"),
      at(metadata, "threadId"),
      at(metadata, "conversation_id"),
    ),
    user_id: firstOf(at(metadata, "user_id"), at(metadata, "userId")),
  };
}

/**
 * The parameters of a request, as most instrumentations write them down. With an id they are those
 * of the answer: openai-agents lists them in their place.
 */
export function readRequest(request: Json): PayloadFacts | undefined {
  if (!isObject(request)) return undefined;
  const tier = at(request, "service_tier");
  const id = at(request, "id");
  const model = firstOf(at(request, "model"), at(request, "model_name"));
  const is_answer = typeof id === "string" && RESPONSE_ID.test(id);
  return {
    ...(is_answer ? { response_id: id, response_model: model } : { request_model: model }),
    // "auto" leaves the tier to the provider, which then has to say it.
    ...(tier === "auto" ? {} : { service_tier: tier }),
    streaming: at(request, "stream"),
    user_id: firstOf(at(request, "user"), at(request, "metadata", "user_id")),
  };
}
