/**
 * The spans that have to be decided together: whole traces, with all traces that share a response, a
 * session of a client or the looks of a call with them.
 *
 * Invariant: of a trace that is to be decided every trace that bears on it is in the group, or what
 * would have led to it is in none: who shares too much with too many shares nothing.
 */
import { nameOf, type StoredCandidate, type TraceKey } from "./candidates.ts";
import {
  type Contested,
  type DecisionStore,
  isWorn,
  MAX_TRACES_PER_SESSION,
  type TraceLink,
  type Window,
} from "./store.ts";

/** Times a group may grow by traces linked to its traces. */
const MAX_HOPS = 8;
/** Rows of spans of one group. */
export const MAX_GROUP_ROWS = 200_000;
/** Traces of one group. */
const MAX_GROUP_TRACES = 100_000;

/** What is decided together. */
export interface Group {
  readonly candidates: readonly StoredCandidate[];
  /** Traces whose decisions hold; the spans of others are there to decide these. */
  readonly decided: readonly TraceKey[];
}

/** A group as it grows. */
interface Growth {
  readonly members: Map<string, TraceKey>;
  /** Names of members of which not everything that bears on them is known. */
  readonly open: Set<string>;
  /** Links that were followed, by kind. */
  readonly followed: Set<string>;
  /** Responses that too many traces report to be one call, with their project. */
  readonly worn_responses: Set<string>;
  candidates: StoredCandidate[];
}

type LinkKind = "twins" | "session" | "looks";

/** Reads groups for one round. */
export class GroupReader {
  readonly #store: DecisionStore;
  readonly #session_dialects: readonly string[];
  readonly #window: Window;
  /** What the rows of the batch are known to share, so that it is not asked for again. */
  readonly #contested: Contested | undefined;
  readonly #links = new Map<string, TraceLink>();

  constructor(
    store: DecisionStore,
    session_dialects: readonly string[],
    window: Window,
    contested: Contested | undefined,
  ) {
    this.#store = store;
    this.#session_dialects = session_dialects;
    this.#window = window;
    this.#contested = contested;
    for (const kind of ["twins", "looks"] as const) {
      for (const link of contested?.[kind] ?? []) {
        this.#links.set(`${kind} ${link.project_id} ${link.link}`, link);
      }
    }
  }

  /** Reads the group of the traces; undefined when it is too large to be decided. */
  async read(traces: readonly TraceKey[]): Promise<Group | undefined> {
    const growth: Growth = {
      members: new Map(),
      open: new Set(),
      followed: new Set(),
      worn_responses: new Set(),
      candidates: [],
    };
    let next = traces;
    for (let hop = 0; hop < MAX_HOPS && next.length > 0; hop += 1) {
      for (const trace of next) growth.members.set(nameOf(trace), trace);
      if (growth.members.size > MAX_GROUP_TRACES) return undefined;
      const room = MAX_GROUP_ROWS - growth.candidates.length;
      const found = await this.#store.readCandidates(next, this.#window, room);
      if (found === undefined) return undefined;
      growth.candidates = growth.candidates.concat(found);
      const linked = await this.#followLinks(growth, found);
      if (linked.length > 0 && hop === MAX_HOPS - 1) {
        for (const trace of next) growth.open.add(nameOf(trace));
      }
      next = linked;
    }
    return {
      candidates: dropWornResponses(growth),
      decided: [...growth.members].flatMap(([name, trace]) => (growth.open.has(name) ? [] : trace)),
    };
  }

  /** Traces that are linked to what was found and are no members yet. */
  async #followLinks(growth: Growth, found: readonly StoredCandidate[]): Promise<TraceKey[]> {
    const asked = this.#listQuestions(growth, found);
    const store = this.#store;
    const { looks_of, from_s, to_s } = asked;
    const [twins, clients, looks] = await Promise.all([
      store.findTwins(asked.projects, asked.responses, this.#window),
      store.findSessions(asked.projects, asked.sessions, asked.client_sessions, this.#window),
      store.findSuspects([...looks_of.values()], { from_s, to_s }),
    ]);
    const linked = new Map<string, TraceKey>();
    take(growth, linked, "twins", [...asked.known_twins, ...twins]);
    take(growth, linked, "session", clients);
    take(growth, linked, "looks", [...asked.known_looks, ...looks]);
    return [...linked.values()];
  }

  #listQuestions(growth: Growth, found: readonly StoredCandidate[]) {
    const { followed } = growth;
    const responses: string[] = [];
    const sessions: string[] = [];
    const client_sessions: string[] = [];
    const known_twins: TraceLink[] = [];
    const known_looks: TraceLink[] = [];
    const looks_of = new Map<string, TraceKey>();
    let [from_s, to_s] = [this.#window.to_s, this.#window.from_s];
    for (const candidate of found) {
      const { project_id, span_class, response_id, session_id } = candidate;
      const is_client = this.#session_dialects.includes(candidate.dialect);
      if (session_id !== "" && (is_client || span_class === "aggregate")) {
        const is_new = isNew(followed, "session", project_id, session_id);
        // A session found by an aggregate alone is asked for again: then for its aggregates too.
        const is_new_client = is_client && isNew(followed, "client", project_id, session_id);
        if (is_new || is_new_client) sessions.push(session_id);
        if (is_new_client) client_sessions.push(session_id);
      }
      if (span_class !== "billable" && span_class !== "aggregate") continue;
      const is_known = this.#isOfBatch(candidate);
      if (span_class === "billable" && response_id !== "") {
        const is_new = isNew(followed, "twins", project_id, response_id);
        const link = this.#links.get(`twins ${project_id} ${response_id}`);
        if (is_new && link !== undefined) known_twins.push(link);
        else if (is_new && !is_known) responses.push(response_id);
      }
      if (is_known) {
        const link = this.#links.get(`looks ${project_id} ${looksOf(candidate)}`);
        if (link !== undefined) known_looks.push(link);
        continue;
      }
      const start_s = Number(candidate.start_ns / 1_000_000_000n);
      from_s = Math.min(from_s, start_s);
      to_s = Math.max(to_s, start_s + 1);
      looks_of.set(nameOf(candidate), candidate);
    }
    const projects = [...new Set(found.map(({ project_id }) => project_id))];
    return {
      projects,
      responses,
      sessions,
      client_sessions,
      known_twins,
      known_looks,
      looks_of,
      from_s,
      to_s,
    };
  }

  /** Whether the links of the candidate were found with the batch. */
  #isOfBatch({ sequence, start_ns }: StoredCandidate): boolean {
    if (this.#contested === undefined) return false;
    const { first_sequence, last_sequence, from_s, to_s } = this.#contested.batch;
    const start_s = Number(start_ns / 1_000_000_000n);
    return (
      sequence >= first_sequence && sequence <= last_sequence && start_s >= from_s && start_s < to_s
    );
  }
}

/** What two reports of one call look alike in, as select_suspect_traces names it. */
function looksOf({ input_total, output_total, service_name }: StoredCandidate): string {
  return `${input_total ?? 0} ${output_total ?? 0} ${service_name}`;
}

/** Whether a link has not been followed; it is from now on. */
function isNew(followed: Set<string>, kind: string, project_id: string, value: string): boolean {
  const before = followed.size;
  return followed.add(`${kind} ${project_id} ${value}`).size > before;
}

/** Follows links to traces that are no members yet. */
function take(
  growth: Growth,
  linked: Map<string, TraceKey>,
  kind: LinkKind,
  links: readonly TraceLink[],
): void {
  for (const shared of links) {
    const { project_id, link, traces } = shared;
    const is_worn = kind === "session" ? traces.length > MAX_TRACES_PER_SESSION : isWorn(shared);
    if (is_worn && kind === "twins") growth.worn_responses.add(`${project_id} ${link}`);
    // A session is a witness however long it is; its other traces are then not decided by this one.
    if (is_worn && kind !== "session") continue;
    for (const trace_id of traces) {
      const trace = { project_id, trace_id };
      const name = nameOf(trace);
      if (growth.members.has(name)) continue;
      linked.set(name, trace);
      if (is_worn) growth.open.add(name);
    }
  }
}

function dropWornResponses({ candidates, worn_responses }: Growth): readonly StoredCandidate[] {
  if (worn_responses.size === 0) return candidates;
  return candidates.map((candidate) =>
    worn_responses.has(`${candidate.project_id} ${candidate.response_id}`)
      ? { ...candidate, response_id: "" }
      : candidate,
  );
}
