/** `GET /v1/analytics/models/unpriced`: models whose calls have no price, why, and what to do. */
import { UnpricedAnswer, UnpricedQuery, type UnpricedReason } from "../../../schemas/api-lists.ts";
import {
  DEFAULT_ANALYTICS_ROWS,
  MAX_ANALYTICS_ROWS,
} from "../../../schemas/api-analytics-parts.ts";
import { TOKEN_CLASSES, type TokenClass } from "../../../schemas/tokens.ts";
import { likeness, pairsOf } from "../../likeness.ts";
import { coverageOf } from "../../measures.ts";
import type { ListedModel, PriceLister } from "../../prices.ts";
import { defineRoute, type Route } from "../../route.ts";
import { askSets, type SetRow, totalOf } from "../../usage-sets.ts";
import { describeRange, keyOf, makeReader, readAsked, type Source } from "./question.ts";

/** Models named as like an unpriced one, at most. */
const MAX_NEAREST = 3;
/** How alike a name must be to be named. */
const MIN_LIKENESS = 0.6;
/** Groups with and without a price that are looked through for those without. */
const MAX_LOOKED_THROUGH = 20_000;

const EXPLANATIONS: Readonly<Record<UnpricedReason, string>> = {
  usage_missing:
    "Nobody reported the usage of these calls. Switch it on in the client, for streams with stream_options.include_usage or the like.",
  no_model: "The calls do not name a model.",
  unknown_model:
    "The price book does not have the model. Add it to SPANLEDGER_PRICES_FILE and price the stored calls again with `spanledger prices rerate`.",
  no_row:
    "The price book has the model, but no price for the service tier, region or day of these calls, or the calls were priced by an older book.",
  no_class_price: "The price that applied has none for some of the tokens, or for fees.",
  book_changed:
    "A part of these calls is priced by a row that the price book does not have any more. Price the stored calls again with `spanledger prices rerate`.",
};

type Unpriced = UnpricedAnswer["models"][number];

/** Answers which models have calls without a price. */
export async function answerUnpriced(
  source: Source,
  project_id: string,
  query: UnpricedQuery,
  now_ms: number,
): Promise<UnpricedAnswer> {
  const asked = readAsked(query, now_ms);
  const limit = query.limit ?? DEFAULT_ANALYTICS_ROWS;
  const reader = await makeReader(source, project_id, asked);
  const [total, groups = []] = await askSets(reader, {
    ...asked,
    project_id,
    interval: "none",
    measures: ["calls", "tokens"],
    order_by: "calls",
    sets: [[], ["provider", "model", "request_model", "price_id"]],
    limit: MAX_LOOKED_THROUGH,
  });
  const unpriced = groups
    .filter(({ sums }) => sums.count("calls_unpriced") > 0n)
    .toSorted((a, b) => Number(b.sums.count("calls_unpriced") - a.sums.count("calls_unpriced")));
  const coverage = coverageOf(totalOf(total));
  const names = makeNames(source.prices, project_id);
  return {
    ...describeRange(asked),
    tz: query.tz ?? asked.tz,
    calls: coverage.calls,
    calls_unpriced: coverage.calls_unpriced,
    models: unpriced
      .slice(0, limit)
      .map((group) => describeGroup(group, project_id, source.prices, names)),
    truncated: unpriced.length > limit || groups.length === MAX_LOOKED_THROUGH,
    coverage,
  };
}

interface Name extends ListedModel {
  readonly pairs: ReadonlyMap<string, number>;
}

/** The names of priced models, taken apart when they are first needed. */
function makeNames(prices: PriceLister | undefined, project_id: string): () => readonly Name[] {
  let names: readonly Name[] | undefined;
  return () => {
    names ??= (prices?.listModels(project_id) ?? []).map((listed) => ({
      ...listed,
      pairs: pairsOf(listed.model),
    }));
    return names;
  };
}

function describeGroup(
  row: SetRow,
  project_id: string,
  prices: PriceLister | undefined,
  names: () => readonly Name[],
): Unpriced {
  const { sums } = row;
  const [provider, model] = [keyOf(row, "provider"), keyOf(row, "model")];
  const price_id = keyOf(row, "price_id");
  const used = TOKEN_CLASSES.filter((name) => sums.count(`tokens_${name}`) > 0n);
  const tokens = used.reduce((sum, name) => sum + sums.count(`tokens_${name}`), 0n);
  const is_known = sums.count("usage_mask") !== 0n;
  const classes = price_id === null ? used : classesWithout(prices, price_id, used);
  const reason = findReason(row, project_id, prices, is_known);
  return {
    provider,
    model,
    request_model: keyOf(row, "request_model"),
    price_id,
    calls: Number(sums.count("calls_unpriced")),
    tokens: is_known ? Number(tokens) : null,
    tokens_unpriced: Number(sums.count("tokens_unpriced")),
    reason,
    explanation: EXPLANATIONS[reason],
    classes_without_price: classes,
    nearest: reason === "unknown_model" ? findNearest(model ?? "", provider, names()) : [],
  };
}

/** Classes that the row of the price book has no price for. */
function classesWithout(
  prices: PriceLister | undefined,
  price_id: string,
  used: readonly TokenClass[],
): TokenClass[] {
  const has_row = (prices?.findRow(price_id) ?? null) !== null;
  return has_row ? used.filter((name) => prices?.priceOf(price_id, name) === null) : [];
}

function findReason(
  row: SetRow,
  project_id: string,
  prices: PriceLister | undefined,
  is_known: boolean,
): UnpricedReason {
  const price_id = keyOf(row, "price_id");
  if (price_id !== null) {
    const is_gone = prices !== undefined && prices.findRow(price_id) === null;
    return is_gone ? "book_changed" : "no_class_price";
  }
  if (!is_known) return "usage_missing";
  const provider = keyOf(row, "provider") ?? "";
  const names = [keyOf(row, "model"), keyOf(row, "request_model")].filter((name) => name !== null);
  if (names.length === 0) return "no_model";
  const has_model = names.some(
    (model) => prices?.hasModel({ project_id, provider, model }) === true,
  );
  return has_model ? "no_row" : "unknown_model";
}

/** Models with a price and a similar name, the most alike first, of the same provider before others. */
function findNearest(
  model: string,
  provider: string | null,
  names: readonly Name[],
): Unpriced["nearest"] {
  const pairs = pairsOf(model);
  return names
    .map((name) => ({ ...name, likeness: likeness(pairs, name.pairs) }))
    .filter((name) => name.likeness >= MIN_LIKENESS)
    .toSorted(
      (a, b) =>
        Number(b.provider === provider) - Number(a.provider === provider) ||
        b.likeness - a.likeness ||
        (`${a.provider}/${a.model}` < `${b.provider}/${b.model}` ? -1 : 1),
    )
    .slice(0, MAX_NEAREST)
    .map((name) => ({ provider: name.provider, model: name.model, likeness: name.likeness }));
}

/** Models without a price. */
export const UNPRICED_ROUTES: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/analytics/models/unpriced",
    summary: "Models whose calls have no price, why, and what to do",
    description: `Those of the most calls first, at most ${MAX_ANALYTICS_ROWS}. Similar names are hints for people; no price is ever taken from them.`,
    tag: "Analytics",
    action: "usage:read",
    of: "project",
    query: UnpricedQuery,
    answer: UnpricedAnswer,
    cache: "ledger",
    examples: [{ summary: "The last 30 days", path: "/v1/analytics/models/unpriced" }],
    handle: ({ services, project_id, query, now_ms }) =>
      answerUnpriced(services, project_id, query, now_ms),
  }),
];
