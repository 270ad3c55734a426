/**
 * Clients whose own attributes this version does not read. Their spans are recognised, so that nobody
 * has to guess: what counts of them by the OpenTelemetry names alone is `estimated`, and what does not
 * count says whose it is.
 */
import type { Scope } from "../../schemas/span.ts";
import { registerKeys, type SlotValues } from "./slots.ts";

/** Attributes that only one client sets. */
const MARKS: readonly (readonly [string, readonly number[]])[] = [
  ["OpenInference", registerKeys("openinference.span.kind")],
  ["Langfuse", registerKeys("langfuse.observation.type")],
  ["LangSmith", registerKeys("langsmith.span.kind")],
  ["OpenLLMetry", registerKeys("traceloop.span.kind", "llm.request.type")],
  ["Vercel AI SDK", registerKeys("ai.operationId")],
  ["Mastra", registerKeys("mastra.span.type")],
  ["Genkit", registerKeys("genkit:type")],
];

/** Beginnings of scope names that only one client uses. */
const SCOPES: readonly (readonly [string, string])[] = [
  ["OpenLLMetry", "@traceloop/"],
  ["OpenLIT", "@openlit/"],
  ["OpenLIT", "openlit"],
  ["Google ADK", "gcp.vertex.agent"],
  ["Claude Code", "com.anthropic.claude_code"],
  ["Codex", "codex_"],
  ["Gemini CLI", "gemini-cli"],
  ["OpenInference", "@arizeai/"],
  ["OpenInference", "openinference.instrumentation."],
];

/** Whose span it is; undefined for spans of no known other client. */
export function nameOtherClient(scope: Scope, values: SlotValues): string | undefined {
  for (const [client, slots] of MARKS) if (values.has(slots)) return client;
  return SCOPES.find(([, beginning]) => scope.name.startsWith(beginning))?.[0];
}
