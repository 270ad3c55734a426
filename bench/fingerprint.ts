/**
 * One text for a span whatever form it is in, so that what two ways of reading made can be compared:
 * ids, times, status, and every attribute of the span and of its resource.
 *
 * Invariant: the text of a form is made of that form alone, not by turning it into another first.
 */
import type { TraceScanner } from "../collector/decode/scan.ts";
import { Attributes, type AttributeValue, type DecodedTraces, type Span } from "../schemas/span.ts";
import {
  NOWHERE,
  type Shape,
  WIRE_DOUBLE,
  WIRE_FLAG,
  WIRE_LIST,
  WIRE_TEXT,
  WIRE_WHOLE,
} from "../schemas/wire-span.ts";
import type { BaselineRow } from "./baseline.ts";

type Entry = readonly [string, string];

const STATUSES = ["unset", "ok", "error"];
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** Empty for a root, which a row may also have as zeros. */
const parentOf = (bytes: Uint8Array): string =>
  bytes.every((byte) => byte === 0) ? "" : hexOf(bytes);

function line(fields: readonly (string | number | bigint)[], ...maps: readonly Entry[][]): string {
  const texts = maps.map((entries) =>
    entries
      .map(([key, value]) => `${key}=${value}`)
      .toSorted()
      .join("\u0001"),
  );
  return `${[...fields, ...texts].join("\u0002")}\n`;
}

function entriesOf({ keys, values }: Attributes): Entry[] {
  return keys.map((key, index) => [key, textOf(values[index] ?? null)]);
}

/** Only what the bodies of the bench hold: scalars and lists of text. */
function textOf(value: AttributeValue): string {
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** Lines of JSONEachRow text. */
export function describeRows(text: string): string[] {
  const rows = text
    .trimEnd()
    .split("\n")
    .map((row) => JSON.parse(row) as BaselineRow);
  return rows.map((row) =>
    line(
      [
        row.trace_id,
        row.span_id,
        row.parent_span_id,
        row.name,
        row.kind,
        row.status,
        row.ts,
        row.duration_ns,
      ],
      Object.entries(row.attributes),
      Object.entries(row.resource_attributes),
    ),
  );
}

/** Lines of decoded spans. */
export function describeDecoded({ scope_spans }: DecodedTraces): string[] {
  return scope_spans.flatMap(({ resource, spans }) =>
    spans.map((span) =>
      line(
        [
          hexOf(span.trace_id),
          hexOf(span.span_id),
          parentOf(span.parent_span_id),
          span.name,
          span.kind,
          STATUSES[span.status_code] ?? "",
          span.start_ns,
          span.end_ns - span.start_ns,
        ],
        entriesOf(span.attributes),
        entriesOf(resource),
      ),
    ),
  );
}

/** Lines of normalized spans. */
export function describeSpans(spans: readonly Span[]): string[] {
  return spans.map((span) =>
    line(
      [
        hexOf(span.trace_id),
        hexOf(span.span_id),
        parentOf(span.parent_span_id),
        span.name,
        span.kind,
        span.status,
        span.start_ns,
        span.duration_ns,
      ],
      entriesOf(span.attributes),
      entriesOf(span.resource_attributes),
    ),
  );
}

/** The line of the span that a scanner found last, from its places in the body. */
export function describeScanned(scanner: TraceScanner, resource: Attributes): string {
  const { span, shapes } = scanner;
  const { bytes, view } = span;
  const hexAt = (at: number, size: number): string =>
    at === NOWHERE ? "" : bytes.toString("hex", at, at + size);
  const textAt = (at: number, size: number): string => bytes.toString("utf8", at, at + size);
  const start_ns = view.getBigUint64(span.start_time_at, true);
  const shape = shapes.describe(span.shape);
  return line(
    [
      hexAt(span.trace_id_at, 16),
      hexAt(span.span_id_at, 8),
      hexAt(span.parent_span_id_at, 8),
      textAt(span.name_at, span.name_size),
      span.kind,
      STATUSES[span.status_code] ?? "",
      start_ns,
      view.getBigUint64(span.end_time_at, true) - start_ns,
    ],
    shape.keys.map((key, position) => [key, scannedText(scanner, shape, position)]),
    entriesOf(resource),
  );
}

function scannedText(scanner: TraceScanner, { types }: Shape, position: number): string {
  const { bytes, numbers, value_at, value_size } = scanner.span;
  const at = value_at[position] as number;
  const size = value_size[position] as number;
  switch (types[position]) {
    case WIRE_TEXT:
      return bytes.toString("utf8", at, at + size);
    case WIRE_WHOLE:
    case WIRE_DOUBLE:
      return String(numbers[position]);
    case WIRE_FLAG:
      return String(numbers[position] === 1);
    case WIRE_LIST:
      return textOf(scanner.readValue(at, size) ?? null);
    default:
      return "";
  }
}
