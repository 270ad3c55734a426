/**
 * What a request asks: the statement, its parameters, the form of the answer, and how far its own limits
 * go below ours.
 *
 * Invariant: of what a URL sets, only what is listed here reaches the engine; everything else that could
 * change an answer is refused and not ignored.
 */
import type { IncomingHttpHeaders } from "node:http";
import type { ReaderLimits } from "../clickhouse/reader.ts";
import { refuse } from "./errors.ts";
import { contentTypeOf, DEFAULT_FORMAT } from "./formats.ts";

/** A request, understood. */
export interface Question {
  /** As it was sent, not checked. */
  readonly statement: string;
  /** Form of the answer unless the statement names one. */
  readonly format: string;
  /** As the client names it, or one of ours. */
  readonly query_id: string;
  readonly params: Readonly<Record<string, string>>;
  readonly settings: Readonly<Record<string, string | number>>;
  readonly limits: ReaderLimits;
  /** Revision of the protocol that the client says it reads; 0: it says nothing. */
  readonly client_revision: number;
  /** Whether the answer may be compressed by gzip. */
  readonly takes_gzip: boolean;
}

/** Parameters of one query at most. */
export const MAX_PARAMS = 1_000;

const FLAG = /^(?:[01]|true|false)$/;

/** Settings of the form of the answer that clients set, and what they may be. */
const FORM_SETTINGS: Readonly<Record<string, RegExp>> = {
  date_time_output_format: /^(?:simple|iso|unix_timestamp)$/,
  limit: /^\d{1,15}$/,
  output_format_arrow_string_as_string: FLAG,
  output_format_csv_crlf_end_of_line: FLAG,
  output_format_decimal_trailing_zeros: FLAG,
  output_format_json_array_of_rows: FLAG,
  output_format_json_escape_forward_slashes: FLAG,
  output_format_json_named_tuples_as_objects: FLAG,
  output_format_json_quote_64bit_floats: FLAG,
  output_format_json_quote_64bit_integers: FLAG,
  output_format_json_quote_decimals: FLAG,
  output_format_json_quote_denormals: FLAG,
  output_format_parquet_string_as_string: FLAG,
  session_timezone: /^[A-Za-z0-9_+/-]{0,64}$/,
};

/** Settings that may only be lowered, and the limit that each is about. */
const LIMIT_SETTINGS: Readonly<Record<string, keyof ReaderLimits>> = {
  max_execution_time: "query_timeout_s",
  max_memory_usage: "query_memory_bytes",
  max_result_bytes: "max_result_bytes",
  max_result_rows: "max_result_rows",
};

/**
 * What clients send that changes nothing here: connections, sessions, inserts, how progress is told; and
 * limits of reading, whose errors would count hidden rows.
 */
const WITHOUT_EFFECT: ReadonlySet<string> = new Set([
  "buffer_size",
  "cancel_http_readonly_queries_on_client_close",
  "date_time_input_format",
  "http_headers_progress_interval_ms",
  "http_write_exception_in_output_format",
  "http_zlib_compression_level",
  "log_comment",
  "log_queries",
  "max_block_size",
  "max_bytes_to_read",
  "max_rows_to_read",
  "quota_key",
  "send_progress_in_http_headers",
  "session_check",
  "session_id",
  "session_timeout",
  "use_client_time_zone",
  "user",
  "wait_end_of_query",
  "workload",
]);

/** What the endpoint itself reads. */
const OWN_NAMES: ReadonlySet<string> = new Set([
  "client_protocol_version",
  "compress",
  "database",
  "decompress",
  "default_format",
  "enable_http_compression",
  "password",
  "query",
  "query_id",
  "readonly",
]);

/** Reads a request. Throws ClickHouseError. */
export function readQuestion(
  url: URL,
  headers: IncomingHttpHeaders,
  body: string,
  { database, limits }: { readonly database: string; readonly limits: ReaderLimits },
): Question {
  const given = new Map<string, string>();
  for (const [name, value] of url.searchParams) {
    if (value.includes("\0") || name.includes("\0")) throw withoutNul();
    if (given.has(name)) throw refuse("BAD_ARGUMENTS", `${name.slice(0, 60)} is given twice.`);
    given.set(name, value);
  }
  refuseUnusable(given, database);
  const statement = [given.get("query"), body].filter(Boolean).join("\n");
  if (statement.includes("\0")) throw withoutNul();
  if (statement.trim() === "")
    throw refuse("SYNTAX_ERROR", "Empty query: send it as the body or as query=.");
  if (Buffer.byteLength(statement) > limits.max_query_bytes) throw tooLarge(limits);
  const header = headers["x-clickhouse-format"];
  const format =
    (typeof header === "string" && header) || given.get("default_format") || DEFAULT_FORMAT;
  return {
    statement,
    format: checkFormat(format),
    query_id: given.get("query_id") || crypto.randomUUID(),
    client_revision: Number(given.get("client_protocol_version") ?? 0) || 0,
    takes_gzip:
      /^(?:1|true)$/.test(given.get("enable_http_compression") ?? "") &&
      /\bgzip\b/.test(headers["accept-encoding"] ?? ""),
    ...readSettings(given, limits),
  };
}

/** The name of a format that is offered. Throws ClickHouseError UNKNOWN_FORMAT. */
export function checkFormat(format: string): string {
  if (contentTypeOf(format) !== undefined) return format;
  throw refuse("UNKNOWN_FORMAT", `The format ${format.slice(0, 60)} is not offered.`);
}

/** The error of a statement or body that is too long. */
export function tooLarge({ max_query_bytes }: ReaderLimits): Error {
  return refuse("QUERY_IS_TOO_LARGE", `A query may have ${max_query_bytes} bytes at most.`);
}

function withoutNul(): Error {
  return refuse("INCORRECT_DATA", "A query and its parameters are text without NUL.");
}

function refuseUnusable(given: ReadonlyMap<string, string>, database: string): void {
  if (given.has("password")) {
    throw refuse(
      "AUTHENTICATION_FAILED",
      "Keys in URLs end in logs: send yours as X-ClickHouse-Key or as the password of Basic " +
        "authentication, and make another in place of this one.",
    );
  }
  for (const name of ["compress", "decompress"]) {
    if (/^(?:|0|false)$/.test(given.get(name) ?? "")) continue;
    throw refuse(
      "NOT_IMPLEMENTED",
      `ClickHouse's own compression (${name}=1) is not offered: switch it off in the client, or take gzip.`,
    );
  }
  const asked = given.get("database") ?? "";
  if (!["", "default", database].includes(asked)) {
    throw refuse("UNKNOWN_DATABASE", `The only database is ${database}.`);
  }
  if (!/^[12]?$/.test(given.get("readonly") ?? "")) {
    throw refuse("READONLY", "Everything here is read only; leave readonly out.");
  }
  if (!/^[\x21-\x7e]{0,128}$/.test(given.get("query_id") ?? "")) {
    throw refuse("BAD_ARGUMENTS", "query_id may have 128 printable characters at most.");
  }
}

type Asked = Pick<Question, "params" | "settings" | "limits">;

function readSettings(given: ReadonlyMap<string, string>, limits: ReaderLimits): Asked {
  const params: Record<string, string> = {};
  const settings: Record<string, string | number> = {};
  const lowered: Record<string, number> = {};
  for (const [name, value] of given) {
    if (OWN_NAMES.has(name) || WITHOUT_EFFECT.has(name)) continue;
    const param = /^param_([A-Za-z_]\w{0,63})$/.exec(name)?.[1];
    const limit = Object.hasOwn(LIMIT_SETTINGS, name) ? LIMIT_SETTINGS[name] : undefined;
    if (param !== undefined) params[param] = value;
    else if (limit !== undefined) lowered[limit] = lower(name, value, limits[limit]);
    else if (Object.hasOwn(FORM_SETTINGS, name) && FORM_SETTINGS[name]?.test(value)) {
      settings[name] = value;
    } else {
      throw refuse("READONLY", `Cannot modify '${name.slice(0, 60)}' setting in readonly mode.`);
    }
  }
  if (Object.keys(params).length > MAX_PARAMS) {
    throw refuse("BAD_ARGUMENTS", `A query may have ${MAX_PARAMS} parameters at most.`);
  }
  return { params, settings, limits: { ...limits, ...lowered } };
}

/** A limit of the client where it is lower than ours; 0 stands for none. */
function lower(name: string, value: string, limit: number): number {
  if (!/^\d{1,15}(?:\.\d{1,9})?$/.test(value)) {
    throw refuse("BAD_ARGUMENTS", `${name} has to be a number.`);
  }
  const asked = Math.ceil(Number(value));
  return asked === 0 ? limit : Math.min(asked, limit);
}
