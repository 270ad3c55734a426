/**
 * Sessions of the embedded engine for SQL that others wrote: read only, bounded, and with a filter of
 * rows on every table, so that whatever is asked shows the rows of some projects alone.
 *
 * Invariant: nothing of what a stranger sends runs before `readonly = 1` holds, and a session answers one
 * request and is closed: no setting, parameter or leftover row goes from one request to the next.
 */
import { type ChdbSession, findSessionOpener, type OpenSession } from "./embedded.ts";
import { COMMON_SETTINGS, type Engine, errorCode, makeStatementError, quote } from "./engine.ts";
import { messageOf } from "../schemas/errors.ts";
import { loadQuery } from "./queries.ts";

/** Bounds of one query of a stranger. */
export interface ReaderLimits {
  /** Longest a query may run, seconds. */
  readonly query_timeout_s: number;
  /** Memory of one query, bytes. */
  readonly query_memory_bytes: number;
  /** Rows of an answer; a query with more fails. */
  readonly max_result_rows: number;
  /** Bytes of an answer as they are in memory; a query with more fails. */
  readonly max_result_bytes: number;
  /** Rows that a query may read; one that would read more fails. */
  readonly max_read_rows: number;
  /** Longest text of a query, bytes. */
  readonly max_query_bytes: number;
}

/** What the engine has: read once, since only migrations change it, and they run before. */
export interface Catalog {
  readonly database: string;
  /** Of the engine, like 26.7.2.1. */
  readonly version: string;
  /** Columns of the tables and views of our database, by table. */
  readonly tables: ReadonlyMap<string, readonly string[]>;
  /**
   * Tables and views of ours with a dictionary in some column (LowCardinality), and their columns as SQL
   * that has none.
   */
  readonly plain_columns: ReadonlyMap<string, string>;
  /** Columns of the tables of the database `system`, by table. */
  readonly system_tables: ReadonlyMap<string, readonly string[]>;
  readonly functions: readonly FunctionRow[];
}

/** A function of the engine, as `system.functions` has it. */
export interface FunctionRow {
  readonly name: string;
  readonly is_aggregate: 0 | 1;
  /** Empty: it is none. */
  readonly alias_to: string;
  readonly case_insensitive: 0 | 1;
  /** Of its documentation; an alias and most aggregates have none. */
  readonly category: string;
}

/** What one request may see, and with what. */
export interface ReaderScope {
  /** Condition of the rows that are seen, by `database.table`; a table that is left out is seen whole. */
  readonly filters: Readonly<Record<string, string>>;
  /** Whether some rows of tables that may be named are hidden. */
  readonly is_partial: boolean;
  /** Bound parameters by name, as text in ClickHouse's escaped form. */
  readonly params: Readonly<Record<string, string>>;
  /** Whether parts and granules are left out by their index. */
  readonly uses_index: boolean;
  /** Views of this session alone, each in place of the table of its name. */
  readonly views: readonly PlainView[];
  /** Of the form of the answer, by name; never limits. */
  readonly settings: Readonly<Record<string, string | number>>;
  readonly limits: ReaderLimits;
}

/**
 * A table without dictionaries. The dictionary of a LowCardinality column holds the values of all rows
 * of a part, and functions are evaluated on the whole of it: `toFixedString(service_name, 9)` fails on
 * values of rows that our filter has taken away (measured), and so tells them.
 */
export interface PlainView {
  readonly database: string;
  readonly table: string;
  /** Its columns, of `Catalog.plain_columns`. */
  readonly columns: string;
  /** Whether old versions of rows are left out. */
  readonly is_final: boolean;
}

/** A session for one request. */
export interface ReaderSession {
  /** Runs a statement. Throws PermanentError or RetryableError, code `clickhouse_<number>`. */
  run(sql: string, format: string): Promise<Uint8Array>;
  /** To be called once, when nothing runs any more. */
  close(): void;
}

export type OpenReader = (scope: ReaderScope) => Promise<ReaderSession>;

/** Threads of one query: a stranger must not take the machine from the collector. */
const QUERY_THREADS = 2;

/**
 * A condition of a person is merged with ours by default, and the cheaper one is evaluated first; then
 * the error of a conversion tells what hidden rows hold. Kept apart, ours is below theirs (measured).
 */
const HIDING_SETTINGS: Readonly<Record<string, string | number>> = {
  optimize_move_to_prewhere: 0,
  query_plan_optimize_prewhere: 0,
  query_plan_merge_filters: 0,
  // Would answer min, max and count from the metadata of parts, which know nothing of projects.
  optimize_use_implicit_projections: 0,
  optimize_trivial_count_query: 0,
};

/** Conditions are evaluated on bounds of parts and granules too, hidden rows among them; with these not. */
const WITHOUT_INDEX: Readonly<Record<string, number>> = {
  use_primary_key: 0,
  use_partition_pruning: 0,
  use_skip_indexes: 0,
  use_statistics_for_part_pruning: 0,
};

function limitSettings(limits: ReaderLimits): Record<string, string | number> {
  return {
    max_execution_time: limits.query_timeout_s,
    timeout_overflow_mode: "throw",
    timeout_before_checking_execution_speed: 0,
    max_memory_usage: limits.query_memory_bytes,
    max_result_rows: limits.max_result_rows,
    max_result_bytes: limits.max_result_bytes,
    result_overflow_mode: "throw",
    max_rows_to_read: limits.max_read_rows,
    read_overflow_mode: "throw",
    max_threads: QUERY_THREADS,
    // Time and memory are looked at between blocks.
    max_block_size: 16_384,
    max_query_size: limits.max_query_bytes,
    max_parser_depth: 300,
    max_parser_backtracks: 100_000,
    max_ast_depth: 300,
    max_ast_elements: 20_000,
    max_expanded_ast_elements: 100_000,
    max_subquery_depth: 30,
    function_range_max_elements_in_block: 10_000_000,
    max_hyperscan_regexp_length: 4_096,
    max_hyperscan_regexp_total_length: 65_536,
    // Nothing of a stranger's is written to disk or compiled, and nothing is remembered for others.
    max_bytes_ratio_before_external_group_by: 0,
    max_bytes_ratio_before_external_sort: 0,
    max_bytes_before_external_group_by: 0,
    max_bytes_before_external_sort: 0,
    compile_expressions: 0,
    compile_aggregate_expressions: 0,
    compile_sort_description: 0,
    use_query_cache: 0,
    use_query_condition_cache: 0,
    // It tells how much was read, hidden rows included.
    output_format_write_statistics: 0,
    session_timezone: "UTC",
  };
}

/** All settings of a session, in the order in which they are set: `readonly` is the last. */
function sessionSettings(scope: ReaderScope): Record<string, string | number> {
  const filters = Object.entries(scope.filters)
    .map(([table, condition]) => `${quote(table)}:${quote(condition)}`)
    .join(",");
  const { do_not_merge_across_partitions_select_final } = COMMON_SETTINGS;
  return {
    do_not_merge_across_partitions_select_final: do_not_merge_across_partitions_select_final ?? 1,
    ...limitSettings(scope.limits),
    ...(scope.is_partial ? HIDING_SETTINGS : {}),
    ...(scope.uses_index ? {} : WITHOUT_INDEX),
    ...scope.settings,
    ...Object.fromEntries(
      Object.entries(scope.params).map(([name, value]) => [`param_${name}`, value]),
    ),
    additional_table_filters: `{${filters}}`,
    readonly: 1,
  };
}

/** How to open readers on an engine; null when it is a server. */
export function findReaderOpener(engine: Engine): OpenReader | null {
  const open = findSessionOpener(engine);
  return open === null ? null : (scope) => openReader(open, scope);
}

async function openReader(open: OpenSession, scope: ReaderScope): Promise<ReaderSession> {
  let session: ChdbSession;
  try {
    session = await open(sessionSettings(scope));
  } catch (error) {
    throw toStatementError(error);
  }
  try {
    for (const view of scope.views) await session.queryAsync(createView(view), { format: "Null" });
  } catch (error) {
    session.close();
    throw toStatementError(error);
  }
  return {
    async run(sql, format) {
      try {
        return (await session.queryAsync(sql, { format })).bytes();
      } catch (error) {
        throw toStatementError(error);
      }
    },
    close: () => session.close(),
  };
}

/** A temporary view is of one session, and goes with it. */
function createView({ database, table, columns, is_final }: PlainView): string {
  const source = `\`${database}\`.\`${table}\`${is_final ? " FINAL" : ""}`;
  return `CREATE TEMPORARY VIEW \`${table}\` AS SELECT ${columns} FROM ${source}`;
}

function toStatementError(error: unknown): Error {
  const message = messageOf(error);
  return makeStatementError(errorCode(message), message, error);
}

/** Reads what the engine has. */
export async function readCatalog(engine: Engine): Promise<Catalog> {
  const [about] = await engine.query<{ database: string; version: string }>(
    "SELECT currentDatabase() AS database, version() AS version",
  );
  const { database = "", version = "" } = about ?? {};
  const rows = await engine.query<TableRow>(loadQuery("list_table_columns"));
  const tablesOf = (name: string) =>
    new Map(rows.flatMap((row) => (row.database === name ? [[row.table, row.columns]] : [])));
  return {
    database,
    version,
    tables: tablesOf(database),
    plain_columns: new Map(
      rows.flatMap((row) =>
        row.database === database && row.types.some((type) => type.includes(DICTIONARY))
          ? [[row.table, listPlainColumns(row)]]
          : [],
      ),
    ),
    system_tables: tablesOf("system"),
    functions: await engine.query<FunctionRow>(loadQuery("list_functions")),
  };
}

interface TableRow {
  readonly database: string;
  readonly table: string;
  readonly columns: string[];
  /** Types of the columns, in their order. */
  readonly types: string[];
}

const DICTIONARY = "LowCardinality(";
const DICTIONARY_TYPE = /LowCardinality\(((?:[^()]|\([^()]*\))*)\)/g;

function listPlainColumns({ columns, types }: TableRow): string {
  return columns
    .map((column, place) => {
      const type = types[place] ?? "";
      const name = `\`${column}\``;
      const plain = type.replaceAll(DICTIONARY_TYPE, "$1");
      return plain === type ? name : `CAST(${name}, ${quote(plain)}) AS ${name}`;
    })
    .join(", ");
}
