/**
 * A ClickHouse server for tests: the HTTP interface that `@clickhouse/client` uses, with an embedded
 * engine behind it, that fails on command. Every statement runs in a session of its own, so nothing
 * a request sets can reach another one, as on a real server.
 *
 * Invariant: an answer that says success is only sent for a statement that the engine has done.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { gunzipSync, gzipSync } from "node:zlib";
import type { ChdbSession } from "../../clickhouse/embedded.ts";
import { errorCode } from "../../clickhouse/engine.ts";

/**
 * How the server fails:
 * - refuse: the port is closed
 * - error_500, unavailable_503: plain answers, as of a proxy in front of it
 * - hang: the request is read and never answered
 * - reset: the request is read, then the connection is reset
 * - execute_then_drop: the statement is done, the answer is lost
 * - late_exception: HTTP 200, some of the answer, then the exception (wait_end_of_query off)
 * - slow: the answer comes after `delay_ms`
 * - memory_limit, readonly: exceptions 241 and 164 for every statement
 * - incorrect_data, too_many_parts, timeout, quota, unknown_table, unknown_column, disk_full,
 *   table_readonly, unexplained: exceptions 117, 252, 159, 201, 60, 16, 243, 242 and 49 for INSERTs,
 *   everything else works
 * - half_insert: half of the rows of an INSERT are stored, then the connection is reset: the server was
 *   restarted in between; everything else works
 * - ignore_input: an INSERT through input() is answered as done and writes nothing
 */
export type FailMode =
  | "refuse"
  | "error_500"
  | "unavailable_503"
  | "hang"
  | "reset"
  | "execute_then_drop"
  | "late_exception"
  | "slow"
  | "memory_limit"
  | "readonly"
  | "half_insert"
  | "ignore_input"
  | InsertFailMode;

/** Exceptions of INSERTs by mode; texts as ClickHouse writes them. */
const INSERT_EXCEPTIONS = {
  incorrect_data:
    "Code: 117. DB::Exception: Expected end of block: While executing NativeFormat. (INCORRECT_DATA)",
  too_many_parts:
    "Code: 252. DB::Exception: Too many parts (3001 with average size of 1.00 MiB). Merges are processing significantly slower than inserts. (TOO_MANY_PARTS)",
  timeout:
    "Code: 159. DB::Exception: Timeout exceeded: elapsed 300.1 seconds, maximum: 300. (TIMEOUT_EXCEEDED)",
  quota:
    "Code: 201. DB::Exception: Quota for user `spanledger` for 3600s has been exceeded. (QUOTA_EXCEEDED)",
  unknown_table: "Code: 60. DB::Exception: Table spanledger.spans does not exist. (UNKNOWN_TABLE)",
  unknown_column:
    "Code: 16. DB::Exception: No such column region in table spanledger.spans. (NO_SUCH_COLUMN_IN_TABLE)",
  disk_full:
    "Code: 243. DB::Exception: Cannot reserve 1.00 MiB, not enough space. (NOT_ENOUGH_SPACE)",
  table_readonly: "Code: 242. DB::Exception: Table is in readonly mode. (TABLE_IS_READ_ONLY)",
  unexplained: "Code: 49. DB::Exception: Bad cast from type. (LOGICAL_ERROR)",
} as const;

export type InsertFailMode = keyof typeof INSERT_EXCEPTIONS;

export interface FakeOptions {
  /** The directory that this process has its embedded engine open on; it must be open already. */
  readonly directory: string;
  readonly database: string;
}

export interface FakeClickHouse {
  /** URL with user, password and database, as for SPANLEDGER_CLICKHOUSE_URL. */
  readonly url: string;
  /** The statements that arrived, in order, whatever became of them. */
  readonly statements: readonly string[];
  /** Connections that were opened so far. */
  readonly connections: number;
  /** INSERTs of data that ran at once, at most. */
  readonly peak_inserts: number;
  /** Fails from now on, until healed. A delay is in ms. */
  fail(mode: FailMode, delay_ms?: number): Promise<void>;
  /** Works again; requests that hang stay unanswered. */
  heal(): Promise<void>;
  close(): Promise<void>;
}

/** The only user of the fake server. */
export const FAKE_USER = "spanledger";
/** Its password; it has what a URL must escape. */
export const FAKE_PASSWORD = "p@ss:wörd/%";

/** Longest URL and longest value in it that ClickHouse takes, bytes (26.7 defaults). */
const MAX_URI_BYTES = 1024 ** 2;
const MAX_FIELD_BYTES = 128 * 1024;
const EXCEPTION_TAG = "fakeexceptiontag";

/** Parameters of the URL that are not settings. */
const RESERVED = new Set([
  "buffer_size",
  "compress",
  "database",
  "decompress",
  "default_format",
  "enable_http_compression",
  "password",
  "query",
  "query_id",
  "role",
  "session_id",
  "user",
  "wait_end_of_query",
]);

/** HTTP status by exception code; 500 for all others. */
const STATUS_OF_CODE: ReadonlyMap<number, number> = new Map([
  ...[6, 15, 27, 36, 38, 41, 44, 53, 62, 72, 117].map((code) => [code, 400] as const),
  ...[46, 47, 50, 60, 73, 81, 115].map((code) => [code, 404] as const),
  [48, 501],
  [159, 408],
  [497, 403],
  [516, 403],
]);

const FIXED_EXCEPTIONS: ReadonlyMap<FailMode, string> = new Map([
  [
    "memory_limit",
    "Code: 241. DB::Exception: (total) memory limit exceeded: would use 3.60 GiB, maximum: 3.60 GiB. (MEMORY_LIMIT_EXCEEDED)",
  ],
  ["readonly", "Code: 164. DB::Exception: Cannot execute query in readonly mode. (READONLY)"],
  [
    "late_exception",
    "Code: 241. DB::Exception: Query memory limit exceeded: While executing AggregatingTransform. (MEMORY_LIMIT_EXCEEDED)",
  ],
]);

/** What a request asks for. */
interface Statement {
  readonly sql: string;
  /** Data of an INSERT with a format. */
  readonly data: Buffer;
  readonly form: URLSearchParams;
}

/**
 * An INSERT of data in a format: as it is, or through input() with a structure (the third group) and
 * a condition. A real server reads the same bytes by the same structure.
 */
const DATA_INSERT =
  /^\s*(INSERT\s+INTO\s+\S+\s*\(([^)]*)\))(?:\s*SELECT\s+[^()]*?\s+FROM\s+input\(('(?:[^'\\]|\\.)*')\)(\s+WHERE\s+.*?))?\s*FORMAT\s+(\w+)\s*$/is;

function isDataInsert(sql: string): boolean {
  return DATA_INSERT.test(sql);
}

function isInsertMode(mode: FailMode): mode is InsertFailMode {
  return Object.hasOwn(INSERT_EXCEPTIONS, mode);
}

interface ChdbModule {
  Session: new (path: string) => ChdbSession;
}

/** What a statement answers, and how many rows an INSERT of data wrote. */
interface Outcome {
  readonly bytes: Uint8Array;
  readonly written_rows: number;
}

type RawResult = { bytes(): Uint8Array };

/** Starts a server on a free port of the loopback interface. */
export async function startFakeClickHouse(options: FakeOptions): Promise<FakeClickHouse> {
  const name = "chdb";
  const { default: chdb } = (await import(name)) as { default: ChdbModule };
  const files = await mkdtemp(join(tmpdir(), "spanledger-fake-"));
  const fake = new Fake(chdb, options, files);
  await fake.listen(0);
  return fake;
}

class Fake implements FakeClickHouse {
  readonly statements: string[] = [];
  connections = 0;
  peak_inserts = 0;
  #inserts = 0;
  readonly #chdb: ChdbModule;
  readonly #options: FakeOptions;
  readonly #files: string;
  readonly #running = new Set<Promise<void>>();
  #server: Server | null = null;
  #port = 0;
  #mode: FailMode | null = null;
  #delay_ms = 0;
  #file_count = 0;

  constructor(chdb: ChdbModule, options: FakeOptions, files: string) {
    this.#chdb = chdb;
    this.#options = options;
    this.#files = files;
  }

  get url(): string {
    const user = `${encodeURIComponent(FAKE_USER)}:${encodeURIComponent(FAKE_PASSWORD)}`;
    return `http://${user}@127.0.0.1:${this.#port}/${this.#options.database}`;
  }

  async listen(port: number): Promise<void> {
    const server = createServer({ maxHeaderSize: 2 * MAX_URI_BYTES }, (request, response) => {
      const running = this.#answer(request, response).catch(() => void request.socket.destroy());
      this.#running.add(running);
      void running.finally(() => this.#running.delete(running));
    });
    server.on("connection", () => {
      this.connections += 1;
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, "127.0.0.1", resolve);
    });
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
  }

  async fail(mode: FailMode, delay_ms = 0): Promise<void> {
    await this.heal();
    this.#mode = mode;
    this.#delay_ms = delay_ms;
    if (mode === "refuse") await this.#shut();
  }

  async heal(): Promise<void> {
    this.#mode = null;
    if (this.#server === null) await this.listen(this.#port);
  }

  async close(): Promise<void> {
    await this.#shut();
    await Promise.allSettled(this.#running);
    await rm(this.#files, { recursive: true, force: true });
  }

  async #shut(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const mode = this.#mode;
    const received = await buffer(request);
    const url = new URL(request.url ?? "/", "http://localhost");
    if (mode === "hang") return;
    if (url.pathname === "/ping") return void response.end("Ok.\n");
    const body = request.headers["content-encoding"] === "gzip" ? gunzipSync(received) : received;
    const statement = readStatement(url.searchParams, body);
    this.statements.push(statement.sql);
    if (isDataInsert(statement.sql)) {
      this.#inserts += 1;
      this.peak_inserts = Math.max(this.peak_inserts, this.#inserts);
      // Whatever becomes of it: the client takes a closed connection for the end of it.
      response.once("close", () => (this.#inserts -= 1));
    }
    if (mode === "reset") return void request.socket.resetAndDestroy();
    if (mode === "error_500") return void response.writeHead(500).end("Internal Server Error");
    if (mode === "unavailable_503") return void response.writeHead(503).end("<html>503</html>");
    if (mode === "slow") await new Promise((resolve) => setTimeout(resolve, this.#delay_ms));
    const refusal = refuse(request) ?? this.#failureOf(mode, statement);
    if (mode === "late_exception" && refusal !== null) return sendLate(response, refusal);
    if (refusal !== null) return sendException(response, refusal);
    try {
      const is_half = mode === "half_insert" && isDataInsert(statement.sql);
      const is_ignored =
        mode === "ignore_input" && DATA_INSERT.exec(statement.sql)?.[3] !== undefined;
      const result = is_ignored
        ? { bytes: new Uint8Array(), written_rows: 0 }
        : await this.#execute(statement, is_half);
      if (is_half) return void request.socket.resetAndDestroy();
      if (mode === "execute_then_drop") return void request.socket.destroy();
      sendResult(request, response, statement.form, result);
    } catch (error) {
      sendException(response, error instanceof Error ? error.message : String(error));
    }
  }

  #failureOf(mode: FailMode | null, { sql }: Statement): string | null {
    if (mode === null) return null;
    if (isInsertMode(mode)) return isDataInsert(sql) ? INSERT_EXCEPTIONS[mode] : null;
    return FIXED_EXCEPTIONS.get(mode) ?? null;
  }

  async #execute({ sql, data, form }: Statement, is_half: boolean): Promise<Outcome> {
    const session = new this.#chdb.Session(this.#options.directory);
    const file = join(this.#files, `${(this.#file_count += 1)}.data`);
    try {
      const database = form.get("database") ?? "default";
      const settings = [...form]
        .filter(([name]) => !RESERVED.has(name))
        .map(([name, value]) => `SET ${name} = ${literal(value)};`);
      const insert = DATA_INSERT.exec(sql);
      let text = sql;
      let counted = "";
      if (insert !== null) {
        await writeFile(file, data);
        const [, head = "", columns = "", structure, where = "", format = ""] = insert;
        const given = structure === undefined ? "" : `, ${structure}`;
        const source = `file(${literal(file)}, '${format}'${given})`;
        const half = is_half ? ` LIMIT (SELECT intDiv(count(), 2) FROM ${source})` : "";
        text = `${head} SELECT ${columns} FROM ${source}${where}${half}`;
        counted = `SELECT count() FROM ${source}${where}`;
      }
      const format = form.get("default_format") ?? "TabSeparated";
      // Apart from the statement, because a setting such as max_query_size holds from the next call.
      await session.queryAsync(`USE \`${database}\`;${settings.join("")}`, { format });
      const result: unknown = await session.queryAsync(text, { format });
      const rows =
        counted === "" ? "0" : await session.queryAsync(counted, { format: "TabSeparated" });
      const written_rows = Number(typeof rows === "string" ? rows : rows.text());
      return { bytes: (result as RawResult).bytes(), written_rows };
    } finally {
      session.close();
      await rm(file, { force: true });
    }
  }
}

/** The statement is in the URL, in the body, or begins in the one and goes on in the other. */
function readStatement(form: URLSearchParams, body: Buffer): Statement {
  const query = form.get("query");
  if (query === null) return { sql: body.toString("utf8"), data: Buffer.alloc(0), form };
  if (/\bFORMAT\s+\w+\s*$/i.test(query)) return { sql: query, data: body, form };
  return { sql: query + body.toString("utf8"), data: Buffer.alloc(0), form };
}

/** The exception for a request that is refused before its statement is looked at, or null. */
function refuse(request: IncomingMessage): string | null {
  const uri = request.url ?? "";
  const fields = uri.slice(uri.indexOf("?") + 1).split("&");
  if (uri.length > MAX_URI_BYTES)
    return "Code: 1000. DB::Exception: URI too long. (POCO_EXCEPTION)";
  if (fields.some((field) => field.length - field.indexOf("=") - 1 > MAX_FIELD_BYTES)) {
    return "Code: 1000. DB::Exception: HTML Form Exception: Field value too long. (POCO_EXCEPTION)";
  }
  const credentials = Buffer.from(`${FAKE_USER}:${FAKE_PASSWORD}`).toString("base64");
  if (request.headers.authorization === `Basic ${credentials}`) return null;
  return (
    "Code: 516. DB::Exception: default: Authentication failed: password is incorrect, " +
    "or there is no user with such name. (AUTHENTICATION_FAILED)"
  );
}

function sendException(response: ServerResponse, message: string): void {
  const code = errorCode(message);
  response.writeHead(STATUS_OF_CODE.get(code) ?? 500, {
    "content-type": "text/plain; charset=UTF-8",
    "x-clickhouse-exception-code": String(code),
  });
  response.end(`${message} (version 26.7.2.1 (official build))\n`);
}

/** Status 200 and the beginning of an answer, then the exception as ClickHouse writes it since 25.11. */
function sendLate(response: ServerResponse, message: string): void {
  response.writeHead(200, { "x-clickhouse-exception-tag": EXCEPTION_TAG });
  response.end(
    `{"n":1}\n\r\n__exception__\r\n${EXCEPTION_TAG}\r\n${message}\n` +
      `${Buffer.byteLength(message) + 1} ${EXCEPTION_TAG}\r\n__exception__\r\n`,
  );
}

function sendResult(
  request: IncomingMessage,
  response: ServerResponse,
  form: URLSearchParams,
  { bytes, written_rows }: Outcome,
): void {
  const encodings = request.headers["accept-encoding"] ?? "";
  const packs = form.get("enable_http_compression") === "1" && encodings.includes("gzip");
  response.writeHead(200, {
    "x-clickhouse-query-id": form.get("query_id") ?? "",
    "x-clickhouse-exception-tag": EXCEPTION_TAG,
    "x-clickhouse-summary": `{"read_rows":"0","written_rows":"${written_rows}","elapsed_ns":"0"}`,
    ...(packs ? { "content-encoding": "gzip" } : {}),
  });
  response.end(packs ? gzipSync(bytes) : bytes);
}

/** A string literal; written here and not taken from the code under test. */
function literal(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
