/**
 * Rows of usage as files: CSV, NDJSON and Parquet, chosen by the header `Accept`.
 *
 * Invariant: the columns of a file follow from the question alone, so that pages fit together and an
 * empty page still names them.
 */
import type { Engine } from "../clickhouse/engine.ts";
import { quote } from "../clickhouse/engine.ts";
import type { UsageRow } from "../schemas/api-usage.ts";
import { fieldsOfMeasure, type MeasureName, MEASURES, type Unit } from "../schemas/measures.ts";
import { tagKeyOf } from "../schemas/usage.ts";
import { ApiError } from "./errors.ts";
import type { UsageQuestion } from "./usage-question.ts";

/** Media types of the formats. */
export const MEDIA_TYPES = {
  json: "application/json",
  csv: "text/csv; charset=utf-8",
  ndjson: "application/x-ndjson",
  parquet: "application/vnd.apache.parquet",
} as const;
export type Format = keyof typeof MEDIA_TYPES;

/** Media types that may be asked for, and the format of each; the first is the default. */
const ACCEPTED: readonly (readonly [media_type: string, format: Format])[] = [
  ["application/json", "json"],
  ["text/csv", "csv"],
  ["application/x-ndjson", "ndjson"],
  ["application/vnd.apache.parquet", "parquet"],
];

/** The format that a header `Accept` prefers; JSON when it asks for none of ours. */
export function chooseFormat(accept: string | null): Format {
  const wishes = (accept ?? "").split(",").map((wish, index) => {
    const [media_type = "", ...parameters] = wish.split(";").map((text) => text.trim());
    const quality = parameters.find((text) => /^q=/i.test(text))?.slice(2) ?? "1";
    return { media_type: media_type.toLowerCase(), quality: Number(quality), index };
  });
  const order = wishes
    .filter(({ quality }) => quality > 0)
    .toSorted((a, b) => b.quality - a.quality || a.index - b.index);
  for (const { media_type } of order) {
    if (media_type === "*/*" || media_type === "application/*") return "json";
    const known = ACCEPTED.find(([name]) => name === media_type);
    if (known !== undefined) return known[1];
  }
  return "json";
}

type CellType = "time" | "text" | "flag" | "count" | "usd" | "number";
type Cell = string | number | boolean | null;

interface FileColumn {
  readonly name: string;
  readonly type: CellType;
  /** Where the value stands in a row. */
  readonly path: readonly string[];
}

const TYPES_OF_UNITS: Readonly<Record<Unit, CellType>> = {
  calls: "count",
  tokens: "count",
  USD: "usd",
  ns: "count",
  share: "number",
  "tokens/s": "number",
  users: "count",
  sessions: "count",
};

const COVERAGE_FIELDS: readonly (readonly [name: string, type: CellType])[] = [
  ["calls", "count"],
  ["calls_missing_usage", "count"],
  ["calls_estimated", "count"],
  ["calls_unpriced", "count"],
  ["tokens_priced_share", "number"],
];

function columnsOfMeasure(name: MeasureName, before: readonly string[]): FileColumn[] {
  const type = TYPES_OF_UNITS[MEASURES[name].unit];
  const fields = fieldsOfMeasure(name);
  const prefix = before.map((word) => `${word}_`).join("");
  if (fields.length === 0) return [{ name: prefix + name, type, path: [...before, name] }];
  return fields.map((field) => ({
    name: `${prefix}${name}_${field}`,
    type,
    path: [...before, name, field],
  }));
}

/** The columns of a file that answers the question. */
export function fileColumns(question: UsageQuestion): FileColumn[] {
  const { interval, top, group_by, measures, compare } = question;
  const values = (before: readonly string[]): FileColumn[] => [
    ...measures.flatMap((name) => columnsOfMeasure(name, before)),
    ...COVERAGE_FIELDS.map(([field, type]) => ({
      name: [...before, "coverage", field].join("_"),
      type,
      path: [...before, "coverage", field],
    })),
  ];
  return [
    ...(interval === "none" ? [] : [{ name: "time", type: "time", path: ["time"] } as const]),
    ...(top === undefined ? [] : [{ name: "is_other", type: "flag", path: ["is_other"] } as const]),
    ...group_by.map((name) => ({ name, type: "text", path: [name] }) as const),
    ...values([]),
    ...(compare === undefined ? [] : values(["previous"])),
  ];
}

function readCell(row: UsageRow, { path, type }: FileColumn): Cell {
  let value: unknown = row;
  for (const word of path) {
    value =
      typeof value === "object" && value !== null && Object.hasOwn(value, word)
        ? (value as Readonly<Record<string, unknown>>)[word]
        : null;
  }
  if (type === "flag") return value === true;
  return value as Cell;
}

/** The rows as the body of an answer. */
export async function formatRows(
  format: Exclude<Format, "json">,
  engine: Engine,
  question: UsageQuestion,
  rows: readonly UsageRow[],
): Promise<string | Uint8Array<ArrayBuffer>> {
  if (format === "ndjson") return rows.map((row) => `${JSON.stringify(row)}\n`).join("");
  const columns = fileColumns(question);
  return format === "csv" ? writeCsv(columns, rows) : writeParquet(engine, columns, rows);
}

/** What a spreadsheet takes for the start of a formula (research/reliability.md A18). */
const FORMULA_START = /^[=+\-@\t\r]/;

/** A text as it stands in a CSV file: never the formula that it may look like. */
export function csvText(text: string): string {
  const safe = FORMULA_START.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** RFC 4180: a header, CRLF; null is an empty cell. */
function writeCsv(columns: readonly FileColumn[], rows: readonly UsageRow[]): string {
  const header = columns.map(({ name }) => csvText(name));
  const lines = rows.map((row) =>
    columns.map((column) => {
      const cell = readCell(row, column);
      if (cell === null) return "";
      // Numbers are ours: a negative one is no formula.
      return column.type === "text" ? csvText(String(cell)) : String(cell);
    }),
  );
  return [header, ...lines].map((cells) => `${cells.join(",")}\r\n`).join("");
}

const PARQUET_TYPES: Readonly<Record<CellType, string>> = {
  time: "DateTime('UTC')",
  text: "Nullable(String)",
  flag: "Bool",
  count: "Nullable(UInt64)",
  usd: "Nullable(Decimal(38, 12))",
  number: "Nullable(Float64)",
};

/** What the key of a tag may be made of to name a column: it stands in the statement. */
const PLAIN_NAME = /^[\w.:/ -]+$/;

/** The engine writes the file: it gets the cells as a parameter, one line a row. */
async function writeParquet(
  engine: Engine,
  columns: readonly FileColumn[],
  rows: readonly UsageRow[],
): Promise<Uint8Array<ArrayBuffer>> {
  for (const { name } of columns) {
    if (PLAIN_NAME.test(name)) continue;
    const message = `has a tag that cannot name a column of Parquet: ${tagKeyOf(name) ?? name}`;
    throw new ApiError(400, "invalid_query", `group_by ${message}; ask for CSV or NDJSON`, [
      { path: "group_by", message },
    ]);
  }
  const structure = columns.map(({ name, type }) => `\`${name}\` ${PARQUET_TYPES[type]}`);
  const lines = rows.map((row) =>
    JSON.stringify(
      columns.map((column) => {
        const cell = readCell(row, column);
        return column.type === "time" ? Date.parse(String(cell)) / 1000 : cell;
      }),
    ),
  );
  const sql = `SELECT * FROM format(JSONCompactEachRow, ${quote(structure.join(", "))}, arrayStringConcat({lines:Array(String)}, '\\n'))`;
  return new Uint8Array(await engine.queryBytes(sql, { lines }, "Parquet"));
}
