/**
 * The judge of the corpus: holds ledger rows against what the provider really billed.
 *
 * Invariant: it knows nothing of dialects or of how a row was made; a number that is right is right
 * however it was found, and one that is wrong is only forgiven where the row itself says so and the
 * telemetry does not have it.
 */
import { CallRow } from "../../schemas/call.ts";
import {
  INPUT_CLASSES,
  OUTPUT_CLASSES,
  TOKEN_CLASSES,
  type TokenClass,
} from "../../schemas/tokens.ts";
import { handCost, type HandPrice, handPrice, readPicodollars } from "./corpus-prices.ts";
import type { TrueCall, TrueTokens, Truth } from "./corpus.ts";
import type { Evidence } from "./corpus-bodies.ts";

/** Silent: the client sent nothing, so no row can exist. */
export type Outcome = "right" | "flagged" | "wrong" | "silent";

/** One thing that is not as the provider saw it. */
export interface Finding {
  readonly grade: "flagged" | "wrong";
  /** A few words that are the same in every case, to group by. */
  readonly why: string;
  /** The values; empty when `why` says all. */
  readonly detail: string;
  /** `seq` of the true call; null for a row that no call explains. */
  readonly seq: number | null;
}

export interface Verdict {
  readonly outcome: Outcome;
  readonly findings: readonly Finding[];
  /** Which row was held against which call. */
  readonly pairs: readonly { readonly call: TrueCall; readonly row: CallRow | null }[];
}

/** Rows that are tried for one call, rows; more are only superfluous ones. */
const MAX_ROWS_PER_CALL = 8;

/** Provider names of the captures to those of the ledger. */
const PROVIDERS: ReadonlyMap<string, string> = new Map([["aws.bedrock", "bedrock"]]);

/** Finish reasons of the providers in the captures to the words of the ledger. */
const FINISH_REASONS: ReadonlyMap<string, string> = new Map([
  ["stop", "stop"],
  ["end_turn", "stop"],
  ["STOP", "stop"],
  ["tool_calls", "tool_call"],
  ["tool_use", "tool_call"],
]);

/** Spellings in which a finish reason may stand in telemetry. */
const FINISH_SPELLINGS: ReadonlyMap<string, readonly string[]> = new Map([
  ["stop", ["stop", "end_turn", "STOP", "endTurn"]],
  ["tool_call", ["tool_calls", "tool_use", "tool-calls", "tool_call", "toolUse"]],
]);

const NO_EVIDENCE: Evidence = { values: new Set(), plain: new Set(), pairs: new Set() };

/** Cache writes of whatever lifetime. */
function cacheWrite({ tokens }: CallRow): number | null {
  const parts = [tokens.cache_write_5m, tokens.cache_write_1h, tokens.cache_write];
  const known = parts.filter((part) => part !== null);
  return known.length === 0 ? null : known.reduce((sum, part) => sum + part, 0);
}

function sumOf(row: CallRow, classes: readonly TokenClass[]): number | null {
  const known = classes.map((name) => row.tokens[name]).filter((count) => count !== null);
  return known.length === 0 ? null : known.reduce((sum, count) => sum + count, 0);
}

function hasTokens(row: CallRow): boolean {
  return Object.values(row.tokens).some((count) => count !== null && count > 0);
}

interface Judge {
  readonly add: (grade: Finding["grade"], why: string, detail?: string) => void;
  readonly evidence: Evidence;
}

type Count = number | null;

/** How a count of the row is held against one of the truth. */
interface CountRule {
  readonly field: keyof TrueTokens;
  readonly read: (row: CallRow) => Count;
}

const CLASS_RULES: readonly CountRule[] = [
  { field: "cache_read", read: (row) => row.tokens.cache_read },
  { field: "cache_write", read: cacheWrite },
  { field: "reasoning_output", read: (row) => row.tokens.output_reasoning },
];

const TOTAL_RULES: readonly CountRule[] = [
  { field: "input_total", read: (row) => row.input_total },
  { field: "input_uncached", read: (row) => row.tokens.input_uncached },
  { field: "output_total", read: (row) => row.output_total },
];

/** Classes that may be missing from a total, or stay inside another class, when nobody sent them. */
const PARTS: Readonly<Record<string, readonly (keyof TrueTokens)[]>> = {
  input_total: ["cache_read", "cache_write"],
  input_uncached: ["cache_read", "cache_write"],
  output_total: ["reasoning_output"],
};

function isSent(call: TrueCall, field: string): boolean {
  return call.evidence_in_telemetry?.[field] ?? call.evidence_in_telemetry === undefined;
}

/** Sums of every subset of a few counts. */
function subsetSums(counts: readonly number[]): number[] {
  return counts.reduce<number[]>(
    (sums, count) => [...sums, ...sums.map((sum) => sum + count)],
    [0],
  );
}

function judgeTokens(call: TrueCall, truth: TrueTokens, row: CallRow, judge: Judge): void {
  const unknown = new Map<string, number>();
  for (const { field, read } of CLASS_RULES) {
    const got = read(row);
    if (got === truth[field] || (got === null && truth[field] === 0)) continue;
    judgeCount(call, row, field, got, truth[field], judge);
    if (got === null && !isSent(call, field)) unknown.set(field, truth[field]);
  }
  for (const { field, read } of TOTAL_RULES) {
    const got = read(row);
    if (got === truth[field] || (got === null && truth[field] === 0)) continue;
    const parts = (PARTS[field] ?? []).flatMap((part) => unknown.get(part) ?? []);
    const sign = field === "input_uncached" ? 1 : -1;
    const allowed = subsetSums(parts).map((sum) => truth[field] + sign * sum);
    // What is unknown is marked by its own class, and the rest is exactly what it should be.
    if (got !== null && allowed.includes(got)) continue;
    judgeCount(call, row, field, got, truth[field], judge);
  }
  judgeLifetimes(call, truth, row, judge);
}

function judgeCount(
  call: TrueCall,
  row: CallRow,
  field: string,
  got: Count,
  want: number,
  judge: Judge,
): void {
  const sent = isSent(call, field);
  const values = `${got ?? "null"}, truth ${want}`;
  if (got === null) {
    if (sent) judge.add("wrong", `${field} is unknown although it was sent`, values);
    else if (row.usage_status === "missing") judge.add("flagged", "usage missing");
    else judge.add("flagged", `${field} unknown`);
  } else if (row.usage_status === "missing") {
    judge.add("wrong", `${field} is a number although the usage is missing`, values);
  } else if (row.usage_status === "estimated" && !sent) {
    judge.add("flagged", "usage estimated", `${field} ${values}`);
  } else {
    judge.add("wrong", `wrong ${field}${sent ? "" : " (not sent as such)"}`, values);
  }
}

function judgeLifetimes(call: TrueCall, truth: TrueTokens, row: CallRow, judge: Judge): void {
  for (const field of ["cache_write_5m", "cache_write_1h"] as const) {
    const got = row.tokens[field];
    if (got === truth[field]) continue;
    const values = `${got ?? "null"}, truth ${truth[field]}`;
    if (got !== null && got > 0) judge.add("wrong", `${field} is invented`, values);
    else if (truth[field] > 0 && isSent(call, field)) {
      judge.add("wrong", `${field} is unknown although it was sent`, values);
    }
  }
}

/** The row's own money against the hand-computed sum of its own classes, which were judged apart. */
function judgeMoney(call: TrueCall, row: CallRow, judge: Judge): void {
  const price: HandPrice | null = handPrice(
    call.response_model ?? call.request_model,
    call.provider,
    row.service_tier,
  );
  const known = Object.values(row.tokens).some((count) => count !== null);
  if (price === null || !known) {
    if (row.cost_usd !== null) {
      judge.add(
        "wrong",
        price === null ? "a price from nowhere" : "a cost without usage",
        row.cost_usd,
      );
    }
    return;
  }
  const unpriced = TOKEN_CLASSES.filter(
    (name) => row.cost_status === "partial" && row.cost[name] === null && row.tokens[name] !== null,
  );
  const isPartial = unpriced.some((name) => row.tokens[name] !== 0);
  const want = handCost(price, row.tokens, unpriced);
  if (row.cost_usd === null || isPartial) {
    const why = isPartial ? "partly priced" : "unpriced";
    judge.add(price.optional ? "flagged" : "wrong", why, `${price.name} ${unpriced.join(" ")}`);
  }
  if (row.cost_usd === null) return;
  if (readPicodollars(row.cost_usd) !== want) {
    judge.add("wrong", "wrong cost", `${row.cost_usd}, by hand ${Number(want) / 1e12}`);
  }
}

/** A model name without what a cloud adds to it. */
function baseModel(name: string): string {
  return name
    .replace(/^models\//, "")
    .replace(/^([a-z]{2,6}\.)?anthropic\./, "")
    .replace(/-v\d+:\d+$/, "");
}

/** Some clients cut the names of a cloud: then what is left of them is all that a row can say. */
function isModelOf(name: string, truth: string, { evidence }: Judge): boolean {
  return name === truth || (!evidence.values.has(truth) && baseModel(name) === baseModel(truth));
}

function judgeModel(call: TrueCall, row: CallRow, judge: Judge): void {
  const names = [call.request_model, call.response_model].filter((name) => name !== null);
  const got = `${row.request_model ?? "null"} -> ${row.response_model ?? "null"}`;
  const want = `${call.request_model} -> ${call.response_model ?? "null"}`;
  const best = row.response_model ?? row.request_model;
  const strange = [row.request_model, row.response_model].some(
    (name) => name !== null && !names.some((truth) => isModelOf(name, truth, judge)),
  );
  const isLost =
    call.response_model !== null &&
    isSent(call, "response_model") &&
    judge.evidence.values.has(call.response_model) &&
    best !== call.response_model;
  if (best === null) judge.add("wrong", "no model", `truth ${want}`);
  else if (strange || isLost) judge.add("wrong", "wrong model", `${got}, truth ${want}`);
}

/** A refused call of an unknown model may have no provider, when nobody named one. */
function judgeProvider(call: TrueCall, row: CallRow, judge: Judge): void {
  const provider = PROVIDERS.get(call.provider) ?? call.provider;
  if (row.provider === provider) return;
  const isNamed = [...judge.evidence.values].some((value) =>
    value.toLowerCase().startsWith(provider),
  );
  if (row.provider === null && !call.billable && !isNamed) return;
  judge.add("wrong", "wrong provider", `${row.provider ?? "null"}, truth ${provider}`);
}

function judgeFinish(call: TrueCall, row: CallRow, judge: Judge): void {
  const want = FINISH_REASONS.get(call.finish_reason ?? "");
  const got = row.finish_reason;
  if (want === undefined) return;
  if (call.finish_reason_note !== undefined) {
    if (got !== null && got !== "stop" && got !== want) {
      judge.add("wrong", "wrong finish_reason", `${got}, truth ${want}`);
    }
    return;
  }
  const spellings = FINISH_SPELLINGS.get(want) ?? [];
  const isSaid = spellings.some((word) => judge.evidence.values.has(word));
  if (got === null && isSaid && row.signal === "log") {
    // A row comes from one signal; what only the spans of the call say stays with the spans.
    judge.add("flagged", "finish_reason unknown, the row is made of a log record");
  } else if (got === null ? isSaid : got !== want) {
    judge.add("wrong", "wrong finish_reason", `${got ?? "null"}, truth ${want}`);
  }
}

const STREAM_KEY = /(^|[._])(is_)?stream(ing|ed)?=(true|false)$/i;

function judgeStreaming(call: TrueCall, row: CallRow, judge: Judge): void {
  if (row.streaming === call.streaming) return;
  const isSaid = [...judge.evidence.pairs].some(
    (pair) => STREAM_KEY.test(pair) && pair.toLowerCase().endsWith("=true"),
  );
  if (row.streaming !== null || (call.streaming && isSaid)) {
    judge.add("wrong", "wrong streaming", `${row.streaming}, truth ${call.streaming}`);
  }
}

function judgeTier(call: TrueCall, row: CallRow, judge: Judge): void {
  if (call.service_tier !== "flex" || row.service_tier === "flex") return;
  const isSaid = [...judge.evidence.pairs].some((pair) => /(^|_)flex(_|=)|tier=flex/.test(pair));
  if (isSaid) judge.add("wrong", "service_tier lost", `${row.service_tier ?? "null"}, truth flex`);
  else judge.add("flagged", "service_tier never sent, priced as standard");
}

function judgeContext(truth: Truth, row: CallRow, judge: Judge): void {
  const fields = [
    ["session", row.session_id],
    ["user", row.user_id],
    ["agent", row.agent_name],
  ] as const;
  for (const [name, got] of fields) {
    const want = truth.context[name];
    if (typeof want !== "string" || got === want || !judge.evidence.values.has(want)) continue;
    judge.add(
      "wrong",
      got === null ? `${name} lost` : `wrong ${name}`,
      `${got ?? "null"}, truth ${want}`,
    );
  }
}

function judgeShape(row: CallRow, judge: Judge): void {
  const parsed = CallRow.safeParse(row);
  if (!parsed.success) judge.add("wrong", "no valid row", parsed.error.message);
  if (row.input_total !== sumOf(row, INPUT_CLASSES)) judge.add("wrong", "input_total is no sum");
  if (row.output_total !== sumOf(row, OUTPUT_CLASSES)) judge.add("wrong", "output_total is no sum");
  for (const name of ["input_audio", "output_audio", "input_image", "output_image"] as const) {
    if ((row.tokens[name] ?? 0) !== 0) judge.add("wrong", `${name} is invented`);
  }
}

function judgeCall(truth: Truth, call: TrueCall, row: CallRow, judge: Judge): void {
  judgeShape(row, judge);
  judgeProvider(call, row, judge);
  judgeModel(call, row, judge);
  judgeContext(truth, row, judge);
  judgeStreaming(call, row, judge);
  if (call.tokens === null || !call.billable) return judgeFailure(call, row, judge);
  judgeTokens(call, call.tokens, row, judge);
  judgeMoney(call, row, judge);
  judgeTier(call, row, judge);
  judgeFinish(call, row, judge);
  if (row.status !== "ok") judge.add("wrong", "a good call is an error", row.error_type ?? "");
  judgeResponseId(call, row, judge);
}

/** An id that only stands inside JSON text may stay unknown; another call's may not take its place. */
function judgeResponseId(call: TrueCall, row: CallRow, judge: Judge): void {
  const { response_id } = call;
  if (response_id === null || row.response_id === response_id) return;
  if (!isSent(call, "response_id")) return;
  const { values, plain } = judge.evidence;
  const text = `${row.response_id ?? "null"}, truth ${response_id}`;
  // Without the bodies the truth alone tells; with them its id must really be there.
  if (values.size > 0 && !values.has(response_id)) return;
  if (row.response_id === null && values.size > 0 && !plain.has(response_id)) {
    judge.add("flagged", "response_id unknown, it is only inside JSON text");
  } else judge.add("wrong", "wrong response_id", text);
}

function judgeFailure(call: TrueCall, row: CallRow, judge: Judge): void {
  if (hasTokens(row)) judge.add("wrong", "a failed attempt has tokens");
  if (row.cost_usd !== null && readPicodollars(row.cost_usd) !== 0n) {
    judge.add("wrong", "a failed attempt costs", row.cost_usd);
  }
  if (row.status !== "error") judge.add("wrong", "a failed attempt is no error");
  const status = String(call.http_status);
  const isSaid = [...judge.evidence.pairs].some((pair) => pair.endsWith(`status_code=${status}`));
  if (row.http_status === null ? isSaid : String(row.http_status) !== status) {
    judge.add("wrong", "wrong http_status", `${row.http_status ?? "null"}, truth ${status}`);
  }
}

/** How well a row fits a call; the highest sum over all calls is the assignment. */
function scorePair(call: TrueCall, row: CallRow, distance: number): number {
  let score = 10 - distance / 10;
  if (call.response_id !== null && row.response_id === call.response_id) score += 1000;
  if ((row.status === "error") === (call.http_status ?? 200) >= 400) score += 200;
  if (!call.billable && hasTokens(row)) score -= 100;
  const model = row.response_model ?? row.request_model;
  if (model === call.response_model || model === call.request_model) score += 50;
  const { tokens } = call;
  if (tokens === null) return score;
  for (const { field, read } of [...CLASS_RULES, ...TOTAL_RULES]) {
    if (read(row) === tokens[field]) score += 5;
  }
  return score;
}

/** The best row for each call, or null; rows in order of their start. */
function assignRows(calls: readonly TrueCall[], rows: readonly CallRow[]): (CallRow | null)[] {
  const options = calls.map((call, index) =>
    rows
      .map((row, at) => ({ at, score: scorePair(call, row, Math.abs(at - index)) }))
      .filter(({ score }) => score > 0)
      .sort((a, b) => b.score - a.score)
      .slice(0, MAX_ROWS_PER_CALL),
  );
  let best: { score: number; taken: (number | null)[] } = { score: -1, taken: [] };
  const taken: (number | null)[] = [];
  const visit = (index: number, score: number): void => {
    const choices = options[index];
    if (choices === undefined) {
      if (score > best.score) best = { score, taken: [...taken] };
      return;
    }
    for (const option of [...choices, { at: null, score: 0 }]) {
      if (option.at !== null && taken.includes(option.at)) continue;
      taken.push(option.at);
      visit(index + 1, score + option.score);
      taken.pop();
    }
  };
  visit(0, 0);
  return calls.map((_call, index) => {
    const at = best.taken[index] ?? null;
    return at === null ? null : (rows[at] ?? null);
  });
}

/** All billable calls as one, for a row that is the sum of them. */
function sumCalls(calls: readonly TrueCall[]): TrueCall | null {
  const [first, ...others] = calls;
  if (first?.tokens == null) return null;
  const tokens = { ...first.tokens };
  for (const { tokens: more } of others) {
    for (const key of Object.keys(tokens) as (keyof TrueTokens)[]) tokens[key] += more?.[key] ?? 0;
  }
  const evidence = Object.fromEntries(Object.keys(tokens).map((key) => [key, false]));
  return { ...first, response_id: null, tokens, evidence_in_telemetry: evidence };
}

function describeRow(row: CallRow): string {
  return `${row.response_model ?? row.request_model ?? "no model"} ${row.status} ${row.input_total}/${row.output_total} ${row.dialect} (${row.reason})`;
}

/** Whether a row should show that a call was refused: the bodies name what was asked for. */
function isFailureSaid(truth: Truth, call: TrueCall, evidence: Evidence): boolean {
  return truth.billable_calls === 0 && evidence.values.has(call.request_model);
}

/**
 * Holds the rows of a case against its truth. `evidence` is what the bodies say (collectEvidence);
 * without it nothing is asked of context, status and other words.
 */
export function judgeCase(
  truth: Truth,
  rows: readonly CallRow[],
  evidence: Evidence = NO_EVIDENCE,
): Verdict {
  const findings: Finding[] = [];
  const judgeOf = (seq: number | null): Judge => ({
    evidence,
    add(grade, why, detail = "") {
      const isSame = (other: Finding) =>
        other.seq === seq && other.why === why && other.detail === detail;
      if (!findings.some(isSame)) findings.push({ grade, why, detail, seq });
    },
  });
  const nobody = judgeOf(null);
  const sorted = [...rows].sort((a, b) => a.start_time.localeCompare(b.start_time));
  const billable = truth.calls.filter((call) => call.billable);
  const good = sorted.filter((row) => row.status === "ok");
  const whole = good.length < billable.length ? sumCalls(billable) : null;
  const sum = whole === null ? undefined : good.find((row) => row.usage_status === "aggregate");
  if (sum !== undefined && whole !== null) {
    judgeCall(truth, whole, sum, judgeOf(null));
    const wasSent = billable.every(
      (call) => isSent(call, "input_total") && isSent(call, "output_total"),
    );
    if (wasSent) nobody.add("wrong", "one sum although each call was sent", describeRow(sum));
    else nobody.add("flagged", "one sum for several calls");
  }
  const calls = sum === undefined ? truth.calls : truth.calls.filter((call) => !call.billable);
  const rest = sorted.filter((row) => row !== sum);
  const assigned = assignRows(calls, rest);
  const pairs = calls.map((call, index) => ({ call, row: assigned[index] ?? null }));
  let isFailureShown = false;
  for (const { call, row } of pairs) {
    const judge = judgeOf(call.seq);
    if (row !== null) judgeCall(truth, call, row, judge);
    else if (truth.files.length === 0) continue;
    else if (call.billable) judge.add("wrong", "no row");
    if (!call.billable && row !== null) isFailureShown = true;
  }
  const failed = pairs.find(({ call }) => !call.billable && isFailureSaid(truth, call, evidence));
  if (failed !== undefined && !isFailureShown) {
    judgeOf(failed.call.seq).add("wrong", "no row for a refused call that was sent");
  }
  const ids = new Set(sorted.map((row) => row.call_id));
  if (ids.size !== sorted.length) nobody.add("wrong", "two rows have one call_id");
  for (const row of rest) {
    if (assigned.includes(row)) continue;
    // Reports with one response id are one call: there is nothing to suspect.
    const isKnown = truth.calls.some(
      ({ response_id }) => response_id !== null && response_id === row.response_id,
    );
    if (row.suspected_duplicate && !isKnown) {
      nobody.add("flagged", "a suspected duplicate is counted", describeRow(row));
    } else nobody.add("wrong", "superfluous row", describeRow(row));
  }
  return { outcome: outcomeOf(truth, findings), findings, pairs };
}

function outcomeOf(truth: Truth, findings: readonly Finding[]): Outcome {
  if (findings.some(({ grade }) => grade === "wrong")) return "wrong";
  if (truth.files.length === 0) return "silent";
  return findings.length > 0 ? "flagged" : "right";
}
