/**
 * One model call: how many tokens, how long, and how it fails.
 *
 * Invariant: a call that fails has no usage; a cached token is not an uncached one.
 */
import type { Model } from "./models.ts";
import type { DemoCall, DemoFailure, DemoUsage } from "./plan.ts";
import { drawLogNormal, drawTokens, happens, type LogNormal, type Random } from "./random.ts";

/** What a kind of call asks of a model. */
export interface Workload {
  readonly operation: "chat" | "embeddings";
  readonly streaming: boolean;
  /** Tokens of the whole prompt. */
  readonly input: LogNormal;
  /** Tokens of the visible answer; null for calls that answer without tokens. */
  readonly output: LogNormal | null;
  /** Tokens of reasoning before the answer; null for models that do not reason. */
  readonly reasoning: LogNormal | null;
  /** Share of calls whose prompt begins like an earlier one, 0 to 1. */
  readonly cached_share: number;
  /** Tokens that such prompts share. */
  readonly cached_tokens: number;
}

/** A call with what an instrumentation saw of it. */
export interface ObservedCall {
  readonly model: Model;
  readonly operation: Workload["operation"];
  readonly streaming: boolean;
  readonly duration_ns: bigint;
  /** Null when nothing was streamed or nothing came. */
  readonly first_chunk_ns: bigint | null;
  readonly finish_reason: "stop" | "length" | "tool_calls" | null;
  readonly truth: DemoCall;
}

/** Ways to fail that providers have; a timeout has no status because no answer came. */
export type FailureKind = "rate_limit" | "server_error" | "timeout";

const FAILURE_SHARES: readonly (readonly [FailureKind, number])[] = [
  ["rate_limit", 0.015],
  ["server_error", 0.004],
  ["timeout", 0.003],
];

/** How long clients of the demo wait for an answer, ns. */
const TIMEOUT_NS = 30_000_000_000n;
/** Refusals come fast. */
const REFUSAL_NS: LogNormal = { median: 60_000_000, sigma: 0.4, maximum: 1_000_000_000 };
const SERVER_ERROR_NS: LogNormal = { median: 900_000_000, sigma: 0.7, maximum: 10_000_000_000 };
/** Answers of the demo stop here at the latest, tokens: they carry finish reason "length". */
const MAX_OUTPUT_TOKENS = 4_096;

const OPENAI_FAILURES: Readonly<Record<FailureKind, DemoFailure>> = {
  rate_limit: {
    error_type: "RateLimitError",
    http_status: 429,
    message: "429 Rate limit reached for requests",
  },
  server_error: {
    error_type: "InternalServerError",
    http_status: 500,
    message: "500 The server had an error while processing your request",
  },
  timeout: {
    error_type: "APIConnectionTimeoutError",
    http_status: null,
    message: "Request timed out.",
  },
};

const ANTHROPIC_FAILURES: Readonly<Record<FailureKind, DemoFailure>> = {
  rate_limit: { error_type: "rate_limit_error", http_status: 429, message: "429 rate_limit_error" },
  server_error: { error_type: "api_error", http_status: 500, message: "500 api_error" },
  timeout: OPENAI_FAILURES.timeout,
};

/** Which way a call fails; null for most. */
export function drawFailure(random: Random): FailureKind | null {
  let rest = random();
  for (const [kind, share] of FAILURE_SHARES) {
    rest -= share;
    if (rest < 0) return kind;
  }
  return null;
}

/** A call that fails: no usage, no answer, nothing to pay. */
export function failCall(
  random: Random,
  model: Model,
  workload: Workload,
  kind: FailureKind,
): ObservedCall {
  const failures = model.provider === "anthropic" ? ANTHROPIC_FAILURES : OPENAI_FAILURES;
  const refused = drawLogNormal(random, kind === "rate_limit" ? REFUSAL_NS : SERVER_ERROR_NS);
  return {
    model,
    operation: workload.operation,
    streaming: workload.streaming,
    duration_ns: kind === "timeout" ? TIMEOUT_NS : wholeNs(refused),
    first_chunk_ns: null,
    finish_reason: null,
    truth: { model: model.name, usage: null, failure: failures[kind] },
  };
}

/** A call that succeeds, with tokens drawn from the workload. */
export function answerCall(random: Random, model: Model, workload: Workload): ObservedCall {
  const wanted = workload.output === null ? 0 : drawTokens(random, workload.output);
  const reasoning = workload.reasoning === null ? 0 : drawTokens(random, workload.reasoning);
  const output_text = Math.min(wanted, MAX_OUTPUT_TOKENS);
  const input = splitInput(random, model, workload, drawTokens(random, workload.input));
  const call = timeCall(random, model, workload, {
    ...input,
    output_text,
    output_reasoning: reasoning,
  });
  if (workload.operation === "embeddings") return call;
  return { ...call, finish_reason: wanted > MAX_OUTPUT_TOKENS ? "length" : "stop" };
}

/** A call that succeeds with the given usage. */
export function timeCall(
  random: Random,
  model: Model,
  workload: Workload,
  usage: DemoUsage,
): ObservedCall {
  const first_chunk_ns = wholeNs(drawLogNormal(random, model.first_chunk_ns));
  const tokens = usage.output_text + usage.output_reasoning;
  const rest_ns = model.tokens_per_s === 0 ? 0 : (tokens / model.tokens_per_s) * 1e9;
  return {
    model,
    operation: workload.operation,
    streaming: workload.streaming,
    duration_ns: first_chunk_ns + wholeNs(rest_ns),
    first_chunk_ns: workload.streaming ? first_chunk_ns : null,
    finish_reason: null,
    truth: { model: model.answers_as, usage, failure: null },
  };
}

/** The same call as seen by somebody who never got the usage: a stream without its last chunk. */
export function hideUsage(call: ObservedCall): ObservedCall {
  return { ...call, truth: { ...call.truth, usage: null } };
}

function splitInput(random: Random, model: Model, workload: Workload, total: number) {
  const none = { input_uncached: total, cache_read: 0, cache_write_5m: 0 };
  const shares_prefix = happens(random, workload.cached_share);
  const has_room = total > workload.cached_tokens && workload.cached_tokens > 0;
  if (!has_room) return none;
  const rest = total - workload.cached_tokens;
  if (shares_prefix) {
    return { input_uncached: rest, cache_read: workload.cached_tokens, cache_write_5m: 0 };
  }
  // Anthropic bills the first prompt for what it leaves in the cache; OpenAI does not.
  if (model.provider !== "anthropic") return none;
  return { input_uncached: rest, cache_read: 0, cache_write_5m: workload.cached_tokens };
}

function wholeNs(ns: number): bigint {
  return BigInt(Math.round(ns));
}
