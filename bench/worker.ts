/**
 * One bench in a process of its own: an embedded engine binds a process to one directory, and what a
 * bench leaves in memory must not slow the next. Started by `run.ts`, which gets the result as a
 * message.
 */
import { runIngest } from "./ingest.ts";
import { runLedger } from "./ledger.ts";
import { runRerate } from "./rerate.ts";
import type { BenchOptions, BenchResult } from "./measure.ts";

const BENCHES: ReadonlyMap<string, (options: BenchOptions) => Promise<BenchResult>> = new Map([
  ["ingest", runIngest],
  ["ledger", runLedger],
  ["rerate", runRerate],
]);

const [name = "", directory = "", size = ""] = process.argv.slice(2);
const run = BENCHES.get(name);
if (run === undefined || process.send === undefined) throw new Error("start bench/run.ts instead");

const result = await run({
  small: size === "small",
  directory,
  tell: (progress) => process.stderr.write(`${progress}\n`),
});
const peak_memory_mb = Math.round(process.resourceUsage().maxRSS / 1024);
process.send({ ...result, facts: { ...result.facts, peak_memory_mb } });
process.disconnect();
