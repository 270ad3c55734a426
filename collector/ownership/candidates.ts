/**
 * Spans as they come from ClickHouse for the counting rules: rows in columns, made candidates.
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

/** Rows of spans by column; 64-bit numbers are text. */
export interface CandidateColumns {
  readonly project_id: readonly string[];
  readonly start_ns: readonly string[];
  readonly trace_id: readonly string[];
  readonly span_id: readonly string[];
  readonly parent_span_id: readonly string[];
  readonly duration_ns: readonly string[];
  readonly name: readonly string[];
  readonly span_class: readonly SpanClass[];
  readonly signal: readonly Signal[];
  readonly dialect: readonly string[];
  readonly scope_name: readonly string[];
  readonly service_name: readonly string[];
  readonly status: readonly string[];
  readonly finish_reason: readonly string[];
  readonly provider: readonly string[];
  readonly model: readonly string[];
  readonly response_id: readonly string[];
  readonly usage_status: readonly UsageStatus[];
  readonly known_classes: readonly number[];
  readonly input_known: readonly number[];
  readonly output_known: readonly number[];
  readonly input_total: readonly number[];
  readonly output_total: readonly number[];
  readonly provider_calls: readonly number[];
  readonly is_priced: readonly number[];
  readonly user_id: readonly string[];
  readonly session_id: readonly string[];
  readonly agent_name: readonly string[];
  readonly sequence: readonly string[];
  readonly ingested_ms: readonly number[];
}

/** A name of the trace, by itself among all projects. */
export function nameOf({ project_id, trace_id }: TraceKey): string {
  return `${trace_id} ${project_id}`;
}

/**
 * The last version of each span. A question names projects and traces apart, so that a trace id that
 * two projects use may bring along a trace that was not asked for: `names` are those that were.
 */
export function candidatesOf(
  columns: CandidateColumns,
  names: ReadonlySet<string>,
): StoredCandidate[] {
  const latest = new Map<string, StoredCandidate>();
  for (let index = 0; index < columns.span_id.length; index += 1) {
    const candidate = candidateAt(columns, index);
    if (!names.has(nameOf(candidate))) continue;
    const identity = `${candidate.key} ${candidate.project_id}`;
    const known = latest.get(identity);
    if (known === undefined || known.sequence <= candidate.sequence) {
      latest.set(identity, candidate);
    }
  }
  return [...latest.values()];
}

function candidateAt(columns: CandidateColumns, index: number): StoredCandidate {
  const at = <Value>(column: readonly Value[]): Value => column[index] as Value;
  const [start_ns, trace_id, span_id] = [
    at(columns.start_ns),
    at(columns.trace_id),
    at(columns.span_id),
  ];
  return {
    project_id: at(columns.project_id),
    key: `${start_ns} ${trace_id} ${span_id}`,
    trace_id,
    span_id,
    parent_span_id: at(columns.parent_span_id),
    start_ns: BigInt(start_ns),
    duration_ns: BigInt(at(columns.duration_ns)),
    name: at(columns.name),
    span_class: at(columns.span_class),
    signal: at(columns.signal),
    dialect: at(columns.dialect),
    scope_name: at(columns.scope_name),
    service_name: at(columns.service_name),
    status: at(columns.status),
    finish_reason: at(columns.finish_reason),
    provider: at(columns.provider),
    model: at(columns.model),
    response_id: at(columns.response_id),
    usage_status: at(columns.usage_status),
    known_classes: at(columns.known_classes),
    input_total: at(columns.input_known) === 1 ? at(columns.input_total) : null,
    output_total: at(columns.output_known) === 1 ? at(columns.output_total) : null,
    provider_calls: at(columns.provider_calls) === 0 ? null : at(columns.provider_calls),
    is_priced: at(columns.is_priced) === 1,
    user_id: at(columns.user_id),
    session_id: at(columns.session_id),
    agent_name: at(columns.agent_name),
    sequence: Number(at(columns.sequence)),
    ingested_ms: at(columns.ingested_ms),
  };
}
