/**
 * For the receiver's tests: a running server with a stub behind it, clients down to the raw socket,
 * and the OTLP answers decoded by protobufjs.
 *
 * Invariant: nothing here encodes or decodes with the receiver's own code.
 */
import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import protobuf from "protobufjs";
import { DEFAULT_SENDER } from "../../schemas/sender.ts";
import { createOtlpHttpServer, type OtlpHttpOptions } from "./http.ts";
import type { ExportResult, OtlpEncoding, OtlpSignal } from "./reply.ts";

const SCHEMA = `
  syntax = "proto3";
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message Any { string type_url = 1; bytes value = 2; }
  message BadRequest { repeated FieldViolation field_violations = 1; }
  message FieldViolation { string field = 1; string description = 2; }
  message ExportTraceServiceResponse { ExportTracePartialSuccess partial_success = 1; }
  message ExportTracePartialSuccess { int64 rejected_spans = 1; string error_message = 2; }
  message ExportLogsServiceResponse { ExportLogsPartialSuccess partial_success = 1; }
  message ExportLogsPartialSuccess { int64 rejected_log_records = 1; string error_message = 2; }
  message ExportMetricsServiceResponse { ExportMetricsPartialSuccess partial_success = 1; }
  message ExportMetricsPartialSuccess { int64 rejected_data_points = 1; string error_message = 2; }
`;
const { root } = protobuf.parse(SCHEMA);

/** A message of the schema above as a plain object; 64-bit integers are decimal strings. */
function decode(name: string, body: Uint8Array): Record<string, unknown> {
  const type = root.lookupType(name);
  return type.toObject(type.decode(body), { longs: String });
}

/** Code and message of a google.rpc.Status; fields that are not there have their default. */
export function decodeStatus(
  encoding: OtlpEncoding,
  body: Uint8Array,
): { code: number; message: string } {
  const { code = 0, message = "" } = decodeWholeStatus(encoding, body);
  return { code, message };
}

/** The violations that the google.rpc.BadRequest in a Status names. */
export function decodeViolations(
  encoding: OtlpEncoding,
  body: Uint8Array,
): { field: string; description: string }[] {
  const { details = [] } = decodeWholeStatus(encoding, body);
  return details.flatMap((detail) => {
    const type = detail["@type"] ?? detail["typeUrl"];
    if (type !== "type.googleapis.com/google.rpc.BadRequest")
      throw new Error(`not ours: ${JSON.stringify(type)}`);
    const plain =
      encoding === "json" ? detail : decode("BadRequest", detail["value"] as Uint8Array);
    return plain["fieldViolations"] as { field: string; description: string }[];
  });
}

interface WholeStatus {
  readonly code?: number;
  readonly message?: string;
  readonly details?: readonly Record<string, unknown>[];
}

function decodeWholeStatus(encoding: OtlpEncoding, body: Uint8Array): WholeStatus {
  if (encoding === "json") return JSON.parse(Buffer.from(body).toString("utf8")) as WholeStatus;
  return decode("Status", body);
}

const RESPONSES: Readonly<Record<OtlpSignal, string>> = {
  traces: "ExportTraceServiceResponse",
  logs: "ExportLogsServiceResponse",
  metrics: "ExportMetricsServiceResponse",
};

/** The export response of a signal as OTLP/JSON writes it, whatever its encoding. */
export function decodeExportResponse(
  signal: OtlpSignal,
  encoding: OtlpEncoding,
  body: Uint8Array,
): unknown {
  if (encoding === "json") return JSON.parse(Buffer.from(body).toString("utf8"));
  return decode(RESPONSES[signal], body);
}

/** What the stub got. */
export interface Exported {
  readonly signal: OtlpSignal;
  readonly body: string;
  readonly encoding: OtlpEncoding;
  readonly project_id: string;
}

type Observed = readonly [signal: OtlpSignal | "", status: number, body_bytes: number];

export interface TestServer {
  readonly port: number;
  readonly exported: Exported[];
  /** Signal ("" for an unknown path), status and body bytes of every answer. */
  readonly observed: Observed[];
  readonly close: () => Promise<void>;
}

/** What the stub answers unless a test says otherwise. */
export const ACCEPTED: ExportResult = { accepted_items: 1, rejected_items: 0, message: "" };

/** Starts a server on a free loopback port: limits of 1 and 4 MiB, every sender let in. */
export async function startServer(changes: Partial<OtlpHttpOptions> = {}): Promise<TestServer> {
  const exported: Exported[] = [];
  const observed: Observed[] = [];
  const { exportBody, ...others } = changes;
  const server = createOtlpHttpServer({
    max_body_bytes: 1024 * 1024,
    max_in_flight_bytes: 4 * 1024 * 1024,
    authenticate: () => DEFAULT_SENDER,
    observe: (...answer) => observed.push(answer),
    ...others,
    exportBody(signal, body, encoding, sender) {
      const { project_id } = sender;
      exported.push({ signal, body: Buffer.from(body).toString("latin1"), encoding, project_id });
      return exportBody?.(signal, body, encoding, sender) ?? Promise.resolve(ACCEPTED);
    },
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    exported,
    observed,
    close: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** An answer as it came over the wire. */
export interface Answer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Uint8Array;
}

export interface Request {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  /** Sent in chunks of this many bytes and without Content-Length. */
  readonly chunk_bytes?: number;
}

/** Sends one request by node:http on a connection of its own. JSON unless the headers say else. */
export async function send(
  server: Pick<TestServer, "port">,
  options: Request = {},
): Promise<Answer> {
  const body = Buffer.from(options.body ?? "{}");
  const { chunk_bytes } = options;
  const request = httpRequest({
    port: server.port,
    host: "127.0.0.1",
    agent: false,
    method: options.method ?? "POST",
    path: options.path ?? "/v1/traces",
    headers: {
      ...(chunk_bytes === undefined ? { "content-length": String(body.length) } : {}),
      ...(options.headers ?? { "content-type": "application/json" }),
    },
  });
  const answered = once(request, "response");
  const step_bytes = chunk_bytes ?? body.length + 1;
  for (let start = 0; start < body.length; start += step_bytes) {
    request.write(body.subarray(start, start + step_bytes));
  }
  request.end();
  const [response] = (await answered) as [
    NodeJS.ReadableStream & { statusCode: number } & {
      headers: Record<string, string>;
    },
  ];
  const pieces: Uint8Array[] = [];
  for await (const piece of response) pieces.push(piece as unknown as Uint8Array);
  return {
    status: response.statusCode,
    headers: new Map(Object.entries(response.headers)),
    body: Buffer.concat(pieces),
  };
}

/** A connection that sends exactly the bytes it is told to and reads whole answers. */
export class RawClient {
  readonly socket: Socket;
  #received = Buffer.alloc(0);
  /** What broke the connection; null while nothing did. */
  error: Error | null = null;
  #closed = false;

  constructor(port: number) {
    this.socket = connect(port, "127.0.0.1");
    this.socket.on("data", (piece) => {
      this.#received = Buffer.concat([this.#received, piece]);
    });
    this.socket.on("error", (error) => {
      this.error = error;
    });
    this.socket.on("close", () => {
      this.#closed = true;
    });
  }

  /** Hands bytes to the kernel; resolves when it has taken them or the connection broke. */
  async write(bytes: Uint8Array | string): Promise<void> {
    await new Promise<void>((resolve) => {
      this.socket.write(bytes, () => resolve());
    });
  }

  /** The next answer, interim ones such as 100 included; null when the connection ended without. */
  async readAnswer(): Promise<Answer | null> {
    for (;;) {
      const answer = this.#takeAnswer();
      if (answer !== null || this.#closed) return answer;
      await new Promise<void>((resolve) => {
        const next = () => {
          this.socket.off("data", next);
          this.socket.off("close", next);
          resolve();
        };
        this.socket.on("data", next);
        this.socket.on("close", next);
      });
    }
  }

  #takeAnswer(): Answer | null {
    const end = this.#received.indexOf("\r\n\r\n");
    if (end === -1) return null;
    const [first = "", ...lines] = this.#received.subarray(0, end).toString("latin1").split("\r\n");
    const headers = new Map(
      lines.map((line) => {
        const colon = line.indexOf(":");
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
      }),
    );
    const bodyEnd = end + 4 + Number(headers.get("content-length") ?? 0);
    if (this.#received.length < bodyEnd) return null;
    const body = this.#received.subarray(end + 4, bodyEnd);
    this.#received = this.#received.subarray(bodyEnd);
    return { status: Number(first.split(" ")[1]), headers, body };
  }

  close(): void {
    this.socket.destroy();
  }
}

/** The head of a POST to /v1/traces with these further header lines. */
export function head(...lines: string[]): string {
  return ["POST /v1/traces HTTP/1.1", "Host: collector", ...lines, "", ""].join("\r\n");
}
