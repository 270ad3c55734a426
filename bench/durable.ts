/**
 * What benches of the log share: a log on the real disk, a pipeline into it, and ways to send bodies.
 *
 * Invariant: a body that is not accepted whole fails the bench.
 */
import { randomUUID } from "node:crypto";
import { type Agent, request } from "node:http";
import { loadPriceBook, makePipeline, type Pipeline } from "../collector/pipeline.ts";
import {
  nodeDisk,
  openWal,
  SEGMENT_MAX_BYTES,
  type Wal,
  WAL_MAX_BYTES,
} from "../collector/wal/wal.ts";
import { FIRST_START_NS, SPANS_PER_BODY } from "./bodies.ts";
import { DEFAULT_SENDER } from "../schemas/sender.ts";

/** Requests under way at once, as from eight exporters. */
export const IN_FLIGHT = 8;

/** The clock of the pipeline, ms: an hour after the first span, whenever the bench runs. */
export const NOW_MS = Number(FIRST_START_NS / 1_000_000n) + 3_600_000;

const MAX_FUTURE_S = 86_400;

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
    max_age_s: 10 * 366 * 86_400,
    seed: 1,
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

/** Exports one body and checks that all of it was accepted. */
export async function exportBody(pipeline: Pipeline, body: Uint8Array): Promise<void> {
  const { accepted_items } = await pipeline.exportBody("traces", body, "protobuf", DEFAULT_SENDER);
  if (accepted_items !== SPANS_PER_BODY) throw new Error(`only ${accepted_items} spans accepted`);
}

/** Posts a body; rejects unless the answer is a 200 without a partial success. */
export function postBody(
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
