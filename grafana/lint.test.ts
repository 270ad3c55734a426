/**
 * What every dashboard and alert has to keep, told from the committed JSON alone: ids, titles, units,
 * places, variables, links, and that nothing a reader types becomes SQL unquoted.
 */
import { readFileSync, readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { findDrift, JSON_FOLDER } from "./build.ts";
import { UIDS } from "./dashboard.ts";
import { ALERTS, DASHBOARDS } from "./registry.ts";

interface Json {
  readonly [key: string]: unknown;
}
interface Place {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}
interface PanelJson extends Json {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description: string;
  readonly gridPos: Place;
  readonly datasource?: Json;
  readonly targets?: readonly (Json & { rawSql: string; format: number })[];
  readonly fieldConfig: { readonly defaults: Json };
}
interface DashboardJson extends Json {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly PanelJson[];
  readonly templating: { readonly list: readonly (Json & { name: string; query: unknown })[] };
  readonly annotations: { readonly list?: readonly (Json & { target: { rawSql: string } })[] };
}

const FILES = readdirSync(JSON_FOLDER);
const BUILT = FILES.map(
  (name) =>
    [name, JSON.parse(readFileSync(new URL(name, JSON_FOLDER), "utf8")) as DashboardJson] as const,
);

/** Variables that Grafana has in every dashboard. */
const BUILT_IN =
  /^__(url_time_range|value|field|data|all|from|to|timeFilter|interval_s|fromTime(_ms)?|toTime(_ms)?|conditionalAll|timeInterval)/;
/** Panels that ask nothing. */
const SILENT = new Set(["text", "alertlist"]);

function statementsOf({ panels, templating, annotations }: DashboardJson): string[] {
  return [
    ...panels.flatMap(({ targets = [] }) => targets.map(({ rawSql }) => rawSql)),
    ...templating.list.flatMap(({ query }) =>
      typeof query === "object" ? [(query as { rawSql: string }).rawSql] : [],
    ),
    ...(annotations.list ?? []).map(({ target }) => target.rawSql),
  ];
}

function overlap(a: Place, b: Place): boolean {
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}

test("the committed JSON is what the source gives", () => {
  expect(findDrift(), "run `npm run grafana`").toEqual([]);
  expect(FILES.length).toBe(DASHBOARDS.length);
});

describe.each(BUILT)("%s", (file, dashboard) => {
  const { panels, templating } = dashboard;
  const names = new Set(templating.list.map(({ name }) => name));

  test("is a classic dashboard that nobody changes in the browser", () => {
    expect(file).toBe(`${dashboard.uid}.json`);
    expect(Object.values(UIDS)).toContain(dashboard.uid);
    expect(dashboard).not.toHaveProperty("id");
    expect(dashboard["schemaVersion"]).toBe(42);
    expect(dashboard["editable"]).toBe(false);
    expect(dashboard["timezone"]).toBe("utc");
    expect(dashboard["description"]).toMatch(/\w{3,}.*\./);
    expect(JSON.stringify(dashboard["tags"])).toContain("spanledger");
  });

  test("gives every panel an id, a title, a description, a unit and a place of its own", () => {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    expect(new Set(panels.map(({ title }) => title)).size).toBe(panels.length);
    for (const panel of panels) {
      expect(panel.id, panel.title).toBeGreaterThan(0);
      expect(panel.description, panel.title).toMatch(/^[A-Z$].{10,}[.)]$/su);
      expect(panel.fieldConfig.defaults["unit"], panel.title).toBeTypeOf("string");
      const { x, w, h } = panel.gridPos;
      expect(x + w, panel.title).toBeLessThanOrEqual(24);
      expect(h, panel.title).toBeGreaterThan(0);
      const others = panels.filter((other) => other !== panel);
      const covered = others.filter(({ gridPos }) => overlap(panel.gridPos, gridPos));
      expect(
        covered.map(({ title }) => title),
        panel.title,
      ).toEqual([]);
    }
  });

  test("has no wall of panels", () => {
    const spec = DASHBOARDS.find(({ name }) => UIDS[name] === dashboard.uid);
    expect(panels.length <= 20 || spec?.many_panels !== undefined, "over 20 panels").toBe(true);
  });

  test("asks the picked data source only, and something in every panel", () => {
    for (const { title, type, targets = [], datasource } of panels) {
      if (SILENT.has(type)) continue;
      expect(targets.length, title).toBeGreaterThan(0);
      expect(datasource?.["uid"], title).toBe("${datasource}");
      for (const target of targets) {
        expect(target["datasource"], title).toEqual({
          type: "grafana-clickhouse-datasource",
          uid: "${datasource}",
        });
        expect(target["editorType"], title).toBe("sql");
        expect(target.rawSql.trim(), title).not.toBe("");
      }
      expect(new Set(targets.map((target) => target["refId"])).size, title).toBe(targets.length);
    }
  });

  test("puts variables into SQL as quoted texts only, and knows every one", () => {
    for (const sql of statementsOf(dashboard)) {
      // The second argument of a condition is the variable itself, bare.
      const bare = sql.replaceAll(/,\s*\$(?!__)(\w+)\)/g, (_match, name: string) => {
        expect(names, sql).toContain(name);
        return ")";
      });
      for (const [whole, plain, braced, format] of bare.matchAll(
        /\$(\w+)|\$\{(\w+)(?::(\w+))?\}/g,
      )) {
        const name = plain ?? braced ?? "";
        if (BUILT_IN.test(name)) continue;
        expect(names, `${whole} in ${sql}`).toContain(name);
        // A text box comes encoded and is decoded by the engine: nothing in it ends the text.
        const is_encoded = sql.includes(`decodeURLComponent('\${${name}:percentencode}')`);
        const is_split = sql.includes(`splitByRegexp('&?var-${name}=', '\${${name}:queryparam}')`);
        const wanted =
          is_encoded && format === "percentencode"
            ? "percentencode"
            : is_split && format === "queryparam"
              ? "queryparam"
              : "singlequote";
        expect(format, `${whole} in ${sql}`).toBe(wanted);
      }
    }
  });

  test("keeps to the picked range in every statement", () => {
    const spec = DASHBOARDS.find(({ name }) => UIDS[name] === dashboard.uid);
    const specs = spec?.rows.flatMap(({ panels: built }) => built.map((panel) => panel.spec)) ?? [];
    for (const { title, targets, ignores_range } of specs) {
      for (const { sql } of targets) {
        const is_bounded = /\$__(fromTime|toTime|timeFilter)/.test(sql);
        expect(is_bounded || ignores_range !== undefined, `${title}: ${sql}`).toBe(true);
      }
    }
  });

  test("leads only to dashboards and variables that there are", () => {
    const text = JSON.stringify({ panels, links: dashboard["links"] });
    for (const [, uid = "", rest = ""] of text.matchAll(/\/d\/([\w-]+)([^"\\]*)/g)) {
      expect(Object.values(UIDS)).toContain(uid);
      const target = BUILT.find(([, other]) => other.uid === uid)?.[1];
      const known = target?.templating.list.map(({ name }) => name);
      for (const [, name] of rest.matchAll(/[?&]var-(\w+)=/g)) {
        if (known !== undefined) expect(known, `${uid}: ${rest}`).toContain(name);
      }
      for (const [, name = ""] of rest.matchAll(/\$\{(\w+):queryparam\}/g)) {
        expect(names, rest).toContain(name);
      }
    }
  });
});

test("every linked dashboard is built", () => {
  const linked = BUILT.flatMap(([, dashboard]) =>
    [...JSON.stringify(dashboard).matchAll(/\/d\/([\w-]+)/g)].map(([, uid = ""]) => uid),
  );
  expect([...new Set(linked)].filter((uid) => !FILES.includes(`${uid}.json`))).toEqual([]);
});

describe("alerts", () => {
  test("have uids of their own, and belong to a panel that there is", () => {
    expect(new Set(ALERTS.map(({ uid }) => uid)).size).toBe(ALERTS.length);
    for (const { title, dashboard, panel_id } of ALERTS) {
      const found = BUILT.find(([, other]) => other.uid === UIDS[dashboard])?.[1];
      expect(
        found?.panels.map(({ id }) => id),
        title,
      ).toContain(panel_id);
    }
  });

  test("use no macro or variable of the browser: nobody expands it for them", () => {
    for (const { title, statements } of ALERTS) {
      for (const sql of statements) {
        expect(sql, title).not.toMatch(/\$__conditionalAll|\$__adHocFilters|\$\{|\$(?!__)/);
      }
    }
  });
});
