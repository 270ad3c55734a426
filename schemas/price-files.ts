/**
 * Reads price files: those that ship with the program, and one with negotiated prices that a user
 * names. Invariant: what it returns has passed the schema and holds no id and no row twice, so that
 * the price book is compiled from checked data only.
 */
import { readFileSync, statSync } from "node:fs";
import { z } from "zod";
import { messageOf, PermanentError } from "./errors.ts";
import { findPriceProblems } from "./prices/check.ts";
import { PriceFile } from "./prices.ts";

/** The providers that the list prices cover, one file in `schemas/prices/` each. */
export const PRICED_PROVIDERS = [
  "anthropic",
  "azure",
  "bedrock",
  "cohere",
  "deepseek",
  "fireworks",
  "google",
  "groq",
  "mistral",
  "openai",
  "openrouter",
  "perplexity",
  "together",
  "vertex",
  "xai",
] as const;

/** The list prices. Throws PermanentError when one of their files is missing or malformed. */
export function readPriceFiles(): PriceFile[] {
  return PRICED_PROVIDERS.map((provider) => {
    try {
      const text = readFileSync(new URL(`./prices/${provider}.json`, import.meta.url), "utf8");
      return PriceFile.parse(JSON.parse(text));
    } catch (error) {
      throw new PermanentError(
        "bad_price_file",
        `price file ${provider}.json cannot be used: reinstall it`,
        { cause: error },
      );
    }
  });
}

/** Largest file of negotiated prices, bytes. */
export const MAX_PRICE_FILE_BYTES = 16 * 1024 ** 2;

/** Problems told of one file at most; the rest is counted. */
const MAX_TOLD_PROBLEMS = 10;

/**
 * The negotiated prices of SPANLEDGER_PRICES_FILE: one PriceFile or a list of them, each for the
 * project of its `project_id` or, without one, for every project. Throws PermanentError("bad_prices")
 * that names each problem, where it is and what to do; docs/prices.md says what the file looks like.
 */
export function readNegotiatedPrices(path: string): PriceFile[] {
  const files = parseNegotiatedPrices(readText(path));
  if ("problems" in files) {
    const { problems } = files;
    const told = problems.slice(0, MAX_TOLD_PROBLEMS).map((problem) => `  ${problem}`);
    const rest = problems.length - told.length;
    throw new PermanentError(
      "bad_prices",
      [
        `SPANLEDGER_PRICES_FILE ${path} cannot be used; correct it (docs/prices.md) or unset it:`,
        ...told,
        ...(rest > 0 ? [`  and ${String(rest)} more`] : []),
      ].join("\n"),
    );
  }
  return files.files;
}

function readText(path: string): string {
  try {
    if (statSync(path).size > MAX_PRICE_FILE_BYTES) {
      throw new PermanentError("bad_prices", `larger than ${String(MAX_PRICE_FILE_BYTES)} bytes`);
    }
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new PermanentError(
      "bad_prices",
      `SPANLEDGER_PRICES_FILE ${path} cannot be read (${messageOf(error)}); correct the path or unset it`,
      { cause: error },
    );
  }
}

/** Negotiated prices from their text, or every problem of it. */
export function parseNegotiatedPrices(
  text: string,
): { files: PriceFile[] } | { problems: string[] } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { problems: [`it is not JSON: ${messageOf(error)}`] };
  }
  const result = z.array(PriceFile).safeParse(Array.isArray(value) ? value : [value]);
  if (!result.success) {
    return { problems: result.error.issues.map((issue) => describeIssue(value, issue)) };
  }
  const doubles = findPriceProblems(result.data).map(({ message }) => message);
  return doubles.length > 0 ? { problems: doubles } : { files: result.data };
}

function describeIssue(value: unknown, issue: z.core.$ZodIssue): string {
  // A single file was wrapped for the schema: its own path starts behind the index.
  const path = Array.isArray(value) ? issue.path : issue.path.slice(1);
  return `${path.map(String).join(".") || "the file"}: ${issue.message}`;
}
