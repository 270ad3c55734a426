/**
 * OpenLIT, JavaScript and Python (dialects.md section 16). The scope names the instrumentation that
 * patched the SDK, which need not be that of the provider.
 *
 * Invariant: the total is the emitter's own sum of the other two and proves nothing, so it is not
 * read. A cost of 0 stands for an unknown price.
 */
import type { Scope } from "../../schemas/span.ts";
import { type Dialect, extendKeys, ORDINARY, withoutKeys } from "./dialect.ts";
import { OTEL_GENAI_EVENT } from "./otel-genai-event.ts";
import { OPERATION_KINDS, OTEL_FIELDS, OTEL_USAGE } from "./otel-genai.ts";
import { registerKeys, type SlotValues } from "./slots.ts";
import { readFlag } from "./values.ts";

const SDK_NAME = registerKeys("telemetry.sdk.name");
const STREAMING = OTEL_FIELDS.streaming;
const PROVIDER_COUNTS = [
  ...OTEL_USAGE.cache_read,
  ...OTEL_USAGE.cache_write,
  ...OTEL_USAGE.reasoning,
];

const GOOGLE = new Set(["google", "vertex"]);

/** Providers that send usage in every stream. */
const TELLS_IN_STREAMS: ReadonlySet<string> = new Set([
  "anthropic",
  "bedrock",
  "cohere",
  "google",
  "vertex",
]);

/** Where a stream brought no usage it is counted locally, and nothing on the span says so. */
function estimateStream(values: SlotValues, provider: string): string | undefined {
  if (readFlag(values.first(STREAMING)) !== true) return undefined;
  if (TELLS_IN_STREAMS.has(provider) || values.has(PROVIDER_COUNTS)) return undefined;
  return "this instrumentation estimates streams without usage and does not tell which are";
}

/** The first message of Anthropic's stream counts some output, which the last one counts again. */
function estimateStreamJs(values: SlotValues, provider: string): string | undefined {
  if (provider === "anthropic" && readFlag(values.first(STREAMING)) === true) {
    return "this instrumentation counts the first tokens of a stream twice";
  }
  return estimateStream(values, provider);
}

const OPENLIT: Dialect = {
  ...ORDINARY,
  name: "openlit",
  matches: (scope: Scope, values) =>
    scope.name.startsWith("openlit") || values.first(SDK_NAME) === "openlit",
  fields: extendKeys(OTEL_FIELDS, {
    ttft_s: ["gen_ai.server.time_to_first_token", "gen_ai.server.ttft"],
  }),
  usage: withoutKeys(OTEL_USAGE, ["total"]),
  kinds: [OPERATION_KINDS],
  input_excludes_cache_of: new Set(["anthropic", "bedrock"]),
  output_excludes_reasoning_of: GOOGLE,
  hides_reasoning_of: GOOGLE,
  estimate: estimateStream,
};

const OPENLIT_JS: Dialect = {
  ...OPENLIT,
  name: "openlit-js",
  matches: (scope) => scope.name.startsWith("@openlit/"),
  estimate: estimateStreamJs,
};

/** An event does not say whether the answer was streamed, so it may repeat the guess of its span. */
function estimateEvent(values: SlotValues, provider: string): string | undefined {
  if (values.has(PROVIDER_COUNTS) || (provider !== "anthropic" && TELLS_IN_STREAMS.has(provider))) {
    return undefined;
  }
  return "this instrumentation estimates streams and its events do not tell which calls are";
}

/** The event beside each span, with the two totals of that span and no count of the cache. */
export const OPENLIT_EVENT: Dialect = {
  ...OPENLIT,
  matches: (scope, values) =>
    scope.name.startsWith("openlit") && OTEL_GENAI_EVENT.matches(scope, values),
  kinds: OTEL_GENAI_EVENT.kinds,
  hides_cache_of: "all",
  estimate: estimateEvent,
};

/** Most particular first. */
export const OPENLIT_DIALECTS: readonly Dialect[] = [OPENLIT_JS, OPENLIT];
