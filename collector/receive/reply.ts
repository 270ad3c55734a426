/**
 * What the receiver answers: OTLP export responses, and `google.rpc.Status` for every error, in the
 * encoding of the request (OTLP 1.11 "OTLP/HTTP Response"). The one place where an error becomes an
 * HTTP status.
 */
import { PermanentError, RetryableError } from "../../schemas/errors.ts";

export type OtlpEncoding = "protobuf" | "json";

/** What is exported, by the last part of its path. */
export type OtlpSignal = "traces" | "logs" | "metrics";

export interface Reply {
  readonly status: number;
  /** Exact: clients compare it byte by byte before they read partial_success. */
  readonly content_type: string;
  readonly body: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What came of an export request. */
export interface ExportResult {
  /** Spans, log records or data points. */
  readonly accepted_items: number;
  readonly rejected_items: number;
  /** For the developer of the sender; empty when there is nothing to say. */
  readonly message: string;
}

export const CONTENT_TYPES: Readonly<Record<OtlpEncoding, string>> = {
  protobuf: "application/x-protobuf",
  json: "application/json",
};

/** Codes of google.rpc.Code that are used. */
const RPC = {
  invalid_argument: 3,
  deadline_exceeded: 4,
  not_found: 5,
  permission_denied: 7,
  resource_exhausted: 8,
  unimplemented: 12,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/** HTTP status and RPC code of permanent errors; any other is 400. */
const PERMANENT_STATUS: ReadonlyMap<string, readonly [number, number]> = new Map([
  ["unauthenticated", [401, RPC.unauthenticated]],
  ["key_expired", [401, RPC.unauthenticated]],
  ["key_revoked", [401, RPC.unauthenticated]],
  ["forbidden", [403, RPC.permission_denied]],
  // No SDK repeats these two, and the month may be long; RESOURCE_EXHAUSTED some repeat for ever.
  ["quota_exceeded", [403, RPC.permission_denied]],
  ["unknown_path", [404, RPC.not_found]],
  ["method_not_allowed", [405, RPC.unimplemented]],
  ["request_timeout", [408, RPC.deadline_exceeded]],
  ["body_too_large", [413, RPC.resource_exhausted]],
  ["too_many_objects", [413, RPC.resource_exhausted]],
  ["unsupported_media_type", [415, RPC.invalid_argument]],
  ["unsupported_encoding", [415, RPC.invalid_argument]],
  ["expectation_failed", [417, RPC.invalid_argument]],
  ["head_too_large", [431, RPC.resource_exhausted]],
]);

/** Longest message of an answer, characters: it must stay far below clients' 4 MiB. */
const MAX_MESSAGE_LENGTH = 2_000;
/** SDKs give up after about ten seconds in all, so they are asked back soon (reliability.md 1.8). */
const RETRY_AFTER_S = "1";

const encoder = new TextEncoder();

/** The message as it is sent: short, and without half characters, which JSON parsers refuse. */
function cutMessage(message: string): string {
  return message.slice(0, MAX_MESSAGE_LENGTH).toWellFormed();
}

/** Protobuf bytes of a varint field; nothing when zero, which is the default. */
export function varintField(field: number, value: number): number[] {
  if (value === 0) return [];
  const bytes = [field << 3];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  return [...bytes, rest];
}

/** Protobuf bytes of a length-delimited field; nothing when empty. */
export function bytesField(field: number, value: readonly number[] | Uint8Array): number[] {
  if (value.length === 0) return [];
  const [, ...length] = varintField(0, value.length);
  return [(field << 3) | 2, ...length, ...value];
}

/** What each signal calls its refused items; in protobuf all are field 1. */
const REJECTED: Readonly<Record<OtlpSignal, string>> = {
  traces: "rejectedSpans",
  logs: "rejectedLogRecords",
  metrics: "rejectedDataPoints",
};

/** The answer to an accepted request; partial_success is left out when there is nothing in it. */
export function exportReply(
  signal: OtlpSignal,
  encoding: OtlpEncoding,
  result: ExportResult,
): Reply {
  const { rejected_items } = result;
  const message = cutMessage(result.message);
  const plain = rejected_items === 0 && message === "";
  if (encoding === "json") {
    // 64-bit integers are strings in OTLP/JSON output.
    const partial = {
      partialSuccess: { [REJECTED[signal]]: String(rejected_items), errorMessage: message },
    };
    return jsonReply(200, plain ? {} : partial);
  }
  const partial = [...varintField(1, rejected_items), ...bytesField(2, encoder.encode(message))];
  return {
    status: 200,
    content_type: CONTENT_TYPES.protobuf,
    body: Uint8Array.from(bytesField(1, partial)),
  };
}

/** What an error is answered with, whatever carries the answer. */
export interface ErrorDescription extends RpcStatus {
  /** HTTP status. */
  readonly status: number;
}

/** Whatever is not known to be permanent may be tried again. */
export function describeError(error: unknown): ErrorDescription {
  if (error instanceof PermanentError) {
    const [status, code] = PERMANENT_STATUS.get(error.code) ?? [400, RPC.invalid_argument];
    const field = status === 400 ? (BAD_FIELDS.get(error.code) ?? "body") : null;
    return { status, code, message: error.message, field };
  }
  const message =
    error instanceof RetryableError ? error.message : "Not stored because of an internal error.";
  return { status: 503, code: RPC.unavailable, message, field: null };
}

/** The answer to a refused request. */
export function errorReply(encoding: OtlpEncoding, error: unknown): Reply {
  const { status, ...rpc } = describeError(error);
  const headers =
    error instanceof PermanentError
      ? permanentHeaders(error.code, status)
      : { "retry-after": RETRY_AFTER_S };
  return statusReply(encoding, status, rpc, headers);
}

function permanentHeaders(code: string, status: number): Record<string, string> {
  if (status === 401) return { "www-authenticate": "Bearer" };
  if (code === "method_not_allowed") return { allow: "POST" };
  return {};
}

/** What is written of a google.rpc.Status. */
export interface RpcStatus {
  readonly code: number;
  readonly message: string;
  /** The part of the request that is wrong, for a google.rpc.BadRequest; null when none is. */
  readonly field: string | null;
}

/** Parts of a request that are wrong, by the code of the error; any other is wrong in its body. */
const BAD_FIELDS: ReadonlyMap<string, string> = new Map([
  ["invalid_request", "headers"],
  ["project_required", "headers"],
  ["bad_compression", "content-encoding"],
]);

const BAD_REQUEST_TYPE = "type.googleapis.com/google.rpc.BadRequest";

function statusReply(
  encoding: OtlpEncoding,
  status: number,
  { code, message: text, field }: RpcStatus,
  headers: Record<string, string>,
): Reply {
  const message = cutMessage(text);
  if (encoding === "json") {
    const violation = { field, description: message };
    const details = [{ "@type": BAD_REQUEST_TYPE, fieldViolations: [violation] }];
    return {
      ...jsonReply(status, field === null ? { code, message } : { code, message, details }),
      headers,
    };
  }
  const body = Uint8Array.from(statusBytes({ code, message, field }));
  return { status, content_type: CONTENT_TYPES.protobuf, body, headers };
}

/** Protobuf bytes of a google.rpc.Status. */
export function statusBytes({ code, message, field }: RpcStatus): number[] {
  const text = cutMessage(message);
  return [
    ...varintField(1, code),
    ...bytesField(2, encoder.encode(text)),
    ...(field === null ? [] : bytesField(3, badRequest(field, text))),
  ];
}

/** A google.protobuf.Any with a google.rpc.BadRequest of one violation. */
function badRequest(field: string, description: string): number[] {
  const violation = [
    ...bytesField(1, encoder.encode(field)),
    ...bytesField(2, encoder.encode(description)),
  ];
  return [
    ...bytesField(1, encoder.encode(BAD_REQUEST_TYPE)),
    ...bytesField(2, bytesField(1, violation)),
  ];
}

function jsonReply(status: number, value: unknown): Reply {
  return {
    status,
    content_type: CONTENT_TYPES.json,
    body: encoder.encode(JSON.stringify(value)),
  };
}
