/**
 * The models the demo's services call, and how fast each answers. Speeds are of the right order of
 * magnitude and no measurement.
 *
 * Invariant: names are what the providers use, except the one model that no price book can know.
 */
import type { LogNormal } from "./random.ts";

/** A model as a service calls it. */
export interface Model {
  /** `gen_ai.request.model`. */
  readonly name: string;
  /** `gen_ai.response.model`: providers answer with a dated name where they have one. */
  readonly answers_as: string;
  readonly provider: "openai" | "anthropic" | "gcp.gemini" | "vllm";
  /** Time to the first chunk of an answer, ns. */
  readonly first_chunk_ns: LogNormal;
  /** Pace of what follows, tokens per second; 0 for models that answer at once. */
  readonly tokens_per_s: number;
}

const MS = 1_000_000;

function firstChunk(median_ms: number): LogNormal {
  return { median: median_ms * MS, sigma: 0.45, maximum: 20_000 * MS };
}

export const GPT_4O_MINI: Model = {
  name: "gpt-4o-mini",
  answers_as: "gpt-4o-mini-2024-07-18",
  provider: "openai",
  first_chunk_ns: firstChunk(420),
  tokens_per_s: 85,
};

export const GPT_4_1: Model = {
  name: "gpt-4.1",
  answers_as: "gpt-4.1-2025-04-14",
  provider: "openai",
  first_chunk_ns: firstChunk(620),
  tokens_per_s: 70,
};

export const GPT_5_MINI: Model = {
  name: "gpt-5-mini",
  answers_as: "gpt-5-mini-2025-08-07",
  provider: "openai",
  first_chunk_ns: firstChunk(2_600),
  tokens_per_s: 110,
};

export const TEXT_EMBEDDING_3_SMALL: Model = {
  name: "text-embedding-3-small",
  answers_as: "text-embedding-3-small",
  provider: "openai",
  first_chunk_ns: firstChunk(110),
  tokens_per_s: 0,
};

export const CLAUDE_SONNET_4_5: Model = {
  name: "claude-sonnet-4-5",
  answers_as: "claude-sonnet-4-5-20250929",
  provider: "anthropic",
  first_chunk_ns: firstChunk(1_100),
  tokens_per_s: 65,
};

export const CLAUDE_HAIKU_4_5: Model = {
  name: "claude-haiku-4-5",
  answers_as: "claude-haiku-4-5-20251001",
  provider: "anthropic",
  first_chunk_ns: firstChunk(540),
  tokens_per_s: 130,
};

export const GEMINI_2_5_FLASH: Model = {
  name: "gemini-2.5-flash",
  answers_as: "gemini-2.5-flash",
  provider: "gcp.gemini",
  first_chunk_ns: firstChunk(480),
  tokens_per_s: 190,
};

/** A model somebody runs themselves: it has no list price, and the ledger says so. */
export const INHOUSE_SUMMARIZER: Model = {
  name: "acme-summarizer-7b",
  answers_as: "acme-summarizer-7b",
  provider: "vllm",
  first_chunk_ns: firstChunk(180),
  tokens_per_s: 45,
};
