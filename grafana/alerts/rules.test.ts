/**
 * The alert rules as Grafana gets them: the file parsed, its statements asked of a ledger made to set some of
 * them off, and everything it names looked up.
 */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { makeCollectorMetrics } from "../../collector/metrics.ts";
import { writeSamples } from "../../collector/samples.ts";
import { Sampler } from "../../collector/telemetry/samples.ts";
import type { Span } from "../../schemas/span.ts";
import { openTestEngine, type TestEngine } from "../../test/support/engine.ts";
import { insertSpans } from "../../test/support/ledger.ts";
import { makeRandom } from "../../test/support/random.ts";
import { byClass, makeSpan } from "../../test/support/span.ts";
import { UIDS } from "../dashboard.ts";
import { expandTimeMacros } from "../macros.ts";
import { DATASOURCE_UID } from "../query.ts";
import { DASHBOARDS } from "../registry.ts";
import { ALERT_FILE, FOLDER, isAlertFileFresh, renderAlerts } from "./file.ts";
import { ALERT_RULES } from "./rules.ts";
import { THRESHOLDS } from "./thresholds.ts";

interface Model {
  readonly rawSql?: string;
  readonly expression?: string;
  readonly conditions?: readonly {
    readonly evaluator: { readonly type: "gt" | "lt"; readonly params: readonly [number] };
  }[];
}

interface FileRule {
  readonly uid: string;
  readonly title: string;
  readonly condition: string;
  readonly for: string;
  readonly keepFiringFor: string;
  readonly dashboardUid: string;
  readonly panelId: number;
  readonly noDataState: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly data: readonly {
    readonly refId: string;
    readonly datasourceUid: string;
    readonly relativeTimeRange: { readonly from: number; readonly to: number };
    readonly model: Model;
  }[];
}

const FILE = parse(readFileSync(ALERT_FILE, "utf8")) as {
  apiVersion: number;
  groups: { orgId: number; name: string; folder: string; interval: string; rules: FileRule[] }[];
};
const RULES = FILE.groups.flatMap(({ rules }) => rules);

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** In the middle of an hour, a day and a month. */
const NOW_MS = Date.UTC(2026, 9, 20, 14, 30);
const random = makeRandom(4);
let test_engine: TestEngine;

/** So many calls of a project that cost so much each, US dollars, some time before now. */
function makeCalls(
  project_id: string,
  count: number,
  usd: number,
  before_ms: number,
  changes: Partial<Span> = {},
): Span[] {
  return Array.from({ length: count }, () =>
    makeSpan({
      project_id,
      trace_id: random.bytes(16),
      span_id: random.bytes(8),
      start_ns: BigInt(NOW_MS - before_ms) * 1_000_000n + BigInt(random.whole(1_000_000)),
      cost: byClass({
        input_uncached: BigInt(Math.round(usd * 1e6)) * 1_000_000n,
        output_text: 0n,
      }),
      user_id: "",
      ...changes,
    }),
  );
}

const MINUTE_MS = 60_000;
const SPANS: Span[] = [
  // alpha: 60 dollars in the last hour, 26 of them in one session.
  ...makeCalls("alpha", 2, 17, 20 * MINUTE_MS),
  ...makeCalls("alpha", 2, 13, 30 * MINUTE_MS, { session_id: "it's long" }),
  // beta: 40, in a session of 15; in the last full hour 12, and 2 on each of seven days before.
  ...makeCalls("beta", 1, 25, 25 * MINUTE_MS),
  ...makeCalls("beta", 1, 15, 25 * MINUTE_MS, { session_id: "short" }),
  ...makeCalls("beta", 1, 12, 80 * MINUTE_MS),
  ...[1, 2, 3, 4, 5, 6, 7].flatMap((day) => makeCalls("beta", 1, 2, 80 * MINUTE_MS + day * DAY_MS)),
  // gamma: 12 in that hour, and 5 before; on three of the days nothing, which the median does not see.
  ...makeCalls("gamma", 1, 12, 85 * MINUTE_MS),
  ...[1, 2, 3, 5].flatMap((day) => makeCalls("gamma", 1, 5, 85 * MINUTE_MS + day * DAY_MS)),
  // delta: 6 where there was hardly anything, and on other hours much.
  ...makeCalls("delta", 1, 6, 85 * MINUTE_MS),
  ...[1, 2, 3, 4, 5].flatMap((day) => makeCalls("delta", 1, 50, 3 * HOUR_MS + day * DAY_MS)),
  // epsilon: 30 calls of a provider, 6 failed, 3 of these by 429; a second one has too few calls.
  ...makeCalls("epsilon", 24, 0, 10 * MINUTE_MS, { provider: "openai", response_model: "quick" }),
  ...makeCalls("epsilon", 3, 0, 10 * MINUTE_MS, { status: "error", http_status: 429 }),
  ...makeCalls("epsilon", 3, 0, 10 * MINUTE_MS, { status: "error", http_status: 500 }),
  ...makeCalls("epsilon", 19, 0, 10 * MINUTE_MS, { provider: "few", status: "error" }),
  ...makeCalls("epsilon", 25, 0, 11 * MINUTE_MS, {
    provider: "slow",
    response_model: "slow",
    duration_ns: 90_000_000_000n,
  }),
  // zeta: a model without a price, and one of too few calls.
  ...makeCalls("zeta", 15, 0, 40 * MINUTE_MS, {
    response_model: "new",
    cost: byClass({}),
    cost_status: "unpriced",
    price_id: "",
  }),
  ...makeCalls("zeta", 10, 0, 40 * MINUTE_MS, {
    response_model: "rare",
    cost: byClass({}),
    cost_status: "unpriced",
    price_id: "",
  }),
];

/** Budgets: name, project, dollars, and what else they say. */
const BUDGETS: readonly (readonly [string, string, number, Record<string, unknown>])[] = [
  ["alpha's", "alpha", 90, {}],
  ["wide", "alpha", 1_000, {}],
  ["filtered", "alpha", 1, { filters: { user_id: ["ann"] } }],
  ["off", "alpha", 1, { is_enabled: false }],
  ["daily", "alpha", 1, { period: "day" }],
];

async function seedBudgets(): Promise<void> {
  for (const [index, [name, project_id, amount, changes]] of BUDGETS.entries()) {
    const body = {
      budget_id: name,
      project_id,
      name,
      amount: String(amount),
      unit: "usd",
      period: "month",
      tz: "UTC",
      filters: {},
      tags: [],
      is_enabled: true,
      ...changes,
    };
    await test_engine.engine.command(
      "INSERT INTO state_objects (kind, object_id, project_id, organization_id, body, ver) VALUES ('budget', {name:String}, {project_id:String}, 'o', {body:String}, {ver:UInt64})",
      { name, project_id, body: JSON.stringify(body), ver: index + 1 },
    );
  }
}

beforeAll(async () => {
  test_engine = await openTestEngine();
  await insertSpans(test_engine.engine, SPANS, 1);
  await seedBudgets();
});
afterAll(() => test_engine.close());

type Row = Readonly<Record<string, string | number>>;

/** What a rule says at a moment: each row with its number, and whether it fires. */
async function evaluate(uid: string, now_ms = NOW_MS): Promise<{ row: Row; fires: boolean }[]> {
  const rule = RULES.find((one) => one.uid === uid);
  const query = rule?.data[0];
  const evaluator = rule?.data[1]?.model.conditions?.[0]?.evaluator;
  if (rule === undefined || query === undefined || evaluator === undefined) throw new Error(uid);
  const { from, to } = query.relativeTimeRange;
  const range = { from_ms: now_ms - from * 1000, to_ms: now_ms - to * 1000, interval_ms: 60_000 };
  const rows = await test_engine.engine.query<Row>(
    expandTimeMacros(query.model.rawSql ?? "", range),
  );
  return rows.map((row) => {
    const value = Number(row["value"]);
    const [limit] = evaluator.params;
    return { row, fires: evaluator.type === "gt" ? value > limit : value < limit };
  });
}

/** The texts of the rows that fire, and their numbers. */
async function listFiring(uid: string): Promise<(readonly [string, number])[]> {
  const rows = await evaluate(uid);
  return rows
    .filter(({ fires }) => fires)
    .map(({ row: { value, ...labels } }) => [Object.values(labels).join(" "), Number(value)]);
}

describe("a rule fires for those that it is about, and tells the number", () => {
  const october = (14.5 / 24 + 19) / 31;
  test.each([
    ["spanledger-hourly-spend", [["alpha", 60]]],
    ["spanledger-runaway-session", [["alpha it's long", 26]]],
    [
      "spanledger-spend-spike",
      [
        // In the same hour it had nothing: compared with a cent.
        ["delta", 600],
        ["beta", 6],
      ],
    ],
    ["spanledger-projected-month", [["alpha alpha's", 60 / october / 90]]],
    ["spanledger-unpriced", [["zeta openai new", 15]]],
    ["spanledger-error-ratio", [["epsilon openai", 0.2]]],
    ["spanledger-rate-limited", [["epsilon openai", 0.1]]],
    // The middle of the bucket of the histogram, 2.2 % off at most.
    ["spanledger-latency", [["epsilon slow", 90]]],
  ] as const)("%s", async (uid, wanted) => {
    const firing = await listFiring(uid);
    expect(firing.map(([labels]) => labels)).toEqual(wanted.map(([labels]) => labels));
    for (const [index, [, value]] of firing.entries()) {
      const off = value / (wanted[index]?.[1] ?? 0) - 1;
      expect(Math.abs(off)).toBeLessThan(uid === "spanledger-latency" ? 0.03 : 1e-9);
    }
  });

  test("and others are looked at and do not fire", async () => {
    const spikes = await evaluate("spanledger-spend-spike");
    const gamma = spikes.find(({ row }) => row["project"] === "gamma");
    // Of seven days three had nothing: the fourth of 0 0 0 5 5 5 5.
    expect(gamma).toMatchObject({ row: { value: 12 / 5 }, fires: false });
    const hourly = await evaluate("spanledger-hourly-spend");
    expect(hourly.find(({ row }) => row["project"] === "beta")?.fires).toBe(false);
    const few = await evaluate("spanledger-error-ratio");
    expect(few.map(({ row }) => row["provider"])).not.toContain("few");
    const budgets = await evaluate("spanledger-projected-month");
    expect(budgets.map(({ row }) => row["budget"])).toEqual(["alpha's", "wide"]);
  });

  test("an empty hour gives no row, so the rule is quiet", async () => {
    for (const { uid } of ALERT_RULES.filter(({ no_data }) => no_data === "OK")) {
      expect(await evaluate(uid, Date.UTC(2020, 0, 20))).toEqual([]);
    }
  });
});

describe("the rules of collectors", () => {
  const now_ms = Date.now();

  test("silence: no row without a collector, which alerts; 0 accepted fires, 1 does not", async () => {
    expect(await evaluate("spanledger-silence", now_ms)).toEqual([]);
    expect(RULES.find(({ uid }) => uid === "spanledger-silence")?.noDataState).toBe("Alerting");
    const metrics = makeCollectorMetrics();
    metrics.build_info.set({ version: "1", engine: "embedded" }, 1);
    const sampler = new Sampler(metrics.registry);
    const sample = async (ago_ms: number) => {
      const { rows } = await sampler.take(now_ms - ago_ms);
      await writeSamples(test_engine.engine, "one", rows);
    };
    await sample(120_000);
    expect(await evaluate("spanledger-silence", now_ms)).toEqual([
      { row: { value: 0 }, fires: true },
    ]);
    metrics.accepted_items.inc({ signal: "logs" }, 1);
    await sample(60_000);
    expect(await evaluate("spanledger-silence", now_ms)).toEqual([
      { row: { value: 1 }, fires: false },
    ]);
    // What is refused, of whatever kind, is added up.
    expect(await evaluate("spanledger-drops", now_ms)).toMatchObject([{ fires: false }]);
    metrics.rejected_items.inc({ signal: "traces", reason: "too_old" }, 60);
    metrics.refused_requests.inc({ signal: "traces", transport: "http", reason: "no_room" }, 40);
    metrics.set_aside_records.inc(1);
    await sample(30_000);
    expect(await evaluate("spanledger-drops", now_ms)).toEqual([
      { row: { value: 101 }, fires: true },
    ]);
  });
});

describe("the file", () => {
  test("is what the source gives, and the source gives it again", () => {
    expect(isAlertFileFresh(), "run npm run grafana").toBe(true);
    expect(renderAlerts()).toBe(renderAlerts());
  });

  test("has every rule once, in one folder, of known data sources", () => {
    expect(RULES.map(({ uid }) => uid).toSorted()).toEqual(
      ALERT_RULES.map(({ uid }) => uid).toSorted(),
    );
    expect(RULES.length).toBeGreaterThanOrEqual(10);
    expect(new Set(RULES.map(({ uid }) => uid)).size).toBe(RULES.length);
    expect(new Set(RULES.map(({ title }) => title)).size).toBe(RULES.length);
    for (const group of FILE.groups) {
      expect(group).toMatchObject({ orgId: 1, folder: FOLDER });
      expect(group.interval).toMatch(/^\d+m$/);
    }
    const provider = parse(
      readFileSync(new URL("../provisioning/dashboards/spanledger.yaml", import.meta.url), "utf8"),
    ) as { providers: { folder: string }[] };
    expect(provider.providers.map(({ folder }) => folder)).toEqual([FOLDER]);
    for (const { data } of RULES) {
      expect(data.map(({ datasourceUid }) => datasourceUid)).toEqual([DATASOURCE_UID, "__expr__"]);
    }
  });

  test.each(RULES.map((rule) => [rule.uid, rule] as const))("%s is whole", (uid, rule) => {
    expect(uid).toMatch(/^[a-z0-9-]{1,40}$/);
    expect(rule.condition).toBe(rule.data.at(-1)?.refId);
    expect(rule.data.at(-1)?.model.expression).toBe(rule.data[0]?.refId);
    for (const duration of [rule.for, rule.keepFiringFor]) expect(duration).toMatch(/^\d+[smh]$/);
    expect(rule.labels).toMatchObject({ product: "spanledger" });
    // Grafana replaces these from its environment.
    expect(JSON.stringify(rule.labels)).not.toContain("$");
    expect(JSON.stringify(rule.annotations)).not.toContain("${");
    const words = Object.values(rule.annotations).join("\n");
    expect(words.split("{{").length).toBe(words.split("}}").length);
    const dashboard = DASHBOARDS.find(({ name }) => UIDS[name] === rule.dashboardUid);
    const panels = dashboard?.rows.flatMap(({ panels }) => panels.map(({ spec }) => spec.id));
    expect(panels, `${rule.dashboardUid} has no panel ${rule.panelId}`).toContain(rule.panelId);
  });

  test.each(RULES.map((rule) => [rule.uid, rule] as const))(
    "%s asks with macros of the backend alone, and labels of its texts are rows' columns",
    async (uid, rule) => {
      const sql = rule.data[0]?.model.rawSql ?? "";
      expect(sql).not.toMatch(/\$\{|\$__conditionalAll|\$__adHocFilters/);
      const range = { from_ms: NOW_MS - HOUR_MS, to_ms: NOW_MS, interval_ms: 60_000 };
      expect(expandTimeMacros(sql, range)).not.toContain("$");
      const [first] = await evaluate(uid);
      const used = [...(rule.annotations["summary"] ?? "").matchAll(/\$labels\.(\w+)/g)];
      for (const [, name = ""] of used) expect(Object.keys(first?.row ?? {})).toContain(name);
      const texts = Object.entries(first?.row ?? {}).filter(([name]) => name !== "value");
      for (const [, value] of texts) expect(typeof value).toBe("string");
    },
  );

  test("every threshold is used, and the guide has it", () => {
    const page = readFileSync(new URL("../../docs/guides/grafana.md", import.meta.url), "utf8");
    // The formatter pads the cells of tables.
    const guide = page.replaceAll(/ +/g, " ");
    const source = readFileSync(new URL("./rules.ts", import.meta.url), "utf8");
    for (const { title } of ALERT_RULES) expect(guide).toContain(`| ${title} |`);
    for (const [name, { value, unit, of }] of Object.entries(THRESHOLDS)) {
      expect(source).toContain(`THRESHOLDS.${name}.value`);
      expect(guide).toContain(`| \`${name}\` | ${value} ${unit} | ${of} |`);
    }
  });
});

test("contact points are opt-in: by default there are none, and the webhook's address cannot be empty", () => {
  const read = (path: string): unknown =>
    parse(readFileSync(new URL(path, import.meta.url), "utf8"));
  expect(read("../provisioning/alerting/contact-points.yaml")).toEqual({ apiVersion: 1 });
  const webhook = read("../contact-points/webhook.yaml") as {
    contactPoints: { name: string; receivers: { settings: { url: string } }[] }[];
    policies: { routes: { receiver: string; object_matchers: string[][] }[] }[];
  };
  const [point] = webhook.contactPoints;
  expect(point?.receivers[0]?.settings.url).toBe("$SPANLEDGER_ALERT_WEBHOOK_URL");
  const [route] = webhook.policies[0]?.routes ?? [];
  expect(route).toMatchObject({
    receiver: point?.name,
    object_matchers: [["product", "=", "spanledger"]],
  });
  const compose = read("../../docker-compose.alerts.yml") as {
    services: { grafana: { environment: Record<string, string>; volumes: string[] } };
  };
  const { environment, volumes } = compose.services.grafana;
  expect(environment["SPANLEDGER_ALERT_WEBHOOK_URL"]).toMatch(/^\$\{\w+:-http.+\}$/);
  expect(volumes).toEqual([
    "./grafana/contact-points/webhook.yaml:/etc/grafana/provisioning/alerting/contact-points.yaml:ro",
  ]);
});
