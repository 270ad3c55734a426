/** The benches run: they cannot rot. Nothing here judges how fast anything is. */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeBodies } from "./bodies.ts";
import { RenewableBody } from "./renew.ts";
import type { BenchDocument } from "./run.ts";
import { formatUsd, sumBody } from "./truth.ts";
import { decodeTraceRequest } from "../test/support/otlp-proto.ts";

const run = promisify(execFile);
const RUN = fileURLToPath(new URL("./run.ts", import.meta.url));
const NAMES = [
  "ingest",
  "collector",
  "endtoend",
  "engine",
  "ledger",
  "page",
  "query",
  "rerate",
  "rollups",
  "workers",
];
/** Those of every run; `npm run test:long` runs all. The page's needs a browser. */
const LONG = process.env["SPANLEDGER_TEST_FAULT"] === "long";
const RUN_NAMES = LONG ? NAMES : ["ingest", "collector", "endtoend"];

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "spanledger-bench-test-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Two at once: benches wait as much as they work. */
const turns: Promise<unknown>[] = [Promise.resolve(), Promise.resolve()];

function takeTurn<Result>(index: number, job: () => Promise<Result>): Promise<Result> {
  const lane = index % turns.length;
  const done = (turns[lane] as Promise<unknown>).then(job);
  turns[lane] = done.catch(() => {});
  return done;
}

describe.concurrent.each(RUN_NAMES)("the small size of the bench %s", (bench) => {
  test("prints a table and saves a document in which equal work has equal hashes", async () => {
    const file = join(directory, `${bench}.json`);
    const { stdout } = await takeTurn(RUN_NAMES.indexOf(bench), () =>
      run(process.execPath, [RUN, bench, "--small", "--save", file]),
    );
    const document = JSON.parse(readFileSync(file, "utf8")) as BenchDocument;
    expect(document).toMatchObject({ format: 1, small: true });
    expect(document.benches.map(({ name }) => name)).toEqual([bench]);
    expect(stdout).toContain(`## ${bench}\n`);
    for (const { groups, tables = [] } of document.benches) {
      expect(groups.length + tables.length).toBeGreaterThan(0);
      for (const { name, rows } of tables) expect(rows.length, name).toBeGreaterThan(0);
      for (const { variants, baseline } of groups) {
        expect(variants.map(({ name }) => name)).toContain(baseline);
        for (const variant of variants) {
          expect(Object.keys(variant.figures).length, variant.name).toBeGreaterThan(0);
          const twins = variants.filter(({ agrees_on }) => agrees_on === variant.agrees_on);
          expect(new Set(twins.map(({ hash }) => hash)).size, variant.agrees_on).toBe(1);
        }
      }
    }
  }, 300_000);
});

test("an unknown bench is refused with the names of those there are", async () => {
  await expect(run(process.execPath, [RUN, "nothing"])).rejects.toThrow(NAMES.join(", "));
});

test("a renewed body has other traces, other answers and times of now, and costs the same", () => {
  const [body] = makeBodies(1) as [Uint8Array<ArrayBuffer>];
  const first = idsOf(body);
  const truth = sumBody(body);
  const renewable = new RenewableBody(body);
  const now_ms = 1_795_000_000_000;
  renewable.renew(7, now_ms);
  const second = idsOf(body);
  renewable.renew(8, now_ms + 10);
  const third = idsOf(body);
  expect(second.traces.size).toBe(first.traces.size);
  expect(second.answers.size).toBe(first.answers.size);
  for (const other of [first, third]) {
    expect([...second.traces].filter((id) => other.traces.has(id))).toEqual([]);
    expect([...second.answers].filter((id) => other.answers.has(id))).toEqual([]);
  }
  expect(second.starts_ns[0]).toBe(BigInt(now_ms) * 1_000_000n - 30_000_000_000n);
  const shift_ns = (second.starts_ns[0] as bigint) - (first.starts_ns[0] as bigint);
  expect(second.starts_ns).toEqual(first.starts_ns.map((start_ns) => start_ns + shift_ns));
  expect(sumBody(body)).toEqual(truth);
});

test("picodollars are written as the API writes dollars", () => {
  expect(formatUsd(0n)).toBe("0");
  expect(formatUsd(1_500_000_000_000n)).toBe("1.5");
  expect(formatUsd(7n)).toBe("0.000000000007");
});

function idsOf(body: Uint8Array) {
  const spans = (decodeTraceRequest(body).resourceSpans ?? []).flatMap(({ scopeSpans = [] }) =>
    scopeSpans.flatMap((scope) => scope.spans ?? []),
  );
  const answers = spans.flatMap(({ attributes = [] }) =>
    attributes
      .filter(({ key }) => key === "gen_ai.response.id")
      .map(({ value }) => value?.stringValue ?? ""),
  );
  return {
    traces: new Set(spans.map(({ traceId = [] }) => Buffer.from(traceId).toString("hex"))),
    answers: new Set(answers),
    starts_ns: spans
      .map(({ startTimeUnixNano = 0 }) => BigInt(startTimeUnixNano))
      .toSorted((left, right) => (left < right ? -1 : 1)),
  };
}
