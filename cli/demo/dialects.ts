/**
 * How instrumentations of different years describe the same call: the generations of the
 * OpenTelemetry GenAI conventions and Anthropic's own SDK. A fleet has them all at once.
 *
 * Invariant: input sent includes cached tokens and output sent includes reasoning, as the
 * conventions say; an attribute that a generation did not have is not sent.
 */
import type { ObservedCall } from "./calls.ts";
import { type DemoUsage, inputTotal, outputTotal, type PlannedAttribute } from "./plan.ts";

/** A way to describe calls. */
export interface Generation {
  /** What the spans of calls are called. */
  readonly nameSpan: (call: ObservedCall) => string;
  readonly describe: (call: ObservedCall) => PlannedAttribute[];
  /** Usage as attributes, of a call or the sum of an agent. */
  readonly describeUsage: (usage: DemoUsage) => PlannedAttribute[];
}

const PREFIX_OF: Readonly<Record<string, string>> = {
  openai: "chatcmpl-",
  anthropic: "msg_",
  "gcp.gemini": "",
  vllm: "cmpl-",
};

/** How ids of answers of the provider begin; null for calls whose answer has none. */
export function responseIdPrefix(call: ObservedCall): string | null {
  if (call.truth.failure !== null || call.operation === "embeddings") return null;
  return PREFIX_OF[call.model.provider] ?? "";
}

function spanName(call: ObservedCall): string {
  return `${call.operation} ${call.model.name}`;
}

/** What every generation says: models, finish reason, failure. */
function describeCommon(call: ObservedCall): PlannedAttribute[] {
  const { failure } = call.truth;
  const attributes: PlannedAttribute[] = [["gen_ai.request.model", call.model.name]];
  if (failure === null) {
    attributes.push(["gen_ai.response.model", call.model.answers_as]);
    if (call.finish_reason !== null) {
      attributes.push(["gen_ai.response.finish_reasons", [call.finish_reason]]);
    }
  } else {
    attributes.push(["error.type", failure.error_type]);
    if (failure.http_status !== null) {
      attributes.push(["http.response.status_code", failure.http_status]);
    }
  }
  return attributes;
}

function usageOf(call: ObservedCall, generation: Pick<Generation, "describeUsage">) {
  return call.truth.usage === null ? [] : generation.describeUsage(call.truth.usage);
}

/** v1.26: the first one; no name of the operation, tokens as OpenAI called them. */
export const GENERATION_1: Generation = {
  nameSpan: spanName,
  describe: (call) => [
    ["gen_ai.system", call.model.provider],
    ...describeCommon(call),
    ...usageOf(call, GENERATION_1),
  ],
  describeUsage: (usage) => [
    ["gen_ai.usage.prompt_tokens", inputTotal(usage)],
    ["gen_ai.usage.completion_tokens", outputTotal(usage)],
  ],
};

/** v1.28 to v1.36: operations, and tokens by today's names; nothing about caches. */
export const GENERATION_2: Generation = {
  nameSpan: spanName,
  describe: (call) => [
    ["gen_ai.system", call.model.provider],
    ["gen_ai.operation.name", call.operation],
    ...describeCommon(call),
    ...usageOf(call, GENERATION_2),
  ],
  describeUsage: (usage) => [
    ["gen_ai.usage.input_tokens", inputTotal(usage)],
    // An embedding has no answer in tokens, and its instrumentations send none.
    ...present("gen_ai.usage.output_tokens", outputTotal(usage)),
  ],
};

/** v1.41: provider name, caches, reasoning, streaming. */
export const GENERATION_3: Generation = {
  nameSpan: spanName,
  describe: (call) => [
    ["gen_ai.provider.name", call.model.provider],
    ["gen_ai.operation.name", call.operation],
    ...describeCommon(call),
    ...describeStream(call),
    ...usageOf(call, GENERATION_3),
  ],
  describeUsage: (usage) => [
    ["gen_ai.usage.input_tokens", inputTotal(usage)],
    ["gen_ai.usage.output_tokens", outputTotal(usage)],
    ["gen_ai.usage.cache_read.input_tokens", usage.cache_read],
    ...present("gen_ai.usage.cache_creation.input_tokens", usage.cache_write_5m),
    ...present("gen_ai.usage.reasoning.output_tokens", usage.output_reasoning),
  ],
};

/** Anthropic's SDK, which traces itself: the newest names, and cache writes by lifetime. */
export const ANTHROPIC_SDK: Generation = {
  nameSpan: () => "anthropic.messages.create",
  describe: (call) => [
    ["gen_ai.provider.name", call.model.provider],
    ["gen_ai.operation.name", call.operation],
    ["server.address", "api.anthropic.com"],
    // This SDK has a name of its own for the reason; see below.
    ...describeCommon({ ...call, finish_reason: null }),
    ...describeStream(call),
    ...usageOf(call, ANTHROPIC_SDK),
    ...(call.truth.failure === null ? describeAnswer(call) : []),
  ],
  describeUsage: (usage) => [
    ["gen_ai.usage.input_tokens", inputTotal(usage)],
    ["gen_ai.usage.cache_write.input_tokens", usage.cache_write_5m],
    ["gen_ai.usage.cache_read.input_tokens", usage.cache_read],
    ["anthropic.usage.cache_creation.ephemeral_5m_input_tokens", usage.cache_write_5m],
    ["anthropic.usage.cache_creation.ephemeral_1h_input_tokens", 0],
    ["gen_ai.usage.output_tokens", outputTotal(usage)],
  ],
};

function describeAnswer(call: ObservedCall): PlannedAttribute[] {
  const stop_reason = call.finish_reason === "tool_calls" ? "tool_use" : "end_turn";
  return [
    ["http.response.status_code", 200],
    ["anthropic.message.stop_reason", stop_reason],
    ["anthropic.response.service_tier", "standard"],
  ];
}

function describeStream(call: ObservedCall): PlannedAttribute[] {
  if (!call.streaming) return [];
  const attributes: PlannedAttribute[] = [["gen_ai.request.stream", true]];
  if (call.first_chunk_ns !== null) {
    const seconds = Number(call.first_chunk_ns) / 1e9;
    attributes.push(["gen_ai.response.time_to_first_chunk", seconds]);
  }
  return attributes;
}

/** The attribute, unless there were none of these tokens. */
function present(key: string, tokens: number): PlannedAttribute[] {
  return tokens === 0 ? [] : [[key, tokens]];
}
