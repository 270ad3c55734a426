/**
 * Data of the query bench: 1,000 projects of very different sizes over some months, made by the engine itself,
 * priced, with the rollups that the recompute makes of them.
 *
 * Invariant: a row is a pure function of its number and of how many there are, so every run of a size
 * reads the same ledger.
 */
import type { Engine } from "../clickhouse/engine.ts";
import { compactOne } from "../collector/recompute/compact.ts";
import { computeDay, DEFAULT_STATEMENT_MS } from "../collector/recompute/compute.ts";
import { DEFAULT_RECOMPUTE_MEMORY_BYTES } from "../collector/recompute/recompute.ts";
import type { DirtyBucket, Task } from "../collector/recompute/schedule.ts";
import { TOKEN_CLASSES } from "../schemas/tokens.ts";

export const PROJECTS = 1_000;
export const DAY_S = 86_400;
/** The data end here, in the middle of the last day: that day goes on, as today does. Unix seconds. */
export const END_S = Date.UTC(2026, 9, 29, 12) / 1000;
/** End of the last day, Unix seconds. */
export const LAST_DAY_END_S = END_S + DAY_S / 2;

/** Spans of a trace: an agent, four model calls, two tools. 57 % are calls. */
export const SPANS_PER_TRACE = 7;
/** Pause between the starts of two spans of a trace, ns. */
const STEP_NS = 300_000_000;
/** Spans of one INSERT: what a collector inserts at once when it is busy. */
const MAX_INSERT_SPANS = 250_000;

/** Provider, model asked for, model that answered, picodollars of an input and an output token. */
const MODELS = [
  ["openai", "gpt-4o", "gpt-4o-2024-08-06", 2_500_000, 10_000_000],
  ["openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18", 150_000, 600_000],
  ["anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929", 3_000_000, 15_000_000],
  ["openai", "gpt-4.1", "gpt-4.1-2025-04-14", 2_000_000, 8_000_000],
  ["anthropic", "claude-haiku-4-5", "claude-haiku-4-5-20251001", 1_000_000, 5_000_000],
  ["google", "gemini-2.5-flash", "gemini-2.5-flash", 300_000, 2_500_000],
  ["mistral", "mistral-large-latest", "mistral-large-2411", 2_000_000, 6_000_000],
  ["deepseek", "deepseek-chat", "deepseek-chat", 270_000, 1_100_000],
] as const;
/** Models that one project uses. */
const MODELS_PER_PROJECT = 3;

/** One column of MODELS as an expression that picks by the model of the trace. */
function pick(column: 0 | 1 | 2 | 3 | 4): string {
  const values = MODELS.map((row) => {
    const value = row[column];
    return typeof value === "number" ? String(value) : `'${value}'`;
  });
  return `[${values.join(", ")}][model]`;
}

const IS_CALL = "slot BETWEEN 1 AND 4";

/** Picodollars of some tokens at a price in picodollars, as the column has them. */
function cost(tokens: string, price: string): string {
  return `reinterpret(toInt64(${tokens}) * ${price}, 'Decimal(18, 12)')`;
}

const USAGE_MASK = (["input_uncached", "cache_read", "output_text"] as const).reduce(
  (mask, name) => mask | (1 << TOKEN_CLASSES.indexOf(name)),
  0,
);

const ATTRIBUTES: readonly (readonly [string, string])[] = [
  ["gen_ai.operation.name", "operation"],
  ["gen_ai.provider.name", "provider"],
  ["gen_ai.request.model", "request_model"],
  ["gen_ai.response.id", "response_id"],
  ["gen_ai.usage.input_tokens", "toString(tokens_input_uncached + tokens_cache_read)"],
  ["gen_ai.usage.output_tokens", "toString(tokens_output_text)"],
  ["gen_ai.request.temperature", "['0', '0.2', '0.7', '1'][1 + h % 4]"],
  ["gen_ai.request.max_tokens", "['512', '1024', '4096'][1 + h % 3]"],
  ["user.id", "user_id"],
  ["session.id", "session_id"],
  ["server.address", "concat('api.', provider, '.com')"],
  ["thread.name", "concat('worker-', toString(h % 16))"],
];

/** Columns of a span, by name, over the columns of `numbersSql`. A later one may use an earlier. */
const COLUMNS: readonly (readonly [string, string])[] = [
  ["project_id", "concat('p', leftPad(toString(project), 3, '0'))"],
  ["ts", "fromUnixTimestamp64Nano(start_ns, 'UTC')"],
  ["trace_id", "reinterpretAsFixedString(sipHash128(trace_number, 'trace'))"],
  ["span_id", "reinterpretAsFixedString(sipHash64(n, 'span'))"],
  [
    "parent_span_id",
    "if(slot = 0, toFixedString('', 8), reinterpretAsFixedString(sipHash64(n - slot, 'span')))",
  ],
  ["operation", `multiIf(slot = 0, 'invoke_agent', ${IS_CALL}, 'chat', 'execute_tool')`],
  ["provider", `if(slot <= 4, ${pick(0)}, '')`],
  ["request_model", `if(slot <= 4, ${pick(1)}, '')`],
  ["response_model", `if(${IS_CALL}, ${pick(2)}, '')`],
  ["response_id", `if(${IS_CALL}, concat('resp-', lower(hex(sipHash128(n)))), '')`],
  ["service_name", "['checkout', 'support-bot', 'search'][1 + service]"],
  ["agent_name", "['planner', 'triage', 'researcher'][1 + service]"],
  ["name", "concat(operation, ' ', if(request_model = '', 'search_orders', request_model))"],
  ["kind", `if(${IS_CALL}, 3, 1)`],
  ["status", `if(${IS_CALL} AND h % 50 = 0, 'error', 'unset')`],
  ["error_type", "if(status = 'error', ['TimeoutError', 'RateLimitError'][1 + t % 2], '')"],
  ["duration_ns", "200000000 + toUInt64(4000000000 * pow(h % 1000 / 1000, 3))"],
  ["span_class", `multiIf(slot = 0, 'aggregate', ${IS_CALL}, 'billable', 'tool')`],
  ["finish_reason", `if(${IS_CALL}, 'stop', '')`],
  ["ttft_known", IS_CALL],
  ["ttft_ns", `if(${IS_CALL}, 100000000 + h % 900000000, 0)`],
  ["usage_status", `multiIf(slot = 0, 'aggregate', ${IS_CALL}, 'reported', 'none')`],
  ["usage_mask", `if(${IS_CALL}, ${USAGE_MASK}, 0)`],
  ["tokens_input_uncached", `if(${IS_CALL}, 200 + h % 4000, 0)`],
  ["tokens_cache_read", `if(${IS_CALL} AND h % 2, h % 3000, 0)`],
  ["tokens_output_text", `if(${IS_CALL}, 20 + h % 900, 0)`],
  ["provider_calls", IS_CALL],
  ["cost_status", `if(${IS_CALL}, 'priced', 'none')`],
  ["priced_mask", "usage_mask"],
  ["cost_input_uncached", cost("tokens_input_uncached", pick(3))],
  ["cost_cache_read", cost("tokens_cache_read", `intDiv(${pick(3)}, 10)`)],
  ["cost_output_text", cost("tokens_output_text", pick(4))],
  ["price_id", `if(${IS_CALL}, concat(provider, '/', request_model, '/standard/initial'), '')`],
  ["environment", "if(t % 5, 'production', 'staging')"],
  // Some users of a project ask much more than others.
  [
    "user_id",
    "concat('user-', toString(project), '-', toString(toUInt32(300 * pow(t % 10007 / 10007, 3))))",
  ],
  ["session_id", "concat('s-', toString(intDiv(trace_number, 3000)), '-', user_id)"],
  ["tags", "map('feature', ['answer', 'classify', 'extract', 'draft'][1 + t % 4])"],
  ["dialect", "'otel-genai'"],
  ["scope_name", "'opentelemetry.instrumentation.genai'"],
  ["scope_version", "'0.9.0'"],
  ["signal", "'span'"],
  ["reason", `if(${IS_CALL}, 'chat is one model call', '')`],
  ["attributes", `map(${ATTRIBUTES.map(([key, value]) => `'${key}', ${value}`).join(", ")})`],
  ["resource_attributes", "map('service.name', service_name, 'service.version', '2.4.1')"],
  ["ingest_seq", "n"],
  ["ingested_at", "ts + INTERVAL 1 SECOND"],
];

/**
 * Numbers of the spans, with what they share with the others of their trace. The share of the projects
 * below x is the cube root of x / PROJECTS: the largest has a tenth of all, the one in the middle 0.05 %.
 */
function numbersSql(
  from: number,
  count: number,
  { spans, days, projects = PROJECTS }: ProjectsSize,
): string {
  const first_s = LAST_DAY_END_S - days * DAY_S;
  // Milliseconds: times the number of a span it has to fit into 64 bits.
  const range_ms = (END_S - first_s) * 1_000;
  return `
    SELECT *,
      toUInt32(${projects} * pow(t % 1000003 / 1000003, 3)) AS project,
      sipHash64(project, 'project') AS p,
      (t % (1 + p % 3)) AS service,
      1 + (p + intDiv(t, 31) % ${MODELS_PER_PROJECT}) % ${MODELS.length} AS model,
      ${first_s} * 1000000000
        + intDiv((n - slot) * ${range_ms}, ${spans}) * 1000000 + slot * ${STEP_NS} + h % 1000 AS start_ns
    FROM (
      SELECT
        number AS n,
        intDiv(number, ${SPANS_PER_TRACE}) AS trace_number,
        number % ${SPANS_PER_TRACE} AS slot,
        sipHash64(number, 'value') AS h,
        sipHash64(intDiv(number, ${SPANS_PER_TRACE}), 'shared') AS t
      FROM numbers(${from}, ${count})
    )`;
}

/** How much to make. */
export interface ProjectsSize {
  readonly spans: number;
  /** Days that they are spread over, up to END_S. */
  readonly days: number;
  /** Projects that they are of; PROJECTS when it is not given. */
  readonly projects?: number;
}

/** Fills `spans`, in the order of time, with inserts of a day at most. Merges go on meanwhile. */
export async function fillProjects(
  engine: Engine,
  size: ProjectsSize,
  tell: (progress: string) => void,
): Promise<void> {
  const { spans, days } = size;
  const names = COLUMNS.map(([name]) => name).join(", ");
  const expressions = COLUMNS.map(([name, sql]) => `${sql} AS ${name}`).join(",\n");
  const step = Math.min(MAX_INSERT_SPANS, Math.ceil(spans / days));
  let told = 0;
  for (let from = 0; from < spans; from += step) {
    const count = Math.min(step, spans - from);
    await engine.command(
      `INSERT INTO spans (${names}) SELECT ${expressions} FROM (${numbersSql(from, count, size)})`,
      {},
      "insert",
    );
    if (from - told < spans / 10) continue;
    told = from;
    tell(`query: ${from} spans inserted`);
  }
}

interface DayBuckets {
  readonly project_id: string;
  readonly buckets: readonly number[];
}

/** Computes all rollups, a day at a time, as the recompute does, and merges the months of each. */
export async function computeRollups(
  engine: Engine,
  days: number,
  tell: (progress: string) => void,
): Promise<void> {
  const options = {
    memory_bytes: DEFAULT_RECOMPUTE_MEMORY_BYTES,
    statement_ms: DEFAULT_STATEMENT_MS,
    lease: undefined,
    now_ms: Date.now,
    note() {},
    tellTooLarge(_kind: unknown, _tasks: unknown, error: Error) {
      throw error;
    },
  };
  for (let day = 0; day < days; day += 1) {
    const day_s = LAST_DAY_END_S - (days - day) * DAY_S;
    const tasks = (await bucketsOfDay(engine, day_s)).map(({ project_id, buckets }): Task => {
      const rows = buckets.map((bucket_s): DirtyBucket => {
        return { project_id, bucket_s, marks: [], is_dirty_15m: 1, is_dirty_day: 1, quiet_s: 0 };
      });
      return { project_id, day_s, buckets: rows, day_buckets: rows, bucket_rows: 0, day_rows: 0 };
    });
    if (tasks.length === 0) continue;
    for (const kind of ["buckets", "day"] as const) {
      await computeDay(engine, kind, tasks, BigInt(day + 1), options);
    }
    if (day % 10 === 9) tell(`query: rollups of ${day + 1} days computed`);
  }
  while (await compactOne(engine, 0));
}

function bucketsOfDay(engine: Engine, day_s: number): Promise<DayBuckets[]> {
  return engine.query<DayBuckets>(
    `SELECT project_id, groupUniqArray(toUnixTimestamp(toStartOfFifteenMinutes(ts))) AS buckets
     FROM spans
     WHERE ts >= toDateTime64({from_s:UInt32}, 9, 'UTC') AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
     GROUP BY project_id`,
    { from_s: day_s, to_s: day_s + DAY_S },
  );
}

/**
 * Leaves the marks that a running installation has: those of the last hour, computed; and for the
 * projects named those of the last bucket, not computed yet.
 */
export async function markPresent(engine: Engine, dirty: readonly string[]): Promise<void> {
  const columns = "(project_id, bucket, writer_id, marked, done_15m, done_day, touched_at)";
  await engine.command("TRUNCATE TABLE rollup_dirty");
  await engine.command(
    `INSERT INTO rollup_dirty ${columns}
     SELECT concat('p', leftPad(toString(number % ${PROJECTS}), 3, '0')),
       toDateTime(${END_S} - 900 * (1 + intDiv(number, ${PROJECTS})), 'UTC'), 'bench', 1, 1, 1, now()
     FROM numbers(${PROJECTS * 4})`,
  );
  if (dirty.length === 0) return;
  await engine.command(
    `INSERT INTO rollup_dirty ${columns}
     SELECT arrayJoin({dirty:Array(String)}), toDateTime(${END_S} - 900, 'UTC'), 'bench', 2, 0, 0, now()`,
    { dirty },
  );
}
