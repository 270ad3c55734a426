/**
 * Strands Agents, TypeScript and Python (dialects.md section 18): `invoke_agent` holds the sums of
 * its `chat` spans. Input and output come under two names each, the same number twice.
 *
 * Invariant: the emitter names itself as provider, so the provider is told by the model; counts are
 * as the provider's SDK gave them.
 */
import { type Dialect, extendKeys, kindsOf, ORDINARY } from "./dialect.ts";
import { OPERATION_KINDS, OTEL_FIELDS, OTEL_USAGE } from "./otel-genai.ts";
import type { SlotValues } from "./slots.ts";

/** Spans that hold the turns of an agent, by any name that a version gives them. */
const LOOPS = kindsOf([
  ["aggregate", "", "execute_agent_loop_cycle execute_event_loop_cycle agent_loop_cycle"],
  ["aggregate", "", "invoke_swarm invoke_graph invoke_multiagent"],
]);

function namesStrands(values: SlotValues): boolean {
  return values.first(OTEL_FIELDS.provider) === "strands-agents";
}

export const STRANDS: Dialect = {
  ...ORDINARY,
  name: "strands",
  matches: (scope, values) => /^strands[-.]/.test(scope.name) || namesStrands(values),
  fields: extendKeys(OTEL_FIELDS, { ttft_ms: ["gen_ai.server.time_to_first_token"] }),
  usage: OTEL_USAGE,
  kinds: [OPERATION_KINDS, { keys: OTEL_FIELDS.operation, kinds: LOOPS }],
  input_excludes_cache_of: new Set(["anthropic", "bedrock"]),
  // What Bedrock's answer says of its cache is passed on; what the others say is not.
  hides_cache_of: new Set(["anthropic", "azure", "google", "openai"]),
};
