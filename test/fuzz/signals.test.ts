/**
 * P28 for exports of logs and metrics in protobuf: they are decoded as protobufjs reads them or refused
 * with a code, nothing else is thrown, and nothing is slow. Run longer as `traces.test.ts` says.
 */
import { expect, test } from "vitest";
import { decodeLogs } from "../../collector/decode/logs.ts";
import { decodeMetrics } from "../../collector/decode/metrics.ts";
import { READERS } from "../../collector/pipeline.ts";
import { encodeProtobuf, parseBody } from "../support/corpus-bodies.ts";
import { expectedLogs, expectedMetrics, readSignalCaptures } from "../support/otlp-oracle.ts";
import { decodeLogsRequest, decodeMetricsRequest } from "../support/otlp-proto.ts";
import { makeRandom, type Random } from "../support/random.ts";
import { mutate } from "./grammar.ts";
import { book, expectQuick, refusedOr, repeatSeeds, surround } from "./ways.ts";

const MAX_SEED_BYTES = 24_000;

function readSeeds(signal: "logs" | "metrics"): Uint8Array[] {
  return readSignalCaptures(signal)
    .map(({ body }) => encodeProtobuf(signal, parseBody(signal, body)))
    .filter((body) => body.length > 0 && body.length < MAX_SEED_BYTES);
}

function unlessThrown<Result>(run: () => Result): Result | undefined {
  try {
    return run();
  } catch {
    return undefined;
  }
}

const CASES = [
  {
    signal: "logs",
    decode: decodeLogs,
    rejectedOf: (body: Uint8Array) => decodeLogs(body).rejected_records,
    expected: (body: Uint8Array) => expectedLogs(decodeLogsRequest(body)),
  },
  {
    signal: "metrics",
    decode: decodeMetrics,
    rejectedOf: (body: Uint8Array) => decodeMetrics(body).rejected_points,
    expected: (body: Uint8Array) => expectedMetrics(decodeMetricsRequest(body)),
  },
] as const;

test.each(CASES)(
  "P28 changed captures of $signal are taken or refused, as protobufjs reads them",
  (given) => {
    const { signal, decode, rejectedOf, expected } = given;
    const seeds = readSeeds(signal);
    const makeBody = (random: Random) =>
      surround(mutate(signal, random.pick(seeds), random.pick(seeds), random));
    let agreed = 0;
    const runs = repeatSeeds(1_000, (seed) => {
      const body = makeBody(makeRandom(seed));
      const decoded = refusedOr(() => decode(body));
      if (typeof decoded === "string") return;
      if (decoded.warnings.length > 0 || rejectedOf(body) > 0) return;
      const read = unlessThrown(() => expected(body));
      if (read === undefined) return;
      expect(decoded, `seed ${seed}`).toStrictEqual(read);
      agreed += 1;
    });
    expect(agreed).toBeGreaterThan(runs / 20);
  },
);

test.each(CASES)(
  "P28 no body of $signal takes more than 10 ms for each 64 KiB, as rows",
  ({ signal }) => {
    const seeds = readSeeds(signal);
    const options = { project_id: "p", capture_content: false };
    for (const body of seeds) READERS[signal](body, "protobuf", book, options);
    repeatSeeds(400, (seed) => {
      const random = makeRandom(seed);
      const body = surround(mutate(signal, random.pick(seeds), random.pick(seeds), random));
      expectQuick(body.length, `seed ${seed}`, () => {
        refusedOr(() => READERS[signal](body, "protobuf", book, options));
      });
    });
  },
);
