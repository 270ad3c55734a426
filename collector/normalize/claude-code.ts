/**
 * Claude Code and the Claude Agent SDK (dialects.md section 12, captured on 2.1.329): one call is a
 * log event `api_request` and, in the tracing beta, a span `claude_code.llm_request`.
 *
 * Invariant: `input_tokens` leaves out the cache, in both; only the event knows how long a cache write
 * lives. An attempt that failed is one `api_error`: `api_retries_exhausted` only sums them up.
 */
import { type Dialect, extendKeys, kindsOf, ORDINARY } from "./dialect.ts";
import { OPERATION_KINDS, OTEL_FIELDS, OTEL_USAGE } from "./otel-genai.ts";
import { registerKeys } from "./slots.ts";

/** Of the scopes `.events`, `.tracing` and, for metrics, none. */
const SCOPE = "com.anthropic.claude_code";

const EVENT_NAME = registerKeys("event.name");

const FIELDS = extendKeys(OTEL_FIELDS, {
  provider: ["anthropic.provider"],
  finish_reason: ["stop_reason"],
  service_tier: ["speed"],
  error_type: ["error_class"],
  error_message: ["error"],
  http_status: ["status_code"],
  ttft_ms: ["ttft_ms"],
  agent_name: ["agent.name"],
  client_cost_usd: ["cost_usd"],
});

/** Who asks, where no id of a user is sent: what a login adds. */
const USERS = [...FIELDS.user_id, ...registerKeys("user.account_uuid", "user.email")];

const USAGE = extendKeys(OTEL_USAGE, {
  input_uncached: ["input_tokens"],
  output: ["output_tokens"],
  cache_read: ["cache_read_tokens"],
  cache_write: ["cache_creation_tokens"],
  cache_write_5m: ["cache_creation_5m_tokens"],
  cache_write_1h: ["cache_creation_1h_tokens"],
});

/** The spans; `model` is the one asked for. */
export const CLAUDE_CODE: Dialect = {
  ...ORDINARY,
  name: "claude-code",
  matches: (scope) => scope.name.startsWith(SCOPE),
  fields: {
    ...extendKeys(FIELDS, { session_id: ["session.id"] }),
    user_id: USERS,
    either_model: registerKeys("model"),
  },
  usage: USAGE,
  kinds: [
    {
      keys: registerKeys("span.type"),
      kinds: kindsOf([
        ["billable", "chat", "llm_request"],
        ["tool", "execute_tool", "tool"],
        ["structure", "invoke_agent", "interaction"],
        ["structure", "", "tool.blocked_on_user tool.execution hook"],
      ]),
    },
    OPERATION_KINDS,
  ],
  failures: [{ keys: registerKeys("success"), words: new Set(["false"]) }],
};

const EVENT_KINDS = kindsOf([
  ["billable", "chat", "api_request claude_code.api_request"],
  ["billable", "chat", "api_error claude_code.api_error"],
  ["structure", "", "api_retries_exhausted claude_code.api_retries_exhausted"],
  ["structure", "", "user_prompt claude_code.user_prompt"],
  ["tool", "execute_tool", "tool_result claude_code.tool_result"],
  ["structure", "", "tool_decision claude_code.tool_decision"],
]);

/** The log events; `model` is the one asked for. */
export const CLAUDE_CODE_EVENTS: Dialect = {
  ...CLAUDE_CODE,
  kinds: [{ keys: EVENT_NAME, kinds: EVENT_KINDS }],
  failures: [
    { keys: EVENT_NAME, words: new Set(["api_error", "claude_code.api_error"]) },
    ...CLAUDE_CODE.failures,
  ],
};

/** The event of a call that was answered: `model` is the one that answered. */
export const CLAUDE_CODE_ANSWERED: Dialect = {
  ...CLAUDE_CODE_EVENTS,
  matches: (scope, values) => {
    const name = values.first(EVENT_NAME);
    if (!scope.name.startsWith(SCOPE)) return false;
    return name === "api_request" || name === "claude_code.api_request";
  },
  fields: {
    ...extendKeys(CLAUDE_CODE.fields, { response_model: ["model"] }),
    either_model: [],
  },
};

/** Versions before 1.0.88 (1.0.86 measured wrong, 1.0.88 right). */
const EARLY = /^(?:0\.|1\.0\.(?:\d|[1-7]\d|8[0-7])$)/;

/** The same of early versions, which add the tokens of a stream's first event to those of the last. */
export const CLAUDE_CODE_EARLY: Dialect = {
  ...CLAUDE_CODE_ANSWERED,
  matches: (scope, values) =>
    EARLY.test(scope.version) && CLAUDE_CODE_ANSWERED.matches(scope, values),
  estimate: () => "this version counts the first tokens of a stream twice",
};
