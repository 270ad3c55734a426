/** Tolerant reading: what counts as a text, a flag, a status, a duration, an amount, a word. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Attributes, type AttributeValue } from "../../schemas/span.ts";
import { attributesOf } from "./fixture.ts";
import { type PresentValue, registerKeys, SlotValues } from "./slots.ts";
import {
  MAX_TEXT_LENGTH,
  readFirstWord,
  readFlag,
  readHttpStatus,
  readSeconds,
  readText,
  readTokens,
  readUsd,
} from "./values.ts";

const NO_SCALARS: readonly PresentValue[] = [[], ["a"], new Uint8Array(2), new Attributes()];

describe("text", () => {
  test("scalars are text, lists and blank strings are none", () => {
    expect(readText("gpt-4o")).toBe("gpt-4o");
    expect(readText(7)).toBe("7");
    expect(readText(2n ** 60n)).toBe("1152921504606846976");
    expect(readText(false)).toBe("false");
    for (const value of [undefined, "", "  \n", ...NO_SCALARS]) {
      expect(readText(value)).toBeUndefined();
    }
  });

  test("long text is cut", () => {
    expect(readText("x".repeat(5_000))).toHaveLength(MAX_TEXT_LENGTH);
    expect(readFirstWord("x".repeat(5_000))).toHaveLength(MAX_TEXT_LENGTH);
  });
});

describe("token counts", () => {
  test("whole numbers are read back, however they are written", () => {
    fc.assert(
      fc.property(fc.nat({ max: 1_000_000_000 }), (count) => {
        for (const written of [count, BigInt(count), String(count), `${count}.0`]) {
          expect(readTokens(written)).toBe(count);
        }
      }),
    );
  });

  test("lists and bytes are invalid, nothing is undefined", () => {
    for (const value of NO_SCALARS) expect(readTokens(value)).toBe("invalid");
    expect(readTokens(undefined)).toBeUndefined();
  });
});

describe("flags", () => {
  test.each<[PresentValue, boolean]>([
    [true, true],
    ["True", true],
    ["1", true],
    [1, true],
    [false, false],
    ["FALSE", false],
    [0, false],
  ])("%j is %j", (value, flag) => {
    expect(readFlag(value)).toBe(flag);
  });

  test("anything else is unknown, not false", () => {
    for (const value of ["yes", "", 2, ...NO_SCALARS, undefined]) {
      expect(readFlag(value)).toBeUndefined();
    }
  });
});

describe("HTTP status", () => {
  test("codes are read as number or text, and nothing that is none", () => {
    expect(readHttpStatus(429)).toBe(429);
    expect(readHttpStatus("503")).toBe(503);
    expect(readHttpStatus(200n)).toBe(200);
    for (const value of [0, 99, 600, 42.5, "rate_limit", "", NaN, undefined, ...NO_SCALARS]) {
      expect(readHttpStatus(value)).toBeUndefined();
    }
  });
});

describe("durations", () => {
  test("seconds become nanoseconds", () => {
    expect(readSeconds(0.037)).toBe(37_000_000n);
    expect(readSeconds("1.5")).toBe(1_500_000_000n);
    expect(readSeconds(0)).toBe(0n);
    expect(readSeconds(86_400)).toBe(86_400_000_000_000n);
  });

  test("what cannot be a time to a first token is unknown", () => {
    for (const value of [-1, NaN, Infinity, 86_401, "soon", undefined, ...NO_SCALARS]) {
      expect(readSeconds(value)).toBeUndefined();
    }
  });
});

describe("amounts", () => {
  test.each<[PresentValue, bigint]>([
    [0.002925, 2_925_000_000n],
    ["0.002925", 2_925_000_000n],
    [1e-7, 100_000n],
    [3, 3_000_000_000_000n],
    [0, 0n],
  ])("%j dollars are %s picodollars", (value, picodollars) => {
    expect(readUsd(value)).toBe(picodollars);
  });

  test("P15 what no call can cost is not believed", () => {
    for (const value of [-1e9, NaN, Infinity, 1e6, "free", "", undefined, ...NO_SCALARS]) {
      expect(readUsd(value)).toBeUndefined();
    }
  });
});

describe("the first word of a list", () => {
  test.each<[string, AttributeValue]>([
    ["an array", ["stop", "length"]],
    ["a JSON array in a string", '["stop"]'],
    ["a word", "stop"],
  ])("%s", (_name, value) => {
    expect(readFirstWord(value as PresentValue)).toBe("stop");
  });

  test("broken, empty or endless lists have none", () => {
    const nested = "[".repeat(1_000_000);
    for (const value of [[], "[", "[]", "[1]", '[" "]', '{"a":1}[', nested, [null], [["stop"]]]) {
      expect([undefined, '{"a":1}[']).toContain(readFirstWord(value as PresentValue));
    }
  });

  test("a word inside JSON is cut like any other", () => {
    const long = JSON.stringify(["x".repeat(MAX_TEXT_LENGTH - 4)]);
    expect(readFirstWord(long)).toHaveLength(MAX_TEXT_LENGTH - 4);
    expect(readFirstWord(JSON.stringify(["x".repeat(50_000)]))).toBeUndefined();
  });
});

describe("slots", () => {
  const slots = registerKeys("test.first", "test.second");

  function first(pairs: readonly (readonly [string, AttributeValue])[]) {
    const values = new SlotValues();
    values.fill(attributesOf(pairs));
    return values.first(slots);
  }

  test("the first key that says something wins, wherever it stands", () => {
    expect(
      first([
        ["test.second", "b"],
        ["test.first", "a"],
      ]),
    ).toBe("a");
    expect(
      first([
        ["test.first", ""],
        ["test.second", "b"],
      ]),
    ).toBe("b");
    expect(
      first([
        ["test.first", null],
        ["test.second", "b"],
      ]),
    ).toBe("b");
    expect(
      first([
        ["test.first", 0],
        ["test.second", 1],
      ]),
    ).toBe(0);
    expect(first([["other", "c"]])).toBeUndefined();
  });

  test("a key sent twice keeps its last value, also when that is empty", () => {
    expect(
      first([
        ["test.first", "a"],
        ["test.first", "b"],
      ]),
    ).toBe("b");
    expect(
      first([
        ["test.first", "a"],
        ["test.first", null],
      ]),
    ).toBeUndefined();
  });

  test("nothing of one span is left for the next", () => {
    const values = new SlotValues();
    values.fill(attributesOf({ "test.first": "a" }));
    values.fill(attributesOf({ "test.second": "b" }));
    expect(values.first(slots)).toBe("b");
    values.fill(attributesOf({}));
    expect(values.has(slots)).toBe(false);
  });
});
