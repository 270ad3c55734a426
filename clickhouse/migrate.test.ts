/**
 * Migrations against the engine itself, each test in a database of its own: chdb binds one
 * directory per process, but a directory holds many databases.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { PermanentError } from "../schemas/errors.ts";
import { openEmbedded } from "./embedded.ts";
import { DEFAULT_ENGINE_LIMITS, type Engine } from "./engine.ts";
import { fillPlaceholders, migrate, migrationStatus, readMigrations } from "./migrate.ts";
import { describeSchema } from "./schema.ts";

const SCHEMA_FILE = new URL("./schema.sql", import.meta.url);
const MIGRATIONS = readMigrations();
const ALL_NAMES = MIGRATIONS.map(({ name }) => name);

let directory: string;
let opened: Engine[] = [];
/** Open all the time: chdb ends the engine with its last session, and starting it again is slow. */
let keeper: Engine;

function openDatabase(database: string): Promise<Engine> {
  return openEmbedded({
    directory: join(directory, "clickhouse"),
    database,
    limits: DEFAULT_ENGINE_LIMITS,
    memory_bytes: 1024 ** 3,
    read_sessions: 2,
  });
}

async function openForTest(database: string): Promise<Engine> {
  const engine = await openDatabase(database);
  opened.push(engine);
  return engine;
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "spanledger-migrate-"));
  keeper = await openDatabase("keeper");
  await keeper.ping();
});
afterEach(async () => {
  for (const engine of opened.splice(0)) await engine.close();
  opened = [];
});
afterAll(async () => {
  await keeper.close();
  rmSync(directory, { recursive: true, force: true });
});

/** Names of the tables or views that the files create, read from the files and not the engine. */
function createdBy(kind: "TABLE" | "VIEW"): string[] {
  const pattern = new RegExp(`^CREATE (?:OR REPLACE )?${kind} (?:IF NOT EXISTS )?(\\w+)`, "m");
  return [...new Set(MIGRATIONS.flatMap(({ sql }) => pattern.exec(sql)?.[1] ?? []))];
}

async function namesIn(engine: Engine, condition: string): Promise<string[]> {
  const rows = await engine.query<{ name: string }>(
    `SELECT name FROM system.tables WHERE database = currentDatabase() AND ${condition} ORDER BY name`,
  );
  return rows.map(({ name }) => name);
}

describe("the migration files", () => {
  test("are numbered from 0001 without a gap", () => {
    const numbers = ALL_NAMES.map((name) => name.slice(0, 5));
    expect(numbers).toEqual(
      ALL_NAMES.map((_name, index) => `${String(index + 1).padStart(4, "0")}_`),
    );
  });

  test("are one statement each that may run twice", () => {
    for (const { sql } of MIGRATIONS) {
      const statement = sql.replaceAll(/^\s*--.*$/gm, "").trim();
      expect(statement).toMatch(
        /^(CREATE (TABLE|VIEW) IF NOT EXISTS|CREATE OR REPLACE VIEW|ALTER TABLE \w+ [^;]*IF )/,
      );
      expect(statement.replaceAll(/'[^']*'/g, "''")).not.toContain(";");
    }
  });

  test("have placeholders that are all known", () => {
    for (const { sql } of MIGRATIONS) {
      expect(fillPlaceholders(sql)).not.toMatch(/\{[a-z_]+\}/);
    }
  });
});

describe("placeholders", () => {
  test("are filled with what a server needs, other braces stay", () => {
    const values = { on_cluster: "ON CLUSTER main", replacing_merge_tree: "Replicated" };
    expect(
      fillPlaceholders("T {on_cluster} E {replacing_merge_tree}(v) {name:String} '{Up}'", values),
    ).toBe("T ON CLUSTER main E Replicated(v) {name:String} '{Up}'");
  });

  test("that nobody knows are a permanent error", () => {
    expect(() => fillPlaceholders("CREATE TABLE t {storage_policy}")).toThrow(PermanentError);
    expect(() => fillPlaceholders("CREATE TABLE t {constructor}")).toThrow(PermanentError);
  });
});

describe("migrate", () => {
  test("brings an empty database to the newest schema and tells what it applied", async () => {
    const engine = await openForTest("from_empty");
    expect(await migrationStatus(engine)).toEqual(
      ALL_NAMES.map((name) => ({ name, applied: false })),
    );
    expect(await migrate(engine)).toEqual(ALL_NAMES);
    expect(await migrationStatus(engine)).toEqual(
      ALL_NAMES.map((name) => ({ name, applied: true })),
    );
    expect(await namesIn(engine, "engine = 'View'")).toEqual(createdBy("VIEW").toSorted(byText));
    expect(await namesIn(engine, "engine != 'View'")).toEqual(
      [...createdBy("TABLE"), "migrations"].toSorted(byText),
    );
  });

  test("makes tables and views that can all be read", async () => {
    const engine = await openForTest("readable");
    await migrate(engine);
    for (const name of [...createdBy("TABLE"), ...createdBy("VIEW")]) {
      expect(await engine.query(`SELECT * FROM ${name} LIMIT 1`)).toEqual([]);
    }
  });

  test("applies nothing the second time and changes nothing", async () => {
    const engine = await openForTest("twice");
    await migrate(engine);
    const schema = await describeSchema(engine);
    const applied = await engine.query("SELECT * FROM migrations ORDER BY name");
    expect(await migrate(engine)).toEqual([]);
    expect(await describeSchema(engine)).toBe(schema);
    expect(await engine.query("SELECT * FROM migrations ORDER BY name")).toEqual(applied);
  });

  test("records the SHA-256 of every file, as the engine computes it", async () => {
    const engine = await openForTest("checksums");
    await migrate(engine);
    const rows = await engine.query("SELECT name, checksum FROM migrations FINAL ORDER BY name");
    const wanted = [];
    for (const { name, sql } of MIGRATIONS) {
      const [row] = await engine.query<{ sum: string }>(
        "SELECT lower(hex(SHA256({sql:String}))) AS sum",
        { sql },
      );
      wanted.push({ name, checksum: row?.sum });
    }
    expect(rows).toEqual(wanted);
  });

  test("ends in the same state when two run at once, whoever is first", async () => {
    const alone = await openForTest("alone");
    await migrate(alone);
    const schema = await describeSchema(alone);
    for (const database of ["pair_1", "pair_2", "pair_3"]) {
      const pair = [await openForTest(database), await openForTest(database)];
      const [left, right] = pair as [Engine, Engine];
      const applied = await Promise.all([migrate(left), migrate(right)]);
      expect(new Set(applied.flat())).toEqual(new Set(ALL_NAMES));
      expect(await describeSchema(left)).toBe(schema);
      const rows = await right.query<{ name: string }>(
        "SELECT name FROM migrations FINAL ORDER BY name",
      );
      expect(rows.map(({ name }) => name)).toEqual(ALL_NAMES);
      expect(await migrate(right)).toEqual([]);
    }
  });

  test("goes on after a crash between a statement and its record", async () => {
    const engine = await openForTest("crashed");
    const [first, second, ...rest] = MIGRATIONS;
    await engine.command(fillPlaceholders(first?.sql ?? ""));
    await engine.command(fillPlaceholders(second?.sql ?? ""));
    expect(await migrate(engine)).toEqual(ALL_NAMES);
    expect(rest.length).toBeGreaterThan(0);
    const whole = await openForTest("not_crashed");
    await migrate(whole);
    expect(await describeSchema(engine)).toBe(await describeSchema(whole));
  });

  test("refuses a file that was applied with other text, and applies nothing after it", async () => {
    const engine = await openForTest("changed");
    const [first, ...rest] = MIGRATIONS;
    await migrationStatus(engine);
    await engine.command(
      "INSERT INTO migrations (name, checksum) VALUES ({name:String}, {checksum:String})",
      { name: first?.name ?? "", checksum: "0".repeat(64) },
    );
    const error = await migrate(engine).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(PermanentError);
    expect(error).toMatchObject({
      code: "migration_changed",
      message: expect.stringContaining(first?.name ?? "no file"),
    });
    expect(await namesIn(engine, "1")).toEqual(["migrations"]);
    expect(rest.length).toBeGreaterThan(0);
  });

  test("refuses a database of a newer version before it changes anything", async () => {
    const engine = await openForTest("newer");
    await migrationStatus(engine);
    await engine.command("INSERT INTO migrations (name, checksum) VALUES ('9999_future', 'abc')");
    const error = await migrate(engine).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(PermanentError);
    expect(error).toMatchObject({
      code: "schema_too_new",
      message: expect.stringContaining("9999_future"),
    });
    expect(await namesIn(engine, "1")).toEqual(["migrations"]);
  });
});

describe("schema.sql", () => {
  test("is what the engine has after all migrations", async () => {
    const engine = await openForTest("spanledger");
    await migrate(engine);
    const schema = await describeSchema(engine);
    if (process.env["SPANLEDGER_TEST_UPDATE"] === "1") writeFileSync(SCHEMA_FILE, schema);
    expect(readFileSync(SCHEMA_FILE, "utf8")).toBe(schema);
  });

  test("does not depend on the name of the database, and keeps that name inside of texts", async () => {
    const engine = await openForTest("texts");
    await engine.command(
      "CREATE TABLE b (a String COMMENT 'see texts.b, it\\'s texts.b') ENGINE = Log",
    );
    await engine.command("CREATE VIEW a AS SELECT b.a FROM texts.b WHERE a != 'texts.b'");
    const schema = await describeSchema(engine);
    const statements = schema
      .replaceAll(/^--.*\n/gm, "")
      .replaceAll(/\s+/g, " ")
      .trim();
    expect(statements).toBe(
      "CREATE VIEW a ( `a` String ) AS SELECT b.a FROM b WHERE a != 'texts.b'; " +
        "CREATE TABLE b ( `a` String COMMENT 'see texts.b, it\\'s texts.b' ) ENGINE = Log;",
    );
  });
});

function byText(left: string, right: string): number {
  return left < right ? -1 : 1;
}
