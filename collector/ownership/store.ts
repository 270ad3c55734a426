/**
 * What the resolver reads from and writes to ClickHouse: candidates, twins, decisions.
 *
 * Invariant: every read is bounded in time by the window around the spans it is about, and every list
 * of ids goes as bound parameters.
 */
import type { Engine, Params } from "../../clickhouse/engine.ts";
import { loadQuery } from "../../clickhouse/queries.ts";
import type { Candidate, Decision } from "../../schemas/ledger.ts";
import type { Signal, SpanClass, UsageStatus } from "../../schemas/span.ts";

/** A trace of a project. */
export interface TraceKey {
  readonly project_id: string;
  readonly trace_id: string;
}

/** A range of time that spans are looked for in, Unix seconds; `to_s` exclusive. */
export interface Window {
  readonly from_s: number;
  readonly to_s: number;
}

/** The rows of some sequences of this collector's log. */
export interface Batch extends Window {
  readonly projects: readonly string[];
  readonly first_sequence: number;
  readonly last_sequence: number;
}

/** A candidate with what the resolver needs beside the rules. */
export interface StoredCandidate extends Candidate {
  readonly project_id: string;
  /** When it arrived, Unix ms. */
  readonly ingested_ms: number;
}

/** A decision as stored; 0 for unknown provider calls. */
export interface StoredDecision {
  readonly project_id: string;
  readonly start_ns: string;
  readonly trace_id: string;
  readonly span_id: string;
  readonly counted: "default" | "no" | "yes";
  readonly waits: number;
  readonly duplicates: number;
  readonly suspected_duplicate: number;
  readonly is_aggregate: number;
  readonly provider_calls: number;
  readonly user_id: string;
  readonly session_id: string;
  readonly agent_name: string;
  readonly reason: string;
  readonly counted_by: string;
}

interface CandidateRow {
  readonly project_id: string;
  readonly start_ns: string;
  readonly trace_id: string;
  readonly span_id: string;
  readonly parent_span_id: string;
  readonly duration_ns: string;
  readonly name: string;
  readonly span_class: SpanClass;
  readonly signal: Signal;
  readonly dialect: string;
  readonly scope_name: string;
  readonly service_name: string;
  readonly status: string;
  readonly provider: string;
  readonly model: string;
  readonly response_id: string;
  readonly usage_status: UsageStatus;
  readonly known_classes: number;
  readonly input_known: number;
  readonly output_known: number;
  readonly input_total: number;
  readonly output_total: number;
  readonly provider_calls: number;
  readonly cost_status: string;
  readonly user_id: string;
  readonly session_id: string;
  readonly agent_name: string;
  readonly ingested_ms: string;
}

/** Suspected twins that one batch may bring in, traces. */
const MAX_SUSPECT_TRACES = 2_000;
/** How far from the batch suspected twins are looked for, seconds. */
const SUSPECT_WINDOW_S = 120;
/** Decisions of one INSERT: their ids are part of the statement. */
const MAX_DECISIONS_PER_INSERT = 10_000;
/** Waiting traces taken up in one round. */
const MAX_WAITING_TRACES = 10_000;

/** The store of one engine. `session_dialects` name clients that report by several signals. */
export class DecisionStore {
  readonly #engine: Engine;
  readonly #session_dialects: readonly string[];

  constructor(engine: Engine, session_dialects: readonly string[]) {
    this.#engine = engine;
    this.#session_dialects = session_dialects;
  }

  /** Traces of the batch that the counting rules have to look at, with their twins in other traces. */
  async findContested(batch: Batch, window: Window): Promise<TraceKey[]> {
    const params = {
      projects: batch.projects,
      from_s: window.from_s,
      to_s: window.to_s,
      batch_from_s: batch.from_s,
      batch_to_s: batch.to_s,
      first_sequence: batch.first_sequence,
      last_sequence: batch.last_sequence,
    };
    const contested = await this.#select("select_contested_traces", {
      ...params,
      session_dialects: this.#session_dialects,
    });
    const twins = await this.#select("select_twin_traces", { ...params, response_ids: [] });
    const suspects = await this.#select("select_suspect_traces", {
      projects: batch.projects,
      suspect_from_s: Math.max(batch.from_s - SUSPECT_WINDOW_S, 0),
      suspect_to_s: batch.to_s + SUSPECT_WINDOW_S,
      first_sequence: batch.first_sequence,
      last_sequence: batch.last_sequence,
      limit: MAX_SUSPECT_TRACES,
    });
    return [...contested, ...twins, ...suspects];
  }

  /** Traces with another report of these responses. */
  async findTwins(
    projects: readonly string[],
    response_ids: readonly string[],
    window: Window,
  ): Promise<TraceKey[]> {
    return this.#select("select_twin_traces", {
      projects,
      from_s: window.from_s,
      to_s: window.to_s,
      // No sequence is that high: the ids alone are asked for.
      batch_from_s: 0,
      batch_to_s: 0,
      first_sequence: 1,
      last_sequence: 0,
      response_ids,
    });
  }

  async findSessions(
    projects: readonly string[],
    sessions: readonly string[],
    window: Window,
  ): Promise<TraceKey[]> {
    return this.#select("select_session_traces", {
      projects,
      from_s: window.from_s,
      to_s: window.to_s,
      sessions,
      session_dialects: this.#session_dialects,
    });
  }

  /** Traces with an aggregate that waits, and the time they were seen in. */
  async findWaiting(): Promise<(TraceKey & Window)[]> {
    return this.#engine.query<TraceKey & Window>(loadQuery("select_waiting_traces"), {
      limit: MAX_WAITING_TRACES,
    });
  }

  async readCandidates(traces: readonly TraceKey[], window: Window): Promise<StoredCandidate[]> {
    const rows = await this.#engine.query<CandidateRow>(
      loadQuery("select_candidates"),
      traceParams(traces, window),
    );
    return rows.map((row) => candidateOfRow(row));
  }

  async readDecisions(traces: readonly TraceKey[], window: Window): Promise<StoredDecision[]> {
    return this.#engine.query<StoredDecision>(
      loadQuery("select_decisions"),
      traceParams(traces, window),
    );
  }

  /** Stores decisions with their versions, in statements of a bounded number. */
  async writeDecisions(
    decisions: readonly StoredDecision[],
    versions: readonly number[],
  ): Promise<void> {
    for (let start = 0; start < decisions.length; start += MAX_DECISIONS_PER_INSERT) {
      const part = decisions.slice(start, start + MAX_DECISIONS_PER_INSERT);
      const column = <Key extends keyof StoredDecision>(name: Key) => part.map((row) => row[name]);
      await this.#engine.command(
        loadQuery("insert_decisions"),
        {
          projects: column("project_id"),
          starts: part.map((row) => BigInt(row.start_ns)),
          traces: column("trace_id"),
          spans: column("span_id"),
          counted: part.map((row) => COUNTED.indexOf(row.counted)),
          waits: column("waits"),
          duplicates: column("duplicates"),
          suspected: column("suspected_duplicate"),
          aggregates: column("is_aggregate"),
          provider_calls: column("provider_calls"),
          users: column("user_id"),
          sessions: column("session_id"),
          agents: column("agent_name"),
          reasons: column("reason"),
          counted_by: column("counted_by"),
          versions: versions.slice(start, start + MAX_DECISIONS_PER_INSERT),
        },
        "insert",
      );
    }
  }

  async #select(query: string, params: Params): Promise<TraceKey[]> {
    return this.#engine.query<TraceKey>(loadQuery(query), params);
  }
}

/** Storage order of `counted`. */
const COUNTED = ["default", "no", "yes"] as const;

function traceParams(traces: readonly TraceKey[], window: Window): Params {
  return {
    projects: [...new Set(traces.map(({ project_id }) => project_id))],
    traces: [...new Set(traces.map(({ trace_id }) => trace_id))],
    from_s: window.from_s,
    to_s: window.to_s,
  };
}

const NO_PARENT = "0".repeat(16);

function candidateOfRow(row: CandidateRow): StoredCandidate {
  return {
    ...row,
    key: `${row.start_ns} ${row.trace_id} ${row.span_id}`,
    parent_span_id: row.parent_span_id === NO_PARENT ? "" : row.parent_span_id,
    start_ns: BigInt(row.start_ns),
    duration_ns: BigInt(row.duration_ns),
    input_total: row.input_known === 1 ? row.input_total : null,
    output_total: row.output_known === 1 ? row.output_total : null,
    provider_calls: row.provider_calls === 0 ? null : row.provider_calls,
    is_priced: row.cost_status === "priced" || row.cost_status === "partial",
    ingested_ms: Number(row.ingested_ms),
  };
}

/** The decision as stored. */
export function storeDecision(candidate: StoredCandidate, decision: Decision): StoredDecision {
  return {
    project_id: candidate.project_id,
    start_ns: String(candidate.start_ns),
    trace_id: candidate.trace_id,
    span_id: candidate.span_id,
    counted: decision.counted ? "yes" : "no",
    waits: decision.waits ? 1 : 0,
    duplicates: Math.min(decision.duplicates, 0xffff),
    suspected_duplicate: decision.suspected_duplicate ? 1 : 0,
    is_aggregate: decision.is_aggregate ? 1 : 0,
    provider_calls: decision.provider_calls ?? 0,
    user_id: decision.user_id,
    session_id: decision.session_id,
    agent_name: decision.agent_name,
    reason: decision.reason,
    counted_by: decision.counted_by,
  };
}

/** What takes back a decision: the span is what it says. */
export function withdrawDecision(stored: StoredDecision): StoredDecision {
  return {
    ...stored,
    counted: "default",
    waits: 0,
    duplicates: 0,
    suspected_duplicate: 0,
    is_aggregate: 0,
    provider_calls: 0,
    user_id: "",
    session_id: "",
    agent_name: "",
    reason: "",
    counted_by: "",
  };
}
