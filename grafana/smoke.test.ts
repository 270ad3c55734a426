/** The smoke test of a real Grafana, against one that is not: it asks as a browser would, and tells every fault. */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ALERT_RULES } from "./alerts/rules.ts";
import { renderDashboard, UIDS } from "./dashboard.ts";
import { DATASOURCE_UID } from "./query.ts";
import { DASHBOARDS } from "./registry.ts";
import { type Finding, GrafanaClient, smokeGrafana } from "./smoke-checks.ts";

const PASSWORD = "a password: with a colon";
const NOW_MS = Date.UTC(2026, 10, 21, 12);

interface Asked {
  readonly path: string;
  readonly body: unknown;
}

type Answer = (body: unknown) => { status?: number; json: unknown };
/** What the fake answers, by path; a test breaks one of them. */
type Answers = Map<string, Answer>;

let server: Server;
let url: string;
let answers: Answers;
let asked: Asked[];

function goodAnswers(): Answers {
  const found: Answers = new Map<string, Answer>([
    ["/api/health", () => ({ json: { database: "ok", version: "13.2.3" } })],
    [
      `/api/datasources/uid/${DATASOURCE_UID}/health`,
      () => ({ json: { status: "OK", message: "Data source is working" } }),
    ],
    [
      "/api/search?type=dash-db&limit=1000",
      () => ({ json: DASHBOARDS.map(({ name }) => ({ uid: UIDS[name] })) }),
    ],
    ["/api/v1/provisioning/alert-rules", () => ({ json: ALERT_RULES.map(({ uid }) => ({ uid })) })],
    [
      "/api/prometheus/grafana/api/v1/rules",
      () => ({
        json: {
          data: {
            groups: [{ rules: ALERT_RULES.map(({ title }) => ({ name: title, health: "ok" })) }],
          },
        },
      }),
    ],
    [
      "/api/ds/query",
      (body) => {
        const { refId } = (body as { queries: { refId: string }[] }).queries[0] ?? { refId: "" };
        const frames = [{ schema: {}, data: { values: [[1, 2, 3]] } }];
        return { json: { results: { [refId]: { status: 200, frames } } } };
      },
    ],
  ]);
  for (const spec of DASHBOARDS) {
    const dashboard = JSON.parse(renderDashboard(spec)) as unknown;
    found.set(`/api/dashboards/uid/${UIDS[spec.name]}`, () => ({ json: { dashboard } }));
  }
  return found;
}

beforeEach(async () => {
  answers = goodAnswers();
  asked = [];
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const text = Buffer.concat(chunks).toString();
      const body: unknown = text === "" ? undefined : JSON.parse(text);
      const path = request.url ?? "";
      asked.push({ path, body });
      const wanted = `Basic ${Buffer.from(`admin:${PASSWORD}`).toString("base64")}`;
      const answer = answers.get(path);
      const { status = 200, json } =
        request.headers.authorization !== wanted
          ? { status: 401, json: { message: "Invalid username or password" } }
          : answer === undefined
            ? { status: 404, json: { message: "Not found" } }
            : answer(body);
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(json));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

async function smoke(password = PASSWORD): Promise<Finding[]> {
  const told: Finding[] = [];
  const client = new GrafanaClient({ url, user: "admin", password }, 5_000);
  const findings = await smokeGrafana(client, (finding) => told.push(finding), NOW_MS);
  expect(told).toEqual(findings);
  return findings;
}

const problemsOf = (findings: readonly Finding[]) =>
  findings.flatMap(({ name, problem }) => (problem === null ? [] : [`${name}: ${problem}`]));

describe("a Grafana that is well", () => {
  test("is asked for every statement of every panel, and nothing is wrong", async () => {
    const findings = await smoke();
    expect(problemsOf(findings)).toEqual([]);
    const targets = DASHBOARDS.flatMap(({ rows }) =>
      rows.flatMap(({ panels }) => panels.flatMap(({ spec }) => spec.targets)),
    );
    expect(asked.filter(({ path }) => path === "/api/ds/query")).toHaveLength(targets.length);
    expect(findings).toHaveLength(4 + DASHBOARDS.length + targets.length);
    expect(findings[0]).toEqual({ name: "health", problem: null, note: "version 13.2.3" });
  });

  test("gets statements without anything of the browser, of the fixed data source and a range", async () => {
    await smoke();
    for (const { body } of asked.filter(({ path }) => path === "/api/ds/query")) {
      const { from, to, queries } = body as {
        from: string;
        to: string;
        queries: { rawSql: string; datasource: object; intervalMs: number }[];
      };
      expect([from, to]).toEqual([String(NOW_MS - 6 * 3_600_000), String(NOW_MS)]);
      const [query] = queries;
      expect(query?.datasource).toEqual({ uid: DATASOURCE_UID });
      expect(query?.rawSql).not.toMatch(/\$\{|\$__conditionalAll|\$datasource|\$project/);
      expect(query?.intervalMs).toBeGreaterThan(0);
    }
  });

  test("nothing is written to it", async () => {
    await smoke();
    const posted = asked.filter(({ body }) => body !== undefined).map(({ path }) => path);
    expect(new Set(posted)).toEqual(new Set(["/api/ds/query"]));
  });
});

describe("a fault is told, and the other checks go on", () => {
  const [first] = DASHBOARDS;
  const uid = first === undefined ? "" : UIDS[first.name];
  const cases: readonly (readonly [string, (answers: Answers) => void, RegExp])[] = [
    [
      "a database that is not ok",
      (broken) => broken.set("/api/health", () => ({ json: { database: "failing" } })),
      /^health: its database is not ok$/,
    ],
    [
      "a data source that cannot connect",
      (broken) =>
        broken.set(`/api/datasources/uid/${DATASOURCE_UID}/health`, () => ({
          status: 400,
          json: { status: "ERROR", message: "dial tcp: connection refused" },
        })),
      /^data source: .*connection refused/,
    ],
    [
      "a dashboard that is not there",
      (broken) => broken.set("/api/search?type=dash-db&limit=1000", () => ({ json: [] })),
      new RegExp(`^dashboards: not provisioned: .*${uid}`),
    ],
    [
      "a rule that is not loaded",
      (broken) => broken.set("/api/v1/provisioning/alert-rules", () => ({ json: [] })),
      /^alert rules: not provisioned: spanledger-hourly-spend, /,
    ],
    [
      "a rule whose statement fails",
      (broken) =>
        broken.set("/api/prometheus/grafana/api/v1/rules", () => ({
          json: {
            data: { groups: [{ rules: [{ name: "R", health: "error", lastError: "Code: 62" }] }] },
          },
        })),
      /^alert rules: R: Code: 62$/,
    ],
    [
      "a statement that ClickHouse refuses",
      (broken) =>
        broken.set("/api/ds/query", () => ({
          status: 400,
          json: { results: { A: { status: 400, error: "Code: 47. Unknown identifier" } } },
        })),
      new RegExp(`^${uid} / .* A: Code: 47. Unknown identifier$`),
    ],
    [
      "an answer that is none of Grafana's",
      (broken) =>
        broken.set("/api/ds/query", () => ({ status: 502, json: { message: "bad gateway" } })),
      /: bad gateway$/,
    ],
    [
      "a dashboard that has lost its panels",
      (broken) => broken.set(`/api/dashboards/uid/${uid}`, () => ({ json: { dashboard: {} } })),
      new RegExp(`^${uid}: it has no panel that asks anything$`),
    ],
  ];
  test.each(cases)("%s", async (_kind, breakIt, problem) => {
    breakIt(answers);
    const findings = await smoke();
    const problems = problemsOf(findings);
    expect(problems[0]).toMatch(problem);
    expect(findings.length).toBeGreaterThan(problems.length);
  });

  test("a panel without rows is no fault and is told", async () => {
    answers.set("/api/ds/query", () => ({ json: { results: { A: { frames: [] } } } }));
    const findings = await smoke();
    expect(problemsOf(findings)).toEqual([]);
    expect(findings.at(-1)?.note).toBe("no rows");
  });

  test("a wrong password is told everywhere and never shown", async () => {
    const findings = await smoke("another secret");
    expect(problemsOf(findings)).toHaveLength(findings.length);
    expect(problemsOf(findings).join("\n")).toContain("401");
    expect(problemsOf(findings).join("\n")).not.toContain("secret");
  });
});

describe("the command", () => {
  const SCRIPT = fileURLToPath(new URL("./smoke.ts", import.meta.url));
  const run = promisify(execFile);

  test("takes the password from the file of Compose and ends with 0, and with 1 for a fault", async () => {
    const folder = mkdtempSync(join(tmpdir(), "spanledger-smoke-"));
    try {
      const file = join(folder, ".env");
      writeFileSync(file, `A=1\nGRAFANA_ADMIN_PASSWORD=${PASSWORD}\n`);
      const argv = [SCRIPT, "--url", `${url}/`, "--env-file", file];
      const { stdout } = await run(process.execPath, argv);
      expect(stdout).toMatch(/ok {4}health: version 13\.2\.3\n/);
      expect(stdout).toMatch(/(\d+) of \1 are well\n$/);
      answers.set("/api/health", () => ({ json: {} }));
      const failed = await run(process.execPath, argv).catch((error: unknown) => error);
      expect(failed).toMatchObject({ code: 1, stdout: expect.stringContaining("FAIL  health") });
      writeFileSync(file, "GRAFANA_ADMIN_PASSWORD=\n");
      const refused = await run(process.execPath, argv).catch((error: unknown) => error);
      expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining(".env.example") });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test("is what the guide says", () => {
    const guide = readFileSync(new URL("../docs/guides/grafana.md", import.meta.url), "utf8");
    expect(guide).toContain("node grafana/smoke.ts");
  });
});
