/** Money and time as text: exact both ways, and nothing that is not an amount becomes one. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatTimestamp, formatUsd, parseUsd } from "./units.ts";

/** Any amount with at most 18 digits before the point. */
const amounts = fc.bigInt(-(10n ** 30n) + 1n, 10n ** 30n - 1n);

describe("US dollars", () => {
  test("every amount survives being written and read", () => {
    fc.assert(
      fc.property(amounts, (amount) => {
        expect(parseUsd(formatUsd(amount))).toBe(amount);
      }),
      { numRuns: 1_000 },
    );
  });

  test("the text is a plain decimal without needless zeros", () => {
    fc.assert(
      fc.property(amounts, (amount) => {
        expect(formatUsd(amount)).toMatch(/^-?(0|[1-9]\d*)(\.\d{0,11}[1-9])?$/);
      }),
    );
    expect(formatUsd(-0n)).toBe("0");
  });

  test.each([
    [0n, "0"],
    [1n, "0.000000000001"],
    [-1n, "-0.000000000001"],
    [10n, "0.00000000001"],
    [999_999_999_999n, "0.999999999999"],
    [1_000_000_000_000n, "1"],
    [-1_500_000_000_000n, "-1.5"],
    [100_000_000_000_000n, "100"],
    [123_456_789_012_345_678_901_234_567_890n, "123456789012345678.90123456789"],
  ])("%s picodollars are %s dollars", (amount, text) => {
    expect(formatUsd(amount)).toBe(text);
  });

  test("zeros at the end and spaces around do not change an amount", () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 10n ** 18n), fc.nat(18), (amount, zeros) => {
        const digits = String(amount).padStart(13, "0");
        const text = `${digits.slice(0, -12)}.${digits.slice(-12)}${"0".repeat(zeros)}`;
        expect(parseUsd(` ${text}\n`)).toBe(amount);
      }),
    );
  });

  test.each(["007.50", "7.5", "7.500000000000000000"])("%s is seven and a half dollars", (text) => {
    expect(parseUsd(text)).toBe(7_500_000_000_000n);
  });

  test.each([
    "",
    " ",
    ".",
    ".5",
    "5.",
    "-",
    "--1",
    "+1",
    "1e3",
    "1,5",
    "1_000",
    "0x10",
    "NaN",
    "Infinity",
    "1 2",
    "$1",
    "٣",
    "0.0000000000001",
    "1.0000000000001",
    "1".repeat(19),
    `0.${"0".repeat(31)}`,
  ])("%j is no amount", (text) => {
    expect(parseUsd(text)).toBeNull();
  });

  test("any text is an amount only when it says the same as a plain decimal", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const amount = parseUsd(text);
        if (amount !== null) expect(text.trim()).toMatch(/^-?\d+(\.\d+)?$/);
      }),
    );
  });

  test("sums of written amounts are the sums of the amounts", () => {
    fc.assert(
      fc.property(fc.array(fc.bigInt(0n, 10n ** 18n), { maxLength: 50 }), (list) => {
        const read = list.map((amount) => parseUsd(formatUsd(amount)) ?? -1n);
        const sum = (values: bigint[]) => values.reduce((total, value) => total + value, 0n);
        expect(sum(read)).toBe(sum(list));
      }),
    );
  });
});

describe("timestamps", () => {
  test("milliseconds are those of the platform, and nanoseconds follow exactly", () => {
    const latest_ms = Date.UTC(2200, 0, 1);
    fc.assert(
      fc.property(fc.nat(latest_ms), fc.nat(999_999), (ms, below_ms) => {
        const text = formatTimestamp(BigInt(ms) * 1_000_000n + BigInt(below_ms));
        expect(text.slice(0, 23)).toBe(new Date(ms).toISOString().slice(0, 23));
        expect(text.slice(23)).toBe(`${String(below_ms).padStart(6, "0")}Z`);
      }),
    );
  });

  test.each([
    [0n, "1970-01-01T00:00:00.000000000Z"],
    [1n, "1970-01-01T00:00:00.000000001Z"],
    [1_795_225_705_123_456_789n, "2026-11-21T01:48:25.123456789Z"],
    [18_446_744_073_709_551_615n, "2554-07-21T23:34:33.709551615Z"],
  ])("%s ns is %s", (unix_ns, text) => {
    expect(formatTimestamp(unix_ns)).toBe(text);
  });

  test("texts are in the order of the times", () => {
    const time = fc.bigInt(0n, 2n ** 64n - 1n);
    fc.assert(
      fc.property(time, time, (a, b) => {
        expect(formatTimestamp(a) < formatTimestamp(b)).toBe(a < b);
      }),
    );
  });
});
