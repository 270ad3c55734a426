/**
 * The reference of the API as one HTML page without scripts.
 *
 * Invariant: all text is escaped; the page loads its style sheet from here and nothing else from anywhere.
 */
import { type Field, mergeAlike, type Operation, type Reference } from "./reference.ts";

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escape(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => ESCAPES[character] ?? character);
}

/** Text in which words between backticks are code. */
function prose(text: string): string {
  return escape(text).replaceAll(/`([^`]+)`/g, "<code>$1</code>");
}

function slug(text: string): string {
  return text.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-");
}

function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const head = titles.map((title) => `<th>${title}</th>`).join("");
  const body = rows.map((cells) => `<tr>${cells.map((cell) => `<td>${cell}</td>`).join("")}</tr>`);
  return `<div class="wide"><table><thead><tr>${head}</tr></thead><tbody>${body.join("\n")}</tbody></table></div>`;
}

function typeCell(type: string, shapes: ReadonlySet<string>): string {
  return escape(type).replaceAll(/\b[A-Z]\w+\b/g, (name) =>
    shapes.has(name) ? `<a href="#shape-${slug(name)}">${name}</a>` : name,
  );
}

function nameCell(names: readonly string[]): string {
  return names.map((name) => `<code>${escape(name)}</code>`).join(", ");
}

function fieldTable(fields: readonly Field[], shapes: ReadonlySet<string>): string {
  const rows = mergeAlike(fields).map(({ names, row: { type, is_required, description } }) => [
    nameCell(names),
    `${typeCell(type, shapes)}${is_required ? "" : ", optional"}`,
    prose(description),
  ]);
  return table(["Field", "Type", "Meaning"], rows);
}

function details(title: string, inner: string): string {
  return `<details><summary>${title}</summary>${inner}</details>`;
}

function operationPart(operation: Operation, shapes: ReadonlySet<string>): string {
  const { id, method, path, summary, description, parameters, body, answer } = operation;
  const rows = mergeAlike(parameters).map(({ names, row: parameter }) => [
    nameCell(names),
    `${parameter.place}, ${escape(parameter.type)}${parameter.is_required ? ", required" : ""}`,
    prose(parameter.description),
  ]);
  const media_types = operation.media_types.map((type) => `<code>${escape(type)}</code>`);
  const answered = media_types.length === 0 ? "nothing" : media_types.join(", ");
  const parts = [
    `<h3><span class="method">${method}</span> <code>${escape(path)}</code></h3>`,
    `<p class="summary">${prose(summary)}</p>`,
    ...description.map((paragraph) => `<p>${prose(paragraph)}</p>`),
    ...(rows.length === 0 ? [] : [details("Parameters", table(["Name", "Kind", "Meaning"], rows))]),
    ...(body === null ? [] : [details("Body", fieldTable(body, shapes))]),
    `<p>Answers ${escape(operation.status)}: ${answered}.</p>`,
    ...(answer.length === 0 ? [] : [details("Answer", fieldTable(answer, shapes))]),
    details(
      "Errors",
      table(
        ["Status", "Meaning"],
        operation.errors.map((error) => [error.status, prose(error.description)]),
      ),
    ),
  ];
  return `<section class="operation" id="${escape(id)}">${parts.join("\n")}</section>`;
}

function navigation({ tags, shapes }: Reference): string {
  const groups = tags.map(({ name, operations }) => {
    const links = operations.map(
      ({ id, method, path }) =>
        `<li><a href="#${escape(id)}"><span class="method">${method}</span> ${escape(path)}</a></li>`,
    );
    return `<h2>${escape(name)}</h2><ul>${links.join("\n")}</ul>`;
  });
  const links = shapes.map(({ name }) => `<li><a href="#shape-${slug(name)}">${name}</a></li>`);
  return `<nav>${groups.join("\n")}<h2>Shapes</h2><ul>${links.join("\n")}</ul></nav>`;
}

const INTRODUCTION = [
  "Send your key as `Authorization: Bearer <key>` or `x-api-key`. An installation without keys " +
    "answers its own machine without one.",
  "An unknown parameter or field is an error (400). Errors have one shape: " +
    '`{"error":{"code","message","details"}}`. Money is exact: decimal text of US dollars.',
];

/** The page, with the address of its style sheet. */
export function renderReference(reference: Reference, style_path: string): string {
  const shapes = new Set(reference.shapes.map(({ name }) => name));
  const operations = reference.tags.map(
    (tag) =>
      `<h2 id="tag-${slug(tag.name)}">${escape(tag.name)}</h2>\n` +
      tag.operations.map((operation) => operationPart(operation, shapes)).join("\n"),
  );
  const described = reference.shapes.map(
    ({ name, description, fields }) =>
      `<section class="operation" id="shape-${slug(name)}"><h3>${escape(name)}</h3>` +
      `<p>${prose(description)}</p>${fieldTable(fields, shapes)}</section>`,
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Spanledger query API</title>
<link rel="stylesheet" href="${escape(style_path)}">
</head>
<body>
${navigation(reference)}
<main>
<h1>Spanledger query API</h1>
<p>Version ${escape(reference.version)}. For programs: <a href="/openapi.json">openapi.json</a>.</p>
${INTRODUCTION.map((paragraph) => `<p>${prose(paragraph)}</p>`).join("\n")}
${operations.join("\n")}
<h2>Shapes</h2>
${described.join("\n")}
</main>
</body>
</html>
`;
}
