/**
 * The bytes of frames and segment headers against the layout in README.md, written out by hand
 * with a checksum of our own, so that a changed layout cannot pass unseen.
 */

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  FRAME_HEADER_BYTES,
  decodeFrameHeader,
  encodeFrameHeader,
  encodeFramePrefix,
  findFrameHeader,
} from "./record.ts";
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  nameSegment,
  parseSegmentName,
} from "./segment.ts";

/** CRC-32 (IEEE), one bit at a time, continued from an earlier checksum. */
function crc32Bitwise(bytes: Uint8Array, so_far = 0): number {
  let state = ~so_far >>> 0;
  for (const byte of bytes) {
    state ^= byte;
    for (let bit = 0; bit < 8; bit++) state = (state >>> 1) ^ (state & 1 ? 0xedb88320 : 0);
  }
  return ~state >>> 0;
}

function littleEndian(value: bigint, byte_count: number): number[] {
  return Array.from({ length: byte_count }, (_, index) =>
    Number((value >> BigInt(8 * index)) & 0xffn),
  );
}

const MARKER = Uint8Array.of(0x9a, 1, 2, 3, 4, 5, 6, 7);
const PREFIX = encodeFramePrefix(MARKER);
const SEED = 0x5ba91e0d;

describe("a frame header", () => {
  test("has the documented bytes", () => {
    const payload = [Buffer.from("spent"), Buffer.from(" well")];
    const expected = [
      ...Buffer.from("SLWR"),
      ...Uint8Array.of(1, 0, 0, 0),
      ...MARKER,
      ...littleEndian(1_843_200_000_000_007n, 8),
      ...littleEndian(1_800_000_000_000n, 8),
      ...littleEndian(10n, 4),
      ...littleEndian(BigInt(crc32Bitwise(Buffer.from("spent well"), SEED)), 4),
    ];
    const checksum = crc32Bitwise(Uint8Array.from(expected), SEED);
    expected.push(...littleEndian(BigInt(checksum), 4));
    const header = encodeFrameHeader(PREFIX, 1_843_200_000_000_007, 1_800_000_000_000, payload);
    expect([...header]).toEqual(expected);
  });

  test("gives back what was encoded, wherever it stands", () => {
    const whole = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
    fc.assert(
      fc.property(
        whole,
        whole,
        fc.uint8Array(),
        fc.nat(50),
        (sequence, written_ms, payload, at) => {
          const bytes = new Uint8Array(at + FRAME_HEADER_BYTES + 3);
          bytes.set(encodeFrameHeader(PREFIX, sequence, written_ms, [payload]), at);
          const header = decodeFrameHeader(bytes, at, PREFIX);
          expect(header).toMatchObject({ sequence, written_ms, payload_bytes: payload.byteLength });
          expect(findFrameHeader(bytes, PREFIX)).toBe(at);
        },
      ),
      { numRuns: 200 },
    );
  });

  test("is refused when any one bit of it is flipped", () => {
    const header = encodeFrameHeader(PREFIX, 77, 88, [Uint8Array.of(1, 2, 3)]);
    expect(decodeFrameHeader(header, 0, PREFIX)).not.toBeNull();
    for (let bit = 0; bit < FRAME_HEADER_BYTES * 8; bit++) {
      const flipped = header.slice();
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(decodeFrameHeader(flipped, 0, PREFIX)).toBeNull();
    }
  });

  test("is not found in zeros, in a cut header or under the marker of another segment", () => {
    const header = encodeFrameHeader(PREFIX, 77, 88, []);
    const other = encodeFramePrefix(Uint8Array.of(0x9b, 1, 2, 3, 4, 5, 6, 7));
    expect(findFrameHeader(new Uint8Array(1000), PREFIX)).toBe(-1);
    expect(findFrameHeader(header.subarray(0, FRAME_HEADER_BYTES - 1), PREFIX)).toBe(-1);
    expect(findFrameHeader(header, other)).toBe(-1);
  });
});

describe("a segment header", () => {
  const header = {
    version: 1,
    writer_hex: "00112233445566778899aabbccddeeff",
    marker: MARKER,
    first_sequence: 1_843_200_000_000_007,
    records_before: 12,
    previous_first_sequence: 1_843_200_000_000_000,
  };

  test("has the documented bytes", () => {
    const expected = [
      ...Buffer.from("spanlwal"),
      ...littleEndian(1n, 4),
      ...Buffer.from(header.writer_hex, "hex"),
      ...MARKER,
      ...littleEndian(1_843_200_000_000_007n, 8),
      ...littleEndian(12n, 8),
      ...littleEndian(1_843_200_000_000_000n, 8),
    ];
    expected.push(...littleEndian(BigInt(crc32Bitwise(Uint8Array.from(expected))), 4));
    expect([...encodeSegmentHeader(header)]).toEqual(expected);
  });

  test("gives back what was encoded and is refused when any one bit is flipped", () => {
    const bytes = encodeSegmentHeader(header);
    expect(decodeSegmentHeader(bytes)).toEqual(header);
    for (let bit = 0; bit < bytes.byteLength * 8; bit++) {
      const flipped = bytes.slice();
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(decodeSegmentHeader(flipped)).toBeNull();
    }
  });

  test("repeats its marker in the name of the file", () => {
    const name = nameSegment(42, MARKER);
    expect(name).toBe("segment-0000000000000042-9a01020304050607.wal");
    expect(parseSegmentName(name)?.first_sequence).toBe(42);
    expect([...(parseSegmentName(name)?.marker ?? [])]).toEqual([...MARKER]);
    expect(parseSegmentName("segment-42.wal")).toBeNull();
  });
});
