/**
 * The form of spans: all that follows from the words that they share, found out from the first of them.
 *
 * Invariant: what stands in a form is the same for every span of it; what is of a span alone is read
 * from the places that the form names.
 */
import { Attributes, type DecodedSpan, type Span } from "../../schemas/span.ts";
import type { SpanVariant } from "../../schemas/span-row.ts";
import { NOWHERE, WIRE_DOUBLE, WIRE_TEXT, WIRE_WHOLE } from "../../schemas/wire-span.ts";
import { type Classification, classify, findKind } from "./classify.ts";
import type { UnderstoodSpan } from "./normalize.ts";
import type { ShapeFacts } from "./shape-facts.ts";
import type { Reads } from "./slots.ts";
import { compileUsageRules, type CompiledRules, USAGE_NAMES, type UsageName } from "./usage.ts";

/** Spans of the same words. `Pricing` is what the pricing stage keeps of them. */
export interface Form<Pricing> {
  /** The first of them, without what is of it alone. */
  readonly span: Span;
  /** Null where nothing is counted. */
  readonly rules: CompiledRules | null;
  readonly doubt: string | undefined;
  readonly with_usage: Classification;
  readonly without_usage: Classification;
  /** Counts, and where they stand. */
  readonly count_names: readonly UsageName[];
  readonly count_positions: readonly number[];
  /** Places of what is of each span alone; NOWHERE for none. */
  readonly response_id: number;
  readonly user_id: number;
  readonly session_id: number;
  readonly ttft: number;
  readonly ttft_in_ms: boolean;
  /** How values are stored, and what as texts, by position; of each span anew where it is checked. */
  readonly stores: Uint8Array;
  readonly texts: string[];
  checks: Int32Array;
  pricing: Pricing | null;
  readonly variants: Variant[];
}

/** What usage and price make of spans of a form. */
export interface Variant {
  readonly variant: SpanVariant;
  readonly has_usage: boolean;
  readonly usage_status: string;
  readonly notes: string;
  readonly cost_status: string;
  readonly price_id: string;
  readonly complaint: string;
}

/** What stands in a form for what each span has of its own. */
const OF_ITSELF = {
  start_ns: 0n,
  trace_id: new Uint8Array(16),
  span_id: new Uint8Array(8),
  parent_span_id: new Uint8Array(8),
  name: "",
  duration_ns: 0n,
  ttft_ns: null,
  tags: new Attributes(),
  attributes: new Attributes(),
  resource_attributes: new Attributes(),
  events: [],
  links: [],
};

/**
 * The form of a span that was just understood, by the reads remembered meanwhile. Null when the values
 * that are read in place do not have the types for it.
 */
export function makeForm<Pricing>(
  { span, dialect, values }: UnderstoodSpan,
  decoded: DecodedSpan,
  facts: ShapeFacts,
  reads: Reads,
): Form<Pricing> | null {
  const placeOf = (place: string): number => {
    const slot = reads.places.get(place);
    return slot === undefined ? NOWHERE : (facts.positions_of_slots.get(slot) ?? NOWHERE);
  };
  const has_model = span.request_model !== "" || span.response_model !== "";
  const kind = dialect === undefined ? undefined : findKind(dialect, values);
  const judge = (has_usage: boolean): Classification =>
    dialect === undefined
      ? { span_class: span.span_class, reason: span.reason }
      : classify(dialect, kind, decoded, span.operation, has_model, has_usage);
  const [with_usage, without_usage] = [judge(true), judge(false)];
  const names = USAGE_NAMES.filter((name) => placeOf(name) !== NOWHERE);
  const is_never_call = dialect === undefined || isNeverCall(with_usage, without_usage);
  const form: Form<Pricing> = {
    span: { ...span, ...OF_ITSELF },
    rules: is_never_call ? null : compileUsageRules(dialect, span),
    doubt: dialect?.estimate?.(values, span.provider),
    with_usage,
    without_usage,
    count_names: names,
    count_positions: names.map(placeOf),
    response_id: placeOf("response_id"),
    user_id: placeOf("user_id"),
    session_id: placeOf("session_id"),
    ttft: placeOf("ttft_s") === NOWHERE ? placeOf("ttft_ms") : placeOf("ttft_s"),
    ttft_in_ms: placeOf("ttft_s") === NOWHERE,
    stores: facts.stores.slice(),
    texts: facts.shape.keys.map(() => ""),
    checks: facts.checks,
    pricing: null,
    variants: [],
  };
  return isReadable(form, facts.shape.types) ? form : null;
}

/** Whether neither usage nor its absence makes a call of such spans, or changes what is said of them. */
function isNeverCall(with_usage: Classification, without_usage: Classification): boolean {
  return (
    with_usage.span_class !== "billable" &&
    with_usage.span_class !== "aggregate" &&
    with_usage.span_class === without_usage.span_class &&
    with_usage.reason === without_usage.reason
  );
}

/** Whether the values that are read in place have the types for it. */
function isReadable<Pricing>(form: Form<Pricing>, types: Uint8Array): boolean {
  const ids = [form.response_id, form.user_id, form.session_id];
  return (
    form.count_positions.every((position) => types[position] === WIRE_WHOLE) &&
    ids.every((position) => position === NOWHERE || types[position] === WIRE_TEXT) &&
    (form.ttft === NOWHERE || types[form.ttft] === WIRE_DOUBLE || types[form.ttft] === WIRE_WHOLE)
  );
}

/** Whether the class and the reason of the span are those that its form gives. */
export function explainsClass<Pricing>(form: Form<Pricing>, span: Span): boolean {
  return [form.with_usage, form.without_usage].some(
    (found) => span.span_class === found.span_class && span.reason.startsWith(found.reason),
  );
}

/**
 * Leaves out of the checks of a form what its words settle, once the values of its first span are
 * stored: words are the same in every span.
 */
export function settleChecks<Pricing>(form: Form<Pricing>, facts: ShapeFacts): void {
  const words = new Set(facts.words);
  form.checks = form.checks.filter((position) => !words.has(position));
}
