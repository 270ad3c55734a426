/**
 * The stages together, over a disk that fails on command: what a sender is told, and what is in the
 * log when it is told so.
 */
import { afterEach, expect, test } from "vitest";
import { PermanentError, RetryableError } from "../schemas/errors.ts";
import { decodeRecord, type RecordTable } from "../schemas/record.ts";
import { makeCallsBody } from "../test/support/bodies.ts";
import { FaultyDisk } from "../test/support/faulty-disk.ts";
import { encodeTraceRequest } from "../test/support/otlp-proto.ts";
import { loadPriceBook, makePipeline, type Pipeline } from "./pipeline.ts";
import { openWal, type Wal } from "./wal/wal.ts";
import { senderOf } from "../test/support/sender.ts";

const book = loadPriceBook();
let wal: Wal | null = null;

afterEach(async () => {
  await wal?.close();
  wal = null;
});

async function open(disk: FaultyDisk, max_bytes = 1 << 30): Promise<Pipeline> {
  wal = await openWal({
    directory: "/log",
    disk: disk.connect(),
    segment_max_bytes: Math.min(1 << 20, max_bytes / 4),
    max_bytes,
    now_ms: Date.now,
    new_uuid: () => "0f0e0d0c-0b0a-4908-8706-050403020100",
  });
  return makePipeline({
    wal,
    book,
    capture_content: false,
    max_future_s: 86_400,
    max_age_s: 10 * 366 * 86_400,
    seed: 1,
    now_ms: Date.now,
    onSynced: () => {},
  });
}

async function logged(table: RecordTable = "spans"): Promise<{ rows: number; buckets: number }> {
  const records = (await wal?.read(0, 1 << 30)) ?? [];
  const headers = records
    .map((record) => decodeRecord(record.payload).header)
    .filter((header) => header.table === table);
  return {
    rows: headers.reduce((sum, header) => sum + header.rows, 0),
    buckets: headers.reduce((sum, header) => sum + header.buckets.length, 0),
  };
}

/** One span, changed as asked, among good neighbours. */
function bodyWith(changes: object): Uint8Array<ArrayBuffer> {
  const start = BigInt(Date.now()) * 1_000_000n;
  const good = (id: number) => ({
    traceId: Buffer.alloc(16, id),
    spanId: Buffer.alloc(8, id),
    name: "chat",
    kind: 3,
    startTimeUnixNano: start,
    endTimeUnixNano: start,
    attributes: [],
  });
  return encodeTraceRequest({
    resourceSpans: [{ scopeSpans: [{ spans: [good(1), { ...good(2), ...changes }, good(3)] }] }],
  });
}

test("a span is in the log, synced, when the sender is told so", async () => {
  const disk = new FaultyDisk(1);
  const pipeline = await open(disk);
  const result = await pipeline.exportBody(
    "traces",
    makeCallsBody(0, 25),
    "protobuf",
    senderOf("default"),
  );
  expect(result).toMatchObject({
    accepted_items: 25,
    rejected_items: 0,
    message: "",
    counted_calls: 25,
  });
  expect(disk.sync_count).toBeGreaterThan(0);
  // Whatever a power cut takes, it does not take this.
  disk.crash();
  wal = null;
  await open(disk);
  expect(await logged()).toEqual({ rows: 25, buckets: 1 });
});

test("requests that come together share a sync", async () => {
  const disk = new FaultyDisk(2);
  disk.sync_turns = 20;
  const pipeline = await open(disk);
  const before = disk.sync_count;
  const bodies = Array.from({ length: 40 }, (_unused, index) => makeCallsBody(index * 10, 10));
  await Promise.all(
    bodies.map((body) => pipeline.exportBody("traces", body, "protobuf", senderOf("default"))),
  );
  expect((await logged()).rows).toBe(400);
  expect(disk.sync_count - before).toBeLessThan(10);
});

test("on a full disk the sender is asked back and nothing is half-written; with space it goes on", async () => {
  const disk = new FaultyDisk(3);
  const pipeline = await open(disk);
  await pipeline.exportBody("traces", makeCallsBody(0, 10), "protobuf", senderOf("default"));
  disk.capacity_bytes = 0;
  await expect(
    pipeline.exportBody("traces", makeCallsBody(100, 10), "protobuf", senderOf("default")),
  ).rejects.toThrow(RetryableError);
  expect((await logged()).rows).toBe(10);
  disk.capacity_bytes = Number.POSITIVE_INFINITY;
  await pipeline.exportBody("traces", makeCallsBody(200, 10), "protobuf", senderOf("default"));
  expect((await logged()).rows).toBe(20);
});

test("a failed sync is no success, and the next one is", async () => {
  const disk = new FaultyDisk(4);
  const pipeline = await open(disk);
  await pipeline.exportBody("traces", makeCallsBody(0, 10), "protobuf", senderOf("default"));
  disk.failNext("sync", "EIO");
  await expect(
    pipeline.exportBody("traces", makeCallsBody(100, 10), "protobuf", senderOf("default")),
  ).rejects.toThrow(RetryableError);
  await pipeline.exportBody("traces", makeCallsBody(200, 10), "protobuf", senderOf("default"));
  expect((await logged()).rows).toBe(20);
});

test("a full log asks the sender back", async () => {
  const pipeline = await open(new FaultyDisk(5), 200_000);
  const fill = async () => {
    for (let index = 0; index < 100; index += 1) {
      await pipeline.exportBody(
        "traces",
        makeCallsBody(index * 100, 100),
        "protobuf",
        senderOf("default"),
      );
    }
  };
  await expect(fill()).rejects.toMatchObject({ name: "RetryableError", code: "wal_full" });
});

test("a body that cannot be decoded is refused for good and leaves nothing behind", async () => {
  const pipeline = await open(new FaultyDisk(6));
  const body = makeCallsBody(0, 10);
  await expect(
    pipeline.exportBody("traces", body.slice(0, body.length - 3), "protobuf", senderOf("default")),
  ).rejects.toThrow(PermanentError);
  await expect(
    pipeline.exportBody(
      "traces",
      new TextEncoder().encode('{"resourceSpans":['),
      "json",
      senderOf("default"),
    ),
  ).rejects.toThrow(PermanentError);
  expect((await logged()).rows).toBe(0);
});

const YEAR_NS = 366n * 86_400n * 1_000_000_000n;

test.each([
  ["a trace id of 15 bytes", { traceId: Buffer.alloc(15, 9) }, 0],
  ["an all-zero span id", { spanId: Buffer.alloc(8) }, 0],
  ["a start in 1970", { startTimeUnixNano: 1n }, 1],
  ["a start in the year 2554", { startTimeUnixNano: (1n << 64n) - 1n }, 1],
  ["a start in a year", { startTimeUnixNano: BigInt(Date.now()) * 1_000_000n + YEAR_NS }, 1],
  [
    "a start 20 years ago",
    { startTimeUnixNano: BigInt(Date.now()) * 1_000_000n - 20n * YEAR_NS },
    1,
  ],
])("%s costs that span and none of its neighbours", async (_what, changes, set_aside = 0) => {
  const pipeline = await open(new FaultyDisk(7));
  const result = await pipeline.exportBody(
    "traces",
    bodyWith(changes),
    "protobuf",
    senderOf("default"),
  );
  expect(result).toMatchObject({ accepted_items: 2, rejected_items: 1 });
  expect(result.message).not.toBe("");
  expect((await logged()).rows).toBe(2);
  expect((await logged("set_aside_items")).rows).toBe(set_aside);
});

/** Spans under one resource with that many characters of attributes. */
function bodyOfResource(resource_bytes: number, spans: number): Uint8Array<ArrayBuffer> {
  const start = BigInt(Date.now()) * 1_000_000n;
  const attributes = Array.from({ length: resource_bytes / 200 }, (_unused, index) => ({
    key: `resource.attribute.${index}`,
    value: { stringValue: "v".repeat(180) },
  }));
  return encodeTraceRequest({
    resourceSpans: [
      {
        resource: { attributes },
        scopeSpans: [
          {
            spans: Array.from({ length: spans }, (_unused, index) => ({
              traceId: Buffer.alloc(16, 1),
              spanId: Buffer.from((index + 1).toString(16).padStart(16, "0"), "hex"),
              name: "chat",
              kind: 3,
              startTimeUnixNano: start,
              endTimeUnixNano: start,
              attributes: [],
            })),
          },
        ],
      },
    ],
  });
}

test("a resource that its spans would repeat for gigabytes is refused for good", async () => {
  const pipeline = await open(new FaultyDisk(9));
  const body = bodyOfResource(80_000, 8_000);
  expect(body.length).toBeLessThan(1_000_000);
  await expect(
    pipeline.exportBody("traces", body, "protobuf", senderOf("default")),
  ).rejects.toMatchObject({
    name: "PermanentError",
    code: "body_too_large",
  });
  expect((await logged()).rows).toBe(0);
});

test("blocks stay of bounded size when a large resource is repeated", async () => {
  const pipeline = await open(new FaultyDisk(10));
  await pipeline.exportBody(
    "traces",
    bodyOfResource(80_000, 1_000),
    "protobuf",
    senderOf("default"),
  );
  const records = (await wal?.read(0, 1 << 30)) ?? [];
  expect(records.length).toBeGreaterThan(1);
  expect(Math.max(...records.map(({ payload }) => payload.length))).toBeLessThan(50 * 1024 ** 2);
  expect((await logged()).rows).toBe(1_000);
});

test("an empty request succeeds and writes nothing", async () => {
  const disk = new FaultyDisk(8);
  const pipeline = await open(disk);
  const before = disk.sync_count;
  const result = await pipeline.exportBody(
    "traces",
    new Uint8Array(),
    "protobuf",
    senderOf("default"),
  );
  expect(result).toMatchObject({ accepted_items: 0, rejected_items: 0, message: "" });
  expect(disk.sync_count).toBe(before);
});

test("lists that hold more values than a request may are refused in place as they are as objects", async () => {
  const pipeline = await open(new FaultyDisk(11));
  const start = BigInt(Date.now()) * 1_000_000n;
  const span = (id: number, values: object[]) => ({
    traceId: Buffer.alloc(16, id),
    spanId: Buffer.alloc(8, id),
    name: "list",
    startTimeUnixNano: start,
    endTimeUnixNano: start,
    attributes: [{ key: "app.list", value: { arrayValue: { values } } }],
  });
  const bodyOf = (spans: object[]) =>
    encodeTraceRequest({ resourceSpans: [{ scopeSpans: [{ spans }] }] });
  await pipeline.exportBody("traces", bodyOf([span(1, [{}])]), "protobuf", senderOf("default"));
  const million = Array.from({ length: 1_000_000 }, () => ({}));
  const body = bodyOf([2, 3, 4, 5, 6].map((id) => span(id, million)));
  await expect(
    pipeline.exportBody("traces", body, "protobuf", senderOf("default")),
  ).rejects.toMatchObject({
    code: "too_many_objects",
  });
  expect((await logged()).rows).toBe(1);
});
