/** The documents say what the code does: generated pages are fresh, links lead somewhere. */
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { COMMANDS } from "../cli/commands.ts";
import { referencePages } from "../docs/generate.ts";
import { SETTINGS } from "../schemas/settings.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const DOCUMENTS = globSync("{*.md,docs/**/*.md,bench/*.md,collector/**/*.md,sdk/*.md}", {
  cwd: ROOT,
}).filter((path) => !path.includes("node_modules"));

function read(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

test("the reference is what the code generates; run npm run generate when it is not", async () => {
  for (const [file, text] of Object.entries(await referencePages())) {
    expect(read(`docs/reference/${file}`), file).toBe(text);
  }
});

test("every relative link leads to a file", () => {
  expect(DOCUMENTS.length).toBeGreaterThan(8);
  const broken = DOCUMENTS.flatMap((path) =>
    [...read(path).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)]
      .map(([, target = ""]) => join(dirname(path), target))
      .filter((target) => !existsSync(join(ROOT, target)))
      .map((target) => `${path}: ${target}`),
  );
  expect(broken).toEqual([]);
});

test("every path in ARCHITECTURE.md exists", () => {
  const paths = [...read("ARCHITECTURE.md").matchAll(/`((?:[a-z-]+\/)+[\w.-]*)`/g)].map(
    ([, path = ""]) => path,
  );
  expect(paths.length).toBeGreaterThan(15);
  expect(paths.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
});

test("every page has one title", () => {
  for (const path of DOCUMENTS) {
    const prose = read(path).replace(/```[\s\S]*?```/g, "");
    expect(prose.match(/^# /gm)?.length, path).toBe(1);
  }
});

test("every setting and command that the README names exists", () => {
  const readme = read("README.md");
  const settings = [...readme.matchAll(/\bSPANLEDGER_[A-Z_]+\b/g)].map(([name]) => name);
  expect(settings.filter((name) => !(name in SETTINGS))).toEqual([]);
  const commands = [...readme.matchAll(/npx spanledger ([a-z-]+)/g)].map(([, name = ""]) => name);
  expect(commands.length).toBeGreaterThan(0);
  expect(commands.filter((name) => !(name in COMMANDS) && name !== "help")).toEqual([]);
});
