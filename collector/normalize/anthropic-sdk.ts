/**
 * The spans that Anthropic's own SDK makes (dialects.md section 3): the OpenTelemetry conventions
 * with the split of cache writes by lifetime, the stop reason and the tier under its own names.
 */
import { extendKeys, type Dialect } from "./dialect.ts";
import { OTEL_FIELDS, OTEL_OPERATIONS, OTEL_USAGE } from "./otel-genai.ts";

export const ANTHROPIC_SDK: Dialect = {
  name: "anthropic-sdk",
  matches: (scope) => scope.name.startsWith("com.anthropic.sdk."),
  fields: extendKeys(OTEL_FIELDS, {
    finish_reason: ["anthropic.message.stop_reason"],
    service_tier: ["anthropic.response.service_tier"],
  }),
  usage: extendKeys(OTEL_USAGE, {
    cache_write_5m: ["anthropic.usage.cache_creation.ephemeral_5m_input_tokens"],
    cache_write_1h: ["anthropic.usage.cache_creation.ephemeral_1h_input_tokens"],
  }),
  operations: OTEL_OPERATIONS,
  hides_cache_of: new Set(),
};
