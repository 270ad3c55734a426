/**
 * A stand-in for a tracing backend: takes OTLP/HTTP traces and keeps what came, decoded.
 *
 * Invariant: bodies are decoded by protobufjs, never by code of ours.
 */
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { decodeTraceRequest, type OtlpSpan } from "./otlp-proto.ts";

/** A span as it came, with the scope and the resource it came in. */
export interface SunkSpan extends OtlpSpan {
  readonly scope: string;
  readonly resource: Readonly<Record<string, unknown>>;
}

export interface OtlpSink {
  /** http://host:port, for OTEL_EXPORTER_OTLP_ENDPOINT. */
  readonly endpoint: string;
  readonly spans: readonly SunkSpan[];
  readonly requests: readonly { readonly path: string; readonly headers: IncomingHttpHeaders }[];
  close(): Promise<void>;
}

/** Starts a sink on a free port. */
export async function startOtlpSink(): Promise<OtlpSink> {
  const spans: SunkSpan[] = [];
  const requests: { path: string; headers: IncomingHttpHeaders }[] = [];
  const server = createServer((request, response) => {
    void buffer(request).then((body) => {
      requests.push({ path: request.url ?? "", headers: request.headers });
      spans.push(...flatten(body));
      response.writeHead(200, { "content-type": "application/x-protobuf" }).end();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    requests,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

function flatten(body: Uint8Array): SunkSpan[] {
  const { resourceSpans = [] } = decodeTraceRequest(body);
  return resourceSpans.flatMap(({ resource, scopeSpans = [] }) =>
    scopeSpans.flatMap(({ scope, spans = [] }) =>
      spans.map((span) => ({
        ...span,
        scope: scope?.name ?? "",
        resource: Object.fromEntries(
          (resource?.attributes ?? []).map(({ key = "", value }) => [
            key,
            Object.values(value ?? {})[0],
          ]),
        ),
      })),
    ),
  );
}
