/**
 * `spanledger prices <list|check|import|rerate>`: what the price book holds, whether it is sound and
 * fresh, how it is brought up to date, and stored calls with it. Invariant: all but import read the same
 * files that pricing reads, the negotiated ones of SPANLEDGER_PRICES_FILE included.
 */
import { parseArgs } from "node:util";
import { messageOf, PermanentError } from "../schemas/errors.ts";
import { PRICED_PROVIDERS, readNegotiatedPrices, readPriceFiles } from "../schemas/price-files.ts";
import type { PriceFile, PriceRow } from "../schemas/prices.ts";
import { findPriceProblems, priceIdOf } from "../schemas/prices/check.ts";
import { readSettings } from "./config.ts";

const USAGE = `usage: spanledger prices list [--provider P] [--model M] [--json]
       spanledger prices check [--max-age-days N]
       spanledger prices import [--dry-run]
       spanledger prices rerate [--from DAY] [--to DAY] [--provider P] [--model M] [--project ID]
                                [--dry-run] [--json]

list    Print the rows of the price book, negotiated ones first: id, tier, region, first day,
        prices, age of the evidence in days, source. US dollars per million tokens and per
        thousand pieces.
          --provider P      rows of this provider only
          --model M         rows of the model with this exact id or alias only
          --json            one JSON array
check   Validate every price file, SPANLEDGER_PRICES_FILE included. Exit code 1 when one cannot be
        used. Tells rows whose evidence is old, and models of the seed that have no price.
          --max-age-days N  what counts as old (90)
import  Make the list prices again from @pydantic/genai-prices, overlay and rules, and print what
        changed: + added, - removed, ~ old -> new. For a checkout, where a person reviews it.
          --dry-run         print only, write nothing
rerate  Price the stored calls again by the price book of now, and print what changed by model. Can be
        stopped and run again; a second run changes nothing. With the embedded engine stop the server
        first.
          --from, --to DAY  first and last UTC day (2026-11-21), both included
          --provider P      calls of this provider only
          --model M         calls with exactly this request or response model only
          --project ID      calls of this project only
          --dry-run         print only, write nothing
          --json            the report as JSON, costs as exact decimals
`;

const OPTIONS = {
  help: { type: "boolean", default: false },
  provider: { type: "string" },
  model: { type: "string" },
  json: { type: "boolean", default: false },
  "max-age-days": { type: "string", default: "90" },
  "dry-run": { type: "boolean", default: false },
  from: { type: "string" },
  to: { type: "string" },
  project: { type: "string" },
} as const;

/** The options of each subcommand beside --help. */
const ALLOWED: ReadonlyMap<string, readonly string[]> = new Map([
  ["list", ["provider", "model", "json"]],
  ["check", ["max-age-days"]],
  ["import", ["dry-run"]],
  ["rerate", ["from", "to", "provider", "model", "project", "dry-run", "json"]],
]);

const MS_PER_DAY = 86_400_000;

/** A row of the price book for people, one for each region that it is for. */
export interface ListedPrice {
  readonly price_id: string;
  readonly provider: string;
  readonly model: string;
  readonly aliases: readonly string[];
  /** Whether the price was negotiated, and for which project; null for all. */
  readonly negotiated: boolean;
  readonly project_id: string | null;
  readonly tier: string;
  /** "" for every region without a row of its own. */
  readonly region: string;
  readonly valid_from: string | null;
  readonly input_tokens_over: number;
  readonly usd_per_million: PriceRow["usd_per_million"];
  readonly usd_per_thousand: PriceRow["usd_per_thousand"];
  readonly evidence_date: string;
  /** Days from the evidence to now. */
  readonly age_days: number;
  readonly source: string;
}

/** The rows of price files in their order. */
export function listPrices(
  files: readonly PriceFile[],
  options: { readonly negotiated: boolean; readonly now_ms: number },
): ListedPrice[] {
  return files.flatMap((file) =>
    file.models.flatMap((model) =>
      model.prices.flatMap((row) =>
        (row.regions.length === 0 ? [""] : row.regions).map((region) => ({
          price_id: priceIdOf(file.provider, model.model, row, region, {
            negotiated: options.negotiated,
            project_id: file.project_id,
          }),
          provider: file.provider,
          model: model.model,
          aliases: model.aliases,
          negotiated: options.negotiated,
          project_id: file.project_id ?? null,
          tier: row.tier,
          region,
          valid_from: row.valid_from,
          input_tokens_over: row.input_tokens_over,
          usd_per_million: row.usd_per_million,
          usd_per_thousand: row.usd_per_thousand,
          evidence_date: row.evidence_date,
          age_days: Math.floor((options.now_ms - Date.parse(row.evidence_date)) / MS_PER_DAY),
          source: row.source,
        })),
      ),
    ),
  );
}

/** Whether a row is of the provider and of the model with exactly that id or alias. */
export function isAskedFor(
  price: ListedPrice,
  provider: string | undefined,
  model: string | undefined,
): boolean {
  const ids = [price.model, ...price.aliases].map((id) => id.toLowerCase());
  return (
    (provider === undefined || price.provider === provider.toLowerCase()) &&
    (model === undefined || ids.includes(model.toLowerCase()))
  );
}

const COLUMNS: readonly (readonly [string, (price: ListedPrice) => string])[] = [
  ["PRICE", (price) => price.price_id],
  ["TIER", (price) => price.tier],
  ["REGION", (price) => price.region || "-"],
  ["FROM", (price) => price.valid_from ?? "-"],
  ["PRICES USD", (price) => pricesText(price)],
  ["AGE", (price) => String(price.age_days)],
  ["SOURCE", (price) => price.source],
];

function pricesText({ usd_per_million, usd_per_thousand }: ListedPrice): string {
  const tokens = Object.entries(usd_per_million).map(([name, usd]) => `${name} ${usd}`);
  const fees = Object.entries(usd_per_thousand).map(([name, usd]) => `${name} ${usd}/1000`);
  return [...tokens, ...fees].join(", ");
}

/** Rows as a table of lines. */
export function formatPrices(prices: readonly ListedPrice[]): string {
  const table = [
    COLUMNS.map(([title]) => title),
    ...prices.map((price) => COLUMNS.map(([, read]) => read(price))),
  ];
  const widths = COLUMNS.map((_column, index) =>
    table.reduce((width, row) => Math.max(width, row[index]?.length ?? 0), 0),
  );
  const lines = table.map((row) =>
    row
      .map((text, index) => text.padEnd(widths[index] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  return lines.map((line) => `${line}\n`).join("");
}

/** Names of rows given of one group of old ones at most. */
const MAX_NAMED_ROWS = 3;

/** Rows older than the limit, one line for each provider and date of the evidence. */
export function tellOldPrices(prices: readonly ListedPrice[], max_age_days: number): string[] {
  const groups = new Map<string, ListedPrice[]>();
  for (const price of prices) {
    if (price.age_days <= max_age_days) continue;
    const key = `${price.evidence_date} ${price.provider}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [price]);
    else group.push(price);
  }
  const ascending = [...groups].sort(([a], [b]) => (a < b ? -1 : 1));
  return ascending.map(([, group]) => {
    const [first] = group;
    const names = group.slice(0, MAX_NAMED_ROWS).map((price) => price.price_id);
    const more = group.length > names.length ? `, and ${group.length - names.length} more` : "";
    return `old: ${group.length} rows of ${first?.provider} read ${first?.evidence_date}, ${first?.age_days} days ago: ${names.join(", ")}${more}`;
  });
}

/** The importer, or null in an installed package, which has neither the seed nor a place to write. */
async function loadImporter() {
  try {
    return await import("../schemas/prices/import.ts");
  } catch (error) {
    const missing =
      error instanceof Error && "code" in error && error.code === "ERR_MODULE_NOT_FOUND";
    if (missing) return null;
    throw error;
  }
}

async function runCheck(prices_file: string | null, max_age_days: number, now_ms: number) {
  const list = readPriceFiles();
  const problems = findPriceProblems(list).map(({ message }) => message);
  let negotiated: PriceFile[] = [];
  try {
    if (prices_file !== null) negotiated = readNegotiatedPrices(prices_file);
  } catch (error) {
    if (!(error instanceof PermanentError)) throw error;
    problems.push(messageOf(error));
  }
  const prices = [
    ...listPrices(negotiated, { negotiated: true, now_ms }),
    ...listPrices(list, { negotiated: false, now_ms }),
  ];
  const lines = problems.map((problem) => `error: ${problem}`);
  lines.push(...tellOldPrices(prices, max_age_days));
  const importer = await loadImporter();
  if (importer === null) {
    lines.push("models without a price were not looked for: that needs a checkout");
  } else {
    lines.push(...importer.listUnpricedModels(list).map((model) => `no price: ${model}`));
  }
  lines.push(
    `${prices.length} rows of ${PRICED_PROVIDERS.length} providers, ${negotiated.length} negotiated files, ${problems.length} errors`,
  );
  process.stdout.write(lines.map((line) => `${line}\n`).join(""));
  return problems.length > 0 ? 1 : 0;
}

function runList(
  prices_file: string | null,
  asked: { provider: string | undefined; model: string | undefined; json: boolean },
  now_ms: number,
): number {
  const negotiated = prices_file === null ? [] : readNegotiatedPrices(prices_file);
  const prices = [
    ...listPrices(negotiated, { negotiated: true, now_ms }),
    ...listPrices(readPriceFiles(), { negotiated: false, now_ms }),
  ].filter((price) => isAskedFor(price, asked.provider, asked.model));
  process.stdout.write(asked.json ? `${JSON.stringify(prices, null, 2)}\n` : formatPrices(prices));
  if (prices.length === 0) process.stderr.write("No row of the price book is of these.\n");
  return 0;
}

async function runImport(dry_run: boolean): Promise<number> {
  const importer = await loadImporter();
  if (importer === null) {
    throw new PermanentError(
      "no_seed",
      "The importer runs in a checkout of the source after `npm ci`: an installed package lacks " +
        "@pydantic/genai-prices. Put prices of your own in SPANLEDGER_PRICES_FILE (docs/prices.md).",
    );
  }
  const lines = importer.importPrices({ dry_run });
  const done = dry_run
    ? "Nothing was written."
    : "Written to schemas/prices/: review the difference.";
  process.stdout.write([...lines, `${lines.length} changes. ${done}`, ""].join("\n"));
  return 0;
}

/** Runs the command; resolves with the exit code. */
export async function runPrices(argv: readonly string[]): Promise<number> {
  const [name = "", ...rest] = argv;
  const allowed = ALLOWED.get(name);
  const words = parseOptions(rest);
  if (name === "--help" || (allowed !== undefined && words?.values.help === true)) {
    process.stdout.write(USAGE);
    return 0;
  }
  const given = words?.tokens.map((token) => (token.kind === "option" ? token.name : "")) ?? [];
  const max_age_days = Number(words?.values["max-age-days"]);
  const is_wrong = given.some((option) => allowed?.includes(option) !== true);
  if (
    allowed === undefined ||
    words === null ||
    is_wrong ||
    !/^\d{1,5}$/.test(String(max_age_days))
  ) {
    process.stderr.write(USAGE);
    return 2;
  }
  const { provider, model, json } = words.values;
  if (name === "import") return runImport(words.values["dry-run"]);
  if (name === "rerate") {
    const { from, to, project, "dry-run": dry_run } = words.values;
    // Loaded when run: the other subcommands need no engine.
    const { runRerate } = await import("./rerate.ts");
    return runRerate({ from, to, provider, model, project, dry_run, json });
  }
  const prices_file = readSettings().SPANLEDGER_PRICES_FILE;
  if (name === "check") return runCheck(prices_file, max_age_days, Date.now());
  return runList(prices_file, { provider, model, json }, Date.now());
}

function parseOptions(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, tokens: true });
  } catch {
    return null;
  }
}
