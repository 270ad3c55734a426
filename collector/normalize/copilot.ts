/**
 * GitHub Copilot, CLI and VS Code (dialects.md section 15): the conventions, with older names of
 * VS Code's beside them.
 *
 * Invariant: `github.copilot.cost` counts Copilot's own units, not dollars, and is not read.
 */
import { type Dialect, extendKeys } from "./dialect.ts";
import { OTEL_FIELDS, OTEL_GENAI } from "./otel-genai.ts";

export const COPILOT: Dialect = {
  ...OTEL_GENAI,
  name: "copilot",
  matches: (scope, values) =>
    /^(github\.copilot|copilot[-_]chat)/.test(scope.name) && OTEL_GENAI.matches(scope, values),
  fields: extendKeys(OTEL_FIELDS, {
    ttft_ms: ["copilot_chat.time_to_first_token"],
    session_id: ["gen_ai.conversation.id", "copilot_chat.chat_session_id"],
  }),
};
