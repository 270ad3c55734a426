/**
 * Puts dead letters into the ledger once the cause is mended: rows, then what the counting rules make
 * of them, then the marks that bring the rollups up to date; only then the files go.
 *
 * Invariant: a replay that is repeated, or cut off anywhere, leaves the same ledger: rows replace
 * themselves by their key, under the sequence that they had.
 */
import { messageOf } from "../../schemas/errors.ts";
import {
  type BlockRecord,
  type BucketMark,
  decodeRecord,
  type RecordTable,
} from "../../schemas/record.ts";
import type { DeadLetters } from "./store.ts";

/** Where records go; the same as of the insert loop. */
export interface ReplayTarget {
  insertBlocks(table: RecordTable, blocks: readonly Uint8Array[], range: null): Promise<void>;
  resolveCalls(batch: {
    readonly first_sequence: number;
    readonly last_sequence: number;
    readonly buckets: readonly BucketMark[];
  }): Promise<readonly BucketMark[]>;
  markBuckets(buckets: readonly BucketMark[], sequence: "late"): Promise<void>;
}

/** What came of one dead letter. A failure leaves it where it was. */
export interface ReplayOutcome {
  readonly name: string;
  readonly table: string;
  readonly rows: number;
  /** Null when it is in the ledger. */
  readonly error: string | null;
}

/** Replays the named dead letters, in order; one that fails does not stop the others. */
export async function replay(
  letters: DeadLetters,
  names: readonly string[],
  target: ReplayTarget,
): Promise<ReplayOutcome[]> {
  const outcomes: ReplayOutcome[] = [];
  for (const name of names) {
    let record: BlockRecord | null = null;
    let failure: string | null = null;
    try {
      record = decodeRecord(await letters.read(name));
      await replayRecord(record, Number(name), target);
      await letters.remove(name);
    } catch (error) {
      failure = messageOf(error);
    }
    const { table, rows } = record?.header ?? { table: "", rows: 0 };
    outcomes.push({ name, table, rows, error: failure });
  }
  return outcomes;
}

async function replayRecord(
  { header, block }: BlockRecord,
  sequence: number,
  target: ReplayTarget,
): Promise<void> {
  await target.insertBlocks(header.table, [block], null);
  if (header.buckets.length === 0) return;
  const buckets = new Map<string, BucketMark>();
  const batch = { first_sequence: sequence, last_sequence: sequence, buckets: header.buckets };
  for (const bucket of [...header.buckets, ...(await target.resolveCalls(batch))]) {
    buckets.set(`${bucket[1]} ${bucket[0]}`, bucket);
  }
  await target.markBuckets([...buckets.values()], "late");
}
