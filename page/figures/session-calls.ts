/**
 * All calls of a session in their order, with what they had cost until then.
 *
 * Invariant: the running sum is exact decimal text, and what is not known adds nothing to it.
 */
import type { CallsAnswer } from "../../schemas/api.ts";
import type { CallRow } from "../../schemas/call.ts";
import { type Answer, useTick } from "../answers.ts";
import { addressOf, ask, onKeyChange, Problem, type Query } from "../api.ts";
import { useEffect, useState } from "../html.ts";
import { addUsd } from "../money.ts";

/** Calls of one answer: about 170 kB. */
const PAGE_CALLS = 100;
/** Calls of a session that are shown, the newest: ten answers. */
export const MAX_SESSION_CALLS = 1_000;

/** A call and its place in the session. */
export interface SessionCall {
  /** From one on, the oldest first. */
  readonly number: number;
  readonly call: CallRow;
  /** What it and all calls before it cost, US dollars. */
  readonly running_usd: string;
}

export interface SessionCalls {
  readonly calls: readonly SessionCall[];
  /** Whether there are older ones that are not here. */
  readonly is_cut: boolean;
}

/** Calls as the API gives them, newest first, in their order and with the sum until then. */
export function addUpCalls(newest_first: readonly CallRow[]): readonly SessionCall[] {
  let running_usd = "0";
  return newest_first.toReversed().map((call, index) => {
    running_usd = addUsd(running_usd, call.cost_usd) ?? running_usd;
    return { number: index + 1, call, running_usd };
  });
}

/** A trace of the session. */
export interface SessionTrace {
  readonly trace_id: string;
  readonly start_time: string;
  readonly calls: number;
  readonly failed: number;
  /** Null when the cost of no call is known. */
  readonly cost_usd: string | null;
}

/** The traces that calls belong to, in the order of their first call. */
export function tracesOf(calls: readonly SessionCall[]): readonly SessionTrace[] {
  const traces = new Map<string, SessionTrace>();
  for (const { call } of calls) {
    const { trace_id, start_time, cost_usd, status } = call;
    const known = traces.get(trace_id);
    traces.set(trace_id, {
      trace_id,
      start_time: known?.start_time ?? start_time,
      calls: (known?.calls ?? 0) + 1,
      failed: (known?.failed ?? 0) + (status === "error" ? 1 : 0),
      cost_usd: addUsd(known?.cost_usd, cost_usd),
    });
  }
  return [...traces.values()];
}

async function askPages(query: Query, signal: AbortSignal): Promise<SessionCalls> {
  const rows: CallRow[] = [];
  let page: Query = query;
  const { from: _from, to: _to, ...filters } = query;
  for (;;) {
    const asked = { ...page, limit: PAGE_CALLS };
    const { calls, next_cursor } = await ask<CallsAnswer>("/v1/calls", asked, signal);
    rows.push(...calls);
    const is_enough = rows.length >= MAX_SESSION_CALLS;
    if (next_cursor === null || is_enough) {
      return { calls: addUpCalls(rows), is_cut: next_cursor !== null };
    }
    page = { ...filters, cursor: next_cursor };
  }
}

interface State {
  readonly key: string;
  readonly data: SessionCalls | null;
  readonly problem: Problem | null;
}

/** Asks for the calls of a session, page by page. */
export function useSessionCalls(query: Query): Answer<SessionCalls> {
  const tick = useTick();
  const [again, setAgain] = useState(0);
  const [state, setState] = useState<State>({ key: "", data: null, problem: null });
  const key = addressOf("/v1/calls", query);
  useEffect(() => onKeyChange(() => setAgain((count) => count + 1)), []);
  useEffect(() => {
    const controller = new AbortController();
    askPages(query, controller.signal).then(
      (data) => setState({ key, data, problem: null }),
      (error: unknown) => {
        if (controller.signal.aborted) return;
        const problem =
          error instanceof Problem ? error : new Problem(0, "broken_page", String(error));
        setState({ key, data: null, problem });
      },
    );
    return () => controller.abort();
  }, [key, tick, again]);
  const is_of_this = state.key === key;
  return {
    data: is_of_this ? state.data : null,
    problem: is_of_this ? state.problem : null,
    is_loading: !is_of_this,
    reload: () => setAgain((count) => count + 1),
  };
}
