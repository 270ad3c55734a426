/**
 * Keeps answers for as long as the ledger does not change. A question that was answered before costs one
 * look at the version of its project's ledger: 304 for who still has the answer, the same bytes for
 * everyone else. Nothing is ever answered from an older ledger than the one of the moment.
 *
 * Invariant: an answer is kept under the version that was read before it was computed, and given only to
 * a question of the same project, path, parameters and media type while that version still holds.
 */
import { createHash, randomBytes } from "node:crypto";
import type { LedgerState } from "./reading.ts";
import type { ApiRequest, Route } from "./route.ts";

/** Bytes of all kept answers together, at most, when no setting says otherwise. */
export const DEFAULT_ANSWER_CACHE_BYTES = 32 * 1024 * 1024;
/** The part of them that one answer may take; a larger one is not kept. */
const MAX_ENTRY_PART = 1 / 8;
/** What an entry takes beside its bytes and its key, about, bytes. */
const ENTRY_OVERHEAD_BYTES = 512;
/** Characters of the URL and the Accept header of a question; longer ones are not kept. */
const MAX_KEY_LENGTH = 16 * 1024;
/** Without an end of its range an answer is of the minute it was asked in, ms: as `endOfMinute` has it. */
const CLOCK_STEP_MS = 60_000;
/** With an end that may lie ahead it is of the quarter of an hour: as `endOfQuarter` has it. */
const AHEAD_STEP_MS = 15 * CLOCK_STEP_MS;
/** An end may be a date, which begins up to this long after its midnight in UTC, ms. */
const MAX_OFFSET_MS = 86_400_000;
const DATE_LENGTH = "2026-11-21".length;
/** Entity tags looked at in one header: more is no question of an honest client. */
const MAX_ENTITY_TAGS = 32;

export interface AnswerCacheOptions {
  /** Bytes of all kept answers together, at most; 0 keeps none, and only saves who has the answer. */
  readonly max_bytes: number;
}

/** What is asked, as far as it decides the answer. */
export interface Question {
  readonly project_id: string;
  /** Path and parameters in one order. */
  readonly target: string;
  /** The Accept header: it decides the media type. */
  readonly accept: string;
  /** The minute or quarter of an hour of an answer that depends on the clock, Unix ms; 0 for others. */
  readonly moment: number;
}

/** The bytes of an answer. */
export interface KeptAnswer {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly headers: readonly (readonly [string, string])[];
  readonly status: number;
}

interface Entry {
  readonly tag: string;
  readonly answer: KeptAnswer;
  readonly bytes: number;
}

/** How often what happened, since the start. */
export interface AnswerCacheCounts {
  readonly hits: number;
  readonly misses: number;
  readonly not_modified: number;
}

/** Answers by question, the least recently given of them dropped first. */
export class AnswerCache {
  readonly #max_bytes: number;
  /** In the order of use, the oldest first. */
  readonly #entries = new Map<string, Entry>();
  /** Answers being computed, by key and tag: who asks the same meanwhile waits for them. */
  readonly #running = new Map<string, Promise<KeptAnswer>>();
  /**
   * Of this process alone: the revision of the state, the prices and the program begin anew with it, so
   * a tag of another process never fits.
   */
  readonly #salt = randomBytes(9).toString("base64url");
  #bytes = 0;
  #counts = { hits: 0, misses: 0, not_modified: 0 };

  constructor({ max_bytes }: AnswerCacheOptions) {
    this.#max_bytes = max_bytes;
  }

  /** Bytes that are kept, about. */
  get bytes(): number {
    return this.#bytes;
  }

  get counts(): AnswerCacheCounts {
    return this.#counts;
  }

  /**
   * The tag of the answer to a question at this version of the ledger and revision of the state: weak,
   * because what encodes an answer on its way may change its bytes.
   */
  tagOf(question: Question, version: string, state_revision: number): string {
    const text = JSON.stringify([this.#salt, keyOf(question), version, state_revision]);
    return `W/"${createHash("sha256").update(text).digest("base64url").slice(0, 32)}"`;
  }

  /** Notes that the one who asked has the answer already. */
  noteNotModified(): void {
    this.#counts = { ...this.#counts, not_modified: this.#counts.not_modified + 1 };
  }

  /** The answer of this tag, kept, being computed by another, or computed now. Throws what that throws. */
  async answer(
    question: Question,
    tag: string,
    compute: () => Promise<KeptAnswer>,
  ): Promise<KeptAnswer> {
    const key = keyOf(question);
    const kept = this.#entries.get(key);
    if (kept?.tag === tag) {
      this.#counts = { ...this.#counts, hits: this.#counts.hits + 1 };
      this.#entries.delete(key);
      this.#entries.set(key, kept);
      return kept.answer;
    }
    const name = `${tag} ${key}`;
    const running = this.#running.get(name);
    if (running !== undefined) return running;
    this.#counts = { ...this.#counts, misses: this.#counts.misses + 1 };
    const computed = compute();
    this.#running.set(name, computed);
    try {
      const answer = await computed;
      this.#keep(key, tag, answer);
      return answer;
    } finally {
      this.#running.delete(name);
    }
  }

  #keep(key: string, tag: string, answer: KeptAnswer): void {
    this.#drop(key);
    const bytes = answer.body.byteLength + key.length * 2 + ENTRY_OVERHEAD_BYTES;
    if (answer.status !== 200 || key.length > MAX_KEY_LENGTH) return;
    if (bytes > this.#max_bytes * MAX_ENTRY_PART) return;
    this.#entries.set(key, { tag, answer, bytes });
    this.#bytes += bytes;
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= this.#max_bytes) break;
      this.#drop(oldest);
    }
  }

  #drop(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#bytes -= entry.bytes;
  }
}

/** JSON, so that no part can reach into the next. */
function keyOf({ project_id, target, accept, moment }: Question): string {
  return JSON.stringify([project_id, target, accept, moment]);
}

/** Path and parameters, by name; several values of one name stay in their order. */
export function canonicalTarget(url: URL): string {
  const parameters = new URLSearchParams(url.searchParams);
  parameters.sort();
  return `${url.pathname}?${parameters.toString()}`;
}

/** Whether a header `If-None-Match` has the tag; weak comparison, as RFC 9110 wants it. */
export function hasTag(header: string | null, tag: string): boolean {
  if (header === null) return false;
  const opaque = (text: string) => text.trim().replace(/^W\//, "");
  return header.split(",", MAX_ENTITY_TAGS).some((one) => opaque(one) === opaque(tag));
}

/** When an answer is of, as far as it depends on the clock. */
function momentOf(to: string | null, now_ms: number): number {
  if (to === null) return now_ms - (now_ms % CLOCK_STEP_MS);
  const latest_ms = Date.parse(to) + (to.length === DATE_LENGTH ? MAX_OFFSET_MS : 0);
  return latest_ms <= now_ms ? 0 : now_ms - (now_ms % AHEAD_STEP_MS);
}

/**
 * What decides an answer. A range that lies in the past does not depend on the clock. One that goes on
 * does where it is compared, by the quarter of an hour; without an end it is of its minute: the default
 * end of a range is the end of the minute that is. A route whose answer looks closer at the clock must
 * not be marked.
 */
export function questionOf({ project_id, url, raw, now_ms }: AskedRequest): Question {
  const parsed = new URL(url);
  return {
    project_id,
    target: canonicalTarget(parsed),
    accept: raw.headers.get("accept") ?? "",
    moment: momentOf(parsed.searchParams.get("to"), now_ms),
  };
}

/** What the cache needs of a request. */
export type AskedRequest = Pick<ApiRequest, "project_id" | "url" | "raw" | "now_ms">;

/** What the cache asks before it answers. */
export interface Versions {
  /** The ledger of a project; see `readLedger`. */
  readonly readLedger: (project_id: string) => Promise<LedgerState>;
  /** Revision of the state that answers may name. */
  readonly state_revision: number;
}

/**
 * Answers a request of a route marked `cache: "ledger"`: 304 when its sender has the answer, else what is
 * kept or what `handle` answers, which gets the state of the ledger that was read for it (`chooseTables`
 * takes it). Other routes are handed through, with null. A whole response of the handler, such as a
 * stream of rows, gets its tag and is not kept.
 */
export async function answerCached(
  cache: AnswerCache,
  route: Pick<Route, "cache" | "method">,
  request: AskedRequest,
  versions: Versions,
  handle: (ledger: LedgerState | null) => Promise<unknown>,
): Promise<unknown> {
  if (route.cache !== "ledger" || route.method !== "GET") return handle(null);
  const question = questionOf(request);
  // Before anything is computed: what changes from here on has another version.
  const ledger = await versions.readLedger(request.project_id);
  const tag = cache.tagOf(question, ledger.version, versions.state_revision);
  if (hasTag(request.raw.headers.get("if-none-match"), tag)) {
    cache.noteNotModified();
    return new Response(null, { status: 304, headers: headersOf(tag) });
  }
  let stream: Response | null = null;
  const { body, headers, status } = await cache.answer(question, tag, async () => {
    const value = await handle(ledger);
    if (value instanceof Response) stream = value;
    return value instanceof Response ? NOTHING : encodeJson(value);
  });
  if (stream !== null) return withTag(stream, tag);
  // Another request waited for a stream, which only its own request can have.
  if (status === NOTHING.status) return withTag((await handle(ledger)) as Response, tag);
  return new Response(body, {
    status,
    headers: [...headers, ...headersOf(tag)] as [string, string][],
  });
}

/** Stands for an answer that is not kept. */
const NOTHING: KeptAnswer = { body: new Uint8Array(), headers: [], status: 0 };

function encodeJson(value: unknown): KeptAnswer {
  return {
    body: new TextEncoder().encode(JSON.stringify(value)),
    headers: [["content-type", "application/json"]],
    status: 200,
  };
}

/** Kept by whom it is for and asked about each time: an old answer is never shown without asking. */
function headersOf(tag: string): [string, string][] {
  return [
    ["etag", tag],
    ["cache-control", "private, no-cache"],
    ["vary", "Accept, Authorization, X-Api-Key"],
  ];
}

function withTag(response: Response, tag: string): Response {
  if (response.status !== 200) return response;
  const headers = new Headers(response.headers);
  for (const [name, value] of headersOf(tag)) headers.set(name, value);
  return new Response(response.body, { status: 200, headers });
}
