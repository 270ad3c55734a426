/**
 * What the ledger must say of a body of `bodies.ts`, by the bench's own arithmetic: a chat is a call, and
 * costs its tokens at the standard list price of its model. Read with protobufjs and from the price files
 * alone, not with the collector's code.
 *
 * Invariant: it knows bodies of `bodies.ts` and nothing else; what it does not know it throws at.
 */
import { readFileSync } from "node:fs";
import {
  decodeTraceRequest,
  type OtlpKeyValue,
  type OtlpTraceRequest,
} from "../test/support/otlp-proto.ts";

/** Of all calls of a body, or of many. */
export interface Truth {
  readonly calls: number;
  readonly cost_picodollars: bigint;
}

interface PriceList {
  readonly models: readonly {
    readonly model: string;
    readonly prices: readonly {
      readonly valid_from: string | null;
      readonly tier: string;
      readonly input_tokens_over: number;
      readonly usd_per_million: Readonly<Record<string, string>>;
    }[];
  }[];
}

/** Files of list prices by provider as senders name it; a model of the house has no price. */
const PRICE_FILES: Readonly<Record<string, string>> = {
  openai: "openai",
  anthropic: "anthropic",
  "gcp.gemini": "google",
};

/** Picodollars of a token of that class: a dollar a million is a million picodollars each. */
type UnitPrices = (token_class: string) => bigint;

const known = new Map<string, UnitPrices | null>();

function pricesOf(provider: string, model: string): UnitPrices | null {
  const name = `${provider} ${model}`;
  const made = known.get(name);
  if (made !== undefined) return made;
  const prices = readPrices(provider, model);
  known.set(name, prices);
  return prices;
}

function readPrices(provider: string, model: string): UnitPrices | null {
  const file = PRICE_FILES[provider];
  if (file === undefined) return null;
  const url = new URL(`../schemas/prices/${file}.json`, import.meta.url);
  const { models } = JSON.parse(readFileSync(url, "utf8")) as PriceList;
  const rows = (models.find((entry) => entry.model === model)?.prices ?? []).filter(
    ({ tier, input_tokens_over }) => tier === "standard" && input_tokens_over === 0,
  );
  const [row] = rows;
  if (row === undefined || rows.length > 1) throw new Error(`no one list price of ${model}`);
  return (token_class) => {
    const usd = row.usd_per_million[token_class];
    if (usd === undefined) throw new Error(`no price of ${token_class} of ${model}`);
    return BigInt(Math.round(Number(usd) * 1e6));
  };
}

const textOf = (attributes: readonly OtlpKeyValue[], name: string): string =>
  attributes.find(({ key }) => key === name)?.value?.stringValue ?? "";

const countOf = (attributes: readonly OtlpKeyValue[], name: string): bigint =>
  BigInt(String(attributes.find(({ key }) => key === name)?.value?.intValue ?? 0));

function costOf(attributes: readonly OtlpKeyValue[]): bigint {
  const provider = textOf(attributes, "gen_ai.provider.name");
  const prices = pricesOf(provider, textOf(attributes, "gen_ai.request.model"));
  if (prices === null) return 0n;
  const cached = countOf(attributes, "gen_ai.usage.cache_read.input_tokens");
  const input = countOf(attributes, "gen_ai.usage.input_tokens") - cached;
  const output = countOf(attributes, "gen_ai.usage.output_tokens");
  // Tokens of reasoning are among those of the output, and cost the same with these models.
  return (
    input * prices("input_uncached") +
    (cached === 0n ? 0n : cached * prices("cache_read")) +
    output * prices("output_text")
  );
}

/** Counts the calls of a body and their cost. */
export function sumBody(body: Uint8Array): Truth {
  const request: OtlpTraceRequest = decodeTraceRequest(body);
  let calls = 0;
  let cost_picodollars = 0n;
  for (const { scopeSpans = [] } of request.resourceSpans ?? []) {
    for (const { attributes = [] } of scopeSpans.flatMap(({ spans = [] }) => spans)) {
      if (textOf(attributes, "gen_ai.operation.name") !== "chat") continue;
      calls += 1;
      cost_picodollars += costOf(attributes);
    }
  }
  return { calls, cost_picodollars };
}

/** US dollars as a decimal string, exact, as the query API writes them. */
export function formatUsd(picodollars: bigint): string {
  const digits = String(picodollars).padStart(13, "0");
  const cents = digits.slice(-12).replace(/0+$/, "");
  return `${digits.slice(0, -12)}${cents === "" ? "" : `.${cents}`}`;
}
