/**
 * Errors as ClickHouse tells them, so that its clients understand: a number, a name and a text.
 *
 * Invariant: a text never holds a key, nor anything of a row that the asker may not see.
 */

/** Number and HTTP status of the errors that are made here; the numbers are ClickHouse's own. */
const KINDS = {
  BAD_ARGUMENTS: { number: 36, status: 400 },
  NOT_IMPLEMENTED: { number: 48, status: 501 },
  UNKNOWN_TABLE: { number: 60, status: 404 },
  SYNTAX_ERROR: { number: 62, status: 400 },
  UNKNOWN_FORMAT: { number: 73, status: 400 },
  INCORRECT_DATA: { number: 117, status: 400 },
  UNKNOWN_DATABASE: { number: 81, status: 404 },
  READONLY: { number: 164, status: 403 },
  REQUIRED_PASSWORD: { number: 194, status: 401 },
  TOO_MANY_SIMULTANEOUS_QUERIES: { number: 202, status: 429 },
  NETWORK_ERROR: { number: 210, status: 503 },
  TOO_MANY_ROWS_OR_BYTES: { number: 396, status: 500 },
  ACCESS_DENIED: { number: 497, status: 403 },
  AUTHENTICATION_FAILED: { number: 516, status: 401 },
  QUERY_IS_TOO_LARGE: { number: 552, status: 413 },
  HTTP_LENGTH_REQUIRED: { number: 381, status: 405 },
} as const satisfies Record<string, { number: number; status: number }>;

/** Name of an error, as ClickHouse has it. */
export type ErrorName = keyof typeof KINDS;

/** An error that the asker is told. */
export class ClickHouseError extends Error {
  override readonly name = "ClickHouseError";
  /** ClickHouse's number of the error; 0: it has none. */
  readonly number: number;
  /** HTTP status. */
  readonly status: number;
  /** Seconds after which to try again; null: that would not help. */
  readonly retry_after_s: number | null;

  constructor(text: string, number: number, status: number, retry_after_s: number | null = null) {
    super(text);
    this.number = number;
    this.status = status;
    this.retry_after_s = retry_after_s;
  }
}

/** Makes an error; the message says what to do next. */
export function refuse(
  name: ErrorName,
  message: string,
  retry_after_s: number | null = null,
): ClickHouseError {
  const { number, status } = KINDS[name];
  return new ClickHouseError(
    `Code: ${number}. DB::Exception: ${message} (${name})`,
    number,
    status,
    retry_after_s,
  );
}

/** Statuses of the engine's own errors that are not the fault of the query. */
const ENGINE_STATUS: ReadonlyMap<number, number> = new Map([
  [60, 404], // UNKNOWN_TABLE
  [81, 404], // UNKNOWN_DATABASE
  [159, 408], // TIMEOUT_EXCEEDED
  [164, 403], // READONLY
  [497, 403], // ACCESS_DENIED
]);

/** Where the engine begins to quote the statement that we wrapped around what was sent. */
const OUR_WRAPPING = /: (?:In scope|While executing|while executing) SELECT formatQuerySingleLine/;

/** The error of a statement that the engine refused or could not finish. */
export function fromEngine(
  message: string,
  number: number,
  is_permanent: boolean,
): ClickHouseError {
  const cut = message.search(OUR_WRAPPING);
  const name = /\(([A-Z_0-9]+)\)\s*$/.exec(message)?.[1] ?? "UNKNOWN_EXCEPTION";
  const text = cut === -1 ? message : `${message.slice(0, cut)}. (${name})`;
  const status = ENGINE_STATUS.get(number) ?? (is_permanent ? 400 : 500);
  return new ClickHouseError(text, number, status);
}
