/**
 * Faults from below: strace makes system calls of a process fail, stall, or kill it. Only where
 * strace is there and may trace; elsewhere the tests say why they are skipped.
 *
 * `when=` counts the calls of each thread by itself, so counting is exact only for a process with
 * one thread of libuv's pool (UV_THREADPOOL_SIZE=1).
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";

/** The calls behind what the log does. Plain `write` is left to pipes and wake-ups of threads. */
export const CALLS = {
  write: "pwrite64,pwritev,pwritev2",
  sync: "fsync,fdatasync",
  rename: "rename,renameat,renameat2",
  remove: "unlink,unlinkat",
  truncate: "ftruncate",
} as const;

export type CallKind = keyof typeof CALLS;

/** Longest strace may take to attach, ms. */
const ATTACH_TIMEOUT_MS = 10_000;

/** Why nothing can be traced here, or null. */
export function findTracingObstacle(): string | null {
  const { status, stderr, error } = spawnSync("strace", ["-f", "-o", "/dev/null", "true"]);
  if (error !== undefined) return "strace is not installed";
  return status === 0 ? null : `strace may not trace: ${String(stderr).trim().slice(0, 200)}`;
}

/** Arguments of strace that inject a fault into calls of a kind: "error=EIO", "signal=SIGKILL:when=3". */
export function injection(kind: CallKind, fault: string): string[] {
  return ["-e", `trace=${CALLS[kind]}`, "-e", `inject=${CALLS[kind]}:${fault}`];
}

/** Traces a command from its first call on; the faults are those of `injection`. */
export function spawnTraced(
  faults: readonly string[],
  command: readonly string[],
  environment: Readonly<Record<string, string>>,
): ChildProcess {
  // Not with --seccomp-bpf, which is faster and miscounts `when=` (strace 6.1).
  const options = ["-f", "-qq", "-o", "/dev/null", ...faults];
  return spawn("strace", [...options, ...command], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...environment },
  });
}

/** Attaches to all threads of a running process; the faults last until the returned call. */
export async function attachFaults(
  pid: number,
  faults: readonly string[],
): Promise<() => Promise<void>> {
  const child = spawn("strace", ["-f", "-o", "/dev/null", ...faults, "-p", String(pid)], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const exited = once(child, "exit");
  await new Promise<void>((resolve, reject) => {
    let text = "";
    const timer = setTimeout(() => reject(new Error(`strace: ${text}`)), ATTACH_TIMEOUT_MS);
    child.stderr.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (!text.includes("attached")) return;
      clearTimeout(timer);
      resolve();
    });
    child.once("exit", () => {
      clearTimeout(timer);
      reject(new Error(`strace ended: ${text}`));
    });
  });
  return async () => {
    child.kill("SIGINT");
    await exited;
  };
}
