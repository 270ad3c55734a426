/**
 * From the totals an emitter sends to disjoint token classes (DESIGN section 5 rule 5;
 * dialects.md sections 1.3 to 1.6). Nothing is clamped: `max(0, input - cache)` loses real tokens
 * wherever an emitter's input excludes the cache. Absent stays null, zero stays zero.
 *
 * `splitCounts` is the one mechanism. It allocates nothing unless it has something to note, because it
 * also runs for spans that never become objects; `splitUsage` reads a record for it off attributes.
 */
import type { Span } from "../../schemas/span.ts";
import { CLASS_INDEX } from "../../schemas/tokens.ts";
import { type Dialect, includesProvider } from "./dialect.ts";
import type { SentCounts } from "./payload.ts";
import type { PresentValue, SlotValues } from "./slots.ts";
import {
  type Count,
  makeSent,
  makeUsage,
  putCount,
  resetSent,
  resetUsage,
  type Sent,
  TOKEN_NAMES,
  type Usage,
  USAGE_NAMES,
  type UsageName,
} from "./usage-record.ts";
import { readTokens } from "./values.ts";

export {
  makeSent,
  makeUsage,
  putCount,
  resetSent,
  type Sent,
  type Usage,
  USAGE_NAMES,
  type UsageName,
} from "./usage-record.ts";

/** What the words of a call decide about its counts, whatever they are. */
export interface CompiledRules {
  readonly input_excludes_cache: boolean;
  readonly output_excludes_reasoning: boolean;
  readonly hides_cache: boolean;
  readonly hides_reasoning: boolean;
  /** The total may count prompts of tools that stand beside the input. */
  readonly counts_tool_prompts: boolean;
  /** No provider caches such prompts, so nothing is kept back. */
  readonly is_uncached: boolean;
  /** An input without an output, or the other way round, is the whole call. */
  readonly is_one_sided: boolean;
  /** Cache writes cost by their lifetime. */
  readonly has_lifetimes: boolean;
}

/** Counts from a payload, and whether they replace those of the attributes or complete them. */
export interface PayloadCounts {
  readonly counts: SentCounts;
  readonly is_whole: boolean;
}

/** The rules of an emitter that `splitUsage` needs. */
export type UsageRules = Pick<
  Dialect,
  | "usage"
  | "input_excludes_cache_of"
  | "output_excludes_reasoning_of"
  | "hides_cache_of"
  | "hides_reasoning_of"
  | "estimate"
>;

/**
 * No provider caches a shorter prompt, tokens (OpenAI, Anthropic, Gemini and Bedrock documentation):
 * below it an emitter that hides the cache hides nothing.
 */
const MIN_CACHED_PROMPT_TOKENS = 1024;

/** Operations whose prompts no provider caches. */
const UNCACHED_OPERATIONS: ReadonlySet<string> = new Set(["embeddings", "embedding", "rerank"]);

/** Operations that may have a prompt without an output, or an output without a prompt. */
const ONE_SIDED_OPERATIONS = /embed|rerank|image|audio|speech|transcri/;

/** Providers whose total also counts prompts of tools that stand beside the input. */
const COUNTS_TOOL_PROMPTS: ReadonlySet<string> = new Set(["google", "vertex"]);

/** The models whose cache writes cost by lifetime, on whatever platform. */
const CLAUDE = /claude/i;

/** What the rules of an emitter come to for all calls of the same words. */
export function compileUsageRules(
  rules: Omit<UsageRules, "usage" | "estimate">,
  call: Pick<Span, "provider" | "operation" | "request_model" | "response_model">,
): CompiledRules {
  const { provider, operation } = call;
  const model = call.response_model || call.request_model;
  return {
    input_excludes_cache: includesProvider(rules.input_excludes_cache_of, provider),
    output_excludes_reasoning: includesProvider(rules.output_excludes_reasoning_of, provider),
    hides_cache: includesProvider(rules.hides_cache_of, provider),
    hides_reasoning: includesProvider(rules.hides_reasoning_of, provider),
    counts_tool_prompts: COUNTS_TOOL_PROMPTS.has(provider),
    is_uncached: UNCACHED_OPERATIONS.has(operation),
    is_one_sided: ONE_SIDED_OPERATIONS.test(operation),
    has_lifetimes: provider === "anthropic" || CLAUDE.test(model),
  };
}

/** The record of the call at hand in `splitUsage`, which nobody else sees. */
const SENT = makeSent();

/**
 * Reads and splits the usage of a call: from the provider's own counts where a payload has them,
 * else from the attributes by the rules of the emitter. The answer is the caller's to keep.
 */
export function splitUsage(
  values: SlotValues,
  rules: UsageRules,
  call: Pick<Span, "provider" | "operation" | "status" | "request_model" | "response_model">,
  payload: PayloadCounts | undefined,
): Usage {
  const usage = makeUsage();
  resetSent(SENT);
  SENT.has_failed = call.status === "error";
  readSent(values, rules, payload, SENT);
  if (!SENT.is_whole) SENT.doubt = rules.estimate?.(values, call.provider);
  splitCounts(SENT, compileUsageRules(rules, call), usage);
  return usage;
}

function readSent(
  values: SlotValues,
  rules: UsageRules,
  payload: PayloadCounts | undefined,
  sent: Sent,
): void {
  const { usage: keys } = rules;
  const counts = payload?.counts;
  sent.is_whole = payload?.is_whole === true;
  for (const [index, name] of USAGE_NAMES.entries()) {
    const key_value = sent.is_whole ? undefined : values.firstFor(name, keys[name]);
    const value = key_value ?? ((counts?.[name] ?? undefined) as PresentValue | undefined);
    putCount(sent, index, readTokens(value));
  }
  sent.input_includes_cache = counts?.input_includes_cache;
  sent.output_includes_reasoning = counts?.output_includes_reasoning;
  sent.is_estimate = counts?.is_estimate === true;
  sent.note = counts?.note;
}

/**
 * Splits the counts of a call into `usage`, which is emptied first and may be reused from call to call;
 * a caller that keeps any of it makes a new one with `makeUsage`. Changes `sent`.
 */
export function splitCounts(sent: Sent, rules: CompiledRules, usage: Usage): void {
  resetUsage(usage);
  if (sent.broken_mask !== 0) noteBroken(sent.broken_mask, usage);
  usage.web_searches = sent.web_search ?? 0;
  if (!hasTokens(sent)) return;
  if (!sent.has_failed && isNothing(sent)) {
    usage.notes.push("an answer takes tokens: the zeros sent stand for counts that were lost");
    return;
  }
  // Where one count is no count, the others are not the whole of the call.
  usage.status = sent.broken_mask === 0 ? "reported" : "estimated";
  if (sent.note !== undefined) derive(usage, sent.note);
  if (sent.is_estimate) usage.status = "estimated";
  const has_cache = inputIncludesCache(sent, rules, usage);
  const has_reasoning = outputIncludesReasoning(sent, rules, has_cache, usage);
  addCacheWrites(sent, has_cache, usage);
  addToolPrompts(sent, rules, has_cache, has_reasoning, usage);
  splitInput(sent, has_cache, usage);
  splitOutput(sent, has_reasoning, usage);
  if (!sent.is_whole && !rules.is_uncached) {
    noteDoubt(sent.doubt, usage);
    noteDoubt(hiddenCache(sent, rules), usage);
    noteDoubt(hiddenReasoning(sent, rules), usage);
    noteUnexplainedTotal(sent, usage);
  }
  if (!sent.has_failed && !rules.is_one_sided) noteHalf(sent, usage);
  if (rules.has_lifetimes) noteLifetime(usage);
}

function noteBroken(broken_mask: number, usage: Usage): void {
  for (const [index, name] of USAGE_NAMES.entries()) {
    if ((broken_mask & (1 << index)) === 0) continue;
    usage.notes.push(`the ${name} token count sent is no token count`);
  }
}

/** Whether any count says what was used. */
function hasTokens(sent: Sent): boolean {
  if (sent.input !== undefined || sent.output !== undefined) return true;
  for (let index = 0; index < TOKEN_NAMES.length; index += 1) {
    if (sent[TOKEN_NAMES[index] as UsageName] !== undefined) return true;
  }
  return false;
}

/** Whether input and output were both sent and no count is above zero. */
function isNothing(sent: Sent): boolean {
  if (sent.output !== 0 || (sent.input ?? sent.input_uncached) !== 0) return false;
  return TOKEN_NAMES.every((name) => (sent[name] ?? 0) === 0);
}

/** All that the cache served and took. */
function cachedOf(sent: Sent): number {
  const written = (sent.cache_write_5m ?? 0) + (sent.cache_write_1h ?? 0);
  return (sent.cache_read ?? 0) + Math.max(sent.cache_write ?? 0, written);
}

/** Whether `input` holds the cached tokens: certain arithmetic, the provider, the table, the rule. */
function inputIncludesCache(sent: Sent, rules: CompiledRules, usage: Usage): boolean {
  const cached = cachedOf(sent);
  const { input, output, total } = sent;
  if (input === undefined) return true;
  if (cached > input) {
    if (sent.input_includes_cache !== false) {
      derive(usage, "input sent is less than the cached tokens: it excludes them");
    }
    return false;
  }
  if (sent.input_includes_cache !== undefined) return sent.input_includes_cache;
  if (cached > 0 && total !== undefined && output !== undefined) {
    if (total - output !== input && total - output === input + cached) {
      derive(usage, "the total sent holds the cached tokens beside the input");
      return false;
    }
  }
  if (!rules.input_excludes_cache) return true;
  if (cached > 0) derive(usage, "the input of this instrumentation excludes the cached tokens");
  return false;
}

/** Whether `output` holds the reasoning tokens. */
function outputIncludesReasoning(
  sent: Sent,
  rules: CompiledRules,
  has_cache: boolean,
  usage: Usage,
): boolean {
  const { input, output, total, reasoning } = sent;
  if (output === undefined || reasoning === undefined || reasoning === 0) return true;
  const parts = (sent.output_audio ?? 0) + (sent.output_image ?? 0);
  if (reasoning > output - (parts <= output ? parts : 0)) {
    if (sent.output_includes_reasoning !== false) {
      derive(usage, "output sent is less than the reasoning tokens: it excludes them");
    }
    return false;
  }
  if (total !== undefined && input !== undefined) {
    const prompt = input + (has_cache ? 0 : cachedOf(sent)) + (sent.tool_input ?? 0);
    const is_apart = prompt + output + reasoning === total;
    const is_inside = prompt + output === total;
    if (is_apart !== is_inside) {
      const expected = sent.output_includes_reasoning ?? true;
      if (is_apart === expected) {
        derive(
          usage,
          `the total sent tells that output ${is_apart ? "excludes" : "includes"} reasoning`,
        );
      }
      return is_inside;
    }
  }
  if (sent.output_includes_reasoning !== undefined) return sent.output_includes_reasoning;
  if (!rules.output_excludes_reasoning) return true;
  derive(usage, "the output of this instrumentation excludes reasoning");
  return false;
}

/** Cache writes that nobody sent: what the input holds beside the cached and the uncached tokens. */
function addCacheWrites(sent: Sent, has_cache: boolean, usage: Usage): void {
  const { input, input_uncached, cache_read } = sent;
  if (!has_cache || input === undefined || input_uncached === undefined) return;
  const { cache_write, cache_write_5m, cache_write_1h } = sent;
  if (cache_read === undefined || cache_write !== undefined) return;
  if (cache_write_5m !== undefined || cache_write_1h !== undefined) return;
  const rest = input - input_uncached - cache_read;
  if (rest <= 0) return;
  sent.cache_write = rest;
  derive(usage, "the input sent holds more than was uncached or read: the cache writes");
}

/** Prompts of tools that only the total tells of, where a provider counts them apart. */
function addToolPrompts(
  sent: Sent,
  rules: CompiledRules,
  has_cache: boolean,
  has_reasoning: boolean,
  usage: Usage,
): void {
  const { input, output, total } = sent;
  if (input === undefined) return;
  if (sent.tool_input !== undefined) {
    sent.input = input + sent.tool_input;
    return;
  }
  // Without the reasoning tokens a difference to the total may as well be reasoning.
  if (!rules.counts_tool_prompts || sent.reasoning === undefined) return;
  if (total === undefined || output === undefined) return;
  const prompt = input + (has_cache ? 0 : cachedOf(sent));
  const rest = total - prompt - output - (has_reasoning ? 0 : sent.reasoning);
  if (rest <= 0) return;
  sent.input = input + rest;
  derive(usage, "the total sent holds more prompt tokens: those of tool results");
}

function put(usage: Usage, index: number, count: Count): void {
  if (count !== undefined) usage.tokens[index] = count;
}

function splitInput(sent: Sent, has_cache: boolean, usage: Usage): void {
  const written = splitCacheWrites(sent, usage);
  put(usage, CLASS_INDEX.cache_read, sent.cache_read);
  let rest = restOfInput(sent, written, has_cache);
  if (rest === undefined) {
    putInputParts(sent, usage);
    return;
  }
  if (rest < 0) {
    // The lifetimes exceed the total of the writes, which exceeds what the input leaves.
    rest = sent.input ?? 0;
    derive(usage, "input sent is less than the cached tokens: it excludes them");
  }
  const modal = (sent.input_audio ?? 0) + (sent.input_image ?? 0);
  if (modal <= rest) {
    putInputParts(sent, usage);
    put(usage, CLASS_INDEX.input_uncached, rest - modal);
  } else if (modal <= (sent.input ?? rest)) {
    // Cached and audio tokens overlap by an unknown number: kept apart they would count twice.
    put(usage, CLASS_INDEX.input_uncached, rest);
    usage.status = "estimated";
    usage.notes.push("some audio or image tokens were cached: all are taken as text");
  } else {
    putInputParts(sent, usage);
    put(usage, CLASS_INDEX.input_uncached, rest);
    derive(usage, "audio and image parts exceed the input sent: it excludes them");
  }
}

/** What of the input no cache served or took; undefined when there is no input. */
function restOfInput(sent: Sent, written: number, has_cache: boolean): number | undefined {
  if (sent.input_uncached !== undefined) return sent.input_uncached;
  if (sent.input === undefined) return undefined;
  return has_cache ? sent.input - (sent.cache_read ?? 0) - written : sent.input;
}

function putInputParts(sent: Sent, usage: Usage): void {
  put(usage, CLASS_INDEX.input_audio, sent.input_audio);
  put(usage, CLASS_INDEX.input_image, sent.input_image);
}

function splitOutput(sent: Sent, has_reasoning: boolean, usage: Usage): void {
  put(usage, CLASS_INDEX.output_reasoning, sent.reasoning);
  put(usage, CLASS_INDEX.output_audio, sent.output_audio);
  put(usage, CLASS_INDEX.output_image, sent.output_image);
  if (sent.output === undefined) return;

  let rest = sent.output - (sent.output_audio ?? 0) - (sent.output_image ?? 0);
  if (rest < 0) {
    rest = sent.output;
    derive(usage, "audio and image parts exceed the output sent: it excludes them");
  }
  put(usage, CLASS_INDEX.output_text, has_reasoning ? rest - (sent.reasoning ?? 0) : rest);
}

/** Marks the usage as found by arithmetic or a table, and says by which. */
function derive(usage: Usage, note: string): void {
  if (usage.status === "reported") usage.status = "derived";
  usage.notes.push(note);
}

/** Puts the cache writes by lifetime and returns all that was written, tokens. */
function splitCacheWrites(sent: Sent, usage: Usage): number {
  const { cache_write, cache_write_5m, cache_write_1h } = sent;
  put(usage, CLASS_INDEX.cache_write_5m, cache_write_5m);
  put(usage, CLASS_INDEX.cache_write_1h, cache_write_1h);
  const known = (cache_write_5m ?? 0) + (cache_write_1h ?? 0);
  if (cache_write === undefined) return known;
  if (known > cache_write) {
    derive(usage, "cache writes by lifetime exceed their total: the lifetimes are taken");
    return known;
  }
  put(usage, CLASS_INDEX.cache_write, cache_write - known);
  return cache_write;
}

/** Says what the emitter keeps back or makes up, if anything. */
function noteDoubt(doubt: string | undefined, usage: Usage): void {
  if (doubt === undefined) return;
  usage.status = "estimated";
  usage.notes.push(doubt);
}

/** An answer has a prompt and an output: where one of them is not told, the cost is a lower bound. */
function noteHalf({ input, input_uncached, output }: Sent, usage: Usage): void {
  const has_input = input !== undefined || input_uncached !== undefined;
  if (has_input === (output !== undefined)) return;
  usage.notes.push(has_input ? "the output is not told" : "the input is not told");
}

/** Cache writes of Claude cost by lifetime: the counts are as told, and the reader of the cost warned. */
function noteLifetime(usage: Usage): void {
  if ((usage.tokens[CLASS_INDEX.cache_write] ?? 0) === 0) return;
  usage.notes.push("the lifetime of the cache writes is not told: they are priced as 5 minutes");
}

/** A total above its parts holds tokens that were billed and that no count tells of. */
function noteUnexplainedTotal({ input, output, total }: Sent, usage: Usage): void {
  if (total === undefined || input === undefined || output === undefined) return;
  if (usage.status === "estimated") return;
  const { tokens } = usage;
  let told = 0;
  for (let index = 0; index < tokens.length; index += 1) told += tokens[index] ?? 0;
  if (total <= told) return;
  usage.status = "estimated";
  usage.notes.push("the total sent exceeds its parts: cached or other tokens are kept back");
}

function hiddenCache(sent: Sent, rules: CompiledRules): string | undefined {
  if (!rules.hides_cache || sent.cache_read !== undefined || sent.input === undefined) {
    return undefined;
  }
  if (rules.input_excludes_cache) {
    return "this instrumentation hides cached tokens: the input is a lower bound";
  }
  if (sent.input < MIN_CACHED_PROMPT_TOKENS) return undefined;
  return "this instrumentation hides cached tokens: all input is taken as uncached";
}

function hiddenReasoning(sent: Sent, rules: CompiledRules): string | undefined {
  const { input, output, total, reasoning } = sent;
  if (!rules.hides_reasoning || reasoning !== undefined || output === undefined) return undefined;
  if (total !== undefined && input !== undefined && total === input + output) return undefined;
  return "this instrumentation hides reasoning tokens: the output is a lower bound";
}
