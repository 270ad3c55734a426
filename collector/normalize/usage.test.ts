/**
 * Splitting usage into disjoint classes. The expected numbers are the ground truth of the captures
 * (research/dialects.md, table at its head): what the provider really counted.
 */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { AttributeValue } from "../../schemas/span.ts";
import {
  INPUT_CLASSES,
  MAX_TOKENS_PER_CLASS,
  OUTPUT_CLASSES,
  sumClasses,
  type TokenClass,
} from "../../schemas/tokens.ts";
import { byClass } from "../../test/support/span.ts";
import { ORDINARY } from "./dialect.ts";
import { normalizeOne, type Pairs } from "./fixture.ts";
import {
  compileUsageRules,
  makeSent,
  makeUsage,
  putCount,
  resetSent,
  splitCounts,
  type Sent as SentRecord,
  USAGE_NAMES,
  type UsageName,
} from "./usage.ts";

const CHAT = { "gen_ai.operation.name": "chat", "gen_ai.request.model": "some-model" };

/** Names of the totals, as the newest convention has them. */
const KEYS = {
  input: "gen_ai.usage.input_tokens",
  output: "gen_ai.usage.output_tokens",
  read: "gen_ai.usage.cache_read.input_tokens",
  write: "gen_ai.usage.cache_write.input_tokens",
  write_5m: "anthropic.usage.cache_creation.ephemeral_5m_input_tokens",
  write_1h: "anthropic.usage.cache_creation.ephemeral_1h_input_tokens",
  reasoning: "gen_ai.usage.reasoning.output_tokens",
  input_audio: "gen_ai.usage.audio.input_tokens",
  input_image: "gen_ai.usage.image.input_tokens",
  output_audio: "gen_ai.usage.audio.output_tokens",
  output_image: "gen_ai.usage.image.output_tokens",
} as const;
type Sent = Partial<Record<keyof typeof KEYS, AttributeValue>>;

/** The usage of a chat call of Anthropic's SDK, which reads every key above. */
function split(sent: Sent) {
  const attributes: Record<string, AttributeValue> = { ...CHAT };
  for (const [name, value] of Object.entries(sent)) attributes[KEYS[name as keyof Sent]] = value;
  const span = normalizeOne(attributes, { scope: { name: "com.anthropic.sdk.typescript" } });
  return { tokens: span.tokens, status: span.usage_status, reason: span.reason };
}

type Classes = Partial<Record<TokenClass, number>>;

describe("what providers counted", () => {
  test.each<[string, Sent, string, Classes]>([
    [
      "OpenAI with neither cache nor reasoning sent",
      { input: 100, output: 20 },
      "reported",
      { input_uncached: 100, output_text: 20 },
    ],
    [
      "OpenAI with both",
      { input: 1500, read: 1024, output: 500, reasoning: 448 },
      "reported",
      { input_uncached: 476, cache_read: 1024, output_text: 52, output_reasoning: 448 },
    ],
    [
      "Anthropic, input with the cache, lifetimes known",
      { input: 2325, read: 2000, write: 300, write_5m: 200, write_1h: 100, output: 60 },
      "reported",
      {
        input_uncached: 25,
        cache_read: 2000,
        cache_write_5m: 200,
        cache_write_1h: 100,
        cache_write: 0,
        output_text: 60,
      },
    ],
    [
      "Anthropic, input with the cache, lifetimes unknown",
      { input: 2325, read: 2000, write: 300, output: 60 },
      "reported",
      { input_uncached: 25, cache_read: 2000, cache_write: 300, output_text: 60 },
    ],
    [
      "Anthropic, input without the cache (25 < 2300 is certain)",
      { input: 25, read: 2000, write: 300, output: 60 },
      "derived",
      { input_uncached: 25, cache_read: 2000, cache_write: 300, output_text: 60 },
    ],
    [
      "Anthropic, input without the cache, lifetimes only",
      { input: 25, read: 2000, write_5m: 200, write_1h: 100, output: 60 },
      "derived",
      {
        input_uncached: 25,
        cache_read: 2000,
        cache_write_5m: 200,
        cache_write_1h: 100,
        output_text: 60,
      },
    ],
    [
      "Bedrock, input without the cache",
      { input: 70, read: 500, write: 120, output: 33 },
      "derived",
      { input_uncached: 70, cache_read: 500, cache_write: 120, output_text: 33 },
    ],
    [
      "Bedrock, input with the cache",
      { input: 690, read: 500, write: 120, output: 33 },
      "reported",
      { input_uncached: 70, cache_read: 500, cache_write: 120, output_text: 33 },
    ],
    [
      "Gemini, output without the thoughts",
      { input: 510, read: 400, output: 40, reasoning: 160 },
      "derived",
      { input_uncached: 110, cache_read: 400, output_text: 40, output_reasoning: 160 },
    ],
    [
      "Gemini, output with the thoughts",
      { input: 510, read: 400, output: 200, reasoning: 160 },
      "reported",
      { input_uncached: 110, cache_read: 400, output_text: 40, output_reasoning: 160 },
    ],
    [
      "everything from the cache",
      { input: 1000, read: 1000, output: 5 },
      "reported",
      { input_uncached: 0, cache_read: 1000, output_text: 5 },
    ],
    [
      "zeros, which are numbers",
      { input: 5, read: 0, write: 0, output: 0, reasoning: 0 },
      "reported",
      { input_uncached: 5, cache_read: 0, cache_write: 0, output_text: 0, output_reasoning: 0 },
    ],
    ["only input, as of embeddings", { input: 16 }, "reported", { input_uncached: 16 }],
    ["only the cache", { read: 1024 }, "reported", { cache_read: 1024 }],
    [
      "audio in and out, as parts",
      { input: 100, input_audio: 60, output: 50, output_audio: 40 },
      "reported",
      { input_uncached: 40, input_audio: 60, output_text: 10, output_audio: 40 },
    ],
    [
      "audio that may have been cached: the total stays right",
      { input: 100, read: 80, input_audio: 60, output: 1 },
      "estimated",
      { input_uncached: 20, cache_read: 80, output_text: 1 },
    ],
    [
      "audio beside the totals",
      { input: 10, input_audio: 60, output: 5, output_audio: 40 },
      "derived",
      { input_uncached: 10, input_audio: 60, output_text: 5, output_audio: 40 },
    ],
    [
      "output that has its audio and not its thoughts",
      { input: 1, output: 100, output_audio: 50, reasoning: 60 },
      "derived",
      { input_uncached: 1, output_text: 50, output_audio: 50, output_reasoning: 60 },
    ],
    [
      "lifetimes that exceed their total",
      { input: 500, write: 100, write_5m: 200, output: 1 },
      "derived",
      { input_uncached: 300, cache_write_5m: 200, output_text: 1 },
    ],
  ])("%s", (_name, sent, status, expected) => {
    const usage = split(sent);
    expect(usage.tokens).toEqual(byClass(expected));
    expect(usage.status).toBe(status);
  });

  test("nothing sent is missing, with null for every class", () => {
    expect(split({})).toMatchObject({ tokens: byClass({}), status: "missing" });
  });

  test.each([
    ["gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens", "v1.26"],
    ["gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "v1.28"],
  ])("%s and %s of %s are the totals", (input, output) => {
    const span = normalizeOne({ ...CHAT, [input]: 7, [output]: 3 });
    expect(span.tokens).toEqual(byClass({ input_uncached: 7, output_text: 3 }));
  });

  test("the same totals under both names are counted once (Strands sends both)", () => {
    const both: Pairs = {
      ...CHAT,
      "gen_ai.usage.prompt_tokens": 1500,
      "gen_ai.usage.input_tokens": 1500,
      "gen_ai.usage.completion_tokens": 500,
      "gen_ai.usage.output_tokens": 500,
    };
    expect(normalizeOne(both).tokens).toEqual(byClass({ input_uncached: 1500, output_text: 500 }));
  });

  test("cache writes under the name of v1.40 are counted, and not twice beside the newest", () => {
    const sent = { ...CHAT, "gen_ai.usage.input_tokens": 400 };
    const old_key = "gen_ai.usage.cache_creation.input_tokens";
    const expected = byClass({ input_uncached: 100, cache_write: 300 });
    expect(normalizeOne({ ...sent, [old_key]: 300 }).tokens).toEqual(expected);
    expect(normalizeOne({ ...sent, [old_key]: 300, [KEYS.write]: 300 }).tokens).toEqual(expected);
  });
});

describe("an emitter that hides the cache", () => {
  const scope = { name: "@opentelemetry/instrumentation-openai" };
  const usage = (attributes: Pairs) => normalizeOne(attributes, { scope }).usage_status;
  const openai = { ...CHAT, "gen_ai.provider.name": "openai" };

  test("makes the usage estimated, because its input cannot be split", () => {
    expect(usage({ ...openai, [KEYS.input]: 1500, [KEYS.output]: 500 })).toBe("estimated");
    const older = { ...CHAT, "gen_ai.system": "openai", [KEYS.input]: 1500 };
    expect(usage(older)).toBe("estimated");
  });

  test("makes nothing of it where there is no input, no cache to hide, or the cache is said", () => {
    expect(usage({ ...openai, [KEYS.input]: 0 })).toBe("reported");
    expect(usage({ ...openai, [KEYS.input]: 9, [KEYS.read]: 0 })).toBe("reported");
    expect(usage(openai)).toBe("missing");
    const embeddings = { ...openai, "gen_ai.operation.name": "embeddings", [KEYS.input]: 16 };
    expect(usage(embeddings)).toBe("reported");
  });
});

describe("counts that are no counts", () => {
  const numbers = [NaN, Infinity, -Infinity, -1, -0, 1.5, 1e30, MAX_TOKENS_PER_CLASS + 1];
  const integers = [2n ** 63n, 2n ** 64n, -1n, -(2n ** 63n)];
  const texts = ["abc", "-5", "1.5", "1e3", "0x10", " 12", "NaN", "9".repeat(400), "١٢"];
  const others = [true, [12], ["12"], new Uint8Array([1])];
  const invalid: readonly AttributeValue[] = [...numbers, ...integers, ...texts, ...others];

  test.each(invalid)("P13 P14 %s is never counted, and the row says so", (value) => {
    const alone = split({ input: value });
    expect(alone.tokens).toEqual(byClass({}));
    expect(alone.status).toBe("missing");
    expect(alone.reason).toContain("the input token count sent is no token count");
    const beside = split({ input: value, output: 20 });
    expect(beside.tokens).toEqual(byClass({ output_text: 20 }));
    expect(beside.status).toBe("estimated");
  });

  test.each<[AttributeValue, number]>([
    ["123", 123],
    ["123.0", 123],
    [123.0, 123],
    [123n, 123],
    ["0", 0],
    [MAX_TOKENS_PER_CLASS, MAX_TOKENS_PER_CLASS],
  ])("P14 %s is read without loss", (value, count) => {
    expect(split({ input: value }).tokens).toEqual(byClass({ input_uncached: count }));
  });

  test.each([null, ""])("%j is absent", (value) => {
    expect(split({ input: value, output: 1 })).toMatchObject({
      tokens: byClass({ output_text: 1 }),
      status: "reported",
    });
  });
});

describe("any usage", () => {
  const count = fc.nat({ max: 10_000 });
  const anyValue = fc.oneof(
    count,
    fc.double(),
    fc.bigInt(),
    fc.string(),
    fc.boolean(),
    fc.constantFrom<AttributeValue>(null, -1, NaN, "12", 2 ** 53),
  );
  const optional = <Value>(arbitrary: fc.Arbitrary<Value>) =>
    fc.record(
      Object.fromEntries(Object.keys(KEYS).map((name) => [name, arbitrary])) as Record<
        keyof typeof KEYS,
        fc.Arbitrary<Value>
      >,
      { requiredKeys: [] },
    );

  test("no class is ever negative, fractional or beyond what is believed", () => {
    fc.assert(
      fc.property(optional<AttributeValue>(anyValue), (sent) => {
        for (const tokens of split(sent).tokens) {
          if (tokens === null) continue;
          expect(Number.isInteger(tokens) && tokens >= 0).toBe(true);
          expect(tokens).toBeLessThanOrEqual(MAX_TOKENS_PER_CLASS);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  test("an input that includes the cache is the sum of its classes", () => {
    const parts = fc.record({ fresh: count, read: count, write: count, write_5m: count });
    fc.assert(
      fc.property(parts, fc.double({ min: 0, max: 1, noNaN: true }), (parts, share) => {
        const { fresh, read, write, write_5m } = parts;
        const input = fresh + read + write + write_5m;
        const input_audio = Math.floor(input * share);
        const { tokens } = split({ input, read, write: write + write_5m, write_5m, input_audio });
        expect(sumClasses(tokens, INPUT_CLASSES)).toBe(input);
      }),
    );
  });

  test("an input that is less than its cache is one class beside it", () => {
    fc.assert(
      fc.property(count, count, count, (fresh, more, write) => {
        const read = fresh + more + 1;
        const { tokens, status } = split({ input: fresh, read, write });
        expect(tokens).toEqual(
          byClass({ input_uncached: fresh, cache_read: read, cache_write: write }),
        );
        expect(status).toBe("derived");
      }),
    );
  });

  test("an output that includes its parts is the sum of its classes", () => {
    fc.assert(
      fc.property(count, count, count, (text, reasoning, output_audio) => {
        const output = text + reasoning + output_audio;
        const usage = split({ output, reasoning, output_audio });
        expect(sumClasses(usage.tokens, OUTPUT_CLASSES)).toBe(output);
        expect(usage.status).toBe("reported");
      }),
    );
  });

  test("a class is null exactly where nothing about it was sent", () => {
    fc.assert(
      fc.property(optional(count), (sent) => {
        const { tokens } = split(sent);
        const known = (name: TokenClass) => tokens[byClass({ [name]: 1 }).indexOf(1)] !== null;
        expect(known("cache_read")).toBe(sent.read !== undefined);
        expect(known("input_uncached")).toBe(sent.input !== undefined);
        expect(known("output_text")).toBe(sent.output !== undefined);
        expect(known("output_reasoning")).toBe(sent.reasoning !== undefined);
        expect(known("cache_write_5m")).toBe(sent.write_5m !== undefined);
      }),
    );
  });
});

describe("records that are reused from call to call", () => {
  const sent = makeSent();
  const usage = makeUsage();
  const words = {
    provider: "anthropic",
    operation: "chat",
    request_model: "claude-sonnet-4-5",
    response_model: "",
  };
  const rules = compileUsageRules({ ...ORDINARY, hides_reasoning_of: "all" }, words);

  /** Splits counts in the reused records; other facts of the call as given. */
  function splitReused(
    counts: Partial<Record<UsageName, number | "invalid">>,
    facts: Partial<SentRecord> = {},
  ) {
    resetSent(sent);
    for (const [index, name] of USAGE_NAMES.entries()) putCount(sent, index, counts[name]);
    splitCounts(Object.assign(sent, facts), rules, usage);
    return usage;
  }

  test("hold the split of the call at hand alone", () => {
    // The row "Anthropic, input with the cache" above, with the total that Anthropic never sends.
    const first = splitReused({
      input: 2325,
      cache_read: 2000,
      cache_write: 300,
      output: "invalid",
      web_search: 3,
    });
    expect(first).toMatchObject({ status: "estimated", web_searches: 3 });
    expect(first.notes).toEqual([
      "the output token count sent is no token count",
      "the output is not told",
      "the lifetime of the cache writes is not told: they are priced as 5 minutes",
    ]);
    expect(splitReused({ input: 10, output: 5, reasoning: 2 })).toEqual({
      tokens: byClass({ input_uncached: 10, output_text: 3, output_reasoning: 2 }),
      status: "reported",
      web_searches: 0,
      notes: [],
    });
    expect(splitReused({ total: 15 })).toEqual({
      tokens: byClass({}),
      status: "missing",
      web_searches: 0,
      notes: [],
    });
  });

  test("give what new ones give, whatever call came before", () => {
    const counts = fc.record(
      Object.fromEntries(
        USAGE_NAMES.map((name) => [
          name,
          fc.oneof(fc.nat(5), fc.nat(3_000), fc.constantFrom(0, "invalid" as const)),
        ]),
      ),
      { requiredKeys: [] },
    );
    const facts = fc.record(
      {
        input_includes_cache: fc.boolean(),
        output_includes_reasoning: fc.boolean(),
        is_whole: fc.boolean(),
        is_estimate: fc.boolean(),
        note: fc.constant("read with care"),
        doubt: fc.constant("a guess"),
        has_failed: fc.boolean(),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(counts, facts, counts, facts, (before, facts_before, counts, facts) => {
        splitReused(before, facts_before);
        const reused = splitReused(counts, facts);
        const fresh_sent = makeSent();
        for (const [index, name] of USAGE_NAMES.entries()) {
          putCount(fresh_sent, index, counts[name]);
        }
        const fresh = makeUsage();
        splitCounts(Object.assign(fresh_sent, facts), rules, fresh);
        expect(reused).toEqual(fresh);
      }),
      { numRuns: 1_000 },
    );
  });

  test.each(USAGE_NAMES)("%s alone is usage, unless it is a total or a piece", (name) => {
    const is_usage = name !== "total" && name !== "web_search";
    expect(splitReused({ [name]: 7 }).status !== "missing").toBe(is_usage);
  });

  test.each<[string, Partial<SentRecord>, string, string[]]>([
    ["plain", {}, "estimated", ["hides"]],
    ["whole, so that the emitter hid nothing", { is_whole: true }, "reported", []],
    ["the emitter's guess", { doubt: "a guess" }, "estimated", ["a guess", "hides"]],
    ["the client's guess", { is_estimate: true, is_whole: true }, "estimated", []],
    ["read with care", { note: "with care", is_whole: true }, "derived", ["with care"]],
  ])("counts that are %s are said to be so", (_name, facts, status, notes) => {
    const found = splitReused({ input: 10, output: 5 }, facts);
    expect(found.status).toBe(status);
    const hidden = "this instrumentation hides reasoning tokens: the output is a lower bound";
    expect(found.notes).toEqual(notes.map((note) => (note === "hides" ? hidden : note)));
  });

  test("zeros of a call that failed are zeros, and those of an answer are lost counts", () => {
    expect(splitReused({ input: 0, output: 0 }).status).toBe("missing");
    const failed = splitReused({ input: 0, output: 0 }, { has_failed: true });
    expect(failed.tokens).toEqual(byClass({ input_uncached: 0, output_text: 0 }));
  });
});
