/**
 * Decides whether a span counts as a model call (DESIGN section 5 rule 1). The table of each
 * dialect decides by operation; what follows here is for spans whose operation is not in it.
 */
import type { DecodedSpan, SpanClass } from "../../schemas/span.ts";
import type { Dialect } from "./dialect.ts";

export interface Classification {
  readonly span_class: SpanClass;
  /** Why, in words, for `explain`. */
  readonly reason: string;
}

/** OTLP SpanKind CLIENT: the side that calls a provider. */
const KIND_CLIENT = 3;

/** Classifies a span of a dialect by what it says it does and whether it carries usage. */
export function classify(
  dialect: Dialect,
  span: DecodedSpan,
  operation: string,
  has_model: boolean,
  has_usage: boolean,
): Classification {
  const listed = dialect.operations.get(operation);
  if (listed === "aggregate" && !has_usage) {
    return { span_class: "structure", reason: `${operation} spans hold calls and are none` };
  }
  if (listed === "aggregate") {
    return { span_class: "aggregate", reason: `${operation} repeats the usage of its calls` };
  }
  if (listed !== undefined) {
    const billable = listed === "billable";
    return {
      span_class: listed,
      reason: billable ? `${operation} is one model call` : `${operation} is no model call`,
    };
  }
  if (operation === "") {
    // Before v1.28 of the conventions there was no operation name: a model makes it a call.
    return has_model
      ? { span_class: "billable", reason: "names a model and no operation: one model call" }
      : { span_class: "structure", reason: "names neither an operation nor a model" };
  }
  if (has_model && has_usage && span.kind === KIND_CLIENT) {
    return { span_class: "billable", reason: `unknown operation "${operation}" of a client` };
  }
  return has_usage
    ? { span_class: "aggregate", reason: `unknown operation "${operation}" that is no client` }
    : { span_class: "structure", reason: `unknown operation "${operation}" without usage` };
}
