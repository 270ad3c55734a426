/**
 * What a decoder says about a request beside its records: warnings, and rejections with reasons. A
 * record is a span, a log record or a data point.
 *
 * Invariant: no note quotes the request. Notes go back to the sender and into logs, and a key or a
 * value may be a prompt.
 */
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
  no_resource_logs: "the body has no resourceLogs: nothing was stored",
  no_resource_metrics: "the body has no resourceMetrics: nothing was stored",
  log_id: "ids of log records that are not 16 and 8 bytes (32 and 16 hex digits) were dropped",
  log_body: "log bodies that are not a valid AnyValue were read as empty",
  temporality: "unknown aggregation temporalities were read as unspecified",
  string_index: "string table references are only valid in profiles and were read as absent",
} as const;

/** Reasons for rejecting a record, beside fields of a wrong type. */
export const REJECTIONS = {
  trace_id_size: "the trace id must be 16 bytes",
  trace_id_zero: "the trace id must not be all zero",
  span_id_size: "the span id must be 8 bytes",
  span_id_zero: "the span id must not be all zero",
  parent_span_id_size: "the parent span id must be 8 bytes, or empty for a root span",
  id_encoding: "ids must be hex: 32 digits for a trace id, 16 for a span id",
  point_value: "a number data point must have a value, or the flag that none was recorded",
} as const;

/** What was found in a request so far, beside what is kept of it. */
export interface Notes {
  /** Records that were refused. */
  rejected_count: number;
  readonly rejections: string[];
  readonly warnings: string[];
}

/** Makes the notes of a request in which nothing was found yet. */
export function createNotes(): Notes {
  return { rejected_count: 0, rejections: [], warnings: [] };
}

/** Adds a warning once; beyond MAX_NOTES different ones it is left out. */
export function addWarning(notes: Notes, warning: string): void {
  addNote(notes.warnings, warning);
}

/** Counts rejected records and adds their reason once; beyond MAX_NOTES only the count goes on. */
export function addRejection(notes: Notes, reason: string, count = 1): void {
  notes.rejected_count += count;
  addNote(notes.rejections, reason);
}

function addNote(list: string[], note: string): void {
  if (list.length < MAX_NOTES && !list.includes(note)) list.push(note);
}
