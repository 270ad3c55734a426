/**
 * Reports of one call that carry the provider's response id (rule 3; dialects.md 1.2.4): an SDK and a
 * gateway, or two instrumentations, in one trace or in several.
 *
 * Invariant: two reports are only united when their providers do not contradict each other.
 */
import { at, type Board, isCall } from "./board.ts";

/** Providers that pass on the models, and the response ids, of others. */
const RESELLERS: ReadonlySet<string> = new Set([
  "",
  "azure",
  "bedrock",
  "cloudflare",
  "databricks",
  "gateway",
  "github",
  "helicone",
  "litellm",
  "openrouter",
  "portkey",
  "vercel",
  "vertex",
]);

/** Unites the calls that carry the same response id. */
export function uniteTwins(board: Board): void {
  const by_response = new Map<string, number[]>();
  for (let index = 0; index < board.candidates.length; index += 1) {
    const { response_id } = at(board, index);
    if (response_id === "" || !isCall(board, index)) continue;
    const reports = by_response.get(response_id);
    if (reports === undefined) by_response.set(response_id, [index]);
    else reports.push(index);
  }
  for (const reports of by_response.values()) if (reports.length > 1) uniteReports(board, reports);
}

/**
 * Where two vendors claim one id it is no id of a call: then only reports of the same provider are
 * united, since a reseller could be any vendor's.
 */
function uniteReports(board: Board, reports: readonly number[]): void {
  const providers = new Set(reports.map((index) => at(board, index).provider));
  const is_contested = [...providers].filter((provider) => !RESELLERS.has(provider)).length > 1;
  const first_of = new Map<string, number>();
  for (const index of reports) {
    const group = is_contested ? at(board, index).provider : "";
    const first = first_of.get(group);
    if (first === undefined) first_of.set(group, index);
    else board.calls.unite(first, index);
  }
}
