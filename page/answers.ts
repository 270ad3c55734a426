/**
 * Answers of the API as the state of a component: loading, ready or failed, and again when the question,
 * the key or the time to look again changes.
 *
 * Invariant: what is shown belongs to the question that stands above it. An old answer is shown only while
 * the same question is asked again.
 */
import type { Coverage } from "../schemas/api-parts.ts";
import { addressOf, ask, onKeyChange, Problem, type Query } from "./api.ts";
import { useEffect, useMemo, useRef, useState } from "./html.ts";
import { type Range, rangeOf } from "./time.ts";
import { FILTER_NAMES, useParams } from "./url.ts";

export interface Answer<Data> {
  /** null until it is there, and when it failed. */
  readonly data: Data | null;
  readonly problem: Problem | null;
  /** The first answer to this question is under way. */
  readonly is_loading: boolean;
  /** Asks again. */
  readonly reload: () => void;
}

export type { Coverage };

/** Every how long a page that nobody touches looks again, seconds; 0 never. */
export const REFRESH_CHOICES_S = [0, 10, 60, 300] as const;
export const DEFAULT_REFRESH_S = 60;
/** First wait before an unreachable server is asked again, ms; doubled each time up to the limit. */
const FIRST_RETRY_MS = 1_000;
const MAX_RETRY_MS = 30_000;

const tick_listeners = new Set<() => void>();
let tick_ms = Date.now();

/** The instant that relative ranges end at; moves with each look, not with each drawing. */
export function nowMs(): number {
  return tick_ms;
}

/** Looks again now: all questions of the page are asked anew. */
export function lookAgain(): void {
  tick_ms = Date.now();
  for (const listener of tick_listeners) listener();
}

/** A number that changes with each look. */
export function useTick(): number {
  const [tick, setTick] = useState(tick_ms);
  useEffect(() => {
    const listener = () => setTick(tick_ms);
    tick_listeners.add(listener);
    listener();
    return () => void tick_listeners.delete(listener);
  }, []);
  return tick;
}

/** How often to look again by the address, seconds. */
export function refreshOf(params: URLSearchParams): number {
  const asked = Number(params.get("refresh") ?? DEFAULT_REFRESH_S);
  return REFRESH_CHOICES_S.find((seconds) => seconds === asked) ?? DEFAULT_REFRESH_S;
}

/** Range, zone, project and filters of the address, as the API takes them. */
export interface Asked {
  readonly range: Range;
  readonly query: Query;
  /** Whether it is about some calls only, not about all of the range. */
  readonly has_filters: boolean;
}

/** What every question of a view has in common. */
export function useAsked(): Asked {
  const params = useParams();
  const tick = useTick();
  const key = params.toString();
  return useMemo(() => askedOf(new URLSearchParams(key), tick), [key, tick]);
}

/** Range and filters of parameters. */
export function askedOf(params: URLSearchParams, now_ms: number): Asked {
  const range = rangeOf(params, now_ms);
  const filters = Object.fromEntries(FILTER_NAMES.map((name) => [name, params.getAll(name)]));
  const { from, to, tz } = range;
  return {
    range,
    query: { from, to, tz, project: params.get("project"), ...filters },
    has_filters: FILTER_NAMES.some((name) => params.has(name)),
  };
}

interface State<Data> {
  /** The question that it answers. */
  readonly address: string;
  readonly data: Data | null;
  readonly problem: Problem | null;
}

/** Asks a question and keeps its answer; `path` null asks nothing. */
export function useAnswer<Data>(path: string | null, query: Query = {}): Answer<Data> {
  const tick = useTick();
  const [again, setAgain] = useState(0);
  const [state, setState] = useState<State<Data>>({ address: "", data: null, problem: null });
  const failures = useRef(0);
  const address = path === null ? "" : addressOf(path, query);
  useEffect(() => onKeyChange(() => setAgain((count) => count + 1)), []);
  useEffect(() => {
    if (address === "") return undefined;
    const controller = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    ask<Data>(address, {}, controller.signal).then(
      (data) => {
        failures.current = 0;
        setState({ address, data, problem: null });
      },
      (error: unknown) => {
        if (controller.signal.aborted) return;
        const problem =
          error instanceof Problem ? error : new Problem(0, "broken_page", String(error));
        setState({ address, data: null, problem });
        if (problem.status !== 0 && problem.status !== 503) return;
        const wait_ms = Math.min(FIRST_RETRY_MS * 2 ** failures.current, MAX_RETRY_MS);
        failures.current += 1;
        timer = setTimeout(() => setAgain((count) => count + 1), wait_ms);
      },
    );
    return () => {
      controller.abort();
      clearTimeout(timer);
    };
  }, [address, tick, again]);
  const is_of_this = state.address === address;
  return {
    data: is_of_this ? state.data : null,
    problem: is_of_this ? state.problem : null,
    is_loading: !is_of_this && address !== "",
    reload: () => setAgain((count) => count + 1),
  };
}

/** An answer made of another one; the states stay. */
export function mapAnswer<From, To>(answer: Answer<From>, map: (data: From) => To): Answer<To> {
  return { ...answer, data: answer.data === null ? null : map(answer.data) };
}
