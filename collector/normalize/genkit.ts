/**
 * Genkit (dialects.md section 18, captured on 1.42): attributes of its own, and all that a model
 * answered in one JSON text.
 *
 * Invariant: only actions of the subtypes `model` and `embedder` are calls; the `generate` spans
 * around them repeat the same output.
 */
import { type Dialect, extendKeys, kindsOf, ORDINARY } from "./dialect.ts";
import { OTEL_FIELDS, OTEL_USAGE } from "./otel-genai.ts";
import { at, firstOf, type Json, type PayloadFacts, type SentCounts } from "./payload.ts";
import { readProviderAnswer } from "./provider-usage.ts";
import { registerKeys } from "./slots.ts";

const TYPE = registerKeys("genkit:type");
const SUBTYPE = registerKeys("genkit:metadata:subtype");

const SUBTYPES = kindsOf([
  ["billable", "chat", "model background-model"],
  ["billable", "embeddings", "embedder"],
  ["tool", "execute_tool", "tool tool.v2"],
  ["structure", "", "prompt executable-prompt flow util retriever indexer evaluator reranker"],
]);

/** Spans that are no action, and actions that name no subtype. */
const TYPES = kindsOf([["structure", "", "action flow flowStep util dotprompt promptTemplate"]]);

/** Genkit's own names for usage: Gemini's semantics, whatever the plugin. */
function readUsage(usage: Json): SentCounts | undefined {
  const input = at(usage, "inputTokens");
  const output = at(usage, "outputTokens");
  if (input === undefined && output === undefined) return undefined;
  const custom = at(usage, "custom");
  return {
    input,
    output,
    total: at(usage, "totalTokens"),
    cache_read: firstOf(at(usage, "cachedContentTokens"), at(custom, "cache_read_input_tokens")),
    cache_write: at(custom, "cache_creation_input_tokens"),
    reasoning: at(usage, "thoughtsTokens"),
  };
}

/** The output of a model action: the provider's own answer inside beats Genkit's summary of it. */
function readOutput(output: Json): PayloadFacts | undefined {
  const facts = readProviderAnswer(at(output, "raw")) ?? readProviderAnswer(at(output, "custom"));
  const counts = facts?.counts ?? readUsage(at(output, "usage"));
  return {
    ...facts,
    ...(counts === undefined ? {} : { counts }),
    // The OpenAI plugin calls the end of a request for tools "stop".
    finish_reason: firstOf(facts?.finish_reason, at(output, "finishReason")),
  };
}

/** Flows, tools and the spans that Genkit puts around a call: their name is no model's. */
export const GENKIT: Dialect = {
  ...ORDINARY,
  name: "genkit",
  matches: (scope, values) => scope.name === "genkit-tracer" || values.has(TYPE),
  fields: extendKeys(OTEL_FIELDS, {
    operation: ["genkit:metadata:subtype", "genkit:type"],
    session_id: ["genkit:sessionId"],
  }),
  usage: OTEL_USAGE,
  kinds: [
    { keys: SUBTYPE, kinds: SUBTYPES },
    { keys: TYPE, kinds: TYPES },
  ],
  failures: [{ keys: registerKeys("genkit:state"), words: new Set(["error"]) }],
};

const CALLS = new Set(["model", "background-model", "embedder"]);

/** The calls; `genkit:name` is the model with its plugin in front, as in `googleai/gemini-2.5-pro`. */
export const GENKIT_CALL: Dialect = {
  ...GENKIT,
  matches: (_scope, values) => {
    const subtype = values.first(SUBTYPE);
    return typeof subtype === "string" && CALLS.has(subtype);
  },
  fields: extendKeys(GENKIT.fields, { request_model: ["genkit:name"] }),
  qualifies_models: true,
  payloads: [{ keys: registerKeys("genkit:output"), read: readOutput }],
  input_excludes_cache_of: new Set(["anthropic"]),
  output_excludes_reasoning_of: new Set(["google", "vertex"]),
};
