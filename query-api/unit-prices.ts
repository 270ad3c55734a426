/**
 * The price book as a table, for those who read SQL: Grafana's panels compute what caches save with the
 * same unit prices as the API.
 *
 * Invariant: after a write every row of the book stands in the table as the book has it; rows that the
 * book has no more stay.
 */
import type { Engine } from "../clickhouse/engine.ts";
import { loadQuery } from "../clickhouse/queries.ts";
import { TOKEN_CLASSES } from "../schemas/tokens.ts";
import { formatUsd } from "../schemas/units.ts";
import type { UnitPrices } from "./prices.ts";

/** Rows of one statement, at most. */
const MAX_ROWS = 5_000;

/** The classes of a row that have a price, and the prices in picodollars. */
function pricesOf({ picodollars_per_token }: UnitPrices): (readonly [string, bigint])[] {
  return TOKEN_CLASSES.flatMap((name, index) => {
    const price = picodollars_per_token[index] ?? null;
    return price === null ? [] : [[name, price] as const];
  });
}

/** A row as `select_unit_prices` writes it. */
function contentOf(row: UnitPrices): string {
  const quote = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const prices = pricesOf(row)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, price]) => `(${quote(name)},${quote(formatUsd(price))})`);
  return `(${quote(row.tier)},${quote(row.region)},${row.input_tokens_over},[${prices.join(",")}])`;
}

/**
 * Writes the rows of the book that the table does not have, or has otherwise. Resolves with their number;
 * rejects as the engine does. Safe to run by several processes at once.
 */
export async function writeUnitPrices(
  engine: Engine,
  rows: readonly UnitPrices[],
  now_ms: number,
): Promise<number> {
  const stored = new Map(
    (
      await engine.query<{ price_id: string; content: string }>(loadQuery("select_unit_prices"))
    ).map(({ price_id, content }) => [price_id, content]),
  );
  const changed = rows.filter((row) => stored.get(row.price_id) !== contentOf(row));
  for (let start = 0; start < changed.length; start += MAX_ROWS) {
    const page = changed.slice(start, start + MAX_ROWS);
    await engine.command(loadQuery("insert_unit_prices"), {
      price_ids: page.map(({ price_id }) => price_id),
      tiers: page.map(({ tier }) => tier),
      regions: page.map(({ region }) => region),
      over: page.map(({ input_tokens_over }) => input_tokens_over),
      classes: page.map((row) => pricesOf(row).map(([name]) => name)),
      picodollars: page.map((row) => pricesOf(row).map(([, price]) => price)),
      ver: now_ms * 1000,
    });
  }
  return changed.length;
}
