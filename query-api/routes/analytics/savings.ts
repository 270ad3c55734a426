/** `GET /v1/analytics/savings`: what caching saved, and what it, batches or another model could save. */
import { SavingsAnswer, SavingsQuery } from "../../../schemas/api-savings.ts";
import { TOKEN_CLASSES } from "../../../schemas/tokens.ts";
import { formatUsd, parseUsd } from "../../../schemas/units.ts";
import { ApiError } from "../../errors.ts";
import { coverageOf, type Sums } from "../../measures.ts";
import type { PriceLister, UnitPrices } from "../../prices.ts";
import { defineRoute, type Route } from "../../route.ts";
import {
  addKnown,
  HALF_PRICE_BATCHES,
  type PricedGroup,
  saveByBatch,
  saveByCache,
  saveByTarget,
} from "../../savings.ts";
import { askSets, type SetRow, totalOf } from "../../usage-sets.ts";
import {
  type Asked,
  describeRange,
  keyOf,
  makeReader,
  measure,
  readAsked,
  type Source,
} from "./question.ts";

/** Groups of model and price that are worked out at most, the dearest first. */
const MAX_GROUPS = 2_000;
/** Models that are listed at most, the dearest first. */
const MAX_MODELS = 100;

type Cache = SavingsAnswer["cache"];
type Batch = SavingsAnswer["batch"];
type Target = Exclude<SavingsAnswer["target"], null>;

const CACHE_ASSUMPTIONS: readonly string[] = [
  "What was saved is exact: cached tokens are held against the uncached price of the row of the price book that applied to each call.",
  "Without caching the prompts would have been the same.",
  "What could be saved at most takes every uncached prompt token as read from the cache, and none as written to it. How much of the prompts repeats is not known: the ledger has no content.",
];

const TARGET_ASSUMPTIONS: readonly string[] = [
  "The other model needs the same number of tokens of each class. Tokenizers differ, often by a tenth and more, and so do answers.",
  "Tokens cost its price of the standard tier, without a region, at the end of the range.",
  "Fees by the piece, such as web searches, are left out on both sides.",
];

const BATCH_ASSUMPTIONS: readonly string[] = [
  "Every call of the standard tier could have waited for a batch, up to a day. Filter by service, agent or operation to leave out those that could not.",
  "Batch prices are those at the end of the range; classes that have none keep their cost. Fees are left out.",
];

/** What the answers are worked out from. */
interface Basis {
  readonly project_id: string;
  readonly asked: Asked;
  readonly prices: PriceLister | undefined;
  readonly target: readonly [UnitPrices, ...UnitPrices[]] | null;
}

/** Answers what was and could be saved. */
export async function answerSavings(
  source: Source,
  project_id: string,
  query: SavingsQuery,
  now_ms: number,
): Promise<SavingsAnswer> {
  const asked = readAsked(query, now_ms);
  const { prices } = source;
  const target = query.target === undefined ? null : splitModel(query.target);
  const target_rows =
    target === null ? null : findTarget(prices, { ...target, project_id, at_ms: asked.to_ms });
  const reader = await makeReader(source, project_id, asked);
  const [total, rows = []] = await askSets(reader, {
    ...asked,
    project_id,
    interval: "none",
    measures: ["calls", "tokens", "cost_usd"],
    sets: [[], ["provider", "model", "price_id"]],
    limit: MAX_GROUPS,
  });
  const sums = totalOf(total);
  const groups = rows.map((row) => makeGroup(row, prices));
  const basis: Basis = { project_id, asked, prices, target: target_rows };
  return {
    ...describeRange(asked),
    tz: query.tz ?? asked.tz,
    calls: Number(sums.count("calls")),
    cost_usd: measure(sums, ["cost_usd"]).cost_usd,
    cache: describeCache(groups, prices),
    batch: describeBatch(groups, basis),
    target:
      target === null || target_rows === null ? null : describeTarget(groups, target_rows, target),
    models: listModels(rows, groups, basis).slice(0, MAX_MODELS),
    truncated: rows.length === MAX_GROUPS,
    coverage: coverageOf(sums),
  };
}

function splitModel(text: string): { provider: string; model: string } {
  const slash = text.indexOf("/");
  return { provider: text.slice(0, slash), model: text.slice(slash + 1) };
}

/** The prices of the other model by prompt size. Throws ApiError(400) when it has none. */
function findTarget(
  prices: PriceLister | undefined,
  model: { project_id: string; provider: string; model: string; at_ms: number },
): readonly [UnitPrices, ...UnitPrices[]] {
  const [first, ...others] =
    prices?.listPrices({ ...model, service_tier: "standard", region: "" }) ?? [];
  if (first !== undefined) return [first, ...others];
  const message = "has no price at the end of the range in the price book";
  throw new ApiError(400, "unknown_model", `target ${message}`, [{ path: "target", message }]);
}

function makeGroup(row: SetRow, prices: PriceLister | undefined): PricedGroup {
  const { sums } = row;
  const price_id = keyOf(row, "price_id") ?? "";
  return {
    provider: keyOf(row, "provider") ?? "",
    model: keyOf(row, "model") ?? "",
    price_id,
    calls: sums.count("calls"),
    tokens: TOKEN_CLASSES.map((name) => sums.count(`tokens_${name}`)),
    cost: TOKEN_CLASSES.map((name) => sums.count(`cost_${name}`)),
    row: price_id === "" ? null : (prices?.findRow(price_id) ?? null),
  };
}

function toUsd(amount: bigint | null): string | null {
  return amount === null ? null : formatUsd(amount);
}

function subtract(saved: bigint | null, surcharge: bigint | null): bigint | null {
  return addKnown(saved, surcharge === null ? null : -surcharge);
}

const NO_BOOK = "this server has no price book to compare by";

function describeCache(groups: readonly PricedGroup[], prices: PriceLister | undefined): Cache {
  const found = saveByCache(groups);
  const { read_saved, write_surcharge, could_save_at_most } = found;
  const reason =
    prices === undefined
      ? NO_BOOK
      : "not enough evidence: no uncached tokens of a model that has a price of cached ones";
  return {
    saved_usd: toUsd(subtract(read_saved, write_surcharge)),
    read_saved_usd: toUsd(read_saved),
    write_surcharge_usd: toUsd(write_surcharge),
    tokens_not_judged: Number(found.tokens_not_judged),
    could_save_at_most_usd: toUsd(could_save_at_most),
    uncached_tokens: Number(found.uncached_tokens),
    uncached_tokens_not_judged: Number(found.uncached_tokens_not_judged),
    reason: could_save_at_most === null ? reason : null,
    assumptions: [...CACHE_ASSUMPTIONS],
  };
}

function describeBatch(groups: readonly PricedGroup[], basis: Basis): Batch {
  const { prices, project_id, asked } = basis;
  const lister = prices ?? NO_PRICES;
  const found = saveByBatch(groups, project_id, asked.to_ms, lister);
  const reason = prices === undefined ? NO_BOOK : "no call of the standard tier has a batch price";
  const assumed =
    found.from_assumption === 0n
      ? []
      : [
          `Assumed, for want of batch prices in the price book: batches of ${[...HALF_PRICE_BATCHES].join(" and ")} cost half, as these providers say.`,
        ];
  return {
    could_save_usd: toUsd(found.could_save),
    from_price_book_usd: formatUsd(found.from_price_book),
    from_assumption_usd: formatUsd(found.from_assumption),
    cost_of_candidates_usd: formatUsd(found.cost_of_candidates),
    calls_already_batch: Number(found.calls_already_batch),
    calls_of_other_tiers: Number(found.calls_of_other_tiers),
    calls_without_batch_price: Number(found.calls_without_batch_price),
    calls_without_price: Number(found.calls_without_price),
    reason: found.could_save === null ? reason : null,
    assumptions: [...BATCH_ASSUMPTIONS, ...assumed],
  };
}

/** A price book without prices. */
const NO_PRICES: PriceLister = {
  priceOf: () => null,
  findRow: () => null,
  listPrices: () => [],
  hasModel: () => false,
  listModels: () => [],
};

function describeTarget(
  groups: readonly PricedGroup[],
  rows: readonly [UnitPrices, ...UnitPrices[]],
  model: { readonly provider: string; readonly model: string },
): Target {
  const found = saveByTarget(groups, rows);
  const { compared } = found;
  const steps =
    rows.length === 1
      ? []
      : [
          `It costs more for prompts of more than ${rows[1]?.input_tokens_over} tokens. How long prompts are is not looked at: target_cost_usd takes them all as shorter, target_cost_at_most_usd all as the longest.`,
        ];
  const substitutes =
    found.substituted.size === 0
      ? []
      : [
          "Cached tokens without a price of their own are priced as uncached ones, and reasoning as text; see substituted.",
        ];
  return {
    ...model,
    price_id: rows[0].price_id,
    target_cost_usd: toUsd(found.target_cost),
    target_cost_at_most_usd: toUsd(found.target_cost_at_most),
    compared: {
      cost_usd: formatUsd(compared.cost),
      target_cost_usd: formatUsd(compared.target_cost),
      saving_usd: formatUsd(compared.cost - compared.target_cost),
      tokens: Number(compared.tokens),
      tokens_share: found.tokens === 0n ? null : Number(compared.tokens) / Number(found.tokens),
    },
    substituted: [...found.substituted].map(([token_class, { priced_as, tokens }]) => ({
      token_class,
      priced_as,
      tokens: Number(tokens),
    })),
    tokens_without_target_price: [...found.tokens_without_target_price].map(
      ([token_class, tokens]) => ({ token_class, tokens: Number(tokens) }),
    ),
    assumptions: [...TARGET_ASSUMPTIONS, ...steps, ...substitutes],
  };
}

/** The same by model. */
function listModels(
  rows: readonly SetRow[],
  groups: readonly PricedGroup[],
  { project_id, asked, prices, target }: Basis,
): SavingsAnswer["models"] {
  const models = new Map<string, { sums: Sums[]; groups: PricedGroup[] }>();
  for (const [index, group] of groups.entries()) {
    const key = JSON.stringify([group.provider, group.model]);
    const found = models.get(key) ?? { sums: [], groups: [] };
    models.set(key, found);
    const row = rows[index];
    if (row !== undefined) found.sums.push(row.sums);
    found.groups.push(group);
  }
  const listed = [...models.values()].map(({ sums, groups: own }) => {
    const cache = saveByCache(own);
    const batch = saveByBatch(own, project_id, asked.to_ms, prices ?? NO_PRICES);
    const compared = target === null ? null : saveByTarget(own, target).compared;
    const is_compared = compared !== null && compared.tokens > 0n;
    const cost = sums
      .map((part) => measure(part, ["cost_usd"]).cost_usd)
      .map((text) => (text === null ? null : parseUsd(text)))
      .reduce<bigint | null>((total, part) => addKnown(total, part), null);
    return {
      cost_picodollars: cost ?? 0n,
      model: {
        provider: orNull(own[0]?.provider ?? ""),
        model: orNull(own[0]?.model ?? ""),
        calls: Number(own.reduce((total, { calls }) => total + calls, 0n)),
        cost_usd: toUsd(cost),
        cache_saved_usd: toUsd(subtract(cache.read_saved, cache.write_surcharge)),
        cache_could_save_at_most_usd: toUsd(cache.could_save_at_most),
        batch_could_save_usd: toUsd(batch.could_save),
        target_saving_usd: is_compared ? formatUsd(compared.cost - compared.target_cost) : null,
      },
    };
  });
  return listed
    .toSorted((a, b) => (a.cost_picodollars < b.cost_picodollars ? 1 : -1))
    .map(({ model }) => model);
}

function orNull(text: string): string | null {
  return text === "" ? null : text;
}

/** What could be saved. */
export const SAVINGS_ROUTES: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/analytics/savings",
    summary: "What caching saved, and what caching, batches or another model could save",
    description:
      "Each part says what it assumes. Tokens without a price are left out of both sides of a comparison and counted.",
    tag: "Analytics",
    action: "usage:read",
    of: "project",
    query: SavingsQuery,
    answer: SavingsAnswer,
    cache: "ledger",
    examples: [
      {
        summary: "The same tokens on another model",
        path: "/v1/analytics/savings?target=openai/gpt-5-mini",
      },
    ],
    handle: ({ services, project_id, query, now_ms }) =>
      answerSavings(services, project_id, query, now_ms),
  }),
];
