/**
 * The variants that end with spans in the fsynced write-ahead log: the pipeline called directly, and
 * over HTTP on loopback. The engine is off: nothing reads the log but the check of the bench.
 *
 * Invariant: after each sample the log holds as many rows as were acknowledged.
 */
import { randomUUID } from "node:crypto";
import { Agent, request, type Server } from "node:http";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { closeServer, listen } from "../collector/collector.ts";
import { loadPriceBook, makePipeline, type Pipeline } from "../collector/pipeline.ts";
import { createOtlpHttpServer } from "../collector/receive/http.ts";
import {
  nodeDisk,
  openWal,
  SEGMENT_MAX_BYTES,
  type Wal,
  WAL_MAX_BYTES,
} from "../collector/wal/wal.ts";
import { decodeRecord } from "../schemas/record.ts";
import { FIRST_START_NS, SPANS_PER_BODY } from "./bodies.ts";
import type { Variant, Work } from "./measure.ts";

/** Requests under way at once, as from eight exporters. */
export const IN_FLIGHT = 8;

/** The clock of the pipeline, ms: an hour after the first span, whenever the bench runs. */
const NOW_MS = Number(FIRST_START_NS / 1_000_000n) + 3_600_000;

const READ_BYTES = 128 * 1024 ** 2;
const MAX_FUTURE_S = 86_400;
const MAX_BODY_BYTES = 64 * 1024 ** 2;
const MAX_HELD_BYTES = 256 * 1024 ** 2;

/** Opens a log on the real disk, with fdatasync, as the collector does. */
export function openBenchWal(directory: string): Promise<Wal> {
  return openWal({
    directory,
    disk: nodeDisk(),
    segment_max_bytes: SEGMENT_MAX_BYTES,
    max_bytes: WAL_MAX_BYTES,
    now_ms: Date.now,
    new_uuid: randomUUID,
  });
}

/** A pipeline into the log with the defaults of the collector. */
export function makeBenchPipeline(wal: Wal, onSynced: () => void): Pipeline {
  return makePipeline({
    wal,
    book: loadPriceBook(),
    capture_content: false,
    max_future_s: MAX_FUTURE_S,
    now_ms: () => NOW_MS,
    onSynced,
  });
}

/**
 * Sends the bodies in their order with IN_FLIGHT under way at once, telling how long each took to be
 * acknowledged, ms. Rejects with the first error.
 */
export async function sendAll<Item>(
  bodies: readonly Item[],
  send: (body: Item) => Promise<void>,
  record: (latency_ms: number) => void,
): Promise<void> {
  const rest = bodies.values();
  const sendRest = async () => {
    for (const body of rest) {
      const start_ms = performance.now();
      await send(body);
      record(performance.now() - start_ms);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, sendRest));
}

/** Rows in the log that are not released, read back from the disk; releases them. */
async function takeRows(wal: Wal): Promise<number> {
  let rows = 0;
  let after = wal.stats().released_sequence;
  for (;;) {
    const records = await wal.read(after, READ_BYTES);
    const last = records.at(-1);
    if (last === undefined) break;
    for (const record of records) rows += decodeRecord(record.payload).header.rows;
    after = last.sequence;
  }
  await wal.release(after);
  return rows;
}

export interface DurableVariants {
  readonly variants: readonly Variant[];
  readonly close: () => Promise<void>;
}

/** Opens a log and an HTTP server in the directory, and gives the variants that use them. */
export async function openDurableVariants(
  directory: string,
  bodies: readonly Uint8Array<ArrayBuffer>[],
): Promise<DurableVariants> {
  const wal = await openBenchWal(directory);
  const pipeline = makeBenchPipeline(wal, () => {});
  const server = makeServer(pipeline);
  const address = await listen(server, { host: "127.0.0.1", port: 0 });
  const agent = new Agent({ keepAlive: true, maxSockets: IN_FLIGHT });
  const bytes = bodies.reduce((sum, body) => sum + body.length, 0);
  const zipped = await Promise.all(bodies.map((body) => promisify(gzip)(body)));

  const make = (name: string, description: string, sendBodies: SendBodies): Variant => {
    let acknowledged = 0;
    const run: Variant["run"] = async (record): Promise<Work> => {
      const units = bodies.length * SPANS_PER_BODY;
      await sendBodies(record);
      acknowledged += units;
      return { units, bytes };
    };
    const reset = async () => {
      const rows = await takeRows(wal);
      if (rows !== acknowledged) {
        throw new Error(`${name}: ${acknowledged} spans acknowledged, ${rows} in the log`);
      }
      acknowledged = 0;
      return {};
    };
    const verify = async () => {
      const { units } = await run(() => {});
      return { hash: `${units} rows`, agrees_on: "rows in the log" };
    };
    return { name, description, verify, run, reset };
  };

  const post = (encoding: string) => (body: Uint8Array) => postBody(agent, address, body, encoding);
  const variants = [
    make("wal", "pipeline called directly, fsynced log", (record) =>
      sendAll(bodies, (body) => exportBody(pipeline, body), record),
    ),
    make("http_raw", "HTTP client and server in one process, fsynced log", (record) =>
      sendAll(bodies, post("identity"), record),
    ),
    make("http_gzip", "the same, bodies sent with gzip", (record) =>
      sendAll(zipped, post("gzip"), record),
    ),
  ];
  const close = async () => {
    agent.destroy();
    await closeServer(server);
    await pipeline.idle();
    await wal.close();
  };
  return { variants, close };
}

type SendBodies = (record: (latency_ms: number) => void) => Promise<void>;

/** Exports one body and checks that all of it was accepted. */
export async function exportBody(pipeline: Pipeline, body: Uint8Array): Promise<void> {
  const { accepted_items } = await pipeline.exportBody("traces", body, "protobuf", "default");
  if (accepted_items !== SPANS_PER_BODY) throw new Error(`only ${accepted_items} spans accepted`);
}

function makeServer(pipeline: Pipeline): Server {
  return createOtlpHttpServer({
    max_body_bytes: MAX_BODY_BYTES,
    max_in_flight_bytes: MAX_HELD_BYTES,
    authenticate: () => "default",
    exportBody: (...call) => pipeline.exportBody(...call),
    observe: () => {},
  });
}

/** Posts a body; rejects unless the answer is a 200 without a partial success. */
function postBody(
  agent: Agent,
  address: string,
  body: Uint8Array,
  encoding: string,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = {
      "content-type": "application/x-protobuf",
      "content-encoding": encoding,
      "content-length": body.length,
    };
    const sent = request(`http://${address}/v1/traces`, { method: "POST", agent, headers });
    sent.on("error", reject);
    sent.on("response", (response) => {
      let answer_bytes = 0;
      response.on("data", (chunk: Buffer) => (answer_bytes += chunk.length));
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode === 200 && answer_bytes === 0) resolve();
        else reject(new Error(`answered ${response.statusCode} with ${answer_bytes} bytes`));
      });
    });
    sent.end(body);
  });
}
