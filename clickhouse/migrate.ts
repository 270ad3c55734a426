/**
 * Applies the migrations: numbered files of one statement each, forward only, unchanged once
 * applied. Safe to run at every start and by two processes at once: every statement is idempotent.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { PermanentError } from "../schemas/errors.ts";
import type { Engine } from "./engine.ts";

export interface Migration {
  readonly name: string;
  readonly sql: string;
  /** SHA-256 of the file, hex: a changed file is refused, because someone already has the old one. */
  readonly checksum: string;
}

const DIRECTORY = new URL("./migrations/", import.meta.url);

/** What the placeholders of the files become on one server without a cluster. */
const SINGLE_NODE: Readonly<Record<string, string>> = {
  on_cluster: "",
  replacing_merge_tree: "ReplacingMergeTree",
  aggregating_merge_tree: "AggregatingMergeTree",
};

/** Fills the placeholders of a migration. */
export function fillPlaceholders(sql: string, values = SINGLE_NODE): string {
  return sql.replace(/\{([a-z_]+)\}/g, (_match, name: string) => {
    const value = Object.hasOwn(values, name) ? values[name] : undefined;
    if (value === undefined) {
      throw new PermanentError("unknown_placeholder", `A migration uses {${name}}.`);
    }
    return value;
  });
}

/** The migrations in order. */
export function readMigrations(): Migration[] {
  return readdirSync(DIRECTORY)
    .filter((name) => name.endsWith(".sql"))
    .sort()
    .map((file) => {
      const sql = readFileSync(new URL(file, DIRECTORY), "utf8");
      return {
        name: file.replace(/\.sql$/, ""),
        sql,
        checksum: createHash("sha256").update(sql).digest("hex"),
      };
    });
}

const CREATE_TABLE = `
CREATE TABLE IF NOT EXISTS migrations
(name String, checksum String, applied_at DateTime('UTC') DEFAULT now())
ENGINE = ReplacingMergeTree(applied_at) ORDER BY name
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1`;

export interface MigrationStatus {
  readonly name: string;
  readonly applied: boolean;
}

interface AppliedRow {
  readonly name: string;
  readonly checksum: string;
}

async function readApplied(engine: Engine): Promise<Map<string, string>> {
  await engine.command(CREATE_TABLE);
  const rows = await engine.query<AppliedRow>("SELECT name, checksum FROM migrations FINAL");
  return new Map(rows.map((row) => [row.name, row.checksum]));
}

/** Which migrations the engine has. */
export async function migrationStatus(engine: Engine): Promise<MigrationStatus[]> {
  const applied = await readApplied(engine);
  return readMigrations().map(({ name }) => ({ name, applied: applied.has(name) }));
}

/**
 * Brings the engine to the newest schema and returns the names applied now.
 * Throws PermanentError when an applied file has changed or the engine is newer than this version.
 */
export async function migrate(engine: Engine): Promise<string[]> {
  const applied = await readApplied(engine);
  const migrations = readMigrations();
  for (const name of applied.keys()) {
    if (!migrations.some((migration) => migration.name === name)) {
      throw new PermanentError(
        "schema_too_new",
        `The database has the migration ${name}, which this version does not know. ` +
          "Run a version at least as new as the one that made it.",
      );
    }
  }
  const done: string[] = [];
  for (const { name, sql, checksum } of migrations) {
    const known = applied.get(name);
    if (known === checksum) continue;
    if (known !== undefined) {
      throw new PermanentError(
        "migration_changed",
        `The migration ${name} was applied with other text. Restore the file; add a new migration.`,
      );
    }
    await engine.command(fillPlaceholders(sql));
    await engine.command(
      "INSERT INTO migrations (name, checksum) VALUES ({name:String}, {checksum:String})",
      { name, checksum },
    );
    done.push(name);
  }
  return done;
}
