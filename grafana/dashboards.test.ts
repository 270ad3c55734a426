/**
 * Every statement of every dashboard and alert, macros expanded as the plugin does it, on the real engine
 * over seeded data: it runs, has rows, has the shape that its format needs, and has every column that the
 * panel around it names.
 */
import type { Panel } from "@grafana/grafana-foundation-sdk/dashboard";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildDashboard, type DashboardSpec } from "./dashboard.ts";
import { DAY_MS, HOUR_MS, NOW_MS, openSeeded, pick, type SeededLedger } from "./fixture.ts";
import {
  type Answer,
  type Column,
  describeColumns,
  type Frame,
  grafana,
  makeFrame,
  runStatement,
  textOf,
} from "./fixture-frames.ts";
import { SEEDS } from "./fixture-seeds.ts";
import { expandPanel, expandTimeMacros, type MacroRange, type VariableValues } from "./macros.ts";
import type { BuiltPanel, PanelSpec } from "./panels.ts";
import { FORMATS } from "./query.ts";
import { ALERTS, DASHBOARDS } from "./registry.ts";

/** Series of one panel, at most: more is a wall. */
const MAX_SERIES = 50;
/** Rows of one answer, at most. */
const MAX_ROWS = 20_000;

let ledger: SeededLedger;
beforeAll(async () => {
  ledger = await openSeeded(SEEDS);
}, 180_000);
afterAll(() => ledger.test_engine.close());

interface Scenario {
  readonly name: string;
  readonly range: MacroRange;
  readonly values: (spec: DashboardSpec) => VariableValues;
  /** Whether all text boxes are empty. */
  readonly has_empty_boxes: boolean;
  /** Whether there have to be rows. */
  readonly wants_rows: boolean;
}

const LAST_HOUR = { from_ms: NOW_MS - HOUR_MS, to_ms: NOW_MS, interval_ms: 60_000 };
const LAST_DAYS = { from_ms: NOW_MS - 30 * DAY_MS, to_ms: NOW_MS, interval_ms: 2 * HOUR_MS };

/** What a text box asks for that has something to find; the others get a text with a quote. */
function boxText(name: string): string {
  const known: Readonly<Record<string, string>> = {
    trace_id: ledger.trace_id,
    session_id: ledger.session_id,
  };
  return known[name] ?? "";
}

function valuesOf(
  { variables = [] }: DashboardSpec,
  choose: (
    kind: "query" | "custom" | "text",
    name: string,
    values: readonly string[],
  ) => string | readonly string[],
): Record<string, string | readonly string[]> {
  return Object.fromEntries(
    variables.map((one) => [
      one.name,
      choose(one.kind, one.name, one.kind === "custom" ? one.values : []),
    ]),
  );
}

const SCENARIOS: readonly Scenario[] = [
  {
    name: "all, an hour, empty boxes",
    range: LAST_HOUR,
    values: (spec) =>
      pick({
        ...valuesOf(spec, (kind, _name, [first = ""]) =>
          kind === "custom" ? first : kind === "query" ? "$__all" : "",
        ),
      }),
    has_empty_boxes: true,
    wants_rows: true,
  },
  {
    name: "all, 30 days, by service",
    range: LAST_DAYS,
    values: (spec) =>
      pick({
        group_by: "service_name",
        ...valuesOf(spec, (kind, name, [first = ""]) =>
          kind === "custom" ? first : kind === "query" ? "$__all" : boxText(name),
        ),
      }),
    has_empty_boxes: false,
    wants_rows: true,
  },
  {
    name: "two values, one with a quote, 30 days, by user",
    range: LAST_DAYS,
    values: (spec) =>
      pick({
        project: ["alpha", "o'brien"],
        service: ["search", "o'brien's service"],
        environment: ["production", "it's"],
        provider: ["openai", "(none)"],
        model: ["gpt-4o-mini", "it's"],
        user: ["ann", "o'brien", "CORP\\ann\\"],
        group_by: "user_id",
        ...valuesOf(spec, (kind, name, values) =>
          kind === "custom"
            ? (values.at(-1) ?? "")
            : kind === "query"
              ? ["x", "it's"]
              : name.startsWith("min_")
                ? "0.001"
                : "it's",
        ),
      }),
    has_empty_boxes: false,
    wants_rows: false,
  },
];

/** What is left of macros and variables. */
function leftOver(sql: string): string[] {
  return [...sql.matchAll(/\$\{?\w+/g)].map(([word]) => word);
}

/** Why rows are no time series, as Grafana needs them. */
function findSeriesProblems({ columns, rows }: Answer): string[] {
  const problems: string[] = [];
  const times = columns.filter(({ kind }) => kind === "time");
  if (times.length !== 1 || columns[0]?.kind !== "time")
    problems.push("time is not the first column");
  if (times.some(({ is_nullable }) => is_nullable)) problems.push("the time may be NULL");
  if (!columns.some(({ kind }) => kind === "number")) problems.push("there is no number");
  const others = columns.filter(({ kind }) => kind === "other" || kind === "boolean");
  problems.push(...others.map(({ name, type }) => `${name} is a ${type}`));
  const texts = rows.map(([time]) => textOf(time));
  if (texts.some((time, index) => index > 0 && time < (texts[index - 1] ?? ""))) {
    problems.push("times do not ascend");
  }
  const keys = rows.map((row) =>
    JSON.stringify(row.filter((_cell, index) => columns[index]?.kind !== "number")),
  );
  if (new Set(keys).size !== keys.length) problems.push("a point comes twice");
  return problems;
}

function countSeries({ columns, rows }: Answer): number {
  const numbers = columns.filter(({ kind }) => kind === "number").length;
  const names = rows.map((row) =>
    JSON.stringify(row.filter((_cell, index) => columns[index]?.kind === "string")),
  );
  return new Set(names).size * numbers;
}

/** Whether a statement asks for what is in a text box. */
function asksBox(sql: string, spec: DashboardSpec): boolean {
  return (spec.variables ?? []).some(
    ({ kind, name }) => kind === "text" && new RegExp(`\\$\\{?${name}\\b`).test(sql),
  );
}

/** Columns by the statement before its macros, which they do not depend on. */
const known_columns = new Map<string, Promise<Column[]>>();
/** Answers by the whole statement: variables are the same in every dashboard. */
const known_answers = new Map<string, Promise<Answer>>();

function remember<Value>(
  known: Map<string, Promise<Value>>,
  key: string,
  make: () => Promise<Value>,
): Promise<Value> {
  const value = known.get(key) ?? make();
  known.set(key, value);
  return value;
}

/** The answer to a statement, whose macros are expanded in `sql`. */
async function ask(statement: string, sql: string): Promise<Answer> {
  const { engine } = ledger;
  return remember(known_answers, sql, async () => {
    const columns = await remember(known_columns, statement, () => describeColumns(engine, sql));
    return runStatement(engine, sql, columns);
  });
}

/** Everything wrong with the statements of a panel in a scenario. */
async function findProblems(
  spec: DashboardSpec,
  { spec: panel }: BuiltPanel,
  scenario: Scenario,
): Promise<string[]> {
  const problems: string[] = [];
  for (const [index, target] of panel.targets.entries()) {
    const name = `${panel.id} ${panel.title} ${target.ref_id ?? String.fromCharCode(65 + index)}`;
    const sql = expandPanel(target.sql, scenario.values(spec), scenario.range);
    problems.push(...leftOver(sql).map((word) => `${name}: ${word} is not expanded`));
    let answer: Answer;
    try {
      answer = await ask(target.sql, sql);
    } catch (error) {
      problems.push(`${name}: ${String(error).slice(0, 600)}`);
      continue;
    }
    const may_be_empty =
      panel.may_be_empty !== undefined ||
      !scenario.wants_rows ||
      (scenario.has_empty_boxes && asksBox(target.sql, spec));
    if (answer.rows.length === 0 && !may_be_empty) problems.push(`${name}: no rows`);
    if (answer.rows.length > MAX_ROWS) problems.push(`${name}: ${answer.rows.length} rows`);
    if (target.format === "timeseries") {
      problems.push(...findSeriesProblems(answer).map((problem) => `${name}: ${problem}`));
      const count = countSeries(answer);
      if (count > MAX_SERIES) problems.push(`${name}: ${count} series`);
    }
  }
  return problems;
}

/** Runs the panels of a dashboard, some at once: the engine has several sessions. */
async function forPanels(
  spec: DashboardSpec,
  check: (panel: BuiltPanel) => Promise<string[]>,
): Promise<string[]> {
  const queue = spec.rows
    .flatMap(({ panels }) => panels)
    .filter((one) => one.spec.targets.length > 0);
  const problems: string[] = [];
  const work = async () => {
    for (let panel = queue.shift(); panel !== undefined; panel = queue.shift()) {
      problems.push(...(await check(panel)));
    }
  };
  await Promise.all([work(), work(), work()]);
  return problems.sort();
}

describe.each(DASHBOARDS.map((spec) => [spec.title, spec] as const))("%s", (_title, spec) => {
  test.each(SCENARIOS.map((scenario) => [scenario.name, scenario] as const))(
    "every panel is answered as its format needs: %s",
    async (_name, scenario) => {
      expect(await forPanels(spec, (panel) => findProblems(spec, panel, scenario))).toEqual([]);
    },
    120_000,
  );

  test("overrides, links and transformations name what the answers have", async () => {
    const panels = new Map(
      buildDashboard(spec).panels?.map((panel) => [(panel as Panel).id, panel] as const),
    );
    const problems = await forPanels(spec, async ({ spec: panel }) =>
      findUnknownNames(spec, panel, panels.get(panel.id)),
    );
    expect(problems).toEqual([]);
  }, 120_000);

  test("every variable offers something, and a quote in one breaks none", async () => {
    const problems: string[] = [];
    for (const scenario of SCENARIOS) {
      for (const variable of buildDashboard(spec).templating.list ?? []) {
        const { query, name, type } = variable as { query?: unknown; name: string; type: string };
        if (type !== "query") continue;
        const { rawSql } = query as { rawSql: string };
        const sql = expandPanel(rawSql, scenario.values(spec), scenario.range);
        problems.push(...leftOver(sql).map((word) => `${name}: ${word} is not expanded`));
        const { columns, rows } = await ask(rawSql, sql);
        if (columns.length > 2) problems.push(`${name} has ${columns.length} columns`);
        if (rows.length === 0 && scenario.wants_rows) problems.push(`${name} offers nothing`);
      }
    }
    expect(problems).toEqual([]);
  }, 60_000);

  test("every annotation has a time and a text", async () => {
    for (const annotation of spec.annotations ?? []) {
      for (const scenario of SCENARIOS) {
        const sql = expandPanel(annotation.sql, scenario.values(spec), scenario.range);
        expect(leftOver(sql), annotation.name).toEqual([]);
        const { columns, rows } = await ask(annotation.sql, sql);
        const kinds = new Map(columns.map(({ name, kind }) => [name, kind]));
        expect(kinds.get("time"), annotation.name).toBe("time");
        expect(kinds.get("text"), annotation.name).toBe("string");
        const has_rows = rows.length > 0 || annotation.may_be_empty !== undefined;
        expect(has_rows || !scenario.wants_rows, annotation.name).toBe(true);
      }
    }
  });
});

/** Names that a panel uses and its answers do not have, over 30 days of everything. */
async function findUnknownNames(
  spec: DashboardSpec,
  panel: PanelSpec,
  built: Panel | undefined,
): Promise<string[]> {
  const [, scenario] = SCENARIOS;
  if (scenario === undefined || panel.may_be_empty !== undefined) return [];
  const frames: Frame[] = [];
  for (const [index, target] of panel.targets.entries()) {
    const sql = expandPanel(target.sql, scenario.values(spec), scenario.range);
    const ref_id = target.ref_id ?? String.fromCharCode(65 + index);
    frames.push(makeFrame(await ask(target.sql, sql), FORMATS[target.format], ref_id));
  }
  const columns = new Set(frames.flatMap(({ fields }) => fields.map(({ name }) => name)));
  const labels = frames.flatMap(({ fields }) =>
    fields.flatMap((field) => Object.values(field.labels ?? {})),
  );
  const shown = frames.flatMap((frame) =>
    frame.fields.map((field) => grafana.getFieldDisplayName(field, frame, frames)),
  );
  const renamed = (built?.transformations ?? []).flatMap(({ options }) =>
    Object.values((options as { renameByName?: Record<string, string> }).renameByName ?? {}),
  );
  const known = new Set([
    ...columns,
    ...shown,
    ...renamed,
    ...(panel.named_by === undefined ? [] : labels),
  ]);
  const text = JSON.stringify(built);
  const named = [
    ...Object.keys(panel.fields ?? {}).map((name) => ["override", name] as const),
    ...[...text.matchAll(/__data\.fields\.(\w+)/g)].map(([, name = ""]) => ["link", name] as const),
    ...[...text.matchAll(/__data\.fields\[\\"([^"\\]+)\\"\]/g)].map(
      ([, name = ""]) => ["link", name] as const,
    ),
    ...(built?.transformations ?? []).flatMap(({ options }) =>
      namesIn(options).map((name) => ["transformation", name] as const),
    ),
  ];
  return named
    .filter(([, name]) => !known.has(name))
    .map(
      ([what, name]) =>
        `${panel.id} ${panel.title}: ${what} of "${name}"; there are ${[...known].join(", ")}`,
    );
}

/** Names of columns in the options of a transformation. */
function namesIn(options: unknown): string[] {
  const {
    excludeByName = {},
    renameByName = {},
    indexByName = {},
    byField,
    fields = {},
  } = options as {
    excludeByName?: object;
    renameByName?: object;
    indexByName?: object;
    byField?: string;
    fields?: object;
  };
  return [
    ...Object.keys(excludeByName),
    ...Object.keys(renameByName),
    ...Object.keys(indexByName),
    ...Object.keys(fields),
    ...(byField === undefined ? [] : [byField]),
  ];
}

describe("alerts", () => {
  test("every statement runs with the macros of the backend alone", async () => {
    for (const { title, statements, range_s } of ALERTS) {
      const range = { from_ms: NOW_MS - range_s * 1000, to_ms: NOW_MS, interval_ms: 60_000 };
      for (const statement of statements) {
        const sql = expandTimeMacros(statement, range);
        expect(leftOver(sql), title).toEqual([]);
        const { columns } = await ask(statement, sql);
        expect(columns.filter(({ kind }) => kind === "number").length, title).toBeGreaterThan(0);
        expect(
          columns.filter(({ kind }) => kind === "other"),
          title,
        ).toEqual([]);
      }
    }
  });
});
