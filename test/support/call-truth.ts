/**
 * What usage is, told from the rows of `GET /v1/calls` alone: what anyone would get who added up the
 * list of calls by hand. It shares no code with the product; calendars come from Intl.
 *
 * Invariant: nothing here reads the engine, or knows how the product answers.
 */
import type { CallRow } from "../../schemas/call.ts";
import type { Interval } from "../../schemas/usage.ts";
import { nearestRank, stepStart, usdText } from "./usage-truth.ts";

export interface CallQuestion {
  readonly from_ms: number;
  readonly to_ms: number;
  readonly group_by: readonly string[];
  readonly interval: Interval;
  readonly tz: string;
  /** Dimension or `tag.<key>` and the values, one of which a call must have. */
  readonly filters: ReadonlyMap<string, readonly string[]>;
  readonly excluded: ReadonlyMap<string, readonly string[]>;
  readonly rank: "calls" | "cost_usd" | "errors" | "output_total";
  readonly top: number | null;
}

export interface CallGroup {
  readonly time_ms: number | null;
  readonly is_other: boolean;
  readonly keys: readonly string[];
  readonly calls: readonly CallRow[];
}

/** Picodollars that an uncached input token costs, by the id of the price. */
export type UncachedPrices = ReadonlyMap<string, bigint>;

const INPUT = /^(input|cache)_/;
const OUTPUT = /^output_/;

function startMs(call: CallRow): number {
  // Date.parse cuts what is finer than a millisecond.
  return Date.parse(call.start_time);
}

/** The value of a call for a dimension or a tag; empty when it is not known. */
export function valueOf(call: CallRow, name: string): string {
  if (name.startsWith("tag.")) {
    const key = name.slice(4);
    return Object.hasOwn(call.tags, key) ? (call.tags[key] ?? "") : "";
  }
  if (name === "model") return call.response_model ?? call.request_model ?? "";
  const value = (call as unknown as Readonly<Record<string, string | boolean | null>>)[name];
  return value === null || value === undefined ? "" : String(value);
}

/** The calls that a question is about. */
export function callsOf(calls: readonly CallRow[], question: CallQuestion): CallRow[] {
  return calls.filter((call) => {
    const start_ms = startMs(call);
    return (
      start_ms >= question.from_ms &&
      start_ms < question.to_ms &&
      [...question.filters].every(([name, values]) => values.includes(valueOf(call, name))) &&
      ![...question.excluded].some(([name, values]) => values.includes(valueOf(call, name)))
    );
  });
}

function pico(text: string | null): bigint {
  const [whole = "0", fraction = ""] = (text ?? "0").split(".");
  return BigInt(whole + fraction.padEnd(12, "0"));
}

function rankOf(calls: readonly CallRow[], rank: CallQuestion["rank"]): bigint {
  const amounts = {
    calls: () => 1n,
    cost_usd: (call: CallRow) => pico(call.cost_usd),
    errors: (call: CallRow) => (call.status === "error" ? 1n : 0n),
    output_total: (call: CallRow) => BigInt(call.output_total ?? 0),
  };
  return calls.reduce((sum, call) => sum + amounts[rank](call), 0n);
}

function compareTexts(a: readonly string[], b: readonly string[]): number {
  for (const [index, text] of a.entries()) {
    const order = Buffer.compare(Buffer.from(text), Buffer.from(b[index] ?? ""));
    if (order !== 0) return order;
  }
  return 0;
}

function compareGroups(rank: CallQuestion["rank"]) {
  return (a: CallGroup, b: CallGroup): number => {
    const ranks = [rankOf(b.calls, rank), rankOf(a.calls, rank)] as const;
    return (
      (a.time_ms ?? 0) - (b.time_ms ?? 0) ||
      Number(a.is_other) - Number(b.is_other) ||
      (ranks[0] > ranks[1] ? 1 : ranks[0] < ranks[1] ? -1 : 0) ||
      b.calls.length - a.calls.length ||
      compareTexts(a.keys, b.keys)
    );
  };
}

function group(
  calls: readonly CallRow[],
  place: (call: CallRow) => Omit<CallGroup, "calls">,
): CallGroup[] {
  const groups = new Map<string, CallGroup & { calls: CallRow[] }>();
  for (const call of calls) {
    const where = place(call);
    const id = JSON.stringify(where);
    const known = groups.get(id);
    if (known === undefined) groups.set(id, { ...where, calls: [call] });
    else known.calls.push(call);
  }
  return [...groups.values()];
}

/** The rows of the answer, in their order. */
export function groupsOf(calls: readonly CallRow[], question: CallQuestion): CallGroup[] {
  const chosen = callsOf(calls, question);
  const { group_by, top, rank } = question;
  const keysOf = (call: CallRow) => group_by.map((name) => valueOf(call, name));
  const largest = group(chosen, (call) => ({ time_ms: null, is_other: false, keys: keysOf(call) }))
    .toSorted(compareGroups(rank))
    .slice(0, top ?? undefined)
    .map(({ keys }) => JSON.stringify(keys));
  return group(chosen, (call) => {
    const keys = keysOf(call);
    const is_other = !largest.includes(JSON.stringify(keys));
    return {
      time_ms: stepStart(startMs(call), question.interval, question.tz),
      is_other,
      keys: is_other ? keys.map(() => "") : keys,
    };
  }).toSorted(compareGroups(rank));
}

function addKnown(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0);
}

function addMoney(values: readonly (string | null)[]): string | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : usdText(known.reduce((sum, text) => sum + pico(text), 0n));
}

function classes(calls: readonly CallRow[], side: RegExp): (number | null)[] {
  return calls.flatMap((call) =>
    Object.entries(call.tokens).flatMap(([name, value]) => (side.test(name) ? [value] : [])),
  );
}

function different(texts: readonly (string | null)[]): number {
  return new Set(texts.filter((text) => text !== null)).size;
}

/** Decimal division: half to even, by trying which picodollar is nearest. */
function each(total: bigint, things: number): string | null {
  if (things === 0) return null;
  const divisor = BigInt(things);
  const low = total / divisor;
  const nearest = [low, low + 1n].toSorted((a, b) => {
    const miss = (value: bigint) => {
      const distance = value * divisor - total;
      return distance < 0n ? -distance : distance;
    };
    if (miss(a) !== miss(b)) return miss(a) < miss(b) ? -1 : 1;
    return a % 2n === 0n ? -1 : 1;
  });
  return usdText(nearest[0] ?? 0n);
}

function costOf(calls: readonly CallRow[]): bigint {
  return calls.reduce((sum, call) => sum + pico(call.cost_usd), 0n);
}

function eachNamed(calls: readonly CallRow[], name: "user_id" | "session_id"): string | null {
  const named = calls.filter((call) => call[name] !== null && call.cost_usd !== null);
  return each(costOf(named), different(named.map((call) => call[name])));
}

function signedUsd(amount: bigint): string {
  return amount < 0n ? `-${usdText(-amount)}` : usdText(amount);
}

/** What cached tokens would have cost uncached less what they did, over calls that have them priced. */
function cacheDifference(
  calls: readonly CallRow[],
  names: readonly (keyof CallRow["tokens"])[],
  prices: UncachedPrices,
): bigint | null {
  const amounts = calls.flatMap((call) =>
    names.flatMap((name) => {
      const [tokens, cost] = [call.tokens[name], call.cost[name]];
      const price = prices.get(call.price_id ?? "");
      if (tokens === null || cost === null || price === undefined) return [];
      return [BigInt(tokens) * price - pico(cost)];
    }),
  );
  return amounts.length === 0 ? null : amounts.reduce((sum, amount) => sum + amount, 0n);
}

function byClass<Value>(calls: readonly CallRow[], read: (name: keyof CallRow["tokens"]) => Value) {
  const names = Object.keys(calls[0]?.tokens ?? {}) as (keyof CallRow["tokens"])[];
  return Object.fromEntries(names.map((name) => [name, read(name)]));
}

function latency(values: readonly number[]): object {
  const exact = values.map((value) => BigInt(value));
  const sum = exact.reduce((total, value) => total + value, 0n);
  return {
    calls: values.length,
    mean_ns: values.length === 0 ? null : Number(sum / BigInt(values.length)),
    quantiles: [50, 90, 95, 99].map((percent) => Number(nearestRank(exact, percent))),
  };
}

/** What some calls are, by every measure; latencies with exact quantiles. Not for no calls at all. */
export function measuresOf(
  calls: readonly CallRow[],
  prices: UncachedPrices,
): Readonly<Record<string, unknown>> {
  const output = addKnown(classes(calls, OUTPUT));
  const input = addKnown(classes(calls, INPUT));
  const read = addKnown(calls.map((call) => call.tokens.cache_read));
  const duration = calls.reduce((sum, call) => sum + BigInt(call.duration_ns), 0n);
  const errors = calls.filter((call) => call.status === "error").length;
  const paid = addKnown(
    classes(
      calls.filter((call) => call.price_id !== null),
      OUTPUT,
    ),
  );
  const saved = cacheDifference(calls, ["cache_read"], prices);
  const written = cacheDifference(
    calls,
    ["cache_write", "cache_write_5m", "cache_write_1h"],
    prices,
  );
  return {
    calls: calls.length,
    errors,
    tokens: byClass(calls, (name) => addKnown(calls.map((call) => call.tokens[name]))),
    input_total: input,
    output_total: output,
    cost_usd: addMoney(calls.map((call) => call.cost_usd)),
    cost: byClass(calls, (name) => addMoney(calls.map((call) => call.cost[name]))),
    fees_usd: addMoney(calls.map((call) => call.fees_usd)),
    client_cost_usd: addMoney(calls.map((call) => call.client_cost_usd)),
    duration: latency(calls.map((call) => call.duration_ns)),
    ttft: latency(calls.flatMap((call) => (call.ttft_ns === null ? [] : [call.ttft_ns]))),
    error_rate: errors / calls.length,
    cost_per_call_usd: each(costOf(calls), calls.filter((call) => call.cost_usd !== null).length),
    cost_per_user_usd: eachNamed(calls, "user_id"),
    cost_per_session_usd: eachNamed(calls, "session_id"),
    cost_per_1k_output_tokens_usd: each(costOf(calls) * 1000n, paid ?? 0),
    output_tokens_per_second:
      output === null || duration === 0n ? null : (output / Number(duration)) * 1e9,
    cache_hit_share: read === null || input === null || input === 0 ? null : read / input,
    cache_savings_usd: saved === null ? null : signedUsd(saved),
    cache_write_surcharge_usd: written === null ? null : signedUsd(-written),
    unique_users: different(calls.map((call) => call.user_id)),
    sessions: different(calls.map((call) => call.session_id)),
  };
}
