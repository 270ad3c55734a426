/**
 * Codex CLI (dialects.md section 13, captured on 0.169): log events of the scope `codex_otel.log_only`,
 * and hundreds of spans for each turn whose scope is the program (`codex_exec`, `codex_cli_rs`).
 *
 * Invariant: the event `response.completed` with token counts is the call; the one without is the same
 * answer once more. `tool_token_count` is the total. Input holds the cache, output the reasoning.
 */
import type { Scope } from "../../schemas/span.ts";
import { type Dialect, extendKeys, kindsOf, ORDINARY } from "./dialect.ts";
import { OTEL_FIELDS, OTEL_USAGE } from "./otel-genai.ts";
import { registerKeys, type SlotValues } from "./slots.ts";
import { readHttpStatus } from "./values.ts";

const EVENT_NAME = registerKeys("event.name");
const EVENT_KIND = registerKeys("event.kind");
const INPUT = registerKeys("input_token_count");
const ERROR = registerKeys("error.message");
const ENDPOINT = registerKeys("endpoint");
const THREAD = registerKeys("thread.id");

function isCodex(scope: Scope): boolean {
  return /^codex/i.test(scope.name);
}

const FIELDS = extendKeys(OTEL_FIELDS, {
  either_model: ["model"],
  ttft_ms: ["ttft_ms"],
  session_id: ["conversation.id"],
});

/** The spans, most of which only hold others; the model is on spans above the call. */
export const CODEX: Dialect = {
  ...ORDINARY,
  name: "codex",
  matches: isCodex,
  fields: {
    ...FIELDS,
    user_id: [...FIELDS.user_id, ...registerKeys("user.account_id", "user.email")],
  },
  usage: extendKeys(OTEL_USAGE, {
    input: ["codex.turn.token_usage.input_tokens"],
    output: ["codex.turn.token_usage.output_tokens"],
    total: ["codex.turn.token_usage.total_tokens", "codex.usage.total_tokens"],
    cache_read: ["codex.turn.token_usage.cached_input_tokens"],
    cache_write: ["codex.turn.token_usage.cache_write_input_tokens"],
    reasoning: [
      "codex.turn.token_usage.reasoning_output_tokens",
      "codex.usage.reasoning_output_tokens",
    ],
  }),
  kinds: [
    {
      keys: registerKeys("codex.turn.token_usage.total_tokens"),
      kinds: new Map(),
      otherwise: { word: "a Codex turn", span_class: "aggregate", operation: "invoke_agent" },
    },
    {
      keys: registerKeys("gen_ai.usage.input_tokens", "codex.usage.total_tokens"),
      kinds: new Map(),
      otherwise: {
        word: "Codex's handling of a response",
        span_class: "billable",
        operation: "chat",
        streaming: true,
      },
    },
    {
      keys: registerKeys("target", "code.module.name", "busy_ns", "thread.id", "model"),
      kinds: new Map(),
      otherwise: { word: "a frame of Codex", span_class: "structure", operation: "" },
    },
  ],
};

/** `thread.id` is the conversation on some spans and the number of a thread on all. */
export const CODEX_THREAD: Dialect = {
  ...CODEX,
  matches: (scope, values) => {
    if (!isCodex(scope)) return false;
    const thread = values.first(THREAD);
    return typeof thread === "string" && thread.includes("-");
  },
  fields: {
    ...CODEX.fields,
    session_id: [...CODEX.fields.session_id, ...THREAD],
  },
};

/** Events beside the calls. */
export const CODEX_EVENTS: Dialect = {
  ...CODEX,
  usage: extendKeys(OTEL_USAGE, {
    input: ["input_token_count"],
    output: ["output_token_count"],
    total: ["tool_token_count"],
    cache_read: ["cached_token_count"],
    cache_write: ["cache_write_token_count"],
    reasoning: ["reasoning_token_count"],
  }),
  kinds: [
    {
      keys: EVENT_NAME,
      kinds: kindsOf([
        ["structure", "", "codex.conversation_starts codex.user_prompt codex.tool_decision"],
        ["tool", "execute_tool", "codex.tool_result"],
      ]),
    },
  ],
};

/** Whether a stream ended with an answer: with its counts, why they could not be read, or cut short. */
function isAnswer(values: SlotValues): boolean {
  if (values.first(EVENT_NAME) !== "codex.sse_event") return false;
  const kind = values.first(EVENT_KIND);
  if (kind === "response.completed") return values.has(INPUT) || values.has(ERROR);
  return kind === "response.incomplete";
}

/** A call that was answered and billed. */
export const CODEX_ANSWERED: Dialect = {
  ...CODEX_EVENTS,
  matches: (scope, values) => isCodex(scope) && isAnswer(values),
  kinds: [{ keys: EVENT_NAME, kinds: kindsOf([["billable", "chat", "codex.sse_event", true]]) }],
};

function isBrokenStream(values: SlotValues): boolean {
  const kind = values.first(EVENT_KIND);
  if (values.first(EVENT_NAME) !== "codex.sse_event") return false;
  // A stream that breaks or falls silent has no event to name; an event that names one goes on.
  return kind === undefined ? values.has(ERROR) : kind === "response.failed";
}

/** An HTTP request that was refused or got no answer. One that was answered is told by its stream. */
function isFailedRequest(values: SlotValues): boolean {
  if (values.first(EVENT_NAME) !== "codex.api_request") return false;
  const endpoint = values.first(ENDPOINT);
  if (typeof endpoint === "string" && !/responses|completions/.test(endpoint)) return false;
  const status = readHttpStatus(values.first(FIELDS.http_status));
  return status === undefined ? values.has(ERROR) : status >= 400;
}

/** A call that failed: one row for each attempt. */
export const CODEX_FAILED: Dialect = {
  ...CODEX_EVENTS,
  matches: (scope, values) => isCodex(scope) && (isBrokenStream(values) || isFailedRequest(values)),
  kinds: [
    {
      keys: EVENT_NAME,
      kinds: kindsOf([
        ["billable", "chat", "codex.sse_event", true],
        ["billable", "chat", "codex.api_request"],
      ]),
    },
  ],
  failures: [{ keys: EVENT_NAME, words: new Set(["codex.sse_event", "codex.api_request"]) }],
};
