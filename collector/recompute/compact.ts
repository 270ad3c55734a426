/**
 * Merges the months of the rollups that are no longer written to into one part each: a read of 30 days
 * then opens few files and has nothing to merge (docs/decisions/0013-recompute.md).
 *
 * Invariant: merging changes no row that a reader can see; it may be left out or done twice.
 */
import type { Engine } from "../../clickhouse/engine.ts";
import { loadQuery } from "../../clickhouse/queries.ts";

/** How long a month must not have been written to, seconds. */
const QUIET_S = 600;
/** Rows of a month that is merged here; a larger one is left to the engine's own merges. */
const MAX_ROWS = 20_000_000;

interface LoosePartition {
  readonly table: string;
  readonly partition_id: string;
}

/** Merges one month of one rollup, quiet for that long; answers whether there was one to merge. */
export async function compactOne(engine: Engine, quiet_s = QUIET_S): Promise<boolean> {
  const params = { quiet_s, max_rows: MAX_ROWS };
  const sql = loadQuery("select_loose_partitions");
  const [loose] = await engine.query<LoosePartition>(sql, params);
  if (loose === undefined) return false;
  // Both come from the engine and are names of ours; an identifier cannot be a parameter.
  await engine.command(`OPTIMIZE TABLE ${loose.table} PARTITION ID '${loose.partition_id}' FINAL`);
  return true;
}
