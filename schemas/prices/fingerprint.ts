/**
 * The fingerprint of a price book: whether two books price every call alike can be told from it.
 *
 * Invariant: it changes with everything that pricing reads of a price file and with nothing else, so
 * newer evidence for the same price does not make history look old.
 */
import { createHash } from "node:crypto";
import type { PriceFile } from "../prices.ts";
import { FEE_KINDS } from "../span.ts";
import { TOKEN_CLASSES } from "../tokens.ts";

/** SHA-256, hex, of what the list prices and the negotiated ones say. */
export function fingerprintPrices(
  list: readonly PriceFile[],
  negotiated: readonly PriceFile[] = [],
): string {
  const facts = [list.map(pricingFacts), negotiated.map(pricingFacts)];
  return createHash("sha256").update(JSON.stringify(facts)).digest("hex");
}

function pricingFacts({ provider, project_id, models }: PriceFile): unknown {
  const rows = models.map(({ model, aliases, other_regions, prices }) => [
    model,
    aliases,
    other_regions,
    prices.map((row) => [
      row.valid_from,
      row.tier,
      row.regions,
      row.input_tokens_over,
      TOKEN_CLASSES.map((name) => row.usd_per_million[name] ?? null),
      FEE_KINDS.map((kind) => row.usd_per_thousand[kind] ?? null),
    ]),
  ]);
  return [provider, project_id ?? null, rows];
}
