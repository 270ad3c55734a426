/**
 * P28 for trace exports in protobuf: whatever the bytes are, the pass in place and the stages one after
 * the other make the same of them, protobufjs agrees where it can read them, nothing but a refusal is
 * thrown, and nothing is slow.
 *
 * `SPANLEDGER_TEST_FUZZ_S=600 npm run test:fuzz` runs each test with new seeds for so many seconds; a
 * failure names its seed. Bodies that failed once are kept in `regressions.ts`.
 */
import { expect, test } from "vitest";
import { decodeTraces } from "../../collector/decode/traces.ts";
import { encodeProtobuf, parseBody } from "../support/corpus-bodies.ts";
import { readCorpus } from "../support/corpus.ts";
import { expectedTraces } from "../support/otlp-oracle.ts";
import { decodeTraceRequest, type OtlpTraceRequest } from "../support/otlp-proto.ts";
import { makeRandom, type Random } from "../support/random.ts";
import { mutate, parseFields, writeFields } from "./grammar.ts";
import { TRACE_REGRESSIONS } from "./regressions.ts";
import {
  expectQuick,
  expectSame,
  makePass,
  readAsObjects,
  refusedOr,
  repeatSeeds,
  startWay,
  surround,
} from "./ways.ts";

/** Larger captures say the same again and take longer. */
const MAX_SEED_BYTES = 24_000;

const seeds = readCorpus()
  .flatMap(({ bodies }) => bodies.filter(({ signal }) => signal === "traces"))
  .map(({ bytes }) => encodeProtobuf("traces", parseBody("traces", bytes)))
  .filter((body) => body.length > 0 && body.length < MAX_SEED_BYTES);

const makeBody = (random: Random): Uint8Array =>
  surround(mutate("traces", random.pick(seeds), random.pick(seeds), random));

test("the trees of captures give their bytes again", () => {
  expect(seeds.length).toBeGreaterThan(100);
  for (const body of seeds) {
    expect(writeFields(parseFields(body, "traces")).equals(body)).toBe(true);
  }
});

test.each([false, true])(
  "P28 changed captures give the same in place and as objects, several at once (content kept: %s)",
  (capture) => {
    const pass = makePass(capture);
    let in_place = 0;
    const runs = repeatSeeds(400, (seed) => {
      const random = makeRandom(seed);
      const base = random.pick(seeds);
      // A body and others that differ little from it, of two projects, taking turns.
      const bodies = [surround(base), makeBody(random)];
      for (let more = 0; more < 2; more += 1) {
        bodies.push(surround(mutate("traces", base, random.pick(seeds), random)));
      }
      const ways = bodies.map((body, index) => startWay(pass, body, `project-${index % 2}`));
      const open = new Set(ways);
      while (open.size > 0) {
        for (const way of open) if (!way.step(1 + random.whole(3))) open.delete(way);
      }
      for (const [index, way] of ways.entries()) {
        if (expectSame(way, capture, `seed ${seed}, body ${index}`)) in_place += 1;
      }
    });
    expect(in_place).toBeGreaterThan(runs);
  },
);

/** Undefined where protobufjs refuses the body: it reads also what we skip. */
function readByProtobufjs(body: Uint8Array): OtlpTraceRequest | undefined {
  try {
    return decodeTraceRequest(body);
  } catch {
    return undefined;
  }
}

test("P28 what is taken without a word is what protobufjs reads", () => {
  let agreed = 0;
  const runs = repeatSeeds(1_200, (seed) => {
    const body = makeBody(makeRandom(seed));
    const traces = refusedOr(() => decodeTraces(body));
    if (typeof traces === "string") return;
    if (traces.rejected_spans > 0 || traces.warnings.length > 0) return;
    const request = readByProtobufjs(body);
    if (request === undefined) return;
    expect(traces, `seed ${seed}`).toStrictEqual(expectedTraces(request));
    agreed += 1;
  });
  expect(agreed).toBeGreaterThan(runs / 10);
});

test("P28 no body takes more than 10 ms for each 64 KiB, in place and as objects", () => {
  const pass = makePass(false);
  for (const body of seeds) while (startWay(pass, body, "p").step(Infinity));
  repeatSeeds(500, (seed) => {
    const body = makeBody(makeRandom(seed));
    expectQuick(body.length, `in place, seed ${seed}`, () => {
      startWay(pass, body, "p").step(Infinity);
    });
    expectQuick(body.length, `objects, seed ${seed}`, () => {
      refusedOr(() => decodeTraces(body));
    });
  });
});

test("P28 random bytes are taken or refused, and nothing else", () => {
  const pass = makePass(false);
  repeatSeeds(2_000, (seed) => {
    const random = makeRandom(seed);
    const bytes = Buffer.from(random.bytes(1 + random.whole(60)));
    // Most random bytes fail at once unless they begin as a request does.
    if (random.chance(0.7))
      bytes.set([0x0a, bytes.length - 2, 0x12, bytes.length - 4].slice(0, bytes.length));
    const way = startWay(pass, surround(bytes), "p");
    way.step(Infinity);
    expectSame(way, false, `seed ${seed}`);
  });
});

test.each(TRACE_REGRESSIONS)("$what", ({ hex, before = [], capture = false }) => {
  const pass = makePass(capture);
  for (const known of before)
    startWay(pass, surround(Buffer.from(known, "hex")), "p").step(Infinity);
  const way = startWay(pass, surround(Buffer.from(hex, "hex")), "p");
  way.step(Infinity);
  expectSame(way, capture, hex);
  readAsObjects(way.body, "p", capture);
});
