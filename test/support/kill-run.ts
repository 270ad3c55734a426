/**
 * One run of the crash harness: a program that receives from several senders is killed again and
 * again, while it starts, between a reply and the insert, within inserts, decisions and recomputes;
 * what was acknowledged must be in the ledger, once, and nothing that was not sent.
 *
 * Invariant: the truth is kept by the sender, and of each request it knows one of three things:
 * acknowledged, never answered and given up, or still being sent again.
 */
import { existsSync, readdirSync } from "node:fs";
import { Agent, request as httpRequest } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { compressionAlgorithms } from "@grpc/grpc-js";
import type { Engine } from "../../clickhouse/engine.ts";
import type { FailMode, FakeClickHouse } from "./fake-clickhouse.ts";
import { GrpcClient } from "./grpc-client.ts";
import { dumpLedger, type LedgerDump, readDirectory } from "./ledger-dump.ts";
import { judge, type Judgement } from "./ledger-judge.ts";
import { eventually, type Launched, launch, type Program } from "./program.ts";
import type { Random } from "./random.ts";
import { encodeParcel, encodeParcelJson, type Parcel, Traffic } from "./traffic.ts";

/** A ClickHouse server for a collector, and the engine behind it, which outlives the collector. */
export interface OutlivingServer {
  readonly clickhouse: FakeClickHouse;
  readonly engine: Engine;
}

export interface KillOptions {
  readonly random: Random;
  readonly data_directory: string;
  readonly kills: number;
  /** Null: `spanledger serve` with the embedded engine, which is killed with it. */
  readonly server: OutlivingServer | null;
  /** Of every start, beside those that the run chooses. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** What was done, for the log of the test. */
export interface KillReport {
  readonly found: Judgement;
  /** Errors in the log of the program, and files of records set aside or quarantined: none. */
  readonly alarms: readonly string[];
  readonly requests: number;
  readonly acknowledged: number;
  readonly given_up: number;
  readonly items: number;
  readonly kills_before_ready: number;
}

const SENDERS = 3;
const SEND_TIMEOUT_MS = 10_000;
const DRAIN_TIMEOUT_MS = 60_000;
/** Ways a server fails while its collector is killed as well. */
const SERVER_FAILURES: readonly FailMode[] = [
  "half_insert",
  "execute_then_drop",
  "reset",
  "unavailable_503",
  "late_exception",
];

/** When a life ends: while it starts, after so many answers or requests, or after a time. */
type Ending =
  | { readonly after: "start"; readonly share: number }
  | { readonly after: "answers" | "requests"; readonly count: number; readonly wait_ms: number }
  | { readonly after: "ready"; readonly wait_ms: number };

function chooseEnding(random: Random): Ending {
  const roll = random.next();
  if (roll < 0.35) return { after: "start", share: random.next() };
  if (roll < 0.5) return { after: "answers", count: 1 + random.whole(12), wait_ms: 0 };
  if (roll < 0.65) {
    return { after: "requests", count: 1 + random.whole(12), wait_ms: random.whole(8) };
  }
  return { after: "ready", wait_ms: 10 + random.whole(random.chance(0.2) ? 900 : 300) };
}

/** Runs one seed to its end. */
export async function runKills(options: KillOptions): Promise<KillReport> {
  const run = new KillRun(options);
  try {
    for (let kill = 0; kill < options.kills; kill += 1) await run.live();
    const dump = await run.finish();
    return run.report(dump);
  } finally {
    await run.stop();
  }
}

class KillRun {
  readonly #options: KillOptions;
  readonly #random: Random;
  readonly #traffic: Traffic;
  /** Sent again until they are acknowledged. */
  #waiting: Parcel[] = [];
  readonly #acknowledged: Parcel[] = [];
  readonly #given_up: Parcel[] = [];
  readonly #alarms: string[] = [];
  #launched: Launched | null = null;
  #requests = 0;
  #kills_before_ready = 0;
  #ready_ms = 600;
  #healing: NodeJS.Timeout | undefined;

  constructor(options: KillOptions) {
    this.#options = options;
    this.#random = options.random;
    this.#traffic = new Traffic(options.random);
    // One at least goes the way of large bodies.
    this.#waiting.push(this.#traffic.large());
  }

  /** From a start to a kill. */
  async live(): Promise<void> {
    const ending = chooseEnding(this.#random);
    const launched = await this.#start();
    const killed = Promise.withResolvers<void>();
    const kill = (wait_ms: number) => {
      setTimeout(() => {
        launched.process.kill("SIGKILL");
        killed.resolve();
      }, wait_ms);
    };
    if (ending.after === "start") {
      kill(ending.share * this.#ready_ms);
      await launched.ready.catch(() => void (this.#kills_before_ready += 1));
      await killed.promise;
      return this.#end(launched);
    }
    const program = await launched.ready;
    this.#ready_ms = 0.7 * this.#ready_ms + 0.3 * program.ready_ms;
    const { after, wait_ms } = ending;
    if (after === "ready") kill(wait_ms);
    let count = after === "ready" ? 0 : ending.count;
    const note = (event: "answers" | "requests") => {
      if (event !== after) return;
      count -= 1;
      if (count === 0) kill(wait_ms);
    };
    await this.#sendUntil(program, killed.promise, note);
    return this.#end(launched);
  }

  /** Sends what is left, waits until the engine has it, ends the program and reads the ledger. */
  async finish(): Promise<LedgerDump> {
    const { server, data_directory } = this.#options;
    const launched = await this.#start(true);
    const program = await launched.ready;
    this.#waiting.push(...this.#traffic.rest());
    const connection = new Connection(program);
    for (let round = 0; this.#waiting.length > 0; round += 1) {
      if (round === 5) throw new Error(`requests are refused:\n${launched.log()}`);
      for (const parcel of this.#waiting.splice(0)) await this.#deliver(connection, parcel);
    }
    connection.close();
    const pending = async () => {
      const metrics = await (await fetch(`${program.api}/metrics`)).text();
      return /^spanledger_wal_pending_records (\d+)$/m.exec(metrics)?.[1] ?? "no such metric";
    };
    await eventually(pending, (count) => count === "0", DRAIN_TIMEOUT_MS).catch((error: Error) => {
      throw new Error(`the log does not drain: ${error.message}\n${launched.log().slice(-5000)}`);
    });
    if (this.#random.chance(0.5)) await this.#end(launched, "SIGTERM", 0);
    else await this.#end(launched);
    return server === null ? readDirectory(data_directory) : dumpLedger(server.engine);
  }

  report(dump: LedgerDump): KillReport {
    return {
      found: judge(dump, this.#acknowledged, this.#given_up),
      alarms: [...this.#alarms, ...this.#listSetAside()],
      requests: this.#requests,
      acknowledged: this.#acknowledged.length,
      given_up: this.#given_up.length,
      items: this.#acknowledged.reduce((sum, { items }) => sum + items.length, 0),
      kills_before_ready: this.#kills_before_ready,
    };
  }

  /** Ends the program whatever happened. */
  async stop(): Promise<void> {
    clearTimeout(this.#healing);
    await this.#launched?.end("SIGKILL");
  }

  async #start(is_last = false): Promise<Launched> {
    const { data_directory, server } = this.#options;
    const random = this.#random;
    if (server !== null) await this.#upsetServer(server, is_last);
    const settings = {
      SPANLEDGER_INSERT_MAX_AGE_MS: String(1 + random.whole(200)),
      SPANLEDGER_INSERT_MAX_ROWS: random.chance(0.3) ? "50" : "100000",
      SPANLEDGER_RECOMPUTE_INTERVAL_MS: String(10 + random.whole(300)),
      SPANLEDGER_RECOMPUTE_CPU_SHARE: "1",
      SPANLEDGER_TRACE_SETTLE_S: "1",
      // Segments of an eighth of it, so that they begin and end all the time.
      SPANLEDGER_WAL_MAX_BYTES: String((random.chance(0.5) ? 16 : 256) * 1024 ** 2),
      ...(server === null ? {} : { SPANLEDGER_CLICKHOUSE_URL: server.clickhouse.url }),
      ...this.#options.settings,
    };
    const launched = launch(server === null ? "serve" : "collector", data_directory, settings);
    launched.ready.catch(() => {});
    this.#launched = launched;
    return launched;
  }

  /** No collector runs now. The lease of a dead one ends after two minutes: they pass at once. */
  async #upsetServer({ clickhouse, engine }: OutlivingServer, is_last: boolean): Promise<void> {
    const random = this.#random;
    if (random.chance(0.8) || is_last) await engine.command("TRUNCATE TABLE recompute_lease");
    clearTimeout(this.#healing);
    await clickhouse.heal();
    if (is_last || !random.chance(0.2)) return;
    await clickhouse.fail(random.pick(SERVER_FAILURES));
    this.#healing = setTimeout(() => void clickhouse.heal(), this.#ready_ms + random.whole(600));
  }

  async #end(
    launched: Launched,
    signal: "SIGKILL" | "SIGTERM" = "SIGKILL",
    code: number | null = null,
  ) {
    const got = await launched.end(signal);
    if (got !== code) throw new Error(`the program ended with ${got}:\n${launched.log()}`);
    const errors = launched
      .log()
      .split("\n")
      .filter((line) => line.includes('"level":"error"'));
    this.#alarms.push(...errors);
  }

  #listSetAside(): string[] {
    return ["dead-letter", "wal/quarantine"].flatMap((name) => {
      const folder = join(this.#options.data_directory, name);
      return existsSync(folder) ? readdirSync(folder).map((file) => `${name}/${file}`) : [];
    });
  }

  async #sendUntil(
    program: Program,
    killed: Promise<void>,
    note: (event: "answers" | "requests") => void,
  ): Promise<void> {
    const random = this.#random;
    const life = { is_over: false };
    void killed.then(() => (life.is_over = true));
    const work = async (): Promise<void> => {
      const connection = new Connection(program);
      while (!life.is_over) {
        const parcel = this.#waiting.shift() ?? this.#traffic.next();
        note("requests");
        const is_acknowledged = await this.#deliver(connection, parcel);
        if (is_acknowledged) note("answers");
        if (life.is_over || !random.chance(0.2)) continue;
        // A sender whose answer was lost sends again, and proxies batch anew.
        const again = this.#traffic.rebatch(this.#acknowledged);
        if (again !== null) await connection.send(random, again);
      }
      connection.close();
    };
    await Promise.all(Array.from({ length: SENDERS }, work));
  }

  async #deliver(connection: Connection, parcel: Parcel): Promise<boolean> {
    this.#requests += 1;
    if (await connection.send(this.#random, parcel)) {
      this.#acknowledged.push(parcel);
      return true;
    }
    if (!parcel.is_vital && this.#random.chance(0.25)) this.#given_up.push(parcel);
    else this.#waiting.push(parcel);
    return false;
  }
}

/** One sender's way to a program: HTTP or gRPC, each request in one of the encodings. */
class Connection {
  readonly #program: Program;
  readonly #agent = new Agent({ keepAlive: true });
  #grpc: GrpcClient | null = null;

  constructor(program: Program) {
    this.#program = program;
  }

  /** Whether it was acknowledged. */
  async send(random: Random, parcel: Parcel): Promise<boolean> {
    const roll = random.next();
    // A large request in JSON takes the sender longer than the program.
    if (roll < 0.3) return this.#sendGrpc(parcel, random.chance(0.5));
    if (roll < 0.55 && parcel.items.length < 1_000) {
      return this.#sendHttp(
        parcel,
        "application/json",
        encodeParcelJson(parcel),
        random.chance(0.5) ? "gzip" : "",
      );
    }
    const coding = random.pick(["", "", "gzip", "zstd"]);
    return this.#sendHttp(parcel, "application/x-protobuf", encodeParcel(parcel), coding);
  }

  close(): void {
    this.#agent.destroy();
    this.#grpc?.close();
  }

  #sendHttp(parcel: Parcel, type: string, body: Uint8Array, coding: string): Promise<boolean> {
    const bytes =
      coding === "gzip"
        ? gzipSync(body, { level: 1 })
        : coding === "zstd"
          ? zstdCompressSync(body)
          : body;
    return new Promise((resolve) => {
      const sending = httpRequest(`${this.#program.otlp}/v1/${parcel.signal}`, {
        method: "POST",
        agent: this.#agent,
        timeout: SEND_TIMEOUT_MS,
        headers: {
          "content-type": type,
          "content-length": bytes.length,
          ...(coding === "" ? {} : { "content-encoding": coding }),
        },
      });
      sending.on("response", (response) => {
        // An answer without its end is one that was lost, although the status is known.
        text(response).then(
          () => resolve(response.statusCode === 200),
          () => resolve(false),
        );
      });
      sending.on("timeout", () => sending.destroy());
      sending.on("error", () => resolve(false));
      sending.end(bytes);
    });
  }

  async #sendGrpc(parcel: Parcel, is_gzip: boolean): Promise<boolean> {
    const address = this.#program.otlp_grpc.replace("http://", "");
    const options = { "grpc.default_compression_algorithm": compressionAlgorithms.gzip };
    this.#grpc ??= new GrpcClient(address, is_gzip ? options : {});
    const { code } = await this.#grpc.call(GRPC_PATHS[parcel.signal], encodeParcel(parcel), {
      timeout_ms: SEND_TIMEOUT_MS,
    });
    return code === 0;
  }
}

const GRPC_PATHS = {
  traces: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
  logs: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
  metrics: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
} as const;
