/**
 * What the resolver reads from and writes to ClickHouse: candidates, twins, decisions.
 *
 * Invariant: every read is bounded in time by the window around the spans it is about, and every list
 * of ids goes as bound parameters.
 */
import type { Engine, Params } from "../../clickhouse/engine.ts";
import { loadQuery } from "../../clickhouse/queries.ts";
import type { Decision } from "../../schemas/ledger.ts";
import {
  type CandidateRow,
  candidatesOf,
  nameOf,
  type StoredCandidate,
  type TraceKey,
} from "./candidates.ts";

/** A trace that the counting rules have to look at, and how many rows it has (0: not known). */
export interface ContestedTrace extends TraceKey {
  readonly span_rows: number;
}

/** What a batch bears on, and the links that its rows are known to have. */
export interface Contested {
  readonly batch: Batch;
  readonly traces: readonly ContestedTrace[];
  readonly twins: readonly TraceLink[];
  readonly looks: readonly TraceLink[];
}

/** What several traces of a project share: a response, a session, or a call's looks. */
export interface TraceLink {
  readonly project_id: string;
  readonly link: string;
  readonly traces: readonly string[];
}

/** A bucket of a project: its start, Unix seconds. */
export type Bucket = readonly [project_id: string, start_s: number];

/** A range of time that spans are looked for in, Unix seconds; `to_s` exclusive. */
export interface Window {
  readonly from_s: number;
  readonly to_s: number;
}

/** A moment of the engine: what is read after it has all that was inserted before it. */
export interface Moment {
  /** Microseconds; the version of what is decided by what is read then. */
  readonly time_us: number;
  /** Names what was inserted by then: the same later when nobody inserted any spans in between. */
  readonly inserted: string;
}

/** The rows of some sequences of this collector's log. */
export interface Batch extends Window {
  readonly projects: readonly string[];
  readonly first_sequence: number;
  readonly last_sequence: number;
  /** The buckets of the rows; without them the range of time is taken to be full. */
  readonly buckets?: readonly Bucket[];
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
  readonly finish_reason: string;
  readonly reason: string;
  readonly counted_by: string;
}

/**
 * Traces that one link may join; one that more traces share says nothing of a call. The queries
 * answer one more, 1001: an aggregate function takes no limit of 0, as a parameter could be.
 */
const MAX_TRACES_PER_LINK = 1_000;
/** The same of a session, which lasts; the query answers one more, 20001. */
export const MAX_TRACES_PER_SESSION = 20_000;
/** How far around the batch suspected twins are looked for, seconds. */
const SUSPECT_WINDOW_S = 120;
/** Decisions of one INSERT as text, characters: escaping may make four of one. */
const MAX_INSERT_CHARACTERS = 8 * 1024 ** 2;
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

  /** The moment that it is now, as far as spans of the window are concerned. */
  async readMoment(window: Window): Promise<Moment> {
    const { from_s, to_s } = window;
    const sql = loadQuery("select_moment");
    const [row] = await this.#engine.query<Moment>(sql, { from_s, to_s });
    return row ?? { time_us: 0, inserted: "" };
  }

  /** What the counting rules have to look at of a batch; twins are seen as far as `sight`. */
  async findContested(batch: Batch, window: Window, sight: Window): Promise<Contested> {
    const [traces, twins, looks] = await Promise.all([
      this.#engine.query<ContestedTrace>(loadQuery("select_contested_traces"), {
        ...batchParams(batch),
        from_s: window.from_s,
        to_s: window.to_s,
        session_dialects: this.#session_dialects,
      }),
      this.#findLinks("select_twin_traces", {
        ...batchParams(batch),
        from_s: sight.from_s,
        to_s: sight.to_s,
        response_ids: [],
      }),
      this.#findLooks({
        projects: batch.projects,
        suspect_from_s: Math.max(batch.from_s - SUSPECT_WINDOW_S, 0),
        suspect_to_s: batch.to_s + SUSPECT_WINDOW_S,
        first_sequence: batch.first_sequence,
        last_sequence: batch.last_sequence,
        traces: [],
      }),
    ]);
    const linked = [...twins, ...looks].filter((link) => !isWorn(link));
    const outdated = await this.#findOutdated(batch, twins.filter(isWorn), window);
    return {
      batch,
      twins,
      looks,
      traces: [
        ...traces,
        ...outdated,
        ...linked.flatMap(({ project_id, traces: trace_ids }) =>
          trace_ids.map((trace_id) => ({ project_id, trace_id, span_rows: 0 })),
        ),
      ],
    };
  }

  /** When the first row of the batch arrived, Unix ms. */
  async findOldestArrival(batch: Batch): Promise<number> {
    const [row] = await this.#engine.query<{ arrived_ms: number }>(
      loadQuery("select_oldest_arrival"),
      batchParams(batch),
    );
    return row?.arrived_ms ?? 0;
  }

  /** Responses that several traces report, each with these traces. */
  async findTwins(
    projects: readonly string[],
    response_ids: readonly string[],
    window: Window,
  ): Promise<TraceLink[]> {
    if (response_ids.length === 0) return [];
    return this.#findLinks("select_twin_traces", {
      projects,
      from_s: window.from_s,
      to_s: window.to_s,
      ...NO_BATCH,
      response_ids,
    });
  }

  /** Looks that calls of several traces share with those of the traces given. */
  async findSuspects(traces: readonly TraceKey[], around: Window): Promise<TraceLink[]> {
    if (traces.length === 0) return [];
    const { projects, traces: trace_ids } = traceParams(traces, around);
    return this.#findLooks({
      projects,
      traces: trace_ids,
      suspect_from_s: Math.max(around.from_s - SUSPECT_WINDOW_S, 0),
      suspect_to_s: around.to_s + SUSPECT_WINDOW_S,
      first_sequence: NO_BATCH.first_sequence,
      last_sequence: NO_BATCH.last_sequence,
    });
  }

  /**
   * Sessions with the traces of clients that report by several signals; of `client_sessions`, which
   * are such clients' own, with those of the aggregates that repeat them too.
   */
  async findSessions(
    projects: readonly string[],
    sessions: readonly string[],
    client_sessions: readonly string[],
    window: Window,
  ): Promise<TraceLink[]> {
    if (sessions.length === 0) return [];
    return this.#findLinks("select_session_traces", {
      projects,
      from_s: window.from_s,
      to_s: window.to_s,
      sessions,
      client_sessions,
      session_dialects: this.#session_dialects,
    });
  }

  /** Traces with an aggregate that waits for that long at least, and the time they were seen in. */
  async findWaiting(settle_ms: number): Promise<(TraceKey & Window)[]> {
    return this.#engine.query<TraceKey & Window>(loadQuery("select_waiting_traces"), {
      settle_us: settle_ms * 1000,
      limit: MAX_WAITING_TRACES,
    });
  }

  /** Buckets of the sums that were counted lately. */
  async findPromoted(): Promise<Bucket[]> {
    const rows = await this.#engine.query<{ project_id: string; start_s: number }>(
      loadQuery("select_promoted_buckets"),
    );
    return rows.map(({ project_id, start_s }) => [project_id, start_s]);
  }

  /** The spans of the traces, each once; undefined when they have more rows than the limit. */
  async readCandidates(
    traces: readonly TraceKey[],
    window: Window,
    max_rows: number,
  ): Promise<StoredCandidate[] | undefined> {
    const params = { ...traceParams(traces, window), limit: max_rows + 1 };
    const sql = loadQuery("select_candidates");
    const [list] = await this.#engine.query<{ candidates: CandidateRow[] }>(sql, params);
    const rows = list?.candidates ?? [];
    return rows.length > max_rows ? undefined : candidatesOf(rows, namesOf(traces));
  }

  async readDecisions(traces: readonly TraceKey[], window: Window): Promise<StoredDecision[]> {
    const names = namesOf(traces);
    const rows = await this.#engine.query<StoredDecision>(
      loadQuery("select_decisions"),
      traceParams(traces, window),
    );
    return rows.filter((row) => names.has(nameOf(row)));
  }

  /** Traces with spans that gave way to the calls. */
  async findLosers(calls: readonly StoredDecision[], window: Window): Promise<ContestedTrace[]> {
    if (calls.length === 0) return [];
    return this.#engine.query<ContestedTrace>(loadQuery("select_losing_traces"), {
      projects: [...new Set(calls.map(({ project_id }) => project_id))],
      calls: calls.map(({ trace_id, span_id }) => `${trace_id}-${span_id}`),
      from_s: window.from_s,
      to_s: window.to_s,
    });
  }

  /** Stores decisions of one version, in statements of a bounded size. */
  async writeDecisions(decisions: readonly StoredDecision[], version: number): Promise<void> {
    let rows: string[] = [];
    let size = 0;
    const write = async () => {
      const params = { rows, version };
      if (size > 0) await this.#engine.command(loadQuery("insert_decisions"), params, "insert");
      rows = [];
      size = 0;
    };
    for (const decision of decisions) {
      const row = formatRow(decision);
      rows.push(row);
      size += row.length;
      if (size >= MAX_INSERT_CHARACTERS) await write();
    }
    await write();
  }

  /** Traces that were decided by responses which have worn out since. */
  async #findOutdated(
    { projects }: Batch,
    worn: readonly TraceLink[],
    { from_s, to_s }: Window,
  ): Promise<ContestedTrace[]> {
    if (worn.length === 0) return [];
    const response_ids = worn.map(({ link }) => link);
    const params = { projects, response_ids, from_s, to_s };
    return this.#engine.query<ContestedTrace>(loadQuery("select_worn_traces"), params);
  }

  /** Looks that calls of several traces share, in services of several instrumentations. */
  async #findLooks(params: Params): Promise<TraceLink[]> {
    const { projects = [], suspect_from_s = 0, suspect_to_s = 0 } = params;
    const around = { projects, suspect_from_s, suspect_to_s };
    const mixed = await this.#engine.query<unknown>(loadQuery("select_mixed_services"), around);
    return mixed.length === 0 ? [] : this.#findLinks("select_suspect_traces", params);
  }

  async #findLinks(query: string, params: Params): Promise<TraceLink[]> {
    return this.#engine.query<TraceLink>(loadQuery(query), params);
  }
}

/** Whether so many traces share the link that it says nothing of a call. */
export function isWorn({ traces }: TraceLink): boolean {
  return traces.length > MAX_TRACES_PER_LINK;
}

/** No sequence is that high: nothing of a batch is asked for. */
const NO_BATCH = { batch_from_s: 0, batch_to_s: 0, first_sequence: 1, last_sequence: 0 };

function batchParams(batch: Batch) {
  return {
    projects: batch.projects,
    batch_from_s: batch.from_s,
    batch_to_s: batch.to_s,
    first_sequence: batch.first_sequence,
    last_sequence: batch.last_sequence,
  };
}

function namesOf(traces: readonly TraceKey[]): Set<string> {
  return new Set(traces.map((trace) => nameOf(trace)));
}

function traceParams(traces: readonly TraceKey[], window: Window) {
  return {
    projects: [...new Set(traces.map(({ project_id }) => project_id))],
    traces: [...new Set(traces.map(({ trace_id }) => trace_id))],
    from_s: window.from_s,
    to_s: window.to_s,
  };
}

/** Storage order of `counted`. */
const COUNTED = ["default", "no", "yes"] as const;

/** A decision as a JSON array in the order of insert_decisions. */
function formatRow(decision: StoredDecision): string {
  return JSON.stringify([
    decision.project_id,
    decision.start_ns,
    decision.trace_id,
    decision.span_id,
    COUNTED.indexOf(decision.counted),
    decision.waits,
    decision.duplicates,
    decision.suspected_duplicate,
    decision.is_aggregate,
    decision.provider_calls,
    decision.user_id,
    decision.session_id,
    decision.agent_name,
    decision.finish_reason,
    decision.reason,
    decision.counted_by,
  ]);
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
    finish_reason: decision.finish_reason,
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
    finish_reason: "",
    reason: "",
    counted_by: "",
  };
}
