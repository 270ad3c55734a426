/** The files of the page, as a browser would read them. */
import { createHash } from "node:crypto";
import { posix } from "node:path";
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { readPageFiles } from "./page-files.ts";

const page = readPageFiles();
const import_map = /<script type="importmap">(.*?)<\/script>/s.exec(page.html)?.[1] ?? "";
const modules = [...page.files].filter(([name]) => name.endsWith(".ts"));

test("every import of a module is served, so no types and no file of the server are asked for", () => {
  const packages = Object.keys((JSON.parse(import_map) as { imports: object }).imports);
  expect(modules.length).toBeGreaterThan(10);
  for (const [name, { bytes }] of modules) {
    // Snippets for people to copy have imports of their own.
    const text = Buffer.from(bytes)
      .toString()
      .replaceAll(/`[^`]*`/g, "``");
    for (const [, specifier = ""] of text.matchAll(
      /(?:^|[;\s])(?:from|import)\s*\(?\s*["']([^"'\n]+)["']/g,
    )) {
      const target = specifier.startsWith(".")
        ? posix.join(posix.dirname(name), specifier)
        : specifier;
      const is_served = specifier.startsWith(".")
        ? page.files.has(target)
        : packages.includes(specifier);
      expect(is_served, `${name} imports ${specifier}`).toBe(true);
    }
  }
});

test("every module is JavaScript, without tests and type settings", () => {
  const names = [...page.files.keys()];
  expect(names.filter((name) => name.includes(".test.") || name.endsWith(".json"))).toEqual([]);
  for (const [name, { bytes, media_type }] of modules) {
    expect(media_type).toBe("text/javascript; charset=utf-8");
    expect(Buffer.from(bytes).toString(), name).not.toMatch(
      /^(?:interface|type) \w+|\bimport type\b/m,
    );
  }
});

test("the document asks for nothing of another server, and its policy names its one script", () => {
  expect(page.html).not.toMatch(/(?:src|href)="(?!\/)/);
  expect(page.html).not.toMatch(/<style|\sstyle=|\son\w+=|\{\{/);
  const hash = createHash("sha256").update(import_map).digest("base64");
  expect(page.script_hash).toBe(`sha256-${hash}`);
  const inline = [...page.html.matchAll(/<script(?![^>]*\bsrc=)[^>]*>/g)];
  expect(inline).toHaveLength(1);
});

test("what is compressed is what is served plain", async () => {
  for (const [name, file] of page.files) {
    expect(gunzipSync(await file.gzip()).equals(file.bytes), name).toBe(true);
  }
});
