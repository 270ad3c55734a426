/**
 * The collector's whole pipeline in one process with a log that swallows what it is given: bodies to
 * records, whatever way the pipeline chooses for them.
 *
 * Invariant: every record that reaches the log while it is verified is proved.
 */
import type { OtlpEncoding } from "../collector/receive/reply.ts";
import type { PriceBook } from "../collector/pipeline.ts";
import type { Wal } from "../collector/wal/wal.ts";
import { decodeRecord } from "../schemas/record.ts";
import { SPANS_PER_BODY } from "./bodies.ts";
import { makeBenchPipeline, NOW_MS, sendAll } from "./durable.ts";
import { hashOf, type Variant } from "./measure.ts";
import { checkBlock, makeSpanReader } from "./proofs.ts";
import type { Bodies } from "./ways.ts";
import { DEFAULT_SENDER } from "../schemas/sender.ts";

interface SwallowingLog {
  readonly wal: Wal;
  /** Takes what came since the last call, in copies, when it is kept. */
  take(): { readonly sequence: number; readonly payload: Buffer }[];
  keeps: boolean;
}

/** Only what the pipeline uses of a log. */
function makeSwallowingLog(): SwallowingLog {
  let sequence = 0;
  let kept: { sequence: number; payload: Buffer }[] = [];
  const used: Pick<Wal, "reserveSequence" | "append"> = {
    reserveSequence: () => (sequence += 1),
    async append(at, payload) {
      if (log.keeps) kept.push({ sequence: at, payload: Buffer.concat(payload) });
    },
  };
  const log: SwallowingLog = {
    wal: used as Wal,
    take() {
      const taken = kept;
      kept = [];
      return taken;
    },
    keeps: false,
  };
  return log;
}

/**
 * Exports the bodies, with as many under way at once as in the other benches. `expected` are the same
 * requests in protobuf, which say what the records must hold.
 */
export function pipelineVariant(
  encoding: OtlpEncoding,
  bodies: Bodies,
  expected: Bodies,
  book: PriceBook,
): Variant {
  const log = makeSwallowingLog();
  const pipeline = makeBenchPipeline(log.wal, () => {});
  const read = makeSpanReader(book, false);
  const bytes = bodies.reduce((sum, body) => sum + body.length, 0);
  const send = async (body: Uint8Array): Promise<void> => {
    const { accepted_items } = await pipeline.exportBody("traces", body, encoding, DEFAULT_SENDER);
    if (accepted_items !== SPANS_PER_BODY) throw new Error(`only ${accepted_items} spans accepted`);
  };
  return {
    name: `pipeline_${encoding}`,
    description: `the collector's pipeline, ${encoding} bodies to records of its log, which swallows them`,
    async verify() {
      await sendAll(bodies, send, () => {});
      log.keeps = true;
      const hashes: string[] = [];
      for (const [index, body] of bodies.entries()) {
        await send(body);
        const [record, ...rest] = log.take();
        if (record === undefined || rest.length > 0) throw new Error("a body became no one record");
        const { block } = decodeRecord(record.payload);
        const batch = { ingest_seq: record.sequence, ingested_ms: NOW_MS };
        checkBlock(block, [expected[index] as Uint8Array], read, batch);
        hashes.push(hashOf([block]));
      }
      log.keeps = false;
      return { hash: hashOf(hashes), agrees_on: "records of the log" };
    },
    async run(record) {
      await sendAll(bodies, send, record);
      return { units: bodies.length * SPANS_PER_BODY, bytes };
    },
  };
}
