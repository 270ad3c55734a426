/**
 * What the product asks of ClickHouse, whichever engine answers: embedded (`embedded.ts`) or a
 * server (`server.ts`). The same SQL and the same bytes go to both.
 */
import { PermanentError, RetryableError } from "../schemas/errors.ts";
import type { TimeRange } from "../schemas/record.ts";
import { parametersOf } from "./queries.ts";

/** A bound parameter: `{name:Type}` in the SQL. Arrays are ClickHouse arrays. */
export type Param = string | number | bigint | boolean | readonly Param[];
export type Params = Readonly<Record<string, Param>>;

/** A column of a table: its name and ClickHouse type. */
export interface TableColumn {
  readonly name: string;
  readonly type: string;
}

export interface Engine {
  readonly kind: "embedded" | "server";
  /**
   * Runs a SELECT and returns its rows. 64-bit integers and decimals arrive as strings, so that
   * nothing is rounded. Bounded in time and memory by `EngineLimits`.
   */
  query<Row>(sql: string, params?: Params): Promise<Row[]>;
  /** Runs a SELECT and returns its rows as a file of that format; bounded as `query` is. */
  queryBytes(sql: string, params: Params, format: "Parquet"): Promise<Uint8Array>;
  /**
   * Runs a statement without a result. The lane says what it may wait for: a long recompute
   * (`background`, also DDL) must not hold up the marks of an insert (`insert`).
   */
  command(sql: string, params?: Params, lane?: "background" | "insert"): Promise<void>;
  /**
   * Inserts Native blocks of a table, durably: what it has resolved survives a power cut. A block
   * that lacks some of the columns gets their defaults: an older version may have written it. Rejects
   * with PermanentError only when the blocks are at fault. With a range, only the rows whose `ts` is in
   * it: each day is a part, and one INSERT must not make thousands.
   */
  insertNative(
    table: string,
    columns: readonly TableColumn[],
    blocks: readonly Uint8Array[],
    range?: TimeRange | null,
  ): Promise<void>;
  /** Resolves when the engine answers; rejects with a RetryableError when it does not. */
  ping(): Promise<void>;
  /** Waits for what runs; whatever is asked later rejects with a RetryableError. */
  close(): Promise<void>;
}

/** Bounds of one query of a reader. */
export interface EngineLimits {
  /** Longest a query may run, seconds. */
  readonly query_timeout_s: number;
  /** Memory of one query, bytes. */
  readonly query_memory_bytes: number;
}

export const DEFAULT_ENGINE_LIMITS: EngineLimits = {
  query_timeout_s: 30,
  query_memory_bytes: 1 << 30,
};

/**
 * Settings of every statement. Inserts are batched and made durable by the WAL, so the engine must
 * not batch or deduplicate again: its deduplication lost acknowledged rows on a crash
 * (research/storage.md 2.1). Partitions are days and are part of the key, so FINAL need not merge
 * across them.
 */
export const COMMON_SETTINGS: Readonly<Record<string, string | number>> = {
  async_insert: 0,
  // Replaced rows are found by FINAL and by merges; to look for them in each block again doubled the
  // cost of an insert (10.7 against 5.3 us of CPU a row, 100,000 rows).
  optimize_on_insert: 0,
  insert_deduplicate: 0,
  deduplicate_insert: "disable",
  max_partitions_per_insert_block: 0,
  // Arrays of parameters are part of the statement, and the default of 256 KiB is few marks.
  max_query_size: 64 * 1024 ** 2,
  do_not_merge_across_partitions_select_final: 1,
  output_format_json_quote_64bit_integers: 1,
  output_format_json_quote_decimals: 1,
  output_format_json_quote_denormals: 0,
  date_time_output_format: "simple",
};

/** ClickHouse error codes of statements that fail the same way every time. */
const PERMANENT_CODES: ReadonlySet<number> = new Set([
  6, // CANNOT_PARSE_TEXT
  27, // CANNOT_PARSE_INPUT_ASSERTION_FAILED
  32, // ATTEMPT_TO_READ_AFTER_EOF: a block that ends too early
  33, // CANNOT_READ_ALL_DATA: the same
  36, // BAD_ARGUMENTS
  38, // CANNOT_PARSE_DATE
  41, // CANNOT_PARSE_DATETIME
  42, // NUMBER_OF_ARGUMENTS_DOESNT_MATCH
  43, // ILLEGAL_TYPE_OF_ARGUMENT
  46, // UNKNOWN_FUNCTION
  47, // UNKNOWN_IDENTIFIER
  53, // TYPE_MISMATCH
  62, // SYNTAX_ERROR
  69, // ARGUMENT_OUT_OF_BOUND
  70, // CANNOT_CONVERT_TYPE
  117, // INCORRECT_DATA
  130, // CANNOT_READ_ARRAY_FROM_TEXT
  131, // TOO_LARGE_STRING_SIZE
  261, // UNKNOWN_BLOCK_INFO_FIELD
  349, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
  456, // UNKNOWN_QUERY_PARAMETER
  457, // BAD_QUERY_PARAMETER
]);

/**
 * Those that say that the data are broken. With any other code an INSERT waits for a person to mend
 * the table rather than setting good records aside.
 */
const BAD_DATA_CODES: ReadonlySet<number> = new Set([
  6, 27, 32, 33, 38, 41, 70, 117, 130, 131, 261, 349,
]);

/** The code in "Code: 47. DB::Exception: ...", or 0. */
export function errorCode(message: string): number {
  return Number(/Code: (\d+)/.exec(message)?.[1] ?? 0);
}

/** Whether an error of the engine would come again for the same statement and data. */
export function isPermanentCode(code: number): boolean {
  return PERMANENT_CODES.has(code);
}

/** Longest message of the engine that is passed on, characters: it may quote a whole statement. */
const MAX_MESSAGE_LENGTH = 2_000;

/** The error of a statement that the engine answered with a code (0: without one). */
export function makeStatementError(code: number, message: string, cause: unknown): Error {
  const text = message.slice(0, MAX_MESSAGE_LENGTH);
  return isPermanentCode(code)
    ? new PermanentError(`clickhouse_${code}`, text, { cause })
    : new RetryableError(`clickhouse_${code}`, text, { cause });
}

/** The error of an INSERT: permanent only when its data are at fault. */
export function asInsertError(error: Error): Error {
  if (!(error instanceof PermanentError)) return error;
  if (BAD_DATA_CODES.has(Number(error.code.replace("clickhouse_", "")))) return error;
  return new RetryableError(error.code, error.message, { cause: error });
}

/**
 * Throws PermanentError("clickhouse_456") when the SQL has a parameter that is not given. A session
 * of the embedded engine remembers parameters, so it would answer with the value of another query.
 */
export function checkParams(sql: string, params: Params): void {
  for (const name of parametersOf(sql).keys()) {
    if (Object.hasOwn(params, name)) continue;
    throw new PermanentError("clickhouse_456", `The query parameter ${name} is not set.`);
  }
}

/** The parameter as text the way ClickHouse parses it: TSV-escaped, arrays in brackets. */
export function formatParam(value: Param): string {
  if (Array.isArray(value)) return `[${value.map((item: Param) => formatItem(item)).join(",")}]`;
  if (typeof value === "boolean") return value ? "1" : "0";
  if (typeof value !== "string") return String(value);
  return value.replace(/[\\\t\n\r\0\b\f]/g, (character) => ESCAPES[character] ?? character);
}

const ESCAPES: Readonly<Record<string, string>> = {
  "\\": "\\\\",
  "\t": "\\t",
  "\n": "\\n",
  "\r": "\\r",
  "\0": "\\0",
  "\b": "\\b",
  "\f": "\\f",
};

/** An array item: strings quoted, then read as inside a quoted literal; Bool reads words only. */
function formatItem(value: Param): string {
  return typeof value === "string"
    ? quote(value)
    : typeof value === "boolean"
      ? String(value)
      : formatParam(value);
}

/** The condition that the `ts` of a row is in the range; the bounds are as fine as `ts` itself. */
export function rangeCondition({ from_s, to_s }: TimeRange): string {
  const bounds = [
    ...(from_s === null ? [] : [`ts >= toDateTime64(${Math.trunc(from_s)}, 9, 'UTC')`]),
    ...(to_s === null ? [] : [`ts < toDateTime64(${Math.trunc(to_s)}, 9, 'UTC')`]),
  ];
  return bounds.length === 0 ? "1" : bounds.join(" AND ");
}

/** Columns as the structure that `file()` and `input()` take. */
export function structureOf(columns: readonly TableColumn[]): string {
  return quote(columns.map(({ name, type }) => `${name} ${type}`).join(", "));
}

/** A string literal of ClickHouse SQL. */
export function quote(text: string): string {
  return `'${text.replace(/[\\']/g, (character) => `\\${character}`)}'`;
}
