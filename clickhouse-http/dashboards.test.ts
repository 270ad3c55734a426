/**
 * Every statement of every dashboard and rule of `grafana/`, asked through the endpoint as Grafana asks it:
 * none needs what is refused here.
 */
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { limitsOf } from "../cli/clickhouse-http.ts";
import { buildDashboard, type DashboardSpec } from "../grafana/dashboard.ts";
import { DAY_MS, NOW_MS, openSeeded, pick, type SeededLedger } from "../grafana/fixture.ts";
import { SEEDS } from "../grafana/fixture-seeds.ts";
import { expandPanel, expandTimeMacros } from "../grafana/macros.ts";
import { ALERTS, DASHBOARDS } from "../grafana/registry.ts";
import { makeOperator } from "../schemas/access.ts";
import { parseSettings } from "../schemas/settings.ts";
import { NO_LOG } from "../state/fixture.ts";
import { ask } from "./fixture.ts";
import { makeClickHouseServer } from "./server.ts";

const RANGE = { from_ms: NOW_MS - 30 * DAY_MS, to_ms: NOW_MS, interval_ms: 7_200_000 };
/** What needs the whole installation: the health of collectors, parts, runs of repricing. */
const INSTALLATION = /\b(?:collector_samples|system\.parts|price_runs)\b/;

let ledger: SeededLedger;
let server: Server;
let url = "";

beforeAll(async () => {
  ledger = await openSeeded(SEEDS);
  const settings = parseSettings({});
  if ("problems" in settings) throw new Error(settings.problems.join());
  server = await makeClickHouseServer({
    engine: ledger.engine,
    log: NO_LOG,
    limits: limitsOf(settings.settings),
    authenticate: () => ({ actor: makeOperator(), expires_at_ms: null }),
    hasKeys: () => true,
    listProjects: () => projects,
    admit: () => 0,
    enter: async () => () => {},
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(async () => {
  server.close();
  server.closeAllConnections();
  await ledger.test_engine.close();
});

/** Projects that the next question may read; null: all. */
let projects: readonly string[] | null = null;

/** The statements of a dashboard, for everything there is. */
function statementsOf(spec: DashboardSpec): string[] {
  const values = pick(
    Object.fromEntries(
      (spec.variables ?? []).map(({ name, kind, ...rest }) => [
        name,
        kind === "query" ? "$__all" : kind === "custom" ? firstOf(rest) : "",
      ]),
    ),
  );
  const written = JSON.stringify(buildDashboard(spec)).matchAll(/"rawSql":("(?:[^"\\]|\\.)*")/g);
  return [...new Set([...written].map(([, text = '""']) => JSON.parse(text) as string))].map(
    (sql) => expandPanel(sql, values, RANGE),
  );
}

function firstOf(variable: object): string {
  return "values" in variable && Array.isArray(variable.values) ? String(variable.values[0]) : "";
}

async function tell(sql: string): Promise<{ status: number; text: string }> {
  const { status, text } = await ask(url, sql, { query: { default_format: "JSONEachRow" } });
  return { status, text };
}

test.each(DASHBOARDS.map((spec) => [spec.name, spec] as const))(
  "the dashboard %s answers a key of one project; what is of the whole installation, the operator alone",
  async (_name, spec) => {
    for (const sql of statementsOf(spec)) {
      projects = ["alpha"];
      const own = await tell(sql);
      if (INSTALLATION.test(sql)) {
        expect([sql, own.status]).toEqual([sql, 404]);
        projects = null;
        expect([sql, await tell(sql)]).toEqual([sql, { status: 200, text: expect.any(String) }]);
      } else {
        expect([sql, own.status, own.status === 200 ? "" : own.text]).toEqual([sql, 200, ""]);
      }
    }
  },
);

test("the rules run as they do on a server", async () => {
  projects = null;
  for (const { statements } of ALERTS) {
    for (const sql of statements.map((one) => expandTimeMacros(one, RANGE))) {
      const { status, text } = await tell(sql);
      expect([sql, status, status === 200 ? "" : text]).toEqual([sql, 200, ""]);
    }
  }
});
