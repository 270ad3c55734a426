/** Records of the log: what is written is read, and bytes that are none are refused, never misread. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { PermanentError } from "./errors.ts";
import { type BlockRecord, decodeRecord, encodeRecord, RECORD_TABLES } from "./record.ts";

function bytesOf(record: BlockRecord): Uint8Array {
  return Buffer.concat(encodeRecord(record));
}

/** Bytes of a record whose header is any text. */
function withHeader(text: string, length = Buffer.byteLength(text)): Uint8Array {
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32LE(length);
  return Buffer.concat([prefix, Buffer.from(text), Buffer.from([1, 2, 3])]);
}

const records = fc.record({
  header: fc.record({
    table: fc.constantFrom(...RECORD_TABLES),
    rows: fc.integer({ min: 1, max: 1_000_000 }),
    buckets: fc.array(
      fc.tuple(fc.string({ unit: "binary" }), fc.integer({ min: 0, max: 2 ** 32 - 1 })),
    ),
  }),
  block: fc.uint8Array(),
});

test("every record that is written is read as it was", () => {
  fc.assert(
    fc.property(records, (record) => {
      const read = decodeRecord(bytesOf(record));
      expect(read.header).toEqual(record.header);
      expect([...read.block]).toEqual([...record.block]);
    }),
  );
});

test("a record is read from the middle of a larger buffer", () => {
  const record: BlockRecord = {
    header: { table: "spans", rows: 2, buckets: [["ünï 'x'", 900]] },
    block: Uint8Array.of(9, 8, 7),
  };
  const bytes = bytesOf(record);
  const larger = new Uint8Array(bytes.length + 10).fill(0xee);
  larger.set(bytes, 5);
  const read = decodeRecord(larger.subarray(5, 5 + bytes.length));
  expect(read.header).toEqual(record.header);
  expect([...read.block]).toEqual([9, 8, 7]);
});

test("the layout is a length, the header as JSON and the block", () => {
  const [length, header, block] = encodeRecord({
    header: { table: "spans", rows: 1, buckets: [] },
    block: Uint8Array.of(5),
  });
  const text = '{"table":"spans","rows":1,"buckets":[]}';
  expect([...(length ?? [])]).toEqual([text.length, 0, 0, 0]);
  expect(new TextDecoder().decode(header)).toBe(text);
  expect([...(block ?? [])]).toEqual([5]);
});

test("a record that the first version wrote is still read", () => {
  // Its bytes as they were written when spans were the only table.
  const bytes = withHeader('{"table":"spans","rows":3,"buckets":[["default",1795225500]]}');
  const { header, block } = decodeRecord(bytes);
  expect(header).toEqual({ table: "spans", rows: 3, buckets: [["default", 1_795_225_500]] });
  expect([...block]).toEqual([1, 2, 3]);
});

test("a record cut anywhere in its header is refused", () => {
  const bytes = bytesOf({
    header: { table: "spans", rows: 7, buckets: [["p", 900]] },
    block: Uint8Array.of(),
  });
  for (let size = 0; size < bytes.length; size += 1) {
    expect(() => decodeRecord(bytes.subarray(0, size)), String(size)).toThrow(PermanentError);
  }
});

test.each([
  ["a header that is no JSON", withHeader("{table:spans}")],
  ["an empty header", withHeader("")],
  ["another table", withHeader('{"table":"users","rows":1,"buckets":[]}')],
  ["no rows", withHeader('{"table":"spans","rows":0,"buckets":[]}')],
  ["half a row", withHeader('{"table":"spans","rows":1.5,"buckets":[]}')],
  ["no buckets", withHeader('{"table":"spans","rows":1}')],
  ["a bucket that is no pair", withHeader('{"table":"spans","rows":1,"buckets":[["p"]]}')],
  ["a bucket of no time", withHeader('{"table":"spans","rows":1,"buckets":[["p","900"]]}')],
  ["a length beyond the record", withHeader('{"table":"spans"}', 2 ** 32 - 1)],
  ["a length of zero", withHeader('{"table":"spans","rows":1,"buckets":[]}', 0)],
])("%s is refused as a bad record", (_name, bytes) => {
  let thrown: unknown;
  try {
    decodeRecord(bytes);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(PermanentError);
  expect(thrown).toMatchObject({ code: "bad_record" });
});

test("any bytes are a record or a PermanentError, and nothing else", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        decodeRecord(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(PermanentError);
      }
    }),
    { numRuns: 500 },
  );
});

test("a record with any bit of its header flipped is refused or a record of the same block", () => {
  const record: BlockRecord = {
    header: { table: "spans", rows: 3, buckets: [["p", 900]] },
    block: Uint8Array.of(1, 2, 3),
  };
  const bytes = bytesOf(record);
  const header_end = bytes.length - 3;
  for (let position = 4; position < header_end; position += 1) {
    const flipped = Uint8Array.from(bytes);
    flipped[position] = (flipped[position] ?? 0) ^ 0x10;
    try {
      expect([...decodeRecord(flipped).block]).toEqual([1, 2, 3]);
    } catch (error) {
      expect(error).toBeInstanceOf(PermanentError);
    }
  }
});
