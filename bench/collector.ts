/**
 * The collector bench: the real program `collector` with its log on the real disk, acknowledging after
 * fdatasync, and a load generator in another process on the same machine. ClickHouse is away, so nothing
 * but receiving is measured; `raw_inserting` has one that swallows what it is sent, and adds what reading
 * the log back and sending it on costs.
 *
 * Spans/s a core are spans by the CPU of all threads of the collector. Acks are measured again at half the
 * rate that was reached: at the full one a sender only waits for the senders before it.
 *
 * Invariant: the collector has counted as many spans as it acknowledged.
 */
import { rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { closeServer, listen } from "../collector/collector.ts";
import { SPANS_PER_BODY } from "./bodies.ts";
import type { LoadPlan, LoadReport } from "./load-job.ts";
import { type BenchOptions, type BenchResult, type FigureTable, summarize } from "./measure.ts";
import {
  type Load,
  readCpu,
  readMainCpu,
  readMemory,
  startLoad,
  startProgram,
} from "./processes.ts";

const SIZES = {
  full: { bodies: 64, rounds: 3, warm_up_s: 2, duration_s: 4 },
  small: { bodies: 2, rounds: 1, warm_up_s: 0.05, duration_s: 0.1 },
};
const IN_FLIGHT = 16;
/** Nobody listens there. */
const AWAY = "http://127.0.0.1:9";

interface Case {
  readonly name: string;
  readonly transport?: LoadPlan["transport"];
  readonly compression?: LoadPlan["compression"];
  readonly is_json?: boolean;
  /** Whether ClickHouse takes what it is sent. */
  readonly inserts?: boolean;
}

const CASES: readonly Case[] = [
  { name: "raw" },
  { name: "gzip", compression: "gzip" },
  { name: "zstd", compression: "zstd" },
  { name: "grpc", transport: "grpc" },
  { name: "grpc_gzip", transport: "grpc", compression: "gzip" },
  { name: "json", is_json: true },
  { name: "raw_inserting", inserts: true },
];

/** Enough to see that the bench works. */
const SMALL_CASES = new Set(["raw", "zstd", "grpc_gzip", "raw_inserting"]);

type Size = (typeof SIZES)["full"];

/** Runs the bench. Throws when a request fails, or the collector counted something else. */
export async function runCollector(options: BenchOptions): Promise<BenchResult> {
  const size = SIZES[options.small ? "small" : "full"];
  const swallower = createServer((request, response) => {
    request.on("end", () => response.end()).resume();
  });
  const swallowing = `http://${await listen(swallower, { host: "127.0.0.1", port: 0 })}`;
  const cases = CASES.filter(({ name }) => !options.small || SMALL_CASES.has(name));
  const load = startLoad();
  const samples = new Map<string, Sample[]>();
  try {
    for (let round = 0; round < size.rounds; round += 1) {
      for (const [index, plan] of cases.entries()) {
        const directory = join(options.directory, `${round}-${index}`);
        const url = plan.inserts === true ? swallowing : AWAY;
        const sample = await takeSample(load, plan, { size, directory, url });
        rmSync(directory, { recursive: true, force: true });
        const per_core = Math.round(sample.spans_per_s_per_core);
        options.tell(`collector, round ${round + 1}: ${plan.name} ${per_core} spans/s a core`);
        samples.set(plan.name, [...(samples.get(plan.name) ?? []), sample]);
      }
    }
  } finally {
    await load.stop();
    await closeSwallower(swallower);
  }
  const facts = { bodies: size.bodies, spans_per_body: SPANS_PER_BODY, in_flight: IN_FLIGHT };
  return {
    name: "collector",
    clickhouse: "none",
    facts: { ...facts, rounds: size.rounds, sample_s: size.duration_s },
    groups: [],
    tables: [tabulate(samples)],
  };
}

async function closeSwallower(server: Server): Promise<void> {
  server.closeAllConnections();
  await closeServer(server);
}

/** Figures of one round; the names are those of the table. */
interface Sample {
  readonly [figure: string]: number;
  readonly spans_per_s_per_core: number;
}

async function takeSample(
  load: Load,
  { transport = "http", compression = "identity", is_json = false }: Case,
  { size, directory, url }: { size: Size; directory: string; url: string },
): Promise<Sample> {
  const settings = { SPANLEDGER_CLICKHOUSE_URL: url };
  const collector = await startProgram("collector", directory, settings);
  try {
    const { bodies, warm_up_s, duration_s } = size;
    const fixed = { bodies, transport, compression, is_json, renews: false };
    await load.prepare({ ...fixed, in_flight: IN_FLIGHT });
    const address = collector.addresses[transport === "grpc" ? "otlp_grpc" : "otlp_http"] ?? "";
    const warm = await load.run({ address, rate: null, duration_s: warm_up_s });
    const cpu_us = readCpu(collector.pid);
    const main_us = readMainCpu(collector.pid);
    const full = await load.run({ address, rate: null, duration_s });
    const full_cpu_us = readCpu(collector.pid) - cpu_us;
    const full_main_us = readMainCpu(collector.pid) - main_us;
    const rate = full.acknowledged_spans / full.duration_s;
    const half = await load.run({ address, rate: rate / 2, duration_s });
    const sent = [warm, full, half];
    checkReports(sent);
    const counted = (await collector.readMetrics()).get("accepted_items_total") ?? 0;
    const acknowledged = sent.reduce((sum, report) => sum + report.acknowledged_spans, 0);
    if (counted !== acknowledged) {
      throw new Error(`${acknowledged} spans were acknowledged and ${counted} counted`);
    }
    return {
      // No time at all is what the kernel's clock may say of a very short run.
      spans_per_s_per_core: full.acknowledged_spans / (Math.max(full_cpu_us, 10_000) / 1e6),
      cpu_us_per_span: full_cpu_us / full.acknowledged_spans,
      main_cpu_us_per_span: full_main_us / full.acknowledged_spans,
      spans_per_s: rate,
      load_cpu_us_per_span: full.cpu_us / full.acknowledged_spans,
      ack_p50_ms: full.ack_ms?.p50 ?? 0,
      ack_p99_ms: full.ack_ms?.p99 ?? 0,
      half_ack_p50_ms: half.ack_ms?.p50 ?? 0,
      half_ack_p99_ms: half.ack_ms?.p99 ?? 0,
      peak_rss_mb: readMemory(collector.pid).peak_rss_bytes / 1e6,
    };
  } finally {
    await collector.stop();
  }
}

/** Throws when a request failed. */
export function checkReports(reports: readonly LoadReport[]): void {
  for (const { failed_requests, failure } of reports) {
    if (failed_requests > 0) throw new Error(`${failed_requests} requests failed: ${failure}`);
  }
}

/** Medians over the rounds. */
function tabulate(samples: ReadonlyMap<string, readonly Sample[]>): FigureTable {
  const rows = [...samples].map(([name, list]) => ({
    bodies: name,
    ...Object.fromEntries(
      Object.keys(list[0] ?? {}).map((figure) => [
        figure,
        summarize(list.map((sample) => sample[figure] ?? 0)).median,
      ]),
    ),
  }));
  return { name: "collector", rows };
}
