/**
 * Reads the price files that ship with the program. Invariant: what it returns has passed the schema,
 * so that the price book is compiled from checked data only.
 */
import { readFileSync } from "node:fs";
import { PermanentError } from "./errors.ts";
import { PriceFile } from "./prices.ts";

const PRICE_FILE_NAMES = ["anthropic.json", "google.json", "openai.json"];

/** The price files of `schemas/prices/`. Throws PermanentError when one is missing or malformed. */
export function readPriceFiles(): PriceFile[] {
  return PRICE_FILE_NAMES.map((name) => {
    try {
      const text = readFileSync(new URL(`./prices/${name}`, import.meta.url), "utf8");
      return PriceFile.parse(JSON.parse(text));
    } catch (error) {
      throw new PermanentError(
        "bad_price_file",
        `price file ${name} cannot be used: reinstall it`,
        {
          cause: error,
        },
      );
    }
  });
}
