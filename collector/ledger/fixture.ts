/**
 * Candidates for the tests of the counting rules: a billable span with usage unless a test says
 * otherwise.
 *
 * Invariant: ids are readable names, and the key is made of what identifies the span.
 */
import type { Candidate, Decision } from "../../schemas/ledger.ts";
import type { CountOptions } from "./count.ts";
import { decideCalls } from "./count.ts";

/** Options of a world in which every trace has settled. */
export const SETTLED: CountOptions = {
  is_settled: () => true,
  prefer_signal: new Map([
    ["claude-code", "log"],
    ["codex", "log"],
  ]),
  session_sources: new Set(["claude-code"]),
};

/** A billable span of 100 input and 20 output tokens, in trace `t`, at 1 s, for 1 s. */
export function call(span_id: string, changes: Partial<Candidate> = {}): Candidate {
  const fields = {
    trace_id: "t",
    span_id,
    parent_span_id: "",
    start_ns: 1_000_000_000n,
    duration_ns: 1_000_000_000n,
    name: "chat",
    span_class: "billable",
    signal: "span",
    dialect: "otel-genai",
    scope_name: "scope",
    service_name: "service",
    status: "unset",
    provider: "openai",
    model: "gpt-5-mini",
    response_id: "",
    usage_status: "reported",
    known_classes: 2,
    input_total: 100,
    output_total: 20,
    is_priced: true,
    provider_calls: 1,
    user_id: "",
    session_id: "",
    agent_name: "",
    finish_reason: "",
    ...changes,
  } satisfies Omit<Candidate, "key">;
  return { key: `${fields.start_ns} ${fields.trace_id} ${span_id}`, ...fields };
}

/** What a call without usage has in place of it. */
export const NO_USAGE = {
  usage_status: "missing",
  known_classes: 0,
  input_total: null,
  output_total: null,
  is_priced: false,
} as const satisfies Partial<Candidate>;

/** A call whose usage nobody reported. */
export function silent(span_id: string, changes: Partial<Candidate> = {}): Candidate {
  return call(span_id, { ...NO_USAGE, ...changes });
}

/** An agent's span that repeats the usage of its calls. */
export function aggregate(span_id: string, changes: Partial<Candidate> = {}): Candidate {
  return call(span_id, {
    span_class: "aggregate",
    usage_status: "aggregate",
    provider_calls: null,
    ...changes,
  });
}

/** A span that is no call and has no usage. */
export function frame(span_id: string, changes: Partial<Candidate> = {}): Candidate {
  return call(span_id, {
    ...NO_USAGE,
    span_class: "structure",
    usage_status: "none",
    provider_calls: null,
    ...changes,
  });
}

/** The rows that the decisions leave, in key order. */
export function rowsOf(
  candidates: readonly Candidate[],
  decisions: ReadonlyMap<string, Decision>,
): Candidate[] {
  return candidates
    .filter(({ key, span_class }) => decisions.get(key)?.counted ?? span_class === "billable")
    .toSorted((a, b) => (a.key < b.key ? -1 : 1));
}

/** Names of the spans that count, sorted, and the decisions by name. */
export function count(
  candidates: readonly Candidate[],
  changes: Partial<CountOptions> = {},
): { counted: string[]; of: (name: string) => Decision | undefined } {
  const decisions = decideCalls(candidates, { ...SETTLED, ...changes });
  return {
    counted: rowsOf(candidates, decisions)
      .map((row) => row.span_id)
      .sort(),
    of: (name) => {
      const candidate = candidates.find(({ span_id }) => span_id === name);
      return candidate === undefined ? undefined : decisions.get(candidate.key);
    },
  };
}
