/** Token, cost and call metrics (dialects.md sections 2, 5, 11 to 14, 16 and 18). */
import { describe, expect, test } from "vitest";
import type { DecodedMetric, DecodedPoint } from "../../schemas/metrics.ts";
import { Attributes, type Scope } from "../../schemas/span.ts";
import type { UsageMetricPoint } from "../../schemas/usage-metrics.ts";
import { attributesOf, type Pairs } from "./fixture.ts";
import { type NormalizedMetrics, normalizeMetrics } from "./usage-metrics.ts";

const TIME_NS = 1_795_225_706_000_000_000n;

function numberPoint(value: number | bigint | null, pairs: Pairs = {}): DecodedPoint {
  return {
    kind: "number",
    start_ns: TIME_NS - 1_000_000_000n,
    time_ns: TIME_NS,
    value,
    count: null,
    attributes: attributesOf(pairs),
    no_recorded_value: false,
  };
}

function histogramPoint(value: number | null, count: bigint, pairs: Pairs = {}): DecodedPoint {
  return { ...numberPoint(value, pairs), kind: "histogram", count };
}

interface Around {
  readonly metric?: Partial<DecodedMetric>;
  readonly scope?: Partial<Scope>;
  readonly resource?: Pairs;
  readonly capture_content?: boolean;
}

function normalize(name: string, points: DecodedPoint[], around: Around = {}): NormalizedMetrics {
  const metric: DecodedMetric = {
    name,
    unit: "",
    type: points[0]?.kind === "histogram" ? "histogram" : "sum",
    temporality: 1,
    is_monotonic: true,
    points,
    ...around.metric,
  };
  return normalizeMetrics(
    {
      resource: attributesOf(around.resource ?? {}),
      scope: { name: "test", version: "1", ...around.scope },
      metrics: [metric],
    },
    { project_id: "default", capture_content: around.capture_content ?? false },
  );
}

function only({ points }: NormalizedMetrics): UsageMetricPoint {
  const [point] = points;
  if (point === undefined || points.length !== 1) throw new Error("not one point");
  return point;
}

describe("what is counted", () => {
  type Row = [metric: string, point: DecodedPoint, expected: Partial<UsageMetricPoint>];
  const tokens = (token_class: string, value: number) =>
    ({ kind: "tokens", token_class, value }) as const;
  test.each<Row>([
    ["claude_code.token.usage", numberPoint(25, { type: "input" }), tokens("input", 25)],
    ["claude_code.token.usage", numberPoint(60, { type: "output" }), tokens("output", 60)],
    [
      "claude_code.token.usage",
      numberPoint(2000, { type: "cacheRead" }),
      tokens("cache_read", 2000),
    ],
    [
      "claude_code.token.usage",
      numberPoint(300, { type: "cacheCreation" }),
      tokens("cache_write", 300),
    ],
    ["claude_code.cost.usage", numberPoint(0.002925), { kind: "cost_usd", value: 0.002925 }],
    [
      "codex.turn.token_usage",
      histogramPoint(1024, 1n, { token_type: "cached_input" }),
      tokens("cache_read", 1024),
    ],
    [
      "codex.turn.token_usage",
      histogramPoint(0, 1n, { token_type: "cache_write_input" }),
      tokens("cache_write", 0),
    ],
    [
      "codex.turn.token_usage",
      histogramPoint(448, 1n, { token_type: "reasoning_output" }),
      tokens("reasoning", 448),
    ],
    [
      "codex.turn.token_usage",
      histogramPoint(2000, 1n, { token_type: "total" }),
      tokens("total", 2000),
    ],
    ["gemini_cli.token.usage", numberPoint(400, { type: "cache" }), tokens("cache_read", 400)],
    ["gemini_cli.token.usage", numberPoint(160, { type: "thought" }), tokens("reasoning", 160)],
    ["gemini_cli.token.usage", numberPoint(10n, { type: "tool" }), tokens("tool", 10)],
    [
      "gen_ai.client.token.usage",
      histogramPoint(1500, 2n, { "gen_ai.token.type": "input" }),
      tokens("input", 1500),
    ],
    [
      "gen_ai.client.token.usage",
      histogramPoint(500, 2n, { "gen_ai.token.type": "completion" }),
      tokens("output", 500),
    ],
    [
      "gen_ai.client.inference.usage.cache_write.input_tokens",
      numberPoint(300, { "gen_ai.token.modality": "text" }),
      tokens("cache_write", 300),
    ],
    [
      "gen_ai.client.inference.usage.reasoning.output_tokens",
      numberPoint(448),
      tokens("reasoning", 448),
    ],
    [
      "gen_ai.client.inference.operation.input_tokens",
      histogramPoint(1500, 1n),
      tokens("input", 1500),
    ],
    ["gen_ai.client.operation.duration", histogramPoint(3.5, 2n), { kind: "calls", value: 2 }],
    ["gen_ai.client.inference.duration", histogramPoint(3.5, 7n), { kind: "calls", value: 7 }],
    ["gen_ai.agent.tokens.output", numberPoint(1000), tokens("output", 1000)],
    ["gen_ai.client.token.cost", histogramPoint(0.5, 3n), { kind: "cost_usd", value: 0.5 }],
    ["gen_ai.usage.cost", histogramPoint(0.25, 1n), { kind: "cost_usd", value: 0.25 }],
    ["gen_ai.usage.input_tokens", numberPoint(100), tokens("input", 100)],
    ["gen_ai.total.requests", numberPoint(4), { kind: "calls", value: 4 }],
    [
      "llm.openai.chat_completions.tokens",
      numberPoint(20, { "llm.usage.token_type": "completion" }),
      tokens("output", 20),
    ],
  ])("of %s", (metric, decoded, expected) => {
    expect(only(normalize(metric, [decoded]))).toMatchObject({ metric, ...expected });
  });

  test.each<[string, string, DecodedPoint, Around]>([
    ["other metrics", "http.server.request.duration", histogramPoint(1, 1n), {}],
    [
      "a point that records nothing",
      "claude_code.token.usage",
      { ...numberPoint(5), no_recorded_value: true },
      {},
    ],
    ["a value that is none", "claude_code.cost.usage", numberPoint(Number.NaN), {}],
    ["an infinite value", "claude_code.cost.usage", numberPoint(Number.POSITIVE_INFINITY), {}],
    ["a histogram without a sum", "gen_ai.client.token.usage", histogramPoint(null, 3n), {}],
    ["a point without a time", "claude_code.cost.usage", { ...numberPoint(1), time_ns: 0n }, {}],
    [
      "a time that no table holds",
      "claude_code.cost.usage",
      { ...numberPoint(1), time_ns: 2n ** 64n - 1n },
      {},
    ],
    [
      "a gauge, which adds nothing up",
      "gen_ai.usage.cost",
      numberPoint(1),
      { metric: { type: "gauge" } },
    ],
  ])("not %s", (_name, metric, decoded, around) => {
    expect(normalize(metric, [decoded], around)).toEqual({ points: [], ignored_points: 1 });
  });
});

describe("whose usage it is", () => {
  test("Claude Code's provider, session and user are named as its spans name them", () => {
    const point = only(
      normalize(
        "claude_code.token.usage",
        [
          numberPoint(25, {
            "anthropic.provider": "firstParty",
            "session.id": "sess-1",
            "user.id": "user-1",
            model: "claude-sonnet-4-5",
            type: "input",
          }),
        ],
        { resource: { "service.name": "claude-code", "deployment.environment": "lab" } },
      ),
    );
    expect(point).toMatchObject({
      dialect: "claude-code",
      provider: "anthropic",
      model: "claude-sonnet-4-5",
      session_id: "sess-1",
      user_id: "user-1",
      service_name: "claude-code",
      environment: "lab",
      scope_name: "test",
      temporality: "delta",
      start_ns: TIME_NS - 1_000_000_000n,
      time_ns: TIME_NS,
    });
  });

  test("the conventions name provider, operation and the model that answered", () => {
    const point = only(
      normalize("gen_ai.client.token.usage", [
        histogramPoint(1, 1n, {
          "gen_ai.system": "gcp.gen_ai",
          "gen_ai.operation.name": "chat",
          "gen_ai.request.model": "gemini-2.5-flash",
          "gen_ai.response.model": "gemini-2.5-flash-001",
        }),
      ]),
    );
    expect(point).toMatchObject({
      dialect: "otel-genai",
      provider: "google",
      operation: "chat",
      model: "gemini-2.5-flash-001",
    });
  });

  test("Gemini CLI names the API by the login, Codex by nothing but the model", () => {
    const gemini = { model: "gemini-2.5-pro", auth_type: "vertex-ai", type: "input" };
    expect(only(normalize("gemini_cli.token.usage", [numberPoint(1, gemini)])).provider).toBe(
      "vertex",
    );
    const codex = { model: "gpt-5-mini", token_type: "input" };
    expect(only(normalize("codex.turn.token_usage", [histogramPoint(1, 1n, codex)]))).toMatchObject(
      { provider: "openai", dialect: "codex" },
    );
  });

  test("content is dropped from the attributes unless it is asked for", () => {
    const decoded = numberPoint(1, { "gen_ai.prompt": "tell me a secret", type: "input" });
    const dropped = only(normalize("claude_code.token.usage", [decoded]));
    expect(dropped.attributes.keys).toEqual(["type"]);
    const kept = only(normalize("claude_code.token.usage", [decoded], { capture_content: true }));
    expect(kept.attributes).toEqual(decoded.attributes);
  });
});

describe("temporality", () => {
  test.each([
    [0, "unspecified"],
    [1, "delta"],
    [2, "cumulative"],
  ] as const)("%i is %s", (temporality, name) => {
    const around = { metric: { temporality } };
    expect(only(normalize("gen_ai.usage.cost", [numberPoint(1)], around)).temporality).toBe(name);
  });

  test("a summary counts since its start", () => {
    const around = { metric: { type: "summary", temporality: 0 } } as const;
    const point = only(normalize("gen_ai.client.token.usage", [histogramPoint(9, 2n)], around));
    expect(point).toMatchObject({ temporality: "cumulative", value: 9 });
  });
});

describe("the series", () => {
  const pairs = { model: "m", type: "input", n: 1 };
  const seriesOf = (name: string, sent: Pairs, around: Around = {}): bigint =>
    only(normalize(name, [numberPoint(1, sent)], around)).series;
  const series = seriesOf("claude_code.token.usage", pairs, { resource: { a: 1, b: 2 } });

  test("is the same in any order of the attributes, whatever type a number has", () => {
    const turned = { n: 1n, type: "input", model: "m" };
    expect(seriesOf("claude_code.token.usage", turned, { resource: { b: 2n, a: 1 } })).toBe(series);
  });

  test("does not depend on time, start and value", () => {
    const later = { ...numberPoint(7, pairs), start_ns: 5n, time_ns: TIME_NS + 1n };
    const around = { resource: { a: 1, b: 2 } };
    expect(only(normalize("claude_code.token.usage", [later], around)).series).toBe(series);
  });

  test.each<[string, string, Pairs, Around]>([
    ["metric", "claude_code.cost.usage", pairs, { resource: { a: 1, b: 2 } }],
    [
      "value of an attribute",
      "claude_code.token.usage",
      { ...pairs, n: 2 },
      { resource: { a: 1, b: 2 } },
    ],
    ["attribute", "claude_code.token.usage", { ...pairs, k: "" }, { resource: { a: 1, b: 2 } }],
    ["resource", "claude_code.token.usage", pairs, { resource: { a: 1, b: 3 } }],
    ["scope", "claude_code.token.usage", pairs, { resource: { a: 1, b: 2 }, scope: { name: "x" } }],
  ])("is another one with another %s", (_name, metric, sent, around) => {
    expect(seriesOf(metric, sent, around)).not.toBe(series);
  });

  test("fits the column", () => {
    const point = only(normalize("gen_ai.usage.cost", [numberPoint(1)]));
    expect(point.series).toBeGreaterThanOrEqual(0n);
    expect(point.series).toBeLessThan(2n ** 64n);
    expect(point.attributes).toEqual(new Attributes());
  });
});
