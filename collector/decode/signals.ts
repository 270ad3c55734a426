/**
 * Tells the three signals apart: what each is called, where it is sent, and of a body that cannot be
 * read as one of them whether it is another.
 *
 * Invariant: a body is only looked at here after its own decoder could make nothing of it, so that a
 * good request never pays for the question.
 */
import { PermanentError } from "../../schemas/errors.ts";
import type { WireTypes } from "./messages.ts";
import {
  LOG_RECORD,
  METRIC,
  METRIC_LAYOUTS,
  REQUEST,
  RESOURCE_ENVELOPE,
  SCOPE_ENVELOPE,
  SPAN,
} from "./messages.ts";
import { WARNINGS } from "./notes.ts";
import type { WireReader } from "./wire.ts";
import { createReader, readEnd, readField, skipValue } from "./wire.ts";

/** A name in lowerCamelCase and in snake_case. */
export type Names = readonly [string, string];

/** What a signal calls its lists, and where it is received. */
export interface SignalNames {
  readonly path: string;
  readonly resources: Names;
  readonly scopes: Names;
  readonly items: Names;
  /** Said of a body that has other fields but not this one. */
  readonly missing_warning: string;
}

/** The signals that are received. */
export const SIGNALS = {
  traces: {
    path: "/v1/traces",
    resources: ["resourceSpans", "resource_spans"],
    scopes: ["scopeSpans", "scope_spans"],
    items: ["spans", "spans"],
    missing_warning: WARNINGS.no_resource_spans,
  },
  logs: {
    path: "/v1/logs",
    resources: ["resourceLogs", "resource_logs"],
    scopes: ["scopeLogs", "scope_logs"],
    items: ["logRecords", "log_records"],
    missing_warning: WARNINGS.no_resource_logs,
  },
  metrics: {
    path: "/v1/metrics",
    resources: ["resourceMetrics", "resource_metrics"],
    scopes: ["scopeMetrics", "scope_metrics"],
    items: ["metrics", "metrics"],
    missing_warning: WARNINGS.no_resource_metrics,
  },
} as const satisfies Record<string, SignalNames>;

/** A signal, by the last part of its path. */
export type SignalName = keyof typeof SIGNALS;

const SIGNAL_NAMES = Object.keys(SIGNALS) as SignalName[];
const PROFILE_NAMES = ["resourceProfiles", "resource_profiles"];

/** The error for a JSON object that has the list of another signal, or undefined. */
export function findOtherJsonSignal(
  expected: SignalName,
  hasName: (name: string) => boolean,
): PermanentError | undefined {
  for (const signal of SIGNAL_NAMES) {
    const name = SIGNALS[signal].resources.find(hasName);
    if (name !== undefined)
      return wrongSignal(expected, name, `send it to ${SIGNALS[signal].path}`);
  }
  const name = PROFILE_NAMES.find(hasName);
  return name === undefined ? undefined : wrongSignal(expected, name, "profiles are not received");
}

/** The error for a protobuf body that is well-formed as a request of another signal, or undefined. */
export function findOtherSignal(
  expected: SignalName,
  body: Uint8Array,
): PermanentError | undefined {
  for (const signal of SIGNAL_NAMES) {
    if (signal === expected || !hasShape(body, REQUEST_SHAPES[signal])) continue;
    const { path, resources } = SIGNALS[signal];
    return wrongSignal(expected, resources[0], `send it to ${path}`);
  }
  return undefined;
}

function wrongSignal(expected: SignalName, found: string, advice: string): PermanentError {
  const wanted = SIGNALS[expected].resources[0];
  return new PermanentError(
    "wrong_signal",
    `the body holds ${found} where ${wanted} is expected; ${advice}`,
  );
}

/** A message as far as it tells the signal; the nesting of shapes bounds the recursion. */
interface Shape {
  readonly wire_types: WireTypes;
  readonly inner: ReadonlyMap<number, Shape>;
  /** Fields of which one must be there, with the bytes that it takes after its tag. */
  readonly proofs: ReadonlyMap<number, number>;
}

const NONE: ReadonlyMap<number, never> = new Map<number, never>();

/** A trace id takes a length and 16 bytes, a time 8. */
const SPAN_SHAPE: Shape = { wire_types: SPAN, inner: NONE, proofs: new Map([[1, 17]]) };
const LOG_SHAPE: Shape = {
  wire_types: LOG_RECORD,
  inner: NONE,
  // prettier-ignore
  proofs: new Map([[1, 8], [11, 8]]),
};
const METRIC_SHAPE = around(
  METRIC,
  [...METRIC_LAYOUTS].map(([number, { wire_types, point }]) => {
    const shape = { wire_types: point.wire_types, inner: NONE, proofs: new Map([[3, 8]]) };
    return [number, around(wire_types, [[1, shape]])];
  }),
);

const REQUEST_SHAPES: Record<SignalName, Shape> = {
  traces: requestOf(SPAN_SHAPE),
  logs: requestOf(LOG_SHAPE),
  metrics: requestOf(METRIC_SHAPE),
};

function around(wire_types: WireTypes, inner: (readonly [number, Shape])[]): Shape {
  return { wire_types, inner: new Map(inner), proofs: NONE };
}

function requestOf(item: Shape): Shape {
  return around(REQUEST, [
    [1, around(RESOURCE_ENVELOPE, [[2, around(SCOPE_ENVELOPE, [[2, item]])]])],
  ]);
}

function hasShape(body: Uint8Array, shape: Shape): boolean {
  try {
    return isProved(createReader(body), body.length, shape);
  } catch (error) {
    if (error instanceof PermanentError) return false;
    throw error;
  }
}

/** Reads the whole message, so that a field of a wrong wire type anywhere is met and thrown. */
function isProved(reader: WireReader, end: number, shape: Shape): boolean {
  let proved = false;
  while (reader.pos < end) {
    const field = readField(reader, end, shape.wire_types);
    const inner = shape.inner.get(field);
    if (inner !== undefined) {
      const isInnerProved = isProved(reader, readEnd(reader, end), inner);
      proved ||= isInnerProved;
    } else {
      const start = reader.pos;
      skipValue(reader, field, end);
      proved ||= shape.proofs.get(field) === reader.pos - start;
    }
  }
  return proved;
}
