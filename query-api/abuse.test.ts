/**
 * Hostile parameters on every route that reads the ledger: they are values or they are refused, never SQL,
 * and nothing of another project comes back (research/reliability.md 3.5).
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeTestApi, type TestApi } from "../test/support/api.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { insertSpans } from "../test/support/ledger.ts";
import { makeSpan } from "../test/support/span.ts";
import { API_ROUTES } from "./routes.ts";

const CANARY = "canary-of-beta";
const START_NS = BigInt(Date.UTC(2026, 9, 26, 5)) * 1_000_000n;
const RANGE = "from=2026-10-26&to=2026-10-27";

/** What ends a text, a parameter or a statement in some dialect, and names of prototypes. */
const HOSTILE = [
  "') OR 1=1 --",
  "\\'; DROP TABLE spans; SELECT '",
  "{project_id:String}",
  "x') UNION ALL SELECT * FROM spans FORMAT JSON /*",
  "__proto__",
  "(a+)+$",
];

/** Routes that read the ledger by parameters alone, with the parameters of each. */
const READS = API_ROUTES.filter(
  ({ method, action, path, query }) =>
    method === "GET" && action === "usage:read" && !path.includes("{") && query !== undefined,
).map(({ path, query }) => ({ path, names: Object.keys(query?.shape ?? {}) }));

let test_engine: TestEngine;
let api: TestApi;

beforeAll(async () => {
  test_engine = await openTestEngine();
  api = makeTestApi(test_engine.engine);
  const own = { project_id: "alpha", start_ns: START_NS, user_id: "ann" };
  const foreign = { ...own, project_id: "beta", user_id: CANARY, service_name: CANARY };
  await insertSpans(test_engine.engine, [makeSpan(own), makeSpan(foreign)], 1);
});
afterAll(() => test_engine.close());

async function ask(path: string): Promise<string> {
  const { status, text, json } = await api.ask(path);
  expect([200, 400, 404], `${path} answered ${status}: ${text.slice(0, 300)}`).toContain(status);
  expect(text, path).not.toContain(CANARY);
  expect(text, path).not.toMatch(/DB::Exception|Code: \d+|SELECT |clickhouse_/);
  return (json as { error?: { code: string } }).error?.code ?? "";
}

test("there are routes to attack, and they answer", async () => {
  expect(READS.length).toBeGreaterThan(8);
  for (const { path, names } of READS) {
    const query = names.includes("from") ? `?${RANGE}` : "";
    expect(await ask(`${path}${query}`), path).toBe("");
  }
});

describe.each(READS)("A11 $path", ({ path, names }) => {
  test("takes hostile texts for values, or refuses them", async () => {
    const range = names.includes("from") ? `&${RANGE}` : "";
    const codes = new Set<string>();
    for (const [index, name] of names.entries()) {
      // All routes together get all of the texts in all of their parameters.
      const text = HOSTILE[(index + path.length) % HOSTILE.length]!;
      const key =
        name === "tag" || name === "not_tag" ? `${name}.${encodeURIComponent(text)}` : name;
      const rest = name === "from" || name === "to" ? "" : range;
      codes.add(await ask(`${path}?${key}=${encodeURIComponent(text)}${rest}`));
    }
    const known = ["", "invalid_query", "invalid_cursor", "invalid_range", "unknown_model"];
    expect(known).toEqual(expect.arrayContaining([...codes]));
  }, 120_000);
});

test("A11 names that group, rank and step come from a list", async () => {
  for (const parameter of [
    "group_by",
    "measures",
    "order_by",
    "interval",
    "tz",
    "compare",
    "top",
  ]) {
    for (const text of [...HOSTILE, "model, (SELECT 1)", "calls DESC", "toString"]) {
      const path = `/v1/usage?${parameter}=${encodeURIComponent(text)}&${RANGE}`;
      expect(await ask(path), path).toBe("invalid_query");
    }
  }
});

test("A11 the tables are as they were", async () => {
  const [row] = await test_engine.engine.query<{ rows: string }>(
    "SELECT count() AS rows FROM spans FINAL",
  );
  expect(row?.rows).toBe("2");
});

test("A12 no route takes SQL", () => {
  const names = API_ROUTES.flatMap(({ query }) => Object.keys(query?.shape ?? {}));
  expect(names.filter((name) => /sql|^query$|where|expression/i.test(name))).toEqual([]);
});

test("A14 a text that is a regular expression for the worst is only a text", async () => {
  const began_ms = performance.now();
  const text = encodeURIComponent(`${"a".repeat(150)}!`);
  for (const name of ["model", "user_id", "tag.team"]) {
    expect(await ask(`/v1/usage?${name}=${text}&${RANGE}`)).toBe("");
  }
  expect(await ask(`/v1/traces?name=${text}&${RANGE}`)).toBe("");
  expect(performance.now() - began_ms).toBeLessThan(10_000);
});
