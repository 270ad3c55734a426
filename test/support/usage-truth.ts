/**
 * What usage really was: a plain fold over spans, for tests to hold the answers against. It shares
 * no code with the product: money is added as bigint picodollars, calendars come from Intl.
 *
 * Invariant: nothing here reads the engine.
 */
import type { Span } from "../../schemas/span.ts";
import { TOKEN_CLASSES } from "../../schemas/tokens.ts";
import type { DimensionName, Interval, MeasureName } from "../../schemas/usage.ts";

export interface TruthQuestion {
  readonly project_id: string;
  /** Unix ms, inclusive and exclusive. */
  readonly from_ms: number;
  readonly to_ms: number;
  readonly group_by: readonly DimensionName[];
  readonly interval: Interval;
  readonly tz: string;
  readonly filters: Readonly<Partial<Record<DimensionName, readonly string[]>>>;
}

export interface TruthGroup {
  /** Start of the step, Unix ms; null without steps. */
  readonly time_ms: number | null;
  /** Values of the dimensions in the order asked; empty text is unknown. */
  readonly keys: readonly string[];
  readonly calls: readonly Span[];
}

const MINUTE_MS = 60_000;
const QUARTER_MS = 15 * MINUTE_MS;

/** The value of a call for a dimension. */
export function dimensionOf(span: Span, name: DimensionName): string {
  if (name === "model")
    return span.response_model === "" ? span.request_model : span.response_model;
  if (name === "status") return span.status === "error" ? "error" : "ok";
  if (name === "streaming") return span.streaming === null ? "" : String(span.streaming);
  return span[name];
}

interface LocalTime {
  /** Midnight of the local date, as if it were UTC. */
  readonly date_ms: number;
  readonly minute: number;
}

const formats = new Map<string, Intl.DateTimeFormat>();
const locals = new Map<string, LocalTime>();
const starts = new Map<string, number>();

function localTime(time_ms: number, tz: string): LocalTime {
  const key = `${tz} ${time_ms}`;
  const known = locals.get(key);
  if (known !== undefined) return known;
  let format = formats.get(tz);
  if (format === undefined) {
    format = new Intl.DateTimeFormat("en-US", {
      timeZone: tz,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
    });
    formats.set(tz, format);
  }
  const parts = new Map(format.formatToParts(time_ms).map(({ type, value }) => [type, value]));
  const number = (name: Intl.DateTimeFormatPartTypes) => Number(parts.get(name));
  const local = {
    date_ms: Date.UTC(number("year"), number("month") - 1, number("day")),
    minute: number("minute"),
  };
  locals.set(key, local);
  return local;
}

/** The first instant of a local date: midnight, or what comes first when midnight is left out. */
function startOfDate(date_ms: number, tz: string): number {
  const key = `${tz} ${date_ms}`;
  const known = starts.get(key);
  if (known !== undefined) return known;
  let before = date_ms / MINUTE_MS - 15 * 60;
  let after = date_ms / MINUTE_MS + 15 * 60;
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (localTime(middle * MINUTE_MS, tz).date_ms >= date_ms) after = middle;
    else before = middle;
  }
  starts.set(key, after * MINUTE_MS);
  return after * MINUTE_MS;
}

/** Where the hour of the clock began that a quarter is in: as far back as the clock went on evenly. */
function hourStart(quarter_ms: number, tz: string): number {
  const { minute } = localTime(quarter_ms, tz);
  const before = localTime(quarter_ms - QUARTER_MS, tz);
  return minute >= 15 && before.minute === minute - 15
    ? hourStart(quarter_ms - QUARTER_MS, tz)
    : quarter_ms;
}

/** Start of the step that an instant is in, Unix ms. */
export function stepStart(time_ms: number, interval: Interval, tz: string): number | null {
  if (interval === "none") return null;
  const quarter_ms = time_ms - (time_ms % QUARTER_MS);
  if (interval === "15m") return quarter_ms;
  const local = localTime(quarter_ms, tz);
  if (interval === "hour") return hourStart(quarter_ms, tz);
  const date = new Date(local.date_ms);
  if (interval === "week") date.setUTCDate(date.getUTCDate() - ((date.getUTCDay() + 6) % 7));
  if (interval === "month") date.setUTCDate(1);
  return startOfDate(date.getTime(), tz);
}

/** The calls that a question is about. */
export function selectCalls(spans: readonly Span[], question: TruthQuestion): Span[] {
  const from_ns = BigInt(question.from_ms) * 1_000_000n;
  const to_ns = BigInt(question.to_ms) * 1_000_000n;
  const filters = Object.entries(question.filters) as [DimensionName, readonly string[]][];
  return spans.filter(
    (span) =>
      span.span_class === "billable" &&
      span.project_id === question.project_id &&
      span.start_ns >= from_ns &&
      span.start_ns < to_ns &&
      filters.every(([name, values]) => values.includes(dimensionOf(span, name))),
  );
}

/** Picodollars of a call: nothing for a refused one, null when no token of it has a price. */
export function callCost(span: Span): bigint | null {
  if (span.cost_status === "unpriced") return null;
  return span.cost.reduce((sum: bigint, cost) => sum + (cost ?? 0n), span.cost_fees ?? 0n);
}

function costOf(calls: readonly Span[]): bigint {
  return calls.reduce((sum, span) => sum + (callCost(span) ?? 0n), 0n);
}

/**
 * The groups of a question: by time, then the dearest first when the question is about cost, then
 * those of more calls, then by name.
 */
export function groupCalls(
  spans: readonly Span[],
  question: TruthQuestion & { readonly measures: readonly MeasureName[] },
): TruthGroup[] {
  const groups = new Map<string, { time_ms: number | null; keys: string[]; calls: Span[] }>();
  for (const span of selectCalls(spans, question)) {
    const start_ms = Number(span.start_ns / 1_000_000n);
    const time_ms = stepStart(start_ms, question.interval, question.tz);
    const keys = question.group_by.map((name) => dimensionOf(span, name));
    const id = JSON.stringify([time_ms, keys]);
    const group = groups.get(id);
    if (group === undefined) groups.set(id, { time_ms, keys, calls: [span] });
    else group.calls.push(span);
  }
  const isAboutCost = question.measures.some((name) => /^cost(_|$)/.test(name));
  const ranked = [...groups.values()].map((group) => ({
    group,
    cost: isAboutCost ? costOf(group.calls) : 0n,
  }));
  ranked.sort((a, b) => {
    if (a.group.time_ms !== b.group.time_ms) {
      return (a.group.time_ms ?? 0) - (b.group.time_ms ?? 0);
    }
    if (a.cost !== b.cost) return a.cost > b.cost ? -1 : 1;
    if (a.group.calls.length !== b.group.calls.length) {
      return b.group.calls.length - a.group.calls.length;
    }
    return compareKeys(a.group.keys, b.group.keys);
  });
  return ranked.map(({ group }) => group);
}

function compareKeys(a: readonly string[], b: readonly string[]): number {
  for (const [index, text] of a.entries()) {
    const order = Buffer.compare(Buffer.from(text), Buffer.from(b[index] ?? ""));
    if (order !== 0) return order;
  }
  return 0;
}

function byClassName<Value>(read: (index: number) => Value): Record<string, Value> {
  return Object.fromEntries(TOKEN_CLASSES.map((name, index) => [name, read(index)]));
}

/** The sum of the values that are known; null when none is. */
function addKnown(values: readonly (number | null | undefined)[]): number | null {
  const known = values.filter((value): value is number => typeof value === "number");
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0);
}

/** Decimal text of an amount that is not negative, without zeros at its end. */
export function usdText(picodollars: bigint): string {
  const digits = picodollars.toString().padStart(13, "0");
  return `${digits.slice(0, -12)}.${digits.slice(-12)}`.replace(/\.?0+$/, "");
}

function addMoney(values: readonly (bigint | null | undefined)[]): string | null {
  const known = values.filter((value): value is bigint => typeof value === "bigint");
  return known.length === 0 ? null : usdText(known.reduce((sum, value) => sum + value, 0n));
}

function tokensOfSide(calls: readonly Span[], isInput: boolean): number | null {
  const side = TOKEN_CLASSES.flatMap((name, index) =>
    name.startsWith("output_") === isInput ? [] : [index],
  );
  return addKnown(calls.flatMap((span) => side.map((index) => span.tokens[index])));
}

/** How far the sums over the calls can be trusted. */
export function coverageTruth(calls: readonly Span[]): object {
  const count = (test: (span: Span) => boolean) => calls.filter((span) => test(span)).length;
  let known = 0;
  let priced = 0;
  for (const span of calls) {
    for (const [index, tokens] of span.tokens.entries()) {
      known += tokens ?? 0;
      if (typeof span.cost[index] === "bigint") priced += tokens ?? 0;
    }
  }
  return {
    calls: calls.length,
    // A refused call had no usage to report.
    calls_missing_usage: count(
      (span) => span.usage_status === "missing" && span.cost_status !== "priced",
    ),
    calls_estimated: count((span) => span.usage_status === "estimated"),
    calls_unpriced: count((span) => span.cost_status !== "priced"),
    tokens_priced_share: known === 0 ? null : priced / known,
  };
}

/** A latency without its quantiles, which `nearestRank` gives. */
function latencyTruth(values_ns: readonly bigint[]): object {
  const sum = values_ns.reduce((total, value) => total + value, 0n);
  const mean_ns = values_ns.length === 0 ? null : Number(sum / BigInt(values_ns.length));
  return { calls: values_ns.length, mean_ns };
}

/** Durations or times to first token of the calls that have one, ns. */
export function latenciesOf(calls: readonly Span[], name: "duration" | "ttft"): bigint[] {
  if (name === "duration") return calls.map((span) => span.duration_ns);
  return calls.flatMap((span) => (span.ttft_ns === null ? [] : [span.ttft_ns]));
}

/** The exact quantile by nearest rank; null without values. */
export function nearestRank(values: readonly bigint[], percent: number): bigint | null {
  const sorted = [...values].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const rank = Math.max(1, Math.ceil((percent * sorted.length) / 100));
  return sorted[rank - 1] ?? null;
}

/** What each of some things cost, to the nearest picodollar, halves to the even one. */
function costEach(total: bigint, things: number): string | null {
  if (things === 0) return null;
  const divisor = BigInt(things);
  const low = total / divisor;
  const above = total - low * divisor;
  const below = divisor - above;
  const isUp = above > below || (above === below && low % 2n === 1n);
  return usdText(isUp ? low + 1n : low);
}

/** Different texts that are not empty. */
function countDifferent(texts: readonly string[]): number {
  return new Set(texts.filter((text) => text !== "")).size;
}

function costEachOf(calls: readonly Span[], name: "user_id" | "session_id"): string | null {
  const named = calls.filter((span) => span[name] !== "");
  const priced = named.filter((span) => callCost(span) !== null);
  return costEach(costOf(named), countDifferent(priced.map((span) => span[name])));
}

function costEach1k(calls: readonly Span[]): string | null {
  const tokens = tokensOfSide(
    calls.filter((span) => span.price_id !== ""),
    false,
  );
  return costEach(costOf(calls) * 1000n, tokens ?? 0);
}

/** Measures that need the price book: `usage.property.test.ts` has their truth. */
export const UNPROVED_MEASURES: readonly MeasureName[] = [
  "cache_savings_usd",
  "cache_write_surcharge_usd",
];

const MEASURE_TRUTHS: Record<MeasureName, (calls: readonly Span[]) => unknown> = {
  calls: (calls) => calls.length,
  errors: (calls) => calls.filter((span) => span.status === "error").length,
  tokens: (calls) => byClassName((index) => addKnown(calls.map((span) => span.tokens[index]))),
  input_total: (calls) => tokensOfSide(calls, true),
  output_total: (calls) => tokensOfSide(calls, false),
  cost_usd: (calls) => addMoney(calls.map((span) => callCost(span))),
  cost: (calls) => byClassName((index) => addMoney(calls.map((span) => span.cost[index]))),
  fees_usd: (calls) => addMoney(calls.map((span) => span.cost_fees)),
  client_cost_usd: (calls) => addMoney(calls.map((span) => span.client_cost)),
  duration: (calls) => latencyTruth(latenciesOf(calls, "duration")),
  ttft: (calls) => latencyTruth(latenciesOf(calls, "ttft")),
  error_rate: (calls) =>
    calls.length === 0
      ? null
      : calls.filter((span) => span.status === "error").length / calls.length,
  cost_per_call_usd: (calls) =>
    costEach(costOf(calls), calls.filter((span) => callCost(span) !== null).length),
  cost_per_user_usd: (calls) => costEachOf(calls, "user_id"),
  cost_per_session_usd: (calls) => costEachOf(calls, "session_id"),
  cost_per_1k_output_tokens_usd: costEach1k,
  output_tokens_per_second: (calls) => {
    const tokens = tokensOfSide(calls, false);
    const duration_ns = calls.reduce((sum, span) => sum + span.duration_ns, 0n);
    return tokens === null || duration_ns === 0n ? null : (tokens / Number(duration_ns)) * 1e9;
  },
  cache_hit_share: (calls) => {
    const read = addKnown(calls.map((span) => span.tokens[1]));
    const input = tokensOfSide(calls, true);
    return read === null || input === null || input === 0 ? null : read / input;
  },
  cache_savings_usd: () => null,
  cache_write_surcharge_usd: () => null,
  unique_users: (calls) => countDifferent(calls.map((span) => span.user_id)),
  sessions: (calls) => countDifferent(calls.map((span) => span.session_id)),
};

/** The measures of the calls in the shape of an answer, latencies without quantiles. */
export function measureTruth(calls: readonly Span[], measures: readonly MeasureName[]): object {
  const values = Object.fromEntries(measures.map((name) => [name, MEASURE_TRUTHS[name](calls)]));
  return { ...values, coverage: coverageTruth(calls) };
}
