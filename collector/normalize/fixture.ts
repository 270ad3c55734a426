/**
 * For the normalizer's tests: decoded spans and log records from plain pairs, and the one span that
 * comes out.
 */
import type { DecodedLogRecord } from "../../schemas/logs.ts";
import {
  Attributes,
  type AttributeValue,
  type DecodedSpan,
  type Scope,
  type Span,
} from "../../schemas/span.ts";
import { normalizeLogs } from "./events.ts";
import { type NormalizeOptions, normalizeScope } from "./normalize.ts";

/** Attributes by key, or as pairs where a key comes twice. */
export type Pairs =
  | Readonly<Record<string, AttributeValue>>
  | readonly (readonly [string, AttributeValue])[];

/** Attributes in the order given. */
export function attributesOf(pairs: Pairs): Attributes {
  const list = Array.isArray(pairs)
    ? (pairs as readonly (readonly [string, AttributeValue])[])
    : Object.entries(pairs as Readonly<Record<string, AttributeValue>>);
  return new Attributes(
    list.map(([key]) => key),
    list.map(([, value]) => value),
  );
}

/** What a span arrives with besides its attributes. */
export interface Around {
  readonly span?: Partial<DecodedSpan>;
  readonly scope?: Partial<Scope>;
  readonly resource?: Pairs;
  readonly options?: Partial<NormalizeOptions>;
}

/** Normalizes one client span of a second with these attributes. */
export function normalizeOne(attributes: Pairs, around: Around = {}): Span {
  const decoded: DecodedSpan = {
    trace_id: new Uint8Array(16).fill(1),
    span_id: new Uint8Array(8).fill(2),
    parent_span_id: new Uint8Array(0),
    name: "chat some-model",
    kind: 3,
    start_ns: 1_795_225_705_000_000_000n,
    end_ns: 1_795_225_706_000_000_000n,
    attributes: attributesOf(attributes),
    events: [],
    links: [],
    status_code: 0,
    status_message: "",
    ...around.span,
  };
  const [span] = normalizeScope(
    {
      resource: attributesOf(around.resource ?? {}),
      scope: { name: "test", version: "1", ...around.scope },
      spans: [decoded],
    },
    { project_id: "default", capture_content: false, ...around.options },
  );
  if (span === undefined) throw new Error("the span is gone");
  return span;
}

/** Normalizes one log record with these attributes; undefined when it is not kept. */
export function normalizeEvent(
  attributes: Pairs,
  around: Omit<Around, "span"> & { readonly record?: Partial<DecodedLogRecord> } = {},
): Span | undefined {
  const record: DecodedLogRecord = {
    time_ns: 1_795_225_706_000_000_000n,
    observed_ns: 0n,
    severity_number: 9,
    event_name: "",
    body: null,
    attributes: attributesOf(attributes),
    trace_id: new Uint8Array(16).fill(1),
    span_id: new Uint8Array(8).fill(2),
    ...around.record,
  };
  const { spans } = normalizeLogs(
    {
      resource: attributesOf(around.resource ?? {}),
      scope: { name: "test", version: "1", ...around.scope },
      records: [record],
    },
    { project_id: "default", capture_content: false, ...around.options },
  );
  return spans[0];
}
