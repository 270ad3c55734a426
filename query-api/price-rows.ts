/**
 * The rows of the price files one by one, for people to read: what `GET /v1/prices` answers from.
 *
 * Invariant: a row has the id that calls name it by, and nobody sees what another project negotiated.
 */
import type { PricedRow } from "../schemas/api-prices.ts";
import { readPriceFiles } from "../schemas/price-files.ts";
import type { ModelPrices, PriceFile, PriceRow } from "../schemas/prices.ts";
import { priceIdOf, type PriceOwner } from "../schemas/prices/check.ts";

/** The price book by rows; the list of this program is read when it is first asked for. */
export class PriceRows {
  readonly #negotiated: readonly PriceFile[];
  readonly #readList: () => readonly PriceFile[];
  #list: readonly PricedRow[] | undefined;
  readonly #projects = new Map<string, readonly PricedRow[]>();
  #general: readonly PricedRow[] | undefined;

  /** `negotiated`: the prices of SPANLEDGER_PRICES_FILE. */
  constructor(
    negotiated: readonly PriceFile[] = [],
    readList: () => readonly PriceFile[] = readPriceFiles,
  ) {
    this.#negotiated = negotiated;
    this.#readList = readList;
  }

  /** The rows of a project by id: its own contracts, those of all, and the list. */
  list(project_id: string): readonly PricedRow[] {
    const own = this.#negotiated.filter((file) => file.project_id === project_id);
    const known = own.length > 0 ? this.#projects.get(project_id) : this.#general;
    if (known !== undefined) return known;
    const shared = this.#negotiated.filter((file) => file.project_id === undefined);
    this.#list ??= this.#readList().flatMap((file) => listFile(file, "list"));
    const contracts = [...own, ...shared].flatMap((file) => listFile(file, "contract"));
    const rows = [...contracts, ...this.#list].toSorted((a, b) =>
      a.price_id < b.price_id ? -1 : 1,
    );
    // Only projects with contracts are kept apart: the files say how many there can be.
    if (own.length > 0) this.#projects.set(project_id, rows);
    else this.#general = rows;
    return rows;
  }
}

/** The newest day that a price was read; null without rows. */
export function newestEvidence(rows: readonly PricedRow[]): string | null {
  return rows.reduce<string | null>(
    (newest, { evidence_date }) =>
      newest === null || evidence_date > newest ? evidence_date : newest,
    null,
  );
}

function listFile(file: PriceFile, source: PricedRow["source"]): PricedRow[] {
  const owner = { negotiated: source === "contract", project_id: file.project_id };
  return file.models.flatMap((model) =>
    listModel(file.provider.toLowerCase(), model, owner).map((row) => ({ ...row, source })),
  );
}

/** A row for each of its regions, as the book has them; "" for none. */
function listModel(
  provider: string,
  { model, aliases, other_regions, prices }: ModelPrices,
  owner: PriceOwner,
): Omit<PricedRow, "source">[] {
  const rows = prices.flatMap((row) =>
    (row.regions.length === 0 ? [""] : row.regions).map((region) => ({ row, region })),
  );
  return rows.map(({ row, region }) => ({
    price_id: priceIdOf(provider, model, row, region, owner),
    provider,
    model: model.toLowerCase(),
    aliases: aliases.map((alias) => alias.toLowerCase()),
    tier: row.tier.toLowerCase(),
    region: region === "" ? null : region.toLowerCase(),
    other_regions,
    input_tokens_over: row.input_tokens_over,
    usd_per_million: row.usd_per_million,
    usd_per_thousand: row.usd_per_thousand,
    valid_from: row.valid_from,
    valid_to: findEnd(row, region, rows),
    evidence: row.source,
    evidence_date: row.evidence_date,
  }));
}

/**
 * The first day of the next period: a period has every prompt size of its own, so that of another size ends
 * this one too (collector/price/choose.ts).
 */
function findEnd(
  { tier, valid_from }: PriceRow,
  region: string,
  rows: readonly { readonly row: PriceRow; readonly region: string }[],
): string | null {
  const later = rows.flatMap(({ row, region: other }) => {
    const is_same = row.tier.toLowerCase() === tier.toLowerCase();
    const is_later = row.valid_from !== null && row.valid_from > (valid_from ?? "");
    return is_same && is_later && other.toLowerCase() === region.toLowerCase()
      ? [row.valid_from]
      : [];
  });
  return later.reduce(
    (first, day) => (first === null || (day !== null && day < first) ? day : first),
    null,
  );
}
