/**
 * The whole schema as the engine prints it, for `schema.sql`: one file to read instead of all
 * migrations one after the other.
 *
 * Invariant: the text is the same whatever the database is called and in whatever order it grew.
 */
import type { Engine } from "./engine.ts";

const HEADER = `-- The schema after all migrations, as ClickHouse prints it. Generated; change it by a migration.
-- Written by: SPANLEDGER_TEST_UPDATE=1 npx vitest run clickhouse/migrate.test.ts
`;

interface TableRow {
  readonly name: string;
  readonly database: string;
}

/** The text of `schema.sql`: every table and view of the engine's database, by name. */
export async function describeSchema(engine: Engine): Promise<string> {
  const tables = await engine.query<TableRow>(
    "SELECT name, database FROM system.tables WHERE database = currentDatabase() ORDER BY name",
  );
  const parts = [HEADER];
  for (const { name, database } of tables) {
    const [row] = await engine.query<{ statement: string }>(`SHOW CREATE TABLE \`${name}\``);
    parts.push(`${removeDatabase(row?.statement ?? "", database)};\n`);
  }
  return parts.join("\n");
}

/** Takes the name of the database away where it qualifies a table, not where it is in a string. */
function removeDatabase(statement: string, database: string): string {
  const pattern = new RegExp(`'(?:[^'\\\\]|\\\\.)*'|(?<![\\w.])\`?${database}\`?\\.`, "g");
  return statement.replace(pattern, (match) => (match.startsWith("'") ? match : ""));
}
