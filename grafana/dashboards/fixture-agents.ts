/**
 * What coding assistants and MCP tools send, for the tests of the dashboards: events as
 * collector/normalize leaves them.
 *
 * Invariant: there are rows in the last hour and before.
 */
import { Attributes, type Span } from "../../schemas/span.ts";
import { insertSpans } from "../../test/support/ledger.ts";
import { byClass, makeSpan } from "../../test/support/span.ts";
import { DAY_MS, HOUR_MS, NOW_MS, type Seed } from "../fixture.ts";

/** Of a project that the tests pick. */
const PROJECT = "alpha";

const NOT_A_CALL: Partial<Span> = {
  operation: "",
  request_model: "",
  response_model: "",
  response_id: "",
  provider: "",
  finish_reason: "",
  tokens: byClass({}),
  cost: byClass({}),
  cost_status: "none",
  usage_status: "none",
  price_id: "",
  provider_calls: null,
};

/** A session of Claude Code: a prompt, two calls, three decisions, a built-in tool and one of MCP. */
export const seedAssistants: Seed = async (engine, random) => {
  const sessions = [NOW_MS - HOUR_MS / 2, NOW_MS - 3 * DAY_MS];
  const spans = sessions.flatMap((start_ms, session) => {
    const event = (offset_s: number, name: string, changes: Partial<Span>): Span =>
      makeSpan({
        project_id: PROJECT,
        start_ns: BigInt(start_ms + offset_s * 1000) * 1_000_000n,
        duration_ns: 0n,
        trace_id: random.bytes(16),
        span_id: random.bytes(8),
        name,
        signal: "log",
        dialect: "claude-code",
        scope_name: "com.anthropic.claude_code.events",
        service_name: "claude-code",
        environment: "",
        user_id: "o'brien",
        session_id: `assistant-${session}`,
        span_class: "structure",
        ...NOT_A_CALL,
        ...changes,
      });
    const call = (offset_s: number, finish_reason: string): Span =>
      event(offset_s, "api_request", {
        finish_reason,
        span_class: "billable",
        operation: "chat",
        provider: "anthropic",
        request_model: "claude-sonnet-4",
        response_model: "claude-sonnet-4",
        duration_ns: 4_000_000_000n,
        ttft_ns: 700_000_000n,
        tokens: byClass({ input_uncached: 25, cache_read: 2_000, output_text: 60 }),
        cost: byClass({
          input_uncached: 75_000_000n,
          cache_read: 600_000_000n,
          output_text: 900_000_000n,
        }),
        cost_status: "priced",
        usage_status: "reported",
        price_id: "anthropic/claude-sonnet-4/standard/2026-01-01",
        provider_calls: 1,
      });
    const decision = (offset_s: number, tool: string, word: string, source: string): Span =>
      event(offset_s, "tool_decision", {
        attributes: new Attributes(["tool_name", "decision", "source"], [tool, word, source]),
      });
    const tool = (offset_s: number, name: string, status: "unset" | "error"): Span =>
      event(offset_s, "tool_result", {
        span_class: "tool",
        operation: "execute_tool",
        duration_ns: 250_000_000n,
        status,
        attributes: new Attributes(["tool_name", "duration_ms"], [name, 250]),
      });
    return [
      event(0, "user_prompt", {}),
      call(1, "tool_call"),
      decision(6, "Edit", "accept", "config"),
      tool(7, "Edit", "unset"),
      decision(8, "mcp__docs__search", "accept", "user_temporary"),
      tool(9, "mcp__docs__search", "error"),
      decision(10, "Bash", "reject", "user_reject"),
      call(11, "content_filter"),
    ];
  });
  await insertSpans(engine, spans, 3);
};

/** A tool that failed in a seeded trace of an agent, with an event and with what was said. */
export const seedContent: Seed = async (engine, random) => {
  const [run] = await engine.query<{ trace: string; session: string; start_ns: string }>(
    "SELECT lower(hex(trace_id)) AS trace, session_id AS session, toString(toUnixTimestamp64Nano(ts)) AS start_ns FROM spans WHERE operation = 'invoke_agent' ORDER BY ts DESC LIMIT 1",
  );
  if (run === undefined) throw new Error("no agent was seeded");
  const start_ns = BigInt(run.start_ns) + 3_000_000_000n;
  const span = makeSpan({
    ...NOT_A_CALL,
    project_id: PROJECT,
    start_ns,
    trace_id: Uint8Array.from(Buffer.from(run.trace, "hex")),
    span_id: random.bytes(8),
    name: "execute_tool lookup",
    span_class: "tool",
    operation: "execute_tool",
    status: "error",
    error_type: "tool_error",
    session_id: run.session,
    service_name: "o'brien's service",
    attributes: new Attributes(
      ["gen_ai.tool.name", "gen_ai.tool.call.arguments"],
      ["lookup", '{"who":"it\'s me"}'],
    ),
    events: [
      {
        name: "exception",
        time_ns: start_ns + 1_000_000n,
        attributes: new Attributes(
          ["exception.type", "gen_ai.event.content"],
          ["ToolError", "said o'brien"],
        ),
      },
    ],
  });
  await insertSpans(engine, [span], 4);
};
