/**
 * Lists that come page by page: the question of a page, and the links to the first and the next one.
 *
 * Invariant: all pages have the range of the first, though "now" moves on.
 */
import type { Asked } from "../answers.ts";
import type { Query } from "../api.ts";
import { showCount } from "../format.ts";
import { html, type VNode } from "../html.ts";
import { showInstant } from "../time.ts";
import { linkWith } from "../url.ts";
import { callQueryOf } from "./call-question.ts";

/** Range and filters as lists take them; beside a cursor, which has its own range, the filters alone. */
export function listQuery(asked: Asked, cursor: string | null): Query {
  const query = callQueryOf(asked);
  if (cursor === null) return query;
  const { from: _from, to: _to, ...filters } = query;
  return { ...filters, cursor };
}

export interface PagerProps {
  /** What the rows are: "calls". */
  readonly noun: string;
  readonly rows: number;
  /** The cursor of this page; null on the first. */
  readonly cursor: string | null;
  readonly next_cursor: string | null;
  /** The range of the answer. */
  readonly from: string;
  readonly to: string;
  readonly tz: string;
}

/** Where one is in a list, and the ways on. */
export function Pager(props: PagerProps): VNode {
  const { noun, rows, cursor, next_cursor, from, to, tz } = props;
  const show = (text: string) => showInstant(Date.parse(text), tz);
  const is_all = cursor === null && next_cursor === null;
  const count = rows === 0 ? `No ${noun}` : `${is_all ? "All " : ""}${showCount(rows)} ${noun}`;
  return html`<nav class="pager" aria-label=${`Pages of ${noun}`}>
    <span>
      ${count}${is_all ? "" : " on this page"}, from ${show(from)} to ${show(to)} (${tz})
    </span>
    <span class="spring"></span>
    ${cursor !== null && html`<a class="button" href=${linkWith({ cursor: null })}>First page</a>`}
    ${
      next_cursor !== null &&
      html`<a class="button" href=${linkWith({ cursor: next_cursor })}>Next page →</a>`
    }
  </nav>`;
}
