/**
 * Writes what the benches found as tables for people, in Markdown.
 *
 * Invariant: every figure stands under the name that it has in the document.
 */
import type { BenchResult, FigureTable, GroupResult } from "./measure.ts";

type Cell = string | number;

function writeTable(columns: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const cells = [columns, ...rows.map((row) => row.map(formatCell))];
  const widths = columns.map((_name, index) =>
    Math.max(3, ...cells.map((row) => (row[index] ?? "").length)),
  );
  const write = (row: readonly string[]): string =>
    `| ${widths.map((width, index) => (row[index] ?? "").padEnd(width)).join(" | ")} |\n`;
  const rule = widths.map((width) => "-".repeat(width));
  return [cells[0] as readonly string[], rule, ...cells.slice(1)].map(write).join("");
}

function formatCell(cell: Cell): string {
  if (typeof cell === "string") return cell;
  if (Number.isInteger(cell) || Math.abs(cell) >= 1_000) {
    return Math.round(cell).toLocaleString("en-US");
  }
  return String(Number(cell.toPrecision(3)));
}

/** Figures of variants of spans; of queries the times are all there is to say. */
const SPAN_FIGURES = [
  "spans_per_s",
  "mb_per_s",
  "main_cpu_us_per_span",
  "cpu_us_per_span",
] as const;

function writeGroup({ name, unit, baseline, variants }: GroupResult): string {
  const figures = unit === "span" ? SPAN_FIGURES : (["ms", "cpu_ms"] as const);
  const columns = [name, ...figures, "wall_ratio", "main_cpu_ratio", "p50_ms", "max_ms"];
  const rows = variants.map((variant) => [
    variant.name,
    ...figures.map((figure) => variant.figures[figure]?.median ?? ""),
    variant.wall_ratio.median,
    variant.main_cpu_ratio.median,
    variant.latency_ms?.p50 ?? "",
    variant.latency_ms?.max ?? "",
  ]);
  const says = variants.map((variant) => `- ${variant.name}: ${variant.description}\n`).join("");
  return `${writeTable(columns, rows)}\nRatios are to ${baseline}; above 1 is better.\n\n${says}\n`;
}

function writeFigures({ name, rows }: FigureTable): string {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cells = rows.map((row) => columns.map((column) => row[column] ?? ""));
  return `${name}:\n\n${writeTable(columns, cells)}\n`;
}

/** The tables of a bench. */
export function writeBench({ name, groups, facts, tables = [] }: BenchResult): string {
  const list = Object.entries(facts).map(([fact, value]) => `${fact} ${formatCell(value)}`);
  const written = [...groups.map(writeGroup), ...tables.map(writeFigures)];
  return `## ${name}\n\n${list.join(", ")}\n\n${written.join("")}`;
}
