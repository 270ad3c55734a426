/**
 * OpenInference, by Arize: the instrumentations for JavaScript and Python, and what converts spans of
 * others to it (dialects.md section 4; quirks in sections 1.3 to 1.7).
 *
 * Rule of the convention: `prompt` holds the cached tokens, `completion` the reasoning. Where the raw
 * answer of the provider is in `output.value`, its counts are taken instead.
 */
import { type Dialect, extendKeys, kindsOf, ORDINARY } from "./dialect.ts";
import { readAnswer, readRequest, readRunMetadata } from "./langchain-answer.ts";
import { OTEL_FIELDS, OTEL_USAGE } from "./otel-genai.ts";
import { at, isObject, type Json, type PayloadFacts, type PayloadReader } from "./payload.ts";
import { registerKeys } from "./slots.ts";

const SPAN_KIND = registerKeys("openinference.span.kind");

const FIELDS = extendKeys(OTEL_FIELDS, {
  // The host that was called before the vendor of the model.
  provider: ["llm.provider", "llm.system"],
  request_model: ["llm.request.model_name"],
  response_model: ["llm.response.model_name"],
  either_model: ["llm.model_name", "embedding.model_name"],
  finish_reason: ["llm.finish_reason", "llm.stop_reason"],
  // A node's id is the agent's name for openai-agents, and made up for those that also name it.
  agent_name: ["agent.name", "graph.node.name", "graph.node.id"],
  client_cost_usd: ["llm.cost.total"],
});

/** Not `cache_input`: LiteLLM's instrumentation puts the tokens of text there. */
const USAGE = extendKeys(OTEL_USAGE, {
  input: ["llm.token_count.prompt"],
  output: ["llm.token_count.completion"],
  total: ["llm.token_count.total"],
  cache_read: ["llm.token_count.prompt_details.cache_read"],
  cache_write: ["llm.token_count.prompt_details.cache_write"],
  reasoning: ["llm.token_count.completion_details.reasoning"],
  input_audio: ["llm.token_count.prompt_details.audio"],
  output_audio: ["llm.token_count.completion_details.audio"],
});

/** What holds calls counts where it alone has usage: Claude Agent SDK, smolagents. */
const KINDS = kindsOf([
  ["billable", "chat", "LLM"],
  ["billable", "embeddings", "EMBEDDING"],
  ["billable", "rerank", "RERANKER"],
  ["aggregate", "", "AGENT CHAIN"],
  ["tool", "execute_tool", "TOOL"],
  ["structure", "", "RETRIEVER GUARDRAIL EVALUATOR PROMPT UNKNOWN"],
]);

/** Converse has the model in its request alone; InvokeModel has no request but the model's own. */
function readBedrockRequest(request: Json): PayloadFacts | undefined {
  const model = at(request, "modelId");
  return model === undefined ? undefined : { request_model: model, response_model: model };
}

/** Of a stream the instrumentation itself writes an answer, which may lack the cached tokens. */
function readBedrockAnswer(answer: Json): PayloadFacts | undefined {
  const facts = readAnswer(answer);
  const is_stream = isObject(answer) && at(answer, "streaming") === true;
  return facts !== undefined && is_stream ? { ...facts, completes: true, streaming: true } : facts;
}

function answerBy(read: PayloadReader["read"]): PayloadReader {
  return {
    keys: registerKeys("output.value"),
    mime: registerKeys("output.mime_type"),
    of_calls_only: true,
    read,
  };
}

const REQUEST: PayloadReader = {
  keys: registerKeys("llm.invocation_parameters"),
  of_calls_only: true,
  read: readRequest,
};

const METADATA: PayloadReader = { keys: registerKeys("metadata"), read: readRunMetadata };

export const OPENINFERENCE: Dialect = {
  ...ORDINARY,
  name: "openinference",
  matches: (_scope, values) => values.has(SPAN_KIND),
  fields: FIELDS,
  usage: USAGE,
  kinds: [{ keys: SPAN_KIND, kinds: KINDS }],
  // Some mark as LLM what is a step or a piece of a call.
  needs_evidence: true,
  payloads: [answerBy(readAnswer), REQUEST, METADATA],
};

/** The same by another hand: an instrumentation with rules of its own, known by its scope. */
function variantOf(name: string, scope: RegExp, rules: Partial<Dialect>): Dialect {
  return {
    ...OPENINFERENCE,
    name: `openinference-${name}`,
    matches: ({ name: scope_name }, values) => scope.test(scope_name) && values.has(SPAN_KIND),
    ...rules,
  };
}

const GOOGLE = new Set(["google", "vertex"]);

/** Most particular first; the last takes what the others leave. */
export const OPENINFERENCE_DIALECTS: readonly Dialect[] = [
  // Sends the input without the cache and, in JavaScript, nothing of the cache.
  variantOf("claude-agent-sdk", /claude[-_]agent[-_]sdk/, {
    input_excludes_cache_of: "all",
    hides_cache_of: "all",
  }),
  // JavaScript sends Bedrock's input as it is; Python adds the cache up where it knows of it.
  variantOf("bedrock", /^@arizeai\/.*-bedrock$/, {
    input_excludes_cache_of: "all",
    hides_cache_of: "all",
    payloads: [
      answerBy(readBedrockAnswer),
      {
        keys: registerKeys("input.value"),
        mime: registerKeys("input.mime_type"),
        of_calls_only: true,
        read: readBedrockRequest,
      },
      REQUEST,
      METADATA,
    ],
  }),
  // Marks nothing as LLM that is no call, and names no model of a response that failed. What ends in
  // a request for tools it calls "stop".
  variantOf("openai-agents", /openai[-_]agents/, { needs_evidence: false, answer_tells_end: true }),
  variantOf("google-adk", /google[-_]adk/, { hides_cache_of: GOOGLE }),
  variantOf("vertexai", /vertexai/, {
    fields: extendKeys(FIELDS, { provider: ["llm.system"] }),
    hides_cache_of: GOOGLE,
    output_excludes_reasoning_of: GOOGLE,
    hides_reasoning_of: GOOGLE,
  }),
  OPENINFERENCE,
];
