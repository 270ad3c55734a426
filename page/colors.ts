/**
 * Colours with a meaning that holds from chart to chart: a token class, an error, a model has the same one
 * everywhere.
 *
 * Invariant: red is for failures alone, grey for what is summed up or not known.
 */

/** Told apart also by people who see few colours; in the order they are given out. */
const PALETTE_SIZE = 12;

/** Meanings whose colour the style sheet has as `--color-<name>`. */
export const MEANINGS = [
  "input_uncached",
  "cache_read",
  "cache_write_5m",
  "cache_write_1h",
  "cache_write",
  "output_text",
  "output_reasoning",
  "input_audio",
  "output_audio",
  "input_image",
  "output_image",
  "fees",
  "errors",
  "calls",
  "cost",
  "input",
  "output",
  "p50",
  "p90",
  "p95",
  "p99",
  "ttft",
  "other",
  "unknown",
] as const;
export type Meaning = (typeof MEANINGS)[number];

const STORE_NAME = "spanledger.colours";
/** Values of a dimension whose colour is remembered; the oldest are forgotten. */
const MAX_REMEMBERED = 200;

/** Places in the palette by dimension and value, kept by the browser: a model looks the same tomorrow. */
const given = readGiven();

function readGiven(): Map<string, Map<string, number>> {
  try {
    const kept = JSON.parse(localStorage.getItem(STORE_NAME) ?? "[]") as [
      string,
      [string, number][],
    ][];
    return new Map(kept.map(([dimension, values]) => [dimension, new Map(values)]));
  } catch {
    return new Map(); // another version wrote it, or there is no storage
  }
}

function keepGiven(): void {
  const kept = [...given].map(([dimension, values]) => [
    dimension,
    [...values].slice(-MAX_REMEMBERED),
  ]);
  try {
    localStorage.setItem(STORE_NAME, JSON.stringify(kept));
  } catch {
    // Without storage colours last as long as the page.
  }
}

function hashOf(text: string): number {
  let hash = 2166136261;
  for (const character of text) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 16777619);
  return hash >>> 0;
}

/** A colour of the style sheet as it is now, light or dark. */
export function colorOf(meaning: Meaning): string {
  return readVariable(`--color-${meaning.replaceAll("_", "-")}`);
}

/**
 * The colour of a value of a dimension. It starts from the name, so that it is mostly the same on every
 * visit; two values share one only when there are more than colours.
 */
export function colorOfValue(dimension: string, value: string | null): string {
  if (value === null || value === "") return colorOf("unknown");
  const values = given.get(dimension) ?? new Map<string, number>();
  given.set(dimension, values);
  let place = values.get(value);
  if (place === undefined) {
    const taken = new Set(values.values());
    place = hashOf(value) % PALETTE_SIZE;
    for (let tries = 0; tries < PALETTE_SIZE && taken.has(place); tries += 1) {
      place = (place + 1) % PALETTE_SIZE;
    }
    values.set(value, place);
    keepGiven();
  }
  return readVariable(`--palette-${place}`);
}

/** A variable of the style sheet. */
export function readVariable(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
