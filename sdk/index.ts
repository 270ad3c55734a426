/**
 * Puts what a provider reports about a call onto an OpenTelemetry span, complete and by the GenAI
 * conventions: the totals include the cache, and the cached, written and reasoning parts stand beside
 * them. Many instrumentations drop these parts, and no backend can price a call right without them.
 */
import type { Attributes, Span } from "@opentelemetry/api";

/** Usage of OpenAI's chat completions, responses and embeddings, as the API returns it. */
export interface OpenAIUsage {
  readonly prompt_tokens?: number | null;
  readonly completion_tokens?: number | null;
  readonly input_tokens?: number | null;
  readonly output_tokens?: number | null;
  readonly prompt_tokens_details?: OpenAIInputDetails | null;
  readonly input_tokens_details?: OpenAIInputDetails | null;
  readonly completion_tokens_details?: OpenAIOutputDetails | null;
  readonly output_tokens_details?: OpenAIOutputDetails | null;
}

interface OpenAIInputDetails {
  readonly cached_tokens?: number | null;
  readonly audio_tokens?: number | null;
}

interface OpenAIOutputDetails {
  readonly reasoning_tokens?: number | null;
  readonly audio_tokens?: number | null;
}

/** Usage of Anthropic's messages, as the API returns it: `input_tokens` excludes the cache. */
export interface AnthropicUsage {
  readonly input_tokens: number;
  readonly output_tokens: number;
  readonly cache_read_input_tokens?: number | null;
  readonly cache_creation_input_tokens?: number | null;
  readonly cache_creation?: {
    readonly ephemeral_5m_input_tokens?: number | null;
    readonly ephemeral_1h_input_tokens?: number | null;
  } | null;
}

/** `usageMetadata` of Google's Gemini API: candidates exclude thoughts. */
export interface GoogleUsage {
  readonly promptTokenCount?: number | null;
  readonly candidatesTokenCount?: number | null;
  readonly cachedContentTokenCount?: number | null;
  readonly thoughtsTokenCount?: number | null;
  readonly toolUsePromptTokenCount?: number | null;
}

/** What is known of a call besides its usage. */
export interface CallFacts {
  /** "chat", "embeddings", ... */
  readonly operation: string;
  /** "openai", "anthropic", "gcp.gemini", ... */
  readonly provider: string;
  readonly request_model?: string;
  readonly response_model?: string;
  readonly response_id?: string;
  readonly finish_reason?: string;
  readonly streaming?: boolean;
  readonly user_id?: string;
  readonly session_id?: string;
  /** Tags of the call in Spanledger; each becomes the attribute `spanledger.tag.<name>`. */
  readonly tags?: Readonly<Record<string, string>>;
}

type Count = number | null | undefined;

/** Sets the attributes whose value is known; an unknown count is left out, never zero. */
function known(counts: Readonly<Record<string, Count>>): Attributes {
  const attributes: Attributes = {};
  for (const [key, count] of Object.entries(counts)) {
    if (typeof count === "number") attributes[key] = count;
  }
  return attributes;
}

function sum(...counts: Count[]): Count {
  const present = counts.filter((count) => typeof count === "number");
  return present.length === 0 ? undefined : present.reduce((total, count) => total + count, 0);
}

/** Attributes of a usage of OpenAI, whose totals already include their parts. */
export function usageOfOpenAI(usage: OpenAIUsage): Attributes {
  const input = usage.prompt_tokens_details ?? usage.input_tokens_details;
  const output = usage.completion_tokens_details ?? usage.output_tokens_details;
  return known({
    "gen_ai.usage.input_tokens": usage.prompt_tokens ?? usage.input_tokens,
    "gen_ai.usage.output_tokens": usage.completion_tokens ?? usage.output_tokens,
    "gen_ai.usage.cache_read.input_tokens": input?.cached_tokens,
    "gen_ai.usage.audio.input_tokens": input?.audio_tokens,
    "gen_ai.usage.reasoning.output_tokens": output?.reasoning_tokens,
    "gen_ai.usage.audio.output_tokens": output?.audio_tokens,
  });
}

/** Attributes of a usage of Anthropic: the total is the sum of what it keeps apart. */
export function usageOfAnthropic(usage: AnthropicUsage): Attributes {
  const { cache_creation, cache_read_input_tokens, cache_creation_input_tokens } = usage;
  return known({
    "gen_ai.usage.input_tokens": sum(
      usage.input_tokens,
      cache_read_input_tokens,
      cache_creation_input_tokens,
    ),
    "gen_ai.usage.output_tokens": usage.output_tokens,
    "gen_ai.usage.cache_read.input_tokens": cache_read_input_tokens,
    "gen_ai.usage.cache_creation.input_tokens": cache_creation_input_tokens,
    "anthropic.usage.cache_creation.ephemeral_5m_input_tokens":
      cache_creation?.ephemeral_5m_input_tokens,
    "anthropic.usage.cache_creation.ephemeral_1h_input_tokens":
      cache_creation?.ephemeral_1h_input_tokens,
  });
}

/** Attributes of a usage of Gemini: tool prompts are input, thoughts are output. */
export function usageOfGoogle(usage: GoogleUsage): Attributes {
  return known({
    "gen_ai.usage.input_tokens": sum(usage.promptTokenCount, usage.toolUsePromptTokenCount),
    "gen_ai.usage.output_tokens": sum(usage.candidatesTokenCount, usage.thoughtsTokenCount),
    "gen_ai.usage.cache_read.input_tokens": usage.cachedContentTokenCount,
    "gen_ai.usage.reasoning.output_tokens": usage.thoughtsTokenCount,
  });
}

/**
 * Records a call on a span.
 *
 * @example
 * const answer = await openai.chat.completions.create(request);
 * recordCall(span, { operation: "chat", provider: "openai", request_model: request.model,
 *   response_model: answer.model, response_id: answer.id }, usageOfOpenAI(answer.usage));
 */
export function recordCall(span: Span, facts: CallFacts, usage: Attributes = {}): void {
  const texts: readonly (readonly [string, string | undefined])[] = [
    ["gen_ai.operation.name", facts.operation],
    ["gen_ai.provider.name", facts.provider],
    ["gen_ai.request.model", facts.request_model],
    ["gen_ai.response.model", facts.response_model],
    ["gen_ai.response.id", facts.response_id],
    ["user.id", facts.user_id],
    ["gen_ai.conversation.id", facts.session_id],
    ...Object.entries(facts.tags ?? {}).map(
      ([name, value]) => [`spanledger.tag.${name}`, value] as const,
    ),
  ];
  for (const [key, value] of texts) if (value !== undefined) span.setAttribute(key, value);
  if (facts.finish_reason !== undefined) {
    span.setAttribute("gen_ai.response.finish_reasons", [facts.finish_reason]);
  }
  if (facts.streaming !== undefined) {
    span.setAttribute("gen_ai.request.stream", facts.streaming);
  }
  span.setAttributes(usage);
}
