/** Inflating within the limit: which inputs are bodies, and what is never let into memory. */
import { randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { PassThrough } from "node:stream";
import { constants, createGunzip, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PermanentError, RetryableError } from "../../schemas/errors.ts";
import { BodyPool } from "./body-pool.ts";
import { chooseInflater, inflateBody, readBody } from "./body.ts";
import { makeInFlightLimit } from "./in-flight.ts";

const LIMIT_BYTES = 100_000;
const COMPRESSORS = { gzip: gzipSync, deflate: deflateSync, zstd: zstdCompressSync } as const;
type Encoding = keyof typeof COMPRESSORS;
const ENCODINGS = Object.keys(COMPRESSORS) as Encoding[];

function requestWith(headers: Record<string, string>): IncomingMessage {
  return { headers } as unknown as IncomingMessage;
}

function inflaterOf(encoding: string) {
  return chooseInflater(requestWith({ "content-encoding": encoding }), LIMIT_BYTES);
}

function inflate(encoding: Encoding, bytes: Uint8Array, take = (_bytes: number) => {}) {
  return inflateBody(bytes, inflaterOf(encoding), LIMIT_BYTES, take);
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "none",
    (error: unknown) => (error instanceof PermanentError ? error.code : `other: ${String(error)}`),
  );
}

describe("which encodings are taken", () => {
  test.each(["identity", "", "IDENTITY", " identity "])("T18 %j is taken as it is", (encoding) => {
    expect(inflaterOf(encoding)).toBeNull();
  });

  test.each(["gzip", "GZIP", "deflate", "zstd"])("T18 %j is inflated", (encoding) => {
    expect(inflaterOf(encoding)).not.toBeNull();
  });

  test.each(["br", "snappy", "lz4", "gzip, gzip", "gzip,deflate", "__proto__", "toString"])(
    "B05 B08 %j is refused and the message names what is taken",
    (encoding) => {
      expect(() => inflaterOf(encoding)).toThrow(
        expect.objectContaining({
          code: "unsupported_encoding",
          message: expect.stringContaining("identity, gzip, deflate, zstd") as string,
        }),
      );
    },
  );

  test("B01 a declared length above the limit is refused, one at the limit is not", () => {
    const choose = (length: number) =>
      chooseInflater(requestWith({ "content-length": String(length) }), LIMIT_BYTES);
    expect(() => choose(LIMIT_BYTES + 1)).toThrow(
      expect.objectContaining({ code: "body_too_large" }),
    );
    expect(choose(LIMIT_BYTES)).toBeNull();
  });
});

describe("reading", () => {
  /** A request that brings these pieces; tells how often its watch began and ended. */
  async function read(...pieces: string[]) {
    const stream = new PassThrough();
    let watched = 0;
    const reading = readBody(
      stream as unknown as IncomingMessage,
      10,
      () => {},
      () => {
        watched += 1;
        return () => {
          watched = 0;
        };
      },
    );
    for (const piece of pieces) stream.write(piece);
    stream.end();
    const code = await codeOf(reading);
    return { code, watched };
  }

  test("a body is watched until it is there or refused, and no longer", async () => {
    expect(await read("12345", "67890")).toEqual({ code: "none", watched: 0 });
    expect(await read("12345", "678901")).toEqual({ code: "body_too_large", watched: 0 });
  });

  test("a body that its watch refuses is left", async () => {
    const stream = new PassThrough();
    const reading = readBody(
      stream as unknown as IncomingMessage,
      10,
      () => {},
      (size, refuse) => {
        setImmediate(() => refuse(new PermanentError("request_timeout", `after ${size()}`)));
        return () => {};
      },
    );
    stream.write("123");
    await expect(reading).rejects.toThrow("after 3");
    expect(stream.isPaused()).toBe(true);
  });
});

describe("inflating", () => {
  test("any body comes out as it went in", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...ENCODINGS),
        fc.uint8Array({ maxLength: 5_000 }),
        async (encoding, bytes) => {
          const inflated = await inflate(encoding, COMPRESSORS[encoding](bytes));
          expect(Buffer.from(inflated).equals(bytes)).toBe(true);
        },
      ),
      { numRuns: 60 },
    );
  });

  test.each(ENCODINGS)(
    "B01 %s: a body of the limit is taken, one byte more is not",
    async (encoding) => {
      const compress = COMPRESSORS[encoding];
      const taken = await inflate(encoding, compress(randomBytes(LIMIT_BYTES)));
      expect(taken).toHaveLength(LIMIT_BYTES);
      const refused = inflate(encoding, compress(randomBytes(LIMIT_BYTES + 1)));
      expect(await codeOf(refused)).toBe("body_too_large");
    },
  );

  test.each(ENCODINGS)("B06 %s: a body cut anywhere is refused", async (encoding) => {
    const whole = COMPRESSORS[encoding](Buffer.from("cut me ".repeat(50)));
    for (let length = 0; length < whole.length; length += 1) {
      expect([length, await codeOf(inflate(encoding, whole.subarray(0, length)))]).toEqual([
        length,
        "bad_compression",
      ]);
    }
  });

  test.each(ENCODINGS)("B06 %s: bytes behind the compressed data are refused", async (encoding) => {
    const whole = COMPRESSORS[encoding](Buffer.from("{}"));
    const followed = Buffer.concat([whole, Buffer.from("more")]);
    expect(await codeOf(inflate(encoding, followed))).toBe("bad_compression");
  });

  test("B06 gzip members that follow each other are one body", async () => {
    const body = Buffer.concat([gzipSync("one "), gzipSync("body")]);
    expect(Buffer.from(await inflate("gzip", body)).toString()).toBe("one body");
  });

  test("B06 a second zstd frame or deflate stream is refused, never lost", async () => {
    for (const encoding of ["zstd", "deflate"] as const) {
      const one = COMPRESSORS[encoding](Buffer.from("one"));
      const two = Buffer.concat([one, one]);
      expect(await codeOf(inflate(encoding, two))).toBe("bad_compression");
    }
  });

  test.each([
    ["plain text", Buffer.from("{}")],
    ["nothing", Buffer.alloc(0)],
    ["a wrong checksum", flipByte(gzipSync("checked"), -6)],
  ])("B06 B07 gzip that is %s is refused", async (_name, bytes) => {
    expect(await codeOf(inflate("gzip", bytes))).toBe("bad_compression");
  });

  test.each(ENCODINGS)("P07 %s: a bomb is stopped at the limit", async (encoding) => {
    const bomb = COMPRESSORS[encoding](Buffer.alloc(32 * 1024 * 1024));
    let made_bytes = 0;
    const count = (bytes: number) => {
      made_bytes += bytes;
    };
    expect(await codeOf(inflate(encoding, bomb, count))).toBe("body_too_large");
    expect(made_bytes).toBeLessThanOrEqual(LIMIT_BYTES);
  });

  test("P07 a zstd bomb with the largest window is stopped at the limit", async () => {
    const bomb = zstdCompressSync(Buffer.alloc(64 * 1024 * 1024), {
      params: { [constants.ZSTD_c_windowLog]: 27 },
    });
    expect(await codeOf(inflate("zstd", bomb))).toBe("body_too_large");
  });

  test("what may not be held rejects with its own error", async () => {
    const full = new RetryableError("overloaded", "full");
    const refuse = () => {
      throw full;
    };
    await expect(inflate("gzip", gzipSync("body"), refuse)).rejects.toBe(full);
  });
});

describe("bytes in flight", () => {
  test("requests together stay within the limit and give back what they held", () => {
    const open = makeInFlightLimit(100);
    const first = open();
    const second = open();
    first.add(60);
    expect(() => second.add(41)).toThrow(expect.objectContaining({ code: "overloaded" }));
    second.add(40);
    expect(() => first.check(1)).toThrow(RetryableError);
    second.release();
    first.add(40);
    first.release();
    const third = open();
    const fourth = open();
    third.add(50);
    fourth.add(50);
  });

  test("a request that holds all there is goes on beyond the limit", () => {
    const open = makeInFlightLimit(100);
    const alone = open();
    alone.add(90);
    alone.add(90);
    expect(() => open().add(1)).toThrow(RetryableError);
  });

  test("what is refused is not counted, whatever the order", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(3), fc.nat(200)), { maxLength: 40 }), (steps) => {
        const open = makeInFlightLimit(100);
        const holds = [open(), open(), open(), open()];
        const held = [0, 0, 0, 0];
        for (const [who, byteCount] of steps) {
          const others = held.reduce((sum, bytes) => sum + bytes, 0) - (held[who] as number);
          const fits = others === 0 || others + (held[who] as number) + byteCount <= 100;
          let taken = true;
          try {
            holds[who]?.add(byteCount);
          } catch {
            taken = false;
          }
          expect(taken).toBe(fits);
          if (!taken) holds[who]?.release();
          held[who] = taken ? (held[who] as number) + byteCount : 0;
        }
      }),
    );
  });
});

function flipByte(bytes: Buffer, index: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[copy.length + index] = (copy.at(index) as number) ^ 1;
  return copy;
}

test("an inflated body of many pieces is whole, also in memory that is used again", async () => {
  const pool = new BodyPool();
  for (const size of [10, 70_000, 900_000, 3_000_000]) {
    for (let round = 0; round < 3; round += 1) {
      const plain = Buffer.from(
        Array.from({ length: size }, (_, index) => (index * 7 + round) & 0xff),
      );
      const body = await inflateBody(gzipSync(plain), createGunzip, 1 << 24, () => {}, pool);
      expect(plain.equals(body), `${size} bytes, round ${round}`).toBe(true);
      pool.give(body);
    }
  }
});
