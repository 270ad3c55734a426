/**
 * A card with a title, a unit, a chart or a table, and all its states: loading, empty, failed, and how far
 * it can be trusted. The table behind a chart and the CSV are the same rows.
 *
 * Invariant: a card keeps its place and height in every state.
 */
import type { Answer, Coverage } from "./answers.ts";
import type { Problem } from "./api.ts";
import { Chart, CHART_HEIGHT, type ChartProps } from "./chart.ts";
import { showCount, showShare } from "./format.ts";
import { type ComponentChildren, html, useMemo, useState, type VNode } from "./html.ts";
import { saveFile, Table, type TableData, toCsv } from "./table.ts";
import { linkTo } from "./url.ts";

export interface FigureProps<Data, Row> {
  readonly title: string;
  /** What is measured, in which unit: "US dollars by day". */
  readonly subtitle?: string;
  readonly answer: Answer<Data>;
  /** The rows behind the figure: the table and the CSV. */
  readonly table: (data: Data) => TableData<Row>;
  /** Draws a chart of the answer; without it the table is the figure. */
  readonly chart?: (data: Data) => Omit<ChartProps, "height" | "label">;
  /** Draws elements of the answer in place of a chart, such as cards; they must say all themselves. */
  readonly draw?: (data: Data) => VNode;
  /** A sentence for who does not see the chart. */
  readonly label?: (data: Data) => string;
  readonly coverage?: (data: Data) => Coverage | null;
  /** Whether there is nothing to show; by default when there are no rows. */
  readonly isEmpty?: (data: Data) => boolean;
  readonly when_empty?: string;
  /** CSS pixels; of the chart, and the least of a table. */
  readonly height?: number;
  /** Name of the CSV, without its ending. */
  readonly file: string;
  /** Takes two places of the grid, or all. */
  readonly width?: "wide" | "full";
  readonly can_sort?: boolean;
  /** What stands at the right of the title, such as a choice. */
  readonly aside?: ComponentChildren;
  /** What stands below, such as a legend or a link to more. */
  readonly footer?: (data: Data) => ComponentChildren;
}

/** A figure of an answer. */
export function Figure<Data, Row>(props: FigureProps<Data, Row>): VNode {
  const { title, subtitle, answer, file, width, aside, footer, height = CHART_HEIGHT } = props;
  const [as_table, setAsTable] = useState(false);
  const { data } = answer;
  const table = useMemo(() => (data === null ? null : props.table(data)), [data, props.table]);
  const is_empty = data !== null && (props.isEmpty?.(data) ?? table?.rows.length === 0);
  const can_save = table !== null && !is_empty;
  const coverage = data === null ? null : (props.coverage?.(data) ?? null);
  // The line is there before the badge is, so that nothing moves when it comes.
  const has_subtitle = subtitle !== undefined || props.coverage !== undefined;
  const css = `figure ${width ?? ""}`;
  return html`<section class=${css} aria-label=${title} aria-busy=${answer.is_loading}>
    <header>
      <div>
        <h2>${title}</h2>
        ${
          has_subtitle &&
          html`<div class="subtitle">
            <span>${subtitle}</span>
            ${coverage !== null && html`<${CoverageBadge} coverage=${coverage} />`}
          </div>`
        }
      </div>
      <div class="tools">
        ${aside}
        ${
          (props.chart ?? props.draw) !== undefined &&
          html`<button
            class="tool"
            aria-pressed=${as_table}
            disabled=${!can_save}
            title="Show the numbers as a table"
            onClick=${() => setAsTable(!as_table)}
          >
            Table
          </button>`
        }
        <button
          class="tool"
          disabled=${!can_save}
          title="Save what is shown as CSV"
          onClick=${() => table !== null && saveFile(`${file}.csv`, toCsv(table))}
        >
          CSV
        </button>
      </div>
    </header>
    <div class="figure-body" style=${{ minHeight: `${height}px` }}>
      ${bodyOf(props, { table, is_empty, as_table, height })}
    </div>
    ${footer !== undefined && html`<footer>${data !== null && footer(data)}</footer>`}
  </section>`;
}

interface Body<Row> {
  readonly table: TableData<Row> | null;
  readonly is_empty: boolean;
  readonly as_table: boolean;
  readonly height: number;
}

function bodyOf<Data, Row>(
  { title, answer, chart, draw, label, when_empty, can_sort }: FigureProps<Data, Row>,
  { table, is_empty, as_table, height }: Body<Row>,
): VNode {
  if (answer.problem !== null) {
    return html`<${ProblemBox} problem=${answer.problem} reload=${answer.reload} />`;
  }
  if (answer.data === null || table === null) {
    return html`<div class="skeleton" style=${{ height: `${height}px` }}>
      <span class="hidden">Loading ${title}</span>
    </div>`;
  }
  if (is_empty) return html`<p class="empty">${when_empty ?? "Nothing in this range."}</p>`;
  if (draw !== undefined && !as_table) {
    // A key of its own: browsers take an element that was the placeholder for one that moved.
    return html`<div key="drawn">${draw(answer.data)}</div>`;
  }
  if (chart === undefined || as_table) {
    return html`<${Table} data=${table} caption=${title} can_sort=${can_sort ?? true} />`;
  }
  return html`<${DrawnChart}
    data=${answer.data}
    chart=${chart}
    label=${label?.(answer.data) ?? title}
    height=${height}
  />`;
}

interface DrawnProps<Data> {
  readonly data: Data;
  readonly chart: (data: Data) => Omit<ChartProps, "height" | "label">;
  readonly label: string;
  readonly height: number;
}

/** Draws again only when the data change, not with every change of the page. */
function DrawnChart<Data>({ data, chart, label, height }: DrawnProps<Data>): VNode {
  const drawn = useMemo(() => chart(data), [data]);
  return html`<${Chart} ...${drawn} label=${label} height=${height} />`;
}

/** What went wrong, what to do, and a way to try again. */
export function ProblemBox({
  problem,
  reload,
}: {
  readonly problem: Problem;
  readonly reload: () => void;
}): VNode {
  const is_forbidden = problem.status === 403;
  return html`<div class="problem" role=${is_forbidden ? "note" : "alert"}>
    <strong>${is_forbidden ? "Not for this key" : "This could not be answered"}</strong>
    <p>${problem.message}</p>
    ${!is_forbidden && html`<button onClick=${reload}>Try again</button>`}
  </div>`;
}

/** Says how far a sum can be trusted, when that is not wholly. */
export function CoverageBadge({ coverage }: { readonly coverage: Coverage }): VNode | null {
  const { calls, calls_unpriced, calls_missing_usage, calls_estimated } = coverage;
  const parts = [
    [calls_unpriced, "without a whole price"],
    [calls_missing_usage, "without usage"],
    [calls_estimated, "estimated"],
  ] as const;
  const told = parts.filter(([count]) => count > 0);
  if (told.length === 0) return null;
  const words = told.map(([count, what]) => `${showCount(count)} ${what}`).join(", ");
  const priced = coverage.tokens_priced_share;
  const share = priced === null ? "" : ` ${showShare(priced)} of the tokens have a price.`;
  const overlap = told.length > 1 ? " (a call may be in several)" : "";
  // A call may be in several kinds: numbers beside each other would be read as a sum.
  const [first] = told;
  return html`<a
    class="coverage"
    href=${linkTo("prices")}
    title=${`Of ${showCount(calls)} calls: ${words}${overlap}.${share}`}
    aria-label=${`Coverage: of ${showCount(calls)} calls ${words}`}
    >▲ ${first === undefined ? words : `${showCount(first[0])} ${first[1]}`}</a
  >`;
}

/** Names with their colours, below a chart. */
export function Legend({
  items,
}: {
  readonly items: readonly {
    readonly name: string;
    readonly color: string;
    readonly href?: string;
  }[];
}): VNode {
  return html`<ul class="legend">
    ${items.map(
      ({ name, color, href }) =>
        html`<li>
          <i style=${{ background: color }}></i>${
            href === undefined ? name : html`<a href=${href}>${name}</a>`
          }
        </li>`,
    )}
  </ul>`;
}

export interface TileProps {
  readonly title: string;
  /** As shown; null while it is loading. */
  readonly value: string | null;
  /** All digits, when the value shows fewer. */
  readonly exact?: string | undefined;
  /** Below the value: the unit, or the change. */
  readonly note?: ComponentChildren;
  readonly href?: string;
}

/** One number. */
export function Tile({ title, value, exact, note, href }: TileProps): VNode {
  const inner = html`<span class="tile-title">${title}</span>
    <span class="tile-value" title=${exact} data-exact=${exact}
      >${value ?? html`<span class="skeleton line"></span>`}</span
    >
    <span class="tile-note">${note ?? " "}</span>`;
  return href === undefined
    ? html`<div class="tile">${inner}</div>`
    : html`<a class="tile" href=${href}>${inner}</a>`;
}
