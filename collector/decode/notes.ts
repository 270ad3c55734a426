/**
 * What a decoder says about a request beside its spans: warnings, and rejected spans with reasons.
 *
 * Invariant: no note quotes the request. Notes go back to the sender and into logs, and a key or a
 * value may be a prompt.
 */
import type { DecodedTraces } from "../../schemas/span.ts";
import {
  MAX_ATTRIBUTES,
  MAX_EVENTS_PER_SPAN,
  MAX_KEY_BYTES,
  MAX_LINKS_PER_SPAN,
  MAX_NOTES,
  MAX_VALUE_DEPTH,
} from "./limits.ts";

/** All warnings, in the words of the partial-success message. */
export const WARNINGS = {
  invalid_text: "invalid UTF-8 was replaced by U+FFFD",
  attribute_count: `attributes beyond ${MAX_ATTRIBUTES} in one list were dropped`,
  key_size: `attributes with a key longer than ${MAX_KEY_BYTES} bytes were dropped`,
  value_depth: `values nested deeper than ${MAX_VALUE_DEPTH} levels were replaced by a marker`,
  event_count: `events beyond ${MAX_EVENTS_PER_SPAN} of one span were dropped`,
  link_count: `links beyond ${MAX_LINKS_PER_SPAN} of one span were dropped`,
  link_id: "links without a 16-byte trace id and an 8-byte span id were dropped",
  lone_surrogate: "unpaired surrogates in JSON strings were replaced by U+FFFD",
  snake_case: "OTLP/JSON field names are lowerCamelCase; snake_case names were accepted",
  enum_name: "OTLP/JSON enums are integers; their names were accepted",
  attribute_list: "attributes that are not an array of objects with a string key were dropped",
  attribute_value: "attributes whose value is not a valid AnyValue were dropped",
  no_resource_spans: "the body has no resourceSpans: nothing was stored",
  string_index: "string table references are only valid in profiles and were read as absent",
} as const;

/** Reasons for rejecting a span. */
export const REJECTIONS = {
  trace_id_size: "the trace id must be 16 bytes",
  trace_id_zero: "the trace id must not be all zero",
  span_id_size: "the span id must be 8 bytes",
  span_id_zero: "the span id must not be all zero",
  parent_span_id_size: "the parent span id must be 8 bytes, or empty for a root span",
  id_encoding: "ids must be hex: 32 digits for a trace id, 16 for a span id",
} as const;

/** Makes the result of a request in which nothing was found yet. */
export function createDecodedTraces(): DecodedTraces {
  return { scope_spans: [], span_count: 0, rejected_spans: 0, rejections: [], warnings: [] };
}

/** Adds a warning once; beyond MAX_NOTES different ones it is left out. */
export function addWarning(traces: DecodedTraces, warning: string): void {
  addNote(traces.warnings, warning);
}

/** Counts a rejected span and adds its reason once; beyond MAX_NOTES only the count goes on. */
export function addRejection(traces: DecodedTraces, reason: string): void {
  traces.rejected_spans += 1;
  addNote(traces.rejections, reason);
}

function addNote(notes: string[], note: string): void {
  if (notes.length < MAX_NOTES && !notes.includes(note)) notes.push(note);
}
