/** The traffic of the demo: repeatable, exact in number, and true in what it says of itself. */
import { assert, integer, nat, property } from "fast-check";
import { describe, expect, it } from "vitest";
import { DEPLOYMENTS, USER_COUNT } from "./fleet.ts";
import { type PlannedSpan, type PlannedTrace, walkSpans } from "./plan.ts";
import { generateTraffic } from "./traffic.ts";
import { Totals } from "./totals.ts";

const END_MS = Date.UTC(2026, 10, 20, 12, 0, 0);
const OPTIONS = { seed: 1, calls: 1_000, minutes: 60, end_ms: END_MS };

function traffic(changes: Partial<typeof OPTIONS> = {}): PlannedTrace[] {
  return [...generateTraffic({ ...OPTIONS, ...changes })];
}

function spansOf(traces: readonly PlannedTrace[]): PlannedSpan[] {
  return traces.flatMap((trace) => [...walkSpans(trace.root)]);
}

function read(span: PlannedSpan, key: string): unknown {
  return span.attributes.findLast(([name]) => name === key)?.[1];
}

/** A token count under any of its names; 0 when not sent. */
function tokens(span: PlannedSpan, ...keys: string[]): number {
  return keys.map((key) => read(span, key)).find((value) => typeof value === "number") ?? 0;
}

const INPUT = ["gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"];
const OUTPUT = ["gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"];
const CACHE_READ = ["gen_ai.usage.cache_read.input_tokens"];
const CACHE_WRITE = [
  "gen_ai.usage.cache_write.input_tokens",
  "gen_ai.usage.cache_creation.input_tokens",
];
const REASONING = ["gen_ai.usage.reasoning.output_tokens"];
const USAGE = [INPUT, OUTPUT, CACHE_READ, CACHE_WRITE, REASONING];

describe("generateTraffic", () => {
  it("makes the same traces from the same seed and others from another", () => {
    expect(traffic()).toEqual(traffic());
    expect(traffic({ seed: 2 })).not.toEqual(traffic());
  });

  it("sends the same calls whatever the window is", () => {
    const shapes = (traces: PlannedTrace[]) => traces.map(({ root }) => root);
    expect(shapes(traffic({ minutes: 10_000 }))).toEqual(shapes(traffic()));
  });

  it("makes exactly the calls asked for", () => {
    assert(
      property(integer({ min: 1, max: 120 }), nat(0xffff_ffff), (calls, seed) => {
        const made = spansOf(traffic({ calls, seed })).filter((span) => span.call !== null);
        expect(made).toHaveLength(calls);
      }),
      { numRuns: 60, seed: 7 },
    );
  });

  it("keeps every trace before the end, and in the window but for what began before it", () => {
    const end_ns = BigInt(END_MS) * 1_000_000n;
    for (const minutes of [1, 60, 10_080]) {
      const start_ns = end_ns - BigInt(minutes) * 60_000_000_000n;
      for (const { start_ns: at, root } of traffic({ minutes })) {
        expect(at + root.duration_ns).toBeLessThanOrEqual(end_ns);
        expect(at + root.duration_ns).toBeGreaterThanOrEqual(start_ns);
      }
    }
  });

  it("fills the window from its begin to its end", () => {
    const shares = traffic().map(
      ({ start_ns }) => (Number(start_ns / 1_000_000n) - (END_MS - 3_600_000)) / 3_600_000,
    );
    for (let tenth = 0; tenth < 10; tenth += 1) {
      const share = shares.filter((at) => Math.floor(at * 10) === tenth).length / shares.length;
      expect(share).toBeGreaterThan(0.04);
      expect(share).toBeLessThan(0.2);
    }
  });

  it("is quiet at night and at weekends when the window has more than a day", () => {
    const hours = traffic({ minutes: 14 * 1_440, calls: 8_000 }).map(
      ({ start_ns }) => new Date(Number(start_ns / 1_000_000n)),
    );
    const within = (low: number, high: number) =>
      hours.filter((at) => at.getUTCHours() >= low && at.getUTCHours() < high).length;
    expect(within(9, 12)).toBeGreaterThan(5 * within(1, 4));
    const weekend = hours.filter((at) => [0, 6].includes(at.getUTCDay())).length;
    // 2 of 7 days would be 29 % without a shape.
    expect(weekend / hours.length).toBeLessThan(0.2);
  });

  it("lays children out within their parent, one after the other", () => {
    for (const span of spansOf(traffic())) {
      let free_ns = 0n;
      for (const child of span.children) {
        expect(child.offset_ns).toBeGreaterThanOrEqual(free_ns);
        free_ns = child.offset_ns + child.duration_ns;
      }
      expect(span.duration_ns).toBeGreaterThanOrEqual(free_ns);
    }
  });
});

describe("what the spans say", () => {
  it("repeats on every agent the sum of the calls below it", () => {
    const agents = spansOf(traffic()).filter(
      (span) => read(span, "gen_ai.operation.name") === "invoke_agent",
    );
    expect(agents.length).toBeGreaterThan(20);
    for (const agent of agents) {
      for (const keys of USAGE) {
        const below = agent.children.map((child) => tokens(child, ...keys));
        expect(tokens(agent, ...keys)).toBe(below.reduce((sum, count) => sum + count, 0));
      }
    }
  });

  it("sends with every call the usage that is counted for it", () => {
    const expected = new Totals();
    let sent = 0;
    for (const trace of traffic()) expected.add(trace);
    const sums = USAGE.map(() => 0);
    for (const span of spansOf(traffic())) {
      if (span.call === null) continue;
      sent += 1;
      USAGE.forEach((keys, index) => {
        sums[index] = (sums[index] ?? 0) + tokens(span, ...keys);
      });
    }
    const { all } = expected;
    expect(sent).toBe(all.calls);
    expect(sums).toEqual([
      all.input_total,
      all.output_total,
      all.cache_read,
      all.cache_write,
      all.output_reasoning,
    ]);
    expect(all.cache_write).toBeGreaterThan(0);
    expect(all.output_reasoning).toBeGreaterThan(0);
  });

  it("never says usage of a call that failed or of one that nobody saw the end of", () => {
    const silent = spansOf(traffic()).filter((span) => span.call?.usage === null);
    expect(silent.length).toBeGreaterThan(10);
    for (const span of silent) {
      expect(span.attributes.filter(([key]) => key.startsWith("gen_ai.usage."))).toEqual([]);
    }
  });

  it("shows every kind of call in the first twenty-five", () => {
    const spans = spansOf(traffic({ calls: 25 }));
    const failures = spans.flatMap((span) => span.call?.failure ?? []);
    expect(new Set(failures.map(({ http_status }) => http_status))).toEqual(
      new Set([429, 500, null]),
    );
    expect(spans.some(({ call }) => call?.failure === null && call.usage === null)).toBe(true);
    expect(spans.some(({ call }) => call?.model === "acme-summarizer-7b")).toBe(true);
    const operations = new Set(spans.map((span) => read(span, "gen_ai.operation.name")));
    for (const name of ["chat", "embeddings", "execute_tool", "invoke_agent"]) {
      expect(operations).toContain(name);
    }
  });

  it("mixes the generations of the conventions by service", () => {
    const traces = traffic();
    const keysOf = (service_name: string) =>
      new Set(
        traces
          .filter(({ deployment }) => deployment.service_name === service_name)
          .flatMap(({ root }) => [...walkSpans(root)])
          .filter((span) => span.call !== null)
          .flatMap((span) => span.attributes.map(([key]) => key)),
      );
    const documents = keysOf("doc-pipeline");
    expect(documents).toContain("gen_ai.usage.prompt_tokens");
    expect(documents).not.toContain("gen_ai.operation.name");
    const search = keysOf("search-ranking");
    expect(search).toContain("gen_ai.system");
    expect(search).toContain("gen_ai.usage.input_tokens");
    const support = keysOf("support-chat");
    expect(support).toContain("gen_ai.provider.name");
    expect(support).toContain("gen_ai.usage.cache_creation.input_tokens");
    expect(support).toContain("gen_ai.response.time_to_first_chunk");
    expect(support).not.toContain("gen_ai.system");
    const review = keysOf("code-review-agent");
    expect(review).toContain("gen_ai.usage.cache_write.input_tokens");
    expect(review).toContain("anthropic.usage.cache_creation.ephemeral_5m_input_tokens");
  });

  it("comes from all deployments and from about as many users as there are", () => {
    const traces = traffic({ calls: 3_000 });
    expect(new Set(traces.map(({ deployment }) => deployment)).size).toBe(DEPLOYMENTS.length);
    const users = new Set(
      spansOf(traces)
        .map((span) => read(span, "user.id") ?? read(span, "enduser.id"))
        .filter((user) => user !== undefined),
    );
    expect(users.size).toBe(USER_COUNT);
  });

  it("streams its first chunk after the begin and not after the end", () => {
    const streamed = spansOf(traffic()).filter(
      (span) => read(span, "gen_ai.response.time_to_first_chunk") !== undefined,
    );
    expect(streamed.length).toBeGreaterThan(100);
    for (const span of streamed) {
      const seconds = read(span, "gen_ai.response.time_to_first_chunk") as number;
      expect(seconds).toBeGreaterThan(0);
      expect(seconds).toBeLessThanOrEqual(Number(span.duration_ns) / 1e9);
    }
  });
});
