/**
 * Pydantic AI (dialects.md section 9): the conventions, input and output as totals, with what the
 * provider tells beyond them under `gen_ai.usage.details.*`, in the provider's own words.
 *
 * Invariant: details repeat each other and the totals, so of each count the first name is taken and
 * nothing is summed. Zeros are left out by the emitter.
 */
import { type Dialect, extendKeys, ORDINARY } from "./dialect.ts";
import { OPERATION_KINDS, OTEL_FIELDS, OTEL_USAGE } from "./otel-genai.ts";

export const PYDANTIC_AI: Dialect = {
  ...ORDINARY,
  name: "pydantic-ai",
  matches: (scope) => scope.name === "pydantic-ai",
  fields: extendKeys(OTEL_FIELDS, {
    agent_name: ["gen_ai.agent.name", "agent_name"],
    client_cost_usd: ["operation.cost"],
  }),
  // The names with `aggregated_usage` are those of an agent run, which otherwise takes the plain ones.
  usage: extendKeys(OTEL_USAGE, {
    input: ["gen_ai.aggregated_usage.input_tokens"],
    output: ["gen_ai.aggregated_usage.output_tokens"],
    cache_read: [
      "gen_ai.aggregated_usage.cache_read.input_tokens",
      "gen_ai.usage.cache_read.input_tokens",
      "gen_ai.usage.details.cache_read_tokens",
      "gen_ai.usage.details.cache_read_input_tokens",
      "gen_ai.usage.details.cached_tokens",
      "gen_ai.usage.details.cached_content_tokens",
      "gen_ai.aggregated_usage.details.cache_read_tokens",
    ],
    cache_write: [
      "gen_ai.aggregated_usage.cache_creation.input_tokens",
      "gen_ai.usage.cache_creation.input_tokens",
      "gen_ai.usage.details.cache_write_tokens",
      "gen_ai.usage.details.cache_creation_input_tokens",
      "gen_ai.aggregated_usage.details.cache_write_tokens",
    ],
    reasoning: [
      "gen_ai.usage.details.reasoning_tokens",
      "gen_ai.usage.details.thoughts_tokens",
      "gen_ai.aggregated_usage.details.reasoning_tokens",
    ],
    input_audio: ["gen_ai.usage.details.input_audio_tokens"],
    output_audio: ["gen_ai.usage.details.output_audio_tokens"],
  }),
  kinds: [OPERATION_KINDS],
};
