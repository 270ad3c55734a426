/**
 * Runs the benches and prints tables on stdout; progress goes to stderr.
 *
 *   node bench/run.ts [bench ...] [--small] [--rate N] [--seconds N] [--spans N] [--save FILE]
 *
 * Without names those of the write path run. `--save` writes the whole document, as JSON.
 *
 * Invariant: a bench that fails makes the run fail; there is no document with holes in it.
 */
import { fork } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { describeMachine, type Machine, readLoad } from "./machine.ts";
import type { BenchOptions, BenchResult } from "./measure.ts";
import { writeBench } from "./table.ts";
import type { WorkerArguments } from "./worker.ts";

/** All benches, in the order they run in; the first ones when none is named. */
const DEFAULT_NAMES = ["ingest", "collector", "endtoend"];
const BENCH_NAMES = [
  ...DEFAULT_NAMES,
  "engine",
  "ledger",
  "page",
  "query",
  "rerate",
  "rollups",
  "workers",
];

/** The document that is saved. */
export interface BenchDocument {
  readonly format: 1;
  readonly started_at: string;
  readonly duration_s: number;
  /** With `--small`: the figures mean nothing. */
  readonly small: boolean;
  readonly machine: Machine;
  readonly benches: readonly BenchResult[];
}

type Asked = Pick<BenchOptions, "small" | "rate" | "duration_s" | "spans">;

/** Runs one bench in a process of its own, as the product's launcher would start it. */
async function runBench(bench: string, asked: Asked): Promise<BenchResult> {
  const directory = mkdtempSync(join(tmpdir(), "spanledger-bench-"));
  const worker = fileURLToPath(new URL("./worker.ts", import.meta.url));
  const given: WorkerArguments = { ...asked, bench, directory };
  try {
    return await new Promise((resolve, reject) => {
      let result: BenchResult | null = null;
      const child = fork(worker, [JSON.stringify(given)], {
        stdio: ["ignore", 2, 2, "ipc"],
        execArgv: ["--expose-gc"],
        env: { ...process.env, UV_THREADPOOL_SIZE: "24" },
      });
      child.on("message", (message) => (result = message as BenchResult));
      child.on("error", reject);
      child.on("exit", (code) => {
        if (code === 0 && result !== null) resolve(result);
        else reject(new Error(`the bench ${bench} failed`));
      });
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function readNumber(text: string | undefined, name: string): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${name} must be a number above 0`);
  return value;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: {
      small: { type: "boolean", default: false },
      rate: { type: "string" },
      seconds: { type: "string" },
      spans: { type: "string" },
      save: { type: "string" },
    },
    allowPositionals: true,
  });
  const unknown = positionals.find((name) => !BENCH_NAMES.includes(name));
  if (unknown !== undefined) {
    throw new Error(`there is no bench ${unknown}, only ${BENCH_NAMES.join(", ")}`);
  }
  const rate = readNumber(values.rate, "rate");
  const duration_s = readNumber(values.seconds, "seconds");
  const spans = readNumber(values.spans, "spans");
  const asked: Asked = {
    small: values.small,
    ...(rate === undefined ? {} : { rate }),
    ...(duration_s === undefined ? {} : { duration_s }),
    ...(spans === undefined ? {} : { spans }),
  };
  const started = new Date();
  const load_at_start = readLoad();
  const benches: BenchResult[] = [];
  const names = positionals.length === 0 ? DEFAULT_NAMES : BENCH_NAMES;
  for (const name of names) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    const result = await runBench(name, asked);
    benches.push(result);
    process.stdout.write(writeBench(result));
  }
  const document: BenchDocument = {
    format: 1,
    started_at: started.toISOString(),
    duration_s: Math.round((Date.now() - started.getTime()) / 1000),
    small: values.small,
    machine: describeMachine(load_at_start),
    benches,
  };
  process.stdout.write(`${JSON.stringify(document.machine)}\n`);
  if (values.save !== undefined) {
    writeFileSync(values.save, `${JSON.stringify(document, null, 2)}\n`);
  }
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
