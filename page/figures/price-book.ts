/** The price book: what a million tokens cost, of which model, under which conditions, from when. */
import type { PricedRow, PricesAnswer } from "../../schemas/api-prices.ts";
import type { TokenClass } from "../../schemas/tokens.ts";
import type { Answer } from "../answers.ts";
import type { Query } from "../api.ts";
import { textColumn } from "../columns.ts";
import { Figure } from "../figure.ts";
import { chosen, ParamChoice } from "../filters.ts";
import { showCount, UNKNOWN } from "../format.ts";
import { html, useCallback, useRef, type VNode } from "../html.ts";
import type { Column, TableData } from "../table.ts";
import { dayIn, DEFAULT_ZONE } from "../time.ts";
import { linkWith, setParams, useParams } from "../url.ts";
import { CLASS_TITLES, TOKEN_CLASS_NAMES } from "./usage.ts";

/** Rows of a page. */
const PAGE_ROWS = 50;

const TIERS = [
  ["", "all tiers"],
  ["standard", "standard"],
  ["batch", "batch"],
  ["flex", "flex"],
  ["priority", "priority"],
  ["fast", "fast"],
] as const;
const SOURCES = [
  ["", "list and contracts"],
  ["list", "list prices"],
  ["contract", "own contracts"],
] as const;
const DAYS = [
  ["today", "in force today"],
  ["ever", "of all days"],
] as const;

/** Titles of the columns; the whole one is a tooltip. */
const SHORT_TITLES: Readonly<Partial<Record<TokenClass, string>>> = {
  input_uncached: "Input",
  cache_write_5m: "Write, 5 min",
  cache_write_1h: "Write, 1 h",
  cache_write: "Write",
  output_text: "Output",
};

/** The question for a page of the book. */
export function bookQuery(params: URLSearchParams, now_ms: number): Query {
  const filled = (name: string) => {
    const text = params.get(name) ?? "";
    return text === "" ? null : text;
  };
  return {
    project: params.get("project"),
    search: filled("search"),
    provider: filled("sold_by"),
    tier: filled("tier"),
    source: chosen(params, "source", SOURCES) === "" ? null : chosen(params, "source", SOURCES),
    day: chosen(params, "in_force", DAYS) === "today" ? dayIn(DEFAULT_ZONE, now_ms) : null,
    cursor: filled("cursor"),
    limit: PAGE_ROWS,
  };
}

/** When a row prices a call, beside provider, model and tier. */
export function conditionsOf(row: PricedRow): string {
  const words = [
    ...(row.input_tokens_over > 0 ? [`prompts over ${showCount(row.input_tokens_over)}`] : []),
    ...(row.region === null ? [] : [`region ${row.region}`]),
    ...(row.region === null && row.other_regions === "unpriced" ? ["not in other regions"] : []),
  ];
  return words.join(", ");
}

/** From when to when a row holds. */
export function validityOf({ valid_from, valid_to }: PricedRow): string {
  if (valid_from === null) return valid_to === null ? "always" : `before ${valid_to}`;
  return valid_to === null ? `from ${valid_from}` : `${valid_from} to before ${valid_to}`;
}

/** Unit prices keep all their digits: 0.075 is not 0.08. */
function priceColumn(name: TokenClass): Column<PricedRow> {
  return {
    key: `${name}_usd_per_million`,
    title: SHORT_TITLES[name] ?? CLASS_TITLES[name],
    hint: `${CLASS_TITLES[name]}: US dollars for a million tokens`,
    value: ({ usd_per_million }) => usd_per_million[name],
    show: ({ usd_per_million }) => {
      const price = usd_per_million[name];
      return price === undefined ? UNKNOWN : `$${price}`;
    },
    is_number: true,
  };
}

function feesOf({ usd_per_thousand }: PricedRow): string {
  return Object.entries(usd_per_thousand)
    .map(([name, price]) => `${name.replaceAll("_", " ")} $${price}`)
    .join(", ");
}

/** The table of a page: only classes that a row has a price for. */
export function bookTable({ prices }: PricesAnswer): TableData<PricedRow> {
  const known = TOKEN_CLASS_NAMES.filter((name) =>
    prices.some(({ usd_per_million }) => usd_per_million[name] !== undefined),
  );
  return {
    columns: [
      {
        key: "model",
        title: "Model",
        value: ({ model }) => model,
        show: ({ model, aliases, price_id }) =>
          html`<span title=${[price_id, ...aliases].join("\n")}>${model}</span>`,
      },
      textColumn("provider", "Provider", ({ provider }) => provider),
      textColumn("tier", "Tier", ({ tier }) => tier),
      ...known.map(priceColumn),
      textColumn("conditions", "Only for", conditionsOf),
      textColumn("fees_usd_per_thousand", "Fees for 1,000", feesOf),
      textColumn("valid", "Valid (UTC)", validityOf),
      {
        key: "source",
        title: "Source",
        value: ({ source, evidence }) => `${source}: ${evidence}`,
        show: ({ source, evidence, evidence_date }) =>
          html`<span title=${evidence}
            >${source === "contract" ? "contract" : "list"}, read ${evidence_date}</span
          >`,
      },
      textColumn("aliases", "Also known as", ({ aliases }) => aliases.join(", ")),
      textColumn("price_id", "Id", ({ price_id }) => price_id),
    ],
    rows: prices,
  };
}

/** Search by model and provider, and the choices. */
function BookSearch(): VNode {
  const params = useParams();
  const [model, provider] = [useRef<HTMLInputElement>(null), useRef<HTMLInputElement>(null)];
  const search = (event: Event) => {
    event.preventDefault();
    const textOf = ({ current }: typeof model) => current?.value.trim() || null;
    setParams({ search: textOf(model), sold_by: textOf(provider), cursor: null });
  };
  return html`<form class="filters" role="search" aria-label="Price book" onSubmit=${search}>
    <label
      ><span class="hidden">Part of a model's name</span
      ><input
        ref=${model}
        type="search"
        maxlength="256"
        placeholder="Model, such as sonnet"
        value=${params.get("search") ?? ""}
    /></label>
    <label
      ><span class="hidden">Provider</span
      ><input
        ref=${provider}
        type="search"
        maxlength="256"
        placeholder="Provider, such as openai"
        value=${params.get("sold_by") ?? ""}
    /></label>
    <button>Search</button>
    <${ParamChoice} name="tier" title="" choices=${TIERS} />
    <${ParamChoice} name="source" title="" choices=${SOURCES} />
    <${ParamChoice} name="in_force" title="" choices=${DAYS} />
  </form>`;
}

interface BookProps {
  readonly answer: Answer<PricesAnswer>;
}

/** The figure. */
export function PriceBookFigure({ answer }: BookProps): VNode {
  const params = useParams();
  const table = useCallback(bookTable, []);
  return html`<div class="full book">
    <${BookSearch} />
    <${Figure}
      title="Price book"
      subtitle="US dollars for 1M tokens; a missing price is not 0"
      width="full"
      answer=${answer}
      file="prices"
      can_sort=${false}
      table=${table}
      when_empty="No price fits. Look for a part of the name, or for prices of all days."
      footer=${({ prices, total, next_cursor }: PricesAnswer) =>
        html`<nav class="pager" aria-label="Pages of the price book">
          <span>${showCount(prices.length)} of ${showCount(total)} rows</span>
          ${
            params.get("cursor") !== null &&
            html`<a class="button" href=${linkWith({ cursor: null })}>First page</a>`
          }
          ${
            next_cursor !== null &&
            html`<a class="button" href=${linkWith({ cursor: next_cursor })}>Next page</a>`
          }
        </nav>`}
    />
  </div>`;
}
