/**
 * The SQL files of `queries/`, by name, read once. Parameters are ClickHouse's own `{name:Type}`;
 * `parametersOf` tells which, and a test runs every file against the engine.
 */
import { readdirSync, readFileSync } from "node:fs";

const DIRECTORY = new URL("./queries/", import.meta.url);
const cache = new Map<string, string>();

/** The text of a query file, without the ending. */
export function loadQuery(name: string): string {
  let sql = cache.get(name);
  if (sql === undefined) {
    sql = readFileSync(new URL(`${name}.sql`, DIRECTORY), "utf8");
    cache.set(name, sql);
  }
  return sql;
}

/** Names of all query files. */
export function queryNames(): string[] {
  return readdirSync(DIRECTORY)
    .filter((file) => file.endsWith(".sql"))
    .map((file) => file.replace(/\.sql$/, ""))
    .sort();
}

/** The bound parameters of a query: name to ClickHouse type. */
export function parametersOf(sql: string): Map<string, string> {
  const parameters = new Map<string, string>();
  for (const match of sql.matchAll(/\{(\w+):\s*([^{}]+)\}/g)) {
    parameters.set(match[1] as string, (match[2] as string).trim());
  }
  return parameters;
}
