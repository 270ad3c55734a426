/**
 * `spanledger prices rerate`: prices the stored calls again by the price book of now, and says what
 * that changed.
 *
 * Invariant: stdout holds the report alone; progress and what to do next go to stderr.
 */
import { existsSync } from "node:fs";
import type { Engine } from "../clickhouse/engine.ts";
import { migrate } from "../clickhouse/migrate.ts";
import { loadPrices, makeRater } from "../collector/pipeline.ts";
import type { PrintedSums, RatingReport } from "../collector/rating/report.ts";
import { rerate, type RatingFilter, type RatingProgress } from "../collector/rating/rerate.ts";
import { PermanentError, RetryableError } from "../schemas/errors.ts";
import type { Settings } from "../schemas/settings.ts";
import { readSettings } from "./config.ts";
import { openEngine } from "./engine.ts";

/**
 * Throws PermanentError("no_data") where nothing was ever stored: a forgotten setting must not look
 * like a history without mistakes.
 */
function requireData({ SPANLEDGER_CLICKHOUSE_URL, SPANLEDGER_DATA_DIR }: Settings): void {
  if (SPANLEDGER_CLICKHOUSE_URL !== null || existsSync(SPANLEDGER_DATA_DIR)) return;
  throw new PermanentError(
    "no_data",
    `There is no data directory ${SPANLEDGER_DATA_DIR}. Set SPANLEDGER_DATA_DIR to the server's.`,
  );
}

/** The words behind `prices rerate`. */
export interface RerateWords {
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly provider: string | undefined;
  readonly model: string | undefined;
  readonly project: string | undefined;
  readonly dry_run: boolean;
  readonly json: boolean;
}

const DAY = /^\d{4}-\d\d-\d\d$/;

/** A day of the calendar from 1970 on; 2026-02-30 is none. */
function isDay(text: string): boolean {
  if (!DAY.test(text)) return false;
  const time_ms = Date.parse(`${text}T00:00:00Z`);
  return time_ms >= 0 && new Date(time_ms).toISOString().startsWith(text);
}

/** The last day that ClickHouse can bound a question by. */
const LAST_DAY = "2106-02-06";

/** The filter of the words. Throws PermanentError("bad_argument") that says which word is wrong. */
export function readFilter(words: Omit<RerateWords, "dry_run" | "json">): RatingFilter {
  for (const name of ["from", "to"] as const) {
    const day = words[name];
    if (day === undefined || (isDay(day) && day <= LAST_DAY)) continue;
    throw new PermanentError("bad_argument", `--${name} must be a UTC day such as 2026-11-21.`);
  }
  for (const name of ["provider", "model", "project"] as const) {
    if (words[name] === "") throw new PermanentError("bad_argument", `--${name} is empty.`);
  }
  const { from, to, provider, model, project } = words;
  if (from !== undefined && to !== undefined && from > to) {
    throw new PermanentError("bad_argument", `--from ${from} is after --to ${to}.`);
  }
  return {
    from: from ?? null,
    to: to ?? null,
    provider: provider ?? null,
    model: model ?? null,
    project_id: project ?? null,
  };
}

/** Models of the table; --json has all. */
const MAX_TABLE_MODELS = 50;

type Line = readonly string[];

const TITLES: Line = [
  "PROVIDER",
  "MODEL",
  "CALLS",
  "CHANGED",
  "NEWLY PRICED",
  "NO LONGER",
  "COST BEFORE USD",
  "COST AFTER USD",
];

function lineOf(provider: string, model: string, sums: PrintedSums): Line {
  const { calls, calls_changed, newly_priced, no_longer_priced } = sums;
  const counts = [calls, calls_changed, newly_priced, no_longer_priced].map(String);
  return [provider || "-", model || "-", ...counts, sums.cost_usd_before, sums.cost_usd_after];
}

/** The report for people: a table of the models that changed, and a sentence. */
export function formatReport(report: RatingReport): string {
  const { calls, calls_changed, spans_changed, cost_usd_before, cost_usd_after } = report;
  const shown = report.models.slice(0, MAX_TABLE_MODELS);
  const table = [
    TITLES,
    ...shown.map((sums) => lineOf(sums.provider, sums.model, sums)),
    lineOf("all", "", report),
  ];
  const widths = TITLES.map((_title, column) =>
    table.reduce((width, line) => Math.max(width, line[column]?.length ?? 0), 0),
  );
  const lines = calls_changed === 0 ? [] : table.map((line) => alignLine(line, widths));
  const hidden = report.models.length - shown.length;
  if (hidden > 0) lines.push(`and ${hidden} more models: --json has all`);
  const done = report.dry_run ? "Nothing was written: this is what would change." : "Written.";
  lines.push(
    calls_changed === 0
      ? `${calls} calls, USD ${cost_usd_after}: all are priced by this price book.`
      : `${calls_changed} of ${calls} calls change (${spans_changed} rows): ` +
          `USD ${cost_usd_before} -> ${cost_usd_after}. ${done}`,
  );
  return lines.map((line) => `${line}\n`).join("");
}

/** Texts to the left, numbers to the right. */
function alignLine(line: Line, widths: readonly number[]): string {
  return line
    .map((text, column) =>
      column < 2 ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0),
    )
    .join("  ");
}

/** Shortest time between two lines of progress, ms. */
const PROGRESS_INTERVAL_MS = 2_000;

/** Tells how far a run is, on stderr, now and then. */
function makeProgress(): (progress: RatingProgress) => void {
  let told_ms = Date.now();
  return ({ day, rows_done, rows_total }) => {
    if (Date.now() - told_ms < PROGRESS_INTERVAL_MS) return;
    told_ms = Date.now();
    process.stderr.write(`${day}: ${rows_done} of ${rows_total} rows\n`);
  };
}

/** Opens the ledger of this version. With the embedded engine only one process can. */
async function openLedger(): Promise<Engine> {
  const settings = readSettings();
  requireData(settings);
  const engine = await openEngine(settings);
  try {
    await migrate(engine);
    return engine;
  } catch (error) {
    await engine.close();
    if (!(error instanceof RetryableError) || error.code !== "engine_unavailable") throw error;
    throw new PermanentError(
      "directory_in_use",
      "The data directory is in use, and the embedded engine serves one process at a time: stop " +
        `"spanledger serve", run this again, start it. (${error.message})`,
      { cause: error },
    );
  }
}

/** Runs the command; resolves with the exit code. */
export async function runRerate(words: RerateWords): Promise<number> {
  const filter = readFilter(words);
  const rater = makeRater(loadPrices(readSettings().SPANLEDGER_PRICES_FILE));
  const engine = await openLedger();
  try {
    const report = await rerate(engine, rater, {
      filter,
      dry_run: words.dry_run,
      now_ms: Date.now,
      tell: makeProgress(),
    });
    process.stdout.write(
      words.json ? `${JSON.stringify(report, null, 2)}\n` : formatReport(report),
    );
    return 0;
  } finally {
    await engine.close();
  }
}
