/**
 * Rows with columns: what a table shows, what the table behind a chart shows, and what a CSV holds.
 *
 * Invariant: a column says its unit once, in its title; raw values go to the CSV exactly as the API gave
 * them.
 */
import { html, useMemo, useState, type VNode } from "./html.ts";
import { UNKNOWN } from "./format.ts";

/** What a cell is before it is shown: text (decimal money too), number, or not known. */
export type Value = string | number | boolean | null | undefined;

export interface Column<Row> {
  /** Name in the CSV: as the API names it, with its unit. */
  readonly key: string;
  readonly title: string;
  /** The raw value. */
  readonly value: (row: Row) => Value;
  /** The value as shown; the raw one when it is not given. */
  readonly show?: (row: Row) => VNode | string;
  /** Numbers stand at the right. */
  readonly is_number?: boolean;
  /** Shares of the widest value are drawn behind the cell, 0 to 1. */
  readonly bar?: (row: Row) => number;
  /** Words that explain the column, as a tooltip. */
  readonly hint?: string;
}

export interface TableData<Row> {
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
}

/** Rows that a table draws at first; the rest come with a button. */
const ROWS_AT_FIRST = 100;

/** Height of a table of so many rows, CSS pixels: what a figure keeps free for it. */
export function tableHeight(rows: number): number {
  return rows * 31 + 34;
}

/** Starts with a character that spreadsheets read as a formula. */
const FORMULA = /^[=+\-@\t\r]/;

function csvCell(value: Value): string {
  if (value === null || value === undefined) return "";
  const raw = String(value);
  // Numbers may start with a minus; all other text is told apart from a formula.
  const text = FORMULA.test(raw) && !/^-?\d+(\.\d+)?$/.test(raw) ? `'${raw}` : raw;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The table as CSV (RFC 4180), with a line of column names. */
export function toCsv<Row>({ columns, rows }: TableData<Row>): string {
  const lines = [
    columns.map(({ key }) => csvCell(key)),
    ...rows.map((row) => columns.map(({ value }) => csvCell(value(row)))),
  ];
  return lines.map((cells) => `${cells.join(",")}\r\n`).join("");
}

/** Gives the user a file. */
export function saveFile(name: string, text: string, type = "text/csv;charset=utf-8"): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function compareValues(a: Value, b: Value): number {
  // What is not known comes last, whichever the order.
  if (a === null || a === undefined) return b === null || b === undefined ? 0 : 1;
  if (b === null || b === undefined) return -1;
  const [left, right] = [Number(a), Number(b)];
  if (a !== "" && b !== "" && !Number.isNaN(left) && !Number.isNaN(right)) return right - left;
  return String(a).localeCompare(String(b));
}

interface TableProps<Row> {
  readonly data: TableData<Row>;
  /** What the table is of, for screen readers. */
  readonly caption: string;
  /** Whether a click on a title sorts: not for pages of a longer list. */
  readonly can_sort?: boolean;
  /** Words when there are no rows. */
  readonly when_empty?: string;
}

interface Order {
  readonly key: string;
  readonly is_turned: boolean;
}

/** A table; titles sort the rows that are there. */
export function Table<Row>({ data, caption, can_sort = true, when_empty }: TableProps<Row>): VNode {
  const [order, setOrder] = useState<Order | null>(null);
  const [shown, setShown] = useState(ROWS_AT_FIRST);
  const { columns, rows } = data;
  const sorted = useMemo(() => sortRows(data, order), [data, order]);
  if (rows.length === 0 && when_empty !== undefined) {
    return html`<p class="empty">${when_empty}</p>`;
  }
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${`Table: ${caption}`}>
    <table>
      <caption class="hidden">
        ${caption}
      </caption>
      <thead>
        <tr>
          ${columns.map((column) => html`<${Title} ...${{ column, order, setOrder, can_sort }} />`)}
        </tr>
      </thead>
      <tbody>
        ${sorted.slice(0, shown).map(
          (row) =>
            html`<tr>
              ${columns.map((column, index) => cellOf(column, row, index))}
            </tr>`,
        )}
      </tbody>
    </table>
    ${
      sorted.length > shown &&
      html`<button class="more" onClick=${() => setShown(shown + ROWS_AT_FIRST * 5)}>
        Show more (${sorted.length - shown} left)
      </button>`
    }
  </div>`;
}

function sortRows<Row>({ columns, rows }: TableData<Row>, order: Order | null): readonly Row[] {
  const column = columns.find(({ key }) => key === order?.key);
  if (order === null || column === undefined) return rows;
  const sign = order.is_turned ? -1 : 1;
  return [...rows].sort((a, b) => sign * compareValues(column.value(a), column.value(b)));
}

interface TitleProps {
  readonly column: Column<never>;
  readonly order: Order | null;
  readonly setOrder: (order: Order) => void;
  readonly can_sort: boolean;
}

function Title({ column, order, setOrder, can_sort }: TitleProps): VNode {
  const { key, title, hint } = column;
  const is_this = order?.key === key;
  const sorted = !is_this ? undefined : order.is_turned ? "ascending" : "descending";
  const css = column.is_number === true ? "number" : "";
  if (!can_sort) return html`<th scope="col" class=${css} title=${hint}>${title}</th>`;
  const sort = () => setOrder({ key, is_turned: is_this && !order.is_turned });
  return html`<th scope="col" class=${css} aria-sort=${sorted}>
    <button class="title" title=${hint} onClick=${sort}>
      ${title}<span class="arrow" aria-hidden="true"
        >${!is_this ? "" : order.is_turned ? "▲" : "▼"}</span
      >
    </button>
  </th>`;
}

function cellOf<Row>(column: Column<Row>, row: Row, index: number): VNode {
  const raw = column.value(row);
  const shown =
    column.show?.(row) ?? (raw === null || raw === undefined || raw === "" ? UNKNOWN : String(raw));
  const css = column.is_number === true ? "number" : "";
  const share = column.bar?.(row);
  const bar =
    share === undefined
      ? null
      : html`<span
          class="bar"
          aria-hidden="true"
          style=${{ width: `${Math.max(0, Math.min(1, share)) * 100}%` }}
        ></span>`;
  return index === 0
    ? html`<th scope="row" class=${css}>${bar}${shown}</th>`
    : html`<td class=${css}>${bar}${shown}</td>`;
}
