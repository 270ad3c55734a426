/**
 * Google's Agent Development Kit, JavaScript and Python (dialects.md section 17): `call_llm` is the
 * call, which has a model and no operation; all classes of tokens are in its recorded answer alone.
 *
 * Invariant: the attributes leave out thoughts, so without the recorded answer (content capture off)
 * the output is a lower bound.
 */
import { type Dialect, extendKeys, ORDINARY } from "./dialect.ts";
import { OPERATION_KINDS, OTEL_FIELDS, OTEL_USAGE } from "./otel-genai.ts";
import { at, firstOf, type Json, type PayloadFacts } from "./payload.ts";
import { readProviderAnswer } from "./provider-usage.ts";
import { registerKeys } from "./slots.ts";
import { readText } from "./values.ts";

const GOOGLE = new Set(["google", "vertex"]);

/** An answer in ADK's own shape, camel case from JavaScript and snake case from Python. */
function readAnswer(answer: Json): PayloadFacts | undefined {
  const facts = readProviderAnswer(answer);
  const grounding = firstOf(at(answer, "groundingMetadata"), at(answer, "grounding_metadata"));
  const queries = firstOf(at(grounding, "webSearchQueries"), at(grounding, "web_search_queries"));
  return Array.isArray(queries) && queries.length > 0
    ? { ...facts, fee_units: [{ kind: "grounding", count: 1 }] }
    : facts;
}

const GOOGLE_ADK: Dialect = {
  ...ORDINARY,
  name: "google-adk",
  matches: (scope) => scope.name === "gcp.vertex.agent",
  fields: extendKeys(OTEL_FIELDS, {
    session_id: ["gen_ai.conversation.id", "gcp.vertex.agent.session_id"],
  }),
  usage: extendKeys(OTEL_USAGE, { reasoning: ["gen_ai.usage.experimental.reasoning_tokens"] }),
  kinds: [OPERATION_KINDS],
  payloads: [
    {
      keys: registerKeys("gcp.vertex.agent.llm_response"),
      of_calls_only: true,
      read: readAnswer,
    },
  ],
  output_excludes_reasoning_of: GOOGLE,
  hides_cache_of: "all",
  hides_reasoning_of: GOOGLE,
};

/** `openai/gpt-4.1`, as models of others are named; not the path of a resource of Google's. */
const QUALIFIED_MODEL = /^(?!projects\/|models\/|publishers\/)[a-z0-9_-]+\/./;

/** Models of other providers, called through LiteLLM. */
const GOOGLE_ADK_OTHERS: Dialect = {
  ...GOOGLE_ADK,
  matches: (scope, values) =>
    GOOGLE_ADK.matches(scope, values) &&
    QUALIFIED_MODEL.test(readText(values.first(OTEL_FIELDS.request_model)) ?? ""),
  qualifies_models: true,
};

/** Most particular first. */
export const GOOGLE_ADK_DIALECTS: readonly Dialect[] = [GOOGLE_ADK_OTHERS, GOOGLE_ADK];
