/** The wire format against protobufjs's writer and the platform's own UTF-8 decoder. */
import { isUtf8 } from "node:buffer";
import * as fc from "fast-check";
import protobuf from "protobufjs";
import { describe, expect, test } from "vitest";
import { refusalOf, unlessRefused } from "../../test/support/otlp-oracle.ts";
import { createKeyCache, readKey } from "./key-cache.ts";
import { MAX_CACHED_KEY_BYTES, MAX_GROUP_DEPTH } from "./limits.ts";
import {
  createReader,
  DELIMITED,
  FIXED32,
  FIXED64,
  NO_FIELD,
  readBool,
  readBytes,
  readDouble,
  readEnd,
  readField,
  readFixed64,
  readInt32,
  readInt64,
  readText,
  skipValue,
  VARINT,
} from "./wire.ts";

const int64 = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.bigInt({ min: 2n ** 53n - 10n, max: 2n ** 53n + 10n }),
  fc.bigInt({ min: -(2n ** 53n) - 10n, max: -(2n ** 53n) + 10n }),
  fc.bigInt({ min: -300n, max: 300n }),
);

const writeInt64 = (value: bigint) => protobuf.Writer.create().int64(`${value}`).finish();

/** Skips all fields of a message that has none of its own. */
function skipAll(bytes: Uint8Array): number {
  const reader = createReader(bytes);
  let fieldCount = 0;
  while (reader.pos < bytes.length) {
    skipValue(reader, readField(reader, bytes.length, [NO_FIELD]), bytes.length);
    fieldCount += 1;
  }
  return fieldCount;
}

describe("numbers", () => {
  test("an int64 written by protobufjs is read exactly, as a bigint only beyond 2^53", () => {
    fc.assert(
      fc.property(int64, (value) => {
        const bytes = writeInt64(value);
        const reader = createReader(bytes);
        const read = readInt64(reader, bytes.length);
        expect(BigInt(read)).toBe(value);
        expect(typeof read === "number").toBe(value > -(2n ** 53n) && value < 2n ** 53n);
        expect(reader.pos).toBe(bytes.length);
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    ["00", 0],
    ["7f", 127],
    ["8001", 128],
    ["9601", 150],
    ["ffffffff0f", 4294967295],
    ["ffffffffffffff0f", 9007199254740991],
    ["8080808080808010", 9007199254740992n],
    ["ffffffffffffffffff01", -1],
    ["80808080808080808001", -(2n ** 63n)],
    // Longer than needed, but within ten bytes: allowed.
    ["8080808000", 0],
    ["81808080808080808000", 1],
  ])("the varint %s is %s", (hex, value) => {
    const bytes = Buffer.from(hex, "hex");
    expect(readInt64(createReader(bytes), bytes.length)).toBe(value);
  });

  test("an int32 keeps the low 32 bits of whatever was written", () => {
    fc.assert(
      fc.property(int64, (value) => {
        const bytes = writeInt64(value);
        const expected = Number(BigInt.asIntN(32, value));
        expect(readInt32(createReader(bytes), bytes.length)).toBe(expected);
      }),
    );
  });

  test("a bool is true for any bit set, also above the 32nd", () => {
    fc.assert(
      fc.property(fc.oneof(int64, fc.constant(2n ** 40n), fc.constant(0n)), (value) => {
        const bytes = writeInt64(value);
        expect(readBool(createReader(bytes), bytes.length)).toBe(value !== 0n);
      }),
    );
  });

  test("fixed64 and double are read as protobufjs writes them", () => {
    const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    fc.assert(
      fc.property(uint64, fc.double(), (integer, double) => {
        const bytes = protobuf.Writer.create().fixed64(`${integer}`).double(double).finish();
        const reader = createReader(bytes);
        expect(readFixed64(reader, bytes.length)).toBe(integer);
        expect(readDouble(reader, bytes.length)).toBe(double);
      }),
    );
  });

  test("a reader of a part of a buffer sees only that part", () => {
    const whole = Buffer.from("ff0102030405060708ff", "hex");
    const reader = createReader(whole.subarray(1, 9));
    expect(readFixed64(reader, 8)).toBe(0x0807060504030201n);
  });
});

describe("malformed input", () => {
  test.each([
    ["a varint of eleven bytes", "ffffffffffffffffffff01"],
    ["a varint of more than 64 bits", "ffffffffffffffffff02"],
    ["a varint that is cut off", "ffff"],
    ["an empty varint", ""],
  ])("%s is refused", (_name, hex) => {
    const bytes = Buffer.from(hex, "hex");
    const error = refusalOf(() => readInt64(createReader(bytes), bytes.length));
    expect(error.code).toBe("invalid_protobuf");
    expect(error.message).toMatch(/^at byte \d+: /);
  });

  test.each([
    ["field number 0", "00"],
    ["field number 0 with a length", "0200"],
    ["wire type 6", "0e"],
    ["wire type 7", "0f"],
    ["the end of a group that was not begun", "0c"],
    ["a tag of more than 32 bits", "888080801000"],
    ["an unterminated group", "0b0801"],
    ["a group that another number ends", "0b14"],
    ["groups that end in the wrong order", "0b130c14"],
    ["a length beyond the end", "0a0500"],
    ["a length of 2^31", "0a8080808008"],
    ["a length of 2^63", "0a80808080808080808001"],
    ["half a fixed32", "0d0000"],
    ["half a fixed64", "0900000000"],
    ["a varint that is cut off", "0880"],
    ["a group with wire type 7 in it", "0b0f0c"],
  ])("%s is refused", (_name, hex) => {
    expect(refusalOf(() => skipAll(Buffer.from(hex, "hex"))).code).toBe("invalid_protobuf");
  });

  test.each([VARINT, FIXED64, DELIMITED, FIXED32])(
    "a known field with any wire type but its own, %i, is refused",
    (expected) => {
      const wireTypes = [VARINT, FIXED64, DELIMITED, 3, 4, FIXED32];
      const accepted = wireTypes.filter((wireType) => {
        const reader = createReader(Uint8Array.of((1 << 3) | wireType));
        return unlessRefused(() => readField(reader, 1, [NO_FIELD, expected])) === 1;
      });
      expect(accepted).toStrictEqual([expected]);
    },
  );

  test("the message names the offset at which reading stopped", () => {
    expect(refusalOf(() => skipAll(Buffer.from("08010e", "hex"))).message).toBe(
      "at byte 3: wire type 6 does not exist",
    );
  });

  test("a field that ends beyond its message is refused even when the body goes on", () => {
    const bytes = Buffer.from("05414141414141", "hex");
    expect(refusalOf(() => readEnd(createReader(bytes), 4)).code).toBe("invalid_protobuf");
    expect(refusalOf(() => readFixed64(createReader(bytes), 6)).code).toBe("invalid_protobuf");
  });

  test("a huge declared length is refused without allocating it", () => {
    const before = process.memoryUsage().arrayBuffers;
    for (let run = 0; run < 100; run += 1) {
      refusalOf(() => skipAll(Buffer.from("0affffffff07", "hex")));
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_000_000);
  });
});

describe("unknown fields", () => {
  test("fields of every wire type, groups in groups included, are skipped", () => {
    const varint = "089601";
    const fixed64 = "110102030405060708";
    const delimited = "1a03616263";
    const fixed32 = "2501020304";
    const group = `2b${varint}${delimited}33${fixed64}${fixed32}342c`;
    const high = "c23e0161";
    const bytes = Buffer.from(varint + fixed64 + delimited + group + fixed32 + high, "hex");
    expect(skipAll(bytes)).toBe(6);
  });

  test("groups are skipped down to the limit and refused below it", () => {
    const nest = (depth: number) =>
      Uint8Array.from([...Array(depth).fill(0x0b), ...Array(depth).fill(0x0c)]);
    expect(skipAll(nest(MAX_GROUP_DEPTH))).toBe(1);
    expect(refusalOf(() => skipAll(nest(MAX_GROUP_DEPTH + 1))).message).toContain("nested deeper");
  });

  test("200 KB of group starts are refused at once", () => {
    const bytes = new Uint8Array(200_000).fill(0x0b);
    const start = performance.now();
    expect(refusalOf(() => skipAll(bytes)).code).toBe("invalid_protobuf");
    expect(performance.now() - start).toBeLessThan(100);
  });

  test("arbitrary bytes are skipped to their end or refused", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const reader = createReader(bytes);
        unlessRefused(() => {
          while (reader.pos < bytes.length) {
            skipValue(reader, readField(reader, bytes.length, [NO_FIELD]), bytes.length);
          }
        });
        expect(reader.pos).toBeLessThanOrEqual(bytes.length);
      }),
      { numRuns: 5000 },
    );
  });
});

const someBytes = fc.oneof(
  fc.uint8Array({ maxLength: 80 }),
  fc.string({ unit: "binary", maxLength: 30 }).map((text) => new TextEncoder().encode(text)),
  fc
    .string({ unit: "grapheme-ascii", maxLength: 80 })
    .map((text) => new TextEncoder().encode(text)),
);

describe("text and bytes", () => {
  const platformText = new TextDecoder("utf-8", { ignoreBOM: true });

  test("text is what the platform decodes, and marked exactly when it is not UTF-8", () => {
    fc.assert(
      fc.property(someBytes, (bytes) => {
        const reader = createReader(bytes);
        expect(readText(reader, bytes.length)).toBe(platformText.decode(bytes));
        expect(reader.has_invalid_text).toBe(!isUtf8(bytes));
        expect(reader.pos).toBe(bytes.length);
      }),
      { numRuns: 3000 },
    );
  });

  test("U+FFFD and a byte order mark that were sent are kept and are not invalid", () => {
    const bytes = new TextEncoder().encode("\uFEFFa\uFFFDb");
    const reader = createReader(bytes);
    expect(readText(reader, bytes.length)).toBe("\uFEFFa\uFFFDb");
    expect(reader.has_invalid_text).toBe(false);
  });

  test("bytes are copied, so that changing the body does not change them", () => {
    const body = Uint8Array.of(1, 2, 3, 4);
    const reader = createReader(body);
    reader.pos = 1;
    const copy = readBytes(reader, 3);
    body.fill(9);
    expect(copy).toStrictEqual(Uint8Array.of(2, 3));
    expect(copy.buffer.byteLength).toBe(2);
  });
});

describe("the key cache", () => {
  test("a key is the same text with a cache that has seen anything as without one", () => {
    const cache = createKeyCache();
    fc.assert(
      fc.property(fc.array(someBytes, { maxLength: 10 }), (keys) => {
        for (const bytes of [...keys, ...keys]) {
          const reader = createReader(bytes);
          const plain = createReader(bytes);
          expect(readKey(cache, reader, bytes.length)).toBe(readText(plain, bytes.length));
          expect(reader.has_invalid_text).toBe(plain.has_invalid_text);
          expect(reader.pos).toBe(bytes.length);
        }
      }),
    );
  });

  test("a hundred thousand different keys leave it as large as it was", () => {
    const cache = createKeyCache();
    const slotCount = cache.texts.length;
    for (let index = 0; index < 100_000; index += 1) {
      const bytes = Buffer.from(`key.${index}.${"x".repeat(index % 100)}`);
      expect(readKey(cache, createReader(bytes), bytes.length)).toBe(bytes.toString());
    }
    expect(cache.texts).toHaveLength(slotCount);
    const sizes = cache.texts.map((text) => text.length);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(MAX_CACHED_KEY_BYTES);
  });
});
