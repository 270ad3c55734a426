import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { TraceTreeAnswer } from "../../schemas/api-traces.ts";
import type { Span } from "../../schemas/span.ts";
import { formatTimestamp } from "../../schemas/units.ts";
import { makeTestApi } from "../../test/support/api.ts";
import { openTestEngine } from "../../test/support/engine.ts";
import { insertSpans } from "../../test/support/ledger.ts";
import { byClass, idBytes, makeSpan as makeStoredSpan } from "../../test/support/span.ts";
import { addUsd } from "../money.ts";
import {
  costByModel,
  instantToNs,
  kindOf,
  layoutTrace,
  listAbove,
  listRows,
  openAtFirst,
  ticksOf,
  type TraceNode,
  type TraceSpan,
} from "./trace-layout.ts";

const START_NS = 1_795_000_000_000_000_000n;

interface Made {
  readonly id: string;
  readonly parent?: string;
  /** After the start of the trace, ns. */
  readonly at?: number;
  readonly takes?: number;
  readonly cost?: string;
  readonly model?: string;
  readonly failed?: boolean;
}

function makeSpan({ id, parent, at = 0, takes = 1, cost, model = "m", failed }: Made): TraceSpan {
  const call = {
    cost_usd: cost,
    cost_status: "priced",
    provider: "openai",
    response_model: model,
    request_model: null,
    status: failed === true ? "error" : "ok",
    input_total: 10,
    output_total: null,
  };
  return {
    span_id: id,
    parent_span_id: parent ?? null,
    name: id,
    start_time: formatTimestamp(START_NS + BigInt(at)),
    duration_ns: takes,
    status: failed === true ? "error" : "unset",
    span_class: cost === undefined ? "structure" : "billable",
    is_agent: false,
    call: cost === undefined ? null : call,
  } as unknown as TraceSpan;
}

function makeTrace(spans: readonly Made[], duration_ns = 100): TraceTreeAnswer {
  return {
    trace_id: "0".repeat(32),
    start_time: formatTimestamp(START_NS),
    duration_ns,
    spans: spans.map(makeSpan),
  } as unknown as TraceTreeAnswer;
}

function rowsOf(trace: TraceTreeAnswer): string[] {
  return listRows(layoutTrace(trace), () => true).map(
    ({ span, depth }) => `${"-".repeat(depth)}${span.name}`,
  );
}

describe("the tree of a trace", () => {
  test("has spans below their parents in order of time, whatever the order of the answer", () => {
    const spans: Made[] = [
      { id: "tool", parent: "agent", at: 30 },
      { id: "second", parent: "agent", at: 20 },
      { id: "root", takes: 100 },
      { id: "inner", parent: "first", at: 12 },
      { id: "first", parent: "agent", at: 10 },
      { id: "agent", parent: "root", at: 5, takes: 90 },
    ];
    const expected = ["root", "-agent", "--first", "---inner", "--second", "--tool"];
    expect(rowsOf(makeTrace(spans))).toEqual(expected);
    expect(rowsOf(makeTrace(spans.toReversed()))).toEqual(expected);
  });

  test("puts spans whose parent is missing at the top and marks them; a true root is not marked", () => {
    const trace = makeTrace([
      { id: "root" },
      { id: "lost", parent: "gone", at: 1 },
      { id: "below", parent: "lost", at: 2 },
    ]);
    const tree = layoutTrace(trace);
    expect(rowsOf(trace)).toEqual(["root", "lost", "-below"]);
    expect(tree.nodes.map(({ is_orphan }) => is_orphan)).toEqual([false, true, false]);
    expect(tree.orphans).toBe(1);
  });

  test("shows every span once, also when parents form a ring or a span is its own parent", () => {
    const trace = makeTrace([
      { id: "tail", parent: "b", at: 9, cost: "1" },
      { id: "b", parent: "a", at: 2, cost: "2" },
      { id: "a", parent: "b", at: 1, cost: "4" },
      { id: "self", parent: "self", at: 3, cost: "8" },
    ]);
    expect(rowsOf(trace)).toEqual(["a", "-b", "--tail", "self"]);
  });

  test("tells two spans with the same id apart", () => {
    const { nodes } = layoutTrace(makeTrace([{ id: "x" }, { id: "x", at: 5 }]));
    expect(nodes.map(({ key }) => key)).toEqual(["x", "x.2"]);
  });

  test("counts what is below a node, and what failed there", () => {
    const { nodes } = layoutTrace(
      makeTrace([
        { id: "root" },
        { id: "a", parent: "root", failed: true },
        { id: "b", parent: "a", failed: true, at: 1 },
      ]),
    );
    expect(nodes.map(({ spans_below, failed_below }) => [spans_below, failed_below])).toEqual([
      [2, 2],
      [1, 1],
      [0, 0],
    ]);
  });

  test("stands a chain of ten thousand spans", () => {
    const spans = Array.from({ length: 10_000 }, (_, index) => ({
      id: String(index),
      at: index,
      cost: "0.000000000001",
      ...(index === 0 ? {} : { parent: String(index - 1) }),
    }));
    const tree = layoutTrace(makeTrace(spans, 10_000));
    expect(tree.nodes.at(-1)?.depth).toBe(9_999);
    expect(tree.nodes[0]?.spans_below).toBe(9_999);
  });
});

describe("cost of nodes", () => {
  test("add up to the totals at the top and by model, of the tree as the API answers it", async () => {
    const test_engine = await openTestEngine();
    try {
      await insertSpans(test_engine.engine, makeStoredTrace(), 1);
      const { text } = await makeTestApi(test_engine.engine).ask(
        `/v1/traces/${TRACE_ID}?detail=tree`,
      );
      const trace = JSON.parse(text) as TraceTreeAnswer;
      const tree = layoutTrace(trace);
      expect(tree.nodes).toHaveLength(40);
      const tops = tree.roots.map((place) => tree.nodes[place]?.span.cost_usd);
      expect(addUsd(...tops)).toBe(trace.totals.cost_usd);
      const models = costByModel(trace);
      expect(addUsd(...models.map(({ cost_usd }) => cost_usd))).toBe(trace.totals.cost_usd);
      expect(models.reduce((sum, { calls }) => sum + calls, 0)).toBe(trace.totals.calls);
    } finally {
      await test_engine.close();
    }
  });
});

const TRACE_ID = "ab".repeat(16);

/** Forty spans, each below one before it or below one that never came; every third is a call. */
function makeStoredTrace(): Span[] {
  return Array.from({ length: 40 }, (_, index) => {
    const id = (number: number) => idBytes(number.toString(16).padStart(16, "0"));
    const is_call = index % 3 === 2;
    return makeStoredSpan({
      project_id: "alpha",
      trace_id: idBytes(TRACE_ID),
      span_id: id(index + 1),
      parent_span_id: id(index % 11 === 10 ? 999 : Math.floor(index / 2)),
      start_ns: START_NS + BigInt(index),
      tokens: byClass(is_call ? { output_text: 5 } : {}),
      cost: byClass(is_call ? { output_text: 7n ** BigInt(index % 13) } : {}),
      ...(is_call ? {} : { span_class: "structure", cost_status: "none", usage_status: "none" }),
    });
  });
}

test("costs are split by model, dearest first, and unknown tokens stay unknown", () => {
  const trace = makeTrace([
    { id: "a", cost: "0.1", model: "small" },
    { id: "b", cost: "0.2", model: "small", failed: true },
    { id: "c", cost: "0.30000001", model: "large" },
    { id: "d" },
  ]);
  expect(costByModel(trace)).toMatchObject([
    { model: "large", calls: 1, errors: 0, cost_usd: "0.30000001" },
    { model: "small", calls: 2, errors: 1, cost_usd: "0.3", input_total: 20, output_total: null },
  ]);
});

describe("bars", () => {
  test("stand where their times are, to the nanosecond of the answer", () => {
    const { nodes } = layoutTrace(
      makeTrace([
        { id: "a", takes: 100 },
        { id: "b", at: 25, takes: 50 },
      ]),
    );
    expect(nodes.map(({ start_share, width_share }) => [start_share, width_share])).toEqual([
      [0, 1],
      [0.25, 0.5],
    ]);
    expect(
      instantToNs("2026-11-21T16:02:27.000000001Z") - instantToNs("2026-11-21T16:02:26Z"),
    ).toBe(1_000_000_001n);
  });

  test("of a trace without duration have none, and no ticks but its start", () => {
    const { nodes } = layoutTrace(makeTrace([{ id: "a", takes: 0 }], 0));
    expect(nodes[0]).toMatchObject({ start_share: 0, width_share: 0 });
    expect(ticksOf(0)).toEqual([0]);
  });

  test("have round ticks, five at most", () => {
    expect(ticksOf(33_680_715_510)).toEqual([0, 1e10, 2e10, 3e10]);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), (duration_ns) => {
        const ticks = ticksOf(duration_ns);
        expect(ticks.length).toBeGreaterThan(0);
        expect(ticks.length).toBeLessThanOrEqual(5);
        expect(Math.max(...ticks)).toBeLessThan(duration_ns);
      }),
    );
  });
});

describe("what is open", () => {
  const wide = makeTrace([
    { id: "root" },
    ...Array.from({ length: 3 }, (_, index) => ({
      id: `group${index}`,
      parent: "root",
      at: index + 1,
    })),
    ...Array.from({ length: 30 }, (_, index) => ({
      id: `leaf${index}`,
      parent: `group${index % 3}`,
      at: index + 10,
    })),
  ]);

  test("at first is as much as fits, level by level", () => {
    const tree = layoutTrace(wide);
    const rows = (most: number) => {
      const open = openAtFirst(tree, most);
      return listRows(tree, ({ key }) => open.has(key)).length;
    };
    expect(rows(1000)).toBe(34);
    expect(rows(20)).toBe(14); // root, groups and the leaves of one
    expect(rows(4)).toBe(4);
    expect(rows(3)).toBe(1);
  });

  test("the nodes above one lead from the top to it", () => {
    const tree = layoutTrace(wide);
    const leaf = tree.nodes.find(({ key }) => key === "leaf4") as TraceNode;
    expect(listAbove(tree, leaf).map(({ key }) => key)).toEqual(["root", "group1"]);
  });
});

test("spans are told apart by what they are", () => {
  const span = makeSpan({ id: "x" });
  expect(kindOf(makeSpan({ id: "x", cost: "1" }))).toBe("model");
  expect(kindOf({ ...span, span_class: "tool" })).toBe("tool");
  expect(kindOf({ ...span, span_class: "billable" })).toBe("uncounted");
  expect(kindOf({ ...span, span_class: "aggregate", is_agent: true })).toBe("agent");
  expect(kindOf({ ...span, is_agent: true })).toBe("agent");
  expect(kindOf({ ...span, span_class: "aggregate" })).toBe("uncounted");
  expect(kindOf(span)).toBe("other");
});
