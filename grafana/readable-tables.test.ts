/**
 * What dashboards and rules read is what Grafana may read: every table that a statement names is open to
 * readers, and nothing beneath a view is named.
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { READABLE_SYSTEM_TABLES, TABLE_READERS, tablesFor } from "../clickhouse/readable-tables.ts";
import { buildDashboard } from "./dashboard.ts";
import { ALERTS, DASHBOARDS } from "./registry.ts";

/** Every statement: of panels, variables, annotations and rules, with where it stands. */
const STATEMENTS: readonly (readonly [name: string, sql: string])[] = [
  ...DASHBOARDS.flatMap((spec) =>
    [...JSON.stringify(buildDashboard(spec)).matchAll(/"rawSql":("(?:[^"\\]|\\.)*")/g)].map(
      ([, text = '""'], index) => [`${spec.name} ${index}`, JSON.parse(text) as string] as const,
    ),
  ),
  ...ALERTS.flatMap(({ title, statements }) => statements.map((sql) => [title, sql] as const)),
];

/** Tables that a statement names, without the sub-selects that it names itself. */
function tablesOf(sql: string): string[] {
  const named = [...sql.matchAll(/(?<!ARRAY\s+)\b(?:FROM|JOIN)\s+([A-Za-z_][\w.]*)(?!\s*\()/g)].map(
    ([, name = ""]) => name,
  );
  const own = new Set([...sql.matchAll(/\b(\w+)\s+AS\s+\(/g)].map(([, name = ""]) => name));
  return named.filter((name) => !own.has(name));
}

test("the names of tables are found", () => {
  expect(
    tablesOf(
      "WITH a AS (SELECT 1 FROM x) SELECT * FROM a JOIN system.parts ON 1, (SELECT 1 FROM\n y)",
    ),
  ).toEqual(["x", "system.parts", "y"]);
  expect(STATEMENTS.length).toBeGreaterThan(50);
  expect(new Set(STATEMENTS.flatMap(([, sql]) => tablesOf(sql))).size).toBeGreaterThan(5);
});

describe("every statement", () => {
  const offered = new Set([
    ...tablesFor("project", "installation"),
    ...READABLE_SYSTEM_TABLES.map((name) => `system.${name}`),
  ]);
  test.each(DASHBOARDS.map(({ name }) => name))("of %s names readable tables only", (dashboard) => {
    for (const [name, sql] of STATEMENTS.filter(([where]) => where.startsWith(`${dashboard} `))) {
      expect(
        tablesOf(sql).filter((table) => !offered.has(table)),
        name,
      ).toEqual([]);
    }
  });

  test("of a rule too", () => {
    for (const [name, sql] of STATEMENTS.slice(-ALERTS.length)) {
      expect(
        tablesOf(sql).filter((table) => !offered.has(table)),
        name,
      ).toEqual([]);
    }
  });
});

test("every table and view there is has somebody who decided who reads it", () => {
  const schema = readFileSync(new URL("../clickhouse/schema.sql", import.meta.url), "utf8");
  const names = [...schema.matchAll(/^CREATE (?:TABLE|VIEW) (\w+)/gm)].map(([, name = ""]) => name);
  expect(names.length).toBeGreaterThan(25);
  expect(Object.keys(TABLE_READERS).toSorted()).toEqual(names.toSorted());
});

test("what holds secrets or says who did what is closed", () => {
  for (const name of ["state_objects", "audit_log", "alert_deliveries", "erased_spans"]) {
    expect(TABLE_READERS[name]).toBe("closed");
  }
});
