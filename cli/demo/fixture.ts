/** An OTLP/HTTP receiver for tests of the demo: keeps what it is sent and answers as told. */
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { decodeTraceRequest, type OtlpSpan } from "../../test/support/otlp-proto.ts";

export interface SinkRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Uint8Array;
}

export interface SinkAnswer {
  readonly status: number;
  readonly body?: Uint8Array;
}

export interface Sink {
  readonly endpoint: string;
  readonly requests: SinkRequest[];
  close(): Promise<void>;
}

/** Listens on a free port of the loopback. */
export async function openSink(
  answer: (request: SinkRequest, index: number) => SinkAnswer = () => ({ status: 200 }),
): Promise<Sink> {
  const requests: SinkRequest[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const received = {
        path: request.url ?? "",
        headers: request.headers,
        body: new Uint8Array(Buffer.concat(chunks)),
      };
      const { status, body } = answer(received, requests.push(received) - 1);
      response.writeHead(status, { "content-type": "application/x-protobuf" });
      response.end(body);
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

/** A span as received, with what holds it. */
export interface ReceivedSpan {
  readonly resource: ReadonlyMap<string, unknown>;
  readonly scope: string;
  readonly span: OtlpSpan;
  readonly attributes: ReadonlyMap<string, unknown>;
}

type KeyValues = OtlpSpan["attributes"];

function readAttributes(list: KeyValues): Map<string, unknown> {
  return new Map(
    (list ?? []).map(({ key, value }) => [key ?? "", Object.values(value ?? {})[0] as unknown]),
  );
}

/** All spans of the requests, decoded by protobufjs. */
export function readSpans(requests: readonly SinkRequest[]): ReceivedSpan[] {
  return requests
    .flatMap(({ body }) => decodeTraceRequest(body).resourceSpans ?? [])
    .flatMap(({ resource, scopeSpans }) =>
      (scopeSpans ?? []).flatMap(({ scope, spans }) =>
        (spans ?? []).map((span) => ({
          resource: readAttributes(resource?.attributes),
          scope: scope?.name ?? "",
          span,
          attributes: readAttributes(span.attributes),
        })),
      ),
    );
}
