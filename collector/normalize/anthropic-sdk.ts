/**
 * The spans that Anthropic's own SDK makes (dialects.md section 3), and those that Anthropic can push
 * itself: the OpenTelemetry conventions with the stop reason and the tier under its own names.
 */
import { extendKeys, type Dialect, ORDINARY } from "./dialect.ts";
import { OPERATION_KINDS, OTEL_FIELDS, OTEL_USAGE } from "./otel-genai.ts";

export const ANTHROPIC_SDK: Dialect = {
  ...ORDINARY,
  name: "anthropic-sdk",
  matches: (scope) => /^com\.anthropic\.(sdk\.|claude-platform$)/.test(scope.name),
  fields: extendKeys(OTEL_FIELDS, {
    finish_reason: ["anthropic.message.stop_reason"],
    service_tier: ["anthropic.response.service_tier"],
    region: ["anthropic.response.inference_geo", "anthropic.usage.inference_geo"],
  }),
  usage: extendKeys(OTEL_USAGE, {
    web_search: [
      "anthropic.usage.server_tool_use.web_search_requests",
      "anthropic.usage.web_search_requests",
    ],
  }),
  kinds: [OPERATION_KINDS],
};
