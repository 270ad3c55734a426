/** `GET /v1/usage`: any measures by any dimensions by any step of time. */
import type { Engine } from "../../clickhouse/engine.ts";
import {
  canonicalTimeZone,
  NO_SUCH_ZONE,
  type UsageAnswer,
  UsageQuery,
} from "../../schemas/api.ts";
import { PermanentError } from "../../schemas/errors.ts";
import { MEASURE_NAMES } from "../../schemas/usage.ts";
import { coverageOf, readMeasures, type SumRow, Sums } from "../measures.ts";
import { ApiError } from "../errors.ts";
import { parseQuery, readFilters, resolveRange } from "../request.ts";
import { compileUsage, type UsageQuestion } from "../usage-sql.ts";

const DEFAULT_LIMIT = 1_000;
const DEFAULT_TIME_ZONE = "UTC";

/** ClickHouse's code for a time zone that its database does not have (BAD_ARGUMENTS). */
const UNKNOWN_ZONE_CODE = "clickhouse_36";

/** Answers a usage question of one project. */
export async function answerUsage(
  engine: Engine,
  project_id: string,
  url: string,
  now_ms: number,
): Promise<UsageAnswer> {
  const query = parseQuery(url, UsageQuery);
  const { from_ms, to_ms } = resolveRange(query, now_ms);
  const tz = query.tz ?? DEFAULT_TIME_ZONE;
  const question: UsageQuestion = {
    project_id,
    from_ms,
    to_ms,
    measures: query.measures ?? MEASURE_NAMES,
    group_by: query.group_by ?? [],
    interval: query.interval ?? "none",
    tz: canonicalTimeZone(tz) ?? DEFAULT_TIME_ZONE,
    filters: readFilters(query),
    limit: query.limit ?? DEFAULT_LIMIT,
  };
  const found = await readRows(engine, question);
  const truncated = found.length > question.limit;
  const totals = truncated ? await sumAll(engine, question) : new Sums();
  const rows = found.slice(0, question.limit).map((row) => {
    const { keys, columns } = splitRow(row, question);
    if (!truncated) totals.add(columns);
    const sums = new Sums();
    sums.add(columns);
    return { ...keys, ...readMeasures(sums, question.measures) };
  });
  return {
    from: new Date(from_ms).toISOString(),
    to: new Date(to_ms).toISOString(),
    tz,
    interval: question.interval,
    group_by: [...question.group_by],
    rows,
    totals: readMeasures(totals, question.measures),
    coverage: coverageOf(totals),
    truncated,
  };
}

async function readRows(engine: Engine, question: UsageQuestion): Promise<SumRow[]> {
  const { sql, params } = compileUsage(question);
  try {
    return await engine.query<SumRow>(sql, params);
  } catch (error) {
    const isZone = error instanceof PermanentError && error.code === UNKNOWN_ZONE_CODE;
    if (!isZone || question.tz === DEFAULT_TIME_ZONE) throw error;
    // The engine's database of time zones may be older than ours.
    const details = [{ path: "tz", message: NO_SUCH_ZONE }];
    throw new ApiError(400, "invalid_query", `tz ${NO_SUCH_ZONE}`, details);
  }
}

/** The sums over all groups, when not all of them are among the rows. */
async function sumAll(engine: Engine, question: UsageQuestion): Promise<Sums> {
  const whole = { ...question, group_by: [], interval: "none" as const, limit: 1 };
  const sums = new Sums();
  for (const row of await readRows(engine, whole)) sums.add(row);
  return sums;
}

function splitRow(row: Readonly<Record<string, unknown>>, question: UsageQuestion) {
  const columns: Record<string, string | number> = {};
  const keys: Record<string, string | null> = {};
  for (const [name, value] of Object.entries(row)) {
    if (name === "time") keys["time"] = new Date(Number(value) * 1000).toISOString();
    else if ((question.group_by as readonly string[]).includes(name)) {
      keys[name] = value === "" ? null : String(value);
    } else columns[name] = value as string | number;
  }
  return { keys, columns: columns as SumRow };
}
