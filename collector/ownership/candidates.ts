/**
 * Spans as they come from ClickHouse for the counting rules, made candidates.
 *
 * Invariant: each span is one candidate, of its last version, and of a trace that was asked for.
 */
import type { Candidate } from "../../schemas/ledger.ts";
import type { Signal, SpanClass, UsageStatus } from "../../schemas/span.ts";

/** A trace of a project. */
export interface TraceKey {
  readonly project_id: string;
  readonly trace_id: string;
}

/** A candidate with what the resolver needs beside the rules. */
export interface StoredCandidate extends Candidate {
  readonly project_id: string;
  /** Of two rows of one span the higher holds. */
  readonly sequence: number;
  /** When it arrived, Unix ms. */
  readonly ingested_ms: number;
}

/** A row of `clickhouse/queries/select_candidates.sql`, by position; 64-bit numbers are text. */
export type CandidateRow = readonly [
  project_id: string,
  start_ns: string,
  trace_id: string,
  span_id: string,
  parent_span_id: string,
  duration_ns: string,
  name: string,
  span_class: SpanClass,
  signal: Signal,
  dialect: string,
  scope_name: string,
  service_name: string,
  status: string,
  finish_reason: string,
  provider: string,
  model: string,
  response_id: string,
  usage_status: UsageStatus,
  known_classes: number,
  input_known: number,
  output_known: number,
  input_total: number,
  output_total: number,
  provider_calls: number,
  is_priced: number,
  user_id: string,
  session_id: string,
  agent_name: string,
  sequence: string,
  ingested_ms: number,
];

/** A name of the trace, by itself among all projects. */
export function nameOf({ project_id, trace_id }: TraceKey): string {
  return `${trace_id} ${project_id}`;
}

/**
 * The last version of each span. A question names projects and traces apart, so that a trace id that
 * two projects use may bring along a trace that was not asked for: `names` are those that were.
 */
export function candidatesOf(
  rows: readonly CandidateRow[],
  names: ReadonlySet<string>,
): StoredCandidate[] {
  const latest = new Map<string, StoredCandidate>();
  for (const row of rows) {
    const candidate = candidateOf(row);
    if (!names.has(nameOf(candidate))) continue;
    const identity = `${candidate.key} ${candidate.project_id}`;
    const known = latest.get(identity);
    if (known === undefined || known.sequence <= candidate.sequence) {
      latest.set(identity, candidate);
    }
  }
  return [...latest.values()];
}

function candidateOf(row: CandidateRow): StoredCandidate {
  const [
    project_id,
    start_ns,
    trace_id,
    span_id,
    parent_span_id,
    duration_ns,
    name,
    span_class,
    signal,
    dialect,
    scope_name,
    service_name,
    status,
    finish_reason,
    provider,
    model,
    response_id,
    usage_status,
    known_classes,
    input_known,
    output_known,
    input_total,
    output_total,
    provider_calls,
    is_priced,
    user_id,
    session_id,
    agent_name,
    sequence,
    ingested_ms,
  ] = row;
  return {
    project_id,
    key: `${start_ns} ${trace_id} ${span_id}`,
    trace_id,
    span_id,
    parent_span_id,
    start_ns: BigInt(start_ns),
    duration_ns: BigInt(duration_ns),
    name,
    span_class,
    signal,
    dialect,
    scope_name,
    service_name,
    status,
    finish_reason,
    provider,
    model,
    response_id,
    usage_status,
    known_classes,
    input_total: input_known === 1 ? input_total : null,
    output_total: output_known === 1 ? output_total : null,
    provider_calls: provider_calls === 0 ? null : provider_calls,
    is_priced: is_priced === 1,
    user_id,
    session_id,
    agent_name,
    sequence: Number(sequence),
    ingested_ms,
  };
}
