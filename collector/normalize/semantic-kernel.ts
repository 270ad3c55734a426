/**
 * Semantic Kernel, .NET and Python (dialects.md section 18): the conventions with operations and a
 * finish reason by names of its own.
 *
 * Invariant: only the two totals are sent; cached and reasoning tokens are never told.
 */
import { type Dialect, extendKeys } from "./dialect.ts";
import { OTEL_GENAI, OTEL_USAGE } from "./otel-genai.ts";

const SCOPE = /^(Microsoft\.SemanticKernel|semantic_kernel)/;

export const SEMANTIC_KERNEL: Dialect = {
  ...OTEL_GENAI,
  name: "semantic-kernel",
  matches: (scope, values) => SCOPE.test(scope.name) && OTEL_GENAI.matches(scope, values),
  usage: extendKeys(OTEL_USAGE, {
    input: ["gen_ai.usage.input_tokens", "gen_ai.response.prompt_tokens"],
    output: ["gen_ai.usage.output_tokens", "gen_ai.response.completion_tokens"],
  }),
  hides_cache_of: "all",
};
