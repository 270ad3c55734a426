/**
 * ClickHouse inside this process: chdb, behind our own pool of sessions.
 *
 * One session runs one query at a time on one libuv thread, so readers and the two background
 * lanes have sessions of their own. `chdb/connection` is not used: it leaks settings from call to
 * call, and lost inserts that way (research/storage.md 6, pitfalls 1 to 3).
 */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
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

/** What a query of chdb answers: the bytes, or they as text. */
interface ChdbResult {
  text(): string;
  bytes(): Uint8Array;
}

/** The part of chdb's Session that is used; the package is optional, so it is typed here. */
export interface ChdbSession {
  queryAsync(sql: string, options: { format: string }): Promise<ChdbResult>;
  close(): void;
}

interface ChdbModule {
  Session: new (path: string, options: { connectionArgs: string[] }) => ChdbSession;
  drainPending(): Promise<void>;
}

export interface EmbeddedOptions {
  /** Directory of the tables; one process at a time. */
  readonly directory: string;
  readonly database: string;
  readonly limits: EngineLimits;
  /** Memory of the whole engine, bytes. */
  readonly memory_bytes: number;
  /** Sessions for readers. */
  readonly read_sessions: number;
}

export const DEFAULT_ENGINE_MEMORY_BYTES = 2 * 1024 ** 3;
export const DEFAULT_READ_SESSIONS = 8;
/** Longest a reader waits for a free session, ms; then it is told to come back. */
const MAX_SESSION_WAIT_MS = 30_000;

async function loadChdb(): Promise<ChdbModule> {
  try {
    // Not a literal, so that the types of an optional package are not needed to check ours.
    const name = "chdb";
    const module: unknown = await import(name);
    const { default: namespace } = module as { default: ChdbModule };
    return namespace;
  } catch (error) {
    throw new PermanentError(
      "no_embedded_engine",
      "The embedded engine (npm package chdb) is not installed. Run npm ci without " +
        "--omit=optional, or set SPANLEDGER_CLICKHOUSE_URL to use a ClickHouse server.",
      { cause: error },
    );
  }
}

function setStatements(settings: Readonly<Record<string, string | number>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `SET ${name} = ${typeof value === "number" ? value : quote(value)};`)
    .join("");
}

function setParams(params: Params): string {
  return Object.entries(params)
    .map(([name, value]) => `SET param_${name} = ${quote(formatParam(value))};`)
    .join("");
}

function toEngineError(error: unknown): Error {
  if (error instanceof RetryableError || error instanceof PermanentError) return error;
  const message = messageOf(error);
  return makeStatementError(errorCode(message), message, error);
}

/** Opens a session in the database, with settings that hold for all it runs. */
async function openSession(
  chdb: ChdbModule,
  { directory, database, memory_bytes }: EmbeddedOptions,
  settings: Readonly<Record<string, string | number>>,
): Promise<ChdbSession> {
  let session: ChdbSession;
  try {
    session = new chdb.Session(resolve(directory), {
      connectionArgs: [
        `--max_server_memory_usage=${memory_bytes}`,
        `--mark_cache_size=${256 * 1024 ** 2}`,
        `--index_mark_cache_size=${64 * 1024 ** 2}`,
        `--uncompressed_cache_size=0`,
      ],
    });
  } catch (error) {
    throw new RetryableError(
      "engine_unavailable",
      `The embedded engine could not open its directory: ${messageOf(error)}. ` +
        "Only one process may use a data directory.",
      { cause: error },
    );
  }
  const name = `\`${database}\``;
  try {
    await session.queryAsync(
      `CREATE DATABASE IF NOT EXISTS ${name}; USE ${name}; ${setStatements(settings)}`,
      { format: "Null" },
    );
  } catch (error) {
    session.close();
    throw error;
  }
  return session;
}

/** Opens the embedded engine on a directory, creating it when it is new. */
export async function openEmbedded(options: EmbeddedOptions): Promise<Engine> {
  const chdb = await loadChdb();
  await mkdir(resolve(options.directory), { recursive: true, mode: 0o700 });
  return new EmbeddedEngine(chdb, options);
}

/** Opens a session with settings of its own, for one query; whoever opens it closes it. */
export type OpenSession = (
  settings: Readonly<Record<string, string | number>>,
) => Promise<ChdbSession>;

/** How to open sessions of an engine that is embedded; null for a server, which has users for that. */
export function findSessionOpener(engine: Engine): OpenSession | null {
  return engine instanceof EmbeddedEngine ? (settings) => engine.openSession(settings) : null;
}

class EmbeddedEngine implements Engine {
  readonly kind = "embedded";
  readonly #chdb: ChdbModule;
  readonly #options: EmbeddedOptions;
  readonly #spool: string;
  readonly #readers: SessionPool<ChdbSession>;
  // One lane for inserts and one for everything else in the background: neither waits for readers.
  readonly #inserts: SessionPool<ChdbSession>;
  readonly #background: SessionPool<ChdbSession>;
  /**
   * Sessions whose last query failed, or was not read: chdb (3.4) gives the rows that a query had written
   * before it failed to whoever asks the session next, which may be another project.
   */
  readonly #unclean = new WeakSet<ChdbSession>();
  #spooled = 0;

  constructor(chdb: ChdbModule, options: EmbeddedOptions) {
    this.#chdb = chdb;
    this.#options = options;
    this.#spool = join(resolve(options.directory), "..", "spool");
    const { limits, read_sessions } = options;
    this.#readers = new SessionPool(read_sessions, MAX_SESSION_WAIT_MS, () =>
      openSession(chdb, options, {
        ...COMMON_SETTINGS,
        max_execution_time: limits.query_timeout_s,
        max_memory_usage: limits.query_memory_bytes,
      }),
    );
    this.#inserts = new SessionPool(1, MAX_SESSION_WAIT_MS, async () => {
      const session = await openSession(chdb, options, COMMON_SETTINGS);
      // After the session, because only then the directory and the spool are this process's own.
      await this.#clearSpool();
      return session;
    });
    this.#background = new SessionPool(1, Infinity, () =>
      openSession(chdb, options, { ...COMMON_SETTINGS, max_threads: 1, max_insert_threads: 1 }),
    );
  }

  async query<Row>(sql: string, params: Params = {}): Promise<Row[]> {
    const run = { pool: this.#readers, format: "JSONEachRow" };
    const text = await this.#run(run, sql, params, (result) => result.text());
    return text === "" ? [] : (JSON.parse(`[${text.trim().replaceAll("\n", ",")}]`) as Row[]);
  }

  async queryBytes(sql: string, params: Params, format: "Parquet"): Promise<Uint8Array> {
    const run = { pool: this.#readers, format };
    return this.#run(run, sql, params, (result) => result.bytes());
  }

  async command(
    sql: string,
    params: Params = {},
    lane: "background" | "insert" = "background",
  ): Promise<void> {
    const pool = lane === "insert" ? this.#inserts : this.#background;
    await this.#run({ pool, format: "Null" }, sql, params, () => {});
  }

  async insertNative(
    table: string,
    columns: readonly TableColumn[],
    blocks: readonly Uint8Array[],
    range: TimeRange | null = null,
  ): Promise<void> {
    if (blocks.length === 0) return;
    const list = columns.map(({ name }) => name).join(", ");
    // With the structure given, columns that a block lacks are filled with defaults.
    const structure = structureOf(columns);
    const where = range === null ? "" : ` WHERE ${rangeCondition(range)}`;
    try {
      await this.#inserts.use(async (session) => {
        this.#spooled += 1;
        const file = join(this.#spool, `${this.#spooled}.native`);
        try {
          // Block by block: one array of all of them would double the memory of a batch.
          await writeFile(file, blocks, { mode: 0o600 });
          await session.queryAsync(
            `INSERT INTO ${table} (${list}) SELECT ${list} FROM file(${quote(file)}, 'Native', ${structure})${where}`,
            { format: "Null" },
          );
        } finally {
          await rm(file, { force: true });
        }
      });
    } catch (error) {
      throw asInsertError(toEngineError(error));
    }
  }

  /** Opens a session that is no part of the pools; its settings are set in their order. */
  openSession(settings: Readonly<Record<string, string | number>>): Promise<ChdbSession> {
    return openSession(this.#chdb, this.#options, settings);
  }

  async ping(): Promise<void> {
    await this.#run({ pool: this.#readers, format: "Null" }, "SELECT 1", {}, () => {});
  }

  async close(): Promise<void> {
    await Promise.all([this.#readers.close(), this.#inserts.close(), this.#background.close()]);
    await this.#chdb.drainPending();
  }

  /** Reads the result while the session is ours: its memory is the engine's. */
  async #run<Answer>(
    { pool, format }: { readonly pool: SessionPool<ChdbSession>; readonly format: string },
    sql: string,
    params: Params,
    read: (result: ChdbResult) => Answer,
  ): Promise<Answer> {
    checkParams(sql, params);
    try {
      return await pool.use(async (session) => {
        if (this.#unclean.has(session)) {
          // What it answers is the leftover; should this fail too, so does ours, and it stays unclean.
          await session.queryAsync("SELECT 1", { format: "Null" });
          this.#unclean.delete(session);
        }
        this.#unclean.add(session);
        const result = read(await session.queryAsync(setParams(params) + sql, { format }));
        this.#unclean.delete(session);
        return result;
      });
    } catch (error) {
      throw toEngineError(error);
    }
  }

  /** What a crash left in the spool is still in the WAL. */
  async #clearSpool(): Promise<void> {
    await rm(this.#spool, { recursive: true, force: true });
    await mkdir(this.#spool, { recursive: true, mode: 0o700 });
  }
}
