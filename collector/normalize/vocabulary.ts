/**
 * Words that differ between emitters and mean the same (dialects.md section 1.7), as tables.
 */

/** Provider spellings to ours. A spelling that is not here is kept, in lower case. */
const PROVIDERS: ReadonlyMap<string, string> = new Map([
  ["openai.chat", "openai"],
  ["openai.responses", "openai"],
  ["openai.completion", "openai"],
  ["openai.embedding", "openai"],
  ["anthropic.messages", "anthropic"],
  ["google.generative-ai", "google"],
  ["gcp.gen_ai", "google"],
  ["gcp.gemini", "google"],
  ["gemini", "google"],
  ["google_genai", "google"],
  ["gcp.vertex_ai", "vertex"],
  ["google.vertex", "vertex"],
  ["google_vertexai", "vertex"],
  ["vertex_ai", "vertex"],
  ["vertexai", "vertex"],
  ["aws.bedrock", "bedrock"],
  ["aws", "bedrock"],
  ["amazon-bedrock", "bedrock"],
  ["az.ai.openai", "azure"],
  ["azure.ai.openai", "azure"],
  ["az.ai.inference", "azure"],
  ["azure.ai.inference", "azure"],
  ["azure_openai", "azure"],
  ["mistral_ai", "mistral"],
  ["mistralai", "mistral"],
  ["x_ai", "xai"],
  ["x-ai", "xai"],
]);

/** Values that instrumentations put where the provider belongs, and that are none. */
const NOT_PROVIDERS: ReadonlySet<string> = new Set([
  "strands-agents",
  "gcp.vertex.agent",
  "langchain",
  "crewai",
  "_other",
  "unknown",
]);

/** Model families whose provider is certain when nobody named one. */
const MODEL_FAMILIES: readonly (readonly [RegExp, string])[] = [
  [/^(gpt-|o[1345](-|$)|chatgpt-|text-embedding-(3|ada))/, "openai"],
  [/^claude-/, "anthropic"],
  [/^gemini-/, "google"],
];

/** Our name for the provider; empty when neither the source nor the model tells. */
export function nameProvider(sent: string | undefined, model: string): string {
  const word = sent?.trim().toLowerCase() ?? "";
  if (word !== "" && !NOT_PROVIDERS.has(word)) return PROVIDERS.get(word) ?? word;
  const lower = model.toLowerCase();
  for (const [pattern, provider] of MODEL_FAMILIES) if (pattern.test(lower)) return provider;
  return "";
}

/** Finish reasons to the words of the OpenTelemetry GenAI output message schema. */
const FINISH_REASONS: ReadonlyMap<string, string> = new Map([
  ["tool_calls", "tool_call"],
  ["tool-calls", "tool_call"],
  ["tool_use", "tool_call"],
  ["tooluse", "tool_call"],
  ["function_call", "tool_call"],
  ["end_turn", "stop"],
  ["endturn", "stop"],
  ["stop_sequence", "stop"],
  ["completed", "stop"],
  ["max_tokens", "length"],
  ["max_output_tokens", "length"],
  ["content-filter", "content_filter"],
  ["safety", "content_filter"],
  ["refusal", "content_filter"],
]);

/** Our word for why the model stopped. */
export function nameFinishReason(sent: string | undefined): string {
  const word = sent?.toLowerCase() ?? "";
  return FINISH_REASONS.get(word) ?? word;
}
