/**
 * Reads a model call off a span by its dialect: who was called, what it used, how it ended.
 *
 * Invariant: an attribute beats a payload wherever both name a text; a payload with the provider's
 * own counts beats the attributes wherever both have numbers (dialects.md section 1.3).
 */
import type { DecodedSpan, FeeUnits, Span } from "../../schemas/span.ts";
import { TOKEN_CLASSES } from "../../schemas/tokens.ts";
import { classify, findKind } from "./classify.ts";
import type { Dialect, FailureMark, Slots } from "./dialect.ts";
import { at, type Json, parsePayload, type PayloadFacts } from "./payload.ts";
import type { PresentValue, SlotValues } from "./slots.ts";
import { type PayloadCounts, splitUsage, type Usage } from "./usage.ts";
import {
  readFirstWord,
  readFlag,
  readHttpStatus,
  readIdentity,
  readLastWord,
  readMilliseconds,
  readSeconds,
  readText,
  readTimeNs,
  readUsd,
} from "./values.ts";
import { nameFinishReason, nameProvider, nameResponseId, nameServiceTier } from "./vocabulary.ts";

/** The event that holds the messages of a call in the conventions since v1.37. */
const INFERENCE_DETAILS = "gen_ai.client.inference.operation.details";

/** Fills the span with what its dialect reads from it: class, call, usage, context. */
export function readCall(
  span: Span,
  decoded: DecodedSpan,
  dialect: Dialect,
  values: SlotValues,
): void {
  span.dialect = dialect.name;
  const kind = findKind(dialect, values);
  const may_count =
    kind === undefined || kind.span_class === "billable" || kind.span_class === "aggregate";
  const is_sum = kind?.span_class === "aggregate";
  const facts = may_count ? readPayloads(dialect, values, is_sum) : new MergedFacts();
  const text = (slots: Slots, name: TextFact): string =>
    readText(values.first(slots)) ?? readText(facts.text(name)) ?? "";
  const keys = dialect.fields;

  span.operation = kind?.operation || text(keys.operation, "operation");
  const model = splitModel(dialect, text(keys.request_model, "request_model"));
  span.request_model = model.name;
  span.response_model = text(keys.response_model, "response_model");
  placeModel(span, readText(values.first(keys.either_model)));
  span.provider = nameProvider(
    readText(values.first(keys.provider)) ?? model.provider,
    span.response_model === "" ? span.request_model : span.response_model,
    readText(facts.text("provider")),
  );
  if (span.provider === "") span.provider = readText(facts.text("client_of")) ?? "";
  span.response_id = nameResponseId(
    readText(values.firstFor("response_id", keys.response_id)) ??
      readText(facts.text("response_id")) ??
      "",
  );
  const readReason = dialect.lists_reasons_by_chunk ? readLastWord : readFirstWord;
  const sent = readReason(values.first(keys.finish_reason));
  const answered = readFirstWord(facts.text("finish_reason"));
  const [first, second] = dialect.answer_tells_end ? [answered, sent] : [sent, answered];
  span.finish_reason = nameFinishReason(first ?? second ?? chosenFor(decoded));
  span.service_tier = nameServiceTier(text(keys.service_tier, "service_tier"));
  span.region = text(keys.region, "region").toLowerCase();
  // An answer in pieces was streamed, whatever the request says that the application asked for.
  const streams = [readFlag(values.first(keys.streaming)), readFlag(facts.text("streaming"))];
  const told = streams[0] ?? streams[1] ?? kind?.streaming;
  span.streaming = streams.includes(true) || (told ?? (values.has(keys.of_streams) || null));
  span.ttft_ns = readFirstTokenTime(decoded, dialect, values);
  const identity = (slots: Slots, name: "user_id" | "session_id"): string =>
    readIdentity(values.firstFor(name, slots)) ?? readIdentity(facts.text(name)) ?? "";
  span.user_id = identity(keys.user_id, "user_id");
  span.session_id = identity(keys.session_id, "session_id");
  span.agent_name =
    text(keys.agent_name, "agent_name") || (dialect.names_agent_by_span ? span.name : "");
  // Emitters write 0 when they know no price, so 0 claims nothing (dialects.md 1.6).
  span.client_cost =
    readUsd(values.first(keys.client_cost_usd) ?? facts.text("client_cost_usd")) || null;
  applyError(span, decoded, dialect, values);

  const usage = splitUsage(values, dialect, span, facts.counts);
  const has_model = span.request_model !== "" || span.response_model !== "";
  const has_usage = usage.status !== "missing";
  const found = classify(dialect, kind, decoded, span.operation, has_model, has_usage);
  span.span_class = found.span_class;
  span.reason = found.reason;
  if (span.span_class === "billable" || span.span_class === "aggregate") {
    applyUsage(span, usage, facts.fee_units);
  }
}

/** Why the model stopped, from the event that holds the answer, by either convention for it. */
function chosenFor({ events }: DecodedSpan): string | undefined {
  const choice = events.findLast((event) => event.name === "gen_ai.choice")?.attributes;
  const sent = readFirstWord(choice?.get("finish_reason"));
  if (sent !== undefined || choice !== undefined) return sent;
  const details = events.findLast((event) => event.name === INFERENCE_DETAILS)?.attributes;
  const messages = parsePayload(details?.get("gen_ai.output.messages"));
  return readFirstWord(at(messages, 0, "finish_reason") as PresentValue | undefined);
}

/** The model, and the provider where the dialect puts it before the model. */
function splitModel(dialect: Dialect, sent: string): { name: string; provider?: string } {
  const slash = dialect.qualifies_models ? sent.indexOf("/") : -1;
  return slash === -1
    ? { name: sent }
    : { name: sent.slice(slash + 1), provider: sent.slice(0, slash) };
}

function applyUsage(span: Span, usage: Usage, fee_units: readonly FeeUnits[]): void {
  span.tokens = usage.tokens;
  span.usage_status = span.span_class === "aggregate" ? "aggregate" : usage.status;
  span.provider_calls = span.span_class === "aggregate" ? null : 1;
  span.fee_units =
    usage.web_searches > 0 && !fee_units.some(({ kind }) => kind === "web_search")
      ? [...fee_units, { kind: "web_search", count: usage.web_searches }]
      : fee_units;
  if (usage.status === "missing") {
    usage.notes.push(
      span.status === "error" ? "it failed without usage" : "nobody reported its usage",
    );
  }
  if (usage.notes.length > 0) span.reason += `; ${usage.notes.join("; ")}`;
}

/** Takes a span out of the ledger that is a copy of another. */
export function disown(span: Span, reason: string): void {
  span.span_class = "structure";
  span.reason = reason;
  span.tokens = TOKEN_CLASSES.map(() => null);
  span.fee_units = [];
  span.usage_status = "none";
  span.provider_calls = null;
}

/** Facts of a payload that are one text each. */
type TextFact = Exclude<keyof PayloadFacts, "counts" | "completes" | "fee_units">;

/** What all payloads of a span say; of each fact the first that says it. */
class MergedFacts {
  counts: PayloadCounts | undefined = undefined;
  fee_units: readonly FeeUnits[] = [];
  readonly #found: PayloadFacts[] = [];

  add(facts: PayloadFacts): void {
    this.#found.push(facts);
    if (this.fee_units.length === 0) this.fee_units = facts.fee_units ?? [];
    if (facts.counts === undefined || this.counts?.is_whole === true) return;
    const { input, output } = facts.counts;
    const is_whole = facts.completes !== true && (isCount(input) || isCount(output));
    if (is_whole || this.counts === undefined) this.counts = { counts: facts.counts, is_whole };
  }

  /** The first payload's word for it; texts, numbers and flags only. */
  text(name: TextFact): PresentValue | undefined {
    for (const facts of this.#found) {
      const value = facts[name];
      const is_text = typeof value === "string" || typeof value === "number";
      if (is_text && value !== "") return value;
      if (typeof value === "boolean") return value;
    }
    return undefined;
  }
}

function isCount(value: Json): boolean {
  return value !== undefined && value !== null;
}

/** Puts a model that is the request's or the response's where it says something new. */
function placeModel(span: Span, model: string | undefined): void {
  if (model === undefined || model === span.request_model || model === span.response_model) return;
  if (span.request_model === "") span.request_model = model;
  else if (span.response_model === "") span.response_model = model;
}

function readPayloads(dialect: Dialect, values: SlotValues, is_sum: boolean): MergedFacts {
  const merged = new MergedFacts();
  for (const { keys, read, of_calls_only, mime } of dialect.payloads) {
    if (is_sum && of_calls_only === true) continue;
    if (mime !== undefined && readText(values.first(mime))?.includes("json") !== true) continue;
    const payload = parsePayload(values.first(keys));
    const facts = payload === undefined ? undefined : read(payload);
    if (facts === undefined) continue;
    merged.add(facts);
    if (values.reads !== null) values.reads.has_payload = true;
  }
  return merged;
}

/** Time to first token, ns: a duration, or the time it came less the start. */
function readFirstTokenTime(
  decoded: DecodedSpan,
  dialect: Dialect,
  values: SlotValues,
): bigint | null {
  const keys = dialect.fields;
  const sent =
    readSeconds(values.firstFor("ttft_s", keys.ttft_s)) ??
    readMilliseconds(values.firstFor("ttft_ms", keys.ttft_ms));
  // No answer comes in no time: Codex sends 0 for every one.
  if (sent !== undefined && sent > 0n) return sent;
  const came_ns = readTimeNs(values.first(keys.first_token_at));
  if (came_ns === undefined) return null;
  // Such times have milliseconds, a start has nanoseconds: within one of them it is at once.
  const ttft_ns = came_ns - decoded.start_ns;
  if (ttft_ns < -1_000_000n || came_ns > decoded.end_ns + 1_000_000n) return null;
  return ttft_ns < 0n ? 0n : ttft_ns;
}

/**
 * How SDKs begin the message of a refused call, "429 …", "Error code: 429 - …", "status_code: 429";
 * Genkit before them "RESOURCE_EXHAUSTED: "; what JSON says; Google's "Error fetching from …: [429 …".
 */
const STATUSES_IN_MESSAGE: readonly RegExp[] = [
  /^(?:Error code: |Error: |status_code: |[\w.]*Error: |[A-Z_]+: )?([45]\d\d)\b/,
  /"(?:code|status)":\s*([45]\d\d)\b/,
  /"error":\s*"Error: ([45]\d\d)\b/,
  /^(?:[A-Z_]+: |\[GoogleGenerativeAI Error\]: )?Error fetching from \S+: \[([45]\d\d) /,
];

/** The HTTP status that the message of an error begins with or holds; 0 for none. */
export function statusInMessage(message: string | undefined): number {
  for (const pattern of message === undefined ? [] : STATUSES_IN_MESSAGE) {
    const match = pattern.exec(message as string);
    if (match !== null) return Number(match[1]);
  }
  return 0;
}

function isMarked({ keys, words }: FailureMark, values: SlotValues): boolean {
  const word = readFirstWord(values.first(keys));
  return word !== undefined && words.has(word.toLowerCase());
}

/** Error type and HTTP status: from attributes, the exception event, or the error message. */
function applyError(span: Span, decoded: DecodedSpan, dialect: Dialect, values: SlotValues): void {
  span.error_type = readText(values.first(dialect.fields.error_type)) ?? "";
  span.http_status = readHttpStatus(values.first(dialect.fields.http_status)) ?? 0;
  const exception = decoded.events.findLast((event) => event.name === "exception")?.attributes;
  const failed =
    span.error_type !== "" ||
    span.http_status >= 400 ||
    span.finish_reason === "error" ||
    (dialect.exception_is_failure && exception !== undefined) ||
    dialect.failures.some((mark) => isMarked(mark, values));
  if (failed) span.status = "error";
  if (span.status !== "error") return;
  if (span.http_status === 0) {
    span.http_status =
      statusInMessage(decoded.status_message) ||
      statusInMessage(readText(exception?.get("exception.message"))) ||
      statusInMessage(readText(values.first(dialect.fields.error_message)));
  }
  if (span.error_type === "") {
    // The convention takes the status code where there is no name of an error.
    const code = span.http_status >= 400 ? String(span.http_status) : "_OTHER";
    span.error_type = readText(exception?.get("exception.type")) ?? code;
  }
}
