/**
 * What an INSERT that failed needs: time, a smaller batch, a search for the record at fault, or a
 * person. One row for each error of ClickHouse that was met or is documented; anything else is given
 * time.
 *
 * Invariant: no remedy drops anything. Only a record that the engine refuses for what is in it leaves
 * the way, into the dead-letter folder.
 */
import { PermanentError, RetryableError } from "../../schemas/errors.ts";

/**
 * - retry: it passes by itself; pauses grow
 * - shrink: the batch was too much; the next one is half as large
 * - bisect: the data of a record are at fault, or seem to be; the batch is halved until it is alone
 * - alarm: it stays until a person does something; asked seldom, told as an error
 */
export type Remedy = "retry" | "shrink" | "bisect" | "alarm";

export interface Failure {
  /** `clickhouse_241`, `clickhouse_unavailable`, ...; as in the error. */
  readonly code: string;
  readonly remedy: Remedy;
  /** What a person can do; empty when there is nothing to do but wait. */
  readonly advice: string;
}

const MEND_SCHEMA =
  "The tables are not those of this version: restore what was changed by hand, then run " +
  '"spanledger migrate". Spans are kept in the log meanwhile.';
const MEND_RIGHTS =
  "Give the user of SPANLEDGER_CLICKHOUSE_URL the right to insert. Spans are kept in the log meanwhile.";
const MEND_DISK = "Free space on the disk of ClickHouse. Spans are kept in the log meanwhile.";
const MEND_READ_ONLY =
  "The table or the server takes no writes: look at its disk, its Keeper and its profile settings.";
const MEND_FOLDER =
  'The dead-letter folder is full: look with "spanledger dead-letter list", then replay or drop, or ' +
  "raise SPANLEDGER_DEAD_LETTER_MAX_BYTES or SPANLEDGER_DEAD_LETTER_MAX_FILES.";

type Row = readonly [code: number, remedy: Remedy, advice?: string];

/** ClickHouse error codes; the names are ClickHouse's (system.errors). */
const REMEDIES: readonly Row[] = [
  [10, "alarm", MEND_SCHEMA], // NOT_FOUND_COLUMN_IN_BLOCK
  [16, "alarm", MEND_SCHEMA], // NO_SUCH_COLUMN_IN_TABLE
  [20, "alarm", MEND_SCHEMA], // NUMBER_OF_COLUMNS_DOESNT_MATCH
  [36, "alarm", MEND_SCHEMA], // BAD_ARGUMENTS
  [44, "alarm", MEND_SCHEMA], // ILLEGAL_COLUMN
  [47, "alarm", MEND_SCHEMA], // UNKNOWN_IDENTIFIER
  [50, "alarm", MEND_SCHEMA], // UNKNOWN_TYPE
  [53, "alarm", MEND_SCHEMA], // TYPE_MISMATCH
  [60, "alarm", MEND_SCHEMA], // UNKNOWN_TABLE
  // SYNTAX_ERROR: the statement is always the same. Behind a block that ends too early the next one is
  // read from its middle, and what should be the name of a type is not.
  [62, "bisect"],
  [81, "alarm", MEND_SCHEMA], // UNKNOWN_DATABASE
  [158, "shrink"], // TOO_MANY_ROWS
  [159, "shrink"], // TIMEOUT_EXCEEDED
  [160, "shrink"], // TOO_SLOW
  [164, "alarm", MEND_READ_ONLY], // READONLY
  [173, "shrink"], // CANNOT_ALLOCATE_MEMORY
  [192, "alarm", MEND_RIGHTS], // UNKNOWN_USER
  [193, "alarm", MEND_RIGHTS], // WRONG_PASSWORD
  [
    201,
    "alarm",
    "The quota of the user is used up: raise it. Spans are kept in the log meanwhile.",
  ], // QUOTA_EXCEEDED
  [202, "retry"], // TOO_MANY_SIMULTANEOUS_QUERIES
  [209, "shrink"], // SOCKET_TIMEOUT
  [210, "retry"], // NETWORK_ERROR
  [241, "shrink"], // MEMORY_LIMIT_EXCEEDED
  [242, "alarm", MEND_READ_ONLY], // TABLE_IS_READ_ONLY
  [243, "alarm", MEND_DISK], // NOT_ENOUGH_SPACE
  [252, "retry"], // TOO_MANY_PARTS: merges need time; smaller batches would make more parts
  [307, "shrink"], // TOO_MANY_BYTES
  [394, "retry"], // QUERY_WAS_CANCELLED
  [439, "retry"], // CANNOT_SCHEDULE_TASK
  [452, "alarm", MEND_RIGHTS], // SETTING_CONSTRAINT_VIOLATION
  [497, "alarm", MEND_RIGHTS], // ACCESS_DENIED
  [516, "alarm", MEND_RIGHTS], // AUTHENTICATION_FAILED
];

const FAILURES: ReadonlyMap<string, Failure> = new Map([
  ...REMEDIES.map(([number, remedy, advice = ""]) => {
    const code = `clickhouse_${number}`;
    return [code, { code, remedy, advice }] as const;
  }),
  ["dead_letter_full", { code: "dead_letter_full", remedy: "alarm", advice: MEND_FOLDER }],
]);

/** Code of the error of a batch whose rows are in and whose marks are not; its cause says why. */
export const MARKS_FAILED = "marks_failed";

/** ClickHouse says the same code of too many partitions in one INSERT as of too many parts. */
const TOO_MANY_PARTITIONS = /too many partitions/i;

/** What a failed INSERT needs, by the error it was rejected with. */
export function classifyFailure(error: unknown): Failure {
  if (error instanceof PermanentError) return { code: error.code, remedy: "bisect", advice: "" };
  if (!(error instanceof RetryableError)) return { code: "unknown", remedy: "retry", advice: "" };
  const { code, message } = error;
  // The rows are in: a smaller batch or another record would not help.
  if (code === MARKS_FAILED) {
    const { remedy, advice } = classifyFailure(error.cause);
    return { code, remedy: remedy === "alarm" ? "alarm" : "retry", advice };
  }
  const known = FAILURES.get(code);
  if (known?.code === "clickhouse_252" && TOO_MANY_PARTITIONS.test(message)) {
    return { code, remedy: "shrink", advice: "" };
  }
  return known ?? { code, remedy: "retry", advice: "" };
}

/** Whether the engine itself answered with a code that says nothing of whose fault it is. */
export function isUnexplained({ code, remedy }: Failure): boolean {
  return remedy === "retry" && /^clickhouse_[1-9]\d*$/.test(code) && !FAILURES.has(code);
}

/** First pause after a failure, ms; it doubles with each further one. */
export const FIRST_PAUSE_MS = 100;
/** Longest pause, and the shortest after a failure that needs a person, ms; before jitter. */
export const MAX_PAUSE_MS = 5_000;
/** Jitter: what a pause grows by at most, so that several collectors do not come back as one. */
const JITTER = 0.5;

/** Pause after so many failures in a row (one at least), ms; `random` is in [0, 1). */
export function pauseAfter(failures: number, remedy: Remedy, random: number): number {
  const base =
    remedy === "alarm"
      ? MAX_PAUSE_MS
      : Math.min(FIRST_PAUSE_MS * 2 ** Math.min(failures - 1, 16), MAX_PAUSE_MS);
  return Math.round(base * (1 + JITTER * random));
}
