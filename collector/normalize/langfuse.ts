/**
 * Langfuse's SDKs since they speak OpenTelemetry (dialects.md section 7): observations with JSON in
 * attributes of their own. Spans that an application gives `langfuse.observation.*` are read so too.
 *
 * A failed call has the level ERROR; the span's status says nothing.
 */
import { type Dialect, extendKeys, kindsOf, ORDINARY } from "./dialect.ts";
import { readRequest } from "./langchain-answer.ts";
import { readLangfuseCost, readLangfuseUsage } from "./langfuse-usage.ts";
import { OPERATION_KINDS, OTEL_FIELDS, OTEL_USAGE } from "./otel-genai.ts";
import { at, type Json, type PayloadFacts } from "./payload.ts";
import { registerKeys } from "./slots.ts";

const MARKERS = registerKeys(
  "langfuse.observation.type",
  "langfuse.observation.model.name",
  "langfuse.observation.usage_details",
);

const TYPE = registerKeys("langfuse.observation.type");

/** An agent or a chain that somebody gave usage counts where nothing below it has any. */
const KINDS = kindsOf([
  ["billable", "chat", "generation"],
  ["billable", "embeddings", "embedding"],
  ["aggregate", "", "agent chain span"],
  ["tool", "execute_tool", "tool"],
  ["structure", "", "retriever evaluator guardrail event"],
]);

/** Parameters of a request; with this one they are those of the wrapper of OpenAI's client. */
function readParameters(parameters: Json): PayloadFacts | undefined {
  const is_openai = at(parameters, "response_format") !== undefined;
  return { ...readRequest(parameters), ...(is_openai ? { client_of: "openai" } : {}) };
}

export const LANGFUSE: Dialect = {
  ...ORDINARY,
  name: "langfuse",
  matches: (scope, values) => scope.name === "langfuse-sdk" || values.has(MARKERS),
  fields: extendKeys(OTEL_FIELDS, {
    provider: ["langfuse.observation.metadata.ls_provider"],
    request_model: ["langfuse.observation.metadata.ls_model_name"],
    either_model: ["langfuse.observation.model.name"],
    error_message: ["langfuse.observation.status_message"],
    first_token_at: ["langfuse.observation.completion_start_time"],
    user_id: ["user.id", "langfuse.user.id"],
    session_id: ["session.id", "langfuse.session.id"],
  }),
  usage: OTEL_USAGE,
  kinds: [{ keys: TYPE, kinds: KINDS }, OPERATION_KINDS],
  needs_evidence: true,
  payloads: [
    { keys: registerKeys("langfuse.observation.usage_details"), read: readLangfuseUsage },
    { keys: registerKeys("langfuse.observation.cost_details"), read: readLangfuseCost },
    { keys: registerKeys("langfuse.observation.model.parameters"), read: readParameters },
  ],
  failures: [{ keys: registerKeys("langfuse.observation.level"), words: new Set(["error"]) }],
};

/** An agent has no name but that of its observation. */
export const LANGFUSE_AGENT: Dialect = {
  ...LANGFUSE,
  matches: (_scope, values) => values.first(TYPE) === "agent",
  names_agent_by_span: true,
};
