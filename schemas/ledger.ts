/**
 * The vocabulary of counting: what the rules of DESIGN section 5.2 and 5.3 look at (a candidate), and
 * what they decide of it (a decision). The rules themselves are `collector/ledger/count.ts`.
 *
 * Invariant: a decision says nothing that the candidate's own row says already, so a call that no
 * other span contests has none.
 */
import type { Signal, SpanClass, UsageStatus } from "./span.ts";

/** A span as the counting rules see it. Ids are lower-case hex; "" is none. */
export interface Candidate {
  /** `<start_ns> <trace_id> <span_id>`: the identity of the span in its project. */
  readonly key: string;
  readonly trace_id: string;
  readonly span_id: string;
  readonly parent_span_id: string;
  /** Unix time, ns. */
  readonly start_ns: bigint;
  readonly duration_ns: bigint;
  readonly name: string;
  readonly span_class: SpanClass;
  readonly signal: Signal;
  readonly dialect: string;
  readonly scope_name: string;
  readonly service_name: string;
  /** "error" or anything else. */
  readonly status: string;
  readonly provider: string;
  /** Response model, or request model where that is unknown. */
  readonly model: string;
  readonly response_id: string;
  readonly usage_status: UsageStatus;
  /** Classes of tokens that are known. */
  readonly known_classes: number;
  /** Null when unknown. */
  readonly input_total: number | null;
  readonly output_total: number | null;
  /** Whether the call is priced, so that of two equal reports the one with a cost is kept. */
  readonly is_priced: boolean;
  /** Calls of the provider that the span says it stands for; null when it does not say. */
  readonly provider_calls: number | null;
  readonly user_id: string;
  readonly session_id: string;
  readonly agent_name: string;
  /** Why the model stopped; "" when the report does not say. */
  readonly finish_reason: string;
}

/** What becomes of one candidate. */
export interface Decision {
  readonly key: string;
  /** Whether the span is a row of the ledger. */
  readonly counted: boolean;
  /** The aggregate of a trace that may still bring calls: counted when the trace has settled. */
  readonly waits: boolean;
  /** Other reports of this call that are not counted. */
  readonly duplicates: number;
  readonly suspected_duplicate: boolean;
  /** Calls of the provider that the row stands for; null when unknown, and for what is no row. */
  readonly provider_calls: number | null;
  /** The usage stands for several calls, whatever the span says of itself. */
  readonly is_aggregate: boolean;
  /** Context taken over from an ancestor or a twin; "" keeps what the span says. */
  readonly user_id: string;
  readonly session_id: string;
  readonly agent_name: string;
  /** Taken over from another report of the call; "" keeps what the span says. */
  readonly finish_reason: string;
  /** Why it counts or does not, beside what the span says of itself; "" adds nothing. */
  readonly reason: string;
  /** The call that is counted in place of this one: `<trace_id>-<span_id>`; "" for none. */
  readonly counted_by: string;
}
