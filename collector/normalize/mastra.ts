/**
 * Mastra's exporters (dialects.md section 10): `@mastra/otel-exporter`, which speaks the conventions,
 * and `@mastra/arize`, which turns the same spans into OpenInference. Input holds the cache in both.
 *
 * Invariant: `model_inference` is the call. Where a pairing of packages has none, or shows no usage on
 * it, the usage is on `model_generation`, which sums up all calls of a loop.
 */
import { type Dialect, extendKeys, kindsOf, ORDINARY } from "./dialect.ts";
import { OTEL_FIELDS, OTEL_USAGE } from "./otel-genai.ts";
import { at, firstOf, isObject, type Json, type PayloadFacts } from "./payload.ts";
import { registerKeys } from "./slots.ts";

const SPAN_TYPE = registerKeys("mastra.span.type");

const FIELDS = extendKeys(OTEL_FIELDS, {
  provider: ["llm.provider", "llm.system"],
  request_model: ["llm.request.model_name"],
  response_model: ["llm.response.model_name"],
  either_model: ["llm.model_name", "embedding.model_name"],
  finish_reason: ["llm.finish_reason"],
  first_token_at: ["mastra.completion_start_time"],
  user_id: ["mastra.metadata.userId", "mastra.metadata.user_id"],
  session_id: [
    "mastra.metadata.sessionId",
    "mastra.metadata.session_id",
    "mastra.metadata.threadId",
    "mastra.metadata.thread_id",
  ],
  agent_name: ["agent.name"],
});

const USAGE = extendKeys(OTEL_USAGE, {
  input: ["llm.token_count.prompt"],
  output: ["llm.token_count.completion"],
  total: ["llm.token_count.total"],
  cache_read: ["llm.token_count.prompt_details.cache_read"],
  cache_write: ["llm.token_count.prompt_details.cache_write"],
  cache_write_5m: ["gen_ai.usage.cache_creation.5m_input_tokens"],
  cache_write_1h: ["gen_ai.usage.cache_creation.1h_input_tokens"],
  reasoning: ["llm.token_count.completion_details.reasoning"],
  input_audio: ["gen_ai.usage.audio_input_tokens", "llm.token_count.prompt_details.audio"],
  output_audio: ["gen_ai.usage.audio_output_tokens", "llm.token_count.completion_details.audio"],
});

const CALLS = [
  ["billable", "chat", "model_inference"],
  ["billable", "embeddings", "rag_embedding"],
] as const;

const SPAN_TYPES = kindsOf([
  ...CALLS,
  // The names before 1.0 come last.
  ["aggregate", "chat", "model_generation llm_generation"],
  ["aggregate", "", "model_step model_chunk llm_step llm_chunk agent_run workflow_run"],
  ["tool", "execute_tool", "tool_call mcp_tool_call provider_tool_call"],
]);

/** The application's metadata that the Arize exporter keeps in one JSON text. */
function readMetadata(metadata: Json): PayloadFacts | undefined {
  if (!isObject(metadata)) return undefined;
  return {
    user_id: firstOf(at(metadata, "userId"), at(metadata, "user_id")),
    session_id: firstOf(
      at(metadata, "sessionId"),
      at(metadata, "session_id"),
      at(metadata, "threadId"),
      at(metadata, "thread_id"),
    ),
  };
}

/** The request's parameters, beside which the Arize exporter names the model of the answer. */
function readParameters(parameters: Json): PayloadFacts {
  return { request_model: at(parameters, "model") };
}

/** The provider's answer, which only the step around a call has: its usage is that of the call. */
function readBody(body: Json): PayloadFacts {
  return { response_id: firstOf(at(body, "id"), at(body, "responseId")) };
}

export const MASTRA: Dialect = {
  ...ORDINARY,
  name: "mastra",
  matches: (scope, values) => values.has(SPAN_TYPE) || scope.name.startsWith("@mastra/"),
  fields: FIELDS,
  usage: USAGE,
  kinds: [{ keys: SPAN_TYPE, kinds: SPAN_TYPES }],
  needs_evidence: true,
  payloads: [
    { keys: registerKeys("metadata"), read: readMetadata },
    { keys: registerKeys("llm.invocation_parameters"), read: readParameters },
    { keys: registerKeys("mastra.metadata.body"), read: readBody },
  ],
};

const MODEL = [...FIELDS.request_model, ...FIELDS.either_model];
const USED = [...USAGE.input, ...USAGE.output];

/** A `model_generation` that names the model and has no usage: one call, and it failed. */
export const MASTRA_FAILED: Dialect = {
  ...MASTRA,
  matches: (_scope, values) => values.has(SPAN_TYPE) && values.has(MODEL) && !values.has(USED),
  kinds: [
    {
      keys: SPAN_TYPE,
      kinds: kindsOf([...CALLS, ["billable", "chat", "model_generation llm_generation"]]),
    },
    ...MASTRA.kinds,
  ],
};
