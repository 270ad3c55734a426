/**
 * Puts price rows together: the overlay over the seed, then the rows that rules make.
 *
 * Invariant: the output is a pure function of its inputs, sorted, and each row says in `source` where
 * every part of it comes from.
 */
import { PermanentError } from "../errors.ts";
import type { ModelPrices, PriceFile, PriceRow } from "../prices.ts";
import { FEE_KINDS } from "../span.ts";
import { TOKEN_CLASSES } from "../tokens.ts";
import { FACTOR_RULES, FEE_RULES, type FactorRule } from "./rules.ts";

function rowKey(row: PriceRow): string {
  const over = String(row.input_tokens_over).padStart(12, "0");
  return `${row.tier}/${row.regions.join(",")}/${row.valid_from ?? ""}/${over}`;
}

/** Overlay prices win over seeded ones in a row of the same tier, regions, day and prompt size. */
function mergeModel(base: ModelPrices, overlay: ModelPrices): ModelPrices {
  const rows = new Map(base.prices.map((row) => [rowKey(row), row]));
  for (const row of overlay.prices) {
    const seeded = rows.get(rowKey(row));
    rows.set(rowKey(row), {
      ...row,
      usd_per_million: { ...seeded?.usd_per_million, ...row.usd_per_million },
      usd_per_thousand: { ...seeded?.usd_per_thousand, ...row.usd_per_thousand },
      source: seeded === undefined ? row.source : `${row.source}; rest: ${seeded.source}`,
    });
  }
  return {
    model: base.model,
    aliases: [...new Set([...base.aliases, ...overlay.aliases])],
    other_regions: overlay.other_regions,
    prices: [...rows.values()],
  };
}

/** The file with the overlay's models and rows, what rules make of both, and everything in order. */
export function mergeFile(base: PriceFile, overlay: PriceFile | undefined): PriceFile {
  const models = new Map(base.models.map((model) => [model.model, model]));
  for (const model of overlay?.models ?? []) {
    const seeded = models.get(model.model);
    models.set(model.model, seeded === undefined ? model : mergeModel(seeded, model));
  }
  const merged = [...models.values()].map((model) => sortModel(applyRules(base.provider, model)));
  return { ...base, models: merged.sort((a, b) => (a.model < b.model ? -1 : 1)) };
}

function sortModel(model: ModelPrices): ModelPrices {
  return {
    model: model.model,
    aliases: [...model.aliases].sort(),
    other_regions: model.other_regions,
    prices: model.prices
      .map((row) => ({
        valid_from: row.valid_from,
        tier: row.tier,
        regions: [...row.regions].sort(),
        input_tokens_over: row.input_tokens_over,
        usd_per_million: orderFields(TOKEN_CLASSES, row.usd_per_million),
        usd_per_thousand: orderFields(FEE_KINDS, row.usd_per_thousand),
        source: row.source,
        evidence_date: row.evidence_date,
      }))
      .sort((a, b) => (rowKey(a) < rowKey(b) ? -1 : 1)),
  };
}

/** The prices in the order of the names. */
export function orderFields<Name extends string>(
  names: readonly Name[],
  prices: Readonly<Partial<Record<Name, string | undefined>>>,
): Partial<Record<Name, string>> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const text = prices[name];
      return text === undefined ? [] : [[name, text]];
    }),
  ) as Partial<Record<Name, string>>;
}

function applyRules(provider: string, model: ModelPrices): ModelPrices {
  let { other_regions, prices } = model;
  for (const rule of FEE_RULES) {
    const named = rule.models === "all" || rule.models.includes(model.model);
    if (rule.provider !== provider || !named) continue;
    prices = prices.map((row) => ({
      ...row,
      usd_per_thousand: { ...rule.usd_per_thousand, ...row.usd_per_thousand },
      source: `${row.source}; fees: ${rule.source}`,
    }));
  }
  for (const rule of FACTOR_RULES) {
    if (rule.provider !== provider || !rule.models.includes(model.model)) continue;
    const stated = new Set(prices.map((row) => rowKey(row)));
    const made = prices
      .filter((row) => row.regions.length === 0)
      .filter((row) => rule.of_tier === "any" || row.tier === rule.of_tier)
      .map((row) => multiplyRow(row, rule))
      // A price that was read wins over one that a rule makes.
      .filter((row) => !stated.has(rowKey(row)));
    prices = [...prices, ...made];
    other_regions = rule.other_regions ?? other_regions;
  }
  return { ...model, other_regions, prices };
}

function multiplyRow(row: PriceRow, rule: FactorRule): PriceRow {
  return {
    ...row,
    tier: rule.tier ?? row.tier,
    regions: [...rule.regions],
    usd_per_million: Object.fromEntries(
      Object.entries(row.usd_per_million).map(([name, text]) => [
        name,
        multiplyDecimals(text ?? "", rule.factor),
      ]),
    ),
    source: `${rule.source}; of: ${row.source}`,
    evidence_date: rule.evidence_date < row.evidence_date ? rule.evidence_date : row.evidence_date,
  };
}

/** The exact product of two decimals. Throws PermanentError when it is no plain decimal. */
export function multiplyDecimals(a: string, b: string): string {
  const [x, y] = [a, b].map((text) => /^(\d+)(?:\.(\d+))?$/.exec(text));
  if (!x || !y) throw new PermanentError("bad_unit_price", `${a} times ${b}: no decimals`);
  const decimals = (x[2] ?? "").length + (y[2] ?? "").length;
  const digits = (BigInt(`${x[1]}${x[2] ?? ""}`) * BigInt(`${y[1]}${y[2] ?? ""}`))
    .toString()
    .padStart(decimals + 1, "0");
  const fraction = decimals === 0 ? "" : digits.slice(-decimals).replace(/0+$/, "");
  const whole = digits.slice(0, digits.length - decimals);
  return fraction === "" ? whole : `${whole}.${fraction}`;
}
