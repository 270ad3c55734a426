/**
 * The same number everywhere: for every measure, and each field of those that are objects, the statement
 * of a panel answers what `GET /v1/usage` answers to the same question, to the last digit, with half of
 * the rollups not computed.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { UsageAnswer } from "../schemas/api.ts";
import type { DimensionName } from "../schemas/dimensions.ts";
import { fieldsOfMeasure, MEASURE_NAMES, MEASURES, type MeasureName } from "../schemas/measures.ts";
import { parseUsd } from "../schemas/units.ts";
import { makeTestApi, readStrictly, type TestApi } from "../test/support/api.ts";
import { DAY_MS, HOUR_MS, LISTER, NOW_MS, openSeeded, pick, type SeededLedger } from "./fixture.ts";
import { NONE } from "./filters.ts";
import { expandPanel } from "./macros.ts";
import {
  COVERAGE_NAMES,
  coverageSql,
  GROUP_BY,
  type GroupKey,
  measureSql,
  type Step,
  usageSql,
} from "./usage-sql.ts";

let ledger: SeededLedger;
let api: TestApi;

beforeAll(async () => {
  ledger = await openSeeded();
  api = makeTestApi(ledger.engine, { now_ms: () => NOW_MS, prices: LISTER });
}, 180_000);
afterAll(() => ledger.test_engine.close());

type Cell = string | number | null | undefined;
type Row = Readonly<Record<string, Cell>>;

/** Every measure, or each of its fields: the column of the panel, and how to find it in an answer. */
const VALUES = MEASURE_NAMES.flatMap((name) => {
  const fields = fieldsOfMeasure(name);
  const all = fields.length === 0 ? [undefined] : fields;
  return all.map((field) => ({ name, field, column: [name, field].filter(Boolean).join(".") }));
});

function selectOf(measures: readonly MeasureName[]): Record<string, string> {
  const values = VALUES.filter(({ name }) => measures.includes(name));
  return Object.fromEntries([
    ...values.map(({ name, field, column }) => [column, measureSql(name, field)]),
    ...COVERAGE_NAMES.map((name) => [`coverage.${name}`, coverageSql(name)]),
  ]);
}

function at(row: object, path: string): Cell {
  let value: unknown = row;
  for (const key of path.split(".")) value = (value as Readonly<Record<string, unknown>>)[key];
  return value as Cell;
}

/** A value of either side, so that equal numbers are equal: money in picodollars. */
function exact(value: Cell, isMoney: boolean): bigint | number | null {
  if (value === null || value === undefined) return null;
  return isMoney ? parseUsd(String(value)) : Number(value);
}

interface Question {
  readonly from_ms: number;
  readonly to_ms: number;
  readonly measures: readonly MeasureName[];
  readonly by?: GroupKey;
  readonly step?: Step;
  readonly step_s?: number;
  readonly filters?: Readonly<Record<string, readonly string[]>>;
}

/** Variables of the dashboards by the dimensions of the API. */
const PARAMETERS: Readonly<Record<string, DimensionName>> = {
  service: "service_name",
  environment: "environment",
  provider: "provider",
  model: "model",
  user: "user_id",
};

async function askApi(question: Question, dimension: string | undefined): Promise<object[]> {
  const parameters = new URLSearchParams({
    from: new Date(question.from_ms).toISOString(),
    to: new Date(question.to_ms).toISOString(),
    measures: question.measures.join(","),
    limit: "10000",
    ...(dimension === undefined ? {} : { group_by: dimension }),
    ...(question.step_s === undefined
      ? {}
      : { interval: ({ 900: "15m", 3600: "hour", 86400: "day" } as const)[question.step_s] ?? "" }),
  });
  for (const [name, values] of Object.entries(question.filters ?? {})) {
    for (const value of values) parameters.append(PARAMETERS[name] ?? name, value);
  }
  const { status, json, text } = await api.ask(`/v1/usage?${parameters.toString()}`);
  expect(status, text).toBe(200);
  return readStrictly(UsageAnswer, json).rows;
}

async function askPanel(question: Question, dimension: string | undefined): Promise<Row[]> {
  const { by, filters = {}, measures, step } = question;
  const sql = usageSql({
    select: selectOf(measures),
    ...(by === undefined ? {} : { by: { key: by } }),
    ...(step === undefined ? {} : { step }),
  });
  const values = pick({ project: ["alpha"], group_by: dimension ?? "model", ...filters });
  const range = {
    from_ms: question.from_ms,
    to_ms: question.to_ms,
    interval_ms: (question.step_s ?? 3600) * 1000,
  };
  const rows = await ledger.engine.query<Row>(expandPanel(sql, values, range));
  return rows.map((row) => Object.fromEntries(Object.entries(row)));
}

/** Both answers to a question, each row by its key, and every value that differs. */
async function checkSame(question: Question, dimension?: string): Promise<number> {
  const group = question.by === GROUP_BY ? dimension : question.by;
  const wanted = await askApi(question, group);
  const found = await askPanel(question, dimension);
  const keyOf = (time: Cell, value: Cell) => `${String(time ?? "")} ${String(value ?? NONE)}`;
  const rows = new Map(
    found.map((row) => {
      const time = row["time"];
      const instant = time === undefined ? "" : new Date(`${String(time)}Z`).toISOString();
      return [keyOf(instant, row["key"]), row];
    }),
  );
  expect(rows.size, "a key came twice").toBe(found.length);
  const differing: unknown[] = [];
  for (const row of wanted) {
    const key = keyOf(at(row, "time"), group === undefined ? null : at(row, group));
    const row_found = rows.get(key);
    for (const column of Object.keys(selectOf(question.measures))) {
      const [name = ""] = column.split(".");
      const isMoney = MEASURES[name as MeasureName]?.unit === "USD";
      const [value, of_panel] = [at(row, column), row_found?.[column]];
      if (exact(value, isMoney) !== exact(of_panel, isMoney)) {
        differing.push({ key, column, api: value, panel: of_panel });
      }
    }
  }
  expect(differing.slice(0, 5)).toEqual([]);
  expect(rows.size).toBe(wanted.length);
  return wanted.length;
}

/** The ends of each range are those of the step that it tries out, or of none. */
const RANGES: Readonly<Record<string, readonly [number, number]>> = {
  "an hour of odd minutes": [NOW_MS - HOUR_MS, NOW_MS],
  "a part of a minute": [NOW_MS - 41_000, NOW_MS - 1_003],
  "whole quarters": [Date.UTC(2026, 9, 22, 7, 15), Date.UTC(2026, 9, 23, 13, 45)],
  "whole days": [Date.UTC(2026, 9, 20), Date.UTC(2026, 9, 23)],
  // Calls lie on both sides of both ends, within the same day and the same quarter of an hour.
  "four odd weeks": [NOW_MS - 28.5 * DAY_MS - 12_345, NOW_MS - 461_789],
  "30 days": [NOW_MS - 30 * DAY_MS, NOW_MS],
  "more than a year": [NOW_MS - 400 * DAY_MS, NOW_MS + DAY_MS],
};

/** Measures that a source with that key can answer are all: the panel reads the calls where need be. */
const ALL: readonly MeasureName[] = MEASURE_NAMES;
/** Those that every table but that of users can answer, so that rollups are read. */
const OF_ROLLUPS = ALL.filter((name) => MEASURES[name].sources.length >= 3);
const OF_USERS = ALL.filter((name) =>
  (MEASURES[name].sources as readonly string[]).includes("usage_user_day"),
);

test.each(Object.entries(RANGES))(
  "every measure is the same in total over %s",
  async (_name, ends) => {
    const [from_ms, to_ms] = ends;
    for (const measures of [ALL, OF_ROLLUPS, OF_USERS])
      await checkSame({ from_ms, to_ms, measures });
  },
);

const ODD_RANGES = Object.entries(RANGES).filter(([name]) => name.includes("odd"));

test.each(ODD_RANGES)("every measure is the same by a dimension over %s", async (_name, ends) => {
  const [from_ms, to_ms] = ends;
  const range = { from_ms, to_ms };
  for (const dimension of ["model", "service_name", "user_id"]) {
    await checkSame({ ...range, measures: OF_ROLLUPS, by: GROUP_BY }, dimension);
  }
  await checkSame({ ...range, measures: OF_USERS, by: "user_id" });
  await checkSame({ ...range, measures: ALL, by: "error_type" });
});

test.each(ODD_RANGES)("every measure is the same with filters over %s", async (_name, ends) => {
  const [from_ms, to_ms] = ends;
  const range = { from_ms, to_ms };
  const service = { service: ["search", "o'brien's service"] };
  const user = { user: ["o'brien", "nobody"] };
  await checkSame({ ...range, measures: OF_ROLLUPS, filters: service });
  await checkSame({ ...range, measures: OF_USERS, filters: user });
  await checkSame({
    ...range,
    measures: OF_USERS,
    filters: { ...user, model: ["it's", "gpt-4o-mini"] },
  });
  await checkSame({
    ...range,
    measures: OF_ROLLUPS,
    filters: { provider: ["openai", "anthropic"] },
  });
});

test("every measure is the same in steps of a quarter, an hour and a day", async () => {
  const range = { from_ms: NOW_MS - 3 * DAY_MS, to_ms: NOW_MS };
  for (const step_s of [900, 3600, 86_400]) {
    const rows = await checkSame({ ...range, measures: OF_ROLLUPS, step: "auto", step_s });
    expect(rows).toBeGreaterThan(3);
  }
  await checkSame({ ...range, measures: OF_USERS, step: "day", step_s: 86_400, by: "user_id" });
  const services = { ...range, step: "hour", step_s: 3600, by: GROUP_BY } as const;
  await checkSame({ ...services, measures: OF_ROLLUPS }, "service_name");
});
