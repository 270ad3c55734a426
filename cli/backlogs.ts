/**
 * Where collectors keep their logs below the data directory, and which of them nobody runs for any
 * more: what they hold was acknowledged and has to reach ClickHouse whatever the number of processes.
 *
 * Invariant: every directory that a collector of this data directory may have written is either its
 * own at this start or listed as left behind.
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** Data directory of one of several workers; they are counted from 1. */
export function workerDirectory(data_directory: string, worker: number): string {
  return join(data_directory, "workers", String(worker));
}

/**
 * Directories of logs that a start with so many workers does not continue, in a fixed order; with 0
 * workers, which is one process, those of all workers.
 */
export function listInheritedLogs(data_directory: string, workers: number): string[] {
  const single = join(data_directory, "wal");
  const folder = join(data_directory, "workers");
  const numbers = existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => /^[1-9]\d{0,5}$/.test(name))
        .map(Number)
        .filter((worker) => worker > workers)
        .toSorted((left, right) => left - right)
    : [];
  return [
    ...(workers > 0 ? [single] : []),
    ...numbers.map((worker) => join(workerDirectory(data_directory, worker), "wal")),
  ].filter((directory) => existsSync(directory));
}
