/**
 * The counting rules over random forests whose truth the generator knows: true calls first, then the
 * spans that instrumentations would make of them.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Candidate } from "../../schemas/ledger.ts";
import { decideCalls } from "./count.ts";
import { aggregate, call, frame, NO_USAGE, rowsOf, SETTLED, silent } from "./fixture.ts";

/** How a true call is reported. */
const SHAPES = [
  "plain",
  "nested",
  "twin",
  "wrapped",
  "usage above",
  "retried",
  "client",
  "tool",
  "failed",
] as const;

interface Plan {
  readonly shape: (typeof SHAPES)[number];
  readonly tokens: number;
  /** Reports or frames, 1 to 3. */
  readonly layers: number;
  readonly has_response_id: boolean;
}

interface Trace {
  readonly plans: readonly Plan[];
  readonly root: "structure" | "aggregate" | "sum" | "lost" | "agent only";
}

interface World {
  readonly candidates: Candidate[];
  readonly rows: number;
  readonly tokens: number;
}

const plans = fc.record<Plan>({
  shape: fc.constantFrom(...SHAPES),
  tokens: fc.integer({ min: 1, max: 5000 }),
  layers: fc.integer({ min: 1, max: 3 }),
  has_response_id: fc.boolean(),
});

const traces = fc.array(
  fc.record<Trace>({
    plans: fc.array(plans, { minLength: 1, maxLength: 6 }),
    root: fc.constantFrom("structure", "aggregate", "sum", "lost", "agent only"),
  }),
  { minLength: 1, maxLength: 5 },
);

/** Spans of one true call under `parent`, and the rows and tokens that it is. */
function tell(trace_id: string, id: string, parent: string, plan: Plan): World {
  const tokens = { input_total: plan.tokens, output_total: 1 };
  const response_id = plan.has_response_id ? `resp-${trace_id}-${id}` : "";
  const base = { trace_id, parent_span_id: parent, ...tokens, response_id };
  const under = (above: string, changes: Partial<Candidate> = {}): Partial<Candidate> => ({
    ...base,
    parent_span_id: above,
    ...changes,
  });
  const one = { rows: 1, tokens: plan.tokens + 1 };
  const failed = silent(`${id}-f`, {
    ...under(parent),
    ...NO_USAGE,
    status: "error",
    response_id: "",
  });
  switch (plan.shape) {
    case "plain":
      return { ...one, candidates: [call(id, base)] };
    case "nested": {
      const candidates: Candidate[] = [];
      let above = parent;
      for (let layer = 0; layer < plan.layers; layer += 1) {
        candidates.push(
          frame(`${id}-s${layer}`, under(above, { ...NO_USAGE, usage_status: "none" })),
        );
        const known_classes = 2 + ((plan.tokens + layer) % 3);
        candidates.push(call(`${id}-n${layer}`, under(`${id}-s${layer}`, { known_classes })));
        above = `${id}-n${layer}`;
      }
      return { ...one, candidates };
    }
    case "twin": {
      const twins = Array.from({ length: plan.layers }, (_, at) =>
        call(`${id}-t${at}`, {
          ...base,
          trace_id: at === 0 ? trace_id : `${trace_id}-${id}-${at}`,
          parent_span_id: at === 0 ? parent : "",
          response_id: `twin-${trace_id}-${id}`,
          provider: at === 1 ? "azure" : "openai",
          known_classes: 2 + (at % 2),
        }),
      );
      return { ...one, candidates: twins };
    }
    case "wrapped":
      return {
        ...one,
        candidates: [silent(`${id}-w`, { ...base, ...NO_USAGE }), call(id, under(`${id}-w`))],
      };
    case "usage above":
      return {
        ...one,
        candidates: [call(id, base), silent(`${id}-b`, { ...under(id), ...NO_USAGE })],
      };
    case "retried": {
      const outer =
        plan.layers === 1 ? silent(`${id}-o`, { ...base, ...NO_USAGE }) : call(`${id}-o`, base);
      const attempt = { ...failed, parent_span_id: `${id}-o` };
      return {
        rows: 2,
        tokens: one.tokens,
        candidates: [outer, attempt, call(id, under(`${id}-o`))],
      };
    }
    case "client": {
      const dialect = "claude-code";
      const log = call(`${id}-l`, { ...base, dialect, signal: "log" });
      return { ...one, candidates: [log, call(`${id}-s`, { ...base, dialect, response_id: "" })] };
    }
    case "tool": {
      const tool = frame(
        `${id}-x`,
        under(id, { ...NO_USAGE, span_class: "tool", usage_status: "none" }),
      );
      const inner = call(`${id}-i`, under(`${id}-x`, { response_id: "" }));
      return { rows: 2, tokens: 2 * one.tokens, candidates: [call(id, base), tool, inner] };
    }
    case "failed":
      return { rows: 1, tokens: 0, candidates: [failed] };
  }
}

/** The spans of a trace: its calls under a root of the kind asked for. */
function tellTrace({ plans, root }: Trace, at: number): World {
  const trace_id = `t${at}`;
  const place = { trace_id };
  if (root === "agent only") {
    const total = plans.reduce((sum, plan) => sum + plan.tokens, 0);
    const calls = plans.map((_, index) =>
      silent(`c${index}`, { ...place, parent_span_id: "root" }),
    );
    const agent = aggregate("root", { ...place, input_total: total, output_total: 1 });
    return { rows: 1, tokens: total + 1, candidates: [agent, ...calls] };
  }
  const told = plans.map((plan, index) => tell(trace_id, `c${index}`, "root", plan));
  const rows = told.reduce((sum, part) => sum + part.rows, 0);
  const tokens = told.reduce((sum, part) => sum + part.tokens, 0);
  const calls_with_usage = told.filter((part) => part.tokens > 0).length;
  const totals = { ...place, input_total: tokens, output_total: 0 };
  const roots: Candidate[] = [];
  if (root === "aggregate" && calls_with_usage > 0) roots.push(aggregate("root", totals));
  // A span over one call reports that call; only over several it is a sum.
  else if (root === "sum" && calls_with_usage > 1) roots.push(call("root", totals));
  else if (root !== "lost") roots.push(frame("root", place));
  return { rows, tokens, candidates: [...roots, ...told.flatMap((part) => part.candidates)] };
}

function tellWorld(traces: readonly Trace[]): World {
  const told = traces.map(tellTrace);
  return {
    candidates: told.flatMap((part) => part.candidates),
    rows: told.reduce((sum, part) => sum + part.rows, 0),
    tokens: told.reduce((sum, part) => sum + part.tokens, 0),
  };
}

function sumTokens(rows: readonly Candidate[]): number {
  return rows.reduce((sum, row) => sum + (row.input_total ?? 0) + (row.output_total ?? 0), 0);
}

const shuffled = traces.chain((plan) => {
  const { candidates } = tellWorld(plan);
  return fc.tuple(
    fc.constant(candidates),
    fc.shuffledSubarray(candidates, { minLength: candidates.length }),
  );
});

const sorted = <Value>(map: ReadonlyMap<string, Value>): [string, Value][] =>
  [...map].sort(([a], [b]) => (a < b ? -1 : 1));

/** Any parent links at all, rings and shared ids included. */
const tangles = fc.array(
  fc
    .tuple(
      fc.constantFrom("billable", "aggregate", "tool", "structure"),
      fc.integer({ min: 0, max: 9 }),
      fc.integer({ min: 0, max: 12 }),
      fc.constantFrom("reported", "missing", "estimated"),
      fc.constantFrom("", "", "r1", "r2"),
      fc.constantFrom("unset", "error"),
    )
    .map(([span_class, id, above, usage_status, response_id, status]) => ({
      span_class,
      span_id: `s${id}`,
      parent_span_id: above === 0 ? "" : `s${above}`,
      usage_status,
      response_id,
      status,
    })),
  { maxLength: 14 },
);

function untangle(parts: readonly Partial<Candidate>[]): Candidate[] {
  return parts.map((part, at) =>
    call(part.span_id ?? "", {
      ...part,
      ...(part.usage_status === "missing" ? NO_USAGE : {}),
      start_ns: BigInt(at),
      trace_id: at % 4 === 3 ? "u" : "t",
      known_classes: at % 3,
    }),
  );
}

describe("over random forests of true calls", () => {
  test("the rows are the true calls and their tokens the true tokens", () => {
    fc.assert(
      fc.property(traces, (plan) => {
        const world = tellWorld(plan);
        const rows = rowsOf(world.candidates, decideCalls(world.candidates, SETTLED));
        expect(sumTokens(rows)).toBe(world.tokens);
        expect(rows.length).toBe(world.rows);
      }),
      { numRuns: 2000 },
    );
  });

  test("the order of the candidates does not matter", () => {
    fc.assert(
      fc.property(shuffled, ([candidates, reordered]) => {
        expect(sorted(decideCalls(reordered, SETTLED))).toEqual(
          sorted(decideCalls(candidates, SETTLED)),
        );
      }),
      { numRuns: 500 },
    );
  });

  test("deciding after each arrival ends where deciding once does", () => {
    fc.assert(
      fc.property(shuffled, ([candidates, reordered]) => {
        let last = decideCalls([], SETTLED);
        reordered.forEach((_, at) => {
          last = decideCalls(reordered.slice(0, at + 1), SETTLED);
        });
        expect(sorted(last)).toEqual(sorted(decideCalls(candidates, SETTLED)));
      }),
      { numRuns: 50 },
    );
  });

  test("a ledger of the rows alone keeps every row", () => {
    fc.assert(
      fc.property(traces, (plan) => {
        const { candidates } = tellWorld(plan);
        const rows = rowsOf(candidates, decideCalls(candidates, SETTLED));
        expect(rowsOf(rows, decideCalls(rows, SETTLED))).toEqual(rows);
      }),
      { numRuns: 500 },
    );
  });
});

describe("over any parent links", () => {
  test("every decision is consistent and independent of order", () => {
    fc.assert(
      fc.property(
        tangles.chain((parts) => {
          const all = untangle(parts);
          return fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length }));
        }),
        ([candidates, reordered]) => {
          const decisions = decideCalls(candidates, SETTLED);
          expect(sorted(decideCalls(reordered, SETTLED))).toEqual(sorted(decisions));
          const rows = rowsOf(candidates, decisions);
          const calls = new Set(rows.map((row) => `${row.trace_id}-${row.span_id}`));
          for (const { counted, counted_by, duplicates } of decisions.values()) {
            if (counted) expect(counted_by).toBe("");
            else expect(duplicates).toBe(0);
            if (counted_by !== "") expect(calls).toContain(counted_by);
          }
          const has_call = candidates.some(
            ({ span_class, usage_status }) =>
              span_class === "billable" && usage_status !== "missing",
          );
          if (has_call) expect(rows.length).toBeGreaterThan(0);
        },
      ),
      { numRuns: 3000 },
    );
  });
});

describe("200,000 candidates in one trace are decided within seconds", () => {
  const SIZE = 200_000;
  /** Milliseconds; quadratic steps would take minutes. */
  const MAX_TIME_MS = 8000;
  type Shape = readonly [string, (at: number) => Candidate, number];
  const above = (at: number): string => (at === 0 ? "" : `${at - 1}`);
  const shapes: readonly Shape[] = [
    ["a chain of calls", (at) => call(`${at}`, { parent_span_id: above(at) }), 1],
    ["a chain of wrappers", (at) => silent(`${at}`, { parent_span_id: above(at) }), 1],
    ["a ring", (at) => call(`${at}`, { parent_span_id: `${(at + 1) % SIZE}` }), 1],
    ["calls side by side", (at) => call(`${at}`, { parent_span_id: "0" }), SIZE - 1],
    [
      "silent calls below an aggregate",
      (at) => (at === 0 ? aggregate("0") : silent(`${at}`, { parent_span_id: "0" })),
      1,
    ],
    [
      "wrappers around silent reports of one call",
      (at) =>
        silent(`${at}`, {
          parent_span_id: above(Math.min(at, SIZE / 2)),
          response_id: at < SIZE / 2 ? "" : "r",
        }),
      1,
    ],
    ["reports of one response", (at) => call(`${at}`, { response_id: "r" }), 1],
    ["equal calls of two scopes", (at) => call(`${at}`, { scope_name: `${at % 2}` }), SIZE],
    [
      "a comb of aggregates and silent calls",
      (at) =>
        at % 2 === 0
          ? aggregate(`${at}`, { parent_span_id: at === 0 ? "" : `${at - 2}` })
          : silent(`${at}`, { parent_span_id: `${at - 1}` }),
      SIZE / 2,
    ],
  ];
  test.each(shapes)("%s", { timeout: 60_000 }, (_name, make, rows) => {
    const candidates = Array.from({ length: SIZE }, (_, at) => make(at));
    const begin = performance.now();
    const decisions = decideCalls(candidates, SETTLED);
    expect(performance.now() - begin).toBeLessThan(MAX_TIME_MS);
    expect(rowsOf(candidates, decisions)).toHaveLength(rows);
  });
});
