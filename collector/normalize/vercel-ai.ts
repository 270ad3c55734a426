/**
 * The Vercel AI SDK (dialects.md section 6): `experimental_telemetry` of v4, v5 and v6, also as
 * `LegacyOpenTelemetry` of v7, and the `OpenTelemetry` of `@ai-sdk/otel` for v7.
 *
 * Invariant: no span names the SDK's version; which counts it carries tells the semantics. v4 and v5
 * pass the provider's input on; from v6 on input holds the cache and output the reasoning, always.
 */
import { type Dialect, extendKeys, kindsOf, ORDINARY } from "./dialect.ts";
import { OPERATION_KINDS, OTEL_FIELDS, OTEL_USAGE } from "./otel-genai.ts";
import { registerKeys, type SlotValues } from "./slots.ts";
import { readProviderMetadata } from "./vercel-metadata.ts";

const OPERATION = registerKeys("ai.operationId");

/** Where the application's own words stand: its metadata up to v6, its runtime context from v7 on. */
function keysOfApplication(...words: string[]): string[] {
  const places = ["ai.telemetry.metadata.", "ai.settings.context."];
  return places.flatMap((place) => words.map((word) => place + word));
}

const FIELDS = extendKeys(OTEL_FIELDS, {
  // What the tables below do not list is judged by it, never by its model alone.
  operation: ["ai.operationId"],
  provider: ["ai.model.provider"],
  request_model: ["ai.model.id"],
  response_model: ["ai.response.model"],
  response_id: ["ai.response.id"],
  finish_reason: ["ai.response.finishReason"],
  // Streams of text, then of objects.
  ttft_ms: ["ai.response.msToFirstChunk", "ai.stream.msToFirstChunk"],
  user_id: keysOfApplication("userId", "user_id"),
  session_id: keysOfApplication(
    "sessionId",
    "session_id",
    "conversationId",
    "conversation_id",
    "threadId",
    "thread_id",
    "chatId",
    "chat_id",
  ),
  agent_name: ["ai.telemetry.functionId"],
});

const USAGE = extendKeys(OTEL_USAGE, {
  input: ["ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens"],
  output: ["ai.usage.outputTokens", "ai.usage.completionTokens"],
  total: ["ai.usage.totalTokens"],
  input_uncached: ["ai.usage.inputTokenDetails.noCacheTokens"],
  cache_read: ["ai.usage.inputTokenDetails.cacheReadTokens", "ai.usage.cachedInputTokens"],
  cache_write: ["ai.usage.inputTokenDetails.cacheWriteTokens"],
  reasoning: ["ai.usage.outputTokenDetails.reasoningTokens", "ai.usage.reasoningTokens"],
});

/** Counts that only v6 and later send. */
const DETAILS = registerKeys(
  "ai.usage.inputTokenDetails.noCacheTokens",
  "ai.usage.inputTokenDetails.cacheReadTokens",
  "ai.usage.inputTokenDetails.cacheWriteTokens",
  "ai.usage.outputTokenDetails.textTokens",
  "ai.usage.outputTokenDetails.reasoningTokens",
);

/** The names of v5, which come with cached and reasoning tokens wherever the provider sent them. */
const NAMES_OF_V5 = registerKeys("ai.usage.inputTokens", "ai.usage.outputTokens");

const OPERATION_IDS = kindsOf([
  ["billable", "chat", "ai.generateText.doGenerate ai.generateObject.doGenerate", false],
  ["billable", "chat", "ai.streamText.doStream ai.streamObject.doStream", true],
  ["billable", "embeddings", "ai.embed.doEmbed ai.embedMany.doEmbed"],
  ["billable", "rerank", "ai.rerank.doRerank"],
  ["aggregate", "chat", "ai.generateText ai.generateObject", false],
  ["aggregate", "chat", "ai.streamText ai.streamObject", true],
  ["aggregate", "embeddings", "ai.embed ai.embedMany"],
  ["aggregate", "rerank", "ai.rerank"],
  ["tool", "", "ai.toolCall"],
]);

/** On a parent it is the metadata of the last step, beside the usage of all of them. */
const PAYLOADS = [
  {
    keys: registerKeys("ai.response.providerMetadata"),
    of_calls_only: true,
    read: readProviderMetadata,
  },
];

/** From v6 on: input and output are totals, whatever the provider. */
export const VERCEL_AI_6: Dialect = {
  ...ORDINARY,
  name: "vercel-ai",
  matches: (_scope, values) => values.has(OPERATION) && values.has(DETAILS),
  fields: FIELDS,
  usage: USAGE,
  kinds: [{ keys: OPERATION, kinds: OPERATION_IDS }],
  payloads: PAYLOADS,
};

/** v5 where it sends all that it knows (streams): input and output as the provider counts them. */
export const VERCEL_AI_5: Dialect = {
  ...VERCEL_AI_6,
  matches: (_scope, values) => values.has(OPERATION) && values.has(NAMES_OF_V5),
  input_excludes_cache_of: new Set(["anthropic", "bedrock"]),
  output_excludes_reasoning_of: new Set(["google", "vertex", "xai"]),
};

/**
 * v4, and all that keeps its two names: `generateText` of v5, `generateObject` up to v6. What the
 * metadata does not tell of the cache and of reasoning is lost.
 */
export const VERCEL_AI_4: Dialect = {
  ...VERCEL_AI_5,
  matches: (_scope, values) => values.has(OPERATION),
  hides_cache_of: new Set([
    "openai",
    "azure",
    "anthropic",
    "bedrock",
    "google",
    "vertex",
    "xai",
    "deepseek",
    "groq",
    "openrouter",
  ]),
  hides_reasoning_of: new Set(["google", "vertex", "xai"]),
};

const WRITES_CACHE: ReadonlySet<string> = new Set(["anthropic", "bedrock", "vertex"]);

/** v7 leaves the writes of `generateObject` out, which the input holds; of text it sends them, or 0. */
function missesWrites(values: SlotValues, provider: string): string | undefined {
  const is_split = values.has(USAGE.cache_read) && !values.has(USAGE.cache_write);
  if (!is_split || !WRITES_CACHE.has(provider) || values.has(DETAILS)) return undefined;
  return "this instrumentation hides cache writes of objects: they are taken as uncached";
}

/** `@ai-sdk/otel`: the conventions, and with its options the details of v6 beside them. */
export const VERCEL_AI_7: Dialect = {
  ...VERCEL_AI_6,
  name: "vercel-ai-7",
  matches: (scope) => scope.name === "gen_ai",
  kinds: [OPERATION_KINDS],
  estimate: missesWrites,
};
