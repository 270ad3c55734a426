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

/** Starts `spanledger serve` on free ports and waits for its ready line. */
export async function startServe(
  data_dir: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<Program> {
  const started_ms = performance.now();
  const child = spawn(process.execPath, [LAUNCHER, "serve"], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env["PATH"],
      SPANLEDGER_DATA_DIR: data_dir,
      SPANLEDGER_OTLP_HTTP: "127.0.0.1:0",
      SPANLEDGER_HTTP: "127.0.0.1:0",
      SPANLEDGER_RECOMPUTE_INTERVAL_MS: "200",
      SPANLEDGER_INSERT_MAX_AGE_MS: "100",
      ...settings,
    },
  });
  let log = "";
  child.stderr.on("data", (chunk: Buffer) => {
    log += chunk.toString();
  });
  const exited = new Promise<number | null>((resolve) => {
    child.once("exit", (code) => resolve(code));
  });
  const ready = await readyLine(child, () => log);
  return {
    process: child,
    otlp: `http://${ready.otlp_http}`,
    api: `http://${ready.http}`,
    ready_ms: performance.now() - started_ms,
    log: () => log,
    async end(signal) {
      child.kill(signal);
      return exited;
    },
  };
}

function readyLine(child: ChildProcess, log: () => string) {
  return new Promise<{ otlp_http: string; http: string }>((resolve, reject) => {
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
      resolve(JSON.parse(line) as { otlp_http: string; http: string });
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
