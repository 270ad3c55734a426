/**
 * Which functions may be called: those of `functions.txt`, a list that people read. `chooseFunctions` is
 * the rule that it was written by, and a test says what an upgrade of the engine would add.
 *
 * Invariant: what is not in the list is refused, whatever the engine has. No function of the list reads a
 * file, the network, a dictionary, a setting or the state of the engine, or waits.
 */
import { readFileSync } from "node:fs";
import type { FunctionRow } from "../clickhouse/reader.ts";

/** Categories of the engine's documentation whose functions are computations alone. */
const CATEGORIES: ReadonlySet<string> = new Set([
  "Arithmetic",
  "Arrays",
  "Bit",
  "Bitmap",
  "Comparison",
  "Conditional",
  "Dates and Times",
  "Distance",
  "Encoding",
  "Financial",
  "Hash",
  "IP Address",
  "JSON",
  "Logical",
  "Map",
  "Mathematical",
  "Null",
  "Random Number",
  "Rounding",
  "String",
  "String Replacement",
  "String Search",
  "String Splitting",
  "Time Window",
  "Tuple",
  "Type Conversion",
  "URL",
  "UUID",
]);

/** Of the other categories, one by one. */
const SINGLE_NAMES: ReadonlySet<string> = new Set([
  "bar",
  "byteSize",
  "caseWithExpression",
  "countDigits",
  "currentDatabase",
  "currentUser",
  "finalizeAggregation",
  "formatReadableDecimalSize",
  "formatReadableQuantity",
  "formatReadableSize",
  "formatReadableTimeDelta",
  "getSizeOfEnumType",
  "identity",
  "ignore",
  "isConstant",
  "isDecimalOverflow",
  "materialize",
  "rowNumberInAllBlocks",
  "rowNumberInBlock",
  "parseReadableSize",
  "parseReadableSizeOrNull",
  "parseReadableSizeOrZero",
  "toColumnTypeName",
  "toTypeName",
  "transform",
  "uptime",
  "version",
]);

/** Of the good categories and the aggregates, those that are not offered all the same. */
const REFUSED: readonly RegExp[] = [
  /^naiveBayes/, // reads models
  /^reinterpret$/, // bytes taken for a value of any type
  /^(?:firstSignificant|cutToFirstSignificant)SubdomainCustom/, // reads lists of the configuration
  /^formatRow/, // any format of output, with settings of its own
  /^(?:chdb|structureTo\w+|generateSerialID|fuzzBits)$/,
  /^(?:tokenizeQuery|highlightQuery)$/,
  /^random?HadamardTransform$/,
  /^(?:flameGraph|aggThrow)$/, // of people who look for faults of the engine
  /^MVTEncode$|^ST_AsMVT$/,
  /^stochastic/, // training models
  // Their time grows with the product of their arguments, and nothing can interrupt them.
  /levenshtein|edit_?distance|^jaro|^arraySimilarity$|^arrayAutocorrelation$|^multiFuzzy/i,
];

/** The functions that may be called: chosen by category and name; an alias goes with its function. */
export function chooseFunctions(rows: readonly FunctionRow[]): FunctionRow[] {
  const isChosen = ({ name, is_aggregate, category }: FunctionRow) =>
    (is_aggregate === 1 || CATEGORIES.has(category) || SINGLE_NAMES.has(name)) &&
    REFUSED.every((pattern) => !pattern.test(name));
  const originals = new Set(
    rows.filter((row) => row.alias_to === "" && isChosen(row)).map(({ name }) => name),
  );
  return rows.filter(
    (row) =>
      originals.has(row.alias_to === "" ? row.name : row.alias_to) &&
      REFUSED.every((pattern) => !pattern.test(row.name)),
  );
}

/** The line of `functions.txt` of a function. */
export function describeFunction({ name, is_aggregate }: FunctionRow): string {
  return `${name}${is_aggregate === 1 ? " aggregate" : ""}`;
}

/** What the parser makes of syntax, and what only the analyzer knows. */
const SYNTAX: readonly string[] = ["lambda", "exists", "grouping", "untuple"];

/** What stands for a parameter in a tree; nobody may write it. */
export const PARAMETER_FUNCTION = "_CAST";

/** Suffixes that make one aggregate function of another. `State` and `Merge` read states of ours. */
const COMBINATORS =
  /(?:If|Array|Map|SimpleState|State|Merge|ForEach|Distinct|OrDefault|OrNull|Resample|ArgMin|ArgMax|Tuple|Null)$/i;

const { scalars, aggregates } = loadFunctions();

function loadFunctions(): { scalars: ReadonlySet<string>; aggregates: ReadonlySet<string> } {
  const lines = readFileSync(new URL("./functions.txt", import.meta.url), "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split(" "));
  const named = (is_aggregate: boolean) =>
    lines.flatMap(([name = "", kind]) =>
      (kind === "aggregate") === is_aggregate ? [name.toLowerCase()] : [],
    );
  return { scalars: new Set([...named(false), ...SYNTAX]), aggregates: new Set(named(true)) };
}

/** Whether a function may be called, by the name that was written; case does not matter. */
export function isOffered(written: string): boolean {
  let name = written.toLowerCase();
  if (scalars.has(name)) return true;
  // Each round cuts a suffix, so it ends.
  while (!aggregates.has(name)) {
    const shorter = name.replace(COMBINATORS, "");
    if (shorter === name) return false;
    name = shorter;
  }
  return true;
}
