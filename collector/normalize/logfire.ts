/**
 * Logfire's own instrumentation of provider SDKs in Python, `instrument_openai` and
 * `instrument_anthropic` (dialects.md section 9): the request and a digest of the answer as JSON.
 *
 * Invariant: a streamed answer is told by a second, log-like span; the span of its request is then
 * no call. Logfire for JavaScript uses OpenTelemetry's instrumentation, and its dialect.
 */
import type { Scope } from "../../schemas/span.ts";
import { type Dialect, extendKeys, kindsOf, ORDINARY } from "./dialect.ts";
import { OPERATION_KINDS, OTEL_FIELDS, OTEL_USAGE } from "./otel-genai.ts";
import { at, firstOf, type Json, type PayloadFacts } from "./payload.ts";
import { readUsageObject } from "./provider-usage.ts";
import { registerKeys, type SlotValues } from "./slots.ts";

const SCOPES: ReadonlySet<string> = new Set([
  "logfire.openai",
  "logfire.anthropic",
  "logfire.azure_ai_inference",
]);

const REQUEST = registerKeys("request_data");
const RESPONSE = registerKeys("response_data");
const LEVEL = registerKeys("logfire.level_num");

/** Logfire's number for errors. */
const ERROR_LEVEL = 17;

/** The usage of the answer, as the provider's SDK received it. */
function readResponse(response: Json): PayloadFacts {
  const counts = readUsageObject(at(response, "usage"));
  return {
    ...(counts === undefined ? {} : { counts }),
    finish_reason: at(response, "finish_reason"),
    service_tier: firstOf(at(response, "service_tier"), at(response, "usage", "service_tier")),
  };
}

function readRawUsage(usage: Json): PayloadFacts | undefined {
  const counts = readUsageObject(usage);
  return counts === undefined ? undefined : { counts };
}

function readRequest(request: Json): PayloadFacts {
  return {
    request_model: at(request, "model"),
    streaming: at(request, "stream"),
    user_id: at(request, "user"),
  };
}

function isLogfire(scope: Scope): boolean {
  return SCOPES.has(scope.name);
}

export const LOGFIRE: Dialect = {
  ...ORDINARY,
  name: "logfire",
  matches: (scope) => isLogfire(scope),
  fields: extendKeys(OTEL_FIELDS, { client_cost_usd: ["operation.cost"] }),
  usage: OTEL_USAGE,
  kinds: [OPERATION_KINDS],
  payloads: [
    { keys: RESPONSE, read: readResponse },
    { keys: registerKeys("gen_ai.usage.raw"), read: readRawUsage },
    { keys: REQUEST, read: readRequest },
  ],
};

/** A quote that a backslash escapes stands in a prompt, not in the request. */
const IS_STREAMED = /[{,]\s*"stream":\s*true\b/;

function isStreamRequest(values: SlotValues): boolean {
  const request = values.first(REQUEST);
  return (
    typeof request === "string" &&
    IS_STREAMED.test(request) &&
    !values.has(RESPONSE) &&
    !values.has([...OTEL_USAGE.input, ...OTEL_USAGE.output])
  );
}

/** The request of a stream that began: what came is on the span beside it. */
export const LOGFIRE_STREAM: Dialect = {
  ...LOGFIRE,
  matches: (scope, values) =>
    isLogfire(scope) && isStreamRequest(values) && !(Number(values.first(LEVEL)) >= ERROR_LEVEL),
  kinds: [
    {
      keys: registerKeys("logfire.span_type"),
      kinds: kindsOf([["structure", "", "span pending_span"]]),
    },
    OPERATION_KINDS,
  ],
};
