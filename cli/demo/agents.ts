/**
 * Agents: they call a model, run a tool, call the model again with the result. The agent's own span
 * repeats what its calls used, as SDKs do; the ledger must not count it twice.
 *
 * Invariant: usage on `invoke_agent` is the sum of the usage of the calls below it.
 */
import { type ObservedCall, timeCall, type Workload } from "./calls.ts";
import { GENERATION_3 } from "./dialects.ts";
import type { Model } from "./models.ts";
import {
  addUsage,
  type DemoUsage,
  NO_USAGE,
  type PlannedAttribute,
  type PlannedSpan,
} from "./plan.ts";
import { drawInteger, drawOne, drawTokens, type LogNormal } from "./random.ts";
import {
  attempt,
  callSpan,
  drawNs,
  holdSpans,
  type Instrumentation,
  plainSpan,
  type Scene,
  succeeded,
} from "./spans.ts";

/** What an agent is made of. */
export interface Agent {
  readonly name: string;
  readonly model: Model;
  /** Who reports the agent and its tools. */
  readonly scope: PlannedSpan["scope"];
  /** Who reports its model calls. */
  readonly calls: Instrumentation;
  readonly tools: readonly [string, ...string[]];
  readonly max_turns: number;
  /** Tokens of what it starts with: instructions, tools, the request. */
  readonly context: LogNormal;
  /** Tokens a tool gives back. */
  readonly tool_result: LogNormal;
  /** Tokens of one answer. */
  readonly output: LogNormal;
  readonly reasoning: LogNormal | null;
}

const TOOL_NS: LogNormal = { median: 140_000_000, sigma: 1.1, maximum: 8_000_000_000 };

/** Usage of one turn: what the earlier turns left in the cache is read, what came since is new. */
function useTurn(scene: Scene, agent: Agent, seen: number, fresh: number): DemoUsage {
  const { random } = scene;
  const output_text = drawTokens(random, agent.output);
  const output_reasoning = agent.reasoning === null ? 0 : drawTokens(random, agent.reasoning);
  const output = { output_text, output_reasoning };
  if (agent.model.provider === "anthropic") {
    const input_uncached = drawInteger(random, 3, 40);
    return { input_uncached, cache_read: seen, cache_write_5m: fresh, ...output };
  }
  // OpenAI caches whole blocks of 128 tokens from 1,024 on, and writes for free.
  const cache_read = seen < 1_024 ? 0 : Math.floor(seen / 128) * 128;
  const input_uncached = seen + fresh - cache_read;
  return { input_uncached, cache_read, cache_write_5m: 0, ...output };
}

/** Runs an agent on one request; null when no call is left for it. */
export function runAgent(
  scene: Scene,
  agent: Agent,
  who: readonly PlannedAttribute[],
  before: readonly ObservedCall[] = [],
): PlannedSpan | null {
  const workload = workloadOf(agent);
  const attributes = [["gen_ai.agent.name", agent.name] as const, ...who];
  const spans = before.map((call) => callSpan(call, agent.calls, attributes));
  const turns = drawInteger(scene.random, 2, agent.max_turns);
  let seen = 0;
  let fresh = drawTokens(scene.random, agent.context);
  for (let turn = 1; turn <= turns; turn += 1) {
    const usage = useTurn(scene, agent, seen, fresh);
    const finish_reason = turn < turns ? "tool_calls" : "stop";
    const attempts = attempt(scene, agent.model, workload, () => ({
      ...timeCall(scene.random, agent.model, workload, usage),
      finish_reason,
    }));
    spans.push(...attempts.map((call) => callSpan(call, agent.calls, attributes)));
    if (!succeeded(attempts)) break;
    seen += fresh;
    fresh = usage.output_text + drawTokens(scene.random, agent.tool_result);
    if (turn < turns) spans.push(toolSpan(scene, agent, attributes));
  }
  return spans.length === 0 ? null : agentSpan(scene, agent, attributes, spans);
}

function workloadOf(agent: Agent): Workload {
  return {
    operation: "chat",
    streaming: true,
    input: agent.context,
    output: agent.output,
    reasoning: agent.reasoning,
    cached_share: 0,
    cached_tokens: 0,
  };
}

function toolSpan(scene: Scene, agent: Agent, attributes: readonly PlannedAttribute[]) {
  const tool = drawOne(scene.random, agent.tools);
  return plainSpan({
    name: `execute_tool ${tool}`,
    kind: "internal",
    scope: agent.scope,
    duration_ns: drawNs(scene.random, TOOL_NS),
    attributes: [
      ["gen_ai.operation.name", "execute_tool"],
      ["gen_ai.tool.name", tool],
      ["gen_ai.tool.type", "function"],
      ...attributes,
    ],
  });
}

/** The span of the whole run, with the sum of its calls. */
function agentSpan(
  scene: Scene,
  agent: Agent,
  attributes: readonly PlannedAttribute[],
  spans: readonly PlannedSpan[],
): PlannedSpan {
  const reported = spans.flatMap((span) => span.call?.usage ?? []);
  const failure = spans.at(-1)?.call?.failure ?? null;
  const parent = plainSpan({
    name: `invoke_agent ${agent.name}`,
    kind: "internal",
    scope: agent.scope,
    attributes: [
      ["gen_ai.operation.name", "invoke_agent"],
      ["gen_ai.provider.name", agent.model.provider],
      ["gen_ai.request.model", agent.model.name],
      ...attributes,
      ...(failure === null ? [] : [["error.type", failure.error_type] as const]),
      ...(reported.length === 0
        ? []
        : GENERATION_3.describeUsage(reported.reduce(addUsage, NO_USAGE))),
    ],
    error_message: failure?.message ?? null,
  });
  return holdSpans(scene.random, parent, spans);
}
