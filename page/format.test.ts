import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { showBytes, showChange, showCount, showDuration, showShare, showUsd } from "./format.ts";

describe("money", () => {
  test.each([
    ["0", "$0.00"],
    ["0.000000000000", "$0.00"],
    ["0.01", "$0.01"],
    ["0.017775", "$0.0178"],
    ["0.00024", "$0.00024"],
    ["0.000000000001", "$0.000000000001"],
    ["0.0099999", "$0.01"],
    ["0.0134", "$0.0134"],
    ["0.806", "$0.81"],
    ["0.005", "$0.005"],
    ["1234567.891", "$1,234,567.89"],
    ["2.5", "$2.50"],
    ["2.675", "$2.68"],
    ["2.665", "$2.66"],
    ["-12.345678", "−$12.35"],
    ["99999999999999.994999999999", "$99,999,999,999,999.99"],
    [null, "–"],
  ])("%s is shown as %s", (text, shown) => {
    expect(showUsd(text)).toBe(shown);
  });

  test("what is shown is never further from the value than half of its last digit", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 10n ** 20n }), (picodollars) => {
        const digits = picodollars.toString().padStart(13, "0");
        const text = `${digits.slice(0, -12)}.${digits.slice(-12)}`;
        const shown = showUsd(text).replace(/[$,]/g, "");
        const [whole = "", fraction = ""] = shown.split(".");
        const back = BigInt(whole + fraction) * 10n ** BigInt(12 - fraction.length);
        const half = 10n ** BigInt(12 - fraction.length);
        const away = back > picodollars ? back - picodollars : picodollars - back;
        expect(away * 2n <= half).toBe(true);
      }),
    );
  });
});

describe("numbers", () => {
  test.each([
    [0, "0 ns"],
    [999, "999 ns"],
    [1_500, "2 µs"],
    [999_000_000, "999 ms"],
    [1_240_000_000, "1.24 s"],
    [90_000_000_000, "90.00 s"],
    [150_000_000_000, "2.5 min"],
  ])("%d ns last %s", (ns, shown) => {
    expect(showDuration(ns)).toBe(shown);
  });

  test("shares tell nearly nothing and nearly all from nothing and all", () => {
    expect([0, 0.0001, 0.123, 0.9999, 1, null].map((share) => showShare(share))).toEqual([
      "0 %",
      "< 0.1 %",
      "12.3 %",
      "> 99.9 %",
      "100 %",
      "–",
    ]);
  });

  test("changes have a sign", () => {
    expect([0.5, -0.25, 0, 120, null].map((share) => showChange(share))).toEqual([
      "+50.0 %",
      "−25.0 %",
      "±0.0 %",
      "+12,000 %",
      "–",
    ]);
  });

  test("bytes and counts", () => {
    expect([0, 1023, 1024, 5 * 1024 ** 3].map((bytes) => showBytes(bytes))).toEqual([
      "0 B",
      "1023 B",
      "1.0 KiB",
      "5.0 GiB",
    ]);
    expect(showCount(1234567)).toBe("1,234,567");
  });
});
