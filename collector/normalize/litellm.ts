/**
 * LiteLLM, library and proxy (dialects.md section 11): on a span of its own or, by default behind a
 * traced server, on the span of the caller.
 *
 * Invariant: input holds the cached tokens for every provider, but no attribute tells how many; only
 * the JSON of the hidden parameters may.
 */
import { type Dialect, extendKeys, kindsOf, ORDINARY } from "./dialect.ts";
import { OPERATION_KINDS, OTEL_FIELDS, OTEL_USAGE } from "./otel-genai.ts";
import { at, firstOf, isObject, type Json, type PayloadFacts, type SentCounts } from "./payload.ts";
import { registerKeys } from "./slots.ts";

/** LiteLLM's call types: the operation, and `llm.request.type` where content is not logged. */
const CALL_TYPES = kindsOf([
  ["billable", "chat", "completion acompletion responses aresponses"],
  ["billable", "chat", "anthropic_messages aanthropic_messages"],
  ["billable", "generate_content", "generate_content agenerate_content"],
  ["billable", "generate_content", "generate_content_stream agenerate_content_stream"],
  ["billable", "text_completion", "text_completion atext_completion"],
  ["billable", "embeddings", "embedding aembedding"],
  ["billable", "rerank", "rerank arerank"],
  ["billable", "", "image_generation aimage_generation image_edit aimage_edit"],
  ["billable", "", "transcription atranscription speech aspeech moderation amoderation"],
  ["billable", "", "pass_through_endpoint llm_passthrough_route allm_passthrough_route"],
  ["tool", "execute_tool", "call_mcp_tool"],
  ["structure", "", "list_mcp_tools aretrieve_batch retrieve_batch acreate_batch create_batch"],
]);

/** Written by LiteLLM alone, on whatever span was there. */
const MARKS = registerKeys("hidden_params", "metadata.user_api_key_hash", "gen_ai.cost.total_cost");

/** The answer's usage in LiteLLM's own shape: OpenAI's names, with Anthropic's for the cache. */
function readUsage(usage: Json): SentCounts {
  const input = at(usage, "prompt_tokens_details");
  const output = at(usage, "completion_tokens_details");
  const written = at(input, "cache_creation_token_details");
  return {
    input: at(usage, "prompt_tokens"),
    output: at(usage, "completion_tokens"),
    total: at(usage, "total_tokens"),
    cache_read: firstOf(at(input, "cached_tokens"), at(usage, "cache_read_input_tokens")),
    cache_write: firstOf(
      at(input, "cache_creation_tokens"),
      at(usage, "cache_creation_input_tokens"),
    ),
    cache_write_5m: at(written, "ephemeral_5m_input_tokens"),
    cache_write_1h: at(written, "ephemeral_1h_input_tokens"),
    reasoning: at(output, "reasoning_tokens"),
    input_audio: at(input, "audio_tokens"),
    output_audio: at(output, "audio_tokens"),
  };
}

/** What LiteLLM keeps of the answer beside it; newer versions keep its usage there too. */
function readHiddenParams(params: Json): PayloadFacts {
  const usage = at(params, "usage_object");
  return {
    ...(isObject(usage) ? { counts: readUsage(usage), completes: true } : {}),
    client_cost_usd: at(params, "response_cost"),
  };
}

export const LITELLM: Dialect = {
  ...ORDINARY,
  name: "litellm",
  matches: (scope, values) => scope.name === "litellm" || values.has(MARKS),
  fields: extendKeys(OTEL_FIELDS, {
    streaming: ["llm.is_streaming"],
    user_id: [
      "user.id",
      "enduser.id",
      "gen_ai.user",
      "llm.user",
      "metadata.user_api_key_end_user_id",
      "metadata.user_api_key_user_id",
    ],
    session_id: ["gen_ai.conversation.id", "session.id", "metadata.session_id"],
    client_cost_usd: ["gen_ai.cost.total_cost"],
  }),
  usage: OTEL_USAGE,
  kinds: [
    { keys: OTEL_FIELDS.operation, kinds: CALL_TYPES },
    OPERATION_KINDS,
    { keys: registerKeys("llm.request.type"), kinds: CALL_TYPES },
  ],
  payloads: [{ keys: registerKeys("hidden_params"), read: readHiddenParams }],
  hides_cache_of: "all",
};
