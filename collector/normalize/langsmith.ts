/**
 * LangSmith's SDKs in OpenTelemetry mode (dialects.md section 8): the conventions beside names of its
 * own, with the whole answer as JSON. Totals include the cache and the reasoning.
 *
 * A failed call has the status OK and an exception event; its system is "langchain".
 */
import { type Dialect, extendKeys, kindsOf, ORDINARY } from "./dialect.ts";
import { readAnswer, readRequest } from "./langchain-answer.ts";
import { OPERATION_KINDS, OTEL_FIELDS, OTEL_USAGE } from "./otel-genai.ts";
import { at, type Json, type PayloadFacts } from "./payload.ts";
import { readUsageObject, tierOfDetails } from "./provider-usage.ts";
import { registerKeys } from "./slots.ts";

const SPAN_KIND = registerKeys("langsmith.span.kind");

/** Before the operation: a prompt calls itself "chat" and a retriever "embeddings". */
const KINDS = kindsOf([
  ["billable", "", "llm"],
  ["billable", "embeddings", "embedding"],
  ["tool", "execute_tool", "tool"],
  ["structure", "", "chain retriever prompt parser"],
]);

function readUsage(usage: Json): PayloadFacts | undefined {
  const counts = readUsageObject(usage);
  if (counts === undefined) return undefined;
  return {
    counts,
    service_tier: tierOfDetails(usage),
    client_cost_usd: at(usage, "total_cost"),
  };
}

export const LANGSMITH: Dialect = {
  ...ORDINARY,
  name: "langsmith",
  matches: (scope, values) => scope.name === "langsmith" || values.has(SPAN_KIND),
  fields: extendKeys(OTEL_FIELDS, {
    // `gen_ai.system` is guessed from the name of the model.
    provider: ["langsmith.metadata.ls_provider"],
    streaming: ["langsmith.request.streaming", "langsmith.metadata.stream"],
    // The thread first: where both are set, a session is what lasts longer.
    session_id: [
      "langsmith.metadata.thread_id",
      "langsmith.metadata.session_id",
      "langsmith.metadata.conversation_id",
    ],
    user_id: ["langsmith.metadata.user_id"],
    either_model: ["langsmith.metadata.ls_model_name"],
  }),
  usage: OTEL_USAGE,
  kinds: [{ keys: SPAN_KIND, kinds: KINDS }, OPERATION_KINDS],
  needs_evidence: true,
  payloads: [
    { keys: registerKeys("gen_ai.completion"), of_calls_only: true, read: readAnswer },
    {
      keys: registerKeys("langsmith.usage_metadata", "langsmith.metadata.usage_metadata"),
      read: readUsage,
    },
    {
      keys: registerKeys(
        "langsmith.metadata.ls_invocation_params",
        "langsmith.metadata.invocation_params",
      ),
      read: readRequest,
    },
  ],
  exception_is_failure: true,
};
