/**
 * What price files must hold beyond their shape: no id and no row twice. Pure, and asked by whoever
 * compiles or checks files. Invariant: files without a problem compile into one answer for each call.
 */
import type { ModelPrices, PriceFile, PriceRow } from "../prices.ts";

export interface PriceProblem {
  readonly code: "duplicate_price_id" | "duplicate_price_row";
  /** What is wrong and what to do, for people. */
  readonly message: string;
}

/** Whose price a row is: everyone's list price, or what was negotiated, for all or for one project. */
export interface PriceOwner {
  readonly negotiated: boolean;
  readonly project_id?: string | undefined;
}

/**
 * The name of a row for one of its regions: `<provider>/<model>/<tier>/<valid_from or "initial">`, then
 * `/in-<region>` where the row is for a region and `/over-<tokens>` above a prompt size. A negotiated
 * price ends in `/negotiated`, or in `/negotiated/<project_id>` when it is one project's.
 */
export function priceIdOf(
  provider: string,
  model: string,
  row: PriceRow,
  region: string,
  owner: PriceOwner = { negotiated: false },
): string {
  const words = [provider, model, row.tier, row.valid_from ?? "initial"];
  if (region !== "") words.push(`in-${region}`);
  if (row.input_tokens_over > 0) words.push(`over-${String(row.input_tokens_over)}`);
  if (owner.negotiated) words.push("negotiated");
  const id = words.join("/").toLowerCase();
  return owner.project_id === undefined ? id : `${id}/${owner.project_id}`;
}

/** Every id and every row that stands twice in the files, for the same project. */
export function findPriceProblems(files: readonly PriceFile[]): PriceProblem[] {
  const seen = new Set<string>();
  const problems: PriceProblem[] = [];
  for (const file of files) {
    const owner = file.project_id === undefined ? "" : ` of project ${file.project_id}`;
    const provider = file.provider.toLowerCase();
    for (const model of file.models) {
      for (const text of [model.model, ...model.aliases]) {
        const key = `${provider} ${text.toLowerCase()}${owner}`;
        if (seen.has(key)) {
          const message = `${provider} has ${text.toLowerCase()} twice${owner}: remove one`;
          problems.push({ code: "duplicate_price_id", message });
        }
        seen.add(key);
      }
      problems.push(...findDoubleRows(provider, model));
    }
  }
  return problems;
}

function findDoubleRows(provider: string, model: ModelPrices): PriceProblem[] {
  const seen = new Set<string>();
  const problems: PriceProblem[] = [];
  for (const row of model.prices) {
    for (const region of row.regions.length === 0 ? [""] : row.regions) {
      const id = priceIdOf(provider, model.model, row, region);
      if (seen.has(id)) {
        problems.push({
          code: "duplicate_price_row",
          message: `${id} stands twice: remove one`,
        });
      }
      seen.add(id);
    }
  }
  return problems;
}
