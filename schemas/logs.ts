/**
 * The shapes of an OTLP logs export as decoded from the wire.
 *
 * Invariant: nothing is interpreted here: a record holds what was sent, and what a record means (which
 * of its two names, which of its two times) is asked of the functions below, in one place for all.
 */
import type { Attributes, AttributeValue, Scope } from "./span.ts";

/** A log record as it came over the wire (OTLP LogRecord). */
export interface DecodedLogRecord {
  /** When it happened: Unix time, ns; 0 when the sender does not say. */
  time_ns: bigint;
  /** When the sender's collection saw it: Unix time, ns; 0 when the sender does not say. */
  observed_ns: bigint;
  /** OTLP SeverityNumber, 1 to 24; 0 when unset; unknown numbers are kept. */
  severity_number: number;
  /** The field `event_name`; the attribute `event.name` goes before it, see `eventNameOf`. */
  event_name: string;
  /** Null when empty or absent. */
  body: AttributeValue;
  attributes: Attributes;
  /** 16 bytes that are not all zero, or empty when there is none. */
  trace_id: Uint8Array;
  /** 8 bytes that are not all zero, or empty when there is none. */
  span_id: Uint8Array;
}

/** The log records of one scope under one resource. */
export interface ScopeLogs {
  resource: Attributes;
  scope: Scope;
  records: DecodedLogRecord[];
}

/** A whole logs export request, with what was refused of it (OTLP partial success). */
export interface DecodedLogs {
  scope_logs: ScopeLogs[];
  /** Records in `scope_logs`. */
  record_count: number;
  /** Records that were permanently invalid, and why (a few reasons, each once). */
  rejected_records: number;
  rejections: string[];
  /** What was accepted but not as it should have been sent. */
  warnings: string[];
}

/**
 * The name of the event that the record is, empty for none: the attribute `event.name`, else the field.
 * The attribute goes first because Codex fills the field with a place in its source code.
 */
export function eventNameOf(record: Pick<DecodedLogRecord, "attributes" | "event_name">): string {
  const name = record.attributes.get("event.name");
  return typeof name === "string" && name !== "" ? name : record.event_name;
}

/** When the record happened, else when it was observed (OTLP D14): Unix time, ns; 0 for neither. */
export function timeOf(record: Pick<DecodedLogRecord, "time_ns" | "observed_ns">): bigint {
  return record.time_ns === 0n ? record.observed_ns : record.time_ns;
}
