/**
 * Decodes an OTLP protobuf ExportLogsServiceRequest.
 *
 * A body that is not protobuf is refused as a whole. Invariant: a record that is protobuf is never
 * lost: what is wrong with its ids gives a warning and leaves them empty.
 */
import type { DecodedLogRecord, DecodedLogs } from "../../schemas/logs.ts";
import { Attributes } from "../../schemas/span.ts";
import type { Decoding } from "./envelopes.ts";
import { decodeRequest } from "./envelopes.ts";
import { LOG_RECORD } from "./messages.ts";
import { toLogs } from "./results.ts";
import { keepLogId, NO_ID, readId, SPAN_ID_BYTES, TRACE_ID_BYTES } from "./span-id.ts";
import { decodeAttribute, decodeValue } from "./values.ts";
import { readEnd, readField, readFixed64, readInt32, readText, skipValue } from "./wire.ts";

/**
 * Decodes the body of an OTLP logs export. An empty body is a valid, empty request. The result holds
 * nothing of the body. Throws PermanentError `invalid_protobuf` when the body cannot be decoded,
 * `wrong_signal` when it is an export of traces or metrics, and `too_many_objects` when it exceeds a
 * limit; nothing else.
 */
export function decodeLogs(body: Uint8Array): DecodedLogs {
  return toLogs(decodeRequest("logs", body, decodeRecord));
}

function decodeRecord(decoding: Decoding, end: number): DecodedLogRecord {
  const { reader, notes } = decoding;
  const record: DecodedLogRecord = {
    time_ns: 0n,
    observed_ns: 0n,
    severity_number: 0,
    event_name: "",
    body: null,
    attributes: new Attributes(),
    trace_id: NO_ID,
    span_id: NO_ID,
  };
  while (reader.pos < end) {
    const field = readField(reader, end, LOG_RECORD);
    switch (field) {
      case 1:
        record.time_ns = readFixed64(reader, end);
        break;
      case 2:
        record.severity_number = readInt32(reader, end);
        break;
      case 5:
        record.body = decodeValue(decoding, readEnd(reader, end), 1, record.body);
        break;
      case 6:
        decodeAttribute(decoding, readEnd(reader, end), 1, record.attributes);
        break;
      case 9:
        record.trace_id = readId(reader, readEnd(reader, end), TRACE_ID_BYTES);
        break;
      case 10:
        record.span_id = readId(reader, readEnd(reader, end), SPAN_ID_BYTES);
        break;
      case 11:
        record.observed_ns = readFixed64(reader, end);
        break;
      case 12:
        record.event_name = readText(reader, readEnd(reader, end));
        break;
      default:
        skipValue(reader, field, end);
    }
  }
  record.trace_id = keepLogId(notes, record.trace_id, TRACE_ID_BYTES);
  record.span_id = keepLogId(notes, record.span_id, SPAN_ID_BYTES);
  return record;
}
