/** The data directory is made, or refused in one line. */
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { PermanentError } from "../schemas/errors.ts";
import { prepareDataDirectory } from "./data-directory.ts";

const folder = mkdtempSync(join(tmpdir(), "spanledger-directory-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("levels that are missing are made, for the owner alone", () => {
  const path = join(folder, "a", "b", "c");
  prepareDataDirectory(path);
  prepareDataDirectory(path);
  expect(statSync(path).mode & 0o777).toBe(0o700);
});

test.each([
  ["a level that cannot exist", () => "/proc/spanledger/data"],
  [
    "a file in the way",
    () => {
      writeFileSync(join(folder, "file"), "");
      return join(folder, "file", "data");
    },
  ],
])("%s is refused at once, naming the setting", (_what, path) => {
  expect(() => prepareDataDirectory(path())).toThrow(PermanentError);
  expect(() => prepareDataDirectory(path())).toThrow("SPANLEDGER_DATA_DIR");
});
