/**
 * How much may be asked: requests a second of a key, wrong keys a minute of an address, and questions
 * of one project at once, so that no project keeps the others waiting.
 *
 * Invariant: who sends good keys is never refused for what others send from the same address, and what
 * is remembered is bounded however many keys, addresses and projects ask.
 */
import type { Actor } from "../schemas/access.ts";
import { TokenBucket } from "../schemas/token-bucket.ts";
import { ApiError } from "./errors.ts";
import type { Route } from "./route.ts";

/** The limits; bursts of ten seconds' worth pass (schemas/token-bucket.ts). */
export interface RateLimitOptions {
  /** Of one key, and of one address that asks what needs no key; sustained. */
  readonly requests_per_second: number;
  /** Wrong keys of one address; then 429 in place of 401 until time has passed. */
  readonly failures_per_minute: number;
  /** Questions of one project that are worked on at once. */
  readonly queries_at_once: number;
  /** Questions of one project that wait for their turn; beyond it they are refused. */
  readonly queries_waiting: number;
  /** A monotonic clock. */
  readonly now_ms: () => number;
}

/** What guards the routes (the part of `Gate` that is about amounts). */
export interface RateLimits {
  /**
   * Counts a request: of an actor, of nobody where no key is needed, or (null) one with a wrong key.
   * Throws ApiError 429 with the seconds to wait.
   */
  admit(route: Route, actor: Actor | null, remote_address: string): void;
  /** Takes more of an actor that was refused: each such act is a row in the audit log. */
  charge(actor: Actor): void;
  /**
   * Waits for a turn among the questions of a project; answers what ends it. Throws ApiError 429 when
   * too many wait or it takes too long; at once for routes that read no ledger.
   */
  enter(route: Route, project_id: string, signal: AbortSignal): Promise<() => void>;
}

/** Keys, and as many addresses, that are remembered; the one that asked longest ago is forgotten. */
export const MAX_BUCKETS = 10_000;
/** What a refused act costs more, requests. */
const REFUSAL_COST = 20;
/** Longest a question waits for its turn, ms. */
export const MAX_TURN_WAIT_MS = 10_000;

/** Makes the limits of one process. */
export function makeRateLimits(options: RateLimitOptions): RateLimits {
  const { requests_per_second, failures_per_minute, now_ms } = options;
  const keys = new Buckets(requests_per_second, now_ms);
  const addresses = new Buckets(requests_per_second, now_ms);
  const failures = new Buckets(failures_per_minute / 60, now_ms);
  const turns = new Turns(options.queries_at_once, options.queries_waiting);
  return {
    admit(route, actor, remote_address) {
      if (actor === null) {
        const wait_s = failures.take(networkOf(remote_address));
        if (wait_s > 0) throw tooMany("Too many wrong keys came from this address.", wait_s);
        return;
      }
      const wait_s =
        route.action === null
          ? addresses.take(networkOf(remote_address))
          : keys.take(nameOf(actor));
      if (wait_s > 0) {
        throw tooMany(`At most ${requests_per_second} requests a second are answered.`, wait_s);
      }
    },
    charge: (actor) => keys.charge(nameOf(actor), REFUSAL_COST),
    async enter(route, project_id, signal) {
      const asks = route.action === "usage:read" || route.asks_ledger === true;
      if (route.of !== "project" || !asks) return () => {};
      return turns.enter(project_id, signal);
    },
  };
}

function nameOf(actor: Actor): string {
  return `${actor.kind} ${actor.id}`;
}

function tooMany(message: string, wait_s: number): ApiError {
  const retry_s = Math.max(1, Math.ceil(wait_s));
  return new ApiError(429, "too_many_requests", `${message} Try again later.`, [], retry_s);
}

/** What one customer of an Internet provider has: an IPv4 address, or the /64 of an IPv6 one. */
export function networkOf(address: string): string {
  const v4 = /(?:^|:)(\d{1,3}(?:\.\d{1,3}){3})$/.exec(address);
  if (v4 !== null) return v4[1] as string;
  const [head = "", tail] = address.toLowerCase().split("::");
  const first = head === "" ? [] : head.split(":");
  const last = tail === undefined || tail === "" ? [] : tail.split(":");
  const middle = Array.from({ length: Math.max(0, 8 - first.length - last.length) }, () => "0");
  return [...first, ...(tail === undefined ? [] : middle), ...last].slice(0, 4).join(":");
}

/** Token buckets of one rate, by name; so many of them that memory is bounded. */
export class Buckets {
  readonly #rate_per_s: number;
  readonly #now_ms: () => number;
  readonly #max: number;
  /** In the order of their last use. */
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(rate_per_s: number, now_ms: () => number, max = MAX_BUCKETS) {
    this.#rate_per_s = rate_per_s;
    this.#now_ms = now_ms;
    this.#max = max;
  }

  /** Takes a token: 0 when there was one, else the seconds until there is. */
  take(name: string): number {
    const now_ms = this.#now_ms();
    const bucket = this.#use(name, now_ms);
    const wait_ms = bucket.wait_ms(now_ms);
    if (wait_ms === 0) bucket.take(1, now_ms);
    return wait_ms / 1000;
  }

  /** Takes tokens that need not be there. */
  charge(name: string, tokens: number): void {
    const now_ms = this.#now_ms();
    this.#use(name, now_ms).take(tokens, now_ms);
  }

  /** Buckets that are remembered. */
  get size(): number {
    return this.#buckets.size;
  }

  #use(name: string, now_ms: number): TokenBucket {
    const bucket = this.#buckets.get(name) ?? new TokenBucket(this.#rate_per_s, now_ms);
    this.#buckets.delete(name);
    this.#buckets.set(name, bucket);
    if (this.#buckets.size > this.#max) this.#forgetOldest();
    return bucket;
  }

  #forgetOldest(): void {
    for (const name of this.#buckets.keys()) {
      this.#buckets.delete(name);
      return;
    }
  }
}

interface Project {
  running: number;
  readonly waiting: (() => void)[];
}

/** Turns of projects: so many of each at once, a short queue behind them, first come first served. */
export class Turns {
  readonly #at_once: number;
  readonly #max_waiting: number;
  readonly #max_wait_ms: number;
  readonly #projects = new Map<string, Project>();

  constructor(at_once: number, max_waiting: number, max_wait_ms = MAX_TURN_WAIT_MS) {
    this.#at_once = at_once;
    this.#max_waiting = max_waiting;
    this.#max_wait_ms = max_wait_ms;
  }

  /** Resolves when it is this one's turn, with what ends the turn; to call that twice does no harm. */
  async enter(project_id: string, signal: AbortSignal): Promise<() => void> {
    const project = this.#projects.get(project_id) ?? { running: 0, waiting: [] };
    this.#projects.set(project_id, project);
    if (project.running < this.#at_once) project.running += 1;
    else await this.#wait(project, signal);
    let is_over = false;
    return () => {
      if (is_over) return;
      is_over = true;
      // The turn goes to the next one, so `running` stays.
      const next = project.waiting.shift();
      if (next !== undefined) next();
      else project.running -= 1;
      if (project.running === 0) this.#projects.delete(project_id);
    };
  }

  /** Projects that are being worked for. */
  get size(): number {
    return this.#projects.size;
  }

  #wait(project: Project, signal: AbortSignal): Promise<void> {
    if (project.waiting.length >= this.#max_waiting) throw busy();
    const turn = Promise.withResolvers<void>();
    const begin = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", leave);
      turn.resolve();
    };
    const leave = () => {
      const place = project.waiting.indexOf(begin);
      if (place >= 0) project.waiting.splice(place, 1);
      clearTimeout(timer);
      signal.removeEventListener("abort", leave);
      turn.reject(busy());
    };
    const timer = setTimeout(leave, this.#max_wait_ms);
    timer.unref();
    if (signal.aborted) leave();
    else {
      signal.addEventListener("abort", leave);
      project.waiting.push(begin);
    }
    return turn.promise;
  }
}

function busy(): ApiError {
  const message = "Too many questions of this project are being answered; ask them one by one.";
  return new ApiError(429, "project_busy", message, [], 1);
}
