/**
 * The dialects, most particular first: the first that matches a span is taken. A new one is a file
 * beside this and a line here.
 */
import type { Signal } from "../../schemas/span.ts";
import { ANTHROPIC_SDK } from "./anthropic-sdk.ts";
import { COPILOT } from "./copilot.ts";
import {
  CLAUDE_CODE,
  CLAUDE_CODE_ANSWERED,
  CLAUDE_CODE_EARLY,
  CLAUDE_CODE_EVENTS,
} from "./claude-code.ts";
import { CODEX, CODEX_ANSWERED, CODEX_EVENTS, CODEX_FAILED, CODEX_THREAD } from "./codex.ts";
import type { Dialect } from "./dialect.ts";
import { GEMINI_CLI, GEMINI_CLI_ANSWERED, GEMINI_CLI_EVENTS } from "./gemini-cli.ts";
import { GENKIT, GENKIT_CALL } from "./genkit.ts";
import { GOOGLE_ADK_DIALECTS } from "./google-adk.ts";
import { LANGFUSE, LANGFUSE_AGENT } from "./langfuse.ts";
import { LANGSMITH } from "./langsmith.ts";
import { LITELLM } from "./litellm.ts";
import { LOGFIRE, LOGFIRE_STREAM } from "./logfire.ts";
import { MASTRA, MASTRA_FAILED } from "./mastra.ts";
import { OPENINFERENCE_DIALECTS } from "./openinference.ts";
import { OPENLIT_DIALECTS, OPENLIT_EVENT } from "./openlit.ts";
import { OTEL_AWS } from "./otel-aws.ts";
import { OTEL_GENAI_EVENT } from "./otel-genai-event.ts";
import { OTEL_GENAI } from "./otel-genai.ts";
import { OTEL_OPENAI_JS } from "./otel-openai-js.ts";
import { PYDANTIC_AI } from "./pydantic-ai.ts";
import { SEMANTIC_KERNEL } from "./semantic-kernel.ts";
import { STRANDS } from "./strands.ts";
import { TRACELOOP_DIALECTS } from "./traceloop.ts";
import { VERCEL_AI_4, VERCEL_AI_5, VERCEL_AI_6, VERCEL_AI_7 } from "./vercel-ai.ts";

export const DIALECTS: readonly Dialect[] = [
  CLAUDE_CODE,
  CODEX_THREAD,
  CODEX,
  GEMINI_CLI,
  VERCEL_AI_6,
  VERCEL_AI_5,
  VERCEL_AI_4,
  VERCEL_AI_7,
  MASTRA_FAILED,
  MASTRA,
  ...OPENINFERENCE_DIALECTS,
  LANGSMITH,
  LANGFUSE_AGENT,
  LANGFUSE,
  GENKIT_CALL,
  GENKIT,
  PYDANTIC_AI,
  LOGFIRE_STREAM,
  LOGFIRE,
  ANTHROPIC_SDK,
  OTEL_OPENAI_JS,
  OTEL_AWS,
  ...GOOGLE_ADK_DIALECTS,
  STRANDS,
  COPILOT,
  SEMANTIC_KERNEL,
  ...OPENLIT_DIALECTS,
  LITELLM,
  ...TRACELOOP_DIALECTS,
  OTEL_GENAI,
];

/** Those of log records (`events.ts`): each names its events in a kind table on `event.name`. */
export const EVENT_DIALECTS: readonly Dialect[] = [
  CLAUDE_CODE_EARLY,
  CLAUDE_CODE_ANSWERED,
  CLAUDE_CODE_EVENTS,
  CODEX_ANSWERED,
  CODEX_FAILED,
  CODEX_EVENTS,
  GEMINI_CLI_ANSWERED,
  GEMINI_CLI_EVENTS,
  OPENLIT_EVENT,
  OTEL_GENAI_EVENT,
];

/** The signal that counts, by dialect, of clients that send a call by several (dialects.md 12 to 14). */
export const PREFERRED_SIGNALS: ReadonlyMap<string, Signal> = new Map([
  [CLAUDE_CODE.name, "log"],
  [CODEX.name, "log"],
  [GEMINI_CLI.name, "log"],
]);

/** Dialects whose calls carry the session id that aggregates of other dialects repeat (section 18). */
export const SESSION_SOURCES: ReadonlySet<string> = new Set([CLAUDE_CODE.name]);
