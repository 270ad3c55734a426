/**
 * The load generator, a process of its own: sends bodies to a collector over HTTP or gRPC, as fast as
 * they are answered or at a rate that does not depend on the answers.
 *
 * Invariant: what it reports as acknowledged was answered without an error and without a rejected span.
 */
import { Agent, request } from "node:http";
import { promisify } from "node:util";
import { gzip, zstdCompress } from "node:zlib";
import { compressionAlgorithms } from "@grpc/grpc-js";
import { GrpcClient } from "../test/support/grpc-client.ts";
import { makeBodies, makeJsonBodies, SPANS_PER_BODY } from "./bodies.ts";
import type { LoadMessage, LoadPlan, LoadReport, LoadRun } from "./load-job.ts";
import { summarizeLatencies } from "./measure.ts";
import { RenewableBody } from "./renew.ts";
import { sumBody, type Truth } from "./truth.ts";

const EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/** Connections of gRPC: several, as of several senders. */
const GRPC_CHANNELS = 4;
/** Longest a turn of the schedule waits, ms. */
const TICK_MS = 1;

/** A body that is ready to be sent; nobody else sends it meanwhile. */
interface Ready {
  readonly bytes: Uint8Array;
  readonly truth: Truth;
  readonly renewable: RenewableBody | null;
}

interface Sender {
  /** Resolves when it is acknowledged whole; rejects with what was answered instead. */
  send(body: Uint8Array): Promise<void>;
  close(): void;
}

const COMPRESS = {
  identity: async (body: Uint8Array): Promise<Uint8Array> => body,
  gzip: (body: Uint8Array): Promise<Uint8Array> => promisify(gzip)(body),
  zstd: (body: Uint8Array): Promise<Uint8Array> => promisify(zstdCompress)(body),
} as const;

async function prepare(plan: LoadPlan): Promise<Ready[]> {
  // Recent times: what a collector takes depends on its clock.
  const options = { start_ns: BigInt(Date.now() - 60_000) * 1_000_000n };
  const bodies = makeBodies(plan.bodies, 7, options);
  const sent = plan.is_json ? makeJsonBodies(plan.bodies, 7, options) : bodies;
  // grpc-js compresses messages itself.
  const compress = COMPRESS[plan.transport === "grpc" ? "identity" : plan.compression];
  return Promise.all(
    bodies.map(async (body, index) => ({
      bytes: plan.renews ? body : await compress(sent[index] as Uint8Array),
      truth: sumBody(body),
      renewable: plan.renews ? new RenewableBody(body) : null,
    })),
  );
}

function openHttp(address: string, plan: LoadPlan): Sender {
  const agent = new Agent({ keepAlive: true, maxSockets: plan.in_flight });
  const [host = "", port = ""] = address.split(":");
  const type = plan.is_json ? "application/json" : "application/x-protobuf";
  const fixed = { "content-type": type, "content-encoding": plan.compression };
  return {
    send: (body) =>
      new Promise((resolve, reject) => {
        const headers = { ...fixed, "content-length": body.length };
        const options = { host, port, path: "/v1/traces", method: "POST", agent, headers };
        const sent = request(options, (response) => {
          let answer = "";
          response.on("data", (chunk: Buffer) => (answer += chunk.toString("latin1")));
          response.on("error", reject);
          response.on("end", () => {
            const is_whole = answer === "" || answer === "{}";
            if (response.statusCode === 200 && is_whole) resolve();
            else reject(new Error(`${response.statusCode} ${answer.slice(0, 200)}`));
          });
        });
        sent.on("error", reject);
        sent.end(body);
      }),
    close: () => agent.destroy(),
  };
}

function openGrpc(address: string, plan: LoadPlan): Sender {
  const options =
    plan.compression === "gzip"
      ? { "grpc.default_compression_algorithm": compressionAlgorithms.gzip }
      : {};
  const clients = Array.from({ length: GRPC_CHANNELS }, () => new GrpcClient(address, options));
  let turn = 0;
  return {
    async send(body) {
      turn += 1;
      const client = clients[turn % GRPC_CHANNELS] as GrpcClient;
      const { code, details, body: answer } = await client.call(EXPORT, body);
      if (code !== 0 || (answer?.length ?? 0) > 0) throw new Error(`gRPC ${code} ${details}`);
    },
    close: () => clients.forEach((client) => client.close()),
  };
}

/** What a run adds up. */
class Tally {
  acknowledged = 0;
  failed = 0;
  failure = "";
  calls = 0;
  cost_picodollars = 0n;
  last_answer_ms = 0;
  readonly latencies_ms: number[] = [];

  acknowledge({ calls, cost_picodollars }: Truth, due_ms: number): void {
    this.acknowledged += 1;
    this.calls += calls;
    this.cost_picodollars += cost_picodollars;
    this.last_answer_ms = performance.now();
    this.latencies_ms.push(this.last_answer_ms - due_ms);
  }

  fail(error: unknown): void {
    this.failed += 1;
    this.last_answer_ms = performance.now();
    if (this.failure === "") this.failure = error instanceof Error ? error.message : String(error);
  }

  report(start_ms: number, cpu: NodeJS.CpuUsage): LoadReport {
    const { user, system } = process.cpuUsage(cpu);
    return {
      acknowledged_spans: this.acknowledged * SPANS_PER_BODY,
      failed_requests: this.failed,
      failure: this.failure,
      duration_s: (this.last_answer_ms - start_ms) / 1_000,
      ack_ms: summarizeLatencies(this.latencies_ms),
      cpu_us: user + system,
      calls: this.calls,
      cost_picodollars: String(this.cost_picodollars),
      last_answer_ms: performance.timeOrigin + this.last_answer_ms,
    };
  }
}

/** Numbers of renewals, over all runs. */
let renewals = 0;

async function run(plan: LoadPlan, ready: readonly Ready[], job: LoadRun): Promise<LoadReport> {
  const sender = (plan.transport === "grpc" ? openGrpc : openHttp)(job.address, plan);
  const free = [...ready];
  const tally = new Tally();
  const turns = { under_way: 0 };
  const cpu = process.cpuUsage();
  const start_ms = performance.now();
  const end_ms = start_ms + job.duration_s * 1_000;
  const step_ms = job.rate === null ? 0 : (SPANS_PER_BODY / job.rate) * 1_000;
  let due_ms = start_ms;
  const sendOne = async (body: Ready, at_ms: number): Promise<void> => {
    turns.under_way += 1;
    try {
      body.renewable?.renew((renewals += 1), Date.now());
      await sender.send(body.bytes);
      tally.acknowledge(body.truth, at_ms);
    } catch (error) {
      tally.fail(error);
    }
    turns.under_way -= 1;
    free.push(body);
    sendDue();
  };
  /** Sends what is due, as far as a body and a turn are free. */
  const sendDue = (): void => {
    while (turns.under_way < plan.in_flight && free.length > 0) {
      const now_ms = performance.now();
      // What was due and could not be sent by the end is not: the rate was not held.
      if (now_ms >= end_ms || (job.rate !== null && due_ms > now_ms)) return;
      const at_ms = job.rate === null ? now_ms : due_ms;
      due_ms += step_ms;
      void sendOne(free.shift() as Ready, at_ms);
    }
  };
  sendDue();
  while (turns.under_way > 0 || performance.now() < end_ms) {
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    sendDue();
  }
  sender.close();
  return tally.report(start_ms, cpu);
}

if (process.send === undefined) throw new Error("start bench/run.ts instead");
let current: { readonly plan: LoadPlan; readonly ready: readonly Ready[] } | null = null;
/** Bodies by their plan: benches come back to them. */
const prepared = new Map<string, readonly Ready[]>();
process.on("message", (message: LoadMessage) => {
  const work = async (): Promise<LoadReport | null> => {
    if (message.kind === "run") {
      if (current === null) throw new Error("nothing is prepared");
      return run(current.plan, current.ready, message.run);
    }
    const { plan } = message;
    const name = JSON.stringify(plan);
    const ready = prepared.get(name) ?? (await prepare(plan));
    prepared.set(name, ready);
    current = { plan, ready };
    return null;
  };
  work().then(
    (report) => process.send?.(report ?? { is_ready: true }),
    (error: unknown) => {
      process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
      process.exit(1);
    },
  );
});
