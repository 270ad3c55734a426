/**
 * gRPC clients for tests: grpc-js with raw bytes, and HTTP/2 frames with nothing of gRPC in between.
 *
 * Invariant: nothing here encodes or decodes with the receiver's own code; a call always ends with a
 * status, also when the connection breaks.
 */
import { once } from "node:events";
import { type ClientHttp2Session, connect, type OutgoingHttpHeaders } from "node:http2";
import { text } from "node:stream/consumers";
import {
  type ChannelCredentials,
  type ChannelOptions,
  Client,
  credentials as makeCredentials,
  Metadata,
  type ServiceError,
  type StatusObject,
} from "@grpc/grpc-js";
import protobuf from "protobufjs";

const { root } = protobuf.parse(`
  syntax = "proto3";
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message Any { string type_url = 1; bytes value = 2; }
  message RetryInfo { Duration retry_delay = 1; }
  message Duration { int64 seconds = 1; int32 nanos = 2; }
  message BadRequest { repeated FieldViolation field_violations = 1; }
  message FieldViolation { string field = 1; string description = 2; }
`);

function decode(name: string, bytes: Uint8Array): Record<string, unknown> {
  const type = root.lookupType(name);
  return type.toObject(type.decode(bytes), { longs: Number });
}

/** A google.rpc.Status with its details decoded, by the last part of their type. */
export interface RpcStatus {
  readonly code: number;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

function decodeRpcStatus(bytes: Uint8Array): RpcStatus {
  const {
    code,
    message,
    details = [],
  } = decode("Status", bytes) as {
    code: number;
    message: string;
    details?: { typeUrl: string; value: Uint8Array }[];
  };
  const decoded = details.map(({ typeUrl, value }) => {
    const name = typeUrl.replace("type.googleapis.com/google.rpc.", "");
    return [name, decode(name, value)] as const;
  });
  return { code, message, details: Object.fromEntries(decoded) };
}

/** How a call ended. */
export interface GrpcAnswer {
  readonly code: number;
  readonly details: string;
  /** The response; null when there was none. */
  readonly body: Uint8Array | null;
  readonly trailers: Metadata;
  /** What came in grpc-status-details-bin; null when nothing did. */
  readonly rpc: RpcStatus | null;
}

export interface GrpcCall {
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeout_ms?: number;
}

/** A channel that is closed by the test. */
export class GrpcClient {
  readonly #client: Client;

  constructor(address: string, options: ChannelOptions = {}, credentials?: ChannelCredentials) {
    this.#client = new Client(address, credentials ?? makeCredentials.createInsecure(), {
      "grpc.max_send_message_length": -1,
      "grpc.service_config_disable_resolution": 1,
      "grpc.enable_retries": 0,
      // Channels to one address share no connection.
      "grpc.use_local_subchannel_pool": 1,
      ...options,
    });
  }

  /** Makes a unary call with a message as it is. */
  call(path: string, body: Uint8Array, { headers = {}, timeout_ms }: GrpcCall = {}) {
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
    const options = timeout_ms === undefined ? {} : { deadline: Date.now() + timeout_ms };
    const asIs = (bytes: Uint8Array) => Buffer.from(bytes);
    return new Promise<GrpcAnswer>((resolve) => {
      let status: StatusObject | null = null;
      let response: Uint8Array | null = null;
      let is_answered = false;
      const finish = () => {
        if (status === null || !is_answered) return;
        const [bytes] = status.metadata.get("grpc-status-details-bin");
        resolve({
          code: status.code,
          details: status.details,
          body: response,
          trailers: status.metadata,
          rpc: bytes instanceof Buffer ? decodeRpcStatus(bytes) : null,
        });
      };
      const call = this.#client.makeUnaryRequest(
        path,
        asIs,
        asIs,
        body,
        metadata,
        options,
        (_error: ServiceError | null, bytes?: Uint8Array) => {
          response = bytes ?? null;
          is_answered = true;
          finish();
        },
      );
      call.on("status", (got) => {
        status = got;
        finish();
      });
    });
  }

  close(): void {
    this.#client.close();
  }
}

/** A message with its five bytes in front. */
export function frame(body: Uint8Array, is_compressed = false): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(is_compressed ? 1 : 0, 0);
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

/** The answer to a call made of HTTP/2 frames: headers and trailers as one, names in lower case. */
export interface RawAnswer {
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

/** An HTTP/2 session whose errors are kept rather than thrown. */
export function openSession(port: number): ClientHttp2Session {
  const session = connect(`http://127.0.0.1:${port}`);
  session.on("error", () => {});
  return session;
}

/** Sends bytes as the body of a call, whatever they are, and reads all that comes back. */
export async function sendRaw(
  session: ClientHttp2Session,
  path: string,
  bytes: Uint8Array,
  headers: OutgoingHttpHeaders = {},
): Promise<RawAnswer> {
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
    ...headers,
  });
  const answer: Record<string, unknown> = {};
  stream.on("response", (got) => Object.assign(answer, got));
  stream.on("trailers", (got) => Object.assign(answer, got));
  stream.on("error", (error) => {
    answer["error"] = error.message;
  });
  const closed = once(stream, "close");
  stream.end(bytes);
  const body = await text(stream).catch(() => "");
  await closed.catch(() => {});
  return { headers: answer, body };
}
