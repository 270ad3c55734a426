/**
 * The one shape of every error of the query API, and the one place where an error becomes a status.
 */
import type { z } from "zod";
import type { ErrorAnswer } from "../schemas/api.ts";
import { PermanentError, RetryableError } from "../schemas/errors.ts";

export type ErrorStatus =
  | 400
  | 401
  | 403
  | 404
  | 405
  | 409
  | 413
  | 415
  | 422
  | 429
  | 500
  | 503
  | 504;

export interface ApiErrorDetail {
  readonly path: string;
  readonly message: string;
}

/** An error that a route answers on purpose. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: ErrorStatus;
  readonly code: string;
  readonly details: readonly ApiErrorDetail[];
  /** When to come again, seconds; null when that is not known. */
  readonly retry_after_s: number | null;

  constructor(
    status: ErrorStatus,
    code: string,
    message: string,
    details: readonly ApiErrorDetail[] = [],
    retry_after_s: number | null = null,
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
    this.retry_after_s = retry_after_s;
  }
}

/** The error of a query that does not fit its schema; each detail names a parameter. */
export function invalidQuery(error: z.ZodError): ApiError {
  const details = error.issues.flatMap((issue) =>
    issue.code === "unrecognized_keys"
      ? issue.keys.map((key) => ({ path: key, message: "is not a parameter of this route" }))
      : [{ path: String(issue.path[0] ?? ""), message: issue.message }],
  );
  const first = details[0];
  const message =
    first === undefined ? "The request is not valid." : `${first.path} ${first.message}`.trim();
  return new ApiError(400, "invalid_query", message, details);
}

/** The error of a body that does not fit its schema; each detail names a field by its path. */
export function invalidBody(error: z.ZodError): ApiError {
  const details = error.issues.flatMap((issue) => {
    const path = issue.path.map(String).join(".");
    return issue.code === "unrecognized_keys"
      ? issue.keys.map((key) => ({
          path: path === "" ? key : `${path}.${key}`,
          message: "is not a field of this body",
        }))
      : [{ path, message: issue.message }];
  });
  const first = details[0];
  const message =
    first === undefined ? "The body is not valid." : `${first.path} ${first.message}`.trim();
  return new ApiError(400, "invalid_body", message, details);
}

/** ClickHouse's codes of a query that hit a limit: time, memory, rows. */
const LIMIT_CODES: ReadonlySet<string> = new Set(["clickhouse_159", "clickhouse_241"]);

/** What any error becomes. Errors nobody foresaw do not show their text to the client. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof RetryableError || error instanceof PermanentError) {
    if (LIMIT_CODES.has(error.code)) {
      return new ApiError(
        504,
        "query_too_expensive",
        "The query took too long or too much memory. Ask for a shorter range or fewer groups.",
      );
    }
    if (error.code === "state_changed") return new ApiError(409, "conflict", error.message);
    if (error instanceof RetryableError) {
      return new ApiError(503, "storage_unavailable", "The storage does not answer; try again.");
    }
  }
  return new ApiError(500, "internal", "An internal error; the log of the server says more.");
}

export function errorBody(error: ApiError): ErrorAnswer {
  return {
    error: { code: error.code, message: error.message, details: [...error.details] },
  };
}
