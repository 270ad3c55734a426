/**
 * What still comes of people who were erased: sent late, sent again, replayed from a log or from what was
 * set aside. For as long as their erasure says it is removed again, a short while after it was inserted.
 *
 * Invariant: everything received since the last sweep, less a margin for what waits in logs, is looked at;
 * when an erasure ends all of it is looked at once more and the hash key is forgotten.
 */
import { messageOf } from "../schemas/errors.ts";
import { type Erasure, FINAL_STATES } from "../schemas/jobs.ts";
import type { StateObject } from "../schemas/state.ts";
import { formatInstant, type JobTools } from "./job.ts";
import {
  countBeside,
  countFound,
  deleteBeside,
  deleteDay,
  findInDay,
  listFoundDays,
  listProjectDays,
  type Look,
  markFound,
  widen,
} from "./subject.ts";

/** Least time between two sweeps for what came late, ms: as long may it be seen. */
export const LATE_SWEEP_MS = 60_000;
/** How long a log may keep what it received until it is inserted, ms; later rows wait for the last sweep. */
export const LATE_MARGIN_MS = 2 * 86_400_000;
/** How old the stored time of the last sweep may be, ms. */
const LATE_WRITE_MS = 3_600_000;

/** Sweeps for everyone whose erasure is not over; answers how many rows went. */
export async function sweepLate(tools: JobTools): Promise<number> {
  let rows = 0;
  for (const object of tools.state.list("erasure")) {
    const job = tools.state.find("job", object.object_id)?.body;
    // As long as the job goes on it looks at everything itself.
    if (job !== undefined && !FINAL_STATES.has(job.state)) continue;
    try {
      rows += await sweepOne(object, tools);
    } catch (error) {
      const fields = { erasure_id: object.object_id };
      tools.log.warn(fields, `late data were not looked for, trying again: ${messageOf(error)}`);
    }
  }
  return rows;
}

async function sweepOne(object: StateObject<"erasure">, tools: JobTools): Promise<number> {
  const { engine, state, now_ms } = tools;
  const erasure: Erasure = object.body;
  const began_ms = now_ms();
  const is_last = began_ms >= Date.parse(erasure.until);
  const look: Look = {
    project_id: erasure.project_id,
    subject: erasure.subject,
    job_id: erasure.erasure_id,
    pass: Math.floor(began_ms / 1000),
    with_traces: erasure.with_traces,
    since_ms: is_last ? 0 : Math.max(0, Date.parse(erasure.swept_at) - LATE_MARGIN_MS),
  };
  for (const { day_s } of await listProjectDays(engine, look, 0)) {
    await findInDay(engine, look, day_s);
  }
  await widen(engine, look);
  const found = { ...(await countFound(engine, look)), ...(await countBeside(engine, look)) };
  const rows = Object.values(found).reduce((sum, count) => sum + count, 0);
  if (rows > 0) {
    for (const { day_s } of await listFoundDays(engine, look)) await deleteDay(engine, look, day_s);
    await deleteBeside(engine, look);
    await markFound(engine, look, now_ms());
    tools.log.info({ erasure_id: erasure.erasure_id, rows }, "late data of an erased user removed");
  }
  if (is_last) {
    await state.remove("erasure", erasure.erasure_id);
    return rows;
  }
  // Far less than the margin: who sweeps each minute need not write each minute.
  if (rows === 0 && began_ms - Date.parse(erasure.swept_at) < LATE_WRITE_MS) return 0;
  const swept = {
    ...erasure,
    swept_at: formatInstant(began_ms),
    late_rows: erasure.late_rows + rows,
  };
  await state.put("erasure", erasure.erasure_id, object, swept);
  return rows;
}
