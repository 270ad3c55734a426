/**
 * Keeps `call_decisions` right: when spans were inserted, the traces they bear on are decided anew,
 * whole, with their twins in other traces; when a trace has settled, its waiting aggregates are.
 *
 * Invariant: decisions are a function of the spans that are stored, so doing it twice, in any order
 * and after any crash gives the same; only who saw fewer spans could be wrong, and loses by version.
 */
import { messageOf } from "../../schemas/errors.ts";
import type { Candidate, Decision } from "../../schemas/ledger.ts";
import { BUCKET_S } from "../../schemas/record.ts";
import type { Engine } from "../../clickhouse/engine.ts";
import {
  type Batch,
  DecisionStore,
  type StoredCandidate,
  type StoredDecision,
  storeDecision,
  type TraceKey,
  type Window,
  withdrawDecision,
} from "./store.ts";

export interface ResolverOptions {
  /** The counting rules: decisions by key. */
  readonly decide: (
    candidates: readonly Candidate[],
    is_settled: (trace_id: string) => boolean,
  ) => Map<string, Decision>;
  /** Dialects of clients that report by several signals. */
  readonly session_dialects: readonly string[];
  /** How long nothing must have arrived of a trace until its aggregates may count, ms. */
  readonly settle_ms: number;
  /** How far apart in time the spans of a trace, and twins, may lie, seconds. */
  readonly window_s: number;
  readonly now_ms: () => number;
  readonly observe: (event: ResolverEvent) => void;
}

export type ResolverEvent =
  | { readonly kind: "resolved"; readonly decisions: number; readonly duration_ms: number }
  | { readonly kind: "failed"; readonly message: string };

/** A bucket of a project: its start, Unix seconds. */
export type Bucket = readonly [project_id: string, start_s: number];

/** Times a set of traces may grow by twins of twins before it is taken as it is. */
const MAX_HOPS = 8;
/** Traces decided together; the rest of a large batch follows. */
const MAX_TRACES = 5_000;

/** The resolver of one engine. Its rounds never overlap. */
export class Resolver {
  readonly #store: DecisionStore;
  readonly #options: ResolverOptions;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(engine: Engine, options: ResolverOptions) {
    this.#store = new DecisionStore(engine, options.session_dialects);
    this.#options = options;
  }

  /** Decides the calls that the inserted spans bear on; resolves with the buckets that changed. */
  resolveBatch(batch: Batch): Promise<Bucket[]> {
    return this.#enqueue(async () => {
      const window = this.#widen(batch);
      const traces = await this.#store.findContested(batch, window);
      return this.#resolve(traces, window);
    });
  }

  /** Decides the waiting aggregates of traces that have settled. */
  resolveWaiting(): Promise<Bucket[]> {
    return this.#enqueue(async () => {
      const waiting = await this.#store.findWaiting();
      const buckets: Bucket[] = [];
      // By day: together they could span the whole of what is kept.
      for (const traces of groupByDay(waiting)) {
        const from_s = Math.min(...traces.map((trace) => trace.from_s));
        const to_s = Math.max(...traces.map((trace) => trace.to_s)) + 1;
        buckets.push(...(await this.#resolve(traces, this.#widen({ from_s, to_s }))));
      }
      return buckets;
    });
  }

  async #enqueue<Result>(run: () => Promise<Result>): Promise<Result> {
    const turn = this.#queue.then(run);
    this.#queue = turn.catch(() => {});
    return turn;
  }

  #widen({ from_s, to_s }: Window): Window {
    const { window_s } = this.#options;
    return { from_s: Math.max(from_s - window_s, 0), to_s: to_s + window_s };
  }

  async #resolve(traces: readonly TraceKey[], window: Window): Promise<Bucket[]> {
    const buckets = new Map<string, Bucket>();
    const todo = new Map(traces.map((trace) => [nameOf(trace), trace]));
    while (todo.size > 0) {
      const started_ms = this.#options.now_ms();
      const first = [...todo.values()].slice(0, MAX_TRACES);
      const { candidates, members } = await this.#readGroup(first, window);
      // What came along is decided with these, once.
      for (const trace of [...first, ...members]) todo.delete(nameOf(trace));
      const changed = await this.#decide(candidates, members, window);
      for (const [project_id, start_s] of changed) {
        buckets.set(`${start_s} ${project_id}`, [project_id, start_s]);
      }
      const duration_ms = this.#options.now_ms() - started_ms;
      this.#options.observe({ kind: "resolved", decisions: changed.length, duration_ms });
    }
    return [...buckets.values()];
  }

  /** The spans of the traces, and of all traces that share a response or a session with them. */
  async #readGroup(
    traces: readonly TraceKey[],
    window: Window,
  ): Promise<{ candidates: StoredCandidate[]; members: TraceKey[] }> {
    const members = new Map<string, TraceKey>();
    const candidates: StoredCandidate[] = [];
    const asked = new Set<string>();
    let next: readonly TraceKey[] = traces;
    for (let hop = 0; hop < MAX_HOPS && next.length > 0; hop += 1) {
      for (const trace of next) members.set(nameOf(trace), trace);
      const found = await this.#store.readCandidates(next, window);
      candidates.push(...found);
      const neighbours = await this.#findNeighbours(found, asked, window);
      next = neighbours.filter((trace) => !members.has(nameOf(trace)));
    }
    return { candidates, members: [...members.values()] };
  }

  async #findNeighbours(
    found: readonly StoredCandidate[],
    asked: Set<string>,
    window: Window,
  ): Promise<TraceKey[]> {
    const { session_dialects } = this.#options;
    const responses = new Set<string>();
    const sessions = new Set<string>();
    for (const { span_class, dialect, response_id, session_id } of found) {
      if (span_class === "billable" && response_id !== "") responses.add(response_id);
      const is_shared = span_class === "aggregate" || session_dialects.includes(dialect);
      if (is_shared && session_id !== "") sessions.add(session_id);
    }
    const projects = [...new Set(found.map(({ project_id }) => project_id))];
    const new_responses = takeNew("response", responses, asked);
    const new_sessions = takeNew("session", sessions, asked);
    return [
      ...(new_responses.length > 0
        ? await this.#store.findTwins(projects, new_responses, window)
        : []),
      ...(new_sessions.length > 0
        ? await this.#store.findSessions(projects, new_sessions, window)
        : []),
    ];
  }

  /** Decides whole groups and stores what is new; answers the bucket of each change. */
  async #decide(
    candidates: readonly StoredCandidate[],
    members: readonly TraceKey[],
    window: Window,
  ): Promise<Bucket[]> {
    const stored = await this.#store.readDecisions(members, window);
    const changes: StoredDecision[] = [];
    const versions: number[] = [];
    for (const [project_id, own] of groupByProject(candidates)) {
      const seen = latestArrivals(own);
      const now_ms = this.#options.now_ms();
      const decisions = this.#options.decide(
        own,
        (trace_id) => now_ms - (seen.of_trace.get(trace_id) ?? 0) >= this.#options.settle_ms,
      );
      const before = new Map(
        stored
          .filter((row) => row.project_id === project_id && row.counted !== "default")
          .map((row) => [`${row.start_ns} ${row.trace_id} ${row.span_id}`, row]),
      );
      for (const candidate of own) {
        const change = changeOf(candidate, decisions.get(candidate.key), before.get(candidate.key));
        if (change === undefined) continue;
        changes.push(change);
        versions.push(seen.of_group(candidate.trace_id));
      }
    }
    await this.#store.writeDecisions(changes, versions);
    return changes.map(({ project_id, start_ns }) => [project_id, bucketOf(BigInt(start_ns))]);
  }
}

const DAY_S = 86_400;

function groupByDay<Item extends Window>(items: readonly Item[]): Item[][] {
  const days = new Map<number, Item[]>();
  for (const item of items) {
    const day = Math.floor(item.from_s / DAY_S);
    const list = days.get(day);
    if (list === undefined) days.set(day, [item]);
    else list.push(item);
  }
  return [...days.values()];
}

function nameOf({ project_id, trace_id }: TraceKey): string {
  return `${trace_id} ${project_id}`;
}

function takeNew(kind: string, values: ReadonlySet<string>, asked: Set<string>): string[] {
  const fresh = [...values].filter((value) => !asked.has(`${kind} ${value}`));
  for (const value of fresh) asked.add(`${kind} ${value}`);
  return fresh;
}

function bucketOf(start_ns: bigint): number {
  const start_s = Number(start_ns / 1_000_000_000n);
  return start_s - (start_s % BUCKET_S);
}

function groupByProject(candidates: readonly StoredCandidate[]): Map<string, StoredCandidate[]> {
  const groups = new Map<string, StoredCandidate[]>();
  for (const candidate of candidates) {
    const group = groups.get(candidate.project_id);
    if (group === undefined) groups.set(candidate.project_id, [candidate]);
    else group.push(candidate);
  }
  return groups;
}

/**
 * The latest arrival of each trace, and of all traces that are decided together with it: a decision
 * from fewer spans has an earlier one, whoever writes it last.
 */
function latestArrivals(candidates: readonly StoredCandidate[]) {
  const of_trace = new Map<string, number>();
  const heads = new Map<string, string>();
  const headOf = (trace_id: string): string => {
    let head = trace_id;
    for (let next = heads.get(head); next !== undefined; next = heads.get(head)) head = next;
    if (head !== trace_id) heads.set(trace_id, head);
    return head;
  };
  const first_with = new Map<string, string>();
  for (const { trace_id, response_id, session_id, ingested_ms } of candidates) {
    of_trace.set(trace_id, Math.max(of_trace.get(trace_id) ?? 0, ingested_ms));
    const links = [
      ...(response_id === "" ? [] : [`response ${response_id}`]),
      ...(session_id === "" ? [] : [`session ${session_id}`]),
    ];
    for (const link of links) {
      const other = first_with.get(link);
      if (other === undefined) first_with.set(link, trace_id);
      else if (headOf(other) !== headOf(trace_id)) heads.set(headOf(trace_id), headOf(other));
    }
  }
  const of_head = new Map<string, number>();
  for (const [trace_id, arrival_ms] of of_trace) {
    const head = headOf(trace_id);
    of_head.set(head, Math.max(of_head.get(head) ?? 0, arrival_ms));
  }
  return { of_trace, of_group: (trace_id: string) => of_head.get(headOf(trace_id)) ?? 0 };
}

/** What has to be stored so that the decision holds; undefined when it holds already. */
function changeOf(
  candidate: StoredCandidate,
  decision: Decision | undefined,
  before: StoredDecision | undefined,
): StoredDecision | undefined {
  if (decision === undefined) return before === undefined ? undefined : withdrawDecision(before);
  const after = storeDecision(candidate, decision);
  if (before === undefined) return after;
  const is_same = (Object.keys(after) as (keyof StoredDecision)[]).every(
    (name) => after[name] === before[name],
  );
  return is_same ? undefined : after;
}

/** Looks again and again for traces that have settled, until stopped. */
export class SettleLoop {
  readonly #resolver: Resolver;
  readonly #interval_ms: number;
  readonly #mark: (buckets: readonly Bucket[]) => Promise<void>;
  readonly #observe: (event: ResolverEvent) => void;
  #stopped = false;
  #wake: () => void = () => {};
  #running: Promise<void> = Promise.resolve();

  constructor(
    resolver: Resolver,
    interval_ms: number,
    mark: (buckets: readonly Bucket[]) => Promise<void>,
    observe: (event: ResolverEvent) => void,
  ) {
    this.#resolver = resolver;
    this.#interval_ms = interval_ms;
    this.#mark = mark;
    this.#observe = observe;
  }

  start(): void {
    this.#running = this.#loop();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake();
    await this.#running;
  }

  async #loop(): Promise<void> {
    while (!this.#stopped) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, this.#interval_ms);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      if (this.#stopped) return;
      try {
        const buckets = await this.#resolver.resolveWaiting();
        if (buckets.length > 0) await this.#mark(buckets);
      } catch (error) {
        this.#observe({ kind: "failed", message: messageOf(error) });
      }
    }
  }
}
