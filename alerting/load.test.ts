/** What one look costs when there is much to look at: statements, not rules, are what it pays for. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { AlertWorld, makeCall, storeCalls } from "../test/support/alerting.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { replaceMethods } from "../test/support/ledger.ts";
import { evaluateAll } from "./evaluate.ts";
import { RuleReader } from "./rules.ts";
import type { UsageQuestion } from "./usage.ts";

const NOON = Date.UTC(new Date().getUTCFullYear(), 5, 11, 12);
const PROJECTS = 10;
const RULES = 200;
const WATCHED = ["cost_usd", "error_rate", "duration.p95_ns", "ttft.p99_ns", "calls"];
const WINDOWS = [5, 60] as const;
/**
 * Longest look, ms: 10 s is the promise for a machine that does nothing else, and tests run beside others.
 * Two hundred questions in place of the forty would take longer than that.
 */
const MAX_LOOK_MS = 60_000;

let test_engine: TestEngine;
beforeAll(async () => {
  test_engine = await openTestEngine();
});
afterAll(() => test_engine.close());

test("200 rules of ten projects are looked at with 40 questions, in seconds", async () => {
  // Rules are kept in memory only: to store four hundred takes longer than to look at them.
  const forgetful = replaceMethods(test_engine.engine, { command: async () => {} });
  const world = new AlertWorld(forgetful, NOON);
  const projects = Array.from({ length: PROJECTS }, (_, index) => `project-${index}`);
  await storeCalls(
    test_engine.engine,
    projects.map((project_id) => makeCall(project_id, NOON - 60_000, 1)),
  );
  for (let rule = 0; rule < RULES; rule += 1) {
    await world.addRule(projects[rule % PROJECTS] ?? "", {
      measure: WATCHED[Math.floor(rule / PROJECTS) % WATCHED.length] ?? "calls",
      condition: {
        kind: "threshold",
        direction: "above",
        value: 1e15,
        window_minutes: WINDOWS[Math.floor(rule / PROJECTS / WATCHED.length) % 2] ?? 5,
      },
    });
  }
  const parts = { ...world.makeParts(), engine: test_engine.engine, state: world.state };
  const asked: UsageQuestion[] = [];
  const rules = new RuleReader((question) => {
    asked.push(question);
    return parts.ask(question);
  });
  const began_ms = performance.now();
  const done = await evaluateAll({ ...parts, rules });
  const took_ms = performance.now() - began_ms;
  expect(done).toEqual({ budgets: 0, rules: RULES, notices: 0, failures: 0 });
  expect(asked.length).toBeLessThanOrEqual(40);
  expect(took_ms).toBeLessThan(MAX_LOOK_MS);
});
