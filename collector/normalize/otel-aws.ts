/**
 * OpenTelemetry's instrumentations of the AWS SDKs, JavaScript and Python, for Bedrock (dialects.md
 * section 2.3): `chat {model}` for Converse, and no operation for InvokeModel.
 *
 * Invariant: input leaves the cached tokens out and nothing tells them: it is a lower bound.
 */
import { type Dialect, kindsOf, ORDINARY } from "./dialect.ts";
import { OPERATION_KINDS, OTEL_FIELDS, OTEL_GENAI, OTEL_USAGE } from "./otel-genai.ts";
import { registerKeys, type SlotValues } from "./slots.ts";
import { readText } from "./values.ts";

const SCOPE =
  /^(@opentelemetry\/instrumentation-aws-sdk$|opentelemetry\.instrumentation\.botocore)/;

const METHOD = registerKeys("rpc.method");

/** The method alone tells whether the answer was streamed, and InvokeModel has no operation. */
const METHODS = kindsOf([
  ["billable", "", "Converse InvokeModel", false],
  ["billable", "", "ConverseStream InvokeModelWithResponseStream", true],
]);

/** InvokeModel passes on what the body of each model says, and makes up what it does not say. */
function estimateInvoke(values: SlotValues): string | undefined {
  const method = readText(values.first(METHOD)) ?? "";
  if (!method.startsWith("InvokeModel")) return undefined;
  const model = readText(values.first(OTEL_FIELDS.request_model)) ?? "";
  if (/mistral|cohere/.test(model)) {
    return "this instrumentation guesses the tokens from the length of the text";
  }
  return method.endsWith("Stream") && model.includes("anthropic.claude")
    ? "this instrumentation keeps the output count of the stream's first event: a lower bound"
    : undefined;
}

export const OTEL_AWS: Dialect = {
  ...ORDINARY,
  name: "otel-aws",
  // Spans of other services of AWS have the same scope and name no model.
  matches: (scope, values) => SCOPE.test(scope.name) && OTEL_GENAI.matches(scope, values),
  fields: OTEL_FIELDS,
  usage: OTEL_USAGE,
  kinds: [{ keys: METHOD, kinds: METHODS }, OPERATION_KINDS],
  input_excludes_cache_of: "all",
  hides_cache_of: "all",
  estimate: estimateInvoke,
};
