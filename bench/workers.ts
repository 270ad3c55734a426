/**
 * The workers bench: spans that the real program acknowledges, over HTTP on loopback, with one worker
 * behind the port and with two. The engine is off: a server that swallows what it is sent stands in
 * for ClickHouse. The load comes from this process, on the same cores: with two cores the second worker
 * only gets what the load and the first one leave, and the ratio is the least that it brings.
 *
 * Invariant: after each sample the workers have counted as many spans as were acknowledged here.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { Agent, createServer, type Server } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { closeServer, listen } from "../collector/collector.ts";
import { makeBodies, SPANS_PER_BODY } from "./bodies.ts";
import { IN_FLIGHT, postBody, sendAll } from "./durable.ts";
import {
  type BenchOptions,
  type BenchResult,
  measure,
  type Variant,
  type Work,
} from "./measure.ts";

const LAUNCHER = fileURLToPath(new URL("../bin/spanledger.js", import.meta.url));
const BODIES = { full: 64, small: 2 };
/** What the kernel counts the CPU time of processes in, us (USER_HZ is 100 on Linux). */
const TICK_US = 10_000;

type Bodies = readonly Uint8Array<ArrayBuffer>[];

/** Runs the bench. Throws when spans that were acknowledged were not counted. */
export async function runWorkers(options: BenchOptions): Promise<BenchResult> {
  const bodies = makeBodies(BODIES[options.small ? "small" : "full"]);
  const swallower = createServer((request, response) => {
    request.on("end", () => response.end()).resume();
  });
  const clickhouse = `http://${await listen(swallower, { host: "127.0.0.1", port: 0 })}`;
  const agent = new Agent({ keepAlive: true, maxSockets: IN_FLIGHT });
  const fleets: Fleet[] = [];
  try {
    const variants: Variant[] = [];
    for (const workers of [1, 2]) {
      const directory = join(options.directory, `${workers}-workers`);
      const fleet = await startFleet(workers, directory, clickhouse);
      fleets.push(fleet);
      variants.push(fleetVariant(workers, fleet, bodies, agent));
    }
    const group = await measure(variants, {
      name: "workers",
      unit: "span",
      runs: options.small ? 1 : 7,
      sample_ms: options.small ? 1 : 1_500,
      baseline: "workers_1",
      tell: options.tell,
    });
    const facts = { bodies: bodies.length, spans_per_body: SPANS_PER_BODY, connections: IN_FLIGHT };
    return { name: "workers", clickhouse: "none", facts, groups: [group] };
  } finally {
    agent.destroy();
    for (const fleet of fleets) await fleet.stop();
    await closeSwallower(swallower);
  }
}

async function closeSwallower(server: Server): Promise<void> {
  server.closeAllConnections();
  await closeServer(server);
}

/** The workers behind one port. */
interface Fleet {
  readonly otlp_http: string;
  /** Spans the workers have acknowledged so far. */
  countAccepted(): Promise<number>;
  /** CPU of all its processes so far, us; 0 where the kernel does not tell. */
  readCpu(): number;
  stop(): Promise<void>;
}

async function startFleet(
  workers: number,
  directory: string,
  clickhouse_url: string,
): Promise<Fleet> {
  const child = spawn(process.execPath, [LAUNCHER, "collector", "--workers", String(workers)], {
    stdio: ["ignore", "pipe", "ignore"],
    env: {
      PATH: process.env["PATH"],
      SPANLEDGER_CLICKHOUSE_URL: clickhouse_url,
      SPANLEDGER_DATA_DIR: directory,
      SPANLEDGER_OTLP_HTTP: "127.0.0.1:0",
      SPANLEDGER_OTLP_GRPC: "127.0.0.1:0",
      SPANLEDGER_MONITOR: "127.0.0.1:0",
    },
  });
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const ready = await readyLine(child, exited);
  const pids = Array.from({ length: workers }, (_unused, index) => {
    const lock = readFileSync(join(directory, `workers/${index + 1}/wal/lock`), "utf8");
    return Number.parseInt(lock, 10);
  });
  return {
    otlp_http: ready.otlp_http,
    async countAccepted() {
      const text = await (await fetch(`http://${ready.monitor}/metrics`)).text();
      const lines = text.matchAll(/^spanledger_accepted_items_total\{.*\} (\d+)$/gm);
      return [...lines].reduce((sum, [, count]) => sum + Number(count), 0);
    },
    readCpu: () => [child.pid ?? 0, ...pids].reduce((sum, pid) => sum + cpuOf(pid), 0),
    async stop() {
      child.kill("SIGTERM");
      await exited;
    },
  };
}

async function readyLine(
  child: ChildProcess,
  exited: Promise<void>,
): Promise<{ otlp_http: string; monitor: string }> {
  const line = new Promise<string>((resolve) => {
    child.stdout?.once("data", (chunk: Buffer) => resolve(chunk.toString()));
  });
  const failed = exited.then(() => {
    throw new Error("the workers ended before they were ready");
  });
  failed.catch(() => {});
  return JSON.parse(await Promise.race([line, failed])) as { otlp_http: string; monitor: string };
}

/** CPU of a process so far, us. */
function cpuOf(pid: number): number {
  if (process.platform !== "linux") return 0;
  // The name of the program, in brackets, may have blanks.
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * TICK_US;
}

function fleetVariant(workers: number, fleet: Fleet, bodies: Bodies, agent: Agent): Variant {
  const units = bodies.length * SPANS_PER_BODY;
  const bytes = bodies.reduce((sum, body) => sum + body.length, 0);
  let acknowledged = 0;
  const run = async (record: (latency_ms: number) => void): Promise<Work> => {
    const cpu_at_start = fleet.readCpu();
    await sendAll(bodies, (body) => postBody(agent, fleet.otlp_http, body, "identity"), record);
    acknowledged += units;
    const cpu_us = fleet.readCpu() - cpu_at_start;
    return { units, bytes, figures: { collector_cpu_us_per_span: cpu_us / units } };
  };
  return {
    name: `workers_${workers}`,
    description: `spanledger collector --workers ${workers}, fsynced logs, load on the same cores; cpu_us_per_span is the load's`,
    async verify() {
      await run(() => {});
      return { hash: `${units} spans`, agrees_on: "spans acknowledged" };
    },
    run,
    async reset() {
      const counted = await fleet.countAccepted();
      if (counted === acknowledged) return {};
      throw new Error(`${acknowledged} spans were acknowledged and ${counted} counted`);
    },
  };
}
