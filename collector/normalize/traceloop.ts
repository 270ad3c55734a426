/**
 * OpenLLMetry by Traceloop, JavaScript and Python, all generations (dialects.md section 5; quirks in
 * sections 1.3 to 1.6), and Python instrumentations of OpenTelemetry itself, whose scopes look alike.
 *
 * Invariant: Python's input holds the cached tokens of Anthropic and JavaScript's does not; Bedrock's
 * is passed on as sent, without them, by both.
 */
import { type Dialect, extendKeys, kindsOf, ORDINARY } from "./dialect.ts";
import { OPERATION_KINDS, OTEL_FIELDS, OTEL_USAGE } from "./otel-genai.ts";
import { registerKeys, type SlotValues } from "./slots.ts";
import { readFlag, readText } from "./values.ts";

const FIELDS = extendKeys(OTEL_FIELDS, {
  provider: ["gen_ai.provider.name", "gen_ai.system", "llm.vendor"],
  request_model: ["gen_ai.request.model", "llm.request.model"],
  response_model: ["gen_ai.response.model", "llm.response.model"],
  finish_reason: [
    "gen_ai.response.finish_reasons",
    "gen_ai.response.finish_reason",
    "gen_ai.completion.0.finish_reason",
    "llm.response.finish_reason",
    "llm.response.stop_reason",
  ],
  streaming: ["gen_ai.request.stream", "gen_ai.is_streaming", "llm.is_streaming"],
  user_id: [
    "user.id",
    "enduser.id",
    "traceloop.association.properties.user_id",
    "gen_ai.user",
    "llm.user",
  ],
});

const USAGE = extendKeys(OTEL_USAGE, {
  input: ["gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens"],
  output: [
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.usage.completion_tokens",
  ],
  total: ["gen_ai.usage.total_tokens", "llm.usage.total_tokens"],
  reasoning: ["gen_ai.usage.reasoning_tokens", "llm.usage.reasoning_tokens"],
});

const ENTITY_KIND = registerKeys("traceloop.span.kind");
const REQUEST_TYPE = registerKeys("llm.request.type");

const ENTITY_KINDS = kindsOf([
  ["aggregate", "", "workflow task agent session"],
  ["tool", "execute_tool", "tool"],
]);

/** What stood in the place of the operation until 2025. */
const REQUEST_TYPES = kindsOf([
  ["billable", "chat", "chat"],
  ["billable", "text_completion", "completion"],
  ["billable", "embeddings", "embedding"],
  ["billable", "rerank", "rerank"],
]);

const KINDS = [
  { keys: ENTITY_KIND, kinds: ENTITY_KINDS },
  OPERATION_KINDS,
  { keys: REQUEST_TYPE, kinds: REQUEST_TYPES },
];

const GOOGLE = new Set(["google", "vertex"]);

/** Providers whose streams tell their usage unasked, so that no instrumentation has to guess. */
const TELLS_IN_STREAMS: ReadonlySet<string> = new Set([
  "anthropic",
  "bedrock",
  "cohere",
  "google",
  "vertex",
]);

const RESPONSE_ID = OTEL_FIELDS.response_id;
const PROVIDER_COUNTS = [...USAGE.cache_read, ...USAGE.cache_write, ...USAGE.reasoning];

/**
 * JavaScript counts the words of a streamed chat itself, even where the provider sent usage, and
 * does not say whether a chat was streamed. Certain are the Responses API, whose streams it gives no
 * usage, and a span with parts that only a provider counts.
 */
function estimateStream(values: SlotValues, provider: string): string | undefined {
  if (TELLS_IN_STREAMS.has(provider) || values.has(PROVIDER_COUNTS)) return undefined;
  if (readFlag(values.first(FIELDS.streaming)) === false) return undefined;
  if (readText(values.first(RESPONSE_ID))?.startsWith("resp_") === true) return undefined;
  return "this instrumentation estimates streams and does not tell which calls are";
}

const TRACELOOP: Dialect = {
  ...ORDINARY,
  name: "traceloop",
  matches: (scope, values) => scope.name === "traceloop.tracer" || values.has(ENTITY_KIND),
  fields: FIELDS,
  usage: USAGE,
  kinds: KINDS,
};

const TRACELOOP_JS: Dialect = {
  ...TRACELOOP,
  name: "traceloop-js",
  matches: (scope) => scope.name.startsWith("@traceloop/"),
  input_excludes_cache_of: new Set(["anthropic", "bedrock"]),
  output_excludes_reasoning_of: GOOGLE,
  hides_cache_of: "all",
  hides_reasoning_of: GOOGLE,
  estimate: estimateStream,
};

/** The callbacks of LangChain pass on what it knows: a stream without usage has none. */
const TRACELOOP_JS_LANGCHAIN: Dialect = {
  ...TRACELOOP_JS,
  matches: (scope) => scope.name === "@traceloop/instrumentation-langchain",
  estimate: null,
};

const PYTHON = "opentelemetry.instrumentation.";
const CALLS = [
  ...OTEL_FIELDS.operation,
  ...FIELDS.provider,
  ...FIELDS.request_model,
  ...REQUEST_TYPE,
];

const TRACELOOP_PYTHON: Dialect = {
  ...TRACELOOP,
  name: "traceloop-python",
  matches: (scope, values) => scope.name.startsWith(PYTHON) && values.has(CALLS),
  input_excludes_cache_of: new Set(["bedrock"]),
  // Versions that know of the cache send a count of 0 too: none at all is an older version.
  hides_cache_of: new Set(["anthropic", "azure", "bedrock", "google", "openai", "vertex"]),
};

/** Gemini's thoughts are left out of the output, and older versions tell nothing of them. */
const TRACELOOP_PYTHON_GOOGLE: Dialect = {
  ...TRACELOOP_PYTHON,
  matches: (scope, values) =>
    /^opentelemetry\.instrumentation\.(google_generativeai|vertexai)\b/.test(scope.name) &&
    values.has(CALLS),
  output_excludes_reasoning_of: GOOGLE,
  hides_cache_of: GOOGLE,
  hides_reasoning_of: GOOGLE,
};

/** OpenTelemetry's own for Google's SDK adds the thoughts; the cache it tells of only when asked. */
const OTEL_PYTHON_GOOGLE: Dialect = {
  ...TRACELOOP_PYTHON,
  name: "otel-google-genai-python",
  matches: (scope, values) => scope.name.startsWith(`${PYTHON}google_genai`) && values.has(CALLS),
  hides_cache_of: GOOGLE,
};

/** The agent of a decorator is the name of its entity, which for other kinds is something else. */
const TRACELOOP_AGENT: Dialect = {
  ...TRACELOOP,
  matches: (_scope, values) => values.first(ENTITY_KIND) === "agent",
  fields: extendKeys(FIELDS, { agent_name: ["gen_ai.agent.name", "traceloop.entity.name"] }),
};

/** Most particular first. */
export const TRACELOOP_DIALECTS: readonly Dialect[] = [
  TRACELOOP_AGENT,
  TRACELOOP_JS_LANGCHAIN,
  TRACELOOP_JS,
  TRACELOOP_PYTHON_GOOGLE,
  OTEL_PYTHON_GOOGLE,
  TRACELOOP_PYTHON,
  TRACELOOP,
];
