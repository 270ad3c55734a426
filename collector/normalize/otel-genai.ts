/**
 * The OpenTelemetry GenAI conventions, every generation (dialects.md section 2.1): v1.26 with
 * `prompt_tokens`, v1.28 with `input_tokens` and `gen_ai.system`, v1.37 with `gen_ai.provider.name`,
 * v1.40 with the cache attributes, and the genai repository's `cache_write` and per-modality names.
 *
 * Rule of the convention: input includes cache reads and writes, output includes reasoning.
 */
import { type Dialect, type FieldKeys, kindsOf, ORDINARY, type UsageKeys } from "./dialect.ts";
import { registerKeys } from "./slots.ts";

/** Of streamed answers alone: the first chunk of any other is its end. */
const TIME_TO_FIRST_CHUNK = registerKeys(
  "gen_ai.response.time_to_first_chunk",
  "gen_ai.client.operation.time_to_first_chunk",
  "gen_ai.client.inference.time_to_first_chunk",
);

export const OTEL_FIELDS: FieldKeys = {
  operation: registerKeys("gen_ai.operation.name"),
  provider: registerKeys("gen_ai.provider.name", "gen_ai.system"),
  request_model: registerKeys("gen_ai.request.model"),
  response_model: registerKeys("gen_ai.response.model"),
  either_model: [],
  response_id: registerKeys("gen_ai.response.id"),
  finish_reason: registerKeys("gen_ai.response.finish_reasons", "gen_ai.response.finish_reason"),
  service_tier: registerKeys(
    "openai.response.service_tier",
    "gen_ai.openai.response.service_tier",
    "gen_ai.response.service_tier",
    "openai.request.service_tier",
    "gen_ai.openai.request.service_tier",
    "gen_ai.request.service_tier",
  ),
  region: registerKeys("spanledger.region"),
  streaming: registerKeys("gen_ai.request.stream", "gen_ai.request.is_stream"),
  of_streams: TIME_TO_FIRST_CHUNK,
  error_type: registerKeys("error.type"),
  error_message: registerKeys("error.message"),
  http_status: registerKeys("http.response.status_code", "http.status_code"),
  ttft_s: TIME_TO_FIRST_CHUNK,
  ttft_ms: [],
  first_token_at: [],
  user_id: registerKeys(
    "user.id",
    "enduser.id",
    // Traceloop copies what a caller associates to every span below, whoever makes it.
    "traceloop.association.properties.user_id",
    "gen_ai.user",
    "gen_ai.request.user",
  ),
  session_id: registerKeys(
    "gen_ai.conversation.id",
    "session.id",
    "traceloop.association.properties.session_id",
    "traceloop.association.properties.chat_id",
    "traceloop.association.properties.thread_id",
    "gen_ai.session.id",
  ),
  agent_name: registerKeys("gen_ai.agent.name"),
  client_cost_usd: registerKeys("gen_ai.usage.cost"),
};

export const OTEL_USAGE: UsageKeys = {
  input: registerKeys("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
  output: registerKeys("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
  total: registerKeys("gen_ai.usage.total_tokens"),
  input_uncached: [],
  cache_read: registerKeys(
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
  ),
  cache_write: registerKeys(
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "gen_ai.usage.cache_write_input_tokens",
  ),
  cache_write_5m: registerKeys("anthropic.usage.cache_creation.ephemeral_5m_input_tokens"),
  cache_write_1h: registerKeys("anthropic.usage.cache_creation.ephemeral_1h_input_tokens"),
  tool_input: [],
  reasoning: registerKeys(
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.reasoning_tokens",
    "gen_ai.usage.completion_tokens_details.reasoning",
    "gen_ai.usage.details.reasoning_tokens",
  ),
  input_audio: registerKeys("gen_ai.usage.audio.input_tokens"),
  output_audio: registerKeys("gen_ai.usage.audio.output_tokens"),
  input_image: registerKeys("gen_ai.usage.image.input_tokens"),
  output_image: registerKeys("gen_ai.usage.image.output_tokens"),
  web_search: [],
};

/**
 * What each operation is to the ledger (dialects.md section 1.1): those of the convention, then
 * those that emitters put in its place (Semantic Kernel, OpenLIT, LiteLLM's call types; the names of
 * Mastra, AI SDK 7 and Gemini CLI for spans that only repeat usage).
 */
export const OTEL_OPERATIONS = kindsOf([
  ["billable", "", "chat text_completion generate_content embeddings rerank"],
  ["billable", "", "chat.completions text.completions text_completions completion responses"],
  ["billable", "", "image audio embedding image_generation transcription speech"],
  ["billable", "", "acompletion atext_completion aresponses aembedding aimage_generation"],
  ["billable", "", "atranscription aspeech arerank anthropic_messages agenerate_content"],
  ["aggregate", "", "invoke_agent create_agent invoke_workflow plan"],
  ["aggregate", "", "agent_step model_generation model_chunk llm_call"],
  ["tool", "", "execute_tool"],
  ["structure", "", "retrieval fetch_response search_memory create_memory update_memory"],
  ["structure", "", "upsert_memory delete_memory create_memory_store delete_memory_store"],
]);

export const OPERATION_KINDS = { keys: OTEL_FIELDS.operation, kinds: OTEL_OPERATIONS };

const MARKERS = registerKeys(
  "gen_ai.operation.name",
  "gen_ai.provider.name",
  "gen_ai.system",
  "gen_ai.request.model",
);

export const OTEL_GENAI: Dialect = {
  ...ORDINARY,
  name: "otel-genai",
  matches: (_scope, values) => values.has(MARKERS),
  fields: OTEL_FIELDS,
  usage: OTEL_USAGE,
  kinds: [OPERATION_KINDS],
};
