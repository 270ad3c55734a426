/**
 * Decides what a span is to the ledger (DESIGN section 5 rule 1): first by the tables of its dialect,
 * then, for a word that no table lists, by whether it names a model, carries usage and is a client.
 */
import type { DecodedSpan, SpanClass } from "../../schemas/span.ts";
import type { Dialect, Kind } from "./dialect.ts";
import type { SlotValues } from "./slots.ts";
import { readText } from "./values.ts";

export interface Classification {
  readonly span_class: SpanClass;
  /** Why, in words, for `explain`. */
  readonly reason: string;
}

/** What a table of the dialect says, and the word that it says it of. */
export interface FoundKind extends Kind {
  readonly word: string;
}

/** OTLP SpanKind CLIENT: the side that calls a provider. */
const KIND_CLIENT = 3;

/** The kind of a span by the tables of its dialect; undefined when no table lists its words. */
export function findKind(dialect: Dialect, values: SlotValues): FoundKind | undefined {
  for (const { keys, kinds, otherwise } of dialect.kinds) {
    const word = readText(values.first(keys));
    if (word === undefined) continue;
    const kind = kinds.get(word);
    if (kind !== undefined) return { ...kind, word };
    if (otherwise !== undefined) return otherwise;
  }
  return undefined;
}

/** Classifies a span of a dialect by what it says it does and whether it carries usage. */
export function classify(
  dialect: Dialect,
  kind: FoundKind | undefined,
  span: DecodedSpan,
  operation: string,
  has_model: boolean,
  has_usage: boolean,
): Classification {
  if (kind !== undefined) return classifyListed(dialect, kind, has_model || has_usage, has_usage);
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

function classifyListed(
  dialect: Dialect,
  { span_class, word }: FoundKind,
  has_evidence: boolean,
  has_usage: boolean,
): Classification {
  if (span_class === "aggregate") {
    return has_usage
      ? { span_class, reason: `${word} repeats the usage of its calls` }
      : { span_class: "structure", reason: `${word} spans hold calls and are none` };
  }
  if (span_class !== "billable") return { span_class, reason: `${word} is no model call` };
  if (dialect.needs_evidence && !has_evidence) {
    return { span_class: "structure", reason: `${word} without a model and without usage` };
  }
  return { span_class, reason: `${word} is one model call` };
}
