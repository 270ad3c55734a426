/**
 * Gemini CLI (dialects.md section 14, captured on 0.61): the event `gemini_cli.api_response` is the
 * only report of a call with all classes; the span `llm_call` and the event of the GenAI conventions
 * leave out the cache, the thoughts and the prompts of tools.
 *
 * Invariant: an attempt is one event, `api_response` or `api_error`; `api_request` only announces it.
 */
import { type Dialect, extendKeys, kindsOf, ORDINARY } from "./dialect.ts";
import { OPERATION_KINDS, OTEL_FIELDS, OTEL_USAGE } from "./otel-genai.ts";
import { registerKeys } from "./slots.ts";

const SCOPE = "gemini-cli";

const EVENT_NAME = registerKeys("event.name");

/** The spans. */
export const GEMINI_CLI: Dialect = {
  ...ORDINARY,
  name: "gemini-cli",
  matches: (scope) => scope.name === SCOPE,
  fields: {
    ...OTEL_FIELDS,
    user_id: [...OTEL_FIELDS.user_id, ...registerKeys("user.email")],
  },
  usage: OTEL_USAGE,
  kinds: [
    {
      keys: OTEL_FIELDS.operation,
      kinds: kindsOf([
        ["billable", "generate_content", "llm_call"],
        ["tool", "execute_tool", "tool_call"],
        ["structure", "", "agent_call user_prompt system_prompt schedule_tool_calls"],
      ]),
    },
    OPERATION_KINDS,
  ],
  output_excludes_reasoning_of: "all",
  hides_cache_of: "all",
  hides_reasoning_of: "all",
};

const EVENT_FIELDS = extendKeys(GEMINI_CLI.fields, {
  // How the user is logged in tells whose API is called.
  provider: ["auth_type"],
  finish_reason: ["finish_reasons"],
  error_type: ["error_type"],
  error_message: ["error"],
  http_status: ["status_code"],
});

/** The log events; `model` is the one asked for. */
export const GEMINI_CLI_EVENTS: Dialect = {
  ...GEMINI_CLI,
  fields: { ...EVENT_FIELDS, either_model: registerKeys("model", "model_name") },
  usage: extendKeys(OTEL_USAGE, {
    input: ["input_token_count"],
    output: ["output_token_count"],
    total: ["total_token_count"],
    cache_read: ["cached_content_token_count"],
    tool_input: ["tool_token_count"],
    reasoning: ["thoughts_token_count"],
  }),
  kinds: [
    {
      keys: EVENT_NAME,
      kinds: kindsOf([
        ["billable", "generate_content", "gemini_cli.api_response gemini_cli.api_error"],
        ["tool", "execute_tool", "gemini_cli.tool_call"],
        ["structure", "", "gemini_cli.user_prompt"],
        // Says less of the same call than the events above.
        ["structure", "", "gen_ai.client.inference.operation.details"],
      ]),
    },
  ],
  failures: [{ keys: EVENT_NAME, words: new Set(["gemini_cli.api_error"]) }],
  lists_reasons_by_chunk: true,
};

/** The event of a call that was answered: `model` is the one that answered. */
export const GEMINI_CLI_ANSWERED: Dialect = {
  ...GEMINI_CLI_EVENTS,
  matches: (scope, values) =>
    scope.name === SCOPE && values.first(EVENT_NAME) === "gemini_cli.api_response",
  fields: extendKeys(EVENT_FIELDS, { response_model: ["model"] }),
};
