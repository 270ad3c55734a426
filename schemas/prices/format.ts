/**
 * Price files as text, and the difference between two versions of one. Invariant: the text is what the
 * formatter of this repository leaves alone, so that a difference shows prices and no layout.
 */
import type { PriceFile } from "../prices.ts";
import { priceIdOf } from "./check.ts";

/** Columns that a line of the files may have (the formatter's `printWidth`). */
const MAX_LINE_CHARS = 100;

function isFlat(value: object): boolean {
  return Object.values(value).every((item) => typeof item !== "object" || item === null);
}

function formatFlat(value: object): string {
  if (Array.isArray(value)) return `[${value.map((item) => JSON.stringify(item)).join(", ")}]`;
  const fields = Object.entries(value).map(
    ([key, item]) => `${JSON.stringify(key)}: ${JSON.stringify(item)}`,
  );
  return fields.length === 0 ? "{}" : `{ ${fields.join(", ")} }`;
}

/** JSON with what fits on a line on one line. */
export function formatJson(value: unknown, indent = "", prefix_chars = 0): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (isFlat(value)) {
    const line = formatFlat(value);
    // One more for the comma that may follow.
    if (indent.length + prefix_chars + line.length + 1 <= MAX_LINE_CHARS) return line;
  }
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    const items = value.map((item) => `${inner}${formatJson(item, inner)}`);
    return `[\n${items.join(",\n")}\n${indent}]`;
  }
  const fields = Object.entries(value).map(([key, item]) => {
    const name = `${JSON.stringify(key)}: `;
    return `${inner}${name}${formatJson(item, inner, name.length)}`;
  });
  return `{\n${fields.join(",\n")}\n${indent}}`;
}

/** The rows of a file by name, each with what matters of it. */
function describeRows(file: PriceFile | null): Map<string, string> {
  const rows = new Map<string, string>();
  for (const model of file?.models ?? []) {
    const ids = model.aliases.length === 0 ? "" : ` also ${model.aliases.join(" ")}`;
    rows.set(`${file?.provider}/${model.model}`, `other regions ${model.other_regions}${ids}`);
    for (const row of model.prices) {
      for (const region of row.regions.length === 0 ? [""] : row.regions) {
        const prices = [row.usd_per_million, row.usd_per_thousand].map(formatFlat).join(" ");
        rows.set(priceIdOf(file?.provider ?? "", model.model, row, region), prices);
      }
    }
  }
  return rows;
}

/** What changed between two versions of a price file, one line a row: `+`, `-` or `~ old -> new`. */
export function diffPriceFiles(before: PriceFile | null, after: PriceFile | null): string[] {
  const old_rows = describeRows(before);
  const new_rows = describeRows(after);
  const lines: string[] = [];
  for (const [id, text] of new_rows) {
    const old = old_rows.get(id);
    if (old === undefined) lines.push(`+ ${id} ${text}`);
    else if (old !== text) lines.push(`~ ${id} ${old} -> ${text}`);
  }
  for (const [id, text] of old_rows) if (!new_rows.has(id)) lines.push(`- ${id} ${text}`);
  return lines.sort((a, b) => (a.slice(2) < b.slice(2) ? -1 : 1));
}
