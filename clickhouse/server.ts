/**
 * A ClickHouse server or cluster over HTTP, through `@clickhouse/client`.
 *
 * Invariant: nothing is reported done before the server's whole answer has come and has no error
 * in it; whatever else happens to the connection is a RetryableError.
 */
import { Readable } from "node:stream";
import {
  type ClickHouseClientConfigOptions,
  ClickHouseError,
  ClickHouseLogLevel,
  createClient,
} from "@clickhouse/client";
import { messageOf, PermanentError, RetryableError } from "../schemas/errors.ts";
import type { TimeRange } from "../schemas/record.ts";
import {
  asInsertError,
  checkParams,
  COMMON_SETTINGS,
  type Engine,
  type EngineLimits,
  errorCode,
  formatParam,
  makeStatementError,
  type Params,
  quote,
  rangeCondition,
  structureOf,
  type TableColumn,
} from "./engine.ts";
import { SessionPool } from "./session-pool.ts";

export interface ServerOptions {
  /** http://user:password@host:8123/database */
  readonly url: string;
  readonly limits: EngineLimits;
  /** Longest an INSERT or a migration may take, ms; five minutes when it is not given. */
  readonly write_timeout_ms?: number;
}

type Client = ReturnType<typeof createClient>;

/** Connections for readers, and as many for writers. */
const MAX_OPEN_CONNECTIONS = 16;
/** Longest a reader waits for a free connection, ms; then it is told to come back. */
const MAX_CONNECTION_WAIT_MS = 30_000;
const DEFAULT_WRITE_TIMEOUT_MS = 300_000;
/** How much longer than the server's own limit of a query its answer is waited for, ms. */
const ANSWER_GRACE_MS = 5_000;
/**
 * Longest text of an array in the URL, characters; a longer one goes into the statement. Percent
 * encoding makes it nine times as long at most, and ClickHouse refuses a value above 128 KiB
 * (http_max_field_value_size) and a URL above 1 MiB (http_max_uri_size).
 */
const MAX_URL_ARRAY_LENGTH = 8_192;
/** How much of the answer to a statement without a result is looked at, bytes. */
const MAX_ANSWER_BYTES = 64 * 1024;

function toEngineError(error: unknown): Error {
  if (error instanceof RetryableError || error instanceof PermanentError) return error;
  if (error instanceof ClickHouseError) {
    return makeStatementError(Number(error.code), error.message, error);
  }
  return new RetryableError(
    "clickhouse_unavailable",
    `The ClickHouse server does not answer: ${describe(error)}`,
    { cause: error },
  );
}

/** Node's error of a name with several addresses has an empty message, only a code. */
function describe(error: unknown): string {
  const message = messageOf(error);
  if (message !== "") return message;
  return error instanceof Error && "code" in error ? String(error.code) : "no reason given";
}

function connect(config: ClickHouseClientConfigOptions): Client {
  try {
    return createClient(config);
  } catch (error) {
    throw new PermanentError(
      "bad_clickhouse_url",
      `The URL of the ClickHouse server cannot be used: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

/** What the client needs to run a statement with its parameters. */
interface BoundStatement {
  readonly query: string;
  readonly query_params: Record<string, unknown>;
}

/** Binds parameters in the URL, long arrays as literals of the same type in the statement. */
function bindParams(sql: string, params: Params): BoundStatement {
  checkParams(sql, params);
  const query_params: Record<string, unknown> = {};
  let query = sql;
  for (const [name, value] of Object.entries(params)) {
    const text = Array.isArray(value) ? formatParam(value) : "";
    if (text.length <= MAX_URL_ARRAY_LENGTH) {
      query_params[name] = value;
      continue;
    }
    query = query.replaceAll(
      new RegExp(`\\{${name}:\\s*([^{}]+)\\}`, "g"),
      (_match, type: string) => `CAST(${quote(text)}, ${quote(type.trim())})`,
    );
  }
  return { query, query_params };
}

/**
 * Reads the answer to a statement without a result to its end; throws when it tells of an error.
 * Read and not destroyed, so that the connection can be used again.
 */
async function finishAnswer(stream: Readable): Promise<void> {
  let answer = "";
  for await (const chunk of stream) {
    if (answer.length < MAX_ANSWER_BYTES) answer += String(chunk);
  }
  // A server that has begun to answer 200 can only tell of an error in the body.
  if (!answer.includes("DB::Exception")) return;
  throw makeStatementError(errorCode(answer), answer, null);
}

/** Opens a client of the server; it connects when it is first used. */
export function openServer(options: ServerOptions): Engine {
  return new ServerEngine(options);
}

class ServerEngine implements Engine {
  readonly kind = "server";
  readonly #limits: EngineLimits;
  readonly #reader: Client;
  readonly #writer: Client;
  readonly #reads: SessionPool<{ close(): void }>;
  readonly #writes: SessionPool<{ close(): void }>;

  constructor({ url, limits, write_timeout_ms = DEFAULT_WRITE_TIMEOUT_MS }: ServerOptions) {
    this.#limits = limits;
    const shared = {
      url,
      max_open_connections: MAX_OPEN_CONNECTIONS,
      application: "spanledger",
      // Errors are thrown and logged where they are caught; the client would write to the console.
      log: { level: ClickHouseLogLevel.OFF },
      // An error that comes after the first bytes of an answer must not look like success.
      clickhouse_settings: { ...COMMON_SETTINGS, wait_end_of_query: 1 as const },
    };
    const read_timeout_ms = limits.query_timeout_s * 1000 + ANSWER_GRACE_MS;
    this.#reader = connect({ ...shared, request_timeout: read_timeout_ms });
    this.#writer = connect({ ...shared, request_timeout: write_timeout_ms });
    // The client keeps the connections; a session here is only the right to use one.
    const openTurn = async () => ({ close() {} });
    this.#reads = new SessionPool(MAX_OPEN_CONNECTIONS, MAX_CONNECTION_WAIT_MS, openTurn);
    this.#writes = new SessionPool(MAX_OPEN_CONNECTIONS, Infinity, openTurn);
  }

  query<Row>(sql: string, params: Params = {}): Promise<Row[]> {
    const { query_timeout_s, query_memory_bytes } = this.#limits;
    return this.#attempt(this.#reads, async () => {
      const result = await this.#reader.query({
        ...bindParams(sql, params),
        format: "JSONEachRow",
        clickhouse_settings: {
          max_execution_time: query_timeout_s,
          max_memory_usage: String(query_memory_bytes),
        },
      });
      return result.json<Row>();
    });
  }

  queryBytes(sql: string, params: Params, format: "Parquet"): Promise<Uint8Array> {
    const { query_timeout_s, query_memory_bytes } = this.#limits;
    return this.#attempt(this.#reads, async () => {
      const { stream } = await this.#reader.exec({
        ...bindParams(`${sql} FORMAT ${format}`, params),
        clickhouse_settings: {
          max_execution_time: query_timeout_s,
          max_memory_usage: String(query_memory_bytes),
        },
      });
      // Whole before it is returned: the server waits for the end of the query, so an error is none.
      const parts: Uint8Array[] = [];
      for await (const part of stream) parts.push(part as Uint8Array);
      return Buffer.concat(parts);
    });
  }

  command(sql: string, params: Params = {}): Promise<void> {
    return this.#attempt(this.#writes, async () => {
      const { stream } = await this.#writer.exec(bindParams(sql, params));
      await finishAnswer(stream);
    });
  }

  async insertNative(
    table: string,
    columns: readonly TableColumn[],
    blocks: readonly Uint8Array[],
    range: TimeRange | null = null,
  ): Promise<void> {
    const list = columns.map(({ name }) => name).join(", ");
    const into = `INSERT INTO ${table} (${list})`;
    const send = async (statement: string): Promise<boolean> => {
      const { stream, summary } = await this.#writer.exec({
        query: `${statement} FORMAT Native`,
        values: Readable.from(blocks, { objectMode: false }),
      });
      await finishAnswer(stream);
      return Number(summary?.written_rows ?? 0) > 0;
    };
    try {
      await this.#attempt(this.#writes, async () => {
        if (blocks.length === 0) return;
        // The server filters: a block cut here would have to be decoded and encoded again.
        const has_written =
          range !== null &&
          (await send(
            `${into} SELECT ${list} FROM input(${structureOf(columns)}) WHERE ${rangeCondition(range)}`,
          ));
        // What does not say that it wrote rows, such as a proxy that drops the header, is not believed:
        // all rows are sent then. They replace themselves when the other ranges come.
        if (!has_written) await send(into);
      });
    } catch (error) {
      throw asInsertError(error as Error);
    }
  }

  /** A query and not /ping, which answers anyone, also with a wrong password. */
  async ping(): Promise<void> {
    await this.query("SELECT 1");
  }

  async close(): Promise<void> {
    await Promise.all([this.#reads.close(), this.#writes.close()]);
    await Promise.all([this.#reader.close(), this.#writer.close()]);
  }

  async #attempt<Result>(
    turns: SessionPool<{ close(): void }>,
    job: () => Promise<Result>,
  ): Promise<Result> {
    try {
      return await turns.use(job);
    } catch (error) {
      throw toEngineError(error);
    }
  }
}
