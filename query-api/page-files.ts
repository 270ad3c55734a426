/**
 * The files of the built-in page as a browser gets them: `page/` with its types taken off, and the
 * packages it draws with, from `node_modules`. Nothing is built; nothing comes from another host.
 *
 * Invariant: an address holds the hash of all files, so it may be kept for ever.
 */
import { createHash } from "node:crypto";
import { globSync, readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { posix } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzip } from "node:zlib";

const gzipAsync = promisify(gzip);

const PAGE = new URL("../page/", import.meta.url);

/** Packages of the page: how its modules name them, and their one file. */
const PACKAGES: readonly (readonly [specifier: string, file: string, source: string])[] = [
  ["preact", "preact.mjs", "preact"],
  ["preact/hooks", "preact-hooks.mjs", "preact/hooks"],
  ["htm", "htm.mjs", "htm"],
  ["echarts", "echarts.mjs", "echarts/dist/echarts.esm.min"],
];
/** Folder of the packages in the addresses. */
const PACKAGE_FOLDER = "packages";

const MEDIA_TYPES: Readonly<Record<string, string>> = {
  ".ts": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

export interface PageFile {
  readonly media_type: string;
  readonly bytes: Uint8Array;
  /** Compressed when it is first asked for. */
  readonly gzip: () => Promise<Uint8Array>;
}

export interface PageFiles {
  /** The document. */
  readonly html: string;
  /** Hash of the script that stands in the document, as a policy names it: `sha256-...`. */
  readonly script_hash: string;
  /** Part of the address of every file. */
  readonly version: string;
  /** By folder and name: `views/costs.ts`, `main.ts`. */
  readonly files: ReadonlyMap<string, PageFile>;
}

function makeFile(name: string, bytes: Uint8Array): PageFile {
  const ending = /\.[a-z]+$/.exec(name)?.[0] ?? "";
  let zipped: Promise<Uint8Array> | undefined;
  return {
    media_type: MEDIA_TYPES[ending] ?? "application/octet-stream",
    bytes,
    gzip: () => (zipped ??= gzipAsync(bytes)),
  };
}

/** A module as browsers read it: types become blanks, so that lines and columns stay. */
function readModule(name: string): Uint8Array {
  const source = readFileSync(new URL(name, PAGE), "utf8");
  return Buffer.from(stripTypeScriptTypes(source));
}

function isModule(name: string): boolean {
  return name.endsWith(".ts") && !name.endsWith(".test.ts");
}

/** Reads all files; takes some tens of milliseconds. */
export function readPageFiles(): PageFiles {
  const names = globSync("{*,*/*}.{ts,css,svg}", { cwd: fileURLToPath(PAGE) })
    .map((name) => name.replaceAll("\\", "/"))
    .filter((name) => !name.endsWith(".ts") || isModule(name))
    .sort();
  const files = new Map<string, PageFile>();
  for (const name of names) {
    const bytes = isModule(name) ? readModule(name) : readFileSync(new URL(name, PAGE));
    files.set(name, makeFile(name, bytes));
  }
  for (const [, file, source] of PACKAGES) {
    const name = `${PACKAGE_FOLDER}/${file}`;
    files.set(name, makeFile(name, readFileSync(new URL(import.meta.resolve(source)))));
  }
  const hash = createHash("sha256");
  for (const [name, { bytes }] of files) hash.update(`${name}\n${bytes.length}\n`).update(bytes);
  const version = hash.digest("hex").slice(0, 16);
  const base = `/page/${version}`;
  const import_map = JSON.stringify({
    imports: Object.fromEntries(
      PACKAGES.map(([specifier, file]) => [specifier, `${base}/${PACKAGE_FOLDER}/${file}`]),
    ),
  });
  return {
    html: fillDocument(base, import_map, modulesAtFirst(files)),
    script_hash: `sha256-${createHash("sha256").update(import_map).digest("base64")}`,
    version,
    files,
  };
}

/** Modules that the page begins with; the view that most begin with is there with them. */
const FIRST_MODULES = ["main.ts", "views/overview.ts"];

/**
 * What the first modules import, and what those do: a browser that is told of all of them does not ask for
 * one after the other. Views are imported when they are opened.
 */
function modulesAtFirst(files: ReadonlyMap<string, PageFile>): readonly string[] {
  const found = new Set<string>(FIRST_MODULES);
  for (const name of found) {
    const text = name.endsWith(".ts") ? Buffer.from(files.get(name)?.bytes ?? []).toString() : "";
    for (const [, specifier = ""] of text.matchAll(
      /^(?:import|\} from|export .*from) ?.*"([^"]+)";$/gm,
    )) {
      const own = PACKAGES.find(([package_name]) => package_name === specifier);
      if (own !== undefined) found.add(`${PACKAGE_FOLDER}/${own[1]}`);
      const target = posix.join(posix.dirname(name), specifier);
      // Lines of texts look like imports too; what they name is no file of the page.
      if (own === undefined && files.has(target)) found.add(target);
    }
  }
  return [...found];
}

function fillDocument(base: string, import_map: string, names: readonly string[]): string {
  const preload = names
    .map((name) => `<link rel="modulepreload" href="${base}/${name}" />`)
    .join("\n    ");
  return (
    readFileSync(new URL("index.html", PAGE), "utf8")
      .replaceAll("{{base}}", base)
      // Without blanks around it: the policy names the hash of exactly what stands in the element.
      .replace(/\s*\{\{importmap\}\}\s*/, () => import_map)
      .replace("{{preload}}", () => preload)
  );
}
