/**
 * Decodes an OTLP/JSON ExportLogsServiceRequest.
 *
 * A broken record is refused alone. Invariant: of two encodings of one record the results are equal;
 * ids that are none, in either, give a warning and cost nothing else.
 */
import type { DecodedLogRecord, DecodedLogs } from "../../schemas/logs.ts";
import type { AttributeValue } from "../../schemas/span.ts";
import { decodeJsonRequest } from "./json-envelopes.ts";
import type { JsonDecoding, JsonObject } from "./json-fields.ts";
import {
  readEnum,
  readField,
  readId,
  readNamedField,
  readString,
  readUint64,
} from "./json-fields.ts";
import { decodeAttributes, decodeValue } from "./json-values.ts";
import { addWarning, WARNINGS } from "./notes.ts";
import { toLogs } from "./results.ts";
import { keepLogId, SPAN_ID_BYTES, TRACE_ID_BYTES } from "./span-id.ts";

/** The names of SeverityNumber, by number (logs.proto): four of each level. */
const SEVERITY_NAMES = [
  "SEVERITY_NUMBER_UNSPECIFIED",
  ...["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"].flatMap((level) =>
    ["", "2", "3", "4"].map((degree) => `SEVERITY_NUMBER_${level}${degree}`),
  ),
];

/**
 * Decodes the body of an OTLP/JSON logs export, at most 512 MB. Throws PermanentError
 * `invalid_json`, `wrong_signal` for a body of traces, metrics or profiles, and `too_many_objects`;
 * nothing else.
 */
export function decodeLogsJson(body: Uint8Array): DecodedLogs {
  return toLogs(decodeJsonRequest("logs", body, decodeRecord));
}

function decodeRecord(decoding: JsonDecoding, raw: JsonObject): DecodedLogRecord {
  const { notes } = decoding;
  const named = (camelName: string, snakeName: string) =>
    readNamedField(decoding, raw, camelName, snakeName);
  const time = named("timeUnixNano", "time_unix_nano");
  const observed = named("observedTimeUnixNano", "observed_time_unix_nano");
  const severity = named("severityNumber", "severity_number");
  const traceId = readId(named("traceId", "trace_id"), TRACE_ID_BYTES);
  const spanId = readId(named("spanId", "span_id"), SPAN_ID_BYTES);
  return {
    time_ns: readUint64(decoding, time, "timeUnixNano"),
    observed_ns: readUint64(decoding, observed, "observedTimeUnixNano"),
    severity_number: readEnum(decoding, severity, "severityNumber", SEVERITY_NAMES),
    event_name: readString(decoding, named("eventName", "event_name"), "eventName"),
    body: decodeBody(decoding, readField(raw, "body")),
    attributes: decodeAttributes(decoding, readField(raw, "attributes"), 1),
    trace_id: keepLogId(notes, traceId, TRACE_ID_BYTES),
    span_id: keepLogId(notes, spanId, SPAN_ID_BYTES),
  };
}

function decodeBody(decoding: JsonDecoding, raw: unknown): AttributeValue {
  const body = decodeValue(decoding, raw, 1);
  if (body === undefined) addWarning(decoding.notes, WARNINGS.log_body);
  return body ?? null;
}
