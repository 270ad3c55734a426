/**
 * Everything real clients sent, through the running server, torn into single spans, records and
 * points, in any order, in both encodings and some of it twice: the ledger ends with the rows that
 * `explain` makes of all of it at once, and the sums with theirs.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { explainBodies } from "../../cli/explain.ts";
import type { UsageAnswer } from "../../schemas/api.ts";
import type { CallRow } from "../../schemas/call.ts";
import { parseUsd } from "../../schemas/units.ts";
import {
  readCapturedBodies,
  readLedger,
  sendPiece,
  sortCalls,
  tearBodies,
} from "../support/corpus-delivery.ts";
import { eventually, makeDataDirectory, type Program, startServe } from "../support/program.ts";
import { makeRandom } from "../support/random.ts";

const SEED = Number(process.env["SPANLEDGER_TEST_SEED"] ?? 1);
/** Requests between two pauses, and how long a pause lasts: long enough that a batch is inserted. */
const BURST = 150;
const PAUSE_MS = 400;

const data = makeDataDirectory();
let program: Program;

beforeAll(async () => {
  program = await startServe(data.path, { SPANLEDGER_TRACE_SETTLE_S: "2" });
});
afterAll(async () => {
  await program.end("SIGTERM");
  data.remove();
});

test("the whole corpus, in pieces and any order, is the rows of one arrival, in calls and in every sum", async () => {
  const bodies = readCapturedBodies();
  const expected = sortCalls(explainBodies(bodies.map(({ bytes }) => bytes)).calls);
  const pieces = tearBodies(bodies, makeRandom(SEED), 0.2);
  for (let start = 0; start < pieces.length; start += BURST) {
    const burst = pieces.slice(start, start + BURST);
    const answers = await Promise.all(burst.map((piece) => sendPiece(program, piece)));
    expect(answers).not.toContain(false);
    await new Promise((resolve) => {
      setTimeout(resolve, PAUSE_MS);
    });
  }
  const isAll = (rows: CallRow[]) => JSON.stringify(rows) === JSON.stringify(expected);
  const ask = () => readLedger(program);
  const answer = await eventually(ask, isAll, 30_000).then((found) => found.answer, ask);
  expect(answer).toEqual(expected);

  const usage = async (query: string) => {
    const response = await fetch(`${program.api}/v1/usage?from=2026-01-01&${query}`);
    return (await response.json()) as UsageAnswer;
  };
  // By model from usage_15m, by service and user from the daily rollups, by session from the calls.
  for (const group_by of ["model", "service_name", "user_id", "session_id"]) {
    const { rows, totals } = await usage(`group_by=${group_by}&measures=calls,cost_usd`);
    expect(totals.calls).toBe(expected.length);
    expect(rows.reduce((sum, row) => sum + (row.calls ?? 0), 0)).toBe(expected.length);
    const cost = expected.reduce((sum, row) => sum + (parseUsd(row.cost_usd ?? "0") ?? 0n), 0n);
    expect(parseUsd(totals.cost_usd ?? "0")).toBe(cost);
  }
}, 180_000);
