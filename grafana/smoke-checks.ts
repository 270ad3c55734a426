/**
 * Asks a running Grafana for everything that is provisioned: its health, the data source, each dashboard,
 * every statement of every panel, and the alert rules.
 *
 * Invariant: it reads and changes nothing; a check that fails does not stop the others.
 */
import { ALERT_RULES } from "./alerts/rules.ts";
import { UIDS } from "./dashboard.ts";
import { expandVariablesAndConditions, type VariableValues } from "./macros.ts";
import { DATASOURCE_UID } from "./query.ts";
import { DASHBOARDS } from "./registry.ts";

/** Where Grafana is, and who asks. */
export interface GrafanaAddress {
  /** Such as http://127.0.0.1:3000, without a slash at its end. */
  readonly url: string;
  readonly user: string;
  readonly password: string;
}

/** What came of one check. */
export interface Finding {
  readonly name: string;
  /** Null: it is well. */
  readonly problem: string | null;
  /** What is worth saying of one that is well, such as a panel without rows. */
  readonly note: string;
}

/** Longest one answer is waited for, ms: a panel may read a month. */
export const REQUEST_TIMEOUT_MS = 60_000;
/** Longest text of an error that is told, characters. */
const MAX_PROBLEM_CHARS = 300;
/** The range that panels are asked for, ms. */
const RANGE_MS = 6 * 3_600_000;
/** Points that a panel of ordinary width asks for. */
const MAX_POINTS = 600;

/** A client of Grafana's HTTP API. */
export class GrafanaClient {
  readonly #address: GrafanaAddress;
  readonly #timeout_ms: number;

  constructor(address: GrafanaAddress, timeout_ms = REQUEST_TIMEOUT_MS) {
    this.#address = address;
    this.#timeout_ms = timeout_ms;
  }

  /** The JSON that is answered. Throws with the status and what Grafana says for anything but 2xx. */
  async ask(path: string, body?: unknown): Promise<unknown> {
    const { url, user, password } = this.#address;
    const response = await fetch(`${url}${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: {
        authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`,
        "content-type": "application/json",
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(this.#timeout_ms),
    });
    const text = await response.text();
    // Of a query that failed the answer says why, with a status of its own.
    const json = parse(text);
    if (!response.ok && (body === undefined || json === undefined)) {
      throw new Error(`${path} answered ${response.status}: ${text}`);
    }
    if (json === undefined) throw new Error(`${path} did not answer JSON: ${text}`);
    return json;
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** The field of an object; undefined of anything else. */
function at(value: unknown, ...path: readonly string[]): unknown {
  let found = value;
  for (const name of path) {
    if (typeof found !== "object" || found === null || !Object.hasOwn(found, name))
      return undefined;
    found = (found as Readonly<Record<string, unknown>>)[name];
  }
  return found;
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

/** A value of an answer as text; empty for what is none. */
function textOf(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

/** Runs a check; what it throws is the problem, what it answers the note. */
async function check(name: string, run: () => Promise<string>): Promise<Finding> {
  try {
    return { name, problem: null, note: await run() };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { name, problem: message.slice(0, MAX_PROBLEM_CHARS), note: "" };
  }
}

async function checkHealth(client: GrafanaClient): Promise<string> {
  const health = await client.ask("/api/health");
  if (at(health, "database") !== "ok") throw new Error("its database is not ok");
  return `version ${textOf(at(health, "version"))}`;
}

async function checkDatasource(client: GrafanaClient): Promise<string> {
  const health = await client.ask(`/api/datasources/uid/${DATASOURCE_UID}/health`);
  const message = textOf(at(health, "message"));
  if (at(health, "status") !== "OK") throw new Error(message || "the data source is not well");
  return message;
}

async function checkDashboards(client: GrafanaClient): Promise<string> {
  const found = listOf(await client.ask("/api/search?type=dash-db&limit=1000"));
  const uids = new Set(found.map((dashboard) => at(dashboard, "uid")));
  const missing = DASHBOARDS.map(({ name }) => UIDS[name]).filter((uid) => !uids.has(uid));
  if (missing.length > 0) throw new Error(`not provisioned: ${missing.join(", ")}`);
  return `${DASHBOARDS.length} dashboards`;
}

async function checkAlerts(client: GrafanaClient): Promise<string> {
  const rules = listOf(await client.ask("/api/v1/provisioning/alert-rules"));
  const uids = new Set(rules.map((rule) => at(rule, "uid")));
  const missing = ALERT_RULES.filter(({ uid }) => !uids.has(uid)).map(({ uid }) => uid);
  if (missing.length > 0) throw new Error(`not provisioned: ${missing.join(", ")}`);
  const groups = listOf(
    at(await client.ask("/api/prometheus/grafana/api/v1/rules"), "data", "groups"),
  );
  const broken = groups
    .flatMap((group) => listOf(at(group, "rules")))
    .filter((rule) => at(rule, "health") === "error")
    .map((rule) => `${textOf(at(rule, "name"))}: ${textOf(at(rule, "lastError"))}`);
  if (broken.length > 0) throw new Error(broken.join("; "));
  return `${ALERT_RULES.length} rules`;
}

/** A statement of a panel, as the browser would send it. */
interface PanelQuery {
  readonly name: string;
  readonly ref_id: string;
  readonly query: { readonly rawSql: string };
}

/** The values that the variables of a dashboard begin with; what offers all is all. */
function startValues(dashboard: unknown): VariableValues {
  const values = listOf(at(dashboard, "templating", "list")).map((variable) => {
    const first = at(variable, "current", "value");
    const value = Array.isArray(first) ? (first[0] as unknown) : first;
    return [textOf(at(variable, "name")), value === undefined ? "" : textOf(value)] as const;
  });
  return new Map(values);
}

function listQueries(uid: string, dashboard: unknown, now_ms: number): PanelQuery[] {
  const interval_ms = Math.ceil(RANGE_MS / MAX_POINTS);
  const range = { from_ms: now_ms - RANGE_MS, to_ms: now_ms, interval_ms };
  const values = startValues(dashboard);
  return listOf(at(dashboard, "panels")).flatMap((panel) =>
    listOf(at(panel, "targets")).map((target) => ({
      name: `${uid} / ${textOf(at(panel, "title"))} ${textOf(at(target, "refId"))}`,
      ref_id: textOf(at(target, "refId")),
      query: {
        ...(target as object),
        datasource: { uid: DATASOURCE_UID },
        rawSql: expandVariablesAndConditions(textOf(at(target, "rawSql")), values, range),
        intervalMs: interval_ms,
        maxDataPoints: MAX_POINTS,
      },
    })),
  );
}

async function runQuery(
  client: GrafanaClient,
  { ref_id, query }: PanelQuery,
  now_ms: number,
): Promise<string> {
  const answer = await client.ask("/api/ds/query", {
    from: String(now_ms - RANGE_MS),
    to: String(now_ms),
    queries: [query],
  });
  const result = at(answer, "results", ref_id);
  const error = at(result, "error") ?? at(answer, "message");
  if (error !== undefined) throw new Error(textOf(error));
  const frames = listOf(at(result, "frames"));
  const rows = frames.map((frame) => listOf(listOf(at(frame, "data", "values"))[0]).length);
  const total = rows.reduce((sum, count) => sum + count, 0);
  return total === 0 ? "no rows" : `${total} rows`;
}

/** Every check, one after the other; `tell` hears of each as it is over. */
export async function smokeGrafana(
  client: GrafanaClient,
  tell: (finding: Finding) => void,
  now_ms: number = Date.now(),
): Promise<Finding[]> {
  const findings: Finding[] = [];
  const run = async (name: string, work: () => Promise<string>) => {
    const finding = await check(name, work);
    findings.push(finding);
    tell(finding);
  };
  await run("health", () => checkHealth(client));
  await run("data source", () => checkDatasource(client));
  await run("dashboards", () => checkDashboards(client));
  await run("alert rules", () => checkAlerts(client));
  for (const { name } of DASHBOARDS) {
    const uid = UIDS[name];
    let queries: PanelQuery[] = [];
    await run(uid, async () => {
      const dashboard = at(await client.ask(`/api/dashboards/uid/${uid}`), "dashboard");
      queries = listQueries(uid, dashboard, now_ms);
      if (queries.length === 0) throw new Error("it has no panel that asks anything");
      return `${queries.length} statements`;
    });
    for (const query of queries) await run(query.name, () => runQuery(client, query, now_ms));
  }
  return findings;
}
