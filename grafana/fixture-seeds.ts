/**
 * Rows of the tables beside the calls, for the tests of the dashboards: budgets, notices, metrics of
 * clients, prices, what collectors tell of themselves, what was set aside. One line in `SEEDS` for each.
 *
 * Invariant: there are rows in the last hour and before.
 */
import type { Engine } from "../clickhouse/engine.ts";
import { addProcessMetrics, makeCollectorMetrics } from "../collector/metrics.ts";
import { seedAssistants, seedContent } from "./dashboards/fixture-agents.ts";
import { Budget } from "../schemas/alerting.ts";
import { DAY_MS, HOUR_MS, NOW_MS, type Seed } from "./fixture.ts";

const text = (value: string) => `'${value.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
const time = (unix_ms: number) => `fromUnixTimestamp64Milli(${unix_ms}, 'UTC')`;

async function insert(
  engine: Engine,
  table: string,
  columns: readonly string[],
  rows: readonly (readonly string[])[],
): Promise<void> {
  const values = rows.map((row) => `(${row.join(", ")})`).join(", ");
  await engine.command(`INSERT INTO ${table} (${columns.join(", ")}) VALUES ${values}`);
}

/** Budgets of each unit: of everything, of a model, of a tag, and one in a zone of its own. */
const BUDGETS = [
  { name: "All of it", amount: "25.00", unit: "usd", period: "month", tz: "UTC" },
  {
    name: "o'brien's models",
    amount: "1.5",
    unit: "usd",
    period: "week",
    tz: "UTC",
    filters: { model: ["it's", "gpt-4o-mini"] },
  },
  { name: "Tokens of a day", amount: "500000", unit: "tokens", period: "day", tz: "UTC" },
  {
    name: "Calls of a team",
    amount: "1000",
    unit: "calls",
    period: "quarter",
    tz: "UTC",
    tags: [{ key: "team", values: ["b'"] }],
  },
  { name: "In Berlin", amount: "10", unit: "usd", period: "month", tz: "Europe/Berlin" },
] as const;

const CREATED_AT = new Date(NOW_MS - 90 * DAY_MS).toISOString();

/** The budgets as they are stored. */
export const SEEDED_BUDGETS: readonly Budget[] = BUDGETS.map((budget, index) =>
  Budget.parse({
    budget_id: `budget-${index}`,
    project_id: "alpha",
    filters: {},
    tags: [],
    thresholds: [{ kind: "actual", percent: 80 }],
    channel_ids: [],
    is_enabled: true,
    created_at: CREATED_AT,
    updated_at: CREATED_AT,
    ...budget,
  }),
);

export const seedBudgets: Seed = (engine) =>
  insert(
    engine,
    "state_objects",
    ["kind", "object_id", "organization_id", "project_id", "body", "ver", "is_deleted"],
    SEEDED_BUDGETS.map((budget) => {
      const words = ["budget", budget.budget_id, "alpha", "alpha", JSON.stringify(budget)];
      return [...words.map((word) => text(word)), "1", "0"];
    }),
  );

const seedNotices: Seed = async (engine) => {
  const times = [NOW_MS - HOUR_MS / 2, NOW_MS - 5 * DAY_MS];
  const kinds = ["budget_threshold", "alert_firing"];
  await insert(
    engine,
    "alert_notices",
    ["project_id", "notice_id", "kind", "subject_id", "created_at", "channel_ids", "body"],
    times.flatMap((at, index) =>
      kinds.map((kind) => [
        "'alpha'",
        text(`notice-${kind}-${index}`),
        text(kind),
        "'budget-0'",
        time(at),
        "['channel-1']",
        text(JSON.stringify({ kind, title: "It's 80 % of All of it", name: "All of it" })),
      ]),
    ),
  );
  await insert(
    engine,
    "alert_deliveries",
    [
      "project_id",
      "attempted_at",
      "notice_id",
      "channel_id",
      "attempt",
      "kind",
      "subject_id",
      "channel_kind",
      "duration_ms",
      "outcome",
      "status_code",
      "error",
    ],
    times.map((at, index) => [
      "'alpha'",
      time(at),
      text(`notice-budget_threshold-${index}`),
      "'channel-1'",
      "1",
      "'budget_threshold'",
      "'budget-0'",
      "'webhook'",
      "120",
      index === 0 ? "'delivered'" : "'gave_up'",
      index === 0 ? "200" : "500",
      index === 0 ? "''" : "'status'",
    ]),
  );
};

const seedMetrics: Seed = (engine) =>
  insert(
    engine,
    "usage_metric_points",
    [
      "project_id",
      "metric",
      "series",
      "start_ts",
      "ts",
      "temporality",
      "kind",
      "token_class",
      "value",
      "provider",
      "model",
      "service_name",
      "user_id",
      "session_id",
      "dialect",
    ],
    [NOW_MS - HOUR_MS / 2, NOW_MS - 3 * DAY_MS].flatMap((at, index) =>
      (["tokens", "cost_usd", "calls"] as const).map((kind, series) => [
        "'alpha'",
        text(`claude_code.${kind}`),
        String(10 * index + series),
        `toDateTime64(${time(at - 60_000)}, 9, 'UTC')`,
        `toDateTime64(${time(at)}, 9, 'UTC')`,
        "'delta'",
        text(kind),
        kind === "tokens" ? "'input'" : "''",
        String(17 * (series + 1)),
        "'anthropic'",
        "'claude-sonnet-4'",
        "'claude-code'",
        "'ann'",
        "'run-1'",
        "'claude-code'",
      ]),
    ),
  );

const seedPriceRuns: Seed = (engine) =>
  insert(
    engine,
    "price_runs",
    [
      "run_id",
      "started_at",
      "state",
      "fingerprint",
      "calls",
      "calls_changed",
      "cost_before",
      "cost_after",
      "ver",
    ],
    [NOW_MS - HOUR_MS / 2, NOW_MS - 9 * DAY_MS].map((at, index) => [
      text(`run-${index}`),
      time(at),
      "'finished'",
      "'abc'",
      "100",
      "7",
      "toDecimal128('12.5', 12)",
      "toDecimal128('12.75', 12)",
      "1",
    ]),
  );

/** Every metric there is, with one label value, each quarter of an hour of the last day and a half. */
const seedSamples: Seed = async (engine) => {
  const metrics = makeCollectorMetrics();
  addProcessMetrics(metrics);
  const names = metrics.registry.getMetricsAsArray().flatMap((metric) => {
    const { name, type, labelNames } = metric as unknown as {
      name: string;
      type: string;
      labelNames?: readonly string[];
    };
    const labels = (labelNames ?? []).map((label) => [label, LABEL_VALUES[label] ?? "x"] as const);
    if (type !== "histogram")
      return [{ name, labels, kind: type === "counter" ? "counter" : "gauge", value: 3 }];
    const buckets = ["0.01", "0.1", "1", "+Inf"].map((le, index) => ({
      name: `${name}_bucket`,
      labels: [...labels, ["le", le] as const],
      kind: "counter",
      value: [0, 2, 5, 6][index] ?? 0,
    }));
    const sum = { name: `${name}_sum`, labels, kind: "counter", value: 1.5 };
    return [...buckets, sum, { ...sum, name: `${name}_count`, value: 6 }];
  });
  const times = Array.from({ length: 24 }, (_, index) => NOW_MS - index * 900_000 - 5_000);
  await insert(
    engine,
    "collector_samples",
    ["sampled_at", "instance_id", "name", "labels", "kind", "value"],
    times.flatMap((at) =>
      names.map(({ name, labels, kind, value }) => [
        time(at),
        "'one'",
        text(name),
        `map(${labels
          .flat()
          .map((word) => text(word))
          .join(", ")})`,
        text(kind),
        String(value),
      ]),
    ),
  );
};

/** Words that panels look for in labels. */
const LABEL_VALUES: Readonly<Record<string, string>> = {
  signal: "traces",
  transport: "http",
  version: "1.2.3",
  engine: "embedded",
};

const seedSetAside: Seed = (engine) =>
  insert(
    engine,
    "set_aside_items",
    [
      "project_id",
      "received_at",
      "signal",
      "reason",
      "trace_id",
      "span_id",
      "series",
      "service_name",
      "name",
      "sent_time_ns",
    ],
    [NOW_MS - HOUR_MS / 2, NOW_MS - 2 * DAY_MS].map((at, index) => [
      "'alpha'",
      time(at),
      "'span'",
      "'too_old'",
      "repeat('a', 16)",
      "repeat('b', 8)",
      String(index),
      "'checkout'",
      "'chat'",
      "1000000000000000000",
    ]),
  );

export const SEEDS: readonly Seed[] = [
  seedBudgets,
  seedNotices,
  seedMetrics,
  seedPriceRuns,
  seedSamples,
  seedSetAside,
  seedAssistants,
  seedContent,
];
