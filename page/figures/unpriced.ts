/** Calls without a whole price: which, why, and how to give them one. */
import type { UnpricedAnswer, UnpricedReason } from "../../schemas/api-lists.ts";
import type { Answer } from "../answers.ts";
import { linkColumn, shortColumn, textColumn } from "../columns.ts";
import { Figure } from "../figure.ts";
import { NO_VALUE } from "../filters.ts";
import { showCount } from "../format.ts";
import { html, useCallback, type VNode } from "../html.ts";
import type { TableData } from "../table.ts";
import { dayIn, DEFAULT_ZONE } from "../time.ts";
import { linkTo } from "../url.ts";
import { CopyBlock } from "./copy-block.ts";
import { CLASS_TITLES } from "./usage.ts";

export type Unpriced = UnpricedAnswer["models"][number];

const REASONS: Readonly<Record<UnpricedReason, string>> = {
  usage_missing: "Nobody reported usage",
  no_model: "The call names no model",
  unknown_model: "Model is not in the price book",
  no_row: "No row for its tier, region or day",
  no_class_price: "A class of tokens has no price",
  book_changed: "Its price left the book",
};

/** Reasons that a row of one's own price file takes away. */
const FILE_HELPS: ReadonlySet<UnpricedReason> = new Set([
  "unknown_model",
  "no_row",
  "no_class_price",
]);

/** What stands for a price that is to be filled in: no number, so that the file is refused with it. */
export const FILL_IN = "FILL IN";

/** The model that a price of one's own would help most: of the most tokens without one. */
export function findWorst(models: readonly Unpriced[]): Unpriced | null {
  const helped = models.filter(
    ({ reason, model, provider }) => FILE_HELPS.has(reason) && model !== null && provider !== null,
  );
  return helped.toSorted((a, b) => b.tokens_unpriced - a.tokens_unpriced)[0] ?? null;
}

/** The beginning of a price file for a model, its prices left to be filled in. */
export function priceSnippet(unpriced: Unpriced, day: string): string {
  const { provider, model, classes_without_price } = unpriced;
  const classes = classes_without_price.length > 0 ? classes_without_price : DEFAULT_CLASSES;
  const price = {
    usd_per_million: Object.fromEntries(classes.map((name) => [name, FILL_IN])),
    source: "our contract",
    evidence_date: day,
  };
  const file = { provider, currency: "USD", models: [{ model, prices: [price] }] };
  return JSON.stringify([file], null, 2);
}
const DEFAULT_CLASSES = ["input_uncached", "output_text"] as const;

function unpricedTable({ models }: UnpricedAnswer): TableData<Unpriced> {
  const similar = ({ nearest }: Unpriced) =>
    nearest.map(({ provider, model }) => `${provider}/${model}`).join(", ");
  return {
    columns: [
      linkColumn("model", "Model", ({ model }) => model, {
        view: "calls",
        patch: ({ model, price_id }) => ({ model: model ?? "", price_id: price_id ?? "" }),
      }),
      textColumn("provider", "Provider", ({ provider }) => provider),
      {
        key: "calls",
        title: "Calls",
        value: ({ calls }) => calls,
        show: ({ calls }) => showCount(calls),
        is_number: true,
      },
      shortColumn("tokens_unpriced", "Tokens without price", (row) => row.tokens_unpriced),
      textColumn("reason", "Why", ({ reason }) => REASONS[reason]),
      textColumn("classes_without_price", "Classes", ({ classes_without_price }) =>
        classes_without_price.map((name) => CLASS_TITLES[name]).join(", "),
      ),
      {
        key: "nearest",
        title: "Similar names with a price",
        hint: "Hints for people: no price is ever taken from them",
        value: similar,
      },
    ],
    rows: models,
  };
}

/** The figure. */
export function UnpricedFigure({ answer }: { readonly answer: Answer<UnpricedAnswer> }): VNode {
  const table = useCallback(unpricedTable, []);
  return html`<${Figure}
    title="Calls without a whole price"
    subtitle="Their cost is a lower bound; those of the most calls first. Refused calls cost nothing and are not among them"
    width="full"
    height=${120}
    answer=${answer}
    file="unpriced-models"
    table=${table}
    when_empty="Every call in this range has a price for all that it used."
    footer=${({ models, truncated }: UnpricedAnswer) =>
      html`<${WhatToDo} models=${models} />
        <${HowTo} models=${models} />
        ${truncated && html`<span>There are more: ask for a shorter range.</span>`}`}
  />`;
}

/** Words with what stands between backticks as code. */
function withCode(text: string): (string | VNode)[] {
  return text
    .split("`")
    .map((part, index) => (index % 2 === 0 ? part : html`<code>${part}</code>`));
}

/** What to do for each reason that there is. */
function WhatToDo({ models }: { readonly models: readonly Unpriced[] }): VNode {
  const words = new Map(models.map(({ reason, explanation }) => [reason, explanation]));
  return html`<ul class="reasons">
    ${[...words].map(
      ([reason, explanation]) => html`<li><b>${REASONS[reason]}:</b> ${withCode(explanation)}</li>`,
    )}
  </ul>`;
}

const EXPORT = "export SPANLEDGER_PRICES_FILE=prices.json";
const STORED_COMMANDS = [
  EXPORT,
  "npx spanledger prices check",
  "npx spanledger prices rerate --dry-run",
  "npx spanledger prices rerate",
].join("\n");

/** How to add a price, for the model that most needs one. */
function HowTo({ models }: { readonly models: readonly Unpriced[] }): VNode | null {
  const worst = findWorst(models);
  if (worst === null) return null;
  const calls = linkTo("calls", { model: worst.model ?? "", price_id: worst.price_id ?? "" });
  return html`<details class="how-to">
    <summary>How to add a price, such as for ${worst.model ?? NO_VALUE}</summary>
    <ol>
      <li>
        Write <code>prices.json</code> with what you pay, US dollars for a million tokens. All
        classes that the <a href=${calls}>calls</a> use need a price; <code>"0"</code> is free.
        <${CopyBlock}
          name="price file"
          text=${priceSnippet(worst, dayIn(DEFAULT_ZONE, Date.now()))}
        />
      </li>
      <li>
        Check it, and price the calls that are stored. Stop the server first when ClickHouse is
        embedded.
        <${CopyBlock} name="commands for stored calls" text=${STORED_COMMANDS} />
      </li>
      <li>
        Start the server with it: calls from then on are priced by it.
        <${CopyBlock} name="command to start" text=${`${EXPORT}\nnpm start`} />
      </li>
    </ol>
  </details>`;
}
