/**
 * Turns OTLP/JSON trace exports into the same exports in protobuf, in one pass over the bytes: no
 * object, no string. From there on both encodings go one way.
 *
 * It knows the form in which exporters write. What is written in any other way, what is broken, and
 * what takes a warning is left to `decodeTracesJson`, which is the definition. Invariant: what is
 * returned decodes to what `decodeTracesJson` makes of the body, and no text that JSON.parse refuses is
 * ever taken.
 */
import {
  ARENA_SLACK_BYTES,
  closeMessage,
  JsonCursor,
  LONG_SIZE,
  openMessage,
  skipSpace,
} from "./json-cursor.ts";
import {
  type ListRule,
  Members,
  readList,
  readMembers,
  type ReadField,
  skipValue,
} from "./json-members.ts";
import { copyEnum, copyFixed64, copyId } from "./json-numbers.ts";
import { copyAttributes, copyString } from "./json-wire-values.ts";
import { MAX_EVENTS_PER_SPAN, MAX_JSON_CONTAINERS, MAX_LINKS_PER_SPAN } from "./limits.ts";
import { SPAN_ID_BYTES, TRACE_ID_BYTES } from "./span-id.ts";

/** The memory that small bodies share; larger ones get their own, which goes with them, bytes. */
const MAX_ARENA_BYTES = 2 * 1024 ** 2;
/** It grows from here, bytes. */
const MIN_ARENA_BYTES = 64 * 1024;

const ENVELOPE_LIST: ListRule = { max_items: Infinity, keeps_null: false };
const EVENT_LIST: ListRule = { max_items: MAX_EVENTS_PER_SPAN, keeps_null: false };
const LINK_LIST: ListRule = { max_items: MAX_LINKS_PER_SPAN, keeps_null: false };

// Tags, as the one byte they are: number << 3 | wire type.
const FIXED64_1 = 0x09;
const FIXED64_7 = 0x39;
const FIXED64_8 = 0x41;
const VARINT_3 = 0x18;
const VARINT_6 = 0x30;
const DELIMITED_1 = 0x0a;
const DELIMITED_2 = 0x12;
const DELIMITED_3 = 0x1a;
const DELIMITED_4 = 0x22;
const DELIMITED_5 = 0x2a;
const DELIMITED_9 = 0x4a;
const DELIMITED_11 = 0x5a;
const DELIMITED_13 = 0x6a;
const DELIMITED_15 = 0x7a;

// The names of each message in the order of most senders; the last of them are not decoded.
const REQUEST = new Members(["resourceSpans"]);
const RESOURCE_SPANS = new Members(["resource", "scopeSpans", "schemaUrl"]);
const RESOURCE = new Members(["attributes", "droppedAttributesCount"]);
const SCOPE_SPANS = new Members(["scope", "spans", "schemaUrl"]);
const SCOPE = new Members(["name", "version", "attributes", "droppedAttributesCount"]);
const SPAN = new Members([
  "traceId",
  "spanId",
  "parentSpanId",
  "name",
  "kind",
  "startTimeUnixNano",
  "endTimeUnixNano",
  "attributes",
  "events",
  "status",
  "links",
  "flags",
  "droppedAttributesCount",
  "droppedEventsCount",
  "droppedLinksCount",
  "traceState",
]);
const STATUS = new Members(["code", "message"]);
const EVENT = new Members(["timeUnixNano", "name", "attributes", "droppedAttributesCount"]);
const LINK = new Members([
  "traceId",
  "spanId",
  "attributes",
  "traceState",
  "flags",
  "droppedAttributesCount",
]);

/** Turns bodies of JSON into protobuf, one after the other. */
export interface JsonTranscoder {
  /**
   * The OTLP protobuf bytes of an OTLP/JSON trace export; null when only `decodeTracesJson` can judge
   * it. The next call may overwrite them. Throws nothing.
   */
  transcode(body: Uint8Array): Uint8Array | null;
  /** The last result as bytes that stay, for who reads them in turns with others. */
  keep(wire: Uint8Array): Uint8Array;
}

/** Makes a transcoder; it holds at most MAX_ARENA_BYTES between bodies. */
export function makeJsonTranscoder(): JsonTranscoder {
  const cursor = new JsonCursor();
  let arena = new Uint8Array(0);

  function findRoom(size: number): Uint8Array {
    if (size > MAX_ARENA_BYTES) return new Uint8Array(size);
    if (arena.length < size) {
      const doubled = Math.max(size, arena.length * 2, MIN_ARENA_BYTES);
      arena = new Uint8Array(Math.min(doubled, MAX_ARENA_BYTES));
    }
    return arena;
  }

  return {
    transcode(body) {
      const out = findRoom(body.length + ARENA_SLACK_BYTES);
      cursor.begin(body, out);
      const isRead = readBody(cursor);
      const { at } = cursor;
      cursor.release();
      return isRead ? out.subarray(0, at) : null;
    },
    keep: (wire) => (wire.buffer === arena.buffer ? Uint8Array.from(wire) : wire),
  };
}

function readBody(cursor: JsonCursor): boolean {
  skipSpace(cursor);
  if (!readMembers(cursor, REQUEST, readRequest)) return false;
  skipSpace(cursor);
  // Whether a body without resourceSpans is empty or of another signal is judged elsewhere.
  if (cursor.pos < cursor.end || cursor.at === 0) return false;
  return cursor.container_count <= MAX_JSON_CONTAINERS;
}

/** Reads a message into a field with that tag. */
function copyMessage(
  cursor: JsonCursor,
  tag: number,
  members: Members,
  readField: ReadField,
): boolean {
  const start = openMessage(cursor, tag, LONG_SIZE);
  return readMembers(cursor, members, readField) && closeMessage(cursor, start, LONG_SIZE);
}

function readRequest(cursor: JsonCursor): boolean {
  return readList(cursor, DELIMITED_1, ENVELOPE_LIST, copyResourceSpans);
}

function copyResourceSpans(cursor: JsonCursor, tag: number): boolean {
  return copyMessage(cursor, tag, RESOURCE_SPANS, readResourceSpans);
}

function readResourceSpans(cursor: JsonCursor, field: number): boolean {
  switch (field) {
    case 0:
      return copyMessage(cursor, DELIMITED_1, RESOURCE, readResource);
    case 1:
      return readList(cursor, DELIMITED_2, ENVELOPE_LIST, copyScopeSpans);
    default:
      return skipValue(cursor, 0);
  }
}

function readResource(cursor: JsonCursor, field: number): boolean {
  return field === 0 ? copyAttributes(cursor, DELIMITED_1) : skipValue(cursor, 0);
}

function copyScopeSpans(cursor: JsonCursor, tag: number): boolean {
  return copyMessage(cursor, tag, SCOPE_SPANS, readScopeSpans);
}

function readScopeSpans(cursor: JsonCursor, field: number): boolean {
  switch (field) {
    case 0:
      return copyMessage(cursor, DELIMITED_1, SCOPE, readScope);
    case 1:
      return readList(cursor, DELIMITED_2, ENVELOPE_LIST, copySpan);
    default:
      return skipValue(cursor, 0);
  }
}

function readScope(cursor: JsonCursor, field: number): boolean {
  switch (field) {
    case 0:
      return copyString(cursor, DELIMITED_1);
    case 1:
      return copyString(cursor, DELIMITED_2);
    default:
      return skipValue(cursor, 0);
  }
}

function copySpan(cursor: JsonCursor, tag: number): boolean {
  return copyMessage(cursor, tag, SPAN, readSpan);
}

function readSpan(cursor: JsonCursor, field: number): boolean {
  switch (field) {
    case 0:
      return copyId(cursor, DELIMITED_1, TRACE_ID_BYTES);
    case 1:
      return copyId(cursor, DELIMITED_2, SPAN_ID_BYTES);
    case 2:
      return copyId(cursor, DELIMITED_4, SPAN_ID_BYTES);
    case 3:
      return copyString(cursor, DELIMITED_5);
    case 4:
      return copyEnum(cursor, VARINT_6);
    case 5:
      return copyFixed64(cursor, FIXED64_7);
    case 6:
      return copyFixed64(cursor, FIXED64_8);
    case 7:
      return copyAttributes(cursor, DELIMITED_9);
    case 8:
      return readList(cursor, DELIMITED_11, EVENT_LIST, copyEvent);
    case 9:
      return copyMessage(cursor, DELIMITED_15, STATUS, readStatus);
    case 10:
      return readList(cursor, DELIMITED_13, LINK_LIST, copyLink);
    default:
      return skipValue(cursor, 0);
  }
}

function readStatus(cursor: JsonCursor, field: number): boolean {
  return field === 0 ? copyEnum(cursor, VARINT_3) : copyString(cursor, DELIMITED_2);
}

function copyEvent(cursor: JsonCursor, tag: number): boolean {
  return copyMessage(cursor, tag, EVENT, readEvent);
}

function readEvent(cursor: JsonCursor, field: number): boolean {
  switch (field) {
    case 0:
      return copyFixed64(cursor, FIXED64_1);
    case 1:
      return copyString(cursor, DELIMITED_2);
    case 2:
      return copyAttributes(cursor, DELIMITED_3);
    default:
      return skipValue(cursor, 0);
  }
}

function copyLink(cursor: JsonCursor, tag: number): boolean {
  return copyMessage(cursor, tag, LINK, readLink);
}

function readLink(cursor: JsonCursor, field: number): boolean {
  switch (field) {
    case 0:
      return copyId(cursor, DELIMITED_1, TRACE_ID_BYTES);
    case 1:
      return copyId(cursor, DELIMITED_2, SPAN_ID_BYTES);
    case 2:
      return copyAttributes(cursor, DELIMITED_4);
    default:
      return skipValue(cursor, 0);
  }
}
