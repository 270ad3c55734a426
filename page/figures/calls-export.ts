/**
 * All calls that fit as one CSV: page after page is asked for, up to a limit, with the progress in words and a
 * way to stop.
 *
 * Invariant: a file that does not hold all that fit has that in its name, and the page says it.
 */
import type { CallsAnswer } from "../../schemas/api.ts";
import type { CallRow } from "../../schemas/call.ts";
import { addressOf, authHeaders, Problem, type Query, send } from "../api.ts";
import { showCount } from "../format.ts";
import { html, useEffect, useRef, useState, type VNode } from "../html.ts";
import { type Column, saveFile, toCsv } from "../table.ts";

/** Rows of one file: about 6 MB of CSV. */
export const MAX_EXPORT_ROWS = 10_000;
/** Rows that are asked for at a time. */
const EXPORT_PAGE_ROWS = 500;

type AskPage = (cursor: string | null, rows: number) => Promise<CallsAnswer>;

export interface Collected {
  readonly calls: readonly CallRow[];
  /** Whether there are more. */
  readonly is_cut: boolean;
}

/** Asks for pages until there is no more, `max` is reached or `isStopped` says so. Rejects as `askPage` does. */
export async function collectCalls(
  askPage: AskPage,
  max: number,
  isStopped: () => boolean,
  onProgress: (rows: number) => void,
): Promise<Collected> {
  const calls: CallRow[] = [];
  let cursor: string | null = null;
  do {
    const page: CallsAnswer = await askPage(cursor, Math.min(EXPORT_PAGE_ROWS, max - calls.length));
    calls.push(...page.calls);
    cursor = page.next_cursor;
    onProgress(calls.length);
  } while (cursor !== null && calls.length < max && !isStopped());
  return { calls, is_cut: cursor !== null };
}

/** Asks past the answers that the page keeps: an export would drive all others out. */
async function askCalls(query: Query, signal: AbortSignal): Promise<CallsAnswer> {
  const headers = { accept: "application/json", ...authHeaders() };
  const response = await send(addressOf("/v1/calls", query), { headers, signal });
  return (await response.json()) as CallsAnswer;
}

export interface ExportProps {
  /** Range and filters of the list. */
  readonly query: Query;
  readonly columns: readonly Column<CallRow>[];
}

/** The button, and how far it is. */
export function ExportCalls({ query, columns }: ExportProps): VNode {
  const [words, setWords] = useState("");
  const [is_running, setRunning] = useState(false);
  const stopped = useRef(false);
  const controller = useRef<AbortController | null>(null);
  useEffect(() => () => controller.current?.abort(), []);
  const run = async () => {
    const { signal } = (controller.current = new AbortController());
    stopped.current = false;
    setRunning(true);
    setWords("Asking for the calls …");
    const askPage: AskPage = (cursor, limit) => {
      // A cursor has its own range: that of the first page.
      const { from: _from, to: _to, ...filters } = query;
      return askCalls({ ...(cursor === null ? query : { ...filters, cursor }), limit }, signal);
    };
    try {
      const got = await collectCalls(
        askPage,
        MAX_EXPORT_ROWS,
        () => stopped.current,
        (rows) => setWords(`${showCount(rows)} calls so far …`),
      );
      setWords(save(got, columns));
    } catch (error) {
      if (signal.aborted) return;
      setWords(`Nothing was saved. ${error instanceof Problem ? error.message : String(error)}`);
    }
    setRunning(false);
  };
  return html`<span role="status">${words}</span> ${
      is_running
        ? html`<button class="tool" onClick=${() => (stopped.current = true)}>Stop</button>`
        : html`<button
            class="tool"
            title=${`Save all calls that fit as CSV, the newest ${showCount(MAX_EXPORT_ROWS)} at most`}
            onClick=${() => void run()}
          >
            All as CSV
          </button>`
    }`;
}

function save({ calls, is_cut }: Collected, columns: readonly Column<CallRow>[]): string {
  const text = toCsv({ columns, rows: calls });
  const count = showCount(calls.length);
  if (!is_cut) {
    saveFile("calls-all.csv", text);
    return `Saved all ${count} calls.`;
  }
  saveFile(`calls-newest-${calls.length}.csv`, text);
  return `Saved the newest ${count} calls only: there are more. Ask for a shorter range or filter for the rest.`;
}
