/**
 * Prices that providers state as a rule over other prices, as tables: the importer writes out every row
 * they make, so that the price files hold plain rows and a reviewer sees each.
 *
 * Invariant: a rule names its models one by one. A model that is not named has no such row and is
 * unpriced there, never standard.
 */
import type { FeeKind } from "../span.ts";

interface Evidence {
  readonly source: string;
  /** When the source was read, YYYY-MM-DD. */
  readonly evidence_date: string;
}

/** Rows that are other rows of the same models times a factor. */
export interface FactorRule extends Evidence {
  readonly provider: string;
  readonly models: readonly string[];
  /** The rows multiplied: those of this tier without regions; "any" for every tier. */
  readonly of_tier: string;
  /** The tier of the rows made; null keeps it. */
  readonly tier: string | null;
  readonly regions: readonly string[];
  /** A decimal. Fees are not multiplied: all of these rules speak of tokens. */
  readonly factor: string;
  /** What holds in regions that no row names, where the rule decides it. */
  readonly other_regions?: "unpriced";
}

/** Prices by the piece that every row of the models gets where it has none of that kind. */
export interface FeeRule extends Evidence {
  readonly provider: string;
  /** "all" for every model of the provider. */
  readonly models: readonly string[] | "all";
  readonly usd_per_thousand: Readonly<Partial<Record<FeeKind, string>>>;
}

/** Claude models since 4.5, by which cloud resellers and, since 4.6, Anthropic price by region. */
const CLAUDE_SINCE_4_6 = [
  "claude-fable-5",
  "claude-fable-5-1",
  "claude-fable-5-2",
  "claude-haiku-5-5",
  "claude-mythos-5-2",
  "claude-opus-4-6",
  "claude-opus-4-7",
  "claude-opus-4-8",
  "claude-opus-5",
  "claude-opus-5-5",
  "claude-sonnet-4-6",
  "claude-sonnet-5",
  "claude-sonnet-5-5",
];

/** OpenAI models released on or after 2026-03-05. */
const OPENAI_SINCE_MARCH_2026 = [
  "gpt-5.4",
  "gpt-5.4-mini",
  "gpt-5.4-nano",
  "gpt-5.4-pro",
  "gpt-5.5",
  "gpt-5.5-pro",
  "gpt-5.6-luna",
  "gpt-5.6-sol",
  "gpt-5.6-terra",
  "gpt-6-astra",
  "gpt-6-luna",
  "gpt-6-sol",
  "gpt-6.1-sol",
  "gpt-6.1-terra",
];

/** In the order applied: a later rule sees the rows of the earlier ones. */
export const FACTOR_RULES: readonly FactorRule[] = [
  {
    provider: "anthropic",
    models: [
      ...CLAUDE_SINCE_4_6,
      "claude-3-5-haiku-latest",
      "claude-3-5-sonnet",
      "claude-3-7-sonnet-latest",
      "claude-3-haiku",
      "claude-3-opus-latest",
      "claude-haiku-4-5",
      "claude-opus-4-0",
      "claude-opus-4-1",
      "claude-opus-4-5",
      "claude-sonnet-4-0",
      "claude-sonnet-4-5",
    ],
    of_tier: "standard",
    tier: "batch",
    regions: [],
    factor: "0.5",
    source: "Claude docs, pricing, batch processing: 50 % of the standard price of every class",
    evidence_date: "2026-10-14",
  },
  {
    provider: "anthropic",
    models: CLAUDE_SINCE_4_6,
    of_tier: "any",
    tier: null,
    regions: ["us"],
    factor: "1.1",
    other_regions: "unpriced",
    source:
      "Claude docs, pricing, data residency: inference_geo us costs 1.1x on every token class for 4.6 and newer, on top of the tiers",
    evidence_date: "2026-08-22",
  },
  {
    provider: "openai",
    models: OPENAI_SINCE_MARCH_2026,
    of_tier: "any",
    tier: null,
    regions: ["regional"],
    factor: "1.1",
    source:
      "developers.openai.com/api/docs/guides/data-residency: 10 % uplift on data residency endpoints for models released on or after 2026-03-05",
    evidence_date: "2026-11-21",
  },
  {
    provider: "vertex",
    models: [...CLAUDE_SINCE_4_6, "claude-haiku-4-5", "claude-opus-4-5", "claude-sonnet-4-5"],
    of_tier: "any",
    tier: null,
    regions: ["regional"],
    factor: "1.1",
    source:
      "Claude docs, pricing, third-party platforms: regional and multi-region endpoints cost 10 % more than global ones since Sonnet 4.5 and Haiku 4.5",
    evidence_date: "2026-08-22",
  },
];

const GEMINI_PRICING = "ai.google.dev/gemini-api/docs/pricing by genai-prices 0.2.3 (PyPI)";

export const FEE_RULES: readonly FeeRule[] = [
  {
    provider: "google",
    models: ["gemini-2.0-flash", "gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.5-pro"],
    usd_per_thousand: { grounding: "35" },
    source: `${GEMINI_PRICING}: grounding with Google Search, each grounded prompt, after the free ones`,
    evidence_date: "2026-10-14",
  },
  {
    provider: "google",
    models: [
      "gemini-3-flash-preview",
      "gemini-3-pro-image-preview",
      "gemini-3-pro-preview",
      "gemini-3.1-flash-image-preview",
      "gemini-3.1-flash-lite",
      "gemini-3.1-pro-preview",
      "gemini-3.5-flash",
      "gemini-3.5-flash-lite",
      "gemini-3.6-flash",
      "gemini-3.7-flash",
      "gemini-3.8-flash",
      "gemini-4-argon",
      "gemini-nano-banana-2.1",
    ],
    usd_per_thousand: { grounding: "14" },
    source: `${GEMINI_PRICING}: grounding with Google Search, each search query, after the free ones`,
    evidence_date: "2026-10-14",
  },
  {
    provider: "xai",
    models: "all",
    usd_per_thousand: { web_search: "5", code_interpreter: "5", file_search: "2.5" },
    source: "docs.x.ai/developers/pricing: tool invocation costs",
    evidence_date: "2026-11-21",
  },
];
