import { describe, expect, it } from "vitest";
import { parseNegotiatedPrices } from "../../schemas/price-files.ts";
import { FILL_IN, findWorst, priceSnippet, type Unpriced } from "./unpriced.ts";

function makeUnpriced(changes: Partial<Unpriced>): Unpriced {
  return {
    provider: "vllm",
    model: "acme-7b",
    request_model: "acme-7b",
    price_id: null,
    calls: 1,
    tokens: 10,
    tokens_unpriced: 10,
    reason: "unknown_model",
    explanation: "",
    classes_without_price: ["input_uncached", "output_text"],
    nearest: [],
    ...changes,
  };
}

describe("a price file to start from", () => {
  const snippet = priceSnippet(makeUnpriced({}), "2026-11-21");

  it("is refused as long as its prices are not filled in", () => {
    expect(parseNegotiatedPrices(snippet)).toHaveProperty("problems");
  });

  it("is one that the server takes when they are", () => {
    const filled = parseNegotiatedPrices(snippet.replaceAll(FILL_IN, "0.2"));
    expect(filled).toMatchObject({
      files: [
        {
          provider: "vllm",
          models: [
            {
              model: "acme-7b",
              prices: [{ usd_per_million: { input_uncached: "0.2", output_text: "0.2" } }],
            },
          ],
        },
      ],
    });
  });

  it("is for the model of the most tokens that a price would help", () => {
    const missing = makeUnpriced({ reason: "usage_missing", tokens_unpriced: 999 });
    const small = makeUnpriced({ model: "small", tokens_unpriced: 1 });
    const large = makeUnpriced({ model: "large", tokens_unpriced: 100 });
    expect(findWorst([missing, small, large])?.model).toBe("large");
    expect(findWorst([missing])).toBeNull();
  });
});
