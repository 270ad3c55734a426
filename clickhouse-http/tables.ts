/**
 * Which tables may be named (`clickhouse/readable-tables.ts` says), and which rows of each are seen.
 *
 * Invariant: every table of our database and of `system` has a filter unless its rows are for everyone
 * who asks; a table that nobody thought of shows nothing.
 */
import { quote } from "../clickhouse/engine.ts";
import { READABLE_SYSTEM_TABLES, tablesFor } from "../clickhouse/readable-tables.ts";
import type { Catalog } from "../clickhouse/reader.ts";

/**
 * Rows that are seen of the tables whose rows are not simply those of a project; `projects` is the condition
 * of those. The view of budgets reads state_objects, which has secrets in its other kinds.
 */
const ROWS: Readonly<Record<string, (projects: string) => string>> = {
  state_objects: (projects) => `kind = 'budget' AND (${projects})`,
  unit_prices: (projects) => `project_id = '' OR ${projects}`,
};

/** What clients ask of `system` to show what there is. */
const SYSTEM_TABLES = [...READABLE_SYSTEM_TABLES, "one", "settings"];
/** Of those, what only who may read the whole installation reads: parts tell how much everyone stores. */
const INSTALLATION_SYSTEM_TABLES: ReadonlySet<string> = new Set(["parts"]);

/**
 * Columns of `system` that one project may read; the others tell of all projects together (rows, bytes),
 * or where files lie.
 */
const SYSTEM_COLUMNS: Readonly<Record<string, readonly string[]>> = {
  databases: ["database", "name", "engine", "engine_full", "uuid", "comment", "is_external"],
  tables: [
    "database",
    "name",
    "table",
    "uuid",
    "engine",
    "engine_full",
    "is_temporary",
    "comment",
    "create_table_query",
    "as_select",
    "partition_key",
    "sorting_key",
    "primary_key",
    "sampling_key",
    "parameterized_view_parameters",
    "definer",
  ],
  columns: [
    "database",
    "table",
    "name",
    "column",
    "type",
    "position",
    "default_kind",
    "comment",
    "default_expression",
    "is_in_partition_key",
    "is_in_sorting_key",
    "is_in_primary_key",
    "is_in_sampling_key",
    "compression_codec",
    "character_octet_length",
    "numeric_precision",
    "numeric_precision_radix",
    "numeric_scale",
    "datetime_precision",
  ],
};

/** What one asker may name and see. */
export interface Visible {
  readonly database: string;
  /** Tables and views of our database that may be named. */
  readonly tables: ReadonlySet<string>;
  /** Those that are there and may not. */
  readonly hidden: ReadonlySet<string>;
  readonly system_tables: ReadonlySet<string>;
  /** Columns of our tables that may be named; they may have the name of something hidden. */
  readonly columns: ReadonlySet<string>;
  /** Columns of the tables of `system` that may not be read; empty for who may read everything. */
  readonly hidden_system_columns: ReadonlySet<string>;
  /** Condition of the rows of each table, by `database.table`; none: all of them. */
  readonly filters: Readonly<Record<string, string>>;
  /** Tables that views stand for (`PlainView`), and their columns; none for who may read everything. */
  readonly plain_columns: ReadonlyMap<string, string>;
  /** Whether some projects are hidden. */
  readonly is_partial: boolean;
}

/** What may be seen of those projects, at least one; null: of the whole installation. */
export function findVisible(catalog: Catalog, project_ids: readonly string[] | null): Visible {
  const is_partial = project_ids !== null;
  const { database } = catalog;
  const named = is_partial ? tablesFor("project") : tablesFor("project", "installation");
  const tables = new Set(named.filter((table) => catalog.tables.has(table)));
  const system_tables = new Set(
    SYSTEM_TABLES.filter((table) => !is_partial || !INSTALLATION_SYSTEM_TABLES.has(table)),
  );
  return {
    database,
    tables,
    hidden: new Set([...catalog.tables.keys()].filter((table) => !tables.has(table))),
    system_tables,
    columns: new Set([...tables].flatMap((table) => catalog.tables.get(table) ?? [])),
    hidden_system_columns: is_partial ? hiddenSystemColumns(catalog) : new Set(),
    filters: {
      ...ownFilters(catalog, tables, project_ids),
      ...systemFilters(catalog, tables, system_tables),
    },
    plain_columns: is_partial ? catalog.plain_columns : new Map<string, string>(),
    is_partial,
  };
}

function ownFilters(
  { database, tables: all }: Catalog,
  named: ReadonlySet<string>,
  project_ids: readonly string[] | null,
): Record<string, string> {
  const beneath = new Set(tablesFor("beneath"));
  const projects = project_ids === null ? "1" : `project_id IN (${list(project_ids)})`;
  const entries = [...all].flatMap(([table, columns]) => {
    const name = `${database}.${table}`;
    const rows = Object.hasOwn(ROWS, table) ? ROWS[table] : undefined;
    if (rows !== undefined) return [[name, rows(projects)]];
    if (!named.has(table) && !beneath.has(table)) return [[name, "0"]];
    if (project_ids === null) return [];
    return [[name, columns.includes("project_id") ? projects : "0"]];
  });
  return Object.fromEntries(entries) as Record<string, string>;
}

function systemFilters(
  { database, system_tables: all }: Catalog,
  tables: ReadonlySet<string>,
  system_tables: ReadonlySet<string>,
): Record<string, string> {
  const own = `database = ${quote(database)}`;
  const system = "database = 'system'";
  const seenIn = (column: string) =>
    `(${own} AND ${column} IN (${list(tables)})) OR (${system} AND ${column} IN (${list(system_tables)}))`;
  const conditions: Readonly<Record<string, string | null>> = {
    one: null,
    functions: null,
    databases: `name IN (${list([database, "system"])})`,
    tables: seenIn("name"),
    columns: seenIn("table"),
    // They hold our own filters and what was bound.
    settings: "name != 'additional_table_filters' AND NOT startsWith(name, 'param_')",
    parts: system_tables.has("parts") ? own : "0",
  };
  const entries = [...all.keys()].flatMap((table) => {
    const condition = Object.hasOwn(conditions, table) ? conditions[table] : "0";
    return condition === null ? [] : [[`system.${table}`, condition]];
  });
  return Object.fromEntries(entries) as Record<string, string>;
}

function hiddenSystemColumns({ system_tables }: Catalog): Set<string> {
  return new Set(
    Object.entries(SYSTEM_COLUMNS).flatMap(([table, shown]) =>
      (system_tables.get(table) ?? []).filter((column) => !shown.includes(column)),
    ),
  );
}

function list(names: Iterable<string>): string {
  return [...names].map((name) => quote(name)).join(",");
}
