/**
 * Whose call it is, where the counted report does not say (rule 7): frameworks put the user and the
 * session on the outer span only (dialects.md 1.7).
 *
 * Invariant: what a span says of itself is never overruled.
 */
import type { Candidate } from "../../schemas/ledger.ts";
import type { Board } from "./board.ts";
import { NONE } from "./forest.ts";

const FIELDS = ["user_id", "session_id", "agent_name"] as const;

/** Who a call belongs to; "" is unknown. */
export type Context = Pick<Candidate, (typeof FIELDS)[number]>;

/** For each candidate its own context, filled from the nearest ancestor that has each field. */
export function inheritContexts(board: Board): Context[] {
  const contexts: Context[] = [...board.candidates];
  for (const index of board.forest.parents_first) {
    const above = board.forest.parent[index] as number;
    if (above !== NONE) contexts[index] = fill(contexts[index] as Context, contexts[above]);
  }
  return contexts;
}

/** The context of a row that its own span does not have; "" where it has it or nobody does. */
export function borrowContext(own: Context, lenders: readonly (Context | undefined)[]): Context {
  let known: Context = own;
  for (const lender of lenders) known = fill(known, lender);
  return {
    user_id: own.user_id === "" ? known.user_id : "",
    session_id: own.session_id === "" ? known.session_id : "",
    agent_name: own.agent_name === "" ? known.agent_name : "",
  };
}

/** Whether nothing is in it. */
export function isEmptyContext(context: Context): boolean {
  return FIELDS.every((field) => context[field] === "");
}

/** Shares the objects that need no change: most spans of a trace have the context of their root. */
function fill(own: Context, lender: Context | undefined): Context {
  if (lender === undefined) return own;
  if (FIELDS.every((field) => own[field] !== "" || lender[field] === "")) return own;
  if (isEmptyContext(own)) return lender;
  return {
    user_id: own.user_id || lender.user_id,
    session_id: own.session_id || lender.session_id,
    agent_name: own.agent_name || lender.agent_name,
  };
}
