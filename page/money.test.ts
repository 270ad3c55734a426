import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatUsd } from "../schemas/units.ts";
import {
  addUsd,
  changeOfUsd,
  fromPicos,
  isNothing,
  shareOfUsd,
  subtractUsd,
  toPicos,
} from "./money.ts";

describe("money of the page", () => {
  it("adds what floats would not add exactly", () => {
    expect(addUsd("0.1", "0.2")).toBe("0.3");
    expect(addUsd("9007199254740993", "0.000000000001")).toBe("9007199254740993.000000000001");
  });

  it("leaves out what is not known, and knows nothing when nothing is known", () => {
    expect(addUsd("1.5", null, undefined, "2")).toBe("3.5");
    expect(addUsd(null, undefined)).toBeNull();
    expect(addUsd()).toBeNull();
  });

  it("subtracts below zero, and what is below zero", () => {
    expect(subtractUsd("1", "2.25")).toBe("-1.25");
    expect(subtractUsd("1", "-0.5")).toBe("1.5");
    expect(subtractUsd("1", null)).toBeNull();
  });

  it("refuses what is no decimal", () => {
    for (const text of ["", "1e3", "NaN", " 1", "1.", ".5", "0.0000000000001"]) {
      expect(toPicos(text), text).toBeNull();
    }
  });

  it("gives back every amount that it reads, written as the server writes it", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }), (picos) => {
        expect(toPicos(fromPicos(picos))).toBe(picos);
        expect(fromPicos(picos)).toBe(formatUsd(picos));
      }),
    );
  });

  it("tells a share and a change, and none of nothing", () => {
    expect(shareOfUsd("25", "100")).toBe(0.25);
    expect(shareOfUsd("25", "0")).toBeNull();
    expect(changeOfUsd("150", "100")).toBe(0.5);
    expect(changeOfUsd("50", "100")).toBe(-0.5);
    expect(changeOfUsd("50", null)).toBeNull();
  });

  it("takes the smallest amount for something", () => {
    expect(isNothing("0.000000000001")).toBe(false);
    expect(isNothing("0.00")).toBe(true);
    expect(isNothing(null)).toBe(true);
  });
});
