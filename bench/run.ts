/**
 * Runs the benches and prints one JSON document on stdout; progress goes to stderr.
 *
 *   node bench/run.ts [ingest] [ledger] [rerate] [--small]
 *
 * Invariant: a bench that fails makes the run fail; there is no document with holes in it.
 */
import { fork } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { describeMachine, type Machine, readLoad } from "./machine.ts";
import type { BenchResult } from "./measure.ts";

/** All benches, in the order they run in. */
const BENCH_NAMES = ["ingest", "ledger", "rerate"];

/** The document that is printed. */
export interface BenchDocument {
  readonly format: 1;
  readonly started_at: string;
  readonly duration_s: number;
  /** With `--small`: the figures mean nothing. */
  readonly small: boolean;
  readonly machine: Machine;
  readonly benches: readonly BenchResult[];
}

/** Runs one bench in a process of its own, as the product's launcher would start it. */
async function runBench(name: string, small: boolean): Promise<BenchResult> {
  const directory = mkdtempSync(join(tmpdir(), "spanledger-bench-"));
  const worker = fileURLToPath(new URL("./worker.ts", import.meta.url));
  try {
    return await new Promise((resolve, reject) => {
      let result: BenchResult | null = null;
      const child = fork(worker, [name, directory, small ? "small" : "full"], {
        stdio: ["ignore", 2, 2, "ipc"],
        execArgv: ["--expose-gc"],
        env: { ...process.env, UV_THREADPOOL_SIZE: "24" },
      });
      child.on("message", (message) => (result = message as BenchResult));
      child.on("error", reject);
      child.on("exit", (code) => {
        if (code === 0 && result !== null) resolve(result);
        else reject(new Error(`the bench ${name} failed`));
      });
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { small: { type: "boolean", default: false } },
    allowPositionals: true,
  });
  const unknown = positionals.find((name) => !BENCH_NAMES.includes(name));
  if (unknown !== undefined) {
    throw new Error(`there is no bench ${unknown}, only ${BENCH_NAMES.join(", ")}`);
  }
  const started = new Date();
  const load_at_start = readLoad();
  const benches: BenchResult[] = [];
  for (const name of BENCH_NAMES) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    benches.push(await runBench(name, values.small));
  }
  const document: BenchDocument = {
    format: 1,
    started_at: started.toISOString(),
    duration_s: Math.round((Date.now() - started.getTime()) / 1000),
    small: values.small,
    machine: describeMachine(load_at_start),
    benches,
  };
  process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
