/** `/v1/budgets` and `/v1/alerts` through the application: what is taken, refused, answered and written down. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  AlertRuleAnswer,
  AlertRuleDetail,
  AlertRulesAnswer,
  BudgetAnswer,
  BudgetsAnswer,
  DEFAULT_THRESHOLDS,
  MEASURE_PATHS,
} from "../../schemas/alerting.ts";
import { makeOperator } from "../../schemas/access.ts";
import { AlertWorld, makeCall, storeCalls } from "../../test/support/alerting.ts";
import { makeTestApi, readStrictly, type TestApi } from "../../test/support/api.ts";
import { openTestEngine, type TestEngine } from "../../test/support/engine.ts";

const NOW = Date.UTC(new Date().getUTCFullYear(), 5, 11, 12);

let test_engine: TestEngine;
let api: TestApi;

/** Keys `alpha` and `beta` of those projects, which may change things. */
export function identifyAdmin(headers: Readonly<Record<string, string>>) {
  const project_id = headers["x-api-key"] ?? "";
  const actor = {
    ...makeOperator(`key-${project_id}`),
    kind: "key" as const,
    organization_id: project_id,
    project_id,
  };
  return { actor, expires_at_ms: null };
}

beforeAll(async () => {
  test_engine = await openTestEngine();
  api = makeTestApi(test_engine.engine, { authenticate: identifyAdmin, now_ms: () => NOW });
  await storeCalls(test_engine.engine, [
    makeCall("alpha", NOW - 60_000, 6.25),
    makeCall("beta", NOW - 60_000, 100),
  ]);
});
afterAll(() => test_engine.close());

function send(method: string, path: string, body?: unknown, project = "alpha") {
  const headers = { "content-type": "application/json" };
  const init = body === undefined ? { method } : { method, headers, body: JSON.stringify(body) };
  return api.ask(path, project, init);
}

async function create(path: string, body: object, project = "alpha") {
  const answer = await send("POST", path, body, project);
  expect(answer.status, answer.text).toBe(201);
  return answer.json as { budget_id: string; rule_id: string };
}

describe("a budget", () => {
  test("is made with the thresholds and the month that nobody has to name, and stands at once", async () => {
    const { status, json } = await send("POST", "/v1/budgets", { name: "Team", amount: "12.50" });
    expect(status).toBe(201);
    const budget = readStrictly(BudgetAnswer, json);
    expect(budget).toMatchObject({
      project_id: "alpha",
      unit: "usd",
      period: "month",
      tz: "UTC",
      spent: "6.25",
      share: 0.5,
      remaining: "6.25",
      is_complete: true,
      window: { start: new Date(Date.UTC(new Date(NOW).getUTCFullYear(), 5, 1)).toISOString() },
    });
    expect(budget.thresholds.map(({ is_crossed }) => is_crossed)).toEqual([
      true,
      false,
      false,
      false,
    ]);
    expect(budget.thresholds.map(({ kind, percent }) => ({ kind, percent }))).toEqual(
      DEFAULT_THRESHOLDS,
    );
    expect(budget.coverage.calls).toBe(1);
    const { json: read } = await send("GET", `/v1/budgets/${budget.budget_id}`);
    expect(read).toEqual(json);
  });

  test("is changed field by field, and each act is in the audit log", async () => {
    const { budget_id } = await create("/v1/budgets", { name: "Change me", amount: "10" });
    const changed = await send("PATCH", `/v1/budgets/${budget_id}`, {
      amount: "5",
      tz: "Asia/Tokyo",
    });
    expect(readStrictly(BudgetAnswer, changed.json)).toMatchObject({
      name: "Change me",
      amount: "5",
      tz: "Asia/Tokyo",
      share: 1.25,
    });
    expect((await send("DELETE", `/v1/budgets/${budget_id}`)).status).toBe(204);
    expect((await send("GET", `/v1/budgets/${budget_id}`)).status).toBe(404);
    const acts = api.audited.filter(({ object_id }) => object_id === budget_id);
    expect(acts.map(({ detail }) => Object.keys(detail ?? {}))).toEqual([
      ["created"],
      ["changed"],
      ["removed"],
    ]);
  });

  test.each([
    [{ amount: "0" }, "amount"],
    [{ amount: "-1" }, "amount"],
    [{ amount: "1e3" }, "amount"],
    [{ amount: 12 }, "amount"],
    [{ amount: "1.5", unit: "calls" }, "amount"],
    [{ period: "fortnight" }, "period"],
    [{ tz: "Mars/Olympus" }, "tz"],
    [{ thresholds: [] }, "thresholds"],
    [{ thresholds: [{ kind: "actual", percent: 0 }] }, "thresholds.0.percent"],
    [{ filters: { colour: ["red"] } }, "filters"],
    [{ filters: { model: [] } }, "filters.model"],
    [{ channel_ids: ["somebody-elses"] }, "channel_ids"],
    [{ spent: "0" }, "spent"],
    [{ project_id: "beta" }, "project_id"],
  ])("%j is refused and names its field", async (change, path) => {
    const { status, json } = await send("POST", "/v1/budgets", {
      name: "x",
      amount: "1",
      ...change,
    });
    expect(status).toBe(400);
    const { error } = json as { error: { details: { path: string }[] } };
    expect(error.details.map((detail) => detail.path.split(".").slice(0, 3).join("."))[0]).toMatch(
      new RegExp(`^${path}`),
    );
  });

  // Dropped silently, the budget would be one of the whole project.
  test.each(['{"__proto__":["a"]}', '{"constructor":["a"]}'])(
    "no filter is ignored: %s",
    async (filters) => {
      const headers = { "content-type": "application/json" };
      const body = `{"name":"Odd","amount":"1","filters":${filters}}`;
      const answer = await api.ask("/v1/budgets", "alpha", { method: "POST", headers, body });
      expect([answer.status, answer.json]).toMatchObject([
        400,
        { error: { code: "invalid_body" } },
      ]);
    },
  );

  test.each(["a\u0000b", "\ud800", "two\nlines"])(
    "a name is one line of text: %j",
    async (name) => {
      const { status } = await send("POST", "/v1/budgets", { name, amount: "1" });
      expect(status).toBe(400);
    },
  );

  test("a change that would make it invalid is refused as a whole", async () => {
    const { budget_id } = await create("/v1/budgets", { name: "Whole", amount: "1.5" });
    expect((await send("PATCH", `/v1/budgets/${budget_id}`, { unit: "tokens" })).status).toBe(400);
    const { json } = await send("GET", `/v1/budgets/${budget_id}`);
    expect(json).toMatchObject({ unit: "usd", amount: "1.5" });
  });

  test("of another project is as none, in every method", async () => {
    const { budget_id } = await create("/v1/budgets", { name: "Beta", amount: "10" }, "beta");
    for (const [method, body] of [["GET"], ["PATCH", { amount: "1" }], ["DELETE"]] as const) {
      expect((await send(method, `/v1/budgets/${budget_id}`, body)).status).toBe(404);
    }
    const { json } = await send("GET", "/v1/budgets");
    expect(JSON.stringify(json)).not.toContain(budget_id);
    const { budgets } = readStrictly(
      BudgetsAnswer,
      (await send("GET", "/v1/budgets", undefined, "beta")).json,
    );
    expect(budgets.map(({ spent }) => spent)).toEqual(["100"]);
  });

  test("is listed page by page", async () => {
    const ids: string[] = [];
    let path = "/v1/budgets?limit=1";
    for (;;) {
      const { budgets, next_cursor } = readStrictly(BudgetsAnswer, (await send("GET", path)).json);
      ids.push(...budgets.map(({ budget_id }) => budget_id));
      if (next_cursor === null) break;
      path = `/v1/budgets?limit=1&cursor=${next_cursor}`;
    }
    const all = readStrictly(BudgetsAnswer, (await send("GET", "/v1/budgets")).json).budgets;
    expect(ids).toEqual(all.map(({ budget_id }) => budget_id));
    expect(ids.length).toBeGreaterThan(1);
  });
});

describe("an alert rule", () => {
  const RULE = {
    name: "Dear hour",
    measure: "cost_usd",
    condition: { kind: "threshold", direction: "above", value: 5, window_minutes: 60 },
  };

  test("tells what it finds at the moment, before it was ever looked at", async () => {
    const { json } = await send("POST", "/v1/alerts", RULE);
    expect(readStrictly(AlertRuleDetail, json)).toMatchObject({
      state: null,
      for_minutes: 0,
      cooldown_minutes: 60,
      current: { value: 6.25, baseline: null, is_breached: true },
    });
  });

  test("tells since when it fires once it was looked at", async () => {
    const { rule_id } = await create("/v1/alerts", RULE);
    const world = new AlertWorld(test_engine.engine, NOW);
    const body = api.state.find("alert_rule", rule_id)?.body;
    if (body === undefined) throw new Error("the rule was not stored");
    const scope = { organization_id: "alpha", project_id: "alpha" };
    await world.state.put("alert_rule", rule_id, scope, body);
    await world.look();
    const { json } = await send("GET", `/v1/alerts/${rule_id}`);
    const { state } = readStrictly(AlertRuleDetail, json);
    expect(state).toMatchObject({ status: "firing", since: new Date(NOW).toISOString() });
    expect(state?.notice_id).toMatch(/^[0-9a-f]{32}$/);
    const { alerts } = readStrictly(AlertRulesAnswer, (await send("GET", "/v1/alerts")).json);
    expect(alerts.find((alert) => alert.rule_id === rule_id)?.state).toEqual(state);
  });

  test.each(MEASURE_PATHS)("can watch %s", async (measure) => {
    const condition = { kind: "threshold", direction: "above", value: 1e15, window_minutes: 5 };
    const answer = await send("POST", "/v1/alerts", { name: "any", measure, condition });
    expect(answer.status, answer.text).toBe(201);
    const { rule_id, current } = readStrictly(AlertRuleDetail, answer.json);
    expect([null, false]).toContain(current.is_breached);
    await send("DELETE", `/v1/alerts/${rule_id}`);
  });

  test.each([
    [{ measure: "happiness" }],
    [{ measure: "duration" }],
    [{ measure: "duration.p42_ns" }],
    [{ measure: "__proto__" }],
    [{ condition: { kind: "threshold", direction: "above", value: "5", window_minutes: 60 } }],
    [{ condition: { kind: "threshold", direction: "above", value: 5, window_minutes: 0 } }],
    [{ condition: { kind: "change", direction: "up", percent: 50, window_minutes: 20 } }],
    [
      {
        condition: {
          kind: "change",
          direction: "up",
          percent: 50,
          window_minutes: 15,
          baseline_count: 99,
        },
      },
    ],
    [{ condition: { kind: "sql", query: "SELECT 1" } }],
    [{ for_minutes: -1 }],
  ])("%j is refused", async (change) => {
    const { status } = await send("POST", "/v1/alerts", { ...RULE, ...change });
    expect(status).toBe(400);
  });

  test("is changed and removed, and one of another project is as none", async () => {
    const { rule_id } = await create("/v1/alerts", RULE);
    const silence = { condition: { kind: "silence", window_minutes: 30 } };
    const { json } = await send("PATCH", `/v1/alerts/${rule_id}`, silence);
    expect(readStrictly(AlertRuleDetail, json).condition).toEqual({
      kind: "silence",
      window_minutes: 30,
      baseline: "days",
      baseline_count: 7,
    });
    for (const [method, body] of [["GET"], ["PATCH", silence], ["DELETE"]] as const) {
      expect((await send(method, `/v1/alerts/${rule_id}`, body, "beta")).status).toBe(404);
    }
    expect((await send("DELETE", `/v1/alerts/${rule_id}`)).status).toBe(204);
    expect(
      AlertRuleAnswer.safeParse((await send("GET", `/v1/alerts/${rule_id}`)).json).success,
    ).toBe(false);
  });
});

test("who may only read sees budgets and rules and changes none", async () => {
  const { app, state } = makeTestApi(test_engine.engine, { now_ms: () => NOW });
  await expect.poll(() => state.find("project", "alpha")).toBeDefined();
  const ask = (method: string, path: string) =>
    app.request(path, {
      method,
      headers: { "x-api-key": "key-alpha", "content-type": "application/json" },
      ...(method === "GET" ? {} : { body: "{}" }),
    });
  for (const path of ["/v1/budgets", "/v1/alerts", "/v1/channels"]) {
    expect((await ask("GET", path)).status).toBe(200);
    expect((await ask("POST", path)).status).toBe(403);
    expect((await ask("DELETE", `${path}/x`)).status).toBe(403);
  }
});
