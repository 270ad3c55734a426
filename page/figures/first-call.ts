/**
 * Whether the project ever had a call, asked again and again until it has one.
 *
 * Invariant: nothing is asked while nobody looks at the page.
 */
import type { UsageAnswer } from "../../schemas/api-usage.ts";
import { lookAgain, nowMs, useAnswer } from "../answers.ts";
import { useEffect, useRef } from "../html.ts";
import { dayIn } from "../time.ts";
import { useParams } from "../url.ts";

/** How often it is asked while there was none, ms. */
const WAIT_MS = 2_000;
/** How far back a call may lie, days: the longest range of the API is ten years. */
const BACK_DAYS = 3_640;
/** Calls may be a day ahead of the clock here, and zones another one. */
const AHEAD_DAYS = 2;
const DAY_MS = 86_400_000;

/** Calls that there ever were. */
export interface EverCalls {
  /** null when it is not asked or not known. */
  readonly calls: number | null;
  readonly is_loading: boolean;
}

/** Asks how many calls there ever were, as long as there is none. */
export function useEverCalls(is_asked: boolean): EverCalls {
  const params = useParams();
  const now_ms = nowMs();
  const { data, reload, is_loading } = useAnswer<UsageAnswer>(is_asked ? "/v1/usage" : null, {
    project: params.get("project"),
    from: dayIn("UTC", now_ms - BACK_DAYS * DAY_MS),
    to: dayIn("UTC", now_ms + AHEAD_DAYS * DAY_MS),
    measures: "calls",
  });
  const calls = data?.totals.calls ?? null;
  const ask = useRef(reload);
  ask.current = reload;
  const was_none = useRef(false);
  useEffect(() => {
    if (was_none.current && calls !== null && calls > 0) lookAgain();
    was_none.current = calls === 0;
    if (calls !== 0) return undefined;
    const look = () => {
      if (document.visibilityState === "visible") ask.current();
    };
    const timer = setInterval(look, WAIT_MS);
    document.addEventListener("visibilitychange", look);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, [calls]);
  return { calls, is_loading };
}
