/**
 * The record of the runs that priced stored calls again: what each did, which of them were killed, and
 * by which price book the ledger was last priced as a whole.
 *
 * Invariant: before a day is rewritten it stands in the record of its run, so that a run that is killed
 * between rows and marks leaves the name of the day whose rollups may be behind.
 */
import type { Engine } from "../../clickhouse/engine.ts";
import { loadQuery } from "../../clickhouse/queries.ts";
import { messageOf } from "../../schemas/errors.ts";
import type { Log } from "../../schemas/log.ts";

const STATES = { running: 0, finished: 1, stopped: 2 } as const;

/** One run as stored. */
export interface PriceRun {
  readonly run_id: string;
  readonly started_ms: number;
  readonly fingerprint: string;
  /** Filters; "" for all. */
  readonly from_day: string;
  readonly to_day: string;
  readonly provider: string;
  readonly model: string;
  readonly project_id: string;
  /** The day being rewritten, Unix seconds; 0 before the first. */
  readonly open_day_s: number;
  readonly spans_changed: number;
  readonly calls: number;
  readonly calls_changed: number;
  /** Decimals of US dollars. */
  readonly cost_before: string;
  readonly cost_after: string;
  /** Grows with each state. */
  readonly ver: number;
}

/** Runs looked at in one go; more than that many were never killed at once. */
const MAX_OPEN_RUNS = 1_000;

/** Stores the state of a run. */
export async function writeRun(
  engine: Engine,
  run: PriceRun,
  state: keyof typeof STATES,
): Promise<void> {
  await engine.command(loadQuery("insert_price_run"), { ...run, state: STATES[state] });
}

type StoredRun = Record<keyof PriceRun, string | number>;

/** The runs that neither finished nor were made up for. */
export async function readOpenRuns(engine: Engine): Promise<PriceRun[]> {
  const rows = await engine.query<StoredRun>(loadQuery("select_open_price_runs"), {
    limit: MAX_OPEN_RUNS,
  });
  return rows.map((row) => ({
    run_id: String(row.run_id),
    started_ms: Number(row.started_ms),
    fingerprint: String(row.fingerprint),
    from_day: String(row.from_day),
    to_day: String(row.to_day),
    provider: String(row.provider),
    model: String(row.model),
    project_id: String(row.project_id),
    open_day_s: Number(row.open_day_s),
    spans_changed: Number(row.spans_changed),
    calls: Number(row.calls),
    calls_changed: Number(row.calls_changed),
    cost_before: String(row.cost_before),
    cost_after: String(row.cost_after),
    ver: Number(row.ver),
  }));
}

/** A run that has done nothing yet, of all calls. */
export async function makeRun(
  engine: Engine,
  fingerprint: string,
  now_ms: number,
): Promise<PriceRun> {
  const [row] = await engine.query<{ id: string }>("SELECT toString(generateUUIDv4()) AS id");
  return {
    run_id: row?.id ?? "",
    started_ms: now_ms,
    fingerprint,
    from_day: "",
    to_day: "",
    provider: "",
    model: "",
    project_id: "",
    open_day_s: 0,
    spans_changed: 0,
    calls: 0,
    calls_changed: 0,
    cost_before: "0",
    cost_after: "0",
    ver: now_ms,
  };
}

/**
 * Compares a price book with the one by which the whole ledger was last priced. With none known this
 * one is remembered: calls are priced by it from now on.
 */
export async function compareBook(
  engine: Engine,
  fingerprint: string,
  now_ms: number,
): Promise<"first" | "same" | "changed"> {
  const [last] = await engine.query<{ fingerprint: string }>(loadQuery("select_last_fingerprint"));
  if (last !== undefined) return last.fingerprint === fingerprint ? "same" : "changed";
  await writeRun(engine, await makeRun(engine, fingerprint, now_ms), "finished");
  return "first";
}

/**
 * Tells in the log when stored calls have the prices of another book than new ones. Never fails: prices
 * of now do not depend on it.
 */
export async function tellPriceChange(
  engine: Engine,
  log: Log,
  fingerprint: string,
  now_ms: number,
): Promise<void> {
  try {
    if ((await compareBook(engine, fingerprint, now_ms)) !== "changed") return;
    log.info(
      { fingerprint },
      "the price book has changed since the stored calls were priced: `spanledger prices rerate` " +
        "prices them again, with --dry-run it tells what would change",
    );
  } catch (error) {
    log.warn({}, `the price book was not compared with the last one: ${messageOf(error)}`);
  }
}
