/**
 * From log records to ledger rows: clients that report a call as an event (coding assistants, the
 * event of the OpenTelemetry GenAI conventions) are read by dialects as spans are, in the shape of
 * one. Records of no event that a dialect knows are none of the ledger's business.
 *
 * Invariant: the identity of a row is made of what the record says, so a record that comes twice, in
 * whatever batch and encoding, is one row.
 */
import { type DecodedLogRecord, eventNameOf, type ScopeLogs, timeOf } from "../../schemas/logs.ts";
import {
  Attributes,
  type AttributeValue,
  type DecodedSpan,
  type Span,
} from "../../schemas/span.ts";
import { findKind } from "./classify.ts";
import type { Dialect } from "./dialect.ts";
import { EVENT_DIALECTS } from "./dialects.ts";
import { hashText } from "./hash.ts";
import { normalizeAs, type NormalizeOptions } from "./normalize.ts";
import { registerKeys, SlotValues } from "./slots.ts";
import { readFlag, readMilliseconds } from "./values.ts";

export interface NormalizedLogs {
  readonly spans: Span[];
  /** Records that no dialect knows: received, and not stored. */
  readonly ignored_records: number;
}

const EVENT_NAME = "event.name";
const DURATION_MS = registerKeys("duration_ms");
const SUCCESS = registerKeys("success");

/** OTLP SpanKind CLIENT: an event of these dialects is told by the side that called. */
const KIND_CLIENT = 3;
const STATUS_UNSET = 0;
const STATUS_ERROR = 2;

const values = new SlotValues();

/** Normalizes the log records of one scope that are events of a dialect, in order. */
export function normalizeLogs(scope_logs: ScopeLogs, options: NormalizeOptions): NormalizedLogs {
  const { resource, scope, records } = scope_logs;
  const spans: DecodedSpan[] = [];
  for (const record of records) {
    const named = nameEvent(record);
    values.fill(named.attributes);
    const dialect = EVENT_DIALECTS.find((candidate) => candidate.matches(scope, values));
    if (dialect !== undefined && isListed(dialect)) spans.push(spanOfRecord(named));
  }
  return {
    spans: normalizeAs({ resource, scope, spans }, EVENT_DIALECTS, "log", options),
    ignored_records: records.length - spans.length,
  };
}

function isListed(dialect: Dialect): boolean {
  return findKind(dialect, values) !== undefined;
}

/** The record with the name of its event where dialects look for it. */
function nameEvent(record: DecodedLogRecord): DecodedLogRecord {
  const { keys, values: texts } = record.attributes;
  if (record.event_name === "" || keys.includes(EVENT_NAME)) return record;
  const attributes = new Attributes([...keys, EVENT_NAME], [...texts, record.event_name]);
  return { ...record, attributes };
}

/** The record as a span that ends when the event was told; `values` hold its attributes. */
function spanOfRecord(record: DecodedLogRecord): DecodedSpan {
  const end_ns = timeOf(record);
  const duration_ns = readMilliseconds(values.first(DURATION_MS)) ?? 0n;
  const identity = hashText(textOfRecord(record));
  return {
    // Without a trace it is one of its own: nothing is known to be above or beside it.
    trace_id: record.trace_id.length === 0 ? identity : record.trace_id,
    span_id: identity.slice(0, 8),
    parent_span_id: record.span_id,
    name: eventNameOf(record),
    kind: KIND_CLIENT,
    start_ns: end_ns > duration_ns ? end_ns - duration_ns : end_ns,
    end_ns,
    attributes: record.attributes,
    events: [],
    links: [],
    status_code: readFlag(values.first(SUCCESS)) === false ? STATUS_ERROR : STATUS_UNSET,
    status_message: "",
  };
}

/** All that tells one record from another, the same in both encodings. */
function textOfRecord(record: DecodedLogRecord): string {
  const { keys, values: texts } = record.attributes;
  const parts = [
    String(timeOf(record)),
    eventNameOf(record),
    ...record.trace_id,
    ...record.span_id,
  ];
  for (let index = 0; index < keys.length; index += 1) {
    parts.push(keys[index] as string, textOfValue(texts[index] ?? null));
  }
  parts.push(textOfValue(record.body));
  return parts.join("\u0000");
}

/** Deepest nesting that is looked into; what lies deeper does not tell records apart. */
const MAX_DEPTH = 8;

/** A text that tells values apart, the same in both encodings; numbers of whatever type alike. */
export function textOfValue(value: AttributeValue, depth = 0): string {
  if (typeof value !== "object" || value === null) return String(value);
  if (depth >= MAX_DEPTH) return "";
  if (value instanceof Uint8Array) return value.join(",");
  if (value instanceof Attributes) {
    const pairs = value.keys.map(
      (key, index) => `${key}:${textOfValue(value.values[index] ?? null, depth + 1)}`,
    );
    return `{${pairs.join(",")}}`;
  }
  return `[${value.map((item) => textOfValue(item, depth + 1)).join(",")}]`;
}
