/**
 * The limits of decoding, shared by both encodings, and the error for a request that exceeds one.
 *
 * Invariant: what a request makes us allocate is bounded by these numbers and by the size of its
 * body, never by a length or a count that it declares.
 */
import { PermanentError } from "../../schemas/errors.ts";

/**
 * Envelopes in one request: resources, scopes, metrics, and spans, log records or data points; more
 * is refused. 64 MiB of ordinary spans are
 * 55,000; a million of minimal ones, which fit as well, took 5 GB on their way to the log.
 */
export const MAX_ENVELOPES_PER_REQUEST = 250_000;

/**
 * Attributes, elements of lists, events and links kept of one protobuf request; more is refused.
 * 64 MiB of attributes with short keys and values (30 bytes each) hold 2.2 million.
 */
export const MAX_VALUES_PER_REQUEST = 4_000_000;

/** Objects and arrays in one JSON body, counted before it is parsed; more is refused. */
export const MAX_JSON_CONTAINERS = 4_000_000;

/** Attributes kept of one record, event, link, resource or nested list; the rest is dropped. */
export const MAX_ATTRIBUTES = 512;

/** Longest attribute key kept, UTF-8 bytes; attributes with a longer one are dropped. */
export const MAX_KEY_BYTES = 1024;

/** Events kept of one span; the rest is dropped. */
export const MAX_EVENTS_PER_SPAN = 1024;

/** Links kept of one span; the rest is dropped. */
export const MAX_LINKS_PER_SPAN = 1024;

/** Levels of nested AnyValue kept; the attribute's own value is level 1. */
export const MAX_VALUE_DEPTH = 64;

/** Stands in for a value below MAX_VALUE_DEPTH. */
export const TOO_DEEP_VALUE = "[nested too deep]";

/** Levels of nested unknown protobuf groups; deeper is refused. No OTLP message has a group. */
export const MAX_GROUP_DEPTH = 64;

/**
 * Levels of nested JSON; deeper is refused. One level of AnyValue costs up to four of JSON, so
 * this leaves room for MAX_VALUE_DEPTH to be the limit that a merely deep value meets.
 */
export const MAX_JSON_DEPTH = 1024;

/** Different warnings, and different rejections, kept of one request. */
export const MAX_NOTES = 5;

/** Slots of the cache of decoded attribute keys: at most 4,096 strings of 64 bytes live in it. */
export const KEY_CACHE_SLOTS = 4096;

/** Longest attribute key that is cached, bytes. */
export const MAX_CACHED_KEY_BYTES = 64;

/** Makes the error for a request with more objects than a limit above; `what` names them. */
export function tooManyObjects(what: string, limit: number): PermanentError {
  return new PermanentError(
    "too_many_objects",
    `the request holds more than ${limit} ${what}; send smaller batches`,
  );
}

/** Counts an envelope of either encoding. Throws `too_many_objects` beyond the limit. */
export function countEnvelope(decoding: { envelope_count: number }): void {
  decoding.envelope_count += 1;
  if (decoding.envelope_count > MAX_ENVELOPES_PER_REQUEST) {
    const what = "resources, scopes, and spans, log records, metrics or data points";
    throw tooManyObjects(what, MAX_ENVELOPES_PER_REQUEST);
  }
}
