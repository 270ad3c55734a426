/** The log of the programs: JSON lines on stderr, so that stdout holds the ready line alone. */
import { pino } from "pino";
import type { Log } from "../schemas/log.ts";

/** A log to stderr, written before the call returns: the last line of a crash is the needed one. */
export function makeLog(program: string): Log {
  return pino(
    {
      base: { program },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    pino.destination({ fd: 2, sync: true }),
  );
}
