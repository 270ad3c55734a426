/**
 * What a call cost, line by line: tokens of a class times their price, pieces of a fee times theirs. The
 * price of a line is that of the price book when it gives the very cost; else it is worked out of the cost.
 *
 * Invariant: the cost of a line is the ledger's, and the sum is that of the lines.
 */
import type { PricedRow } from "../../schemas/api-prices.ts";
import type { CallRow } from "../../schemas/call.ts";
import { addUsd, fromPicos, toPicos } from "../money.ts";
import { CLASS_TITLES, TOKEN_CLASS_NAMES } from "./usage.ts";

export interface BillLine {
  /** A token class or a kind of fee, as the API names it. */
  readonly name: string;
  readonly title: string;
  /** Tokens, or pieces. */
  readonly count: number | null;
  /** Tokens or pieces that the price is for: a million, or a thousand. */
  readonly per: number;
  /** US dollars for `per` of them; null when it has no price, or none that comes out. */
  readonly price_usd: string | null;
  /** Where the price is from; null without one. */
  readonly price_from: "book" | "cost" | null;
  /** Exact; null when it has no price. */
  readonly cost_usd: string | null;
}

export interface Bill {
  readonly lines: readonly BillLine[];
  /** The sum of the lines, "0" without any for a call that costs nothing; null when none has a price. */
  readonly sum_usd: string | null;
  /** Whether the sum is the cost of the ledger. */
  readonly adds_up: boolean;
}

/** Tokens, and pieces, that prices are given for. */
const TOKENS_PER_PRICE = 1_000_000;
const PIECES_PER_PRICE = 1_000;

type Priced = Pick<PricedRow, "usd_per_million" | "usd_per_thousand">;
type Billed = Pick<CallRow, "tokens" | "cost" | "cost_usd" | "fees" | "fees_usd">;

/** The bill of a call; `row`: the price that its `price_id` names, when the book still has it. */
export function billOf(call: Billed, row: Priced | null): Bill {
  const lines = [...tokenLines(call, row), ...feeLines(call, row)];
  const added = addUsd(...lines.map(({ cost_usd }) => cost_usd));
  // A refused call has no lines and costs nothing (docs/decisions/0008): no lines come to nothing.
  const sum_usd = added ?? (isSame(call.cost_usd, "0") ? "0" : null);
  const adds_up = call.cost_usd === null ? sum_usd === null : isSame(sum_usd, call.cost_usd);
  return { lines, sum_usd, adds_up };
}

function tokenLines({ tokens, cost }: Billed, row: Priced | null): BillLine[] {
  return TOKEN_CLASS_NAMES.flatMap((name) => {
    const [count, cost_usd] = [tokens[name], cost[name]];
    if (count === null && cost_usd === null) return [];
    const listed = row?.usd_per_million[name] ?? null;
    return [
      {
        name,
        title: CLASS_TITLES[name],
        count,
        per: TOKENS_PER_PRICE,
        cost_usd,
        ...priceOf(count, cost_usd, TOKENS_PER_PRICE, listed),
      },
    ];
  });
}

function priceOf(
  count: number | null,
  cost_usd: string | null,
  per: number,
  listed: string | null,
): Pick<BillLine, "price_usd" | "price_from"> {
  if (cost_usd === null || count === null) return { price_usd: null, price_from: null };
  if (listed !== null && isSame(multiply(listed, count, per), cost_usd)) {
    return { price_usd: listed, price_from: "book" };
  }
  const price_usd = multiply(cost_usd, per, count);
  return { price_usd, price_from: price_usd === null ? null : "cost" };
}

/** Exactly `usd * times / by`; null when that is not a whole number of picodollars. */
function multiply(usd: string, times: number, by: number): string | null {
  const picos = toPicos(usd);
  if (picos === null || by === 0) return null;
  const product = picos * BigInt(times);
  return product % BigInt(by) === 0n ? fromPicos(product / BigInt(by)) : null;
}

/** Whether two amounts are the same, whatever zeros they end in; what is not known is like nothing. */
function isSame(a: string | null, b: string | null): boolean {
  const picos = toPicos(a);
  return picos !== null && picos === toPicos(b);
}

/** The ledger has the cost of all fees together: by kind where the book's prices give just that. */
function feeLines({ fees, fees_usd }: Billed, row: Priced | null): BillLine[] {
  const kinds = Object.entries(fees).map(([name, count]) => {
    const listed = row?.usd_per_thousand[name as keyof Priced["usd_per_thousand"]] ?? null;
    const cost_usd = listed === null ? null : multiply(listed, count, PIECES_PER_PRICE);
    return { name, count, cost_usd };
  });
  const by_book = addUsd(...kinds.map(({ cost_usd }) => cost_usd));
  const is_by_kind = fees_usd !== null && isSame(by_book, fees_usd);
  const lines = kinds.map(({ name, count, cost_usd }): BillLine => {
    const cost = is_by_kind ? cost_usd : kinds.length === 1 ? fees_usd : null;
    const listed = row?.usd_per_thousand[name as keyof Priced["usd_per_thousand"]] ?? null;
    return {
      name,
      title: `Fee: ${name.replaceAll("_", " ")}`,
      count,
      per: PIECES_PER_PRICE,
      cost_usd: cost,
      ...priceOf(count, cost, PIECES_PER_PRICE, listed),
    };
  });
  if (fees_usd === null || is_by_kind || kinds.length === 1) return lines;
  const together: BillLine = {
    name: "fees",
    title: "Fees together",
    count: null,
    per: PIECES_PER_PRICE,
    price_usd: null,
    price_from: null,
    cost_usd: fees_usd,
  };
  return [...lines, together];
}

/** What the name of a price says: who lists it, of which model, in which tier; null for no such name. */
export function readPriceId(
  price_id: string,
): { readonly provider: string; readonly model: string; readonly tier: string } | null {
  const match = /^([^/]+)\/(.+)\/([^/]+)\/(?:initial|\d{4}-\d{2}-\d{2})(?:\/.*)?$/.exec(price_id);
  if (match === null) return null;
  const [, provider = "", model = "", tier = ""] = match;
  return { provider, model, tier };
}
