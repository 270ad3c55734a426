/**
 * Makes sure of the data directory before anything is opened in it, so that a wrong one is one clear
 * line. Level by level: Node's own recursive mkdir never returns where a level cannot exist (/proc).
 */
import { closeSync, existsSync, mkdirSync, openSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { messageOf, PermanentError } from "../schemas/errors.ts";

/** Readable by its owner alone: it may hold what people said to a model. */
const MODE = 0o700;

/** Makes the directory if need be, and a file in it for a moment. */
export function prepareDataDirectory(directory: string): void {
  const path = resolve(directory);
  const missing: string[] = [];
  for (let level = path; !existsSync(level) && dirname(level) !== level; level = dirname(level)) {
    missing.unshift(level);
  }
  try {
    for (const level of missing) mkdirSync(level, { mode: MODE });
    const probe = join(path, `.probe-${process.pid}`);
    closeSync(openSync(probe, "w", 0o600));
    rmSync(probe);
  } catch (error) {
    throw new PermanentError(
      "data_directory",
      `SPANLEDGER_DATA_DIR cannot be used: ${messageOf(error)}. Choose a directory that this ` +
        "program may write to.",
      { cause: error },
    );
  }
}
