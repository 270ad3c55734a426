/**
 * Makes the price files beside it from @pydantic/genai-prices and `overlay.json`.
 *
 * A person runs it with `node schemas/prices/import.ts` and reviews the difference; it is on no other
 * path. Invariant: the output is a pure function of the pinned package and the overlay, and holds
 * exact model ids only: a prefix rule gives its own text as an id and never becomes a pattern.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { calcPrice, findProvider } from "@pydantic/genai-prices";
import type { MatchLogic, ModelInfo, ModelPrice } from "@pydantic/genai-prices";
import { PriceFile } from "../prices.ts";
import type { ModelPrices } from "../prices.ts";
import { PermanentError } from "../errors.ts";
import { TOKEN_CLASSES } from "../tokens.ts";
import type { TokenClass } from "../tokens.ts";

/** The providers imported; each becomes one file. */
export const IMPORTED_PROVIDERS = ["anthropic", "google", "openai"] as const;
type ImportedProvider = (typeof IMPORTED_PROVIDERS)[number];

/** The release that was reviewed. A newer package needs a new review, so a mismatch is an error. */
const SEED = { name: "@pydantic/genai-prices", version: "0.1.8", released: "2026-09-23" };

/** Price keys of genai-prices by the classes they price, for every provider. */
const COMMON_KEYS: readonly (readonly [string, readonly TokenClass[]])[] = [
  ["input_mtok", ["input_uncached"]],
  ["cache_read_mtok", ["cache_read"]],
  // Providers bill reasoning as output tokens.
  ["output_mtok", ["output_text", "output_reasoning"]],
  ["input_audio_mtok", ["input_audio"]],
  ["output_audio_mtok", ["output_audio"]],
  ["input_image_mtok", ["input_image"]],
  ["output_image_mtok", ["output_image"]],
];

/** Anthropic alone has write lifetimes; a write of unknown lifetime is priced as the default, 5 minutes. */
const PROVIDER_KEYS: Readonly<
  Record<ImportedProvider, readonly (readonly [string, readonly TokenClass[]])[]>
> = {
  anthropic: [
    ["cache_write_mtok", ["cache_write_5m", "cache_write"]],
    ["cache_write_1h_mtok", ["cache_write_1h"]],
  ],
  google: [["cache_write_mtok", ["cache_write"]]],
  openai: [["cache_write_mtok", ["cache_write"]]],
};

/** Price keys that stand for no token class: tool calls, hours, and modalities we do not split. */
const UNUSED_KEYS = new Set([
  "audio_hours",
  "cache_audio_read_mtok",
  "cache_image_read_mtok",
  "input_audio_hours",
  "input_video_mtok",
  "output_video_mtok",
  "storage_searches_kcount",
  "web_searches_kcount",
]);

/** Why a model of the seed is not a list price of the provider, or null when it is one. */
function reasonToSkip(provider: ImportedProvider, model: ModelInfo): string | null {
  // Google Cloud resells these; calls through it have the provider "vertex", not "google".
  if (provider === "google" && (model.id.startsWith("claude-") || model.id.endsWith("-maas"))) {
    return "sold by Vertex AI";
  }
  if (/\bOpenRouter\b/.test(model.price_comments ?? "")) return "price read at another seller";
  return null;
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

/** The ids of a model that genai-prices itself resolves to this model and to no earlier one. */
function listIds(provider: ImportedProvider, model: ModelInfo): string[] {
  const texts = [...keepWhole(model.id), ...collectTexts(model.match)];
  const ids = new Set(texts.map((text) => text.toLowerCase()).filter((id) => !id.includes("/")));
  return [...ids].filter((id) => {
    const found = calcPrice({}, id, { providerId: provider });
    return found?.provider.id === provider && found.model.id === model.id;
  });
}

/** The price of a key for prompts above the given size, US dollars per million tokens, or null. */
function priceAbove(price: ModelPrice[string], input_tokens_over: number): string | null {
  if (price === undefined) return null;
  if (typeof price === "number") return String(price);
  const tiers = price.tiers.filter((tier) => tier.start <= input_tokens_over);
  const last = tiers.sort((a, b) => a.start - b.start).at(-1);
  return String(last?.price ?? price.base);
}

type PriceRow = ModelPrices["prices"][number];

/** The rows of one dated price: one for each prompt size at which any key changes. */
function toRows(
  provider: ImportedProvider,
  model_id: string,
  prices: ModelPrice,
  valid_from: string | null,
): PriceRow[] {
  const keys = [...COMMON_KEYS, ...PROVIDER_KEYS[provider]];
  const known = new Set(keys.map(([key]) => key));
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
    addImageInput(provider, by_class);
    return {
      valid_from,
      tier: "standard",
      input_tokens_over,
      usd_per_million: sortClasses(by_class),
      source: `${SEED.name} ${SEED.version} of ${SEED.released}, ${provider} ${model_id}`,
    };
  });
}

/**
 * Google lists one input price for "text / image / video" (ai.google.dev/gemini-api/docs/pricing) and
 * genai-prices has an image key only where it differs. Embedding models, told by their missing output
 * price, are priced for what is listed only.
 */
function addImageInput(provider: ImportedProvider, by_class: Map<TokenClass, string>): void {
  const input = by_class.get("input_uncached");
  if (provider !== "google" || input === undefined || !by_class.has("output_text")) return;
  if (!by_class.has("input_image")) by_class.set("input_image", input);
}

function sortClasses(by_class: ReadonlyMap<TokenClass, string>): PriceRow["usd_per_million"] {
  return Object.fromEntries(
    TOKEN_CLASSES.flatMap((name) => {
      const text = by_class.get(name);
      return text === undefined ? [] : [[name, text]];
    }),
  );
}

function importModel(provider: ImportedProvider, model: ModelInfo): ModelPrices | null {
  if (reasonToSkip(provider, model) !== null) return null;
  const ids = listIds(provider, model).sort();
  const id = ids.includes(model.id) ? model.id : ids[0];
  if (id === undefined) return null;
  const dated = Array.isArray(model.prices) ? model.prices : [{ prices: model.prices }];
  const prices = dated.flatMap(({ constraint, prices }) => {
    if (constraint !== undefined && constraint.type !== "start_date") {
      throw new PermanentError("unsupported_price", `${model.id}: prices by time of day`);
    }
    return toRows(provider, model.id, prices, constraint?.start_date ?? null);
  });
  // Without a token price the row would say nothing; the model is then as unknown as any other.
  if (prices.every((row) => Object.keys(row.usd_per_million).length === 0)) return null;
  return { model: id, aliases: ids.filter((other) => other !== id), prices };
}

function rowKey(row: PriceRow): string {
  const over = String(row.input_tokens_over).padStart(12, "0");
  return `${row.tier}/${row.valid_from ?? ""}/${over}`;
}

/** Overlay classes win over seeded ones in a row of the same tier, day and prompt size. */
function mergeModel(base: ModelPrices, overlay: ModelPrices): ModelPrices {
  const rows = new Map(base.prices.map((row) => [rowKey(row), row]));
  for (const row of overlay.prices) {
    const seeded = rows.get(rowKey(row));
    rows.set(rowKey(row), {
      ...row,
      usd_per_million: { ...seeded?.usd_per_million, ...row.usd_per_million },
      source: seeded === undefined ? row.source : `${row.source}; rest: ${seeded.source}`,
    });
  }
  return {
    model: base.model,
    aliases: [...new Set([...base.aliases, ...overlay.aliases])],
    prices: [...rows.values()],
  };
}

function mergeFile(base: PriceFile, overlay: PriceFile | undefined): PriceFile {
  const models = new Map(base.models.map((model) => [model.model, model]));
  for (const model of overlay?.models ?? []) {
    const seeded = models.get(model.model);
    models.set(model.model, seeded === undefined ? model : mergeModel(seeded, model));
  }
  const sorted = [...models.values()].map((model) => ({
    model: model.model,
    aliases: [...model.aliases].sort(),
    prices: [...model.prices].sort((a, b) => (rowKey(a) < rowKey(b) ? -1 : 1)),
  }));
  return { ...base, models: sorted.sort((a, b) => (a.model < b.model ? -1 : 1)) };
}

/**
 * The price files, one for each imported provider, overlay applied, sorted and checked against the
 * schema. Throws PermanentError when the seed holds something that the mapping does not know.
 */
export function buildPriceFiles(overlays: readonly PriceFile[]): PriceFile[] {
  return IMPORTED_PROVIDERS.map((provider) => {
    const found = findProvider({ providerId: provider });
    if (found === undefined) throw new PermanentError("missing_provider", `no ${provider} in seed`);
    const models = found.models.flatMap((model) => importModel(provider, model) ?? []);
    const overlay = overlays.find((file) => file.provider === provider);
    return PriceFile.parse(mergeFile({ provider, currency: "USD", models }, overlay));
  });
}

/** Columns that a line of the files may have (the formatter's `printWidth`). */
const MAX_LINE_CHARS = 100;

/** JSON as the formatter of this repository prints it: short lists on one line, objects on several. */
export function formatJson(value: unknown, indent = "", prefix_chars = 0): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    if (value.every((item) => typeof item !== "object")) {
      const line = `[${value.map((item) => JSON.stringify(item)).join(", ")}]`;
      // One more for the comma or brace that may follow.
      if (indent.length + prefix_chars + line.length + 1 <= MAX_LINE_CHARS) return line;
    }
    const items = value.map((item) => `${inner}${formatJson(item, inner)}`);
    return `[\n${items.join(",\n")}\n${indent}]`;
  }
  const fields = Object.entries(value).map(([key, item]) => {
    const name = `${JSON.stringify(key)}: `;
    return `${inner}${name}${formatJson(item, inner, name.length)}`;
  });
  return `{\n${fields.join(",\n")}\n${indent}}`;
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

if (import.meta.main) {
  checkSeedVersion();
  for (const file of buildPriceFiles(readOverlay())) {
    writeFileSync(new URL(`./${file.provider}.json`, import.meta.url), `${formatJson(file)}\n`);
    process.stdout.write(`${file.provider}: ${String(file.models.length)} models\n`);
  }
}
