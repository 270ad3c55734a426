/**
 * The engine as the insert loop and the replay of dead letters see it: rows into their tables, then
 * the counting rules, then marks.
 *
 * Invariant: of one writer the marks of a bucket only grow; what comes out of order marks as a writer
 * of its own, above all its earlier marks, or the rollups would take it for done.
 */
import type { Engine, TableColumn } from "../../clickhouse/engine.ts";
import { loadQuery } from "../../clickhouse/queries.ts";
import { SPAN_COLUMNS } from "../../schemas/columns.ts";
import { BUCKET_S, type BucketMark, type RecordTable } from "../../schemas/record.ts";
import { SET_ASIDE_COLUMNS } from "../../schemas/set-aside.ts";
import { USAGE_METRIC_COLUMNS } from "../../schemas/usage-metrics.ts";
import type { BatchTarget, InsertedBatch } from "./contract.ts";
import { daysOf } from "./slices.ts";

/** The columns of each table that is written through the log. */
export const TABLE_COLUMNS: Readonly<Record<RecordTable, readonly TableColumn[]>> = {
  spans: SPAN_COLUMNS,
  usage_metric_points: USAGE_METRIC_COLUMNS,
  set_aside_items: SET_ASIDE_COLUMNS,
};

/** An inserted batch with the projects and the range of time of its buckets, Unix seconds. */
export interface ResolvedBatch extends Omit<InsertedBatch, "buckets"> {
  /** Without them the range is decided as a whole, with them each stretch of it for itself. */
  readonly buckets?: readonly BucketMark[];
  readonly projects: readonly string[];
  readonly from_s: number;
  readonly to_s: number;
}

/** What decides which calls count. */
export interface CallResolver {
  /** Resolves with the buckets that changed by it. */
  resolveBatch(batch: ResolvedBatch): Promise<readonly BucketMark[]>;
}

/** Buckets of one statement at most: their projects and starts are parameters of it. */
const MAX_MARKS = 100_000;

/** Marks buckets as changed by what the writer has inserted up to the sequence. */
export async function markBuckets(
  engine: Engine,
  buckets: readonly BucketMark[],
  writer_id: string,
  sequence: number,
): Promise<void> {
  for (let first = 0; first < buckets.length; first += MAX_MARKS) {
    const some = buckets.slice(first, first + MAX_MARKS);
    const projects = some.map(([project_id]) => project_id);
    const starts = some.map(([, start_s]) => start_s);
    const params = { projects, starts, writer_id, sequence };
    await engine.command(loadQuery("mark_buckets"), params, "insert");
  }
}

/** Marks buckets above every earlier mark of the writer, which marks nowhere else at the time. */
export async function markBucketsLate(
  engine: Engine,
  buckets: readonly BucketMark[],
  writer_id: string,
): Promise<void> {
  const sql = loadQuery("select_mark_sequence");
  const [row] = await engine.query<{ sequence: string }>(sql, { writer_id });
  await markBuckets(engine, buckets, writer_id, Number(row?.sequence ?? 0) + 1);
}

/** The target of one writer of an engine. */
export function makeBatchTarget(
  engine: Engine,
  resolver: CallResolver,
  writer_id: string,
): BatchTarget {
  return {
    insertBlocks: (table, blocks, range) =>
      engine.insertNative(table, TABLE_COLUMNS[table], blocks, range),
    resolveCalls: ({ first_sequence, last_sequence, buckets }) => {
      const span = spanOf(buckets);
      const batch = { first_sequence, last_sequence, ...span };
      return resolver.resolveBatch(isDense(buckets, span) ? batch : { ...batch, buckets });
    },
    markBuckets: (buckets, sequence) =>
      sequence === "late"
        ? markBucketsLate(engine, buckets, `${writer_id}-late`)
        : markBuckets(engine, buckets, writer_id, sequence),
  };
}

/** Days that are decided each for itself at most: it takes several questions a day. */
const MAX_APART_DAYS = 4;
/** A range of time is decided as a whole when one of so many of its days has spans. */
const MAX_DAYS_PER_DAY = 3;
const DAY_S = 86_400;

function isDense(
  buckets: readonly BucketMark[],
  { from_s, to_s }: Pick<ResolvedBatch, "from_s" | "to_s">,
): boolean {
  const days = daysOf(buckets).size;
  return days > MAX_APART_DAYS && to_s - from_s <= days * MAX_DAYS_PER_DAY * DAY_S;
}

/** Projects and range of time of buckets, at least one. */
function spanOf(
  buckets: readonly BucketMark[],
): Pick<ResolvedBatch, "projects" | "from_s" | "to_s"> {
  let from_s = Infinity;
  let to_s = 0;
  for (const [, start_s] of buckets) {
    from_s = Math.min(from_s, start_s);
    to_s = Math.max(to_s, start_s + BUCKET_S);
  }
  return { from_s, to_s, projects: [...new Set(buckets.map(([project_id]) => project_id))] };
}
