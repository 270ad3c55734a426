/**
 * The spans of a trace as a tree with bars of time, costs of each node and of all below it. A tree grid:
 * arrows go up and down, open and close; Enter shows a span.
 *
 * Invariant: what is folded away or not drawn is said, with its number; the last line is the total of the
 * API.
 */
import type { TraceTreeAnswer } from "../../schemas/api-traces.ts";
import { readVariable } from "../colors.ts";
import { showCount, showDuration, showShort } from "../format.ts";
import { html, useLayoutEffect, useMemo, useRef, useState, type VNode } from "../html.ts";
import { setParams } from "../url.ts";
import { alignUsd, Marks } from "./call-parts.ts";
import {
  listAbove,
  listRows,
  openAtFirst,
  type SpanKind,
  ticksOf,
  type TraceNode,
  type TraceTree,
} from "./trace-layout.ts";

/** Rows that are drawn at once, and that are open at first. */
export const MAX_ROWS = 300;
/** Levels that are set in further and further; deeper ones stand below each other. */
const MAX_INDENTS = 12;
const INDENT_PX = 12;

/** What the kinds are called. */
export const KIND_TITLES: Readonly<Record<SpanKind, string>> = {
  model: "Model call",
  uncounted: "Report not counted",
  agent: "Agent",
  tool: "Tool",
  other: "Other",
};

/** The colour of a kind of span as it is now. */
export function colorOfKind(kind: SpanKind): string {
  return readVariable(`--color-span-${kind}`);
}

export interface WaterfallProps {
  readonly trace: TraceTreeAnswer;
  readonly tree: TraceTree;
  /** Key of the span that is shown beside; null for none. */
  readonly chosen: string | null;
}

/** Shows a span beside the tree; null shows none. */
export function chooseSpan(key: string | null): void {
  setParams({ span_id: key }, { replace: true });
}

/** The tree. */
export function Waterfall({ trace, tree, chosen }: WaterfallProps): VNode {
  const fold = useFolds(tree, chosen);
  const places = useMemo(() => placesOf(trace), [trace]);
  const { rows } = fold;
  const [focused, setFocused] = useState<string | null>(null);
  // The rows around the chosen span, until others are asked for.
  const [first, setFirst] = useState<number | null>(null);
  const body = useRef<HTMLTableSectionElement>(null);
  const wants_focus = useRef(false);
  const wanted = first ?? pageOf(rows.findIndex(({ key }) => key === chosen));
  const start = Math.min(wanted, pageOf(rows.length - 1));
  const drawn = rows.slice(start, start + MAX_ROWS);
  const current = drawn.find(({ key }) => key === (focused ?? chosen)) ?? drawn[0];
  useLayoutEffect(() => {
    if (!wants_focus.current) return;
    wants_focus.current = false;
    body.current?.querySelector<HTMLElement>('tr[tabindex="0"]')?.focus();
  });
  const focusOn = (node: TraceNode | undefined) => {
    if (node === undefined) return;
    const place = rows.indexOf(node);
    if (place < start || place >= start + MAX_ROWS) setFirst(pageOf(place));
    wants_focus.current = true;
    setFocused(node.key);
  };
  const press = (event: KeyboardEvent) => {
    if (current === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    const act = ACTIONS[event.key];
    if (act === undefined) return;
    event.preventDefault();
    act({ node: current, place: rows.indexOf(current), rows, tree, fold, focusOn });
  };
  return html`<${FoldButtons} ...${{ tree, fold, start, drawn: drawn.length, setFirst }} />
    <div class="scroll" role="region" aria-label="Spans of the trace">
      <table
        class="waterfall"
        role="treegrid"
        aria-label="Spans of the trace"
        aria-rowcount=${rows.length + 2}
      >
        <${Head} duration_ns=${trace.duration_ns} />
        <tbody ref=${body} onKeyDown=${press}>
          ${drawn.map(
            (node, index) =>
              html`<${Row}
                key=${node.key}
                node=${node}
                places=${places}
                row_index=${start + index + 2}
                is_open=${fold.isOpen(node)}
                is_chosen=${node.key === chosen}
                is_current=${node === current}
                toggle=${() => fold.set(node, !fold.isOpen(node))}
                focus=${() => setFocused(node.key)}
              />`,
          )}
        </tbody>
        <${Total} trace=${trace} places=${places} />
      </table>
    </div>`;
}

/** The most digits behind the point that a cost of the trace has. */
function placesOf({ spans, totals }: TraceTreeAnswer): number {
  const costs = [totals.cost_usd, ...spans.map(({ call }) => call?.cost_usd)];
  return costs.reduce((most, text) => Math.max(most, text?.split(".")[1]?.length ?? 0), 0);
}

function pageOf(place: number): number {
  return Math.max(0, Math.floor(place / MAX_ROWS)) * MAX_ROWS;
}

interface Folds {
  readonly rows: readonly TraceNode[];
  readonly isOpen: (node: TraceNode) => boolean;
  readonly set: (node: TraceNode, is_open: boolean) => void;
  readonly setAll: (is_open: boolean) => void;
}

/** What is open: at first as much as is drawn at once, and the way to the chosen span. */
function useFolds(tree: TraceTree, chosen: string | null): Folds {
  const [choices, setChoices] = useState<ReadonlyMap<string, boolean>>(new Map());
  const [all, setAll] = useState<boolean | null>(null);
  const at_first = useMemo(() => {
    const open = openAtFirst(tree, MAX_ROWS);
    const node = tree.nodes.find(({ key }) => key === chosen);
    for (const { key } of node === undefined ? [] : listAbove(tree, node)) open.add(key);
    return open;
  }, [tree, chosen]);
  return useMemo(() => {
    const isOpen = ({ key }: TraceNode) => choices.get(key) ?? all ?? at_first.has(key);
    return {
      isOpen,
      rows: listRows(tree, isOpen),
      set: ({ key }: TraceNode, is_open: boolean) =>
        setChoices((before) => new Map([...before, [key, is_open]])),
      setAll: (is_open: boolean) => {
        setChoices(new Map());
        setAll(is_open);
      },
    };
  }, [tree, choices, all, at_first]);
}

interface Action {
  readonly node: TraceNode;
  readonly place: number;
  readonly rows: readonly TraceNode[];
  readonly tree: TraceTree;
  readonly fold: Folds;
  readonly focusOn: (node: TraceNode | undefined) => void;
}

/** Keys of a tree grid, as the ARIA practices have them. */
const ACTIONS: Readonly<Record<string, (action: Action) => void>> = {
  ArrowDown: ({ rows, place, focusOn }) => focusOn(rows[place + 1]),
  ArrowUp: ({ rows, place, focusOn }) => focusOn(rows[place - 1]),
  Home: ({ rows, focusOn }) => focusOn(rows[0]),
  End: ({ rows, focusOn }) => focusOn(rows.at(-1)),
  ArrowRight: ({ node, rows, place, fold, focusOn }) => {
    if (node.children.length === 0) return;
    if (fold.isOpen(node)) focusOn(rows[place + 1]);
    else fold.set(node, true);
  },
  ArrowLeft: ({ node, tree, fold, focusOn }) => {
    if (node.children.length > 0 && fold.isOpen(node)) fold.set(node, false);
    else if (node.parent !== null) focusOn(tree.nodes[node.parent]);
  },
  Enter: ({ node }) => chooseSpan(node.key),
  " ": ({ node }) => chooseSpan(node.key),
  Escape: () => chooseSpan(null),
};

interface FoldButtonsProps {
  readonly tree: TraceTree;
  readonly fold: Folds;
  readonly start: number;
  readonly drawn: number;
  readonly setFirst: (first: number) => void;
}

/** Opens and folds all, and says what is not drawn. */
function FoldButtons({ tree, fold, start, drawn, setFirst }: FoldButtonsProps): VNode {
  const { rows } = fold;
  const folded = tree.nodes.length - rows.length;
  const words =
    drawn === rows.length
      ? `${showCount(rows.length)} ${rows.length === 1 ? "row" : "rows"}`
      : `Rows ${showCount(start + 1)} to ${showCount(start + drawn)} of ${showCount(rows.length)}`;
  return html`<div class="folds">
    <button class="tool" onClick=${() => fold.setAll(true)}>Open all</button>
    <button class="tool" onClick=${() => fold.setAll(false)}>Fold all</button>
    <span aria-live="polite"
      >${words}${folded === 0 ? "" : `, ${showCount(folded)} spans folded away`}</span
    >
    ${
      drawn < rows.length &&
      html`<button disabled=${start === 0} onClick=${() => setFirst(start - MAX_ROWS)}>
          Rows before
        </button>
        <button
          disabled=${start + drawn >= rows.length}
          onClick=${() => setFirst(start + MAX_ROWS)}
        >
          Rows after
        </button>`
    }
  </div>`;
}

/** A tick further to the right has no place for its words. */
const LAST_TICK_SHARE = 0.88;

function listTicks(duration_ns: number): { readonly tick: number; readonly share: number }[] {
  return ticksOf(duration_ns)
    .map((tick) => ({ tick, share: duration_ns === 0 ? 0 : tick / duration_ns }))
    .filter(({ share }) => share <= LAST_TICK_SHARE);
}

function Head({ duration_ns }: { readonly duration_ns: number }): VNode {
  return html`<thead>
    <tr>
      <th scope="col">Span</th>
      <th scope="col" class="time">
        <span class="hidden">Time from the start</span>
        <span class="ticks" aria-hidden="true">
          ${listTicks(duration_ns).map(
            ({ tick, share }) =>
              html`<i style=${{ left: `${share * 100}%` }}
                >${tick === 0 ? "0" : showDuration(tick).replace(/\.0+ /, " ")}</i
              >`,
          )}
        </span>
      </th>
      <th scope="col" class="number">Duration</th>
      <th scope="col" class="number" title="Tokens in and out of the call itself">
        Tokens in / out
      </th>
      <th scope="col" class="number" title="Cost of the call itself">Own, USD</th>
      <th scope="col" class="number" title="With all spans below it">With below, USD</th>
    </tr>
  </thead>`;
}

interface RowProps {
  readonly node: TraceNode;
  /** Digits behind the point that costs of this trace have at most. */
  readonly places: number;
  readonly row_index: number;
  readonly is_open: boolean;
  readonly is_chosen: boolean;
  readonly is_current: boolean;
  readonly toggle: () => void;
  readonly focus: () => void;
}

function Row(props: RowProps): VNode {
  const { node, places, row_index, is_open, is_chosen, is_current, toggle, focus } = props;
  const { span, kind, children, depth } = node;
  const { call } = span;
  const choose = (event: Event) => {
    focus();
    if ((event.target as Element).closest(".twist") === null) chooseSpan(node.key);
    else toggle();
  };
  const cost = span.cost_usd;
  const tokens =
    call === null ? "" : `${showShort(call.input_total)} / ${showShort(call.output_total)}`;
  return html`<tr
    aria-level=${depth + 1}
    aria-rowindex=${row_index}
    aria-expanded=${children.length === 0 ? undefined : String(is_open)}
    aria-selected=${String(is_chosen)}
    tabindex=${is_current ? 0 : -1}
    onClick=${choose}
    onFocus=${focus}
  >
    <${NameCell} node=${node} is_open=${is_open} />
    <td class="time">
      <span class="bar-track"><${Bar} node=${node} /></span>
    </td>
    <td class="number">${showDuration(span.duration_ns)}</td>
    <td class="number">${tokens}</td>
    <td class="number" data-exact=${call?.cost_usd ?? ""}>
      ${call !== null && html`<${Marks} call=${call} />`}${call === null ? "" : alignUsd(call.cost_usd, places)}
    </td>
    <td class="number" data-exact=${cost ?? ""}>
      ${cost === null && kind !== "model" ? "" : alignUsd(cost, places)}
    </td>
  </tr>`;
}

function NameCell({ node, is_open }: Pick<RowProps, "node" | "is_open">): VNode {
  const { span, kind, children, depth, spans_below, failed_below, is_orphan } = node;
  const indent = Math.min(depth, MAX_INDENTS) * INDENT_PX;
  const is_folded = children.length > 0 && !is_open;
  const failed = failed_below === 0 ? "" : `, ${showCount(failed_below)} failed`;
  return html`<th scope="row" title=${`${span.name} (${span.service_name ?? "no service"})`}>
    <span class="span-name" style=${{ paddingLeft: `${indent}px` }}>
      <span class=${children.length === 0 ? "no-twist" : "twist"} aria-hidden="true"
        >${children.length === 0 ? "" : is_open ? "▾" : "▸"}</span
      >
      <i class="swatch" style=${{ background: colorOfKind(kind) }}></i>
      <span class="hidden">${`${KIND_TITLES[kind]}: `}</span>
      <span class="span-words">${span.name}</span>
      ${span.status === "error" && html`<span class="failed">✕ failed</span>`}
      ${is_orphan && html`<span class="orphan caution" title="Its parent is not in this trace, or not yet">no parent</span>`}
      ${is_folded && html`<span class="below">+${showCount(spans_below)} ${spans_below === 1 ? "span" : "spans"}${failed}</span>`}
    </span>
  </th>`;
}

function Bar({ node }: { readonly node: TraceNode }): VNode {
  const { start_share, width_share, kind, span } = node;
  const css = span.status === "error" ? "span-bar is-failed" : "span-bar";
  return html`<span
    class=${css}
    aria-hidden="true"
    style=${{
      left: `${start_share * 100}%`,
      width: `${Math.min(width_share, 1 - start_share) * 100}%`,
      background: colorOfKind(kind),
    }}
  ></span>`;
}

/** The totals as the API adds them up. */
function Total({
  trace,
  places,
}: {
  readonly trace: TraceTreeAnswer;
  readonly places: number;
}): VNode {
  const { calls, errors, input_total, output_total, cost_usd } = trace.totals;
  const failed = errors === 0 ? "" : `, ${showCount(errors)} failed`;
  return html`<tfoot>
    <tr>
      <th scope="row">
        Total: ${showCount(trace.span_count)} spans, ${showCount(calls)} calls${failed}
      </th>
      <td class="time"></td>
      <td class="number">${showDuration(trace.duration_ns)}</td>
      <td class="number">${showShort(input_total)} / ${showShort(output_total)}</td>
      <td></td>
      <td class="number total-cost" data-exact=${cost_usd ?? ""}>${alignUsd(cost_usd, places)}</td>
    </tr>
  </tfoot>`;
}
