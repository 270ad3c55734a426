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

/** Who asks: the operator, or by its name one project. */
const OPERATOR = "operator";
const PROJECT = "alpha";
/** Questions at once: most of their time is the engine's planning, which one core does for each. */
const AT_ONCE = 3;

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
    authenticate: (headers) => ({
      actor: makeOperator(String(headers["x-api-key"])),
      expires_at_ms: null,
    }),
    hasKeys: () => true,
    listProjects: ({ id }) => (id === OPERATOR ? null : [id]),
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

async function tell(sql: string, who: string): Promise<{ status: number; text: string }> {
  const { status, text } = await ask(url, sql, {
    query: { default_format: "JSONEachRow" },
    headers: { "x-api-key": who },
  });
  return { status, text: status === 200 ? "" : text };
}

const ANSWERED = { status: 200, text: "" };

/** Asks one after another, a few at once. */
async function tryAll(
  statements: readonly string[],
  attempt: (sql: string) => Promise<void>,
): Promise<void> {
  const waiting = statements.values();
  const askOn = async () => {
    for (const sql of waiting) await attempt(sql);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, askOn));
}

test("every panel answers a key of one project; what is of the whole installation, the operator alone", async () => {
  const statements = [...new Set(DASHBOARDS.flatMap(statementsOf))];
  expect(statements.length).toBeGreaterThan(100);
  await tryAll(statements, async (sql) => {
    const own = await tell(sql, PROJECT);
    if (INSTALLATION.test(sql)) {
      expect([sql, own.status]).toEqual([sql, 404]);
      expect([sql, await tell(sql, OPERATOR)]).toEqual([sql, ANSWERED]);
    } else {
      expect([sql, own]).toEqual([sql, ANSWERED]);
    }
  });
}, 120_000);

test("the rules run as they do on a server", async () => {
  const statements = ALERTS.flatMap((rule) => rule.statements);
  await tryAll(
    statements.map((one) => expandTimeMacros(one, RANGE)),
    async (sql) => {
      expect([sql, await tell(sql, OPERATOR)]).toEqual([sql, ANSWERED]);
    },
  );
}, 60_000);
