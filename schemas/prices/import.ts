/**
 * Makes the price files beside it from @pydantic/genai-prices, `overlay.json` and `rules.ts`.
 *
 * A person runs it with `npx spanledger prices import` and reviews the difference; it is on no other
 * path. Invariant: the output is a pure function of the pinned package, the overlay and the rules, and
 * holds exact model ids only: a prefix rule gives its own text as an id and never becomes a pattern.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { calcPrice, findProvider } from "@pydantic/genai-prices";
import type { MatchLogic, ModelInfo, ModelPrice } from "@pydantic/genai-prices";
import { PermanentError } from "../errors.ts";
import { PRICED_PROVIDERS } from "../price-files.ts";
import { PriceFile } from "../prices.ts";
import type { ModelPrices, PriceRow } from "../prices.ts";
import type { FeeKind } from "../span.ts";
import type { TokenClass } from "../tokens.ts";
import { diffPriceFiles, formatJson } from "./format.ts";
import { mergeFile } from "./merge.ts";

type PricedProvider = (typeof PRICED_PROVIDERS)[number];

/** The release that was reviewed. A newer package needs a new review, so a mismatch is an error. */
const SEED = { name: "@pydantic/genai-prices", version: "0.1.8", released: "2026-09-23" };

/** Where the seed has the prices of a provider of ours. */
interface Seller {
  /** The provider in the seed. */
  readonly seed: string;
  /** Providers whose models the seed sells under this one at the same price where it has no own. */
  readonly also?: readonly string[];
  /** Whether ids have slashes of their own. */
  readonly slashes?: true;
  /** Fee kind of `web_searches_kcount`. */
  readonly search?: FeeKind;
}

const SELLERS: Readonly<Record<PricedProvider, Seller>> = {
  anthropic: { seed: "anthropic" },
  azure: { seed: "azure", also: ["openai", "anthropic"] },
  bedrock: { seed: "aws" },
  cohere: { seed: "cohere" },
  deepseek: { seed: "deepseek" },
  fireworks: { seed: "fireworks", slashes: true },
  google: { seed: "google", search: "grounding" },
  groq: { seed: "groq", slashes: true },
  mistral: { seed: "mistral" },
  openai: { seed: "openai" },
  openrouter: { seed: "openrouter", slashes: true },
  perplexity: { seed: "perplexity" },
  together: { seed: "together", slashes: true },
  vertex: { seed: "google", also: ["anthropic"], search: "grounding" },
  xai: { seed: "x-ai" },
};

/** Price keys of genai-prices by the classes they price. A later key wins over an earlier one. */
const TOKEN_KEYS: readonly (readonly [string, readonly TokenClass[]])[] = [
  ["input_mtok", ["input_uncached"]],
  ["cache_read_mtok", ["cache_read"]],
  // Most providers bill reasoning as output tokens.
  ["output_mtok", ["output_text", "output_reasoning"]],
  ["output_reasoning_mtok", ["output_reasoning"]],
  ["input_audio_mtok", ["input_audio"]],
  ["output_audio_mtok", ["output_audio"]],
  ["input_image_mtok", ["input_image"]],
  ["output_image_mtok", ["output_image"]],
];

/** Claude alone has write lifetimes; a write of unknown lifetime is priced as the default, 5 minutes. */
const CLAUDE_KEYS: typeof TOKEN_KEYS = [
  ["cache_write_mtok", ["cache_write_5m", "cache_write"]],
  ["cache_write_1h_mtok", ["cache_write_1h"]],
];
const OTHER_KEYS: typeof TOKEN_KEYS = [["cache_write_mtok", ["cache_write"]]];

/** Price keys that stand for no token class or fee: hours, pages, and modalities we do not split. */
const UNUSED_KEYS = new Set([
  "audio_hours",
  "cache_audio_read_mtok",
  "cache_image_read_mtok",
  "input_annotated_document_kpages",
  "input_audio_hours",
  "input_document_kpages",
  "input_text_messages_kcount",
  "input_video_mtok",
  "output_video_mtok",
]);

/** Price keys that every call of a model has and no class or fee of ours expresses. */
const INEXPRESSIBLE_KEYS = ["requests_kcount", "output_citation_mtok"];

/** Azure's prices of these did not follow OpenAI's; they stand in the overlay. */
const AZURE_OWN = /^gpt-5\.6-/;

/** Why a model of the seed is not a list price that we can hold, or null when it is one. */
export function reasonToSkip(provider: PricedProvider, model: ModelInfo): string | null {
  const by_vertex = model.id.startsWith("claude-") || model.id.endsWith("-maas");
  if (provider === "google" && by_vertex) return "sold by Vertex AI";
  if (provider === "azure" && AZURE_OWN.test(model.id)) return "Azure had prices of its own";
  if (provider !== "openrouter" && /\bOpenRouter\b|open router/i.test(model.price_comments ?? "")) {
    return "price read at another seller";
  }
  const dated = datedPrices(model);
  if (dated.some(({ constraint }) => constraint?.type === "time_of_date")) {
    return "priced by the time of day";
  }
  if (dated.some(({ prices }) => INEXPRESSIBLE_KEYS.some((key) => prices[key] !== undefined))) {
    return "billed by request or by citation too";
  }
  return null;
}

function datedPrices(model: ModelInfo) {
  return Array.isArray(model.prices) ? model.prices : [{ prices: model.prices }];
}

/** Texts of a match rule that may be ids: all of `equals`, and prefixes and parts that look whole. */
function collectTexts(match: MatchLogic): string[] {
  if ("or" in match) return match.or.flatMap(collectTexts);
  if ("and" in match) return match.and.flatMap(collectTexts);
  if ("equals" in match) return [match.equals];
  if ("starts_with" in match) return keepWhole(match.starts_with);
  if ("ends_with" in match) return keepWhole(match.ends_with);
  if ("contains" in match) return keepWhole(match.contains);
  return [];
}

/** A text cut inside a date, a number or a fine-tune name is a fragment of ids and no id. */
function keepWhole(text: string): string[] {
  return /(?:[-.@]|[a-z]-0|-\d{4})$|^ft:/.test(text) ? [] : [text];
}

/** The model of the seed that a seller has under an id, or null. */
function resolve(seller: Seller, id: string): ModelInfo | null {
  const found = calcPrice({}, id, { providerId: seller.seed });
  return found?.provider.id === seller.seed ? found.model : null;
}

/**
 * The ids of a model that genai-prices itself resolves to this model: not to an earlier one, nor to the
 * seller's own entry of the same name.
 */
function listIds(seller: Seller, model: ModelInfo): string[] {
  const texts = [...keepWhole(model.id), ...collectTexts(model.match)];
  const ids = new Set(
    texts
      .filter((text) => resolve(seller, text) === model)
      .map((text) => text.toLowerCase())
      .filter((id) => seller.slashes === true || !id.includes("/")),
  );
  return [...ids].sort();
}

/**
 * The price of a key for prompts above the given size, US dollars, or null. A price that is no whole
 * number of picodollars a token (some of OpenRouter's cache writes) is null too: money is not rounded.
 */
function priceAbove(price: ModelPrice[string], input_tokens_over: number): string | null {
  if (price === undefined) return null;
  const steps = typeof price === "number" ? { base: price, tiers: [] } : price;
  const tiers = steps.tiers.filter((tier) => tier.start <= input_tokens_over);
  const last = tiers.sort((a, b) => a.start - b.start).at(-1);
  const text = String(last?.price ?? steps.base);
  return /^\d+(\.\d{1,6})?$/.test(text) ? text : null;
}

/** The rows of one dated price: one for each prompt size at which any key changes. */
function toRows(
  provider: PricedProvider,
  model_id: string,
  prices: ModelPrice,
  valid_from: string | null,
): PriceRow[] {
  const fees: readonly (readonly [string, FeeKind])[] = [
    ["web_searches_kcount", SELLERS[provider].search ?? "web_search"],
    ["storage_searches_kcount", "file_search"],
  ];
  const keys = [...TOKEN_KEYS, ...(model_id.includes("claude") ? CLAUDE_KEYS : OTHER_KEYS)];
  const known = new Set([...keys, ...fees].map(([key]) => key));
  const unknown = Object.keys(prices).filter((key) => !known.has(key) && !UNUSED_KEYS.has(key));
  if (unknown.length > 0) {
    throw new PermanentError("unknown_price_key", `${model_id}: map or drop ${unknown.join(", ")}`);
  }
  const steps = new Set([0]);
  for (const price of Object.values(prices)) {
    if (typeof price === "object") for (const tier of price.tiers) steps.add(tier.start);
  }
  return [...steps].map((input_tokens_over) => {
    const by_class = new Map<TokenClass, string>();
    for (const [key, classes] of keys) {
      const text = priceAbove(prices[key], input_tokens_over);
      if (text !== null) for (const name of classes) by_class.set(name, text);
    }
    if (model_id.startsWith("gemini-")) addImageInput(by_class);
    const by_kind = fees.flatMap(([key, kind]) => {
      const text = priceAbove(prices[key], input_tokens_over);
      return text === null ? [] : [[kind, text] as const];
    });
    return {
      valid_from,
      tier: "standard",
      regions: [],
      input_tokens_over,
      usd_per_million: Object.fromEntries(by_class),
      usd_per_thousand: Object.fromEntries(by_kind),
      source: `${SEED.name} ${SEED.version}, ${SELLERS[provider].seed} ${model_id}`,
      evidence_date: SEED.released,
    };
  });
}

/**
 * Google lists one input price for "text / image / video" (ai.google.dev/gemini-api/docs/pricing) and
 * genai-prices has an image key only where it differs. Embedding models, told by their missing output
 * price, are priced for what is listed only.
 */
function addImageInput(by_class: Map<TokenClass, string>): void {
  const input = by_class.get("input_uncached");
  if (input === undefined || !by_class.has("output_text")) return;
  if (!by_class.has("input_image")) by_class.set("input_image", input);
}

/** The rows of a model, or none when it has no token price: it is then as unknown as any other. */
function listRows(provider: PricedProvider, model: ModelInfo): PriceRow[] {
  const rows = datedPrices(model).flatMap(({ constraint, prices }) =>
    toRows(
      provider,
      model.id,
      prices,
      constraint?.type === "start_date" ? constraint.start_date : null,
    ),
  );
  return rows.some((row) => Object.keys(row.usd_per_million).length > 0) ? rows : [];
}

function importModel(provider: PricedProvider, model: ModelInfo): ModelPrices | null {
  if (reasonToSkip(provider, model) !== null) return null;
  const ids = listIds(SELLERS[provider], model);
  const own = model.id.toLowerCase();
  const id = ids.includes(own) ? own : ids[0];
  const prices = listRows(provider, model);
  if (id === undefined || prices.length === 0) return null;
  return { model: id, aliases: ids.filter((other) => other !== id), other_regions: "same", prices };
}

/** What may stand in front of a Bedrock id: the geography of an inference profile, or global. */
const GEOGRAPHIES = ["global", "us", "us-gov", "eu", "apac", "jp", "au", "ca", "in"];

/** The id of a Bedrock model without the word of the seed or of Bedrock that says where it runs. */
function bareBedrockId(id: string): string {
  return id.toLowerCase().replace(/^(?:regional|global|us|us-gov|eu|apac|jp|au|ca|in)\./, "");
}

/** The ids under which a Bedrock model is called: with and without its vendor and its version. */
function bedrockIds(bare: string): string[] {
  const names = [bare, bare.slice(bare.indexOf(".") + 1)];
  const undated = /-\d{8}-v\d+(?::\d+)?$/.test(bare);
  return undated ? [...names, ...names.map((name) => name.replace(/-v\d+(?::\d+)?$/, ""))] : names;
}

/**
 * The Bedrock models: the seed has one entry for the global profile of a model and one for all others;
 * which geography is which, the seed's own matching says.
 */
function importBedrock(models: readonly ModelInfo[]): ModelPrices[] {
  const seller = SELLERS.bedrock;
  const by_id = new Map<string, ModelInfo[]>();
  for (const model of models) {
    if (reasonToSkip("bedrock", model) !== null) continue;
    const bare = bareBedrockId(model.id);
    by_id.set(bare, [...(by_id.get(bare) ?? []), model]);
  }
  return [...by_id].flatMap(([bare, entries]) => {
    const ask = (id: string) => entries.find((entry) => entry.id === resolve(seller, id)?.id);
    const home = ask(bare);
    const regions = new Map<ModelInfo, string[]>();
    for (const name of GEOGRAPHIES) {
      const entry = ask(`${name}.${bare}`);
      if (entry === undefined || entry === home) continue;
      regions.set(entry, [...(regions.get(entry) ?? []), name]);
    }
    const prices = [
      ...(home === undefined ? [] : listRows("bedrock", home)),
      ...[...regions].flatMap(([entry, names]) =>
        listRows("bedrock", entry).map((row) => ({ ...row, regions: names })),
      ),
    ];
    if (prices.length === 0) return [];
    const [id = bare, ...aliases] = bedrockIds(bare).filter(
      (name) => name === bare || (home !== undefined && ask(name) === home),
    );
    return [{ model: id, aliases, other_regions: "same" as const, prices }];
  });
}

function modelsOf(provider: string): ModelInfo[] {
  const found = findProvider({ providerId: provider });
  if (found === undefined) throw new PermanentError("missing_provider", `no ${provider} in seed`);
  return found.models;
}

/** Every model that the seed sells under a provider of ours, each once. */
function listModels(provider: PricedProvider): ModelInfo[] {
  const { seed, also = [] } = SELLERS[provider];
  return [seed, ...also].flatMap(modelsOf);
}

/**
 * The price files, one for each provider, overlay and rules applied, sorted and checked against the
 * schema. Throws PermanentError when the seed holds something that the mapping does not know.
 */
export function buildPriceFiles(overlays: readonly PriceFile[]): PriceFile[] {
  return PRICED_PROVIDERS.map((provider) => {
    const models =
      provider === "bedrock"
        ? importBedrock(listModels(provider))
        : listModels(provider).flatMap((model) => importModel(provider, model) ?? []);
    const overlay = overlays.find((file) => file.provider === provider);
    return PriceFile.parse(mergeFile({ provider, currency: "USD", models }, overlay));
  });
}

/** Models of the seed that the files lack, as `<provider> <model>: <why>`. */
export function listUnpricedModels(files: readonly PriceFile[]): string[] {
  return PRICED_PROVIDERS.flatMap((provider) => {
    const models = files.find((file) => file.provider === provider)?.models ?? [];
    const ids = new Set(models.flatMap((model) => [model.model, ...model.aliases]));
    const bare = (id: string) => (provider === "bedrock" ? bareBedrockId(id) : id.toLowerCase());
    return modelsOf(SELLERS[provider].seed)
      .filter(
        (model) =>
          ![bare(model.id), ...listIds(SELLERS[provider], model)].some((id) => ids.has(id)),
      )
      .map(
        (model) =>
          `${provider} ${model.id}: ${reasonToSkip(provider, model) ?? "no token price or no whole id"}`,
      );
  });
}

/** The overlay beside this script, checked. */
export function readOverlay(): PriceFile[] {
  const text = readFileSync(new URL("./overlay.json", import.meta.url), "utf8");
  return PriceFile.array().parse(JSON.parse(text));
}

/** Throws PermanentError when the pinned package is not the release that was reviewed. */
function checkSeedVersion(): void {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  const pinned = JSON.parse(text) as { devDependencies: Record<string, string> };
  if (pinned.devDependencies[SEED.name] === SEED.version) return;
  throw new PermanentError("unreviewed_seed", `set SEED to the pinned release of ${SEED.name}`);
}

/**
 * Imports the prices and resolves to what changed, one line a row (see `diffPriceFiles`). With
 * `dry_run` nothing is written. Throws PermanentError when the pinned package was not reviewed.
 */
export function importPrices(options: { readonly dry_run: boolean }): string[] {
  checkSeedVersion();
  return buildPriceFiles(readOverlay()).flatMap((file) => {
    const url = new URL(`./${file.provider}.json`, import.meta.url);
    const text = existsSync(url) ? readFileSync(url, "utf8") : null;
    const held = text === null ? null : PriceFile.safeParse(JSON.parse(text));
    if (!options.dry_run) writeFileSync(url, `${formatJson(file)}\n`);
    return diffPriceFiles(held?.success === true ? held.data : null, file);
  });
}

if (import.meta.main) {
  const lines = importPrices({ dry_run: process.argv.includes("--dry-run") });
  process.stdout.write(lines.map((line) => `${line}\n`).join(""));
}
