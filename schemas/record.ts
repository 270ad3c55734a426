/**
 * What one WAL record of the collector holds: a Native block of one table, and what the insert has
 * to know about it without reading the block.
 *
 * Layout: u32 little-endian length of the header, the header as JSON, the block.
 */
import { z } from "zod";
import { PermanentError } from "./errors.ts";

/** The tables that are written through the log. */
export const RECORD_TABLES = ["spans", "usage_metric_points", "set_aside_items"] as const;
export type RecordTable = (typeof RECORD_TABLES)[number];

/** A 15-minute bucket of a project: its start, Unix seconds. */
export type BucketMark = readonly [project_id: string, start_s: number];

/** Rows with a time from `from_s` on and before `to_s`, Unix seconds; null: no bound. */
export interface TimeRange {
  readonly from_s: number | null;
  readonly to_s: number | null;
}

const Header = z.object({
  table: z.enum(RECORD_TABLES),
  rows: z.number().int().positive(),
  /** Project and start (Unix seconds) of each 15-minute bucket that has calls in the block. */
  buckets: z.array(z.tuple([z.string(), z.number().int()])),
});

export type RecordHeader = z.infer<typeof Header>;

export interface BlockRecord {
  readonly header: RecordHeader;
  /** One block of ClickHouse's Native format. */
  readonly block: Uint8Array;
}

/** Seconds of a rollup bucket. */
export const BUCKET_S = 900;

/** The parts of a record, to be written one after the other. */
export function encodeRecord({ header, block }: BlockRecord): Uint8Array[] {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, text.length, true);
  return [length, text, block];
}

/** Reads a record; throws PermanentError("bad_record") when its bytes are not one. */
export function decodeRecord(payload: Uint8Array): BlockRecord {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const length = payload.length < 4 ? Infinity : view.getUint32(0, true);
  if (4 + length > payload.length) {
    throw new PermanentError("bad_record", "A log record is shorter than its header says.");
  }
  try {
    const text = new TextDecoder().decode(payload.subarray(4, 4 + length));
    return { header: Header.parse(JSON.parse(text)), block: payload.subarray(4 + length) };
  } catch (error) {
    throw new PermanentError("bad_record", "A log record has no readable header.", {
      cause: error,
    });
  }
}
