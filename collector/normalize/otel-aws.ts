/**
 * OpenTelemetry's instrumentations of the AWS SDKs, JavaScript and Python, for Bedrock (dialects.md
 * section 2.3): `chat {model}` for Converse, and no operation for InvokeModel.
 *
 * Invariant: input leaves the cached tokens out and nothing tells them: it is a lower bound.
 */
import { type Dialect, ORDINARY } from "./dialect.ts";
import { OPERATION_KINDS, OTEL_FIELDS, OTEL_GENAI, OTEL_USAGE } from "./otel-genai.ts";

const SCOPE =
  /^(@opentelemetry\/instrumentation-aws-sdk$|opentelemetry\.instrumentation\.botocore)/;

export const OTEL_AWS: Dialect = {
  ...ORDINARY,
  name: "otel-aws",
  // Spans of other services of AWS have the same scope and name no model.
  matches: (scope, values) => SCOPE.test(scope.name) && OTEL_GENAI.matches(scope, values),
  fields: OTEL_FIELDS,
  usage: OTEL_USAGE,
  kinds: [OPERATION_KINDS],
  input_excludes_cache_of: "all",
  hides_cache_of: "all",
};
