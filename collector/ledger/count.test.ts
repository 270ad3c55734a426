/**
 * The counting rules, each as a table of small traces and what a reader of the provider's bill would
 * count. Whole forests are in forests.test.ts.
 */
import { describe, expect, test } from "vitest";
import type { Candidate } from "../../schemas/ledger.ts";
import { aggregate, call, count, frame, silent, NO_USAGE } from "./fixture.ts";

type Case = readonly [string, readonly Candidate[], readonly string[]];

function expectCounted(candidates: readonly Candidate[], counted: readonly string[]): void {
  expect(count(candidates).counted).toEqual(counted);
}

const in_ = (parent_span_id: string): Partial<Candidate> => ({ parent_span_id });

describe("by its class alone", () => {
  test("a billable span counts and nothing else does, without a decision", () => {
    const spans = [
      call("a"),
      frame("s"),
      frame("x", { span_class: "tool" }),
      frame("o", { span_class: "other" }),
    ];
    const result = count(spans);
    expect(result.counted).toEqual(["a"]);
    for (const { span_id } of spans) expect(result.of(span_id)).toBeUndefined();
  });
});

describe("one signal of a source counts", () => {
  const log = { signal: "log", dialect: "claude-code", scope_name: "events" } as const;
  const span = { dialect: "claude-code" };
  const cases: readonly Case[] = [
    [
      "the log event in place of the span of its trace",
      [frame("i"), call("l", { ...log, ...in_("i") }), call("s", { ...span, ...in_("i") })],
      ["l"],
    ],
    ["spans where there is no log event", [call("s1", span), call("s2", span)], ["s1", "s2"]],
    [
      "the log event of the session, when it has no trace",
      [
        call("l", { ...log, trace_id: "", session_id: "n" }),
        call("s", { ...span, session_id: "n" }),
        call("other", { ...span, session_id: "m", trace_id: "u" }),
      ],
      ["l", "other"],
    ],
    [
      "the event without a trace, when a span above the call names its session",
      [
        call("l", { signal: "log", dialect: "codex", trace_id: "", session_id: "n" }),
        frame("turn", { dialect: "codex", session_id: "n" }),
        frame("stream", { dialect: "codex", ...in_("turn") }),
        call("s", { dialect: "codex", ...in_("stream") }),
        frame("turn2", { dialect: "codex", session_id: "m", trace_id: "u" }),
        call("s2", { dialect: "codex", trace_id: "u", ...in_("turn2") }),
      ],
      ["l", "s2"],
    ],
    [
      "a session that only a span of another client names is not the client's own",
      [
        call("l", { ...log, trace_id: "", session_id: "n" }),
        frame("turn", { session_id: "n" }),
        call("s", { ...span, ...in_("turn") }),
      ],
      ["l", "s"],
    ],
    [
      "neither the aggregate of the source nor one around it",
      [
        aggregate("outer"),
        aggregate("i", { ...span, ...in_("outer") }),
        call("l", { ...log, ...in_("other") }),
        call("s", { ...span, ...in_("i") }),
      ],
      ["l"],
    ],
    [
      "not what wraps the hidden spans, though the event hangs elsewhere",
      [call("w"), call("l", log), call("s", { ...span, ...in_("w") })],
      ["l"],
    ],
    [
      "not a wrapper of hidden spans either",
      [silent("w"), call("l", log), call("s", { ...span, ...in_("w") })],
      ["l"],
    ],
    [
      "both signals where neither trace nor session ties them",
      [call("l", { ...log, trace_id: "" }), call("s", { ...span, trace_id: "" })],
      ["l", "s"],
    ],
    [
      "both signals of a client that is not listed",
      [call("l", { signal: "log" }), call("s")],
      ["l", "s"],
    ],
  ];
  test.each(cases)("%s", (_name, candidates, counted) => expectCounted(candidates, counted));

  test("the hidden span says which signal counts, and at which event", () => {
    const result = count([call("l", log), call("s", { ...span, finish_reason: "stop" })]);
    expect(result.of("s")).toMatchObject({
      reason: "the log event of this client counts",
      counted_by: "t-l",
    });
    expect(result.of("l")).toMatchObject({ counted: true, duplicates: 1, finish_reason: "stop" });
  });

  test("events and spans of the same looks are paired in order of time, the rest stay alone", () => {
    const later = { start_ns: 9_000_000_000n };
    const result = count([
      call("l2", { ...log, ...later }),
      call("l1", log),
      call("s1", { ...span, finish_reason: "stop" }),
      call("s2", { ...span, ...later, finish_reason: "length" }),
      call("s3", { ...span, output_total: 99 }),
      call("s4", { ...span, ...NO_USAGE, status: "error" }),
    ]);
    expect(result.of("s1")?.counted_by).toBe("t-l1");
    expect(result.of("s2")?.counted_by).toBe("t-l2");
    expect(result.of("s3")?.counted_by).toBe("");
    expect(result.of("s4")?.counted_by).toBe("");
    expect(result.of("l1")?.finish_reason).toBe("stop");
    expect(result.of("l2")?.finish_reason).toBe("length");
  });
});

describe("one row per response id", () => {
  const r = { response_id: "r1" };
  const elsewhere = { trace_id: "u", scope_name: "gateway" };
  const cases: readonly Case[] = [
    [
      "the richer classes win",
      [call("a", r), call("b", { ...r, ...elsewhere, known_classes: 4 })],
      ["b"],
    ],
    [
      "reported usage beats more classes that are estimated",
      [
        call("a", r),
        call("b", { ...r, ...elsewhere, known_classes: 4, usage_status: "estimated" }),
      ],
      ["a"],
    ],
    [
      "both totals known beat one",
      [call("a", { ...r, output_total: null }), call("b", { ...r, ...elsewhere })],
      ["b"],
    ],
    [
      "a priced report beats one without a price",
      [call("a", { ...r, is_priced: false }), call("b", { ...r, ...elsewhere })],
      ["b"],
    ],
    [
      "the deeper beats the shallower",
      [call("a", r), frame("p", elsewhere), call("b", { ...r, ...elsewhere, ...in_("p") })],
      ["b"],
    ],
    [
      "a span beats a log",
      [call("a", { ...r, signal: "log" }), call("b", { ...r, ...elsewhere })],
      ["b"],
    ],
    [
      "the earlier beats the later",
      [call("a", { ...r, start_ns: 2n }), call("b", { ...r, ...elsewhere, start_ns: 1n })],
      ["b"],
    ],
    [
      "a vendor and a reseller are one",
      [call("a", r), call("b", { ...r, ...elsewhere, provider: "azure", is_priced: false })],
      ["a"],
    ],
    [
      "a vendor and an unknown provider are one",
      [call("a", r), call("b", { ...r, ...elsewhere, provider: "", is_priced: false })],
      ["a"],
    ],
    [
      "two vendors are two",
      [call("a", r), call("b", { ...r, ...elsewhere, provider: "anthropic" })],
      ["a", "b"],
    ],
    ["no response id is no evidence", [call("a"), call("b", elsewhere)], ["a", "b"]],
    [
      "a call without usage is a duplicate of its report with usage",
      [silent("a", { ...r, status: "error" }), call("b", { ...r, ...elsewhere })],
      ["b"],
    ],
  ];
  test.each(cases)("%s", (_name, candidates, counted) => expectCounted(candidates, counted));

  test("the row counts its duplicates and each duplicate names the row", () => {
    const result = count([
      call("a", { ...r, known_classes: 3 }),
      call("b", { ...r, trace_id: "u" }),
      call("c", { ...r, trace_id: "v" }),
    ]);
    expect(result.of("a")).toMatchObject({ counted: true, duplicates: 2, provider_calls: 1 });
    expect(result.of("b")).toMatchObject({
      counted: false,
      counted_by: "t-a",
      reason: "another report with the same response id counts",
    });
  });
});

describe("calls within calls", () => {
  const cases: readonly Case[] = [
    [
      "a: a call without usage is the wrapper of the one below",
      [silent("a"), call("b", in_("a"))],
      ["b"],
    ],
    [
      "a: also of a failed one, through other spans",
      [silent("a"), frame("s", in_("a")), silent("b", { ...in_("s"), status: "error" })],
      ["b"],
    ],
    ["b: of two equal reports the deeper counts", [call("a"), call("b", in_("a"))], ["b"]],
    [
      "b: the report with more classes counts",
      [call("a", { known_classes: 3 }), call("b", in_("a"))],
      ["a"],
    ],
    [
      "b: depth goes before the price",
      [call("a"), call("b", { ...in_("a"), is_priced: false })],
      ["b"],
    ],
    ["b: three deep are one", [call("a"), call("b", in_("a")), call("c", in_("b"))], ["c"]],
    [
      "b: the failed attempt beside the good one stays a row",
      [call("a"), silent("b", { ...in_("a"), status: "error" }), call("c", in_("a"))],
      ["b", "c"],
    ],
    [
      "b: a failed attempt that says zero has no usage",
      [
        call("a"),
        call("b", { ...in_("a"), status: "error", input_total: 0, output_total: 0 }),
        silent("c", in_("a")),
      ],
      ["a", "b"],
    ],
    [
      "b: an event in the span it reports gives way to the span",
      [call("a"), call("l", { ...in_("a"), signal: "log" })],
      ["a"],
    ],
    [
      "c: a span over two calls repeats their sum",
      [call("a", { input_total: 200 }), call("b", in_("a")), call("c", in_("a"))],
      ["b", "c"],
    ],
    [
      "c: a report suppressed by its twin is one of the two",
      [
        call("a", { input_total: 200 }),
        call("b", { ...in_("a"), response_id: "r" }),
        call("c", in_("a")),
        call("d", { trace_id: "u", response_id: "r", known_classes: 5 }),
      ],
      ["c", "d"],
    ],
    [
      "c: a sum that carries the id of its last call is still a sum",
      [
        call("a", { response_id: "r2", known_classes: 9 }),
        call("b", { ...in_("a"), response_id: "r1" }),
        call("c", { ...in_("a"), response_id: "r2" }),
      ],
      ["b", "c"],
    ],
    [
      "c: two instrumentations of one call are no sum",
      [
        call("a", { known_classes: 9 }),
        call("b", { ...in_("a"), response_id: "r" }),
        call("c", { ...in_("a"), response_id: "r" }),
      ],
      ["a"],
    ],
    ["d: the usage of the one below is above", [call("a"), silent("b", in_("a"))], ["a"]],
    [
      "d: a failed call below is a row of its own",
      [call("a"), silent("b", { ...in_("a"), status: "error" }), silent("c", in_("a"))],
      ["a", "b"],
    ],
    [
      "a call made by a tool is none of the call that asked for the tool",
      [
        call("a"),
        frame("x", { ...in_("a"), span_class: "tool" }),
        call("b", in_("x")),
        call("c", in_("x")),
      ],
      ["a", "b", "c"],
    ],
    [
      "a: a wrapper with the response id ties the call below to its twin elsewhere",
      [
        silent("a", { response_id: "r" }),
        call("b", in_("a")),
        call("w", { trace_id: "u", response_id: "r", known_classes: 5 }),
      ],
      ["w"],
    ],
    [
      "d: a call that stands for several takes no usage from another trace",
      [
        call("a"),
        silent("b", { ...in_("a"), response_id: "r" }),
        silent("c", in_("a")),
        call("x", { trace_id: "u" }),
        silent("y", { trace_id: "u", ...in_("x"), response_id: "r" }),
      ],
      ["a", "x"],
    ],
    [
      "a ring is cut at the same place when something hangs on it",
      [frame("a", in_("c")), call("b", in_("c")), call("c", in_("b"))],
      ["c"],
    ],
    ["a link to itself harms nothing", [call("a", in_("a"))], ["a"]],
    ["a ring is still one call in another", [call("a", in_("b")), call("b", in_("a"))], ["b"]],
    ["a parent that is not there harms nothing", [call("a", in_("gone"))], ["a"]],
  ];
  test.each(cases)("%s", (_name, candidates, counted) => expectCounted(candidates, counted));

  test("the row of a nest has the others as duplicates", () => {
    const result = count([call("a"), call("b", in_("a")), silent("c", in_("b"))]);
    expect(result.of("b")).toMatchObject({ counted: true, duplicates: 2, is_aggregate: false });
    expect(result.of("a")).toMatchObject({ reason: "another report of the same call counts" });
    expect(result.of("c")).toMatchObject({
      reason: "carries no usage: the call above it does",
      counted_by: "t-b",
    });
  });

  test("usage that stands for two silent calls is an aggregate of two calls", () => {
    const result = count([call("a"), silent("b", in_("a")), silent("c", in_("a"))]);
    expect(result.counted).toEqual(["a"]);
    expect(result.of("a")).toMatchObject({
      provider_calls: 2,
      is_aggregate: true,
      duplicates: 0,
      reason: "stands for the calls below, which carry no usage",
    });
    expect(result.of("c")).toMatchObject({ counted: false, counted_by: "t-a" });
  });

  test("a sum names no call and a wrapper names the one below", () => {
    const sum = count([call("a"), call("b", in_("a")), call("c", in_("a"))]);
    expect(sum.of("a")).toMatchObject({
      reason: "repeats the sum of calls below it",
      counted_by: "",
    });
    expect(sum.of("b")).toBeUndefined();
    const wrapper = count([silent("a"), call("b", in_("a"))]);
    expect(wrapper.of("a")).toMatchObject({
      reason: "wrapper of a call below it",
      counted_by: "t-b",
    });
    expect(wrapper.of("b")).toBeUndefined();
  });
});

describe("an aggregate counts only where no call with usage does", () => {
  const cases: readonly Case[] = [
    ["alone", [aggregate("g")], ["g"]],
    [
      "not above a call with usage",
      [aggregate("g"), frame("x", { ...in_("g"), span_class: "tool" }), call("a", in_("x"))],
      ["a"],
    ],
    [
      "above calls without usage, in their place",
      [aggregate("g"), silent("a", in_("g")), silent("b", in_("g"))],
      ["g"],
    ],
    [
      "beside a call that failed",
      [aggregate("g"), silent("a", { ...in_("g"), status: "error" })],
      ["a", "g"],
    ],
    ["of several the deepest", [aggregate("g"), aggregate("h", in_("g"))], ["h"]],
    [
      "of several beside each other all",
      [aggregate("g"), aggregate("h", in_("g")), aggregate("i", in_("g"))],
      ["h", "i"],
    ],
    [
      "not when a call that hangs loose may be below",
      [aggregate("g"), call("a", in_("gone"))],
      ["a"],
    ],
    [
      "although a call without usage hangs loose",
      [aggregate("g"), silent("a", in_("gone"))],
      ["a", "g"],
    ],
    ["although it hangs loose itself", [aggregate("g", in_("gone"))], ["g"]],
    [
      "beside a call of the same trace that has another root",
      [aggregate("g"), call("a")],
      ["a", "g"],
    ],
    ["not when it says zero", [aggregate("g", { input_total: 0, output_total: 0 })], []],
    ["not below a call with usage", [call("a"), aggregate("g", in_("a"))], ["a"]],
    [
      "below a call whose tool it is",
      [call("a"), frame("x", { ...in_("a"), span_class: "tool" }), aggregate("g", in_("x"))],
      ["a", "g"],
    ],
    [
      "not when it hangs loose itself, with a call, and so does another call",
      [
        frame("p", in_("gone")),
        aggregate("g", in_("p")),
        call("a", in_("p")),
        call("b", in_("lost")),
      ],
      ["a", "b"],
    ],
    [
      "although a sum in another trace carries the response id of the call below",
      [
        aggregate("g"),
        silent("a", { ...in_("g"), response_id: "r" }),
        call("x", { trace_id: "u", response_id: "r" }),
        call("y", { trace_id: "u", ...in_("x") }),
        call("z", { trace_id: "u", ...in_("x") }),
      ],
      ["g", "y", "z"],
    ],
    [
      "not when the client of its session reports the calls",
      [
        aggregate("g", { session_id: "n" }),
        call("l", { trace_id: "u", session_id: "n", dialect: "claude-code", signal: "log" }),
      ],
      ["l"],
    ],
    [
      "although other clients report calls of its session",
      [aggregate("g", { session_id: "n" }), call("l", { trace_id: "u", session_id: "n" })],
      ["g", "l"],
    ],
    [
      "not when the call below has its usage from its twin",
      [
        aggregate("g"),
        silent("a", { ...in_("g"), response_id: "r" }),
        call("b", { trace_id: "u", response_id: "r" }),
      ],
      ["b"],
    ],
  ];
  test.each(cases)("%s", (_name, candidates, counted) => expectCounted(candidates, counted));

  test("it says for how many calls it stands, and null when it does not know", () => {
    const known = count([aggregate("g"), silent("a", in_("g")), silent("b", in_("g"))]);
    expect(known.of("g")).toMatchObject({
      is_aggregate: true,
      provider_calls: 2,
      reason: "no call below it carries usage",
    });
    expect(known.of("a")).toMatchObject({ counted: false, counted_by: "t-g" });
    expect(count([aggregate("g")]).of("g")).toMatchObject({
      is_aggregate: true,
      provider_calls: null,
    });
  });

  test("it waits until its trace has settled, and the calls below count meanwhile", () => {
    const candidates = [aggregate("g"), aggregate("h", in_("g")), silent("a", in_("h"))];
    const result = count(candidates, { is_settled: () => false });
    expect(result.counted).toEqual(["a"]);
    expect(result.of("h")).toMatchObject({
      waits: true,
      counted: false,
      reason: "waits for its trace to settle",
    });
    expect(result.of("g")).toBeUndefined();
  });
});

describe("callbacks of LangChain and the SDK below, side by side", () => {
  const side = { trace_id: "t", parent_span_id: "agent", dialect: "traceloop-js" };
  const callback = { ...side, scope_name: "@traceloop/instrumentation-langchain" };
  const sdk = {
    ...side,
    scope_name: "@traceloop/instrumentation-openai",
    response_id: "chatcmpl-1",
    model: "gpt-5-mini-2025-08-07",
    start_ns: 1_100_000_000n,
    duration_ns: 800_000_000n,
  };
  const guess = { usage_status: "estimated", input_total: 1, output_total: 4 } as const;

  test("equal counts are one call, of which the SDK's report knows the id", () => {
    const result = count([frame("agent"), call("c", callback), call("s", sdk)]);
    expect(result.counted).toEqual(["s"]);
    expect(result.of("s")).toMatchObject({ duplicates: 1, suspected_duplicate: false });
  });

  test("of a stream that the SDK's report guesses the callback's counts are kept", () => {
    const result = count([frame("agent"), call("c", callback), call("s", { ...sdk, ...guess })]);
    expect(result.counted).toEqual(["c"]);
    expect(result.of("c")?.duplicates).toBe(1);
  });

  test("three calls at once are three, each with its own counts", () => {
    const reports = [1, 2, 3].flatMap((input_total) => [
      call(`c${input_total}`, { ...callback, input_total }),
      call(`s${4 - input_total}`, { ...sdk, input_total, response_id: `r${input_total}` }),
    ]);
    const result = count([frame("agent"), ...reports]);
    expect(result.counted).toEqual(["s1", "s2", "s3"]);
  });

  test("of two hundred calls of one agent, one after the other, each is one", () => {
    const reports = Array.from({ length: 200 }, (_, step) => {
      const start_ns = BigInt(step + 1) * 2_000_000_000n;
      const id = String(step).padStart(3, "0");
      return [
        call(`c${id}`, { ...callback, start_ns }),
        call(`s${id}`, { ...sdk, start_ns: start_ns + 1n, response_id: `r${id}` }),
      ];
    });
    const result = count([frame("agent"), ...reports.flat()]);
    expect(result.counted).toHaveLength(200);
    expect(result.counted.every((name) => name.startsWith("s"))).toBe(true);
  });

  type Apart = readonly [string, Partial<Candidate>];
  const apart: readonly Apart[] = [
    ["of another parent", { parent_span_id: "other" }],
    ["of another model", { model: "gpt-5" }],
    ["of another provider", { provider: "azure" }],
    ["of other counts that are the provider's", { input_total: 101 }],
    ["that ran later", { start_ns: 3_000_000_000n }],
    ["of another emitter", { dialect: "openlit-js" }],
    ["without an id", { response_id: "" }],
  ];
  test.each(apart)("a report %s stays a call of its own", (_name, changes) => {
    const result = count([frame("agent"), call("c", callback), call("s", { ...sdk, ...changes })]);
    expect(result.counted).toEqual(["c", "s"]);
  });
});

describe("a suspected duplicate is marked and counts", () => {
  const twin = { trace_id: "u", scope_name: "other", known_classes: 1 };
  type Suspicion = readonly [string, Partial<Candidate>, boolean];
  const cases: readonly Suspicion[] = [
    ["the same in another scope", {}, true],
    ["the same model with its date", { model: "gpt-5-mini-2025-08-07" }, true],
    ["the same model with a short date", { model: "GPT-5-mini-20250807" }, true],
    ["no model", { model: "" }, true],
    [
      "within the slack of the clocks",
      { start_ns: 950_000_000n, duration_ns: 1_100_000_000n },
      true,
    ],
    ["another model", { model: "gpt-5" }, false],
    ["the same scope", { scope_name: "scope" }, false],
    ["another service", { service_name: "else" }, false],
    ["other tokens", { input_total: 101 }, false],
    ["unknown tokens", { output_total: null }, false],
    ["beyond the slack", { start_ns: 1_100_000_000n }, false],
    ["later", { start_ns: 9_000_000_000n }, false],
  ];
  test.each(cases)("%s", (_name, changes, is_suspected) => {
    const result = count([call("a"), call("b", { ...twin, ...changes })]);
    expect(result.counted).toEqual(["a", "b"]);
    expect(result.of("b")?.suspected_duplicate ?? false).toBe(is_suspected);
    expect(result.of("a")).toBeUndefined();
  });

  test("nothing is suspected of calls that used nothing", () => {
    const zero = { input_total: 0, output_total: 0 };
    expect(count([call("a", zero), call("b", { ...twin, ...zero })]).of("b")).toBeUndefined();
  });

  test("one call of another scope casts suspicion on one of ten", () => {
    const ten = Array.from({ length: 10 }, (_, at) => call(`a${at}`, { trace_id: `t${at}` }));
    const result = count([...ten, call("b", { ...twin, known_classes: 9 })]);
    const suspected = ten.filter(({ span_id }) => result.of(span_id)?.suspected_duplicate === true);
    expect(suspected).toHaveLength(1);
  });
});

describe("context that the counted report lacks", () => {
  test("it comes from the nearest ancestor that has it, and own context stays", () => {
    const result = count([
      frame("root", { user_id: "u1", session_id: "s1", agent_name: "outer" }),
      frame("agent", { ...in_("root"), agent_name: "inner" }),
      call("a", { ...in_("agent"), session_id: "own" }),
    ]);
    expect(result.of("a")).toMatchObject({
      counted: true,
      user_id: "u1",
      session_id: "",
      agent_name: "inner",
      provider_calls: 1,
      reason: "",
    });
  });

  test("then from its duplicates and their ancestors", () => {
    const result = count([
      call("a", { response_id: "r", known_classes: 5, user_id: "me" }),
      frame("root", { trace_id: "u", user_id: "you", session_id: "s2" }),
      call("b", { trace_id: "u", ...in_("root"), response_id: "r", agent_name: "bee" }),
    ]);
    expect(result.of("a")).toMatchObject({ user_id: "", session_id: "s2", agent_name: "bee" });
  });
});
