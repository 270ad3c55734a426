/**
 * Processes of a bench: the real program, the load generator, and what the kernel knows of them.
 *
 * Invariant: what was started here is ended by its owner's `stop`, by its id.
 */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { LoadMessage, LoadPlan, LoadReport, LoadRun } from "./load-job.ts";

const LAUNCHER = fileURLToPath(new URL("../bin/spanledger.js", import.meta.url));
const LOAD = fileURLToPath(new URL("./load.ts", import.meta.url));
/** What the kernel counts CPU time in, us (USER_HZ is 100 on Linux). */
const TICK_US = 10_000;
const KIB = 1_024;
const METRIC = /^spanledger_(\w+)(\{.*\})? (\S+)$/gm;

/** Metrics of a program without their prefix: by name with labels, and summed by name without. */
export type Metrics = ReadonlyMap<string, number>;

/** A program that is ready. */
export interface Program {
  readonly pid: number;
  /** host:port of the parts that listen, by the names of the ready line. */
  readonly addresses: Readonly<Record<string, string>>;
  readMetrics(): Promise<Metrics>;
  stop(): Promise<void>;
}

/** Starts `spanledger <command>` on free ports; rejects when it ends before it is ready. */
export async function startProgram(
  command: "serve" | "collector",
  directory: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<Program> {
  const child = spawn(process.execPath, [LAUNCHER, command], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env["PATH"],
      SPANLEDGER_DATA_DIR: directory,
      SPANLEDGER_OTLP_HTTP: "127.0.0.1:0",
      SPANLEDGER_OTLP_GRPC: "127.0.0.1:0",
      SPANLEDGER_HTTP: "127.0.0.1:0",
      SPANLEDGER_MONITOR: "127.0.0.1:0",
      ...settings,
    },
  });
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const addresses = await readyLine(child, exited);
  const monitor = addresses["monitor"] ?? addresses["http"] ?? "";
  return {
    pid: child.pid as number,
    addresses,
    readMetrics: () => readMetrics(monitor),
    async stop() {
      child.kill("SIGTERM");
      await exited;
    },
  };
}

async function readyLine(
  child: ChildProcess,
  exited: Promise<void>,
): Promise<Readonly<Record<string, string>>> {
  let log = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    if (log.length < 4_096) log += chunk.toString();
  });
  let text = "";
  const line = new Promise<string>((resolve) => {
    child.stdout?.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes("\n")) resolve(text);
    });
  });
  const failed = exited.then(() => {
    throw new Error(`the program ended before it was ready:\n${log}`);
  });
  failed.catch(() => {});
  return JSON.parse(await Promise.race([line, failed])) as Readonly<Record<string, string>>;
}

async function readMetrics(address: string): Promise<Metrics> {
  const text = await (await fetch(`http://${address}/metrics`)).text();
  const sums = new Map<string, number>();
  for (const [, name = "", labels = "", value] of text.matchAll(METRIC)) {
    sums.set(name, (sums.get(name) ?? 0) + Number(value));
    if (labels !== "") sums.set(name + labels, Number(value));
  }
  return sums;
}

/** The load generator in a process of its own. */
export interface Load {
  prepare(plan: LoadPlan): Promise<void>;
  run(run: LoadRun): Promise<LoadReport>;
  stop(): Promise<void>;
}

export function startLoad(): Load {
  const child = fork(LOAD, [], { stdio: ["ignore", 2, 2, "ipc"] });
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const ask = (message: LoadMessage): Promise<unknown> =>
    new Promise((resolve, reject) => {
      child.once("message", resolve);
      child.send(message);
      void exited.then(() => reject(new Error("the load generator ended")));
    });
  return {
    async prepare(plan) {
      await ask({ kind: "prepare", plan });
    },
    run: async (run) => (await ask({ kind: "run", run })) as LoadReport,
    async stop() {
      child.disconnect();
      child.kill("SIGTERM");
      await exited;
    },
  };
}

/** Fields of a stat file after the name, which stands in brackets and may have blanks. */
function readStat(path: string): { name: string; cpu_us: number } {
  const text = readFileSync(path, "utf8");
  const name = text.slice(text.indexOf("(") + 1, text.lastIndexOf(")"));
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { name, cpu_us: (Number(fields[11]) + Number(fields[12])) * TICK_US };
}

/** CPU of all threads of a process so far, us; 0 where the kernel does not tell. */
export function readCpu(pid: number): number {
  return process.platform === "linux" ? readStat(`/proc/${pid}/stat`).cpu_us : 0;
}

/** CPU of its main thread so far, us; 0 where the kernel does not tell. */
export function readMainCpu(pid: number): number {
  return process.platform === "linux" ? readStat(`/proc/${pid}/task/${pid}/stat`).cpu_us : 0;
}

/** Memory of a process now, and the most it had, bytes; 0 where the kernel does not tell. */
export function readMemory(pid: number): { rss_bytes: number; peak_rss_bytes: number } {
  if (process.platform !== "linux") return { rss_bytes: 0, peak_rss_bytes: 0 };
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  const read = (name: string): number =>
    Number(new RegExp(`${name}:\\s+(\\d+)`).exec(text)?.[1]) * KIB;
  return { rss_bytes: read("VmRSS"), peak_rss_bytes: read("VmHWM") };
}

/** How often threads are looked at, ms: what a thread did that ended in between is told apart. */
const WATCH_MS = 250;
/** Threads of Node by their names; all others are the engine's. */
const NODE_THREADS: readonly (readonly [RegExp, string])[] = [
  [/^libuv-worker$/, "libuv workers"],
  [/^(V8Worker|DelayedTaskSche|SignalInspector|node|node-\d+)$/, "v8 and others of Node"],
];

/** CPU by kind of thread since `startThreadWatch`, us. */
export interface ThreadWatch {
  stop(): ReadonlyMap<string, number>;
}

/** Watches what the threads of a process do; the main thread is told apart. */
export function startThreadWatch(pid: number): ThreadWatch {
  const last = new Map<string, number>();
  const sums = new Map<string, number>();
  const start_us = readCpu(pid);
  const look = (is_first: boolean): void => {
    if (process.platform !== "linux") return;
    for (const tid of readdirSync(`/proc/${pid}/task`)) {
      try {
        const { name, cpu_us } = readStat(`/proc/${pid}/task/${tid}/stat`);
        const kind = tid === String(pid) ? "main thread" : kindOf(name);
        const before = last.get(tid) ?? (is_first ? cpu_us : 0);
        last.set(tid, cpu_us);
        if (cpu_us > before) sums.set(kind, (sums.get(kind) ?? 0) + cpu_us - before);
      } catch {
        // It has ended since the list was read.
      }
    }
  };
  look(true);
  const timer = setInterval(() => look(false), WATCH_MS);
  return {
    stop() {
      clearInterval(timer);
      look(false);
      const seen = [...sums.values()].reduce((sum, us) => sum + us, 0);
      sums.set("threads that ended", Math.max(0, readCpu(pid) - start_us - seen));
      return sums;
    },
  };
}

function kindOf(name: string): string {
  return NODE_THREADS.find(([pattern]) => pattern.test(name))?.[1] ?? `engine: ${name}`;
}
