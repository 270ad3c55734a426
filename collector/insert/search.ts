/**
 * Finds the records at fault when a batch is refused, by halving it: of a thousand records one is
 * found in twenty INSERTs, and all others are in.
 *
 * Invariant: a record is accused only when it failed alone; for an error that does not say whose fault
 * it is, only when others went through beside it.
 */
import { PermanentError } from "../../schemas/errors.ts";
import { classifyFailure, isUnexplained } from "./failures.ts";
import type { PendingRecord } from "./waiting.ts";

/** A record at fault, and the error that it alone causes. */
export type Accusation = readonly [record: PendingRecord, error: Error];

type Write = (records: readonly PendingRecord[]) => Promise<void>;

/** One search: halves are written by `write` until what fails is alone. */
export class Search {
  readonly accused: Accusation[] = [];
  readonly #write: Write;
  #accepted = 0;
  #refused = 0;

  constructor(write: Write) {
    this.#write = write;
  }

  accuse(record: PendingRecord, error: Error): void {
    this.accused.push([record, error]);
  }

  /** Searches records that the engine refused for their data. Throws what is no such error. */
  async findRefused(records: readonly PendingRecord[], error: Error): Promise<void> {
    await this.#split(records, error, (other) => other instanceof PermanentError, Infinity);
  }

  /**
   * Searches records that failed again and again for no reason that is known. Throws the error when
   * nothing goes through: then it is the engine, which is not asked for every record.
   */
  async findSuspects(records: readonly PendingRecord[], error: Error): Promise<void> {
    const max_refused = 2 * Math.ceil(Math.log2(records.length)) + 2;
    await this.#split(records, error, isSuspicious, max_refused);
    if (this.#accepted === 0) throw error;
  }

  async #split(
    records: readonly PendingRecord[],
    error: Error,
    isBlamed: (error: unknown) => boolean,
    max_refused: number,
  ): Promise<void> {
    const [only, other] = records;
    if (only !== undefined && other === undefined) {
      this.accuse(only, error);
      return;
    }
    const middle = records.length >> 1;
    for (const half of [records.slice(0, middle), records.slice(middle)]) {
      try {
        await this.#write(half);
        this.#accepted += 1;
      } catch (cause) {
        this.#refused += 1;
        const is_hopeless = this.#accepted === 0 && this.#refused > max_refused;
        if (!isBlamed(cause) || is_hopeless) throw cause;
        await this.#split(half, cause as Error, isBlamed, max_refused);
      }
    }
  }
}

function isSuspicious(error: unknown): boolean {
  const failure = classifyFailure(error);
  return failure.remedy === "bisect" || isUnexplained(failure);
}
