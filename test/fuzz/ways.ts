/**
 * The ways through which a body of traces becomes rows, and what each makes of it: in place, and as
 * objects, which is the definition.
 *
 * Invariant: bodies lie between bytes that are nobody's, so that reading beyond one shows.
 */
import { expect, vi } from "vitest";
import { makeSpanBlockWriter } from "../../collector/columns/span-block.ts";
import { SpanRows } from "../../collector/columns/span-rows.ts";
import { loadPriceBook, READERS } from "../../collector/pipeline.ts";
import { TraceBody, TracePass } from "../../collector/traces.ts";
import { PermanentError } from "../../schemas/errors.ts";
import { encodeNeeded } from "../support/blocks.ts";
import { senderOf } from "../support/sender.ts";

/** What a body may be refused with, and nothing else. */
const REFUSALS: ReadonlySet<string> = new Set([
  "invalid_protobuf",
  "invalid_json",
  "wrong_signal",
  "too_many_objects",
  "body_too_large",
]);
const BATCH = { ingest_seq: 7, ingested_ms: 1_795_225_706_001 };
const LIMITS = { oldest_ns: 0n, latest_ns: (1n << 64n) - 1n, max_resource_size: 1 << 29 };
/** What is said of text that nobody reads: in place it is not looked at. */
const INVALID_TEXT = "invalid UTF-8 was replaced by U+FFFD";
/** Stands before and after each body; valid text, a valid key and a tag of an attribute. */
const AROUND = Buffer.from("\n\nJ\u0004NEIGHBOUR'S BYTES ".repeat(20));
const NEIGHBOUR = "NEIGHBOUR";

export const book = loadPriceBook();

/** Seconds that the long run takes for each test; 0 for the short one of every day. */
export const FUZZ_S = Number(process.env["SPANLEDGER_TEST_FUZZ_S"] ?? 0);

if (FUZZ_S > 0) vi.setConfig({ testTimeout: FUZZ_S * 1000 + 60_000 });

/** Calls with ever new seeds: so many, or as many as the time of the long run allows. */
export function repeatSeeds(short_runs: number, run: (seed: number) => void): number {
  const end_ms = performance.now() + FUZZ_S * 1000;
  const first = FUZZ_S === 0 ? 1 : Math.floor(Math.random() * 2 ** 31);
  let runs = 0;
  for (; FUZZ_S === 0 ? runs < short_runs : performance.now() < end_ms; runs += 1)
    run(first + runs);
  return runs;
}

/** The body in the midst of others' bytes. */
export function surround(body: Uint8Array): Uint8Array {
  const whole = Buffer.concat([AROUND, body, AROUND]);
  return whole.subarray(AROUND.length, AROUND.length + body.length);
}

/** Runs a decoder; the code when it refuses. Throws on anything that is no refusal. */
export function refusedOr<Result>(run: () => Result): Result | string {
  try {
    return run();
  } catch (error) {
    if (error instanceof PermanentError && REFUSALS.has(error.code)) return error.code;
    throw error;
  }
}

/** What came of a body. */
export interface Outcome {
  /** A code when the body was refused. */
  readonly block: Buffer | string;
  readonly rejected: number;
  readonly notes: readonly string[];
  readonly calls: number;
}

const said = (notes: readonly string[]): string[] => notes.filter((note) => note !== INVALID_TEXT);

/** The definition. */
export function readAsObjects(
  body: Uint8Array,
  project_id: string,
  capture_content: boolean,
  encoding: "protobuf" | "json" = "protobuf",
): Outcome {
  const read = refusedOr(() =>
    READERS.traces(body, encoding, book, { project_id, capture_content }),
  );
  if (typeof read === "string") return { block: read, rejected: 0, notes: [], calls: 0 };
  const { spans, rejected_items, notes } = read;
  return {
    block: spans.length === 0 ? "empty" : Buffer.from(encodeNeeded(spans, BATCH)),
    rejected: rejected_items,
    notes: said(notes),
    calls: spans.filter(({ span_class }) => span_class === "billable").length,
  };
}

const write = makeSpanBlockWriter();

/** A body on its way in place, a few spans at a time. */
export interface Way {
  readonly body: Uint8Array;
  readonly project_id: string;
  /** Whether there is more to do. */
  step(max_spans: number): boolean;
  /** What came of it; "odd" when it has to go as objects. */
  outcome(): Outcome | "odd";
}

/** Starts a body in the pass that all bodies share. */
export function startWay(pass: TracePass, body: Uint8Array, project_id: string): Way {
  const rows = new SpanRows();
  const way = new TraceBody(pass, body, senderOf(project_id), { rows, addTime: () => {} }, LIMITS);
  let end: "more" | "done" | "odd" = "more";
  return {
    body,
    project_id,
    step(max_spans) {
      if (end === "more") end = way.step(max_spans, 1 << 30);
      return end === "more";
    },
    outcome() {
      if (end !== "done") return "odd";
      const { rejected_count, rejections, warnings } = way.scanner.notes;
      const written = write(rows, BATCH);
      const block = Buffer.from(written.bytes);
      written.release();
      return {
        block,
        rejected: rejected_count,
        notes: said([...rejections, ...warnings]),
        calls: way.counts.calls,
      };
    },
  };
}

/** A pass as the collector has one. */
export function makePass(capture_content: boolean, seed = 99): TracePass {
  return new TracePass({ book, capture_content, seed });
}

/** Expects that a body in place came out as the objects do. Returns whether it went in place. */
export function expectSame(way: Way, capture_content: boolean, what: string): boolean {
  const read = way.outcome();
  if (read === "odd") return false;
  const expected = readAsObjects(way.body, way.project_id, capture_content);
  if (read.block instanceof Buffer && expected.block instanceof Buffer) {
    if (!read.block.equals(expected.block)) {
      expect(read.block.toString("latin1"), what).toBe(expected.block.toString("latin1"));
    }
    expect(read.block.includes(NEIGHBOUR), what).toBe(false);
  } else {
    expect(String(read.block).slice(0, 20), what).toBe(String(expected.block).slice(0, 20));
  }
  expect({ ...read, block: null }, what).toEqual({ ...expected, block: null });
  return true;
}

/** Longest that 64 KiB may take, ms; smaller bodies count as 64 KiB (P28). */
const MAX_MS_PER_64_KIB = 10;
/** The garbage of others may be collected meanwhile, so what was slow is asked again so often. */
const SECOND_CHANCES = 4;

/** Expects that the work on so many bytes is done in time: that of the processor, as others share it. */
export function expectQuick(byte_count: number, what: string, run: () => void): void {
  const max_ms = MAX_MS_PER_64_KIB * Math.max(1, byte_count / 65_536);
  let best_ms = Infinity;
  for (let turn = 0; turn <= SECOND_CHANCES && best_ms > max_ms; turn += 1) {
    const before = process.threadCpuUsage();
    run();
    const { user, system } = process.threadCpuUsage(before);
    best_ms = Math.min(best_ms, (user + system) / 1000);
  }
  if (best_ms > max_ms) expect(best_ms, `ms for ${byte_count} bytes: ${what}`).toBeLessThan(max_ms);
}
