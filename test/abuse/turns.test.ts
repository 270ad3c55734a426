/**
 * Bodies that are read in turns, among others of other projects, over a log in memory: what is in the
 * log is what each body alone would have put there, and of a refused body it is nothing.
 */
import { afterEach, expect, test } from "vitest";
import { loadPriceBook, makePipeline, type Pipeline, READERS } from "../../collector/pipeline.ts";
import { openWal, type Wal } from "../../collector/wal/wal.ts";
import { PermanentError } from "../../schemas/errors.ts";
import { decodeRecord } from "../../schemas/record.ts";
import { encodeNeeded } from "../support/blocks.ts";
import { FaultyDisk } from "../support/faulty-disk.ts";
import { encodeTraceRequest, field, type OtlpSpan } from "../support/otlp-proto.ts";
import { senderOf } from "../support/sender.ts";

const book = loadPriceBook();
const NOW_MS = 1_795_225_706_001;
const START = BigInt(NOW_MS) * 1_000_000n;
/** More than is read in one turn, spans. */
const LARGE = 9_000;

let wal: Wal | null = null;
afterEach(async () => {
  await wal?.close();
  wal = null;
});

async function open(): Promise<Pipeline> {
  wal = await openWal({
    directory: "/log",
    disk: new FaultyDisk(1).connect(),
    segment_max_bytes: 64 << 20,
    max_bytes: 1 << 30,
    now_ms: () => NOW_MS,
    new_uuid: () => "0f0e0d0c-0b0a-4908-8706-050403020100",
  });
  return makePipeline({
    wal,
    book,
    capture_content: false,
    max_future_s: 86_400,
    max_age_s: 10 * 366 * 86_400,
    seed: 1,
    now_ms: () => NOW_MS,
    onSynced: () => {},
  });
}

/** Spans of a body, all with its label. */
function listSpans(label: string, count: number): OtlpSpan[] {
  return Array.from({ length: count }, (_, index) => ({
    traceId: Buffer.from(label.padEnd(16, "_").slice(0, 16)),
    spanId: Buffer.from(String(index).padStart(8, "0")),
    name: `chat ${label}`,
    startTimeUnixNano: START + BigInt(index),
    endTimeUnixNano: START + BigInt(index) + 5n,
    attributes: [
      { key: "gen_ai.operation.name", value: { stringValue: "chat" } },
      { key: "gen_ai.request.model", value: { stringValue: "gpt-4o-mini" } },
      { key: "gen_ai.conversation.id", value: { stringValue: `${label} ${index % 7}` } },
      { key: "app.padding", value: { stringValue: label.padEnd(100, "=") } },
      { key: "gen_ai.usage.input_tokens", value: { intValue: index } },
    ],
  }));
}

const bodyOf = (label: string, count: number): Uint8Array =>
  encodeTraceRequest({
    resourceSpans: [
      {
        resource: { attributes: [{ key: "service.name", value: { stringValue: label } }] },
        scopeSpans: [{ scope: { name: "turns", version: "1" }, spans: listSpans(label, count) }],
      },
    ],
  });

/** The records of spans in the log. */
async function readLog(): Promise<{ rows: number; sequence: number; block: Buffer }[]> {
  const records = (await wal?.read(0, 1 << 30)) ?? [];
  return records.map(({ payload, sequence }) => {
    const { header, block } = decodeRecord(payload);
    return { rows: header.rows, sequence, block: Buffer.from(block) };
  });
}

/** The block that a body gives when it is read alone and as objects. */
function expectedBlock(body: Uint8Array, project_id: string, sequence: number): Buffer {
  const options = { project_id, capture_content: false };
  const { spans } = READERS.traces(body, "protobuf", book, options);
  return Buffer.from(encodeNeeded(spans, { ingest_seq: sequence, ingested_ms: NOW_MS }));
}

test("P10 A29 large bodies of four projects that take turns give the blocks that each gives alone", async () => {
  const pipeline = await open();
  const bodies = ["a", "b", "c", "d"].map((label) => ({
    project_id: `project-${label}`,
    body: bodyOf(`large-${label}`, LARGE),
  }));
  const answers = await Promise.all(
    bodies.map(({ body, project_id }) =>
      pipeline.exportBody("traces", body, "protobuf", senderOf(project_id)),
    ),
  );
  expect(answers.map(({ accepted_items }) => accepted_items)).toEqual([LARGE, LARGE, LARGE, LARGE]);
  const log = await readLog();
  expect(log.map(({ rows }) => rows)).toEqual([LARGE, LARGE, LARGE, LARGE]);
  for (const { block, sequence } of log) {
    const matching = bodies.filter(({ body, project_id }) =>
      expectedBlock(body, project_id, sequence).equals(block),
    );
    expect(matching).toHaveLength(1);
  }
});

test("P10 small bodies between the turns of large ones lose nothing and take nothing along", async () => {
  const pipeline = await open();
  const sent = [
    pipeline.exportBody("traces", bodyOf("large-a", LARGE), "protobuf", senderOf("project-a")),
    pipeline.exportBody("traces", bodyOf("large-b", LARGE), "protobuf", senderOf("project-b")),
  ];
  let small = 0;
  const progress = { is_done: false };
  const large = Promise.all(sent).then(() => (progress.is_done = true));
  while (!progress.is_done) {
    const label = `small-${small % 10}`;
    await pipeline.exportBody("traces", bodyOf(label, 3), "protobuf", senderOf(`project-${label}`));
    small += 1;
    // The log in memory answers within the turn, which would never end.
    await new Promise((resolve) => setImmediate(resolve));
  }
  await large;
  const log = await readLog();
  expect(log.reduce((sum, { rows }) => sum + rows, 0)).toBe(2 * LARGE + 3 * small);
  expect(small).toBeGreaterThan(0);
  for (const { block } of log) {
    const labels = new Set(block.toString("latin1").match(/project-(large|small|[ab])/g));
    const services = new Set(block.toString("latin1").match(/(large-[ab]|small)/g));
    // A block of a large body holds it alone.
    if (labels.has("project-a")) expect([...services]).toEqual(["large-a"]);
    if (labels.has("project-b")) expect([...services]).toEqual(["large-b"]);
  }
});

/** Ends of bodies that only show when everything before was read. */
const BAD_ENDS: readonly [what: string, end: Uint8Array][] = [
  ["a length beyond the end", Uint8Array.from([0x0a, 0x7f, 0x12])],
  ["field number 0", Uint8Array.from([0x00])],
  [
    "an attribute cut off after its tag",
    field(1, field(2, field(2, Uint8Array.from([0x4a, 1, 0x0a])))),
  ],
  ["a resource that is broken and has no spans", field(1, field(1, Uint8Array.from([0x0a, 0x7f])))],
];

test.each(BAD_ENDS)(
  "P01 a body refused at its end for %s leaves no row, small or large",
  async (_what, end) => {
    const pipeline = await open();
    const refused = [3, LARGE].map((count) => Buffer.concat([bodyOf("refused", count), end]));
    const results = await Promise.allSettled([
      pipeline.exportBody("traces", bodyOf("good-1", 5), "protobuf", senderOf("p")),
      ...refused.map((body) => pipeline.exportBody("traces", body, "protobuf", senderOf("p"))),
      pipeline.exportBody("traces", bodyOf("good-2", 5), "protobuf", senderOf("p")),
      pipeline.exportBody("traces", refused[0] as Buffer, "protobuf", senderOf("p")),
    ]);
    expect(results.map(({ status }) => status)).toEqual([
      "fulfilled",
      "rejected",
      "rejected",
      "fulfilled",
      "rejected",
    ]);
    for (const result of results) {
      if (result.status === "rejected") expect(result.reason).toBeInstanceOf(PermanentError);
    }
    await pipeline.exportBody("traces", bodyOf("good-3", 5), "protobuf", senderOf("p"));
    const log = await readLog();
    expect(log.reduce((sum, { rows }) => sum + rows, 0)).toBe(15);
  },
);
