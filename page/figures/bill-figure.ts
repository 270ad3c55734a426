/** The bill of a call as a table, its sum below it, and where its prices were read. */
import type { PricedRow, PricesAnswer } from "../../schemas/api-prices.ts";
import type { CallRow } from "../../schemas/call.ts";
import { type Answer, useAnswer } from "../answers.ts";
import { Figure } from "../figure.ts";
import { showCount, showUsd, UNKNOWN } from "../format.ts";
import { html, useCallback, type VNode } from "../html.ts";
import type { Column, TableData } from "../table.ts";
import { linkTo, useParams } from "../url.ts";
import { type BillLine, billOf, readPriceId } from "./bill.ts";
import { alignUsd, isRefused, NO_FILTERS } from "./call-parts.ts";

const REFUSED =
  "The provider refused this call, so it did no work and bills nothing: it costs nothing, and nothing is missing.";
/** Rows of the price book that are looked through for the one that was applied. */
const MAX_PRICE_ROWS = 100;
const MIN_HEIGHT = 160;

function showPrice({ price_usd, per }: BillLine): string {
  if (price_usd === null) return UNKNOWN;
  return `$${price_usd} / ${per === 1_000 ? "1,000" : "1M"}`;
}

/** The most digits behind the point that a line has. */
function placesOf(lines: readonly BillLine[]): number {
  return Math.max(0, ...lines.map(({ cost_usd }) => cost_usd?.split(".")[1]?.length ?? 0));
}

function billColumns(places: number): Column<BillLine>[] {
  return [
    { key: "class", title: "Class", value: ({ name }) => name, show: ({ title }) => title },
    {
      key: "count",
      title: "Count",
      hint: "Tokens, or pieces of a fee",
      value: ({ count }) => count,
      show: ({ count }) => showCount(count),
      is_number: true,
    },
    {
      key: "price_usd",
      title: "× Price, USD",
      value: ({ price_usd }) => price_usd,
      show: (line) => {
        const from =
          line.price_from === "cost" ? "Worked out of the cost" : "As the price book has it";
        return html`<span title=${line.price_from === null ? undefined : from}
          >${showPrice(line)}</span
        >`;
      },
      is_number: true,
    },
    {
      key: "cost_usd",
      title: "= Cost, USD",
      value: ({ cost_usd }) => cost_usd,
      // All digits: this is where they are to be seen.
      show: ({ cost_usd }) => (cost_usd === null ? "unpriced" : alignUsd(cost_usd, places)),
      is_number: true,
    },
  ];
}

/** The figure; it asks for the price by itself. */
export function BillFigure({ answer }: { readonly answer: Answer<CallRow> }): VNode {
  const call = answer.data;
  const price_id = call?.price_id ?? null;
  const words = price_id === null ? null : readPriceId(price_id);
  const prices = useAnswer<PricesAnswer>(words === null ? null : "/v1/prices", {
    ...words,
    project: useParams().get("project"),
    limit: MAX_PRICE_ROWS,
  });
  const row = prices.data?.prices.find((price) => price.price_id === price_id) ?? null;
  const table = useCallback(
    (data: CallRow): TableData<BillLine> => {
      const { lines } = billOf(data, row);
      return { columns: billColumns(placesOf(lines)), rows: lines };
    },
    [row],
  );
  const is_settled = words === null || prices.data !== null || prices.problem !== null;
  return html`<${Figure}
    title="Bill"
    subtitle="Tokens of each class times their price, in US dollars, all digits"
    width="wide"
    answer=${is_settled ? answer : { ...answer, data: null }}
    file="bill"
    table=${table}
    can_sort=${false}
    height=${MIN_HEIGHT}
    when_empty=${call !== null && isRefused(call) ? REFUSED : "Nobody reported tokens of this call, and nothing was priced."}
    footer=${(data: CallRow) => html`<${Sum} call=${data} row=${row} />`}
  />`;
}

function Sum({ call, row }: { readonly call: CallRow; readonly row: PricedRow | null }): VNode {
  const { lines, sum_usd, adds_up } = billOf(call, row);
  const show = (usd: string | null) =>
    usd === null ? "not known" : alignUsd(usd, placesOf(lines));
  return html`${
      lines.length > 0 &&
      html`<p class="bill-sum">
        <span>Sum of the lines</span>
        <b data-exact=${sum_usd ?? ""}>${show(sum_usd)}</b>
      </p>`
    }
    <p class="bill-sum">
      <span>Cost in the ledger</span>
      <b data-exact=${call.cost_usd ?? ""}>${show(call.cost_usd)}</b>
    </p>
    ${
      !adds_up &&
      html`<p class="problem-line" role="alert">
        The lines do not add up to the cost (${showUsd(sum_usd)}): please report this call.
      </p>`
    }
    ${!isRefused(call) && html`<p>${tellPrice(call, row)}</p>`}
    ${
      call.cost_status === "partial" &&
      html`<p>A part of the usage has no price: the call cost at least this.</p>`
    }`;
}

/** Why a call without a price row costs what it does. */
export function tellNoPrice({
  cost_status,
  usage_status,
}: Pick<CallRow, "cost_status" | "usage_status">): string {
  if (cost_status === "priced") return "Nothing that it used needed a row of the price book.";
  return usage_status === "missing"
    ? "Without usage there is nothing to price: what it cost is not known."
    : "No row of the price book fits this call: what it cost is not wholly known.";
}

function tellPrice(call: CallRow, row: PricedRow | null): VNode | string {
  const { price_id } = call;
  if (price_id === null) return tellNoPrice(call);
  const link = html`<a href=${linkTo("prices", { ...NO_FILTERS, price_id })}>${price_id}</a>`;
  if (row === null) {
    return html`Priced by ${link}, which the price book does not have any more: prices are worked
    out of the costs.`;
  }
  const { tier, region, input_tokens_over, valid_from, valid_to, source } = row;
  const from = valid_from === null ? "" : `, from ${valid_from}`;
  const to = valid_to === null ? "" : `, before ${valid_to}`;
  const over =
    input_tokens_over === 0 ? "" : `, prompts over ${showCount(input_tokens_over)} tokens`;
  const where = region === null ? "" : `, ${region}`;
  const whose = source === "contract" ? "negotiated price" : "list price";
  const terms = `${whose}, ${tier}${where}${over}${from}${to}`;
  const read = `Read ${row.evidence_date} at ${row.evidence}.`;
  return html`Priced by ${link}: ${terms}. <span class="evidence">${read}</span>`;
}
