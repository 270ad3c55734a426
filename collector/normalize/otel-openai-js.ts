/**
 * `@opentelemetry/instrumentation-openai`, the contrib instrumentation for Node: the conventions,
 * but only the two totals. Cached and reasoning tokens are dropped before they reach the span
 * (dialects.md section 2.3, measured on 0.22.0), so a prompt that may have been cached cannot be split.
 */
import type { Dialect } from "./dialect.ts";
import { OTEL_GENAI } from "./otel-genai.ts";

export const OTEL_OPENAI_JS: Dialect = {
  ...OTEL_GENAI,
  name: "otel-openai-js",
  matches: (scope) => scope.name === "@opentelemetry/instrumentation-openai",
  hides_cache_of: new Set(["openai", "azure"]),
};
