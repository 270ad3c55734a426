/** `GET /v1/prices`: the price book, row by row. */
import {
  DEFAULT_PRICE_ROWS,
  type PricedRow,
  PricesAnswer,
  PricesQuery,
} from "../../schemas/api-prices.ts";
import { pageOf } from "../page.ts";
import { newestEvidence, PriceRows } from "../price-rows.ts";
import { defineRoute, type Route, type Services } from "../route.ts";

/** The list prices, for a program that was given no price book. */
const LIST_PRICES = new PriceRows();

/** The price book that a program answers from. */
export function priceRowsOf({ price_rows = LIST_PRICES }: Pick<Services, "price_rows">): PriceRows {
  return price_rows;
}

/** Answers a page of the rows that hold for a project. */
export function answerPrices(
  rows: readonly PricedRow[],
  { limit = DEFAULT_PRICE_ROWS, cursor, ...query }: PricesQuery,
): PricesAnswer {
  const fitting = rows
    .filter((row) => fits(row, query))
    .map((row) => ({ object_id: row.price_id, row }));
  const { page, next_cursor } = pageOf(fitting, { limit, cursor });
  return {
    prices: page.map(({ row }) => row),
    total: fitting.length,
    evidence_date: newestEvidence(rows),
    next_cursor,
  };
}

function fits(row: PricedRow, query: Omit<PricesQuery, "limit" | "cursor">): boolean {
  const { provider, model, search, tier, source, day } = query;
  const ids = [row.model, ...row.aliases];
  return (
    (provider === undefined || row.provider === provider.toLowerCase()) &&
    (model === undefined || ids.includes(model.toLowerCase())) &&
    (search === undefined || ids.some((id) => id.includes(search.toLowerCase()))) &&
    (tier === undefined || row.tier === tier.toLowerCase()) &&
    (source === undefined || row.source === source) &&
    (day === undefined ||
      ((row.valid_from ?? "") <= day && (row.valid_to === null || day < row.valid_to)))
  );
}

/** The price book. */
export const PRICE_BOOK_ROUTES: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/prices",
    summary: "The price book: list prices, and what was negotiated for the project",
    description:
      "A call is priced by the first row that fits its model, tier, region, day and prompt size: of the project's contract, then of those for all projects, then of the list. `price_id` of a call names the row.",
    tag: "Usage",
    action: "usage:read",
    of: "project",
    query: PricesQuery,
    answer: PricesAnswer,
    examples: [
      {
        summary: "What a model costs on a day",
        path: "/v1/prices?provider=openai&model=gpt-4o&day=2026-11-21",
      },
      { summary: "Models by a part of their name", path: "/v1/prices?search=claude-opus&limit=2" },
    ],
    handle: async ({ services, project_id, query }) =>
      answerPrices(priceRowsOf(services).list(project_id), query),
  }),
];
