/**
 * Empties the logs of collectors that do not run any more: fewer workers than before, or one process
 * where there were several. One log at a time, so that what they hold in memory stays that of one.
 *
 * Invariant: a log is closed when all of it has been released or when the process stops, and never
 * emptied in any other way; what is left is there at the next start.
 */
import { messageOf, PermanentError } from "../schemas/errors.ts";
import type { Log } from "../schemas/log.ts";

/** A log that is being inserted. */
export interface InheritedLog {
  /** Records that ClickHouse does not have yet. */
  pending(): number;
  /** Stops inserting and closes the log. */
  stop(): Promise<void>;
}

export interface InheritedOptions {
  /** Directories of the logs. */
  readonly directories: readonly string[];
  /** Opens a log and begins to insert it. Throws PermanentError("wal_locked") when it is in use. */
  readonly open: (directory: string) => Promise<InheritedLog>;
  readonly log: Log;
}

/** Pause between looks whether a log is empty, ms. */
const LOOK_INTERVAL_MS = 200;
/** Pause before a log that could not be opened is tried again, ms. */
const REOPEN_MS = 5_000;

/** Starts to empty the logs, one after the other; `stop` leaves the rest for the next start. */
export function drainInherited(options: InheritedOptions): { stop(): Promise<void> } {
  const drain = new Drain(options);
  const finished = drain.run();
  return {
    async stop() {
      drain.stop();
      await finished;
    },
  };
}

class Drain {
  readonly #options: InheritedOptions;
  #stopped = false;
  #wake: () => void = () => {};

  constructor(options: InheritedOptions) {
    this.#options = options;
  }

  stop(): void {
    this.#stopped = true;
    this.#wake();
  }

  async run(): Promise<void> {
    for (const directory of this.#options.directories) {
      const inherited = await this.#open(directory);
      if (inherited === null) continue;
      const records = inherited.pending();
      if (records > 0)
        this.#options.log.info(
          { directory, records },
          "inserting the log that another collector left",
        );
      while (!this.#stopped && inherited.pending() > 0) await this.#pause(LOOK_INTERVAL_MS);
      await this.#close(directory, inherited, records);
    }
  }

  async #close(directory: string, inherited: InheritedLog, records: number): Promise<void> {
    const { log } = this.#options;
    const left = inherited.pending();
    try {
      await inherited.stop();
      if (records > 0) log.info({ directory, left }, "closed the log that another collector left");
    } catch (error) {
      log.warn({}, `the log in ${directory} was not closed: ${messageOf(error)}`);
    }
  }

  /** The log; null when it is not ours to empty, or when we stop. */
  async #open(directory: string): Promise<InheritedLog | null> {
    while (!this.#stopped) {
      try {
        return await this.#options.open(directory);
      } catch (error) {
        const message = `the log in ${directory} cannot be opened: ${messageOf(error)}`;
        this.#options.log.warn({}, message);
        // Whoever has it open inserts it; waiting would take it from a worker that is restarted.
        if (error instanceof PermanentError) return null;
        await this.#pause(REOPEN_MS);
      }
    }
    return null;
  }

  async #pause(duration_ms: number): Promise<void> {
    if (this.#stopped) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, duration_ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
