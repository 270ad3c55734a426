/**
 * Which row applies: regions, negotiated prices, and the list of steps. Invariant: expected answers are
 * written down beside rows made for the test; steps are checked against the choice call by call.
 */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readPriceFiles } from "../../schemas/price-files.ts";
import type { PriceFile } from "../../schemas/prices.ts";
import { CLASS_INDEX } from "../../schemas/tokens.ts";
import { compilePriceBook, type PriceBook } from "./book.ts";
import {
  choosePrice,
  compileSteps,
  findStep,
  type ListedStep,
  listSteps,
  type PriceQuestion,
} from "./choose.ts";
import { makeFile, makeModel, makeRow, toUnixNanoseconds } from "./fixture.ts";

const NOW = toUnixNanoseconds("2026-11-21T10:00:00Z");

function ask(book: PriceBook, fields: Partial<PriceQuestion>): string | null {
  const question: PriceQuestion = {
    project_id: "p1",
    provider: "acme",
    request_model: "m",
    response_model: "",
    service_tier: "",
    region: "",
    start_ns: NOW,
    input_total: 10,
    ...fields,
  };
  return choosePrice(book, question)?.price_id ?? null;
}

describe("regions", () => {
  const rows = [makeRow({}), makeRow({ regions: ["us"] }), makeRow({ tier: "batch" })];
  const book = compilePriceBook([
    makeFile("acme", [
      makeModel("m", rows),
      makeModel("strict", rows, [], "unpriced"),
      makeModel("wide", [makeRow({}), makeRow({ regions: ["regional"] })]),
      makeModel("home", [makeRow({ regions: ["us", "eu"] })]),
    ]),
  ]);

  test.each([
    ["m", "", "acme/m/standard/initial"],
    ["m", "us", "acme/m/standard/initial/in-us"],
    ["m", "US", "acme/m/standard/initial/in-us"],
    ["m", "eu", "acme/m/standard/initial"],
    ["m", "not_available", "acme/m/standard/initial"],
    ["strict", "", "acme/strict/standard/initial"],
    ["strict", "global", "acme/strict/standard/initial"],
    ["strict", "us", "acme/strict/standard/initial/in-us"],
    ["strict", "eu", null],
    ["wide", "", "acme/wide/standard/initial"],
    ["wide", "global", "acme/wide/standard/initial"],
    ["wide", "europe-west4", "acme/wide/standard/initial/in-regional"],
    ["home", "eu", "acme/home/standard/initial/in-eu"],
    ["home", "", null],
    ["home", "jp", null],
  ])("%s in the region %j is priced by %s", (request_model, region, expected) => {
    expect(ask(book, { request_model, region })).toBe(expected);
  });

  test("a tier without a row for the region takes the tier's row for every region", () => {
    expect(ask(book, { region: "us", service_tier: "batch" })).toBe("acme/m/batch/initial");
    expect(ask(book, { request_model: "strict", region: "us", service_tier: "batch" })).toBeNull();
  });
});

describe("regions of the list prices", () => {
  const book = compilePriceBook(readPriceFiles());
  const SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0";

  /** US dollars per million input tokens as picodollars per token. */
  function inputPrice(fields: Partial<PriceQuestion>): bigint | null | undefined {
    const question = {
      project_id: "",
      provider: "bedrock",
      request_model: "",
      response_model: "",
      service_tier: "",
      region: "",
      start_ns: NOW,
      input_total: 10,
      ...fields,
    };
    return choosePrice(book, question)?.picodollars_per_token[CLASS_INDEX.input_uncached];
  }

  test.each([
    // Claude docs: 3 USD global, regional endpoints 10 % more since Sonnet 4.5.
    ["bedrock", `global.${SONNET}`, "", 3_000_000n],
    ["bedrock", `us.${SONNET}`, "", 3_300_000n],
    ["bedrock", SONNET, "us-east-1", 3_300_000n],
    ["bedrock", "us.anthropic.claude-3-haiku-20240307-v1:0", "", 250_000n],
    ["vertex", "claude-sonnet-4-5@20250929", "global", 3_000_000n],
    ["vertex", "claude-sonnet-4-5@20250929", "us-east5", 3_300_000n],
    ["vertex", "claude-3-7-sonnet@20250219", "us-east5", 3_000_000n],
    // inference_geo us costs 1.1x for 4.6 and newer.
    ["anthropic", "claude-opus-4-6", "us", 5_500_000n],
    ["anthropic", "claude-opus-4-6", "global", 5_000_000n],
    ["anthropic", "claude-opus-4-6", "not_available", 5_000_000n],
    ["anthropic", "claude-opus-4-5", "us", 5_000_000n],
    // Data residency costs 10 % more for models released since 2026-03-05.
    ["openai", "gpt-5.4", "eu", 2_750_000n],
    ["openai", "gpt-4o", "eu", 2_500_000n],
  ])("%s %s in %j costs %s picodollars a token", (provider, request_model, region, price) => {
    expect(inputPrice({ provider, request_model, region })).toBe(price);
  });

  test("multipliers stack: batch in the US costs half of 1.1 times", () => {
    const call = { provider: "anthropic", request_model: "claude-opus-5", region: "us" };
    // 5 x 1.1 / 2
    expect(inputPrice({ ...call, service_tier: "batch" })).toBe(2_750_000n);
  });

  test("a geography that Anthropic has no price for is unpriced", () => {
    const call = { provider: "anthropic", request_model: "claude-opus-5", region: "eu" };
    expect(inputPrice(call)).toBeUndefined();
  });

  test("the geography of the requested profile counts where the response lost it", () => {
    const call = { request_model: `global.${SONNET}`, response_model: SONNET };
    expect(inputPrice(call)).toBe(3_000_000n);
  });
});

describe("negotiated prices", () => {
  const list = [makeFile("acme", [makeModel("m", [makeRow({}), makeRow({ tier: "batch" })])])];
  const own: PriceFile = {
    ...makeFile("acme", [makeModel("m", [makeRow({ valid_from: "2026-06-01" })])]),
    project_id: "p1",
  };
  const shared = makeFile("acme", [
    makeModel("m", [makeRow({ tier: "batch" })]),
    makeModel("ours", [makeRow({})]),
  ]);

  test("win for their project and for nobody else", () => {
    const book = compilePriceBook(list, [own]);
    expect(ask(book, {})).toBe("acme/m/standard/2026-06-01/negotiated/p1");
    expect(ask(book, { project_id: "p2" })).toBe("acme/m/standard/initial");
    expect(ask(book, { project_id: "" })).toBe("acme/m/standard/initial");
  });

  test("of no project win for all, behind those of the project", () => {
    const book = compilePriceBook(list, [own, shared]);
    expect(ask(book, {})).toBe("acme/m/standard/2026-06-01/negotiated/p1");
    expect(ask(book, { service_tier: "batch" })).toBe("acme/m/batch/initial/negotiated");
    expect(ask(book, { project_id: "p2", service_tier: "batch" })).toBe(
      "acme/m/batch/initial/negotiated",
    );
    expect(ask(book, { request_model: "ours" })).toBe("acme/ours/standard/initial/negotiated");
  });

  test("leave the list price before their first day and in tiers they lack", () => {
    const book = compilePriceBook(list, [own]);
    const start_ns = toUnixNanoseconds("2026-05-31T23:59:59.999Z");
    expect(ask(book, { start_ns })).toBe("acme/m/standard/initial");
    expect(ask(book, { service_tier: "batch" })).toBe("acme/m/batch/initial");
  });

  test("price an inference profile of a random name by its ARN as an alias", () => {
    const arn = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/a1B2c3";
    const book = compilePriceBook(
      [],
      [makeFile("bedrock", [makeModel("ours", [makeRow({})], [arn])])],
    );
    expect(ask(book, { provider: "bedrock", request_model: arn })).toBe(
      "bedrock/ours/standard/initial/negotiated",
    );
  });

  test("of the requested model do not price another model that answered", () => {
    const answered = makeFile("acme", [makeModel("mini", [makeRow({})])]);
    const both = [{ ...answered, models: [...answered.models, ...(list[0]?.models ?? [])] }];
    const book = compilePriceBook(both, [own]);
    expect(ask(book, { response_model: "mini" })).toBe("acme/mini/standard/initial");
  });
});

describe("listSteps", () => {
  /** The entry that the contract of `listSteps` gives a call. */
  function lookUp(steps: readonly ListedStep[], start_ns: bigint, input_total: number | null) {
    const size = input_total ?? 0;
    return steps
      .filter((step) => step.valid_from_ns <= start_ns)
      .filter(({ input_tokens_over: over }) => over === 0 || over < size)
      .at(-1)?.answer?.price_id;
  }

  /** What `findStep` gives it. */
  function find(steps: readonly ListedStep[], start_ns: bigint, input_total: number | null) {
    const table = compileSteps(steps);
    const halves = new DataView(new ArrayBuffer(8));
    halves.setBigUint64(0, start_ns);
    const index = findStep(table, halves.getUint32(0), halves.getUint32(4), input_total ?? 0);
    return table.answers[index]?.price_id;
  }

  const days = ["2026-01-01", "2026-06-01", "2026-12-01"];
  const anyRow = fc.record({
    valid_from: fc.constantFrom(null, ...days),
    input_tokens_over: fc.constantFrom(0, 100, 5000),
    tier: fc.constantFrom("standard", "batch"),
    regions: fc.constantFrom<string[]>([], ["us"], ["regional"]),
  });
  const rowsOf = fc.uniqueArray(anyRow, {
    minLength: 1,
    maxLength: 8,
    selector: (row) => JSON.stringify(row),
  });

  test("gives each call the price that choosePrice gives it, for every book", () => {
    const times = [...days, "2025-01-01", "2027-01-01"].map((day) =>
      toUnixNanoseconds(`${day}T00:00:00Z`),
    );
    fc.assert(
      fc.property(
        rowsOf,
        rowsOf,
        fc.constantFrom("", "us", "eu", "global"),
        fc.constantFrom("", "batch"),
        fc.constantFrom(...times.flatMap((time) => [time - 1n, time])),
        fc.constantFrom(null, 0, 1, 100, 101, 5000, 5001),
        fc.boolean(),
        (listed, negotiated, region, service_tier, start_ns, input_total, swapped) => {
          const file = makeFile("acme", [makeModel("m", listed.map(makeRow))]);
          const own = makeFile("acme", [makeModel("m", negotiated.map(makeRow))]);
          const book = compilePriceBook([file], [{ ...own, project_id: "p1" }]);
          const question = {
            project_id: "p1",
            provider: "acme",
            request_model: "m",
            response_model: swapped ? "unknown" : "m",
            service_tier,
            region,
          };
          const chosen = choosePrice(book, { ...question, start_ns, input_total });
          const steps = listSteps(book, question);
          expect(lookUp(steps, start_ns, input_total)).toBe(chosen?.price_id);
          expect(find(steps, start_ns, input_total)).toBe(chosen?.price_id);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test.each([
    [0n, "1960-01-01"],
    [2n ** 32n - 1n, "1960-01-01"],
    // 2026-06-01, and 2^32 ns before and after it, where the lower bits are the same.
    [1_780_272_000_000_000_000n - 2n ** 32n, "1960-01-01"],
    [1_780_272_000_000_000_000n - 1n, "1960-01-01"],
    [1_780_272_000_000_000_000n, "2026-06-01"],
    [1_780_272_000_000_000_000n + 2n ** 32n, "2026-06-01"],
    [2n ** 63n, "2026-06-01"],
    [2n ** 64n - 1n, "2026-06-01"],
  ])("findStep tells a start of %s ns by all its 64 bits", (start_ns, day) => {
    // Periods before 1970 are in force at every start, and those after 2554 at none.
    const rows = ["1960-01-01", "2026-06-01", "9999-01-01"].map((valid_from) =>
      makeRow({ valid_from }),
    );
    const book = compilePriceBook([makeFile("acme", [makeModel("m", rows)])]);
    const words = { project_id: "p1", provider: "acme", request_model: "m", response_model: "" };
    const steps = listSteps(book, { ...words, service_tier: "", region: "" });
    expect(find(steps, start_ns, null)).toBe(`acme/m/standard/${day}`);
  });

  test("lists the dates and prompt sizes of gpt-5.6-luna since ever", () => {
    const steps = listSteps(compilePriceBook(readPriceFiles()), {
      project_id: "",
      provider: "openai",
      request_model: "gpt-5.6-luna",
      response_model: "",
      service_tier: "default",
      region: "",
    });
    const input = CLASS_INDEX.input_uncached;
    expect(
      steps.map((step) => [
        step.valid_from_ns,
        step.input_tokens_over,
        step.answer?.picodollars_per_token[input],
      ]),
    ).toEqual([
      // 1 and 2 USD until 2026-07-29, 0.2 and 0.4 since; seconds by `date -ud 2026-07-30 +%s`.
      [0n, 0, 1_000_000n],
      [0n, 271_999, 2_000_000n],
      [1_785_369_600_000_000_000n, 0, 200_000n],
      [1_785_369_600_000_000_000n, 271_999, 400_000n],
    ]);
  });

  test("answers null for a model that the book lacks", () => {
    const book = compilePriceBook(readPriceFiles());
    const question = { project_id: "", provider: "openai", service_tier: "", region: "" };
    expect(listSteps(book, { ...question, request_model: "gpt-99", response_model: "" })).toEqual([
      { valid_from_ns: 0n, input_tokens_over: 0, answer: null },
    ]);
  });
});
