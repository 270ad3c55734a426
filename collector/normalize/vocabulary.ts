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
  ["googleai", "google"],
  ["google-gla", "google"],
  ["google_genai", "google"],
  ["gcp.vertex_ai", "vertex"],
  ["google.vertex", "vertex"],
  ["google_vertexai", "vertex"],
  ["vertex_ai", "vertex"],
  ["vertexai", "vertex"],
  ["google-vertex", "vertex"],
  ["google.vertex.anthropic", "vertex"],
  ["googlevertex.anthropic", "vertex"],
  ["vertex.anthropic", "vertex"],
  ["vertexanthropic", "vertex"],
  ["aws.bedrock", "bedrock"],
  ["aws", "bedrock"],
  ["amazon-bedrock", "bedrock"],
  ["bedrock.anthropic", "bedrock"],
  ["amazon_bedrock", "bedrock"],
  ["bedrock_converse", "bedrock"],
  ["az.ai.openai", "azure"],
  ["azure.ai.openai", "azure"],
  ["az.ai.inference", "azure"],
  ["azure.ai.inference", "azure"],
  ["azure_openai", "azure"],
  ["azure-openai", "azure"],
  ["mistral_ai", "mistral"],
  ["mistralai", "mistral"],
  ["x_ai", "xai"],
  ["x-ai", "xai"],
  // Claude Code's `anthropic.provider`; `bedrock` and `vertex` are ours already.
  ["firstparty", "anthropic"],
  ["foundry", "azure"],
  // Gemini CLI's `auth_type`.
  ["gemini-api-key", "google"],
  ["oauth-personal", "google"],
  ["cloud-shell", "google"],
  ["compute-default-credentials", "google"],
  ["vertex-ai", "vertex"],
]);

/** Which API of a provider is called, as the AI SDK appends it: `azure-openai.chat`. */
const API_SUFFIX =
  /\.(chat|messages|responses|completions?|embeddings?|text-?embedding|image|transcription|speech)$/;

/** Values that instrumentations put where the provider belongs, and that are none. */
const NOT_PROVIDERS: ReadonlySet<string> = new Set([
  "strands-agents",
  "gcp.vertex.agent",
  "langchain",
  "crewai",
  "gateway",
  "_other",
  "unknown",
]);

/** Model families whose provider is certain when nobody named one. */
const MODEL_FAMILIES: readonly (readonly [RegExp, string])[] = [
  [/^(gpt-|o[1345](-|$)|chatgpt-|text-embedding-(3|ada))/, "openai"],
  [/^claude-/, "anthropic"],
  [
    /^([a-z-]{2,6}\.)?(anthropic|amazon|meta|cohere|ai21|mistral|deepseek|writer)\.[a-z]/,
    "bedrock",
  ],
  [/^gemini-/, "google"],
];

/**
 * Our name for the provider: the first of the words that names one, else by the family of the
 * model; empty when neither tells.
 */
export function nameProvider(sent: string | undefined, model: string, fallback?: string): string {
  for (const text of [sent, fallback]) {
    const word = text?.trim().toLowerCase() ?? "";
    if (word === "" || NOT_PROVIDERS.has(word)) continue;
    const bare = word.replace(API_SUFFIX, "");
    return PROVIDERS.get(word) ?? PROVIDERS.get(bare) ?? bare;
  }
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

/**
 * Ids that name no answer of a provider: those that the AI SDK makes up where a provider sends none,
 * and those of Anthropic's requests, which Claude Code puts in their place.
 */
const OTHER_ID = /^(?:ai(?:txt|obj)-[A-Za-z0-9]{16,}$|req_)/;

/** The provider's id of the answer; empty for any other id. */
export function nameResponseId(sent: string): string {
  return OTHER_ID.test(sent) ? "" : sent;
}

/** Service tiers in the words of Claude Code's `speed`; "fast" is Anthropic's own. */
const SERVICE_TIERS: ReadonlyMap<string, string> = new Map([["normal", "standard"]]);

/** Our word for the service tier, in lower case. */
export function nameServiceTier(sent: string): string {
  const word = sent.toLowerCase();
  return SERVICE_TIERS.get(word) ?? word;
}
