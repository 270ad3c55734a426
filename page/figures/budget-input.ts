/**
 * What the form of a budget holds, to and from the body that the API takes.
 *
 * Invariant: the form refuses only what it cannot read; what an amount or a name may be, the API says.
 */
import type { BudgetInput } from "../../schemas/alerting.ts";
import { showAmount } from "./budget-words.ts";

/** A line of the scope: a dimension, or `tag.<key>`, and one value. */
export interface ScopeLine {
  readonly name: string;
  readonly value: string;
}

/** The lines of a scope; values of one dimension have a line each. */
export function scopeLines({ filters, tags }: Pick<BudgetInput, "filters" | "tags">): ScopeLine[] {
  const linesOf = (name: string, values: readonly string[]) =>
    values.map((value) => ({ name, value }));
  return [
    ...Object.entries(filters).flatMap(([name, values]) => linesOf(name, values)),
    ...tags.flatMap(({ key, values }) => linesOf(`tag.${key}`, values)),
  ];
}

/** Lines as a scope: those of one dimension are its values, of which a call must have one. */
export function scopeOf(lines: readonly ScopeLine[]): Pick<BudgetInput, "filters" | "tags"> {
  const values = new Map<string, string[]>();
  for (const { name, value } of lines) {
    values.set(name, [...new Set([...(values.get(name) ?? []), value])]);
  }
  const [tags, filters]: [BudgetInput["tags"], [string, string[]][]] = [[], []];
  for (const [name, list] of values) {
    if (name.startsWith("tag.")) tags.push({ key: name.slice("tag.".length), values: list });
    else filters.push([name, list]);
  }
  return { filters: Object.fromEntries(filters), tags };
}

/** Percents as typed: "50, 80". Throws RangeError for what is no whole number. */
export function readPercents(text: string): number[] {
  return text
    .split(/[\s,;%]+/)
    .filter((word) => word !== "")
    .map((word) => {
      if (!/^\d{1,4}$/.test(word)) throw new RangeError(`"${word}" is no whole number of percent.`);
      return Number(word);
    });
}

/** An amount that nobody can read in two ways: digits, and a point where it has a fraction. */
const AMOUNT = /^\d+(\.\d+)?$/;

/**
 * An amount as typed: "250", "25.50", "$25.50". Throws RangeError with words for people for anything else:
 * "25,5" is 25.5 to some and 255 to others, and "1.250,50" and "1,250.50" are the same to nobody.
 */
export function readAmount(text: string): string {
  const amount = text.trim().replace(/^\$\s*/, "");
  if (AMOUNT.test(amount)) return amount;
  const typed = text.trim();
  throw new RangeError(
    typed.includes(",")
      ? `"${typed}" can be read in two ways. Write it without commas, with a point before the cents: 1250.50`
      : `"${typed}" is no amount. Write digits, with a point before the cents: 1250.50`,
  );
}

/** What will be saved, in words: "$25.50 a month". Throws RangeError as `readAmount` does. */
export function limitWords(amount: string, unit: string, period: string): string {
  const read = readAmount(amount);
  if (unit !== "usd" && read.includes(".")) {
    throw new RangeError(`A limit in ${unit} is a whole number: it has no point.`);
  }
  return `${showAmount(unit as BudgetInput["unit"], read)} a ${period}`;
}

/** What is typed in a form. */
export interface BudgetTyped {
  readonly name: string;
  readonly amount: string;
  readonly unit: string;
  readonly period: string;
  readonly tz: string;
  readonly actual: string;
  readonly forecast: string;
  readonly is_enabled: boolean;
  readonly channel_ids: readonly string[];
  readonly lines: readonly ScopeLine[];
}

/** The body of a request. Throws RangeError with words for people. */
export function budgetBody(typed: BudgetTyped): BudgetInput {
  const { actual, forecast, lines, unit, period, channel_ids, ...same } = typed;
  const thresholds = [
    ...readPercents(actual).map((percent) => ({ kind: "actual" as const, percent })),
    ...readPercents(forecast).map((percent) => ({ kind: "forecast" as const, percent })),
  ];
  return {
    ...same,
    name: typed.name.trim(),
    amount: readAmount(typed.amount),
    unit: unit as BudgetInput["unit"],
    period: period as BudgetInput["period"],
    thresholds,
    channel_ids: [...channel_ids],
    ...scopeOf(lines),
  };
}
