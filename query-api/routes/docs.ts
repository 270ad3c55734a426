/**
 * `/docs`: the reference of the routes as a page, from this server alone.
 *
 * Invariant: the page needs no script and gets none; its style sheet is named by its content and never
 * changes (research/reliability.md A19).
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { notFound } from "../answer.ts";
import type { JsonObject } from "../openapi.ts";
import { readReference } from "../reference.ts";
import { renderReference } from "../reference-page.ts";
import { defineRoute, type Route } from "../route.ts";

const STYLE = readFileSync(new URL("../reference-page.css", import.meta.url), "utf8");
const STYLE_FILE = `style-${createHash("sha256").update(STYLE).digest("hex").slice(0, 16)}.css`;

/** How long a file that never changes may be kept, seconds: a year. */
const IMMUTABLE_S = 31_536_000;

const POLICY = [
  "default-src 'self'",
  "script-src 'none'",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** The routes of the page; the document is made when it is asked for. */
export function makeDocsRoutes(makeDocument: () => JsonObject): Route[] {
  let page: string | undefined;
  const common = { tag: "Operations", of: "installation", action: null, answer: null } as const;
  return [
    defineRoute({
      ...common,
      method: "GET",
      path: "/docs",
      summary: "This reference as a page",
      media_types: ["text/html"],
      examples: [{ summary: "The reference in a browser", path: "/docs" }],
      handle: async () => {
        page ??= renderReference(readReference(makeDocument()), `/docs/${STYLE_FILE}`);
        return new Response(page, {
          headers: {
            "content-type": "text/html; charset=utf-8",
            "content-security-policy": POLICY,
            "cache-control": "no-cache",
            "referrer-policy": "no-referrer",
          },
        });
      },
    }),
    defineRoute({
      ...common,
      method: "GET",
      path: "/docs/{file}",
      summary: "A file of the page",
      path_parameters: { file: "Name of the file, as the page has it" },
      media_types: ["text/css"],
      errors: [404],
      examples: [{ summary: "Its style sheet", path: `/docs/${STYLE_FILE}` }],
      handle: async ({ path }) => {
        if (path["file"] !== STYLE_FILE) throw notFound();
        return new Response(STYLE, {
          headers: {
            "content-type": "text/css; charset=utf-8",
            "cache-control": `public, max-age=${IMMUTABLE_S}, immutable`,
          },
        });
      },
    }),
  ];
}
