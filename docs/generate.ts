/**
 * Writes `docs/reference/` from the code, so that it cannot say anything else. `npm run generate`
 * rewrites the pages; `test/docs.test.ts` fails when they are stale.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { makeCollectorMetrics } from "../collector/metrics.ts";
import { ERROR_STATUSES, errorStatuses, makeOpenApi, operationId } from "../query-api/openapi.ts";
import { type Field, mergeAlike, type Operation, readReference } from "../query-api/reference.ts";
import type { Route, RouteExample } from "../query-api/route.ts";
import { describeRoutes } from "../query-api/routes.ts";
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

/** Answers of the examples, as `query-api/examples.test.ts` keeps them. */
const EXAMPLE_ANSWERS = JSON.parse(
  readFileSync(new URL("./api-examples.json", REFERENCE), "utf8"),
) as Readonly<Record<string, { readonly status: number; readonly body: unknown }>>;

function yesNo(is_required: boolean): string {
  return is_required ? "yes" : "";
}

function nameCell(names: readonly string[]): string {
  return names.map((name) => `\`${name}\``).join(", ");
}

function fieldTable(fields: readonly Field[]): string {
  return table(
    ["Field", "Type", "Always", "Meaning"],
    mergeAlike(fields).map(({ names, row: { type, is_required, description } }) => [
      nameCell(names),
      type,
      yesNo(is_required),
      description,
    ]),
  );
}

/** An example as one would type it, and what it was answered. */
function examplePart(route: Route, { summary, path, body }: RouteExample, number: number): string {
  const method = route.method === "GET" ? "" : `-X ${route.method} `;
  const sent =
    body === undefined
      ? ""
      : ` \\\n  -H 'content-type: application/json' \\\n  -d '${JSON.stringify(body)}'`;
  const asked = `curl ${method}'http://127.0.0.1:8080${path}'${sent}`;
  const answer = EXAMPLE_ANSWERS[`${route.method} ${route.path} ${number}`];
  const answered =
    answer === undefined || answer.body === null || number > 1
      ? []
      : [
          `<details><summary>Answer ${answer.status}</summary>`,
          `\`\`\`json\n${JSON.stringify(answer.body, null, 2)}\n\`\`\``,
          "</details>",
        ];
  return [`${summary}:`, `\`\`\`sh\n${asked}\n\`\`\``, ...answered].join("\n\n");
}

function operationPart(operation: Operation, route: Route | undefined): string {
  const { method, path, summary, description, parameters, body, answer, errors } = operation;
  const parameter_rows = mergeAlike(parameters).map(({ names, row: parameter }) => [
    nameCell(names),
    parameter.place,
    parameter.type,
    yesNo(parameter.is_required),
    parameter.description,
  ]);
  const media_types = operation.media_types.map((media_type) => `\`${media_type}\``).join(", ");
  return [
    `### ${method} ${path}`,
    `${summary}.`,
    ...description,
    ...(parameters.length === 0
      ? []
      : [table(["Parameter", "In", "Type", "Required", "Meaning"], parameter_rows)]),
    ...(body === null ? [] : ["Body:", fieldTable(body)]),
    `Answers ${operation.status}${media_types === "" ? "" : `: ${media_types}`}.`,
    ...(answer.length === 0 ? [] : [fieldTable(answer)]),
    `Errors: ${errors.map(({ status }) => status).join(", ")}.`,
    ...(route?.examples ?? []).map((example, index) =>
      examplePart(route as Route, example, index + 1),
    ),
  ].join("\n\n");
}

function apiPage(): string {
  const routes = describeRoutes();
  const reference = readReference(makeOpenApi(routes, ""));
  const by_id = new Map(routes.map((route) => [operationId(route), route]));
  const tags = reference.tags.map(({ name, operations }) =>
    [
      `## ${name}`,
      ...operations.map((operation) => operationPart(operation, by_id.get(operation.id))),
    ].join("\n\n"),
  );
  const shapes = reference.shapes.map(({ name, description, fields }) =>
    [`### ${name}`, ...(description === "" ? [] : [`${description}.`]), fieldTable(fields)].join(
      "\n\n",
    ),
  );
  const measures = Object.entries(MEASURES).map(([name, measure]) => [
    `\`${name}\``,
    measure.description,
  ]);
  const dimensions = Object.entries(DIMENSIONS).map(([name, dimension]) => [
    `\`${name}\``,
    dimension.description,
    dimension.sources.join(", "),
  ]);
  const used = new Set(routes.flatMap((route) => errorStatuses(route)));
  const statuses = Object.entries(ERROR_STATUSES).filter(([status]) => used.has(Number(status)));
  return page(
    "Query API",
    "For programs it is at `/openapi.json`, in a browser at `/docs`. The answers of the examples are those " +
      "of a made-up installation, their lists cut to two items.",
    'Errors have one shape: `{"error":{"code","message","details"}}`. An unknown parameter or field is an ' +
      "error (400).",
    table(["Status", "Meaning"], statuses),
    ...tags,
    "## Shapes",
    ...shapes,
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
