/**
 * From the totals an emitter sends to disjoint token classes (DESIGN section 5 rule 5;
 * dialects.md sections 1.3 to 1.6). Nothing is clamped: `max(0, input - cache)` loses real tokens
 * wherever an emitter's input excludes the cache. Absent stays null, zero stays zero.
 */
import type { Span, UsageStatus } from "../../schemas/span.ts";
import { CLASS_INDEX, TOKEN_CLASSES, type TokenClass } from "../../schemas/tokens.ts";
import { type Dialect, includesProvider, type UsageKeys } from "./dialect.ts";
import type { SentCounts } from "./payload.ts";
import type { PresentValue, SlotValues } from "./slots.ts";
import { readTokens } from "./values.ts";

type Count = number | undefined;

/** The totals as sent, each believable or absent. */
type Sent = { -readonly [Name in keyof UsageKeys]: Count } & {
  input_includes_cache: boolean | undefined;
  output_includes_reasoning: boolean | undefined;
};

export interface Usage {
  /** In the order of TOKEN_CLASSES. */
  tokens: (number | null)[];
  status: UsageStatus;
  /** Web searches billed by the piece; 0 when none are known of. */
  web_searches: number;
  /** What a reader of the row has to know about the numbers; empty when they are plain. */
  notes: string[];
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

/** Counts that are believed as whole numbers of tokens, with the words for a broken one. */
const USAGE_NAMES: readonly (keyof UsageKeys)[] = [
  "input",
  "output",
  "total",
  "input_uncached",
  "cache_read",
  "cache_write",
  "cache_write_5m",
  "cache_write_1h",
  "tool_input",
  "reasoning",
  "input_audio",
  "output_audio",
  "input_image",
  "output_image",
  "web_search",
];

/** Counts that say what was used; a total or a number of searches alone does not. */
const TOKEN_NAMES = USAGE_NAMES.filter((name) => name !== "total" && name !== "web_search");

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

/**
 * Reads and splits the usage of a call: from the provider's own counts where a payload has them,
 * else from the attributes by the rules of the emitter.
 */
export function splitUsage(
  values: SlotValues,
  rules: UsageRules,
  call: Pick<Span, "provider" | "operation" | "status" | "request_model" | "response_model">,
  payload: PayloadCounts | undefined,
): Usage {
  const { provider, operation, status } = call;
  const usage: Usage = {
    tokens: TOKEN_CLASSES.map(() => null),
    status: "missing",
    web_searches: 0,
    notes: [],
  };
  const sent = readSent(values, rules, payload, usage);
  usage.web_searches = sent.web_search ?? 0;
  if (!TOKEN_NAMES.some((name) => sent[name] !== undefined)) return usage;
  if (status !== "error" && isNothing(sent)) {
    usage.notes.push("an answer takes tokens: the zeros sent stand for counts that were lost");
    return usage;
  }
  // Where one count is no count, the others are not the whole of the call.
  usage.status = usage.notes.length === 0 ? "reported" : "estimated";
  if (payload?.counts.note !== undefined) derive(usage, payload.counts.note);
  if (payload?.counts.is_estimate === true) usage.status = "estimated";
  const has_cache = inputIncludesCache(sent, rules, provider, usage);
  const has_reasoning = outputIncludesReasoning(sent, rules, provider, has_cache, usage);
  addCacheWrites(sent, has_cache, usage);
  addToolPrompts(sent, provider, has_cache, has_reasoning, usage);
  splitInput(sent, has_cache, usage);
  splitOutput(sent, has_reasoning, usage);
  if (payload?.is_whole !== true && !UNCACHED_OPERATIONS.has(operation)) {
    noteDoubts(sent, values, rules, provider, usage);
    noteUnexplainedTotal(sent, usage);
  }
  if (status !== "error" && !ONE_SIDED_OPERATIONS.test(operation)) noteHalf(sent, usage);
  noteLifetime(call, usage);
  return usage;
}

function readSent(
  values: SlotValues,
  rules: UsageRules,
  payload: PayloadCounts | undefined,
  usage: Usage,
): Sent {
  const keys = rules.usage;
  if (payload === undefined) return readEach((name) => values.first(keys[name]), usage);
  const { counts, is_whole } = payload;
  const sent = readEach((name) => {
    const key_value = is_whole ? undefined : values.first(keys[name]);
    return key_value ?? ((counts[name] ?? undefined) as PresentValue | undefined);
  }, usage);
  sent.input_includes_cache = counts.input_includes_cache;
  sent.output_includes_reasoning = counts.output_includes_reasoning;
  return sent;
}

function readEach(read: (name: keyof UsageKeys) => PresentValue | undefined, usage: Usage): Sent {
  const sent = {
    input_includes_cache: undefined,
    output_includes_reasoning: undefined,
  } as Sent;
  for (const name of USAGE_NAMES) {
    const count = readTokens(read(name));
    if (count === "invalid") usage.notes.push(`the ${name} token count sent is no token count`);
    sent[name] = count === "invalid" ? undefined : count;
  }
  return sent;
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
function inputIncludesCache(
  sent: Sent,
  rules: UsageRules,
  provider: string,
  usage: Usage,
): boolean {
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
  if (!includesProvider(rules.input_excludes_cache_of, provider)) return true;
  if (cached > 0) derive(usage, "the input of this instrumentation excludes the cached tokens");
  return false;
}

/** Whether `output` holds the reasoning tokens. */
function outputIncludesReasoning(
  sent: Sent,
  rules: UsageRules,
  provider: string,
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
  if (!includesProvider(rules.output_excludes_reasoning_of, provider)) return true;
  derive(usage, "the output of this instrumentation excludes reasoning");
  return false;
}

/** Cache writes that nobody sent: what the input holds beside the cached and the uncached tokens. */
function addCacheWrites(sent: Sent, has_cache: boolean, usage: Usage): void {
  const { input, input_uncached, cache_read } = sent;
  if (!has_cache || input === undefined || input_uncached === undefined) return;
  const writes = [sent.cache_write, sent.cache_write_5m, sent.cache_write_1h];
  if (cache_read === undefined || writes.some((count) => count !== undefined)) return;
  const rest = input - input_uncached - cache_read;
  if (rest <= 0) return;
  sent.cache_write = rest;
  derive(usage, "the input sent holds more than was uncached or read: the cache writes");
}

/** Prompts of tools that only the total tells of, where a provider counts them apart. */
function addToolPrompts(
  sent: Sent,
  provider: string,
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
  if (!COUNTS_TOOL_PROMPTS.has(provider) || sent.reasoning === undefined) return;
  if (total === undefined || output === undefined) return;
  const prompt = input + (has_cache ? 0 : cachedOf(sent));
  const rest = total - prompt - output - (has_reasoning ? 0 : sent.reasoning);
  if (rest <= 0) return;
  sent.input = input + rest;
  derive(usage, "the total sent holds more prompt tokens: those of tool results");
}

function put(usage: Usage, name: TokenClass, count: Count): void {
  if (count !== undefined) usage.tokens[CLASS_INDEX[name]] = count;
}

function splitInput(sent: Sent, has_cache: boolean, usage: Usage): void {
  const written = splitCacheWrites(sent, usage);
  put(usage, "cache_read", sent.cache_read);
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
    put(usage, "input_uncached", rest - modal);
  } else if (modal <= (sent.input ?? rest)) {
    // Cached and audio tokens overlap by an unknown number: kept apart they would count twice.
    put(usage, "input_uncached", rest);
    usage.status = "estimated";
    usage.notes.push("some audio or image tokens were cached: all are taken as text");
  } else {
    putInputParts(sent, usage);
    put(usage, "input_uncached", rest);
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
  put(usage, "input_audio", sent.input_audio);
  put(usage, "input_image", sent.input_image);
}

function splitOutput(sent: Sent, has_reasoning: boolean, usage: Usage): void {
  put(usage, "output_reasoning", sent.reasoning);
  put(usage, "output_audio", sent.output_audio);
  put(usage, "output_image", sent.output_image);
  if (sent.output === undefined) return;

  let rest = sent.output - (sent.output_audio ?? 0) - (sent.output_image ?? 0);
  if (rest < 0) {
    rest = sent.output;
    derive(usage, "audio and image parts exceed the output sent: it excludes them");
  }
  put(usage, "output_text", has_reasoning ? rest - (sent.reasoning ?? 0) : rest);
}

/** Marks the usage as found by arithmetic or a table, and says by which. */
function derive(usage: Usage, note: string): void {
  if (usage.status === "reported") usage.status = "derived";
  usage.notes.push(note);
}

/** Puts the cache writes by lifetime and returns all that was written, tokens. */
function splitCacheWrites(sent: Sent, usage: Usage): number {
  const { cache_write, cache_write_5m, cache_write_1h } = sent;
  put(usage, "cache_write_5m", cache_write_5m);
  put(usage, "cache_write_1h", cache_write_1h);
  const known = (cache_write_5m ?? 0) + (cache_write_1h ?? 0);
  if (cache_write === undefined) return known;
  if (known > cache_write) {
    derive(usage, "cache writes by lifetime exceed their total: the lifetimes are taken");
    return known;
  }
  put(usage, "cache_write", cache_write - known);
  return cache_write;
}

/** Says what the emitter keeps back or makes up. */
function noteDoubts(
  sent: Sent,
  values: SlotValues,
  rules: UsageRules,
  provider: string,
  usage: Usage,
): void {
  const doubts = [
    rules.estimate?.(values, provider),
    hiddenCache(sent, rules, provider),
    hiddenReasoning(sent, rules, provider),
  ];
  for (const doubt of doubts) {
    if (doubt === undefined) continue;
    usage.status = "estimated";
    usage.notes.push(doubt);
  }
}

/** An answer has a prompt and an output: where one of them is not told, the cost is a lower bound. */
function noteHalf({ input, input_uncached, output }: Sent, usage: Usage): void {
  const has_input = input !== undefined || input_uncached !== undefined;
  if (has_input === (output !== undefined)) return;
  usage.notes.push(has_input ? "the output is not told" : "the input is not told");
}

/** Cache writes of Claude cost by lifetime: the counts are as told, and the reader of the cost warned. */
function noteLifetime(
  {
    provider,
    request_model,
    response_model,
  }: Pick<Span, "provider" | "request_model" | "response_model">,
  usage: Usage,
): void {
  const has_lifetimes = provider === "anthropic" || /claude/i.test(response_model || request_model);
  if (!has_lifetimes || (usage.tokens[CLASS_INDEX.cache_write] ?? 0) === 0) return;
  usage.notes.push("the lifetime of the cache writes is not told: they are priced as 5 minutes");
}

/** A total above its parts holds tokens that were billed and that no count tells of. */
function noteUnexplainedTotal({ input, output, total }: Sent, usage: Usage): void {
  if (total === undefined || input === undefined || output === undefined) return;
  const told = usage.tokens.reduce<number>((sum, count) => sum + (count ?? 0), 0);
  if (total <= told || usage.status === "estimated") return;
  usage.status = "estimated";
  usage.notes.push("the total sent exceeds its parts: cached or other tokens are kept back");
}

function hiddenCache(sent: Sent, rules: UsageRules, provider: string): string | undefined {
  const is_hidden = includesProvider(rules.hides_cache_of, provider);
  if (!is_hidden || sent.cache_read !== undefined || sent.input === undefined) return undefined;
  if (includesProvider(rules.input_excludes_cache_of, provider)) {
    return "this instrumentation hides cached tokens: the input is a lower bound";
  }
  if (sent.input < MIN_CACHED_PROMPT_TOKENS) return undefined;
  return "this instrumentation hides cached tokens: all input is taken as uncached";
}

function hiddenReasoning(sent: Sent, rules: UsageRules, provider: string): string | undefined {
  const is_hidden = includesProvider(rules.hides_reasoning_of, provider);
  if (!is_hidden || sent.reasoning !== undefined || sent.output === undefined) return undefined;
  const { input, output, total } = sent;
  if (total !== undefined && input !== undefined && total === input + output) return undefined;
  return "this instrumentation hides reasoning tokens: the output is a lower bound";
}
