/**
 * `docs/reference/otlp.md`: the conformance checklist with a tick for every row that tests prove.
 *
 * Invariant: the page is a function of the rows and of the titles of the tests, so that it can be
 * checked without running them; `npm run generate` runs them and writes it only when they pass.
 */
import { spawnSync } from "node:child_process";
import { globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CONFORMANCE, type ConformanceRow } from "../test/conformance/rows.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
/** The tests that may prove a row: all run against a real receiver. */
const PROOFS = ["test/conformance/*.test.ts", "collector/receive/grpc.test.ts"];
/** A title that begins with ids of rows, as the first argument of a call. */
const TITLE = /\(\s*["'`]((?:[A-Z]\d\d )+)/g;

const ROWS: readonly ConformanceRow[] = CONFORMANCE.flatMap(({ rows }) => rows);

/** The files that have tests of a row, by its id. */
export function findProofs(): Map<string, Set<string>> {
  const proofs = new Map<string, Set<string>>();
  for (const file of globSync(PROOFS, { cwd: ROOT }).toSorted()) {
    for (const [, ids = ""] of readFileSync(join(ROOT, file), "utf8").matchAll(TITLE)) {
      for (const id of idsOf(ids)) {
        const files = proofs.get(id) ?? new Set();
        proofs.set(id, files.add(file));
      }
    }
  }
  return proofs;
}

/** The ids that a title begins with. */
function idsOf(title: string): string[] {
  return /^(?:[A-Z]\d\d )+/.exec(title)?.[0].trim().split(" ") ?? [];
}

type MakeTable = (titles: readonly string[], rows: readonly (readonly string[])[]) => string;

/** The parts of the page; `table` makes a Markdown table. */
export function otlpParts(table: MakeTable): string[] {
  const proofs = findProofs();
  const unmet = ROWS.filter(({ reason }) => reason !== undefined).length;
  const chapters = CONFORMANCE.map(({ title, rows }) => {
    const cells = rows.map(({ id, level, requirement, behaviour, reason }) => {
      const files = [...(proofs.get(id) ?? [])].map((file) => {
        const name = file.split("/").at(-1) ?? "";
        return `[${name.replace(".test.ts", "")}](../../${file})`;
      });
      return [
        id,
        level,
        requirement,
        behaviour,
        reason === undefined ? "✓" : `no: ${reason}`,
        files.join(", "),
      ];
    });
    return `## ${title}\n\n${table(["Id", "Level", "Requirement", "Spanledger", "Met", "Tests"], cells)}`;
  });
  return [
    "What the OTLP specification 1.11 and its clients ask of a server. MUST, SHOULD and MAY are the " +
      "specification's; *de facto* is what clients depend on, *ours* a rule of Spanledger. A tick stands " +
      "for tests with the id in their titles that passed when this page was written: over loopback, " +
      "against a real collector down to its tables, or for gRPC against its receiver. " +
      `${ROWS.length - unmet} of ${ROWS.length} rows are met; the others say why not.`,
    ...chapters,
  ];
}

interface Report {
  readonly testResults: readonly {
    /** Why the file could not be run; empty when it could. */
    readonly message: string;
    readonly assertionResults: readonly { readonly title: string; readonly status: string }[];
  }[];
}

/** Runs the tests; returns the problems that keep a row from its tick, none when all is proved. */
export function proveRows(): string[] {
  const directory = mkdtempSync(join(tmpdir(), "spanledger-otlp-"));
  const output = join(directory, "report.json");
  const vitest = join(ROOT, "node_modules", "vitest", "vitest.mjs");
  const files = globSync(PROOFS, { cwd: ROOT });
  const options = ["run", ...files, "--reporter=json", `--outputFile=${output}`];
  spawnSync(process.execPath, [vitest, ...options], { cwd: ROOT, stdio: "ignore" });
  const { testResults } = JSON.parse(readFileSync(output, "utf8")) as Report;
  rmSync(directory, { recursive: true });
  return [
    ...testResults.flatMap(({ message }) => (message === "" ? [] : [message])),
    ...judgeRun(testResults.flatMap(({ assertionResults }) => assertionResults)),
  ];
}

/** What keeps a row from its tick, by the tests that ran. */
export function judgeRun(
  results: readonly { readonly title: string; readonly status: string }[],
): string[] {
  const passed = new Set<string>();
  const problems: string[] = [];
  for (const { title, status } of results) {
    if (status === "passed") for (const id of idsOf(title)) passed.add(id);
    else if (idsOf(title).length > 0) problems.push(`${status}: ${title}`);
  }
  for (const { id, reason } of ROWS) {
    if (reason === undefined && !passed.has(id)) problems.push(`${id} has no test that passed`);
  }
  return problems;
}
