/**
 * Answers as Grafana sees them: the frame that the plugin makes of rows, and what its fields are called
 * and shown as by Grafana's own code.
 *
 * Invariant: nothing of the dashboards is known here; a frame follows from columns and rows alone.
 */
import { createRequire } from "node:module";
import type { Engine } from "../clickhouse/engine.ts";

type GrafanaData = typeof import("@grafana/data");
// Its modules do not load in Node; its CommonJS build does.
export const grafana = createRequire(import.meta.url)("@grafana/data") as GrafanaData;

export type Cell = string | number | boolean | null | Readonly<Record<string, unknown>>;
export type FieldKind = "time" | "number" | "string" | "boolean" | "other";

export interface Column {
  readonly name: string;
  readonly type: string;
  readonly kind: FieldKind;
  readonly is_nullable: boolean;
}

export interface Answer {
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly Cell[])[];
}

function kindOf(type: string): FieldKind {
  const inner = type.replace(/^LowCardinality\((.*)\)$/, "$1").replace(/^Nullable\((.*)\)$/, "$1");
  if (inner.startsWith("Date")) return "time";
  if (/^(U?Int|Float|Decimal)/.test(inner)) return "number";
  if (/^(String|FixedString|Enum|UUID)/.test(inner)) return "string";
  return inner === "Bool" ? "boolean" : "other";
}

/** Columns of a statement, without running it. */
export async function describeColumns(engine: Engine, sql: string): Promise<Column[]> {
  const found = await engine.query<{ name: string; type: string }>(`DESCRIBE TABLE (${sql})`);
  return found.map(({ name, type }) => ({
    name,
    type,
    kind: kindOf(type),
    is_nullable: type.includes("Nullable("),
  }));
}

/** Runs a statement. */
export async function runStatement(
  engine: Engine,
  sql: string,
  columns: readonly Column[],
): Promise<Answer> {
  const found = await engine.query<Readonly<Record<string, Cell>>>(sql);
  return { columns, rows: found.map((row) => columns.map(({ name }) => row[name] ?? null)) };
}

/** A field of a frame, before Grafana's configuration is applied. */
export interface Field {
  readonly name: string;
  readonly type: string;
  readonly config: object;
  readonly labels?: Readonly<Record<string, string>>;
  readonly values: (Cell | undefined)[];
}

/** A cell as a text; times as the engine prints them. */
export function textOf(cell: Cell | undefined): string {
  return typeof cell === "object" ? JSON.stringify(cell) : String(cell);
}

function valueOf(cell: Cell, kind: FieldKind): Cell {
  if (cell === null) return null;
  // The engine prints times of UTC without a zone.
  if (kind === "time") return Date.parse(`${textOf(cell).replace(" ", "T")}Z`);
  return kind === "number" ? Number(cell) : cell;
}

/** The fields of a table: one a column. */
function tableFields({ columns, rows }: Answer): Field[] {
  return columns.map(({ name, kind }, index) => ({
    name,
    type: kind,
    config: {},
    values: rows.map((row) => valueOf(row[index] ?? null, kind)),
  }));
}

/** The fields of a time series: a time, and one for each number and each combination of the texts. */
function seriesFields({ columns, rows }: Answer): Field[] {
  const time_index = columns.findIndex(({ kind }) => kind === "time");
  const texts = columns.flatMap(({ kind }, index) => (kind === "string" ? [index] : []));
  const numbers = columns.flatMap(({ kind }, index) => (kind === "number" ? [index] : []));
  const times = [...new Set(rows.map((row) => valueOf(row[time_index] ?? null, "time") as number))];
  const places = new Map(times.map((unix_ms, place) => [unix_ms, place]));
  const fields = new Map<string, Field>();
  for (const row of rows) {
    const labels = Object.fromEntries(
      texts.map((index) => [columns[index]?.name ?? "", textOf(row[index])]),
    );
    const place = places.get(valueOf(row[time_index] ?? null, "time") as number) ?? 0;
    for (const index of numbers) {
      const name = columns[index]?.name ?? "";
      const key = JSON.stringify([name, labels]);
      const field = fields.get(key) ?? {
        name,
        type: "number",
        config: {},
        ...(texts.length === 0 ? {} : { labels }),
        values: times.map(() => undefined),
      };
      field.values[place] = valueOf(row[index] ?? null, "number");
      fields.set(key, field);
    }
  }
  const time = {
    name: columns[time_index]?.name ?? "time",
    type: "time",
    config: {},
    values: times,
  };
  return [time, ...fields.values()];
}

/** A frame of Grafana from an answer; series are made wide, as the plugin does. */
export function makeFrame(answer: Answer, format: number, ref_id: string) {
  const fields = format === 0 ? seriesFields(answer) : tableFields(answer);
  return grafana.toDataFrame({ refId: ref_id, fields: fields as never });
}

export type Frame = ReturnType<typeof makeFrame>;
