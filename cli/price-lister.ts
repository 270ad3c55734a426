/**
 * The price book of the collector as the query API asks for it: rows by name, prices of a model, names
 * of models.
 *
 * Invariant: a project sees the list prices and its own; what others negotiated is not among them.
 */
import { makeRater, type PriceBook, type Prices } from "../collector/pipeline.ts";
import type { ListedModel, PriceLister, PriceLookup, UnitPrices } from "../query-api/prices.ts";
import { CLASS_INDEX } from "../schemas/tokens.ts";

type Layer = PriceBook["layers"][number];
/** A model as the layers of a book have it. */
interface PricedModel extends ListedModel {
  readonly tiers: ReadonlyMap<
    string,
    ReadonlyMap<
      string,
      readonly {
        readonly steps: readonly Pick<
          UnitPrices,
          "price_id" | "input_tokens_over" | "picodollars_per_token"
        >[];
      }[]
    >
  >;
}

/** Makes the service; the names of rows and models are gathered when they are first asked for. */
export function makePriceLister(prices: Prices): PriceLister {
  const rater = makeRater(prices);
  const { book } = prices;
  let known_rows: ReadonlyMap<string, UnitPrices> | undefined;
  const rows = () => (known_rows ??= gatherRows(book));
  let known_tiers: readonly string[] | undefined;
  const tiers = () => (known_tiers ??= [...new Set([...rows().values()].map(({ tier }) => tier))]);
  const models = new Map<readonly Layer[], readonly ListedModel[]>();
  const ask = ({ project_id, provider, model, service_tier, region }: Omit<PriceLookup, "at_ms">) =>
    rater.listSteps({
      project_id,
      provider,
      request_model: model,
      response_model: model,
      service_tier,
      region,
    });
  return {
    priceOf: (price_id, name) =>
      rows().get(price_id)?.picodollars_per_token[CLASS_INDEX[name]] ?? null,
    findRow: (price_id) => rows().get(price_id) ?? null,
    listPrices(lookup) {
      const at_ns = BigInt(lookup.at_ms) * 1_000_000n;
      const started = ask(lookup).filter((step) => step.valid_from_ns <= at_ns);
      const last_ns = started.at(-1)?.valid_from_ns;
      const ids = started.flatMap(({ valid_from_ns, answer }) =>
        valid_from_ns === last_ns && answer !== null ? [answer.price_id] : [],
      );
      return [...new Set(ids)].flatMap((price_id) => rows().get(price_id) ?? []);
    },
    hasModel: (model) =>
      tiers().some((service_tier) =>
        ask({ ...model, service_tier, region: "" }).some(({ answer }) => answer !== null),
      ),
    listModels(project_id) {
      const layers = book.projects.get(project_id) ?? book.layers;
      const known = models.get(layers) ?? gatherModels(layers);
      models.set(layers, known);
      return known;
    },
  };
}

/** Every row of the book, whoever's it is. */
export function listUnitPrices({ book }: Prices): UnitPrices[] {
  return [...gatherRows(book).values()];
}

/** Every model of the layers, once for each of its ids. */
function* listPriced(layers: Iterable<Layer>): Generator<PricedModel> {
  for (const { providers } of layers) {
    for (const ids of providers.values()) for (const { model } of ids.values()) yield model;
  }
}

function gatherModels(layers: readonly Layer[]): ListedModel[] {
  const found = new Map<string, ListedModel>();
  for (const { provider, model } of listPriced(layers)) {
    found.set(`${provider}/${model}`, { provider, model });
  }
  return [...found.values()];
}

function gatherRows(book: PriceBook): ReadonlyMap<string, UnitPrices> {
  const rows = new Map<string, UnitPrices>();
  for (const { tiers } of listPriced(
    new Set([...book.layers, ...[...book.projects.values()].flat()]),
  )) {
    for (const [tier, regions] of tiers) {
      for (const [region, periods] of regions) {
        for (const step of periods.flatMap(({ steps }) => steps)) {
          const { price_id, input_tokens_over, picodollars_per_token } = step;
          rows.set(price_id, { price_id, tier, region, input_tokens_over, picodollars_per_token });
        }
      }
    }
  }
  return rows;
}
