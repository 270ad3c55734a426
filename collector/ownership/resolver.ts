/**
 * Keeps `call_decisions` right: when spans were inserted, the traces they bear on are decided anew,
 * whole, with their twins in other traces; when a trace has settled, its waiting aggregates are.
 *
 * Invariant: decisions are a function of the spans that are stored, so doing it twice, in any order
 * and after any crash gives the same; only who saw fewer spans could be wrong, and loses by version.
 */
import type { Candidate, Decision } from "../../schemas/ledger.ts";
import { BUCKET_S } from "../../schemas/record.ts";
import type { Engine } from "../../clickhouse/engine.ts";
import { nameOf, type StoredCandidate } from "./candidates.ts";
import { type Group, GroupReader, MAX_GROUP_ROWS } from "./group.ts";
import { groupByDay, splitByTime, splitIntoChunks } from "./split.ts";
import {
  type Batch,
  type Bucket,
  type Contested,
  type ContestedTrace,
  DecisionStore,
  type Moment,
  type StoredDecision,
  storeDecision,
  type Window,
  withdrawDecision,
} from "./store.ts";

export { SettleLoop } from "./settle.ts";
export type { Bucket } from "./store.ts";

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
  | { readonly kind: "failed"; readonly message: string }
  /** A trace that stays as its spans say. */
  | { readonly kind: "left_out"; readonly message: string };

/** Rounds that may fail while the engine answers until the traces at fault are left out. */
const MAX_FAILED_ROUNDS = 4;
/** Times that what a round stored is decided again because others inserted spans meanwhile. */
const MAX_LOOKS = 8;
/** Of a call_id, those before the hyphen. */
const TRACE_ID_DIGITS = 32;
/** Names of traces left out that are remembered. */
const MAX_LEFT_OUT = 10_000;

/** What one call is about: where spans are looked for, and whether it may be a repetition. */
interface Round {
  /** How far a change reaches. */
  readonly window: Window;
  /** What spans within reach see. */
  readonly sight: Window;
  readonly reader: GroupReader;
  /** Before any of the spans were read. */
  readonly moment: Moment;
  readonly is_repeat: boolean;
  /** Whether traces that cannot be decided are left out, so that others are. */
  readonly is_last_try: boolean;
  /** Takes the buckets that change, before what changes them is stored. */
  readonly buckets: Buckets;
}

/** Buckets by name, each once. */
type Buckets = Map<string, Bucket>;

/** The resolver of one engine. Its rounds never overlap. */
export class Resolver {
  readonly #store: DecisionStore;
  readonly #options: ResolverOptions;
  readonly #started_ms: number;
  #queue: Promise<unknown> = Promise.resolve();
  /** Whether batches may be what was decided before a crash. */
  #is_recovering = true;
  #last_sequence = -1;
  #has_listed_promoted = false;
  /** Of waiting traces, changed and not told yet: a round may fail after it stored some. */
  readonly #waiting_buckets: Buckets = new Map();
  readonly #failed_rounds = { batch: 0, waiting: 0 };
  /** Traces that could not be decided. */
  readonly #left_out = new Set<string>();

  constructor(engine: Engine, options: ResolverOptions) {
    this.#store = new DecisionStore(engine, options.session_dialects);
    this.#options = options;
    this.#started_ms = options.now_ms();
  }

  /**
   * Decides the calls that the inserted spans bear on; resolves with the buckets that changed. Of a
   * batch that may have been decided before, with all that its decisions are in: they may have been
   * stored and not been marked.
   */
  resolveBatch(batch: Batch): Promise<Bucket[]> {
    return this.#enqueue("batch", async (is_last_try) => {
      const is_repeat = await this.#mayRepeat(batch);
      // Before anything is stored: when a later part fails, what comes again is a repetition.
      this.#last_sequence = Math.max(this.#last_sequence, batch.last_sequence);
      const buckets: Buckets = new Map();
      for (const part of splitByTime(batch, this.#options.window_s)) {
        const window = this.#widen(part);
        const sight = this.#widen(window);
        const moment = await this.#store.readMoment(sight);
        const contested = await this.#store.findContested(part, window, sight);
        const reader = this.#makeReader(sight, contested);
        for (const trace of contested.traces) this.#left_out.delete(nameOf(trace));
        const round = { window, sight, moment, reader, is_repeat, is_last_try, buckets };
        await this.#resolve(contested.traces, round);
      }
      return [...buckets.values()];
    });
  }

  /** Decides the waiting aggregates of traces that have settled. */
  resolveWaiting(): Promise<Bucket[]> {
    return this.#enqueue("waiting", async (is_last_try) => {
      const buckets = this.#waiting_buckets;
      // What was decided last before a crash may not have been marked.
      if (!this.#has_listed_promoted) addTo(buckets, await this.#store.findPromoted());
      this.#has_listed_promoted = true;
      const waiting = await this.#store.findWaiting(this.#options.settle_ms);
      const open = waiting.filter((trace) => !this.#left_out.has(nameOf(trace)));
      // By day: together they could span the whole of what is kept.
      for (const traces of groupByDay(open)) {
        const from_s = Math.min(...traces.map((trace) => trace.from_s));
        const to_s = Math.max(...traces.map((trace) => trace.to_s));
        const window = this.#widen({ from_s, to_s });
        const sight = this.#widen(window);
        const moment = await this.#store.readMoment(sight);
        const reader = this.#makeReader(sight);
        const keys = traces.map((trace) => ({ ...trace, span_rows: 0 }));
        const round = { window, sight, moment, reader, is_repeat: false, is_last_try, buckets };
        await this.#resolve(keys, round);
      }
      const changed = [...buckets.values()];
      buckets.clear();
      return changed;
    });
  }

  async #enqueue<Result>(
    kind: "batch" | "waiting",
    run: (is_last_try: boolean) => Promise<Result>,
  ): Promise<Result> {
    const turn = this.#queue.then(async () => {
      try {
        const result = await run(this.#failed_rounds[kind] >= MAX_FAILED_ROUNDS);
        this.#failed_rounds[kind] = 0;
        return result;
      } catch (error) {
        this.#failed_rounds[kind] += 1;
        throw error;
      }
    });
    this.#queue = turn.catch(() => {});
    return turn;
  }

  #widen({ from_s, to_s }: Window): Window {
    const { window_s } = this.#options;
    return { from_s: Math.max(from_s - window_s, 0), to_s: to_s + window_s };
  }

  #makeReader(sight: Window, contested?: Contested): GroupReader {
    return new GroupReader(this.#store, this.#options.session_dialects, sight, contested);
  }

  /** Whether the batch may have been decided before: by this process, or by the one before it. */
  async #mayRepeat(batch: Batch): Promise<boolean> {
    if (batch.first_sequence <= this.#last_sequence) return true;
    if (!this.#is_recovering) return false;
    const arrived_ms = await this.#store.findOldestArrival(batch);
    // Rows come in the order of their arrival: from the first that is younger than we are, all are.
    this.#is_recovering = arrived_ms < this.#started_ms;
    return this.#is_recovering;
  }

  /**
   * Decides the traces, and again those of which something was stored when spans were inserted
   * meanwhile: another collector that decided by these found nothing stored to take back, and what was
   * stored after that would stay.
   */
  async #resolve(traces: readonly ContestedTrace[], first: Round): Promise<void> {
    let open = traces;
    let round = first;
    for (let look = 0; look <= MAX_LOOKS && open.length > 0; look += 1) {
      open = await this.#resolveOnce(open, round);
      if (open.length === 0) return;
      const moment = await this.#store.readMoment(round.sight);
      if (moment.inserted === round.moment.inserted) return;
      round = { ...round, moment, reader: this.#makeReader(round.sight), is_repeat: false };
    }
  }

  /** Decides the traces; answers those of which something was stored. */
  async #resolveOnce(traces: readonly ContestedTrace[], round: Round): Promise<ContestedTrace[]> {
    const stored = new Map<string, ContestedTrace>();
    const done = new Set<string>();
    const todo = splitIntoChunks(traces);
    for (let chunk = todo.pop(); chunk !== undefined; chunk = todo.pop()) {
      const open = chunk.filter((trace) => !done.has(nameOf(trace)));
      if (open.length === 0) continue;
      const started_ms = this.#options.now_ms();
      const group = await this.#readGroup(open, round);
      if (group === undefined) {
        const [only, other] = open;
        if (other === undefined && only !== undefined) this.#leaveOut(only);
        else todo.push(open.slice(0, open.length >> 1), open.slice(open.length >> 1));
        continue;
      }
      // What came along is decided with these, once.
      for (const trace of [...open, ...group.decided]) done.add(nameOf(trace));
      const { changes, left } = await this.#decide(group, round);
      todo.push(...splitIntoChunks(left));
      for (const { project_id, trace_id } of changes) {
        const trace = { project_id, trace_id, span_rows: 0 };
        stored.set(nameOf(trace), trace);
      }
      const duration_ms = this.#options.now_ms() - started_ms;
      this.#options.observe({ kind: "resolved", decisions: changes.length, duration_ms });
    }
    return [...stored.values()];
  }

  /** The group of the traces; undefined when it cannot be had and they are tried apart. */
  async #readGroup(traces: readonly ContestedTrace[], round: Round): Promise<Group | undefined> {
    if (traces.some(({ span_rows }) => span_rows > MAX_GROUP_ROWS)) return undefined;
    try {
      return await round.reader.read(traces);
    } catch (error) {
      if (!round.is_last_try) throw error;
      // An engine that is away is no fault of the traces.
      await this.#store.readMoment(round.sight);
      return undefined;
    }
  }

  /** A trace that is too large stays as its spans say: nothing behind it must wait for it. */
  #leaveOut(trace: ContestedTrace): void {
    if (this.#left_out.size < MAX_LEFT_OUT) this.#left_out.add(nameOf(trace));
    this.#options.observe({
      kind: "left_out",
      message: `trace ${trace.trace_id} of project ${trace.project_id} and what it shares calls with is more than ${MAX_GROUP_ROWS} spans, or cannot be read: its spans are counted as they are`,
    });
  }

  /** Decides a group and stores what is new. */
  async #decide(
    { candidates, decided }: Group,
    { window, sight, moment, is_repeat, buckets }: Round,
  ): Promise<{ changes: StoredDecision[]; left: ContestedTrace[] }> {
    const stored = await this.#store.readDecisions(decided, sight);
    const before = new Map(stored.map((row) => [`${keyOf(row)} ${row.project_id}`, row]));
    const names = new Set(decided.map((trace) => nameOf(trace)));
    const changes: StoredDecision[] = [];
    for (const own of groupByProject(candidates).values()) {
      const decisions = this.#options.decide(own, this.#judgeSettled(own));
      for (const candidate of own) {
        if (!names.has(nameOf(candidate)) || !isWithin(window, candidate.start_ns)) continue;
        const known = before.get(`${candidate.key} ${candidate.project_id}`);
        const change = changeOf(candidate, decisions.get(candidate.key), known);
        if (change !== undefined) changes.push(change);
      }
    }
    const touched = is_repeat ? [...stored, ...changes] : changes;
    const bucketsOfRows = touched.map(({ project_id, start_ns }): Bucket => [
      project_id,
      bucketOf(BigInt(start_ns)),
    ]);
    addTo(buckets, bucketsOfRows);
    await this.#store.writeDecisions(changes, moment.time_us);
    return {
      changes,
      left: await this.#findLeft(stored, changes, names, { sight, is_repeat }),
    };
  }

  /**
   * Traces that were decided with those whose decisions change, and share nothing with them any more: a
   * span that comes again may name another response.
   */
  async #findLeft(
    stored: readonly StoredDecision[],
    changes: readonly StoredDecision[],
    decided: ReadonlySet<string>,
    { sight, is_repeat }: Pick<Round, "sight" | "is_repeat">,
  ): Promise<ContestedTrace[]> {
    const changed = new Set(changes.map((row) => `${row.project_id} ${keyOf(row)}`));
    const losers = new Map<string, number>();
    for (const { project_id, counted_by } of stored) {
      const name = `${project_id} ${counted_by}`;
      losers.set(name, (losers.get(name) ?? 0) + 1);
    }
    const before = stored.filter((row) => changed.has(`${row.project_id} ${keyOf(row)}`));
    const winners = before.filter(({ project_id, trace_id, span_id, duplicates }) => {
      return duplicates > (losers.get(`${project_id} ${trace_id}-${span_id}`) ?? 0);
    });
    // After a crash what was withdrawn tells no longer for whom it stood.
    if (is_repeat) winners.push(...stored.filter(({ counted }) => counted === "default"));
    const kept = before.flatMap(({ project_id, counted_by }) =>
      counted_by === ""
        ? []
        : { project_id, trace_id: counted_by.slice(0, TRACE_ID_DIGITS), span_rows: 0 },
    );
    const left = [...kept, ...(await this.#store.findLosers(winners, sight))];
    return left.filter((trace) => !decided.has(nameOf(trace)));
  }

  /** Whether nothing of a trace has arrived for long enough. */
  #judgeSettled(candidates: readonly StoredCandidate[]): (trace_id: string) => boolean {
    const latest = new Map<string, number>();
    for (const { trace_id, ingested_ms } of candidates) {
      latest.set(trace_id, Math.max(latest.get(trace_id) ?? 0, ingested_ms));
    }
    const { now_ms, settle_ms } = this.#options;
    const settled_ms = now_ms() - settle_ms;
    return (trace_id) => (latest.get(trace_id) ?? 0) <= settled_ms;
  }
}

function keyOf({ start_ns, trace_id, span_id }: StoredDecision): string {
  return `${start_ns} ${trace_id} ${span_id}`;
}

function isWithin({ from_s, to_s }: Window, start_ns: bigint): boolean {
  const start_s = start_ns / 1_000_000_000n;
  return start_s >= from_s && start_s < to_s;
}

function addTo(buckets: Buckets, changed: readonly Bucket[]): void {
  for (const bucket of changed) buckets.set(`${bucket[1]} ${bucket[0]}`, bucket);
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

/** What has to be stored so that the decision holds; undefined when it holds already. */
function changeOf(
  candidate: StoredCandidate,
  decision: Decision | undefined,
  before: StoredDecision | undefined,
): StoredDecision | undefined {
  if (decision === undefined) {
    return before === undefined || before.counted === "default"
      ? undefined
      : withdrawDecision(before);
  }
  const after = storeDecision(candidate, decision);
  if (before === undefined) return after;
  const is_same = (Object.keys(after) as (keyof StoredDecision)[]).every(
    (name) => after[name] === before[name],
  );
  return is_same ? undefined : after;
}
