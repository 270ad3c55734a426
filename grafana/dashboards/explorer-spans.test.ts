/**
 * The numbers of the dashboards that are told from single spans: the same as those of the usage tables where
 * both know them, else as counted by hand; and that nothing written in a text box gets out of its quotes.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Attributes, type Span } from "../../schemas/span.ts";
import { insertSpans } from "../../test/support/ledger.ts";
import { byClass, makeSpan } from "../../test/support/span.ts";
import type { DashboardSpec } from "../dashboard.ts";
import {
  DAY_MS,
  HOUR_MS,
  NOW_MS,
  openSeeded,
  pick,
  type Seed,
  type SeededLedger,
} from "../fixture.ts";
import { expandPanel, type MacroRange } from "../macros.ts";
import { measureSql, usageSql } from "../usage-sql.ts";
import { AGENTS } from "./agents.ts";
import { seedAssistants } from "./fixture-agents.ts";
import { EXPLORER } from "./explorer.ts";
import { IN_PICKED_RANGE, sumsOfCalls } from "./explorer-spans.ts";
import { RELIABILITY } from "./reliability.ts";

type Row = Readonly<Record<string, unknown>>;
type Picks = Readonly<Record<string, string | readonly string[]>>;

const DAYS: MacroRange = { from_ms: NOW_MS - 30 * DAY_MS, to_ms: NOW_MS, interval_ms: 7_200_000 };
const BOXES = {
  trace_id: "",
  session_id: "",
  search: "",
  min_cost: "",
  min_duration: "",
  status: "",
  loop_calls: "20",
  seat_usd: "200",
};

/** Ids that break what quotes, escapes, encodes or expands them wrongly. */
const ODD_TEXTS = [
  "o'brien",
  "ends in a backslash\\",
  "\\') OR 1=1 --",
  "$__fromTime ${session_id} $session_id",
  "100% (really), {a:UInt8} ?",
  "ünï ☃ 模型\n; DROP TABLE spans",
];

/** Spans with their truth in the tests below, in a project of their own. */
const seedKnown: Seed = async (engine, random) => {
  const at = (offset_ms: number) => BigInt(NOW_MS - 2 * HOUR_MS + offset_ms) * 1_000_000n;
  const trace_id = random.bytes(16);
  const parent_span_id = random.bytes(8);
  const make = (offset_ms: number, changes: Partial<Span>): Span =>
    makeSpan({
      project_id: "known",
      trace_id,
      parent_span_id,
      span_id: random.bytes(8),
      start_ns: at(offset_ms),
      ...changes,
    });
  const failed = { status: "error", error_type: "RateLimitError", http_status: 429 } as const;
  const no_call: Partial<Span> = {
    tokens: byClass({}),
    cost: byClass({}),
    cost_status: "none",
    usage_status: "none",
    price_id: "",
    provider_calls: null,
    request_model: "",
    response_model: "",
  };
  const tool = (offset_ms: number, signal: "span" | "log"): Span =>
    make(offset_ms, {
      ...no_call,
      span_class: "tool",
      operation: "execute_tool",
      name: "execute_tool grep",
      session_id: "told twice",
      signal,
      attributes: new Attributes(["tool_name"], ["grep"]),
    });
  const spans = [
    make(0, {
      ...no_call,
      parent_span_id: new Uint8Array(8),
      span_id: parent_span_id,
      span_class: "structure",
      operation: "invoke_agent",
      name: "invoke_agent fixer",
      agent_name: "fixer",
      duration_ns: 60_000_000_000n,
    }),
    // Refused, tried again in vain, then answered; and one that nobody tries again.
    make(1_000, { ...failed, request_model: "a", duration_ns: 500_000_000n }),
    make(3_000, { ...failed, request_model: "a", duration_ns: 500_000_000n }),
    make(6_000, { request_model: "a", duration_ns: 10_000_000_000n }),
    make(20_000, { ...failed, error_type: "500", http_status: 500, request_model: "b" }),
    tool(30_000, "span"),
    tool(31_000, "span"),
    tool(30_001, "log"),
    ...ODD_TEXTS.map((session_id, index) =>
      make(40_000 + index, { trace_id: random.bytes(16), session_id, user_id: session_id }),
    ),
  ];
  await insertSpans(engine, spans, 9);
};

let ledger: SeededLedger;
beforeAll(async () => {
  ledger = await openSeeded([seedAssistants, seedKnown]);
});
afterAll(() => ledger.test_engine.close());

function run(sql: string, picks: Picks = {}, range = DAYS): Promise<Row[]> {
  return ledger.engine.query<Row>(expandPanel(sql, pick({ ...BOXES, ...picks }), range));
}

/** The answer to the first statement of a panel. */
function ask(spec: DashboardSpec, panel_id: number, picks: Picks = {}, range = DAYS) {
  const panels = spec.rows.flatMap(({ panels: built }) => built);
  const target = panels.find((panel) => panel.spec.id === panel_id)?.spec.targets[0];
  if (target === undefined) throw new Error(`there is no panel ${panel_id}`);
  return run(target.sql, picks, range);
}

const sum = (rows: readonly Row[], name: string) =>
  rows.reduce((total, row) => total + Number(row[name]), 0);

describe("sums over spans", () => {
  const MEASURED = {
    calls: measureSql("calls"),
    errors: measureSql("errors"),
    cost: measureSql("cost_usd"),
    input: measureSql("input_total"),
    output: measureSql("output_total"),
    cached: measureSql("tokens", "cache_read"),
    audio: measureSql("tokens", "output_audio"),
    hits: measureSql("cache_hit_share"),
    failed: measureSql("error_rate"),
    users: measureSql("unique_users"),
    sessions: measureSql("sessions"),
    a_session: measureSql("cost_per_session_usd"),
    a_user: measureSql("cost_per_user_usd"),
    a_call: measureSql("cost_per_call_usd"),
    speed: measureSql("output_tokens_per_second"),
    first_token: measureSql("ttft", "mean_ns"),
  };

  test.each([{}, { project: ["alpha"] }])(
    "are those of the usage tables, to the last digit: %o",
    async (picks) => {
      const columns = Object.entries(MEASURED).map(([name, sql]) => `${sql} AS "${name}"`);
      const spans = await run(
        `SELECT ${columns.join(", ")}
FROM (SELECT ${sumsOfCalls(Object.values(MEASURED))} FROM ledger_spans AS span WHERE ${IN_PICKED_RANGE}) AS sums`,
        picks,
      );
      expect(spans).toEqual(await run(usageSql({ select: MEASURED }), picks));
      expect(Number(spans[0]?.["calls"])).toBeGreaterThan(100);
    },
  );

  test("of traces add up to what the range has, and a filter finds no more", async () => {
    const [usage] = await run(usageSql({ select: MEASURED }));
    const [found] = await ask(EXPLORER, 1);
    expect(Number(found?.["Model calls"])).toBe(Number(usage?.["calls"]));
    expect(found?.["Spend"]).toBe(usage?.["cost"]);
    const [some] = await ask(EXPLORER, 1, { service: ["search"] });
    expect(Number(some?.["Traces"])).toBeLessThan(Number(found?.["Traces"]));
  });
});

describe("latency, errors and limits", () => {
  test("bands of latency, kinds of failures and reasons to stop add up to the calls", async () => {
    const [usage] = await run(
      usageSql({ select: { calls: measureSql("calls"), errors: measureSql("errors") } }),
    );
    const bands = await ask(RELIABILITY, 15);
    const total = bands.reduce((seen, { time: _time, ...row }) => {
      return seen + Object.values(row).reduce((more: number, value) => more + Number(value), 0);
    }, 0);
    expect(total).toBe(Number(usage?.["calls"]));
    expect(sum(await ask(RELIABILITY, 17), "Failed calls")).toBe(Number(usage?.["errors"]));
    expect(sum(await ask(RELIABILITY, 20), "Calls")).toBe(Number(usage?.["errors"]));
    expect(sum(await ask(RELIABILITY, 18), "Calls")).toBe(Number(usage?.["calls"]));
  });

  test("calls in flight are the time of the calls that lies in the range", async () => {
    const calls = await ledger.engine.query<{ start: string; duration: string }>(
      "SELECT toString(toUnixTimestamp64Nano(ts)) AS start, toString(duration_ns) AS duration FROM calls",
    );
    for (const range of [DAYS, { from_ms: NOW_MS - HOUR_MS, to_ms: NOW_MS, interval_ms: 60_000 }]) {
      const from = range.from_ms / 1000;
      const to = range.to_ms / 1000;
      const busy_s = calls.reduce((seen, { start, duration }) => {
        const begin = Number(start) / 1e9;
        if (begin < from - 3_600) return seen;
        return (
          seen + Math.max(Math.min(begin + Number(duration) / 1e9, to) - Math.max(begin, from), 0)
        );
      }, 0);
      const step_s = range.interval_ms / 1000;
      const shown = sum(await ask(RELIABILITY, 14, {}, range), "In flight") * step_s;
      expect(shown / busy_s).toBeCloseTo(1, 4);
    }
  });

  test("a failed call is tried again when its span calls the same model soon after", async () => {
    const rows = await ask(RELIABILITY, 21, { project: ["known"] });
    expect(rows.map((row) => Object.values(row).map((value) => String(value)))).toEqual([
      ["openai", "a", "2", "2", "1", "0", "1"],
      ["openai", "b", "1", "0", "0", "1", "0"],
    ]);
  });
});

describe("agents and tools", () => {
  test("a run counts its calls, its tools and its cost", async () => {
    const picks = { project: ["known"], loop_calls: "4" };
    const [row] = await ask(AGENTS, 12, picks);
    expect(row).toMatchObject({ Agent: "fixer", Succeeded: 1, "Calls a run": 4 });
    expect(Number(row?.["Runs"])).toBe(1);
    expect(row?.["Spend"]).toBe("0.000108");
    const [suspects] = await ask(AGENTS, 1, picks);
    expect(Number(suspects?.["May loop"])).toBe(1);
    expect(suspects?.["Spend a run"]).toBe(row?.["Spend a run"]);
    const [none] = await ask(AGENTS, 1, { ...picks, loop_calls: "5" });
    expect(Number(none?.["May loop"])).toBe(0);
  });

  test("a tool call that is told by a span and an event counts once", async () => {
    const rows = await ask(AGENTS, 16, { project: ["known"] });
    expect(rows.map((row) => [row["Tool"], row["Where"], Number(row["Calls"])])).toEqual([
      ["grep", "built in", 2],
    ]);
  });

  test("what assistants were allowed to do, and where their tools are", async () => {
    const rows = await ask(AGENTS, 23);
    const found = rows.map((row) =>
      [row["Tool"], row["Accepted"], row["Rejected"], row["Asked a person"]].map(String),
    );
    expect(new Set(found.map((row) => row.join(" ")))).toEqual(
      new Set(["Bash 0 2 2", "Edit 2 0 0", "mcp__docs__search 2 0 2"]),
    );
    const tools = await ask(AGENTS, 16);
    const mcp = tools.filter((row) => row["Where"] === "MCP").map((row) => row["Tool"]);
    expect(mcp).toEqual(["mcp__docs__search"]);
    const [assistant] = await ask(AGENTS, 20);
    expect(assistant).toMatchObject({ Assistant: "Claude Code", Spend: "0.0063" });
    expect(
      ["Prompts", "Sessions", "Users", "Calls"].map((name) => Number(assistant?.[name])),
    ).toEqual([2, 2, 1, 4]);
  });
});

describe("the explorer", () => {
  const KNOWN = { project: ["known"] };

  test.each(ODD_TEXTS)(
    "finds the session %j, by its id and by its words, and no other",
    async (id) => {
      const sessions = await ask(EXPLORER, 11, { ...KNOWN, session_id: id });
      expect(sessions.map((row) => row["Session"])).toEqual([id]);
      for (const picks of [{ session_id: id }, { search: id.toUpperCase() }]) {
        const found = await ask(EXPLORER, 10, { ...KNOWN, ...picks });
        expect(found.map((row) => row["Session"])).toEqual([id]);
      }
      // As anything else it finds nothing, and breaks nothing.
      for (const name of ["trace_id", "status"]) {
        expect(await ask(EXPLORER, 10, { ...KNOWN, [name]: id })).toEqual([]);
      }
      expect(await ask(EXPLORER, 20, { ...KNOWN, trace_id: id })).toEqual([]);
    },
  );

  test("finds traces by cost, duration and status", async () => {
    const all = await ask(EXPLORER, 10, KNOWN);
    expect(all).toHaveLength(1 + ODD_TEXTS.length);
    const roots = async (picks: Picks) =>
      (await ask(EXPLORER, 10, { ...KNOWN, ...picks })).map((row) => row["Root"]);
    expect(await roots({ min_cost: "0.000108" })).toEqual(["invoke_agent fixer"]);
    expect(await roots({ min_cost: "0.000109" })).toEqual([]);
    expect(await roots({ min_duration: " 59.5 " })).toEqual(["invoke_agent fixer"]);
    expect(await roots({ min_duration: "60.5" })).toEqual([]);
    expect(await roots({ status: "Error" })).toEqual(["invoke_agent fixer"]);
    expect(await roots({ status: "ok" })).toHaveLength(ODD_TEXTS.length);
  });

  test("without filters reads the newest traces only, and shows the same", async () => {
    const newest = await ask(EXPLORER, 10);
    expect(newest).toHaveLength(200);
    expect(await ask(EXPLORER, 10, { min_duration: "0" })).toEqual(newest);
  });

  test("shows a trace whatever range is picked, with the spend of its spans", async () => {
    const [trace] = await ask(EXPLORER, 10, { ...KNOWN, status: "error" });
    const picks = { trace_id: String(trace?.["Trace"]).toUpperCase() };
    const hour = { from_ms: NOW_MS - HOUR_MS, to_ms: NOW_MS, interval_ms: 60_000 };
    const drawn = await ask(EXPLORER, 20, picks, hour);
    expect(drawn).toHaveLength(8);
    expect(drawn.filter((row) => row["parentSpanID"] === "")).toHaveLength(1);
    const spans = await ask(EXPLORER, 21, picks, hour);
    expect(spans.map((row) => row["Spend so far"]).at(-1)).toBe(trace?.["Spend"]);
    expect(spans.filter((row) => row["Spend"] !== null)).toHaveLength(4);
  });

  test("a timeline is busy while something runs, and idle at its end", async () => {
    const [trace] = await ask(EXPLORER, 10, { ...KNOWN, status: "error" });
    const rows = await ask(EXPLORER, 12, { trace_id: String(trace?.["Trace"]) });
    const names = new Set(rows.map((row) => row["row"]));
    expect(names).toEqual(new Set(["agent fixer", "model gpt-4o-mini-2024-07-18", "tool grep"]));
    for (const name of names) {
      const states = rows.filter((row) => row["row"] === name).map((row) => Number(row["state"]));
      expect(states[0], String(name)).toBeGreaterThan(0);
      expect(states.at(-1), String(name)).toBe(0);
    }
    const failing = rows.filter((row) => Number(row["state"]) === 2);
    expect(failing.map((row) => row["row"])).toEqual(
      Array.from({ length: 3 }, () => "model gpt-4o-mini-2024-07-18"),
    );
  });
});
