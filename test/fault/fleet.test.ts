/**
 * A mixed fleet against a collector that is killed and started again on the same ports: the OTLP
 * exporters of the OpenTelemetry SDK over HTTP as JSON and as protobuf and over gRPC, each plain and
 * with gzip, with the SDK's own batches and retries. What an exporter was told was accepted is in the
 * ledger, once; what it was told had failed is there at most once.
 *
 * `npm test` runs 40 seconds of it; `npm run test:fault` the ten minutes.
 */
import { diag, DiagLogLevel } from "@opentelemetry/api";
import { OTLPTraceExporter as GrpcExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import { OTLPTraceExporter as JsonExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtobufExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  BatchSpanProcessor,
  type ReadableSpan,
  type SpanExporter,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import { appendFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { readDirectory } from "../support/ledger-dump.ts";
import { judge, NOTHING_WRONG } from "../support/ledger-judge.ts";
import { eventually, makeDataDirectory, type Program, startServe } from "../support/program.ts";
import { makeRandom, type Random } from "../support/random.ts";
import type { ItemTruth, Parcel } from "../support/traffic.ts";

const LONG = process.env["SPANLEDGER_TEST_FAULT"] === "long";
const DURATION_MS = LONG ? 600_000 : 25_000;
const LIFE_MS = LONG ? 20_000 : 5_000;
/** The SDK waits for no more spans than that for a batch. */
const BATCH_DELAY_MS = 200;
/** `ExportResultCode.SUCCESS` of @opentelemetry/core. */
const EXPORT_SUCCESS = 0;
const DRAIN_TIMEOUT_MS = 60_000;
/** US dollars for a million tokens are picodollars for one, times a million. */
const GPT_4O_MINI_PD = { input: 150_000n, output: 600_000n };

/** A batch with what the exporter was told of it in the end. */
interface Batch {
  readonly spans: readonly ReadableSpan[];
  is_success: boolean | null;
}

const DEPLOYMENTS = [
  { name: "json", make: (base: Program) => new JsonExporter(http(base, "none")) },
  { name: "json-gzip", make: (base: Program) => new JsonExporter(http(base, "gzip")) },
  { name: "protobuf", make: (base: Program) => new ProtobufExporter(http(base, "none")) },
  { name: "protobuf-gzip", make: (base: Program) => new ProtobufExporter(http(base, "gzip")) },
  { name: "grpc", make: (base: Program) => new GrpcExporter(grpc(base, "none")) },
  { name: "grpc-gzip", make: (base: Program) => new GrpcExporter(grpc(base, "gzip")) },
] as const;

function http(program: Program, compression: "none" | "gzip") {
  return { url: `${program.otlp}/v1/traces`, compression: compression as never };
}

function grpc(program: Program, compression: "none" | "gzip") {
  return { url: program.otlp_grpc, compression: compression as never };
}

/** One deployment of the fleet: a provider, its exporter, and what became of its batches. */
class Deployment {
  readonly name: string;
  readonly batches: Batch[] = [];
  readonly #random: Random;
  readonly #exporter: SpanExporter;
  readonly #provider: TracerProvider;
  #timer: NodeJS.Timeout | undefined;
  started_spans = 0;

  constructor(name: string, exporter: SpanExporter, random: Random) {
    this.name = name;
    this.#random = random;
    this.#exporter = exporter;
    const send = exporter.export.bind(exporter);
    exporter.export = (spans, done) => {
      const batch: Batch = { spans: [...spans], is_success: null };
      this.batches.push(batch);
      send(spans, (result) => {
        const code: number = result.code;
        batch.is_success = code === EXPORT_SUCCESS;
        done(result);
      });
    };
    this.#provider = new TracerProvider({
      resource: resourceFromAttributes({
        "service.name": name,
        "deployment.environment.name": "fleet",
      }),
      spanProcessors: [new BatchSpanProcessor({ exporter, scheduledDelayMillis: BATCH_DELAY_MS })],
    });
  }

  start(): void {
    this.#timer = setInterval(() => this.#call(), 25);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#provider.shutdown().catch(() => {});
    // The provider does not wait for batches that it began on its own.
    await eventually(
      async () => this.batches.filter(({ is_success }) => is_success === null).length,
      (open) => open === 0,
      DRAIN_TIMEOUT_MS,
    );
    await this.#exporter.shutdown();
  }

  #call(): void {
    const random = this.#random;
    const span = this.#provider.getTracer("fleet", "1.0.0").startSpan("chat gpt-4o-mini", {
      attributes: {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.usage.input_tokens": 1 + random.whole(5_000),
        "gen_ai.usage.output_tokens": 1 + random.whole(800),
        "user.id": `user-${random.whole(9)}`,
      },
    });
    this.started_spans += 1;
    // Durations as of calls: a batch has spans that began before a kill and end after it.
    setTimeout(() => span.end(), random.whole(400));
  }
}

function truthOf(span: ReadableSpan): ItemTruth {
  const { attributes, resource } = span;
  const input = BigInt(attributes["gen_ai.usage.input_tokens"] as number);
  const output = BigInt(attributes["gen_ai.usage.output_tokens"] as number);
  const toNs = ([seconds, ns]: readonly [number, number]) =>
    BigInt(seconds) * 1_000_000_000n + BigInt(ns);
  return {
    id: span.spanContext().spanId,
    signal: "traces",
    start_ns: toNs(span.startTime),
    duration_ns: toNs(span.endTime) - toNs(span.startTime),
    provider: "openai",
    model: "gpt-4o-mini",
    environment: "fleet",
    service_name: resource.attributes["service.name"] as string,
    agent_name: "",
    user_id: attributes["user.id"] as string,
    session_id: "",
    input_uncached: input,
    cache_read: 0n,
    output_text: output,
    cost_pd: input * GPT_4O_MINI_PD.input + output * GPT_4O_MINI_PD.output,
    is_counted: true,
  };
}

function parcelsOf(batches: readonly Batch[], is_success: boolean): Parcel[] {
  return batches
    .filter((batch) => batch.is_success === is_success)
    .map(({ spans }) => ({
      signal: "traces",
      is_vital: false,
      items: spans.map((span) => ({ truth: truthOf(span), wire: {} })),
    }));
}

let program: Program | null = null;
const data = makeDataDirectory();

afterEach(async () => {
  diag.disable();
  await program?.end("SIGKILL");
  data.remove();
});

const sleep = (duration_ms: number) =>
  new Promise((resolve) => {
    setTimeout(resolve, duration_ms);
  });

test(
  "what the SDK's exporters were told was accepted is in the ledger, once, though the collector is killed all the time",
  async () => {
    const complaints: string[] = [];
    const note = (message: string) => void complaints.push(message);
    diag.setLogger(
      { error: note, warn: note, info: () => {}, debug: () => {}, verbose: () => {} },
      DiagLogLevel.WARN,
    );
    program = await startServe(data.path);
    const ports = {
      SPANLEDGER_OTLP_HTTP: program.otlp.replace("http://", ""),
      SPANLEDGER_OTLP_GRPC: program.otlp_grpc.replace("http://", ""),
    };
    const random = makeRandom(1);
    const base = program;
    const fleet = DEPLOYMENTS.map(({ name, make }) => new Deployment(name, make(base), random));
    for (const deployment of fleet) deployment.start();
    const deadline_ms = performance.now() + DURATION_MS;
    let kills = 0;
    while (performance.now() < deadline_ms) {
      await sleep(LIFE_MS * (0.8 + 0.4 * random.next()));
      expect(await program.end("SIGKILL"), program.log()).toBeNull();
      kills += 1;
      program = await startServe(data.path, ports);
    }
    await Promise.all(fleet.map((deployment) => deployment.stop()));
    const last = program;
    const pending = async () => {
      const metrics = await (await fetch(`${last.api}/metrics`)).text();
      return /^spanledger_wal_pending_records (\d+)$/m.exec(metrics)?.[1] ?? "no such metric";
    };
    await eventually(pending, (count) => count === "0", DRAIN_TIMEOUT_MS);
    expect(await last.end("SIGTERM"), last.log()).toBe(0);

    const batches = fleet.flatMap((deployment) => deployment.batches);
    const accepted = parcelsOf(batches, true);
    const failed = parcelsOf(batches, false);
    for (const deployment of fleet) {
      expect(parcelsOf(deployment.batches, true).length, deployment.name).toBeGreaterThan(kills);
    }
    const dump = await readDirectory(data.path);
    noteReport(fleet, kills, dump.items.traces.length);
    // Accepted means all of it.
    expect(complaints.filter((text) => text.includes("Partial Success"))).toEqual([]);
    expect(judge(dump, accepted, failed)).toEqual(NOTHING_WRONG);
  },
  DURATION_MS + 180_000,
);

/** One line for each deployment into the file that SPANLEDGER_TEST_REPORT names. */
function noteReport(fleet: readonly Deployment[], kills: number, stored: number): void {
  const file = process.env["SPANLEDGER_TEST_REPORT"];
  if (file === undefined) return;
  for (const { name, batches, started_spans } of fleet) {
    const count = (is_success: boolean) =>
      batches
        .filter((batch) => batch.is_success === is_success)
        .reduce((sum, { spans }) => sum + spans.length, 0);
    const line = {
      name,
      kills,
      stored,
      started_spans,
      accepted: count(true),
      failed: count(false),
    };
    appendFileSync(file, `${JSON.stringify(line)}\n`);
  }
}
