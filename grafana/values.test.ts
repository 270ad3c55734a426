/**
 * What a reader sees: numbers of panels as Grafana's own code formats them, and the names and colours of
 * their series.
 */
import type { FieldConfigPropertyItem, ScopedVars } from "@grafana/data";
import type { Panel } from "@grafana/grafana-foundation-sdk/dashboard";
import { expect, test } from "vitest";
import { buildDashboard } from "./dashboard.ts";
import { OVERVIEW } from "./dashboards/overview.ts";
import { COST } from "./dashboards/cost.ts";
import { type Cell, type FieldKind, grafana, makeFrame } from "./fixture-frames.ts";
import { CLASS_STYLES, COLOURS, UNITS } from "./style.ts";

function panelOf(spec: typeof OVERVIEW, id: number): Panel {
  const panels = buildDashboard(spec).panels as readonly Panel[];
  const found = panels.find((panel) => panel.id === id);
  if (found === undefined) throw new Error(`no panel ${id}`);
  return found;
}

const keep = (value: unknown) => value;

/** The options of fields that panels here set; those of single panel types are Grafana's own business. */
const OPTIONS = new grafana.Registry<FieldConfigPropertyItem>(() =>
  [
    "displayName",
    "unit",
    "decimals",
    "min",
    "max",
    "noValue",
    "color",
    "thresholds",
    "mappings",
    "links",
  ].map(
    (path) =>
      // Only what is asked of an option here; the rest is for editors.
      ({
        id: path,
        path,
        name: path,
        process: path === "displayName" ? grafana.displayNameOverrideProcessor : keep,
        shouldApply: () => true,
        override: () => null,
        editor: () => null,
        getItemsCount: () => 0,
        settings: { expandTemplateVars: true },
      }) as FieldConfigPropertyItem,
  ),
);

/** Labels of a series in a text, as Grafana puts them in. */
function replaceLabels(text: string, scoped?: ScopedVars): string {
  const { field } = (scoped?.["__dataContext"]?.value ?? {}) as {
    field?: { labels?: Readonly<Record<string, string>> };
  };
  const labels = field?.labels ?? {};
  return text.replaceAll(
    /\$\{__field\.labels\.(\w+)\}/g,
    (_match, name: string) => labels[name] ?? "",
  );
}

/** A frame of the panel's format with these columns and rows, configured as the panel says. */
function showFrame(
  panel: Panel,
  columns: Readonly<Record<string, FieldKind>>,
  rows: readonly (readonly Cell[])[],
  format: number,
) {
  const answer = {
    columns: Object.entries(columns).map(([name, kind]) => ({
      name,
      kind,
      type: kind,
      is_nullable: false,
    })),
    rows,
  };
  const [frame] = grafana.applyFieldOverrides({
    data: [makeFrame(answer, format, "A")],
    fieldConfig: panel.fieldConfig as never,
    replaceVariables: replaceLabels,
    theme: grafana.createTheme(),
    fieldConfigRegistry: OPTIONS,
  });
  if (frame === undefined) throw new Error("no frame");
  return frame.fields.map((field) => ({
    name: grafana.getFieldDisplayName(field, frame, [frame]),
    texts: field.values.map((value: unknown) =>
      value === null || field.display === undefined
        ? ""
        : grafana.formattedValueToString(field.display(value)),
    ),
    colour: field.config.color?.fixedColor ?? field.config.color?.mode,
  }));
}

function show(unit: keyof typeof UNITS, value: number, decimals?: number): string {
  return grafana.formattedValueToString(grafana.getValueFormat(UNITS[unit])(value, decimals));
}

test("every unit shows a number as people write it", () => {
  expect({
    calls: show("calls", 12_345_678),
    count: show("count", 1_234_567),
    usd: [0, 0.000_042, 0.0123, 1.5, 1_234.567, 1_234_567.8].map((value) => show("usd", value)),
    usd_exact: [0.000_042, 1_234_567.891_23].map((value) => show("usd_exact", value, 4)),
    duration_ns: [1_500, 2_500_000_000, 90_000_000_000].map((value) => show("duration_ns", value)),
    share: [0, 0.0123, 1].map((value) => show("share", value)),
    tokens_per_second: show("tokens_per_second", 12.34),
    bytes: show("bytes", 123_456_789),
    time: show("time", Date.UTC(2026, 9, 23, 14, 37, 21)),
  }).toEqual({
    calls: "12.3 Mil",
    count: "1,234,567",
    usd: ["$0", "$0.0000420", "$0.0123", "$1.50", "$1.23K", "$1.23M"],
    usd_exact: ["$0.0000", "$1,234,567.8912"],
    duration_ns: ["1.50 µs", "2.50 s", "1.50 mins"],
    share: ["0%", "1.23%", "100%"],
    tokens_per_second: "12.3 tok/s",
    bytes: "118 MiB",
    time: expect.stringMatching(/^2026-10-2[34] \d\d:37:21$/),
  });
});

test("the table of models shows money to the hundredth of a cent, shares in per cent, times in seconds", () => {
  const kinds = {
    Model: "string",
    Spend: "number",
    Calls: "number",
    Tokens: "number",
    "1,000 calls": "number",
    p95: "number",
    Errors: "number",
  } as const;
  const rows = [["it's", 1_234.567_89, 12_345, 98_765_432, 100.004, 2_310_000_000, 0.0123]];
  const fields = showFrame(panelOf(OVERVIEW, 20), kinds, rows, 1);
  expect(Object.fromEntries(fields.map(({ name, texts }) => [name, texts[0]]))).toEqual({
    Model: "it's",
    Spend: "$1,234.5679",
    Calls: "12,345",
    Tokens: "98.8 Mil",
    "1,000 calls": "$100",
    p95: "2.31 s",
    Errors: "1.23%",
  });
});

test("series of groups are called by the group alone", () => {
  const kinds = { time: "time", group: "string", Spend: "number" } as const;
  const time = "2026-10-23 14:00:00";
  const rows = [
    [time, "all others", 0.5],
    [time, "gpt-4o-mini", 1.25],
  ];
  const fields = showFrame(panelOf(OVERVIEW, 10), kinds, rows, 0);
  expect(fields.slice(1).map(({ name, texts }) => [name, texts])).toEqual([
    ["all others", ["$0.500"]],
    ["gpt-4o-mini", ["$1.25"]],
  ]);
});

test("a token class has its colour in tokens and in money", () => {
  const kinds = { time: "time", "Cache read": "number", Output: "number" } as const;
  const rows = [["2026-10-23 14:00:00", 1, 2]];
  for (const panel of [panelOf(OVERVIEW, 11), panelOf(COST, 12)]) {
    const fields = showFrame(panel, kinds, rows, 0);
    expect(fields.map(({ name, colour }) => [name, colour]).slice(1), panel.title ?? "").toEqual([
      ["Cache read", CLASS_STYLES.cache_read.colour],
      ["Output", CLASS_STYLES.output_text.colour],
    ]);
  }
});

test("colours of different meanings are different", () => {
  const { cached, ...meanings } = COLOURS;
  expect(cached).toBe(CLASS_STYLES.cache_read.colour);
  const all = [
    ...Object.values(meanings),
    ...Object.values(CLASS_STYLES).map(({ colour }) => colour),
  ].map((colour) => colour.toUpperCase());
  const twice = all.filter((colour, index) => all.indexOf(colour) !== index);
  expect(twice).toEqual([]);
});

test("a tile of the month shows both of its values", () => {
  const kinds = { "So far": "number", "At this pace": "number" } as const;
  const fields = showFrame(panelOf(OVERVIEW, 2), kinds, [[12.5, 31.75]], 1);
  expect(fields.map(({ name, texts, colour }) => [name, texts[0], colour])).toEqual([
    ["So far", "$12.5", COLOURS.cost],
    ["At this pace", "$31.8", COLOURS.forecast],
  ]);
});
