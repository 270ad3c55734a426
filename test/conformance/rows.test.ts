/** The checklist is whole, and every row is proved or says why it is not met. */
import { expect, test } from "vitest";
import { findProofs, judgeRun, otlpParts } from "../../docs/otlp-table.ts";
import { CONFORMANCE } from "./rows.ts";

/** Rows of each chapter in the research that the checklist was made from. */
const COUNTS = { T: 18, B: 9, R: 13, D: 15, J: 14, G: 10, O: 7 };

const rows = CONFORMANCE.flatMap((chapter) => chapter.rows);

test("the checklist has every row of the research once", () => {
  const expected = Object.entries(COUNTS).flatMap(([letter, count]) =>
    Array.from(
      { length: count },
      (_unused, index) => `${letter}${String(index + 1).padStart(2, "0")}`,
    ),
  );
  expect(rows.map(({ id }) => id)).toEqual(expected);
});

test("every row has a test with its id, or a reason why it is not met", () => {
  const proofs = findProofs();
  const bare = rows.filter(({ id, reason }) => reason === undefined && !proofs.has(id));
  expect(bare.map(({ id }) => id)).toEqual([]);
});

test("every id in a title is a row", () => {
  const ids = new Set(rows.map(({ id }) => id));
  // N and P are rows of the abuse cases, which have no checklist.
  const others = [...findProofs().keys()].filter((id) => !ids.has(id) && !/^[NPFC]/.test(id));
  expect(others).toEqual([]);
});

test("a row loses its tick when a test of it fails, is skipped or did not run", () => {
  const all = rows.map(({ id }) => ({ title: `${id} holds`, status: "passed" }));
  expect(judgeRun(all)).toEqual([]);
  for (const status of ["failed", "skipped"]) {
    expect(judgeRun([...all, { title: "D06 T01 also holds", status }])).toEqual([
      `${status}: D06 T01 also holds`,
    ]);
  }
  expect(judgeRun(all.filter(({ title }) => !title.startsWith("D06")))).toEqual([
    "D06 has no test that passed",
  ]);
});

test("the page has a tick or a reason for every row, and names the tests", () => {
  const text = otlpParts((_titles, cells) => cells.map((row) => row.join(" | ")).join("\n")).join(
    "\n",
  );
  for (const { id, reason } of rows) {
    const line = text.split("\n").find((one) => one.startsWith(`${id} |`));
    expect(line).toContain(reason === undefined ? "| ✓ | [" : `| no: ${reason}`);
  }
});
