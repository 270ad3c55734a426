/**
 * The OpenTelemetry GenAI conventions, every generation (dialects.md section 2.1): v1.26 with
 * `prompt_tokens`, v1.28 with `input_tokens` and `gen_ai.system`, v1.37 with `gen_ai.provider.name`,
 * v1.40 with the cache attributes, and the genai repository's `cache_write` and per-modality names.
 *
 * Rule of the convention: input includes cache reads and writes, output includes reasoning.
 */
import type { SpanClass } from "../../schemas/span.ts";
import type { Dialect, FieldKeys, UsageKeys } from "./dialect.ts";
import { registerKeys } from "./slots.ts";

export const OTEL_FIELDS: FieldKeys = {
  operation: registerKeys("gen_ai.operation.name"),
  provider: registerKeys("gen_ai.provider.name", "gen_ai.system"),
  request_model: registerKeys("gen_ai.request.model"),
  response_model: registerKeys("gen_ai.response.model"),
  response_id: registerKeys("gen_ai.response.id"),
  finish_reason: registerKeys("gen_ai.response.finish_reasons", "gen_ai.response.finish_reason"),
  service_tier: registerKeys(
    "openai.response.service_tier",
    "gen_ai.openai.response.service_tier",
    "gen_ai.response.service_tier",
    "openai.request.service_tier",
    "gen_ai.openai.request.service_tier",
  ),
  streaming: registerKeys("gen_ai.request.stream"),
  error_type: registerKeys("error.type"),
  http_status: registerKeys("http.response.status_code", "http.status_code"),
  ttft_s: registerKeys(
    "gen_ai.response.time_to_first_chunk",
    "gen_ai.client.operation.time_to_first_chunk",
  ),
  user_id: registerKeys("user.id", "enduser.id"),
  session_id: registerKeys("gen_ai.conversation.id", "session.id"),
  agent_name: registerKeys("gen_ai.agent.name"),
  client_cost_usd: registerKeys("gen_ai.usage.cost"),
};

export const OTEL_USAGE: UsageKeys = {
  input: registerKeys("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
  output: registerKeys("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
  cache_read: registerKeys("gen_ai.usage.cache_read.input_tokens"),
  cache_write: registerKeys(
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_creation.input_tokens",
  ),
  cache_write_5m: [],
  cache_write_1h: [],
  reasoning: registerKeys("gen_ai.usage.reasoning.output_tokens"),
  input_audio: registerKeys("gen_ai.usage.audio.input_tokens"),
  output_audio: registerKeys("gen_ai.usage.audio.output_tokens"),
  input_image: registerKeys("gen_ai.usage.image.input_tokens"),
  output_image: registerKeys("gen_ai.usage.image.output_tokens"),
};

/**
 * What each operation is to the ledger (dialects.md section 1.1): those of the convention, then
 * those that emitters put in its place (Semantic Kernel, OpenLIT, LiteLLM's call types; the names of
 * Mastra, AI SDK 7 and Gemini CLI for spans that only repeat usage).
 */
export const OTEL_OPERATIONS: ReadonlyMap<string, SpanClass> = new Map<string, SpanClass>([
  ["chat", "billable"],
  ["text_completion", "billable"],
  ["generate_content", "billable"],
  ["embeddings", "billable"],
  ["rerank", "billable"],
  ["invoke_agent", "aggregate"],
  ["create_agent", "aggregate"],
  ["invoke_workflow", "aggregate"],
  ["plan", "aggregate"],
  ["execute_tool", "tool"],
  ["retrieval", "structure"],
  ["fetch_response", "structure"],
  ...listOperations("billable", ["chat.completions", "text.completions", "text_completions"]),
  ...listOperations("billable", ["image", "audio", "completion", "responses", "embedding"]),
  ...listOperations("billable", ["image_generation", "transcription", "speech"]),
  ...listOperations("billable", ["acompletion", "atext_completion", "aresponses", "aembedding"]),
  ...listOperations("billable", ["aimage_generation", "atranscription", "aspeech", "arerank"]),
  ...listOperations("aggregate", ["agent_step", "model_generation", "model_chunk", "llm_call"]),
]);

function listOperations(span_class: SpanClass, names: readonly string[]): [string, SpanClass][] {
  return names.map((name) => [name, span_class]);
}

const MARKERS = registerKeys(
  "gen_ai.operation.name",
  "gen_ai.provider.name",
  "gen_ai.system",
  "gen_ai.request.model",
);

export const OTEL_GENAI: Dialect = {
  name: "otel-genai",
  matches: (_scope, values) => values.has(MARKERS),
  fields: OTEL_FIELDS,
  usage: OTEL_USAGE,
  operations: OTEL_OPERATIONS,
  hides_cache_of: new Set(),
};
