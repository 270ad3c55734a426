/**
 * The columns of the table `spans`, in order: name, ClickHouse type, and the field of a Span each
 * holds. One list for the writer (`collector/columns`), the INSERT (`collector/insert`) and the
 * test that holds it against the migrated table.
 */
import {
  Attributes,
  COST_STATUSES,
  SIGNALS,
  type Span,
  SPAN_CLASSES,
  SPAN_STATUSES,
  USAGE_STATUSES,
} from "./span.ts";
import { TOKEN_CLASSES } from "./tokens.ts";

/** What a column reads from a span, by the encoder its type needs. */
export type ColumnValue =
  | string
  | number
  | bigint
  | Uint8Array
  | Attributes
  | readonly bigint[]
  | readonly string[]
  | readonly Uint8Array[]
  | readonly Attributes[];

export interface Column<Row> {
  readonly name: string;
  /** The ClickHouse type as DESCRIBE prints it. */
  readonly type: string;
  readonly read: (row: Row, batch: Batch) => ColumnValue;
}

/** What all rows of one block share. */
export interface Batch {
  /** Sequence of the WAL record: the version by which a redelivered span replaces itself. */
  readonly ingest_seq: number;
  /** Unix time of receipt, ms. */
  readonly ingested_ms: number;
}

const LOW_CARDINALITY = "LowCardinality(String)";
const TEXT_MAP = "Map(LowCardinality(String), String)";
const COUNT_MAP = "Map(LowCardinality(String), UInt32)";
const TIME_NS = "DateTime64(9, 'UTC')";

/** The ClickHouse Enum8 whose numbers are the positions in the list. */
export function enumType(words: readonly string[]): string {
  return `Enum8(${words.map((word, index) => `'${word}' = ${index}`).join(", ")})`;
}

/** The states of `streaming`: emitters that do not say are not emitters that do not stream. */
export const STREAMING_STATES = ["unknown", "no", "yes"] as const;

/** Bits of the classes whose value is known. */
function maskOf(values: readonly (number | bigint | null)[]): number {
  let mask = 0;
  for (let index = 0; index < values.length; index += 1) {
    if (values[index] !== null && values[index] !== undefined) mask |= 1 << index;
  }
  return mask;
}

/** Fee units by kind, as a map of counts. */
function feeCounts(span: Span): Attributes {
  if (span.fee_units.length === 0) return NO_FEES;
  return new Attributes(
    span.fee_units.map(({ kind }) => kind),
    span.fee_units.map(({ count }) => count),
  );
}

const NO_FEES = new Attributes();

export const SPAN_COLUMNS: readonly Column<Span>[] = [
  { name: "project_id", type: LOW_CARDINALITY, read: (span) => span.project_id },
  { name: "key_id", type: LOW_CARDINALITY, read: (span) => span.key_id },
  { name: "ts", type: TIME_NS, read: (span) => span.start_ns },
  { name: "trace_id", type: "FixedString(16)", read: (span) => span.trace_id },
  { name: "span_id", type: "FixedString(8)", read: (span) => span.span_id },
  { name: "parent_span_id", type: "FixedString(8)", read: (span) => span.parent_span_id },
  { name: "name", type: LOW_CARDINALITY, read: (span) => span.name },
  { name: "kind", type: "UInt8", read: (span) => span.kind & 0xff },
  {
    name: "status",
    type: enumType(SPAN_STATUSES),
    read: (span) => SPAN_STATUSES.indexOf(span.status),
  },
  { name: "status_message", type: "String", read: (span) => span.status_message },
  { name: "duration_ns", type: "UInt64", read: (span) => span.duration_ns },
  {
    name: "span_class",
    type: enumType(SPAN_CLASSES),
    read: (span) => SPAN_CLASSES.indexOf(span.span_class),
  },
  { name: "operation", type: LOW_CARDINALITY, read: (span) => span.operation },
  { name: "provider", type: LOW_CARDINALITY, read: (span) => span.provider },
  { name: "request_model", type: LOW_CARDINALITY, read: (span) => span.request_model },
  { name: "response_model", type: LOW_CARDINALITY, read: (span) => span.response_model },
  { name: "response_id", type: "String", read: (span) => span.response_id },
  {
    name: "streaming",
    type: enumType(STREAMING_STATES),
    read: (span) => (span.streaming === null ? 0 : span.streaming ? 2 : 1),
  },
  { name: "error_type", type: LOW_CARDINALITY, read: (span) => span.error_type },
  { name: "http_status", type: "UInt16", read: (span) => span.http_status },
  { name: "finish_reason", type: LOW_CARDINALITY, read: (span) => span.finish_reason },
  { name: "service_tier", type: LOW_CARDINALITY, read: (span) => span.service_tier },
  { name: "region", type: LOW_CARDINALITY, read: (span) => span.region },
  { name: "ttft_known", type: "UInt8", read: (span) => (span.ttft_ns === null ? 0 : 1) },
  { name: "ttft_ns", type: "UInt64", read: (span) => span.ttft_ns ?? 0n },
  {
    name: "usage_status",
    type: enumType(USAGE_STATUSES),
    read: (span) => USAGE_STATUSES.indexOf(span.usage_status),
  },
  { name: "usage_mask", type: "UInt16", read: (span) => maskOf(span.tokens) },
  ...TOKEN_CLASSES.map((name, index) => ({
    name: `tokens_${name}`,
    type: "UInt32",
    read: (span: Span) => span.tokens[index] ?? 0,
  })),
  { name: "fee_units", type: COUNT_MAP, read: (span) => feeCounts(span) },
  { name: "provider_calls", type: "UInt32", read: (span) => span.provider_calls ?? 0 },
  {
    name: "cost_status",
    type: enumType(COST_STATUSES),
    read: (span) => COST_STATUSES.indexOf(span.cost_status),
  },
  { name: "priced_mask", type: "UInt16", read: (span) => maskOf(span.cost) },
  ...TOKEN_CLASSES.map((name, index) => ({
    name: `cost_${name}`,
    type: "Decimal(18, 12)",
    read: (span: Span) => span.cost[index] ?? 0n,
  })),
  { name: "fees_priced", type: "UInt8", read: (span) => (span.cost_fees === null ? 0 : 1) },
  { name: "cost_fees", type: "Decimal(18, 12)", read: (span) => span.cost_fees ?? 0n },
  { name: "price_id", type: LOW_CARDINALITY, read: (span) => span.price_id },
  { name: "client_cost_known", type: "UInt8", read: (span) => (span.client_cost === null ? 0 : 1) },
  { name: "client_cost_usd", type: "Decimal(18, 12)", read: (span) => span.client_cost ?? 0n },
  { name: "service_name", type: LOW_CARDINALITY, read: (span) => span.service_name },
  { name: "environment", type: LOW_CARDINALITY, read: (span) => span.environment },
  { name: "user_id", type: "String", read: (span) => span.user_id },
  { name: "session_id", type: "String", read: (span) => span.session_id },
  { name: "agent_name", type: LOW_CARDINALITY, read: (span) => span.agent_name },
  { name: "tags", type: TEXT_MAP, read: (span) => span.tags },
  { name: "dialect", type: LOW_CARDINALITY, read: (span) => span.dialect },
  { name: "scope_name", type: LOW_CARDINALITY, read: (span) => span.scope_name },
  { name: "scope_version", type: LOW_CARDINALITY, read: (span) => span.scope_version },
  { name: "signal", type: enumType(SIGNALS), read: (span) => SIGNALS.indexOf(span.signal) },
  { name: "reason", type: LOW_CARDINALITY, read: (span) => span.reason },
  { name: "attributes", type: TEXT_MAP, read: (span) => span.attributes },
  { name: "resource_attributes", type: TEXT_MAP, read: (span) => span.resource_attributes },
  {
    name: "event_times",
    type: `Array(${TIME_NS})`,
    read: (span) => span.events.map((event) => event.time_ns),
  },
  {
    name: "event_names",
    type: `Array(${LOW_CARDINALITY})`,
    read: (span) => span.events.map((event) => event.name),
  },
  {
    name: "event_attributes",
    type: `Array(${TEXT_MAP})`,
    read: (span) => span.events.map((event) => event.attributes),
  },
  {
    name: "link_trace_ids",
    type: "Array(FixedString(16))",
    read: (span) => span.links.map((link) => link.trace_id),
  },
  {
    name: "link_span_ids",
    type: "Array(FixedString(8))",
    read: (span) => span.links.map((link) => link.span_id),
  },
  {
    name: "link_attributes",
    type: `Array(${TEXT_MAP})`,
    read: (span) => span.links.map((link) => link.attributes),
  },
  { name: "ingest_seq", type: "UInt64", read: (_span, batch) => BigInt(batch.ingest_seq) },
  {
    name: "ingested_at",
    type: "DateTime64(3, 'UTC')",
    read: (_span, batch) => BigInt(batch.ingested_ms),
  },
];
