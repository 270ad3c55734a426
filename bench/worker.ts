/**
 * One bench in a process of its own: an embedded engine binds a process to one directory, and what a
 * bench leaves in memory must not slow the next. Started by `run.ts`, which gets the result as a
 * message.
 */
import { runCollector } from "./collector.ts";
import { runEndToEnd } from "./endtoend.ts";
import { runEngine } from "./engine.ts";
import { runIngest } from "./ingest.ts";
import { runLedger } from "./ledger.ts";
import type { BenchOptions, BenchResult } from "./measure.ts";
import { runPage } from "./page.ts";
import { runQuery } from "./query.ts";
import { runRerate } from "./rerate.ts";
import { runRollups } from "./rollups.ts";
import { runWorkers } from "./workers.ts";

/** What `run.ts` gives as the last argument, as JSON. */
export interface WorkerArguments extends Omit<BenchOptions, "tell"> {
  readonly bench: string;
}

const BENCHES: ReadonlyMap<string, (options: BenchOptions) => Promise<BenchResult>> = new Map([
  ["ingest", runIngest],
  ["collector", runCollector],
  ["endtoend", runEndToEnd],
  ["engine", runEngine],
  ["ledger", runLedger],
  ["page", runPage],
  ["query", runQuery],
  ["rerate", runRerate],
  ["rollups", runRollups],
  ["workers", runWorkers],
]);

const given = JSON.parse(process.argv.at(-1) ?? "") as WorkerArguments;
const run = BENCHES.get(given.bench);
if (run === undefined || process.send === undefined) throw new Error("start bench/run.ts instead");

const result = await run({
  ...given,
  tell: (progress) => process.stderr.write(`${progress}\n`),
});
const peak_memory_mb = Math.round(process.resourceUsage().maxRSS / 1024);
process.send({ ...result, facts: { ...result.facts, peak_memory_mb } });
process.disconnect();
