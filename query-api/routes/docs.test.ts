/** The page at `/docs`: all of the API is on it, and nothing of anywhere else. */
import { expect, test } from "vitest";
import type { Engine } from "../../clickhouse/engine.ts";
import { makeTestApi } from "../../test/support/api.ts";
import { readReference } from "../reference.ts";
import { renderReference } from "../reference-page.ts";
import { describeRoutes } from "../routes.ts";

const api = makeTestApi({} as Engine);

test("anyone sees the page, and every route is on it", async () => {
  const { status, headers, text } = await api.ask("/docs", null);
  expect([status, headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
  const shown = [...text.matchAll(/<h3><span class="method">(\w+)<\/span> <code>([^<]+)<\/code>/g)];
  const routes = describeRoutes().map(({ method, path }) => `${method} ${path}`);
  expect(shown.map(([, method, path]) => `${method} ${path}`).sort()).toEqual(routes.sort());
  expect(text).toContain("US dollars, exact decimal");
});

test("the page has no script, no inline style and nothing of another server", async () => {
  const { headers, text } = await api.ask("/docs", null);
  const policy = headers.get("content-security-policy") ?? "";
  expect(policy).toContain("default-src 'self'");
  expect(policy).not.toContain("unsafe");
  expect(text).not.toMatch(/<script|<style|\sstyle=|\son\w+=|javascript:|<img|<iframe/i);
  expect(text).not.toMatch(/(?:src|href)="(?!#|\/)/);
});

test("every link of the page leads somewhere on it, and every file is there for good", async () => {
  const { text } = await api.ask("/docs", null);
  const ids = new Set([...text.matchAll(/ id="([^"]+)"/g)].map((match) => match[1]));
  for (const [, target] of text.matchAll(/href="#([^"]+)"/g)) expect(ids, target).toContain(target);
  const style = /<link rel="stylesheet" href="([^"]+)">/.exec(text)?.[1] ?? "";
  const { status, headers } = await api.ask(style, null);
  expect([status, headers.get("content-type")]).toEqual([200, "text/css; charset=utf-8"]);
  expect(headers.get("cache-control")).toContain("immutable");
  expect((await api.ask("/docs/style-0.css", null)).status).toBe(404);
  expect((await api.ask("/docs/..%2fapp.ts", null)).status).toBe(404);
});

test("what a description says is text, whatever it is", () => {
  const attack = `</p><script>alert("x")</script>`;
  const page = renderReference(
    readReference({
      info: { version: attack },
      tags: [{ name: attack }],
      paths: { [`/${attack}`]: { get: { tags: [attack], operationId: attack, summary: attack } } },
    }),
    "/docs/x.css",
  );
  expect(page).not.toContain("<script");
});
