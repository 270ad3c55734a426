/**
 * Which columns of `spans` a row has for itself, which are common to a scope of a resource, and which
 * to all spans of a variant.
 *
 * Invariant: every column is one of them, or the same for the whole block.
 */
import { SPAN_COLUMNS } from "../../schemas/columns.ts";
import { Attributes, type Span } from "../../schemas/span.ts";
import { TOKEN_CLASSES } from "../../schemas/tokens.ts";

/** Columns that each row has for itself. */
export const ROW_COLUMNS: ReadonlySet<string> = new Set([
  "ts",
  "trace_id",
  "span_id",
  "parent_span_id",
  "name",
  "duration_ns",
  "response_id",
  "ttft_known",
  "ttft_ns",
  "usage_mask",
  ...TOKEN_CLASSES.map((name) => `tokens_${name}`),
  "priced_mask",
  ...TOKEN_CLASSES.map((name) => `cost_${name}`),
  "user_id",
  "session_id",
  "tags",
  "attributes",
  "event_times",
  "event_names",
  "event_attributes",
  "link_trace_ids",
  "link_span_ids",
  "link_attributes",
]);

/** Columns that all spans of a scope of a resource share. */
export const CONTEXT_COLUMNS: ReadonlySet<string> = new Set([
  "project_id",
  "key_id",
  "service_name",
  "environment",
  "scope_name",
  "scope_version",
  "resource_attributes",
]);

const VARIANT_COLUMNS = SPAN_COLUMNS.filter(
  ({ name }) =>
    !ROW_COLUMNS.has(name) &&
    !CONTEXT_COLUMNS.has(name) &&
    name !== "ingest_seq" &&
    name !== "ingested_at",
);

const NO_BATCH = { ingest_seq: 0, ingested_ms: 0 };

/** The only map among them holds fee units: numbers by kind. */
function describeCounts({ keys, values }: Attributes): string {
  return keys.map((key, index) => `${key}=${String(values[index] as number)}`).join();
}

/** The values of the columns of a variant, as one text. */
export function describeVariant(span: Span): string {
  let text = "";
  for (const { read } of VARIANT_COLUMNS) {
    const value = read(span, NO_BATCH) as Attributes | string | number | bigint;
    text += value instanceof Attributes ? describeCounts(value) : String(value);
    text += "\u0000";
  }
  return text;
}
