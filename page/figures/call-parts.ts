/**
 * What the views of calls and traces have in common: the cost of a call with its doubts, its status, facts
 * and attributes, ids that can be copied and looked for.
 *
 * Invariant: a doubt about a number is a mark with words, not only a colour.
 */
import type { CallRow } from "../../schemas/call.ts";
import { CLASS_TITLES, TOKEN_CLASS_NAMES } from "./usage.ts";
import { showCount, showUsd, UNKNOWN } from "../format.ts";
import { type ComponentChildren, html, useEffect, useRef, useState, type VNode } from "../html.ts";
import { FILTER_NAMES, type Patch, setParams } from "../url.ts";

export interface Mark {
  readonly sign: string;
  readonly words: string;
}

const COST_MARKS: Readonly<Record<CallRow["cost_status"], Mark | null>> = {
  priced: null,
  partial: { sign: "▲", words: "partial: a part of the usage has no price" },
  unpriced: { sign: "▲", words: "unpriced: no price is known for this call" },
};
const USAGE_MARKS: Readonly<Record<CallRow["usage_status"], Mark | null>> = {
  reported: null,
  derived: null,
  estimated: { sign: "≈", words: "estimated: how the tokens are split rests on an assumption" },
  aggregate: { sign: "Σ", words: "aggregate: several calls reported as one" },
  missing: { sign: "?", words: "missing: nobody reported the usage" },
};

type Doubted = Pick<CallRow, "cost_status" | "usage_status">;

/** Whether the provider refused the call: it has no usage, none is missing, and it costs nothing (0008). */
export function isRefused({ cost_status, usage_status }: Doubted): boolean {
  return usage_status === "missing" && cost_status === "priced";
}

/** What is to be known before a call's cost is believed. */
export function listMarks(call: Doubted): Mark[] {
  const usage = isRefused(call) ? null : USAGE_MARKS[call.usage_status];
  return [COST_MARKS[call.cost_status], usage].filter((mark) => mark !== null);
}

/** How the usage is known, in words. */
export function tellUsage(call: Doubted): string {
  return isRefused(call) ? "none: the call was refused" : call.usage_status;
}

/** How the cost is known, in words. */
export function tellCostStatus(call: Doubted): string {
  if (isRefused(call)) return "nothing: the call was refused";
  if (call.cost_status === "unpriced" && call.usage_status === "missing") {
    return "unpriced: without usage there is nothing to price";
  }
  return COST_MARKS[call.cost_status]?.words ?? call.cost_status;
}

/** The marks of a call, before its cost. */
export function Marks({ call }: { readonly call: Doubted }): VNode {
  return html`${listMarks(call).map(
    ({ sign, words }) =>
      html`<span class="unpriced" role="img" aria-label=${words} title=${words}>${sign}</span> `,
  )}`;
}

/** The cost of one call with its marks; all digits are the tooltip. */
export function CallCost({ call }: { readonly call: CallRow }): VNode {
  const words = [call.cost_usd ?? "not known", ...listMarks(call).map((mark) => mark.words)];
  return html`<span title=${words.join("; ")} data-exact=${call.cost_usd ?? ""}
    ><${Marks} call=${call} />${showUsd(call.cost_usd)}</span
  >`;
}

/** As wide as a digit, and as the point between digits. */
const FIGURE_SPACE = "\u2007";
const POINT_SPACE = "\u2008";

/** All digits of an amount, with so many places behind the point that points stand below each other. */
export function alignUsd(usd: string | null, places: number): string {
  if (usd === null) return UNKNOWN;
  const [whole = "", fraction = ""] = usd.split(".");
  const sign = whole.startsWith("-") ? "−" : "";
  const point = fraction !== "" ? "." : places > 0 ? POINT_SPACE : "";
  const digits = fraction.padEnd(places, FIGURE_SPACE);
  return `${sign}$${whole.replace("-", "")}${point}${digits}`;
}

/** A status, with what failed. */
export function CallStatus({
  call: { status, error_type, http_status },
}: {
  readonly call: Pick<CallRow, "status" | "error_type" | "http_status">;
}): VNode {
  if (status === "ok") return html`<span>ok</span>`;
  const code = http_status === null ? "" : ` ${http_status}`;
  return html`<span class="failed">✕ ${error_type ?? "error"}${code}</span>`;
}

/** What failed, in words; nothing for a call that did not. */
export function tellStatus({
  status,
  error_type,
  http_status,
}: Pick<CallRow, "status" | "error_type" | "http_status">): string {
  const code = http_status === null ? "" : `HTTP ${http_status}`;
  const words = status === "ok" ? [code] : [error_type ?? "", code];
  return words.filter((word) => word !== "").join(", ");
}

/** Tokens of each class that is known, in words, a line each. */
export function tellTokens(call: Pick<CallRow, "tokens">, isOf: (name: string) => boolean): string {
  const lines = TOKEN_CLASS_NAMES.filter((name) => isOf(name)).flatMap((name) => {
    const count = call.tokens[name];
    return count === null ? [] : [`${CLASS_TITLES[name]}: ${showCount(count)}`];
  });
  return lines.length === 0 ? "Nobody reported tokens" : lines.join("\n");
}

/** An instant of the API with all its digits, in words that break at a blank. */
export function showExactInstant(text: string): string {
  return text.replace("T", " ").replace("Z", " UTC");
}

export type Fact = readonly [name: string, value: ComponentChildren];

/** Names with their values; what is not known is a dash. */
export function Facts({ facts }: { readonly facts: readonly Fact[] }): VNode {
  return html`<dl class="facts">
    ${facts.map(
      ([name, value]) =>
        html`<div>
          <dt>${name}</dt>
          <dd>${value === null || value === undefined || value === "" ? UNKNOWN : value}</dd>
        </div>`,
    )}
  </dl>`;
}

/** Attributes as a table of names and values, as they arrived. */
export function Attributes({
  title,
  attributes,
  is_open = true,
}: {
  readonly title: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly is_open?: boolean;
}): VNode | null {
  const entries = Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1));
  if (entries.length === 0) return null;
  return html`<details class="attributes" open=${is_open}>
    <summary>${title} (${entries.length})</summary>
    <table>
      <caption class="hidden">
        ${title}
      </caption>
      <thead class="hidden">
        <tr>
          <th scope="col">Name</th>
          <th scope="col">Value</th>
        </tr>
      </thead>
      <tbody>
        ${entries.map(
          ([name, value]) =>
            html`<tr>
              <th scope="row">${name}</th>
              <td>${value}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </details>`;
}

/** For how long a copy is said to be made, ms. */
const COPIED_MS = 2_000;

/** An id, and a button that copies it. */
export function CopyId({ name, id }: { readonly name: string; readonly id: string }): VNode {
  const [words, setWords] = useState("");
  useEffect(() => {
    if (words === "") return undefined;
    const timer = setTimeout(() => setWords(""), COPIED_MS);
    return () => clearTimeout(timer);
  }, [words]);
  // Browsers give no clipboard to pages that came over plain HTTP from afar: there the id is selected.
  const clipboard = navigator.clipboard as Clipboard | undefined;
  const copy = () =>
    clipboard?.writeText(id).then(
      () => setWords("Copied"),
      () => setWords("Not allowed"),
    );
  return html`<span class="copy-id"
    ><code>${id}</code>${
      clipboard !== undefined &&
      html`<button class="tool" aria-label=${`Copy ${name}`} onClick=${copy}>Copy</button>`
    }<span class="copied" role="status">${words}</span></span
  >`;
}

export interface FindByIdProps {
  /** Parameter of the address. */
  readonly name: "call_id" | "trace_id";
  readonly title: string;
  /** What went wrong, or what to do. */
  readonly words: string;
  readonly placeholder: string;
}

/** Asks for an id: when the address has none, or one that nothing is found by. */
export function FindById({ name, title, words, placeholder }: FindByIdProps): VNode {
  const input = useRef<HTMLInputElement>(null);
  const find = (event: Event) => {
    event.preventDefault();
    const id = (input.current?.value ?? "").trim().toLowerCase();
    if (id !== "") setParams({ [name]: id, span_id: null });
  };
  return html`<form class="card find-id" onSubmit=${find}>
    <h2>${title}</h2>
    <p>${words}</p>
    <label
      >${name}
      <input
        ref=${input}
        required
        maxlength="80"
        autocomplete="off"
        spellcheck=${false}
        placeholder=${placeholder}
    /></label>
    <button class="primary">Show</button>
  </form>`;
}

/** Takes all filters away: for links to one thing, which filters could hide. */
export const NO_FILTERS: Patch = Object.fromEntries(FILTER_NAMES.map((name) => [name, null]));

const MAX_ID_LENGTH = 28;

/** A long id for a table: its beginning. */
export function shortenId(id: string | null): string | null {
  return id === null || id.length <= MAX_ID_LENGTH ? id : `${id.slice(0, MAX_ID_LENGTH - 2)}…`;
}
