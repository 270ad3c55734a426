/**
 * Everything real clients sent, through the running server, torn into single spans, records and
 * points, in any order, in both encodings and some of it twice: the ledger ends with the rows that
 * `explain` makes of all of it at once (issue "The ledger", point 7).
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { explainBodies } from "../../cli/explain.ts";
import type { CallsAnswer, UsageAnswer } from "../../schemas/api.ts";
import type { CallRow } from "../../schemas/call.ts";
import { readCorpus } from "../support/corpus.ts";
import {
  type CorpusSignal,
  encodeJson,
  encodeProtobuf,
  parseBody,
  splitRecords,
} from "../support/corpus-bodies.ts";
import { eventually, makeDataDirectory, type Program, startServe } from "../support/program.ts";
import { makeRandom } from "../support/random.ts";

const SEED = Number(process.env["SPANLEDGER_TEST_SEED"] ?? 1);
/** Requests between two pauses, and how long a pause lasts: long enough that a batch is inserted. */
const BURST = 150;
const PAUSE_MS = 400;

interface Piece {
  readonly signal: CorpusSignal;
  readonly bytes: Uint8Array;
  readonly content_type: string;
}

const data = makeDataDirectory();
let program: Program;

beforeAll(async () => {
  program = await startServe(data.path, { SPANLEDGER_TRACE_SETTLE_S: "2" });
});
afterAll(async () => {
  await program.end("SIGTERM");
  data.remove();
});

async function post({ signal, bytes, content_type }: Piece): Promise<void> {
  const response = await fetch(`${program.otlp}/v1/${signal}`, {
    method: "POST",
    headers: { "content-type": content_type },
    body: Buffer.from(bytes),
  });
  expect(response.status).toBe(200);
  await response.arrayBuffer();
}

async function readLedger(): Promise<CallRow[]> {
  const rows: CallRow[] = [];
  let cursor: string | null = null;
  do {
    const query: string = cursor === null ? "" : `&cursor=${cursor}`;
    const response = await fetch(`${program.api}/v1/calls?from=2026-01-01&limit=500${query}`);
    const page = (await response.json()) as CallsAnswer;
    rows.push(...page.calls);
    cursor = page.next_cursor;
  } while (cursor !== null);
  return rows;
}

const byId = (a: CallRow, b: CallRow) => (a.call_id < b.call_id ? -1 : 1);

test("the whole corpus, in pieces and any order, is the rows of one arrival, in calls and in every sum", async () => {
  const random = makeRandom(SEED);
  const bodies = readCorpus().flatMap((one) => one.bodies);
  const expected = explainBodies(bodies.map(({ bytes }) => bytes)).calls.toSorted(byId);
  const pieces = bodies.flatMap(({ signal, bytes }) =>
    splitRecords(signal, parseBody(signal, bytes)).map((record): Piece => {
      const is_json = random.chance(0.5);
      return {
        signal,
        bytes: is_json ? encodeJson(record) : encodeProtobuf(signal, record),
        content_type: is_json ? "application/json" : "application/x-protobuf",
      };
    }),
  );
  const deliveries = [...pieces, ...pieces.filter(() => random.chance(0.2))];
  for (let index = deliveries.length - 1; index > 0; index -= 1) {
    const other = random.whole(index + 1);
    const piece = deliveries[index] as Piece;
    deliveries[index] = deliveries[other] as Piece;
    deliveries[other] = piece;
  }
  for (let start = 0; start < deliveries.length; start += BURST) {
    await Promise.all(deliveries.slice(start, start + BURST).map((piece) => post(piece)));
    await new Promise((resolve) => {
      setTimeout(resolve, PAUSE_MS);
    });
  }
  const isSettled = (rows: CallRow[]) =>
    rows.length === expected.length &&
    JSON.stringify(rows.toSorted(byId)) === JSON.stringify(expected);
  const { answer } = await eventually(readLedger, isSettled, 30_000).catch(async () => ({
    answer: await readLedger(),
  }));
  expect(answer.toSorted(byId)).toEqual(expected);

  const response = await fetch(
    `${program.api}/v1/usage?from=2026-01-01&group_by=model&measures=calls,tokens,cost_usd`,
  );
  const usage = (await response.json()) as UsageAnswer;
  expect(usage.rows.reduce((sum, row) => sum + (row.calls ?? 0), 0)).toBe(expected.length);
}, 180_000);
