/**
 * OTLP/gRPC: the Export calls of the three signals, and the health check that load balancers ask for.
 * Knows gRPC and nothing of the items; what to do with a message is an argument.
 *
 * Invariant: a message is passed on as the bytes that came; nothing here is generated from .proto
 * files. A call is answered OK only when `exportBody` says that the sender may forget it.
 */
import type { ServerOptions } from "node:http2";
import { createServer, type Server as Listener, type Socket } from "node:net";
import {
  logVerbosity,
  type sendUnaryData,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  setLogVerbosity,
} from "@grpc/grpc-js";
import { PermanentError } from "../../schemas/errors.ts";
import type { Sender } from "../../schemas/sender.ts";
import { type GrpcCallOptions, type GrpcMessage, makeCallGuard } from "./grpc-call.ts";
import { grpcStatus } from "./grpc-status.ts";
import type { TlsFiles } from "./grpc-tls.ts";
import { type ExportResult, exportReply, type OtlpEncoding, type OtlpSignal } from "./reply.ts";

export interface OtlpGrpcOptions extends GrpcCallOptions {
  /** Takes a body durably. Resolves only when the sender may forget it. */
  readonly exportBody: (
    signal: OtlpSignal,
    body: Uint8Array,
    encoding: OtlpEncoding,
    sender: Sender,
  ) => Promise<ExportResult>;
  /** Rejects while the collector cannot take spans: what health checks are told. */
  readonly checkReady: () => Promise<void>;
  /** A connection older than this is asked to come again, so that load spreads anew, seconds. */
  readonly max_connection_age_s: number;
  /** Calls at once on one connection. */
  readonly max_concurrent_streams: number;
  /** Null: plain text. */
  readonly tls: TlsFiles | null;
}

/** A running receiver. */
export interface OtlpGrpcServer {
  /** Takes the connections; the caller makes it listen, on one address. */
  readonly listener: Listener;
  /** Takes no new connections and calls, lets open calls finish for a while, then cuts them. */
  close(grace_ms: number): Promise<void>;
}

const MAX_CONNECTIONS = 10_000;
/** Headers of one call, bytes with 32 for each (RFC 9113 SETTINGS_MAX_HEADER_LIST_SIZE). */
const MAX_HEADER_LIST_BYTES = 16 * 1024;
/** How long a connection that is too old may finish its calls, ms. */
const CONNECTION_AGE_GRACE_MS = 30_000;
/** A connection without a call for this long is closed, ms. */
const MAX_CONNECTION_IDLE_MS = 15 * 60_000;
/** How often a connection is asked whether it lives, and how long it may take to say so, ms. */
const KEEPALIVE_MS = 60_000;
const KEEPALIVE_TIMEOUT_MS = 20_000;
/** Longest a connection may take to say its first word, ms. */
const PREFACE_TIMEOUT_MS = 15_000;

/** What health checks may ask about, "" being the server as a whole. */
const SERVICES: Readonly<Record<OtlpSignal, string>> = {
  traces: "opentelemetry.proto.collector.trace.v1.TraceService",
  logs: "opentelemetry.proto.collector.logs.v1.LogsService",
  metrics: "opentelemetry.proto.collector.metrics.v1.MetricsService",
};
const SIGNALS = Object.keys(SERVICES) as OtlpSignal[];
const HEALTH_SERVICE = "grpc.health.v1.Health";

const exportPath = (signal: OtlpSignal) => `/${SERVICES[signal]}/Export`;
const EXPORT_PATHS: ReadonlyMap<string, OtlpSignal> = new Map(
  SIGNALS.map((signal) => [exportPath(signal), signal]),
);

type Handler = (message: GrpcMessage) => Promise<Uint8Array>;

/** A gRPC server for OTLP; throws PermanentError("bad_tls") when the certificate cannot be used. */
export function createOtlpGrpcServer(options: OtlpGrpcOptions): OtlpGrpcServer {
  // Its log would hold headers, and so keys; every outcome is in our metrics.
  setLogVerbosity(logVerbosity.NONE);
  const server = makeServer(options);
  let is_stopping = false;
  for (const signal of SIGNALS) addMethod(server, exportPath(signal), makeExport(signal, options));
  const checkReady = async () => {
    if (is_stopping) throw new Error("stopping");
    await options.checkReady();
  };
  addMethod(server, `/${HEALTH_SERVICE}/Check`, makeHealthCheck(checkReady));
  const injector = server.createConnectionInjector(credentialsOf(options.tls));
  const sockets = new Set<Socket>();
  const listener = createServer((socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    cutWhenSilent(socket);
    injector.injectConnection(socket);
  });
  listener.maxConnections = MAX_CONNECTIONS;
  return {
    listener,
    async close(grace_ms) {
      is_stopping = true;
      const closed = new Promise((resolve) => {
        listener.close(resolve);
      });
      injector.drain(grace_ms);
      const timer = setTimeout(() => {
        for (const socket of sockets) socket.destroy();
      }, grace_ms);
      await closed;
      clearTimeout(timer);
      injector.destroy();
    },
  };
}

function makeServer(options: OtlpGrpcOptions): Server {
  const server = new Server({
    interceptors: [makeCallGuard(EXPORT_PATHS, options)],
    "grpc.enable_channelz": 0,
    "grpc.max_receive_message_length": options.max_body_bytes,
    "grpc.max_concurrent_streams": options.max_concurrent_streams,
    "grpc.max_connection_age_ms": options.max_connection_age_s * 1000,
    "grpc.max_connection_age_grace_ms": CONNECTION_AGE_GRACE_MS,
    "grpc.max_connection_idle_ms": MAX_CONNECTION_IDLE_MS,
    "grpc.keepalive_time_ms": KEEPALIVE_MS,
    "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
  });
  // There is no option for it; a test fails when grpc-js moves this.
  const { commonServerOptions } = server as unknown as { commonServerOptions: ServerOptions };
  commonServerOptions.settings = {
    ...commonServerOptions.settings,
    maxHeaderListSize: MAX_HEADER_LIST_BYTES,
  };
  return server;
}

function credentialsOf(tls: TlsFiles | null): ServerCredentials {
  if (tls === null) return ServerCredentials.createInsecure();
  const pair = { cert_chain: tls.cert, private_key: tls.key };
  return ServerCredentials.createSsl(tls.client_ca, [pair], tls.client_ca !== null);
}

/** A connection that says nothing has no session that could time out. */
function cutWhenSilent(socket: Socket): void {
  const timer = setTimeout(() => {
    if (socket.bytesRead === 0) socket.destroy();
  }, PREFACE_TIMEOUT_MS);
  socket.once("close", () => clearTimeout(timer));
}

/** Registers a unary method that takes and gives bytes. */
function addMethod(server: Server, path: string, handle: Handler): void {
  const asIs = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const answer = async (message: GrpcMessage, callback: sendUnaryData<Uint8Array>) => {
    try {
      callback(null, await handle(message));
    } catch (error) {
      callback(grpcStatus(error));
    }
  };
  server.register<GrpcMessage, Uint8Array>(
    path,
    (call: ServerUnaryCall<GrpcMessage, Uint8Array>, callback: sendUnaryData<Uint8Array>) => {
      void answer(call.request, callback);
    },
    asIs,
    asIs as unknown as (bytes: Buffer) => GrpcMessage, // the guard makes the message of the bytes
    "unary",
  );
}

function makeExport(signal: OtlpSignal, { exportBody }: OtlpGrpcOptions): Handler {
  return async ({ body, sender, work }) => {
    const result = await work(async () => exportBody(signal, body, "protobuf", sender));
    return exportReply(signal, "protobuf", result).body;
  };
}

/** grpc.health.v1.HealthCheckResponse with the status SERVING and NOT_SERVING. */
const SERVING = Uint8Array.of(0x08, 1);
const NOT_SERVING = Uint8Array.of(0x08, 2);

function makeHealthCheck(checkReady: () => Promise<void>): Handler {
  const names = new Set(["", HEALTH_SERVICE, ...Object.values(SERVICES)]);
  return ({ body, work }) =>
    work(async () => {
      if (!names.has(serviceOf(body))) {
        throw new PermanentError("unknown_path", "There is no service of this name.");
      }
      return checkReady().then(
        () => SERVING,
        () => NOT_SERVING,
      );
    });
}

/** The service of a grpc.health.v1.HealthCheckRequest, whose only field it is. */
function serviceOf(body: Uint8Array): string {
  if (body.length === 0) return "";
  const [tag, length = 0] = body;
  // Names are shorter than 128 bytes: their length is one byte.
  if (tag !== 0x0a || length !== body.length - 2) {
    throw new PermanentError("bad_body", "The message is no grpc.health.v1.HealthCheckRequest.");
  }
  return Buffer.from(body.subarray(2)).toString("utf8");
}
