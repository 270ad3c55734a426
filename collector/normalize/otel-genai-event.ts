/**
 * The event `gen_ai.client.inference.operation.details` of the OpenTelemetry GenAI conventions
 * (v1.37, dialects.md section 2.1): one call as a log record, with the attributes of its span.
 *
 * Invariant: its span is its parent, so where both arrive the counting rules take one. An event that
 * tells neither usage nor an error announces a request and is no call.
 */
import type { Dialect } from "./dialect.ts";
import { kindsOf } from "./dialect.ts";
import { OPERATION_KINDS, OTEL_GENAI, OTEL_USAGE } from "./otel-genai.ts";
import { registerKeys } from "./slots.ts";

const EVENT = "gen_ai.client.inference.operation.details";
const EVENT_NAME = registerKeys("event.name");
const TELLING = [...OTEL_USAGE.input, ...OTEL_USAGE.output, ...OTEL_GENAI.fields.error_type];

export const OTEL_GENAI_EVENT: Dialect = {
  ...OTEL_GENAI,
  matches: (_scope, values) => values.first(EVENT_NAME) === EVENT && values.has(TELLING),
  kinds: [OPERATION_KINDS, { keys: EVENT_NAME, kinds: kindsOf([["billable", "", EVENT]]) }],
};
