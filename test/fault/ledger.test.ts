/**
 * The counting rules under SIGKILL: the corpus in single spans, records and points, in any order, to a
 * server that is killed again and again, between reply, insert, decisions and marks. What is sent
 * again after a lost answer comes twice. The rows end as those of one arrival.
 *
 * `npm test` runs a short seed over a part of the corpus; `npm run test:fault` more of both.
 */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { explainBodies } from "../../cli/explain.ts";
import type { CallRow } from "../../schemas/call.ts";
import { readCorpus } from "../support/corpus.ts";
import {
  type Piece,
  readCapturedBodies,
  readLedger,
  sendPiece,
  sortCalls,
  tearBodies,
} from "../support/corpus-delivery.ts";
import {
  eventually,
  type Launched,
  launch,
  makeDataDirectory,
  makeFastStart,
} from "../support/program.ts";
import { makeRandom } from "../support/random.ts";

const LONG = process.env["SPANLEDGER_TEST_FAULT"] === "long";
/** Clients whose calls are contested: several reports of a call, sums, several signals. */
const CONTESTED = /^(double|claude|codex|gemini|vercel|openlit|mastra|openinference|google)/;
const CONCURRENCY = 8;

let launched: Launched | null = null;
let fast: Awaited<ReturnType<typeof makeFastStart>> | null = null;
let data: { path: string; remove(): void } | null = null;

beforeAll(async () => {
  fast = await makeFastStart();
});
afterAll(() => fast?.remove());
afterEach(async () => {
  await launched?.end("SIGKILL");
  launched = null;
  data?.remove();
  data = null;
});

test.each(LONG ? [1, 2, 3, 4, 5, 6, 7, 8] : [1])(
  "calls are counted once however often the server is killed while it decides (seed %i)",
  async (seed) => {
    const random = makeRandom(seed);
    const cases = readCorpus().filter(({ client }) => CONTESTED.test(client));
    const bodies = readCapturedBodies(cases);
    const expected = sortCalls(explainBodies(bodies.map(({ bytes }) => bytes)).calls);
    expect(expected.length).toBeGreaterThan(80);
    const waiting: Piece[] = tearBodies(bodies, random, LONG ? 0.3 : 0);
    const kills = LONG ? 30 : 4;
    const share = Math.ceil(waiting.length / kills);
    data = makeDataDirectory();
    const start = (): Launched => {
      launched = launch("serve", data?.path ?? "", {
        SPANLEDGER_TRACE_SETTLE_S: "1",
        SPANLEDGER_INSERT_MAX_AGE_MS: String(1 + random.whole(150)),
        ...fast?.settings,
      });
      launched.ready.catch(() => {});
      return launched;
    };
    for (let kill = 0; kill < kills; kill += 1) {
      // What was received before is read and decided again while it starts.
      while (random.chance(0.3)) {
        const starting = start();
        setTimeout(() => void starting.end("SIGKILL"), random.whole(800));
        expect(await starting.exited, starting.log()).toBeNull();
      }
      const running = start();
      const program = await running.ready;
      const timer = setTimeout(() => void running.end("SIGKILL"), 100 + random.whole(900));
      const burst = waiting.splice(0, share);
      const send = async (): Promise<void> => {
        for (let piece = burst.shift(); piece !== undefined; piece = burst.shift()) {
          // Not acknowledged, whether it was taken or not: it comes again.
          if (!(await sendPiece(program, piece))) waiting.push(piece);
        }
      };
      await Promise.all(Array.from({ length: CONCURRENCY }, send));
      clearTimeout(timer);
      expect(await running.end("SIGKILL"), running.log()).toBeNull();
    }
    const last = await start().ready;
    for (const piece of waiting) expect(await sendPiece(last, piece)).toBe(true);
    const isAll = (rows: CallRow[]) => JSON.stringify(rows) === JSON.stringify(expected);
    const ask = () => readLedger(last);
    const answer = await eventually(ask, isAll, 30_000).then((found) => found.answer, ask);
    expect(answer).toEqual(expected);
  },
  LONG ? 900_000 : 120_000,
);
