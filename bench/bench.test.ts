/** The benches run: they cannot rot. Nothing here judges how fast anything is. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import type { BenchDocument } from "./run.ts";

const run = promisify(execFile);
const RUN = fileURLToPath(new URL("./run.ts", import.meta.url));

test("the small size of every bench prints a document in which equal work has equal hashes", async () => {
  const { stdout } = await run(process.execPath, [RUN, "--small"], { maxBuffer: 1 << 24 });
  const document = JSON.parse(stdout) as BenchDocument;
  expect(document).toMatchObject({ format: 1, small: true });
  expect(document.benches.map(({ name }) => name)).toEqual(["ingest", "ledger", "rerate"]);
  for (const { groups } of document.benches) {
    expect(groups.length).toBeGreaterThan(0);
    for (const { variants, baseline } of groups) {
      expect(variants.map(({ name }) => name)).toContain(baseline);
      for (const variant of variants) {
        expect(Object.keys(variant.figures).length, variant.name).toBeGreaterThan(0);
        const twins = variants.filter(({ agrees_on }) => agrees_on === variant.agrees_on);
        expect(new Set(twins.map(({ hash }) => hash)).size, variant.agrees_on).toBe(1);
      }
    }
  }
}, 240_000);

test("an unknown bench is refused with the names of those there are", async () => {
  await expect(run(process.execPath, [RUN, "nothing"])).rejects.toThrow("ingest, ledger, rerate");
});
