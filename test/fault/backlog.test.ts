/**
 * A start with a long backlog: ready in seconds, receiving at once, in little memory, and everything
 * counted once when the backlog has drained.
 *
 * `npm test` has some 300 MB; `npm run test:fault` (SPANLEDGER_TEST_FAULT=long) the 10 GB of
 * DESIGN section 7.
 */
import { randomFillSync, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import type { UsageAnswer } from "../../schemas/api.ts";
import { nodeDisk, openWal, SEGMENT_MAX_BYTES } from "../../collector/wal/wal.ts";
import { makeCallsBody } from "../support/bodies.ts";
import { eventually, makeDataDirectory, type Program, startServe } from "../support/program.ts";

const LONG = process.env["SPANLEDGER_TEST_FAULT"] === "long";
const GIB = 1024 ** 3;
const BACKLOG_BYTES = LONG ? 10 * GIB : 300 * 1024 ** 2;
const RECORD_BYTES = 4 * 1024 ** 2;
/** DESIGN section 7. A machine so busy that a start with an empty log is slow gets twice that. */
const READY_MAX_MS = 3_000;
/** DESIGN section 8, full ingest. */
const MEMORY_MAX_BYTES = 1.5 * GIB;
/** Nothing listens there: the log does not drain. */
const NO_ENGINE = { SPANLEDGER_CLICKHOUSE_URL: "http://default:x@127.0.0.1:9/spanledger" };

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

function dataDirectory(): string {
  const data = makeDataDirectory();
  cleanups.push(() => data.remove());
  return data.path;
}

async function start(
  directory: string,
  settings: Readonly<Record<string, string>>,
): Promise<Program> {
  const program = await startServe(directory, settings);
  cleanups.push(() => program.end("SIGKILL"));
  return program;
}

/** How long a start with this backlog may take: judged by a start on the same machine without one. */
async function readyLimit(
  directory: string,
  settings: Readonly<Record<string, string>>,
): Promise<number> {
  // The first start makes the database.
  await (await start(directory, settings)).end("SIGTERM");
  const program = await start(directory, settings);
  await program.end("SIGTERM");
  return Math.max(READY_MAX_MS, 2 * program.ready_ms);
}

/** A backlog of records that nobody reads: the program opens it, and has no engine to feed. */
async function fillLog(directory: string, byte_size: number): Promise<number> {
  const wal = await openWal({
    directory: join(directory, "wal"),
    disk: nodeDisk(),
    segment_max_bytes: SEGMENT_MAX_BYTES,
    max_bytes: byte_size + GIB,
    now_ms: Date.now,
    new_uuid: randomUUID,
  });
  const payload = randomFillSync(new Uint8Array(RECORD_BYTES));
  const count = Math.ceil(byte_size / RECORD_BYTES);
  for (let written = 0; written < count; written += 8) {
    const group = Array.from({ length: Math.min(8, count - written) }, () =>
      wal.append(wal.reserveSequence(), [payload]),
    );
    await Promise.all(group);
  }
  await wal.close();
  return count;
}

/** Peak of the resident memory of a process so far, bytes; null where the system does not say. */
function peakMemory(program: Program): number | null {
  try {
    const status = readFileSync(`/proc/${program.process.pid}/status`, "utf8");
    const match = /^VmHWM:\s+(\d+) kB$/m.exec(status);
    return match === null ? null : Number(match[1]) * 1024;
  } catch {
    return null;
  }
}

async function send(program: Program, body: Uint8Array<ArrayBuffer>): Promise<number> {
  const response = await fetch(`${program.otlp}/v1/traces`, {
    method: "POST",
    headers: { "content-type": "application/x-protobuf" },
    body,
  });
  await response.arrayBuffer();
  return response.status;
}

async function usage(program: Program): Promise<UsageAnswer> {
  const response = await fetch(`${program.api}/v1/usage?measures=calls,cost_usd,input_total`);
  return (await response.json()) as UsageAnswer;
}

test(
  `F01: with a backlog of ${Math.round(BACKLOG_BYTES / 1024 ** 2)} MB and ClickHouse away the program is ready in 3 s and receives`,
  async () => {
    const directory = dataDirectory();
    const settings = {
      ...NO_ENGINE,
      SPANLEDGER_WAL_MAX_BYTES: String(BACKLOG_BYTES + GIB),
    };
    const limit_ms = await readyLimit(directory, settings);
    const count = await fillLog(directory, BACKLOG_BYTES);
    const program = await start(directory, settings);
    expect(program.ready_ms).toBeLessThan(limit_ms);
    const started_ms = performance.now();
    expect(await send(program, makeCallsBody(0, 100))).toBe(200);
    expect(performance.now() - started_ms).toBeLessThan(limit_ms);
    const metrics = await (await fetch(`${program.api}/metrics`)).text();
    expect(metrics).toContain(`spanledger_wal_pending_records ${count + 1}\n`);
    expect(peakMemory(program) ?? 0).toBeLessThan(MEMORY_MAX_BYTES);
    // Killed and started again it is no slower: nothing is read twice at the start.
    await program.end("SIGKILL");
    const again = await start(directory, settings);
    expect(again.ready_ms).toBeLessThan(limit_ms);
  },
  LONG ? 600_000 : 60_000,
);

test(
  "C02: a backlog of calls drains while others are received, and all are counted once",
  async () => {
    const directory = dataDirectory();
    const bodies = LONG ? 200 : 12;
    const calls_per_body = 1_000;
    const limit_ms = await readyLimit(directory, {});
    const away = await start(directory, NO_ENGINE);
    for (let body = 0; body < bodies; body += 1) {
      expect(await send(away, makeCallsBody(body * calls_per_body, calls_per_body))).toBe(200);
    }
    await away.end("SIGKILL");
    const program = await start(directory, { SPANLEDGER_INSERT_MAX_ROWS: "5000" });
    expect(program.ready_ms).toBeLessThan(limit_ms);
    let sent = bodies * calls_per_body;
    let received_while_draining = 0;
    for (;;) {
      const { coverage } = await usage(program);
      if (coverage.calls >= bodies * calls_per_body) break;
      if (coverage.calls < sent) received_while_draining += 1;
      expect(await send(program, makeCallsBody(sent, 10))).toBe(200);
      sent += 10;
    }
    expect(received_while_draining).toBeGreaterThan(0);
    const { answer } = await eventually(
      () => usage(program),
      (found) => found.coverage.calls >= sent,
      30_000,
    );
    expect(answer.totals).toMatchObject({ calls: sent, input_total: sent * 1000 });
    expect(Number(answer.totals["cost_usd"])).toBeCloseTo(sent * 0.00021, 9);
    expect(peakMemory(program) ?? 0).toBeLessThan(MEMORY_MAX_BYTES);
  },
  LONG ? 600_000 : 60_000,
);
