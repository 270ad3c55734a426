/**
 * A process with nothing but a log: appends records, and as their consumer puts them in a store and
 * releases them. Says on stdout what it was told, one line each, so that whoever kills it knows what
 * was promised. Arguments: directory, first record number, how many.
 *
 *   acked N        the append of record N resolved
 *   released S     the release through sequence S resolved
 *   stored S N     record N, sequence S, was read and is durably in the store
 *   spoilt S       a record was read whose bytes are not what was appended
 */
import { randomUUID } from "node:crypto";
import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { nodeDisk, openWal, type Wal } from "../../collector/wal/wal.ts";

/** Two records to a segment, so that segments are made and removed all the time. */
const SEGMENT_MAX_BYTES = 4096;
const RECORD_BYTES = 1500;
/** Records read at once. */
const READ_BYTES = 4 * RECORD_BYTES;

const [directory = "", first = "0", count = "0"] = process.argv.slice(2);

function say(line: string): void {
  writeSync(1, `${line}\n`);
}

function payloadOf(number: number): Buffer {
  return Buffer.from(`record ${number} `.padEnd(RECORD_BYTES, `${number};`));
}

async function appendAll(wal: Wal): Promise<void> {
  for (let number = Number(first); number < Number(first) + Number(count); number += 1) {
    await wal.append(wal.reserveSequence(), [payloadOf(number)]);
    say(`acked ${number}`);
  }
}

/** Reads, stores and releases one batch; false when there was none. */
async function consume(wal: Wal, store: number): Promise<boolean> {
  const records = await wal.read(wal.stats().released_sequence, READ_BYTES);
  for (const { sequence, payload } of records) {
    const text = Buffer.from(payload).toString();
    const number = Number(/^record (\d+) /.exec(text)?.[1]);
    if (!payloadOf(number).equals(payload)) say(`spoilt ${sequence}`);
    writeSync(store, `stored ${sequence} ${number}\n`);
  }
  const last = records.at(-1);
  if (last === undefined) return false;
  fsyncSync(store);
  await wal.release(last.sequence);
  say(`released ${last.sequence}`);
  return true;
}

const wal = await openWal({
  directory: join(directory, "wal"),
  disk: nodeDisk(),
  segment_max_bytes: SEGMENT_MAX_BYTES,
  max_bytes: 64 * 1024 * 1024,
  now_ms: Date.now,
  new_uuid: randomUUID,
});
const store = openSync(join(directory, "store"), "a");
const appending = { is_done: false };
const appended = appendAll(wal).finally(() => {
  appending.is_done = true;
});
for (;;) {
  const was_done = appending.is_done;
  if (!(await consume(wal, store)) && was_done) break;
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
}
await appended;
closeSync(store);
await wal.close();
