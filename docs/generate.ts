/**
 * Writes `docs/reference/` from the code, so that it cannot say anything else. `npm run generate`
 * rewrites the pages; `test/docs.test.ts` fails when they are stale.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { makeCollectorMetrics } from "../collector/metrics.ts";
import { makeOpenApi } from "../query-api/openapi.ts";
import { SETTINGS, type Setting } from "../schemas/settings.ts";
import { DIMENSIONS, MEASURES } from "../schemas/usage.ts";
import {
  countOutcome,
  groupByClient,
  groupReasons,
  type JudgedCase,
  runCorpus,
} from "../test/support/corpus-report.ts";
import { otlpParts, proveRows } from "./otlp-table.ts";

const REFERENCE = new URL("./reference/", import.meta.url);
const MIGRATIONS = new URL("../clickhouse/migrations/", import.meta.url);

/** A row of a Markdown table; bars and line breaks in a cell would break it. */
function row(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|").replaceAll("\n", " ")).join(" | ")} |`;
}

function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  return [row(titles), row(titles.map(() => "---")), ...rows.map((cells) => row(cells))].join("\n");
}

function page(title: string, ...parts: string[]): string {
  return `# ${title}\n\nGenerated from the code by \`npm run generate\`.\n\n${parts.join("\n\n")}\n`;
}

function settingsPage(): string {
  const rows = Object.entries<Setting>(SETTINGS).map(([name, setting]) => [
    `\`${name}\``,
    setting.default === null ? "unset" : `\`${setting.default}\``,
    setting.description,
  ]);
  return page(
    "Settings",
    "Environment variables, all optional. A value that cannot be used, or a `SPANLEDGER_` variable " +
      "that is none of these, stops the start with every problem named.",
    table(["Name", "Default", "Meaning"], rows),
  );
}

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly description?: string;
}

interface Operation {
  readonly summary: string;
  readonly parameters: readonly Parameter[];
  readonly responses: Readonly<Record<string, unknown>>;
}

function apiPage(): string {
  const { paths } = makeOpenApi("") as {
    paths: Record<string, { get: Operation }>;
  };
  const routes = Object.entries(paths).map(([path, { get }]) => {
    const rows = get.parameters.map(({ name, description, ...rest }) => [
      `\`${name}\``,
      rest.in,
      description ?? "",
    ]);
    const parameters =
      rows.length === 0 ? "No parameters." : table(["Parameter", "In", "Meaning"], rows);
    const statuses = Object.keys(get.responses).join(", ");
    return `## GET ${path}\n\n${get.summary}.\n\n${parameters}\n\nStatus: ${statuses}.`;
  });
  const measures = Object.entries(MEASURES).map(([name, measure]) => [
    `\`${name}\``,
    measure.description,
  ]);
  const dimensions = Object.entries(DIMENSIONS).map(([name, dimension]) => [
    `\`${name}\``,
    dimension.description,
    dimension.sources.join(", "),
  ]);
  return page(
    "Query API",
    "The full schemas of every answer are at `/openapi.json`. An unknown parameter is an error (400). " +
      'Errors have one shape: `{"error":{"code","message","details"}}`.',
    ...routes,
    `## Measures\n\n${table(["Measure", "Meaning"], measures)}`,
    `## Dimensions\n\nGroup by them, or filter with a parameter of the same name.\n\n${table(
      ["Dimension", "Meaning", "Answered from"],
      dimensions,
    )}`,
  );
}

async function metricsPage(): Promise<string> {
  const { registry } = makeCollectorMetrics();
  const metrics = await registry.getMetricsAsJSON();
  const rows = metrics.map(({ name, type, help }) => [`\`${name}\``, String(type), help]);
  return page(
    "Metrics",
    "Prometheus text at `/metrics`.",
    table(["Metric", "Type", "Meaning"], rows),
  );
}

/** The comment that opens a migration, without its marks. */
function describeMigration(sql: string): string {
  return sql
    .split("\n")
    .filter((line) => line.startsWith("-- ") && !line.startsWith("-- kind:"))
    .map((line) => line.slice(3))
    .join(" ");
}

/** What a migration makes or changes: `CREATE`d, or an `ALTER`ed table. */
const MADE = /(?:CREATE (?:OR REPLACE )?(TABLE|VIEW) (?:IF NOT EXISTS )?|(ALTER) TABLE )(\w+)/;

function tablesPage(): string {
  const sections = new Map<string, string[]>();
  const files = readdirSync(MIGRATIONS).filter((file) => file.endsWith(".sql"));
  for (const file of files.toSorted()) {
    const sql = readFileSync(new URL(file, MIGRATIONS), "utf8");
    const [, made, altered, name = ""] = MADE.exec(sql) ?? [];
    const columns = made === "VIEW" ? "" : describeColumns(sql);
    const text = `${describeMigration(sql)}${columns}`;
    // A view that is made anew replaces its text, a table that is altered adds to it.
    if (altered === undefined)
      sections.set(name, [`## ${name} (${(made ?? "").toLowerCase()})`, text]);
    else sections.get(name)?.push(text);
  }
  return page("Tables and views", ...[...sections.values()].map((parts) => parts.join("\n\n")));
}

/** The columns that a statement makes or adds, as a table; empty without any. */
function describeColumns(sql: string): string {
  const rows = [...sql.matchAll(/^ {2}(?:ADD COLUMN IF NOT EXISTS )?(\w+) ([^\n]+?),?$/gm)]
    .filter(([, column = ""]) => !/^(INDEX|ADD|fsync|vertical|merge)/.test(column))
    .map(([, column = "", rest = ""]) => [
      `\`${column}\``,
      `\`${rest.replace(/ (COMMENT|CODEC|DEFAULT|AFTER) ?.*$/, "")}\``,
      /COMMENT '([^']*)'/.exec(rest)?.[1] ?? "",
    ]);
  return rows.length === 0 ? "" : `\n\n${table(["Column", "Type", "Meaning"], rows)}`;
}

function listWords(words: Iterable<string>): string {
  return [...new Set(words)].sort().join(", ");
}

function dialectCells(client: string, cases: readonly JudgedCase[]): string[] {
  const rows = cases.flatMap((item) => item.rows);
  const bodies = cases.flatMap((item) => item.case.bodies);
  return [
    client,
    listWords(rows.map((call) => call.dialect)),
    listWords(bodies.map((body) => body.signal)),
    listWords(rows.map((call) => `${call.signal}s`)),
    String(cases.length),
    ...(["right", "flagged", "silent", "wrong"] as const).map((outcome) =>
      String(countOutcome(cases, outcome)),
    ),
    [...groupReasons(cases, "wrong"), ...groupReasons(cases, "flagged")].join("; "),
  ];
}

function dialectsPage(): string {
  const cases = runCorpus();
  const rows = [...groupByClient(cases)].map(([client, group]) => dialectCells(client, group));
  const total = (["right", "flagged", "silent", "wrong"] as const)
    .map((outcome) => `${countOutcome(cases, outcome)} ${outcome}`)
    .join(", ");
  return page(
    "Clients and dialects",
    `What the ledger makes of ${cases.length} captured cases of ${rows.length} clients, against what the ` +
      `provider billed: ${total}. \`node test/corpus-report.ts --verbose\` shows each case.`,
    "- **Right**: every billed call is one row, with every token class, the model and the cost.\n" +
      "- **Flagged**: the client did not send something, and the row says so; no number is invented.\n" +
      "- **Silent**: the client sent nothing for the call, so no row can exist.\n" +
      "- **Wrong**: anything else.",
    table(
      [
        "Client",
        "Dialect",
        "Signals sent",
        "Rows from",
        "Cases",
        "Right",
        "Flagged",
        "Silent",
        "Wrong",
        "Why (cases)",
      ],
      rows,
    ),
  );
}

/** The pages by file name. */
export async function referencePages(): Promise<Record<string, string>> {
  return {
    "settings.md": settingsPage(),
    "api.md": apiPage(),
    "metrics.md": await metricsPage(),
    "tables.md": tablesPage(),
    "dialects.md": dialectsPage(),
    "otlp.md": page("OTLP conformance", ...otlpParts(table)),
  };
}

if (process.argv[1] === import.meta.filename) {
  const { "otlp.md": otlp = "", ...pages } = await referencePages();
  for (const [file, text] of Object.entries(pages)) writeFileSync(new URL(file, REFERENCE), text);
  // A tick says that a test passed, so the tests run before the page is written.
  const problems = proveRows();
  if (problems.length === 0) writeFileSync(new URL("otlp.md", REFERENCE), otlp);
  else process.stderr.write(`otlp.md is left as it was:\n${problems.join("\n")}\n`);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
