/**
 * Prices of the models in the captures, written by hand from the providers' price pages, so that the
 * price book is checked against something other than itself.
 *
 * Invariant: nothing here is read from `schemas/prices`.
 */
import { TOKEN_CLASSES, type TokenClass } from "../../schemas/tokens.ts";

/** What a model costs, US dollars for a million tokens of each class. */
export interface HandPrice {
  readonly name: string;
  /** Whether the row may also say that it has no price: a tier or reseller with its own list. */
  readonly optional: boolean;
  readonly usd_per_million: Readonly<Record<string, string>>;
}

function openai(input: string, cached: string, output: string): Record<string, string> {
  return {
    input_uncached: input,
    cache_read: cached,
    output_text: output,
    output_reasoning: output,
  };
}

/** Anthropic's rule: a read is 0.1, a write 1.25 (5 minutes) and 2 (1 hour) times the input price. */
const SONNET = {
  input_uncached: "3",
  cache_read: "0.3",
  cache_write_5m: "3.75",
  cache_write_1h: "6",
  cache_write: "3.75",
  output_text: "15",
  output_reasoning: "15",
};

const HAIKU = {
  input_uncached: "1",
  cache_read: "0.1",
  cache_write_5m: "1.25",
  cache_write_1h: "2",
  cache_write: "1.25",
  output_text: "5",
  output_reasoning: "5",
};

/** Bedrock bills a regional or geographic endpoint, which these are, a tenth above the list price. */
const SONNET_BEDROCK = {
  input_uncached: "3.3",
  cache_read: "0.33",
  cache_write_5m: "4.125",
  cache_write_1h: "6.6",
  cache_write: "4.125",
  output_text: "16.5",
  output_reasoning: "16.5",
};

/** By the model without its date; a flex price is half the standard one. */
const PRICES: ReadonlyMap<string, Readonly<Record<string, string>>> = new Map([
  ["gpt-5-mini", openai("0.25", "0.025", "2")],
  ["gpt-5-mini flex", openai("0.125", "0.0125", "1")],
  ["gpt-4.1", openai("2", "0.5", "8")],
  ["gpt-4o-mini", openai("0.15", "0.075", "0.6")],
  ["text-embedding-3-small", { input_uncached: "0.02", output_text: "0" }],
  ["claude-sonnet-4-5", SONNET],
  ["claude-sonnet-4-5 aws.bedrock", SONNET_BEDROCK],
  ["claude-haiku-4-5", HAIKU],
  ["gemini-2.5-flash", openai("0.3", "0.03", "2.5")],
  ["gemini-2.0-flash", openai("0.1", "0.025", "0.4")],
]);

/** The price of a model, or null when it is none that has one. */
export function handPrice(model: string, provider: string, tier: string | null): HandPrice | null {
  const base = model
    .replace(/^(us\.)?anthropic\./, "")
    .replace(/-v1:0$/, "")
    .replace(/-(\d{8}|\d{4}-\d{2}-\d{2}|001)$/, "");
  const isFlex = tier === "flex";
  const isReseller = provider === "aws.bedrock";
  const name = [base, isFlex ? "flex" : "", isReseller ? provider : ""].filter(Boolean).join(" ");
  const usd_per_million = PRICES.get(name);
  if (usd_per_million === undefined) return null;
  return { name, optional: isFlex || isReseller, usd_per_million };
}

const PICODOLLARS = 1_000_000_000_000n;

/** A decimal of US dollars as whole picodollars; throws when it has more than 12 decimals. */
export function readPicodollars(text: string): bigint {
  const match = /^(-?)(\d+)(?:\.(\d{1,12})0*)?$/.exec(text);
  if (match === null) throw new RangeError(`no exact amount of picodollars: ${text}`);
  const [, sign, whole = "0", fraction = ""] = match;
  const amount = BigInt(whole) * PICODOLLARS + BigInt(fraction.padEnd(12, "0"));
  return sign === "-" ? -amount : amount;
}

/** What the known classes cost, picodollars, but for the given ones; one without a price is free. */
export function handCost(
  price: HandPrice,
  tokens: Readonly<Record<TokenClass, number | null>>,
  without: readonly TokenClass[] = [],
): bigint {
  let total = 0n;
  for (const name of TOKEN_CLASSES) {
    const unit = price.usd_per_million[name];
    const count = tokens[name];
    if (!without.includes(name) && count !== null && unit !== undefined) {
      total += (BigInt(count) * readPicodollars(unit)) / 1_000_000n;
    }
  }
  return total;
}
