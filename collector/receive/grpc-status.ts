/**
 * What a gRPC call is answered with when it is refused: the same words as over HTTP, the code that
 * senders decide by, and a `google.rpc.Status` in the trailers.
 *
 * Invariant: a code that senders retry is given only where a retry can help, and RetryInfo only with
 * UNAVAILABLE: RESOURCE_EXHAUSTED without it is final (OTLP 1.11 "OTLP/gRPC Throttling").
 */
import { Metadata, status } from "@grpc/grpc-js";
import { PermanentError } from "../../schemas/errors.ts";
import { bytesField, describeError, statusBytes, varintField } from "./reply.ts";

/** A refused call as grpc-js sends it. */
export interface GrpcStatus {
  readonly code: status;
  /** For the developer of the sender; characters that do not pair are replaced. */
  readonly details: string;
  readonly metadata: Metadata;
}

/** HTTP status that tells the same, by gRPC code: metrics have one label for both ways in. */
const HTTP_STATUSES: ReadonlyMap<status, number> = new Map([
  [status.OK, 200],
  [status.INVALID_ARGUMENT, 400],
  [status.INTERNAL, 400],
  [status.UNAUTHENTICATED, 401],
  [status.PERMISSION_DENIED, 403],
  [status.NOT_FOUND, 404],
  [status.DEADLINE_EXCEEDED, 408],
  [status.RESOURCE_EXHAUSTED, 413],
  [status.UNIMPLEMENTED, 415],
  [status.UNAVAILABLE, 503],
]);

/** The codes by their numbers in google.rpc.Code. */
const CODES: ReadonlyMap<number, status> = new Map(
  [...HTTP_STATUSES.keys()].map((code) => [code, code]),
);

/** Where gRPC has a code of its own for what HTTP says with 400 or 415; by the code of the error. */
const OWN_CODES: ReadonlyMap<string, status> = new Map([
  ["unsupported_encoding", status.UNIMPLEMENTED],
  ["bad_compression", status.INTERNAL],
]);

/**
 * Longest message, characters. It is sent twice or three times, percent-encoded and as base64, and
 * some senders take only 8 KiB of trailers.
 */
const MAX_DETAILS_LENGTH = 400;
/** SDKs give up after about ten seconds in all (reliability.md 1.8). */
const RETRY_DELAY_S = 1;

const encoder = new TextEncoder();

/** A google.protobuf.Any with a google.rpc.RetryInfo. */
const RETRY_INFO = [
  ...bytesField(1, encoder.encode("type.googleapis.com/google.rpc.RetryInfo")),
  ...bytesField(2, bytesField(1, varintField(1, RETRY_DELAY_S))),
];

/** The answer to a refused call. Whatever is not known to be permanent may be tried again. */
export function grpcStatus(error: unknown): GrpcStatus {
  const described = describeError(error);
  const own = error instanceof PermanentError ? OWN_CODES.get(error.code) : undefined;
  const code = own ?? CODES.get(described.code) ?? status.UNAVAILABLE;
  const details = described.message.slice(0, MAX_DETAILS_LENGTH).toWellFormed();
  const field = code === status.INVALID_ARGUMENT ? described.field : null;
  const bytes = statusBytes({ code, message: details, field });
  if (code === status.UNAVAILABLE) bytes.push(...bytesField(3, RETRY_INFO));
  const metadata = new Metadata();
  metadata.set("grpc-status-details-bin", Buffer.from(bytes));
  return { code, details, metadata };
}

/** The HTTP status of the same outcome; 503 for what has none of its own. */
export function httpStatusOf(code: status): number {
  return HTTP_STATUSES.get(code) ?? 503;
}
