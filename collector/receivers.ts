/**
 * The two ways in of a collector, put together from its settings: OTLP over HTTP and over gRPC.
 *
 * Invariant: both share one limit of bytes in flight, one check of keys and one way to the log; only
 * what is told of them is told apart.
 */
import type { Server } from "node:http";
import type { Authenticate, Sender } from "../schemas/sender.ts";
import type { Settings } from "../schemas/settings.ts";
import type { PipelineResult } from "./pipeline.ts";
import { createOtlpGrpcServer, type OtlpGrpcServer } from "./receive/grpc.ts";
import type { TlsFiles } from "./receive/grpc-tls.ts";
import { createOtlpHttpServer } from "./receive/http.ts";
import { makeInFlightLimit } from "./receive/in-flight.ts";
import type { OtlpEncoding, OtlpSignal } from "./receive/reply.ts";
import { type Telemetry, watchHolds } from "./telemetry/telemetry.ts";

/** What the receivers need of their collector. */
export interface ReceiverParts {
  readonly settings: Settings;
  readonly tls: TlsFiles | null;
  readonly telemetry: Telemetry;
  /** The sender of a request by its headers; throws what refuses it. */
  readonly authenticate: Authenticate;
  /** Rejects while the collector cannot take spans. */
  readonly checkReady: () => Promise<void>;
  /** Throws RetryableError while no more can be taken. */
  readonly checkLoad: () => void;
  readonly exportBody: (
    signal: OtlpSignal,
    body: Uint8Array,
    encoding: OtlpEncoding,
    sender: Sender,
  ) => Promise<PipelineResult>;
}

/** Makes both; the caller makes them listen and closes them. */
export function makeReceivers(parts: ReceiverParts): { http: Server; grpc: OtlpGrpcServer } {
  const { settings, tls, telemetry, authenticate, checkReady, checkLoad, exportBody } = parts;
  const max_in_flight_bytes = settings.SPANLEDGER_MAX_IN_FLIGHT_BYTES;
  const receiving = {
    max_body_bytes: settings.SPANLEDGER_MAX_BODY_BYTES,
    max_in_flight_bytes,
    openHold: watchHolds(makeInFlightLimit(max_in_flight_bytes), telemetry.metrics),
    tls,
    authenticate,
    checkLoad,
  };
  const http = createOtlpHttpServer({
    ...receiving,
    ...telemetry.watchReceiver("http", exportBody),
    cors_origins: settings.SPANLEDGER_CORS_ORIGINS ?? [],
    path_prefix: settings.SPANLEDGER_OTLP_PATH_PREFIX ?? "",
  });
  const grpc = createOtlpGrpcServer({
    ...receiving,
    ...telemetry.watchReceiver("grpc", exportBody),
    checkReady,
    max_connection_age_s: settings.SPANLEDGER_GRPC_MAX_CONNECTION_AGE_S,
    max_concurrent_streams: settings.SPANLEDGER_GRPC_MAX_STREAMS,
  });
  return { http, grpc };
}
