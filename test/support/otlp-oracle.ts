/**
 * What decoding a request must give, said a second time: from protobufjs's objects, from a JSON
 * writer, and from the captures of real clients.
 *
 * Invariant: nothing here comes from `collector/decode`. It only handles valid requests, so it can
 * be simple; what a bad request must give is spelled out in the tests.
 */
import { readdirSync, readFileSync } from "node:fs";
import * as fc from "fast-check";
import { PermanentError } from "../../schemas/errors.ts";
import type { AttributeValue, DecodedTraces } from "../../schemas/span.ts";
import { Attributes } from "../../schemas/span.ts";
import type {
  OtlpInteger,
  OtlpKeyValue,
  OtlpScopeSpans,
  OtlpSpan,
  OtlpTraceRequest,
  OtlpValue,
} from "./otlp-proto.ts";

const CAPTURES = new URL("../../../shared/captures/", import.meta.url);

/** The body of one traces export of a real client. */
export interface TraceCapture {
  /** Folder and file, such as `vercel-ai-4.3.19/generate_text.pb`. */
  name: string;
  /** The same for the bodies of one case, whatever their encoding. */
  case_name: string;
  encoding: "json" | "pb";
  body: Uint8Array;
}

/** Reads the bodies of all captured traces. Throws when the captures are not beside the repository. */
export function readTraceCaptures(): TraceCapture[] {
  const captures: TraceCapture[] = [];
  for (const name of listFiles().toSorted()) {
    const match = /^(.+?\/[^.]+)(?:\.2)?\.(json|pb)$/.exec(name);
    if (match === null) continue;
    const [, case_name = "", encoding] = match;
    const body = new Uint8Array(readFileSync(new URL(name, CAPTURES)));
    captures.push({ name, case_name, encoding: encoding === "pb" ? "pb" : "json", body });
  }
  if (captures.length === 0) throw new Error(`no captured traces in ${CAPTURES.pathname}`);
  return captures;
}

function listFiles(): string[] {
  try {
    return readdirSync(CAPTURES, { recursive: true, encoding: "utf8" });
  } catch (error) {
    throw new Error(
      "the captured client telemetry is missing: it must be in shared/captures, beside the repository",
      { cause: error },
    );
  }
}

/** The result, or undefined when the input was refused with a PermanentError. Others are thrown. */
export function unlessRefused<Result>(run: () => Result): Result | undefined {
  try {
    return run();
  } catch (error) {
    if (error instanceof PermanentError) return undefined;
    throw error;
  }
}

/** The PermanentError that the input is refused with. Throws when it is not, or with another. */
export function refusalOf(run: () => unknown): PermanentError {
  try {
    run();
  } catch (error) {
    if (error instanceof PermanentError) return error;
    throw error;
  }
  throw new Error("the input was not refused");
}

/** What decoding a valid request gives: every span kept, no warning. */
export function expectedTraces(request: OtlpTraceRequest): DecodedTraces {
  const traces: DecodedTraces = {
    scope_spans: [],
    span_count: 0,
    rejected_spans: 0,
    rejections: [],
    warnings: [],
  };
  for (const { resource, scopeSpans = [] } of request.resourceSpans ?? []) {
    for (const { scope, spans = [] } of scopeSpans) {
      if (spans.length === 0) continue;
      traces.span_count += spans.length;
      traces.scope_spans.push({
        resource: expectedAttributes(resource?.attributes),
        scope: { name: scope?.name ?? "", version: scope?.version ?? "" },
        spans: spans.map(expectedSpan),
      });
    }
  }
  return traces;
}

function expectedSpan(span: OtlpSpan): DecodedTraces["scope_spans"][number]["spans"][number] {
  const parent = copyBytes(span.parentSpanId);
  return {
    trace_id: copyBytes(span.traceId),
    span_id: copyBytes(span.spanId),
    parent_span_id: parent.every((byte) => byte === 0) ? new Uint8Array(0) : parent,
    name: span.name ?? "",
    kind: span.kind ?? 0,
    start_ns: BigInt(span.startTimeUnixNano ?? 0),
    end_ns: BigInt(span.endTimeUnixNano ?? 0),
    attributes: expectedAttributes(span.attributes),
    events: (span.events ?? []).map((event) => ({
      time_ns: BigInt(event.timeUnixNano ?? 0),
      name: event.name ?? "",
      attributes: expectedAttributes(event.attributes),
    })),
    links: (span.links ?? []).map((link) => ({
      trace_id: copyBytes(link.traceId),
      span_id: copyBytes(link.spanId),
      attributes: expectedAttributes(link.attributes),
    })),
    status_code: span.status?.code ?? 0,
    status_message: span.status?.message ?? "",
  };
}

/** What decoding a list of attributes gives. */
export function expectedAttributes(list: OtlpKeyValue[] = []): Attributes {
  const attributes = new Attributes();
  for (const { key = "", value } of list) attributes.add(key, expectedValue(value));
  return attributes;
}

function expectedValue(value: OtlpValue = {}): AttributeValue {
  if (value.stringValue !== undefined) return value.stringValue;
  if (value.boolValue !== undefined) return value.boolValue;
  if (value.intValue !== undefined) return expectedInteger(value.intValue);
  if (value.doubleValue !== undefined) return value.doubleValue;
  if (value.arrayValue !== undefined) return (value.arrayValue.values ?? []).map(expectedValue);
  if (value.kvlistValue !== undefined) return expectedAttributes(value.kvlistValue.values);
  if (value.bytesValue !== undefined) return copyBytes(value.bytesValue);
  return null;
}

function expectedInteger(value: OtlpInteger): number | bigint {
  const wide = BigInt(value);
  const isSafe = wide >= -9007199254740991n && wide <= 9007199254740991n;
  return isSafe ? Number(wide) : wide;
}

/** A plain copy: protobufjs gives Buffers. */
function copyBytes(bytes: Uint8Array = new Uint8Array(0)): Uint8Array {
  return new Uint8Array(bytes);
}

const ID_FIELDS = new Set(["traceId", "spanId", "parentSpanId"]);

/** How 64-bit integers are written: as the mapping says, or as some exporters do. */
export type IntegerStyle = "quoted" | "bare";

/** Writes a request as OTLP/JSON: hex ids, base64 bytes, enums as integers. */
export function writeOtlpJson(request: OtlpTraceRequest, integers: IntegerStyle): string {
  return writeJson(request, "", integers);
}

function writeJson(value: unknown, name: string, integers: IntegerStyle): string {
  if (Array.isArray(value)) {
    return `[${value.map((item: unknown) => writeJson(item, "", integers)).join(",")}]`;
  }
  if (value instanceof Uint8Array) {
    return `"${Buffer.from(value).toString(ID_FIELDS.has(name) ? "hex" : "base64")}"`;
  }
  if (typeof value === "bigint") return integers === "bare" ? `${value}` : `"${value}"`;
  if (typeof value === "number" && !Number.isFinite(value)) return `"${value}"`;
  if (Object.is(value, -0)) return "-0.0";
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(
    ([key, item]) => `${JSON.stringify(key)}:${writeJson(item, key, integers)}`,
  );
  return `{${members.join(",")}}`;
}

/** Reads the OTLP/JSON of a well-behaved client; ids become bytes, the rest is as it stands. */
export function readOtlpJson(text: string): OtlpTraceRequest {
  return JSON.parse(text, (name, value: unknown) => {
    if (typeof value !== "string") return value;
    if (ID_FIELDS.has(name)) return new Uint8Array(Buffer.from(value, "hex"));
    return name === "bytesValue" ? new Uint8Array(Buffer.from(value, "base64")) : value;
  }) as OtlpTraceRequest;
}

const text = fc.string({ unit: "binary", maxLength: 30 });
const int64 = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.bigInt({ min: -200n, max: 200n }),
);
const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const traceId = arbitraryId(16);
const spanId = arbitraryId(8);

function arbitraryId(byteCount: number): fc.Arbitrary<Uint8Array> {
  return fc
    .uint8Array({ minLength: byteCount, maxLength: byteCount })
    .filter((id) => id.some((byte) => byte !== 0));
}

const { value: arbitraryValue } = fc.letrec<{ value: OtlpValue; pair: OtlpKeyValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.record({ stringValue: text }),
    fc.constant({}),
    fc.record({ boolValue: fc.boolean() }),
    fc.record({ intValue: int64 }),
    fc.record({ doubleValue: fc.double() }),
    fc.record({ bytesValue: fc.uint8Array({ maxLength: 20 }) }),
    fc.record({ arrayValue: fc.record({ values: fc.array(tie("value"), { maxLength: 3 }) }) }),
    fc.record({ kvlistValue: fc.record({ values: fc.array(tie("pair"), { maxLength: 3 }) }) }),
  ),
  pair: fc.record({ key: text, value: tie("value") }, { requiredKeys: [] }),
}));

const attributes = fc.array(
  fc.record({ key: text, value: arbitraryValue }, { requiredKeys: ["key"] }),
  { maxLength: 6 },
);

const arbitrarySpan: fc.Arbitrary<OtlpSpan> = fc.record(
  {
    traceId,
    spanId,
    traceState: text,
    parentSpanId: fc.oneof(spanId, fc.constant(new Uint8Array(8)), fc.constant(new Uint8Array(0))),
    name: text,
    kind: int32,
    startTimeUnixNano: uint64,
    endTimeUnixNano: uint64,
    attributes,
    events: fc.array(
      fc.record({ timeUnixNano: uint64, name: text, attributes }, { requiredKeys: [] }),
      { maxLength: 2 },
    ),
    links: fc.array(
      fc.record({ traceId, spanId, attributes }, { requiredKeys: ["traceId", "spanId"] }),
      { maxLength: 2 },
    ),
    status: fc.record({ message: text, code: int32 }, { requiredKeys: [] }),
    flags: fc.nat(),
  },
  { requiredKeys: ["traceId", "spanId"] },
);

const arbitraryScopeSpans: fc.Arbitrary<OtlpScopeSpans> = fc.record(
  {
    scope: fc.record({ name: text, version: text }, { requiredKeys: [] }),
    spans: fc.array(arbitrarySpan, { maxLength: 3 }),
    schemaUrl: text,
  },
  { requiredKeys: [] },
);

/** Any valid request: ids of the right size, any text, any 64-bit integers, values in values. */
export const arbitraryTraceRequest: fc.Arbitrary<OtlpTraceRequest> = fc.record({
  resourceSpans: fc.array(
    fc.record(
      {
        resource: fc.record({ attributes }),
        scopeSpans: fc.array(arbitraryScopeSpans, { maxLength: 2 }),
      },
      { requiredKeys: [] },
    ),
    { maxLength: 2 },
  ),
});
