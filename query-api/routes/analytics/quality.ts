/** `GET /v1/analytics/quality`: how well calls are told, by who tells of them. */
import { loadQuery } from "../../../clickhouse/queries.ts";
import { DEFAULT_ANALYTICS_ROWS } from "../../../schemas/api-analytics-parts.ts";
import {
  CLOCK_SKEW_MS,
  QUALITY_COUNTS,
  QualityAnswer,
  QualityQuery,
} from "../../../schemas/api-quality.ts";
import { formatTimestamp } from "../../../schemas/units.ts";
import { coverageOf } from "../../measures.ts";
import { defineRoute, type Route } from "../../route.ts";
import { askSets, totalOf } from "../../usage-sets.ts";
import { bindRange, describeRange, makeReader, readAsked, type Source } from "./question.ts";

/** Names of versions and services of one source at most. */
const MAX_NAMES = 10;

type Counts = QualityAnswer["totals"];
type CountName = keyof Counts;

/** A row of `clickhouse/queries/select_quality.sql`. */
type QualityRow = Readonly<Record<CountName | `all_${CountName}`, string>> & {
  readonly dialect: string;
  readonly scope_name: string;
  readonly scope_versions: readonly string[];
  readonly services: readonly string[];
  readonly last_ns: string;
};

/** Answers how well the calls of a project are told. */
export async function answerQuality(
  source: Source,
  project_id: string,
  query: QualityQuery,
  now_ms: number,
): Promise<QualityAnswer> {
  const asked = readAsked(query, now_ms);
  const limit = query.limit ?? DEFAULT_ANALYTICS_ROWS;
  const reader = await makeReader(source, project_id, asked);
  const [rows, [total]] = await Promise.all([
    source.engine.query<QualityRow>(loadQuery("select_quality"), {
      ...bindRange(asked),
      project_id,
      names: MAX_NAMES,
      skew_ms: CLOCK_SKEW_MS,
      limit: limit + 1,
    }),
    askSets(reader, {
      ...asked,
      project_id,
      interval: "none",
      measures: ["calls"],
      sets: [[]],
      limit: 1,
    }),
  ]);
  const [first] = rows;
  return {
    ...describeRange(asked),
    tz: query.tz ?? asked.tz,
    totals: readCounts((name) => first?.[`all_${name}`]),
    sources: rows.slice(0, limit).map((row) => ({
      dialect: orNull(row.dialect),
      scope_name: orNull(row.scope_name),
      scope_versions: [...row.scope_versions],
      services: [...row.services],
      last_seen: formatTimestamp(BigInt(row.last_ns)),
      ...readCounts((name) => row[name]),
    })),
    truncated: rows.length > limit,
    coverage: coverageOf(totalOf(total)),
  };
}

function readCounts(read: (name: CountName) => string | undefined): Counts {
  const entries = QUALITY_COUNTS.map((name) => [name, Number(read(name) ?? 0)]);
  return Object.fromEntries(entries) as Counts;
}

function orNull(text: string): string | null {
  return text === "" ? null : text;
}

/** How well calls are told. */
export const QUALITY_ROUTES: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/analytics/quality",
    summary: "How well calls are told, by instrumentation: missing usage, no price, wrong clocks",
    description:
      "A source is one dialect and instrumentation scope. A call may have several faults, and is in the count of each.",
    tag: "Analytics",
    action: "usage:read",
    of: "project",
    query: QualityQuery,
    answer: QualityAnswer,
    cache: "ledger",
    examples: [{ summary: "The last 30 days", path: "/v1/analytics/quality" }],
    handle: ({ services, project_id, query, now_ms }) =>
      answerQuality(services, project_id, query, now_ms),
  }),
];
