/**
 * What a bench ran on, for the document of its figures. Says nothing that names the machine.
 */
import { cpus, loadavg, totalmem } from "node:os";

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memory_gb: number;
  readonly platform: string;
  readonly node: string;
  /** Mean number of runnable processes over one minute, when the bench began and ended. */
  readonly load_at_start: number;
  readonly load_at_end: number;
}

/** The one-minute load now. */
export function readLoad(): number {
  return Math.round((loadavg()[0] ?? 0) * 100) / 100;
}

/** The machine, with the load as it was at the start and is now. */
export function describeMachine(load_at_start: number): Machine {
  const list = cpus();
  return {
    cpu: list[0]?.model.trim() ?? "unknown",
    cores: list.length,
    memory_gb: Math.round(totalmem() / 1e9),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
    load_at_start,
    load_at_end: readLoad(),
  };
}
