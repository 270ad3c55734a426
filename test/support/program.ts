/** The real program as a child process: started on free ports, killed as a test wants. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const LAUNCHER = fileURLToPath(new URL("../../bin/spanledger.js", import.meta.url));
/** Longest a program may take to be ready on a busy machine, ms. */
const READY_TIMEOUT_MS = 30_000;

export interface Program {
  readonly process: ChildProcess;
  /** http://host:port of the OTLP receiver and of the API. */
  readonly otlp: string;
  readonly otlp_grpc: string;
  readonly api: string;
  /** Time from start to the ready line, ms. */
  readonly ready_ms: number;
  /** What it wrote to stderr so far. */
  log(): string;
  /** Sends a signal and waits for the end; returns the exit code, or null when killed. */
  end(signal: "SIGTERM" | "SIGKILL"): Promise<number | null>;
}

/** A directory for the data of a program. */
export function makeDataDirectory(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "spanledger-data-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** A program that has been started and may not be ready. */
export interface Launched {
  readonly process: ChildProcess;
  /** Rejects when it ends before it is ready. */
  readonly ready: Promise<Program>;
  /** Resolves with the exit code, or null when it was killed. */
  readonly exited: Promise<number | null>;
  log(): string;
  end(signal: "SIGTERM" | "SIGKILL"): Promise<number | null>;
}

/** Starts `spanledger serve` on free ports and waits for its ready line. */
export function startServe(
  data_dir: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<Program> {
  return launch("serve", data_dir, settings).ready;
}

/** Starts a program on free ports. A collector has its monitor where `serve` has the API. */
export function launch(
  name: "serve" | "collector",
  data_dir: string,
  settings: Readonly<Record<string, string>> = {},
): Launched {
  const started_ms = performance.now();
  const child = spawn(process.execPath, [LAUNCHER, name], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env["PATH"],
      SPANLEDGER_DATA_DIR: data_dir,
      SPANLEDGER_OTLP_HTTP: "127.0.0.1:0",
      SPANLEDGER_OTLP_GRPC: "127.0.0.1:0",
      SPANLEDGER_HTTP: "127.0.0.1:0",
      SPANLEDGER_MONITOR: "127.0.0.1:0",
      SPANLEDGER_RECOMPUTE_INTERVAL_MS: "200",
      SPANLEDGER_INSERT_MAX_AGE_MS: "100",
      ...settings,
    },
  });
  let text = "";
  const log = () => text;
  child.stderr.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  const exited = new Promise<number | null>((resolve) => {
    child.once("exit", (code) => resolve(code));
  });
  const end = (signal: "SIGTERM" | "SIGKILL") => {
    child.kill(signal);
    return exited;
  };
  const ready = readyLine(child, log).then((line) => ({
    process: child,
    otlp: `http://${line.otlp_http}`,
    otlp_grpc: `http://${line.otlp_grpc}`,
    api: `http://${line.http ?? line.monitor}`,
    ready_ms: performance.now() - started_ms,
    log,
    end,
  }));
  return { process: child, ready, exited, log, end };
}

/**
 * Settings with which a program starts in two thirds of the time: Node keeps what it has compiled. It
 * writes that when a process ends by itself, so one is started and ended first.
 */
export async function makeFastStart(): Promise<{
  readonly settings: Readonly<Record<string, string>>;
  remove(): void;
}> {
  const cache = makeDataDirectory();
  const data = makeDataDirectory();
  const settings = { NODE_COMPILE_CACHE: cache.path };
  try {
    const first = await startServe(data.path, settings);
    await first.end("SIGTERM");
  } finally {
    data.remove();
  }
  return { settings, remove: () => cache.remove() };
}

interface ReadyLine {
  readonly otlp_http: string;
  readonly otlp_grpc: string;
  readonly http?: string;
  readonly monitor?: string;
}

function readyLine(child: ChildProcess, log: () => string) {
  return new Promise<ReadyLine>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error(`not ready in time:\n${log()}`));
    }, READY_TIMEOUT_MS);
    let text = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      const line = text.split("\n").find((candidate) => candidate.includes('"ready"'));
      if (line === undefined) return;
      clearTimeout(timer);
      resolve(JSON.parse(line) as ReadyLine);
    });
    child.once("exit", (code) => {
      clearTimeout(timer);
      reject(new Error(`ended with ${code} before it was ready:\n${log()}`));
    });
  });
}

/** Asks until the answer passes, at most that long; returns it and how long it took, ms. */
export async function eventually<Answer>(
  ask: () => Promise<Answer>,
  passes: (answer: Answer) => boolean,
  timeout_ms: number,
): Promise<{ answer: Answer; took_ms: number }> {
  const started_ms = performance.now();
  for (;;) {
    const answer = await ask();
    const took_ms = performance.now() - started_ms;
    if (passes(answer)) return { answer, took_ms };
    if (took_ms > timeout_ms) {
      throw new Error(
        `not after ${Math.round(took_ms)} ms: ${JSON.stringify(answer).slice(0, 2000)}`,
      );
    }
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
  }
}
