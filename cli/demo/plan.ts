/**
 * What the demo is going to send, as plain data: traces of planned spans, each with the truth about
 * the model call it stands for. Made without the OpenTelemetry SDK and without a clock.
 *
 * Invariant: `call` is the truth and `attributes` are what an instrumentation would say about it;
 * totals are counted from the truth only.
 */

/** A value of an attribute as the OpenTelemetry API takes it. */
export type PlannedValue = string | number | boolean | readonly string[];

/** Key and value; a list of pairs, as attribute keys never become object properties. */
export type PlannedAttribute = readonly [key: string, value: PlannedValue];

/** Tokens of a call in disjoint classes. */
export interface DemoUsage {
  readonly input_uncached: number;
  readonly cache_read: number;
  readonly cache_write_5m: number;
  readonly output_text: number;
  readonly output_reasoning: number;
}

/** Usage of nothing, to add to. */
export const NO_USAGE: DemoUsage = {
  input_uncached: 0,
  cache_read: 0,
  cache_write_5m: 0,
  output_text: 0,
  output_reasoning: 0,
};

/** Adds class by class. */
export function addUsage(a: DemoUsage, b: DemoUsage): DemoUsage {
  return {
    input_uncached: a.input_uncached + b.input_uncached,
    cache_read: a.cache_read + b.cache_read,
    cache_write_5m: a.cache_write_5m + b.cache_write_5m,
    output_text: a.output_text + b.output_text,
    output_reasoning: a.output_reasoning + b.output_reasoning,
  };
}

/** Tokens of the prompt, cached ones included. */
export function inputTotal(usage: DemoUsage): number {
  return usage.input_uncached + usage.cache_read + usage.cache_write_5m;
}

/** Tokens of the answer, reasoning included. */
export function outputTotal(usage: DemoUsage): number {
  return usage.output_text + usage.output_reasoning;
}

/** How a call failed. */
export interface DemoFailure {
  /** `error.type`. */
  readonly error_type: string;
  /** Null when no answer came at all: a timeout. */
  readonly http_status: number | null;
  readonly message: string;
}

/** The truth about one model call. */
export interface DemoCall {
  /** The model that answered; the one asked for when none did. */
  readonly model: string;
  /** Null when nobody reports it. */
  readonly usage: DemoUsage | null;
  readonly failure: DemoFailure | null;
}

/** A span to send; its times count from the start of its trace. */
export interface PlannedSpan {
  readonly name: string;
  readonly kind: "internal" | "server" | "client";
  readonly scope: { readonly name: string; readonly version: string };
  readonly offset_ns: bigint;
  readonly duration_ns: bigint;
  readonly attributes: readonly PlannedAttribute[];
  /** Begins the id of the provider's answer; the rest is made when the span is. Null: no id. */
  readonly response_id_prefix: string | null;
  /** Message of the error status; null for success. */
  readonly error_message: string | null;
  /** Null for a span that is no model call. */
  readonly call: DemoCall | null;
  readonly children: readonly PlannedSpan[];
}

/** Where a trace comes from: one resource of the OpenTelemetry SDK. */
export interface Deployment {
  readonly service_name: string;
  readonly environment: string;
  readonly attributes: readonly PlannedAttribute[];
}

/** One request of somebody to one deployment. */
export interface PlannedTrace {
  readonly deployment: Deployment;
  /** Unix time, ns. */
  readonly start_ns: bigint;
  readonly root: PlannedSpan;
}

/** A span and all below it, parents first. */
export function* walkSpans(span: PlannedSpan): Generator<PlannedSpan> {
  yield span;
  for (const child of span.children) yield* walkSpans(child);
}
