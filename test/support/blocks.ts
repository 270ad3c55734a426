/**
 * Blocks of `spans` as the encoders of single values make them, for tests of quicker ways.
 *
 * Invariant: a column is left out exactly when every value in it is the default of its type.
 */
import { makeBlockWriter } from "../../collector/columns/block.ts";
import { type Batch, type ColumnValue, SPAN_COLUMNS } from "../../schemas/columns.ts";
import { Attributes, type Span } from "../../schemas/span.ts";

/** Columns that are written whatever they hold. */
const KEPT: ReadonlySet<string> = new Set([
  "ts",
  "trace_id",
  "span_id",
  "parent_span_id",
  "name",
  "duration_ns",
  "usage_mask",
  "priced_mask",
  "attributes",
  "ingest_seq",
  "ingested_at",
]);

function isDefault(value: ColumnValue): boolean {
  if (value instanceof Attributes) return value.keys.length === 0;
  if (typeof value === "object") return value.length === 0;
  return value === "" || value === 0 || value === 0n;
}

/** The block of the columns that the spans need. */
export function encodeNeeded(spans: readonly Span[], batch: Batch): Uint8Array {
  const columns = SPAN_COLUMNS.filter(
    ({ name, read }) =>
      KEPT.has(name) ||
      (name === "ttft_ns" && spans.some((span) => span.ttft_ns !== null)) ||
      !spans.every((span) => isDefault(read(span, batch))),
  );
  return makeBlockWriter(columns).encode(spans, batch);
}
