/** P24: a body sent to the path of another signal is told where it belongs, in both encodings. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  arbitraryTraceRequest,
  readSignalCaptures,
  readTraceCaptures,
  refusalOf,
  unlessRefused,
} from "../../test/support/otlp-oracle.ts";
import {
  encodeLogsRequest,
  encodeMetricsRequest,
  encodeTraceRequest,
} from "../../test/support/otlp-proto.ts";
import { decodeLogsJson } from "./json-logs.ts";
import { decodeMetricsJson } from "./json-metrics.ts";
import { decodeTracesJson } from "./json.ts";
import { decodeLogs } from "./logs.ts";
import { decodeMetrics } from "./metrics.ts";
import { decodeTraces } from "./traces.ts";

type Signal = "traces" | "logs" | "metrics";
const SIGNALS: readonly Signal[] = ["traces", "logs", "metrics"];
const PAIRS = SIGNALS.flatMap((sent) =>
  SIGNALS.filter((path) => path !== sent).map((path) => [sent, path] as const),
);

const DECODERS = {
  json: { traces: decodeTracesJson, logs: decodeLogsJson, metrics: decodeMetricsJson },
  pb: { traces: decodeTraces, logs: decodeLogs, metrics: decodeMetrics },
};

const LIST_NAMES = {
  traces: ["resourceSpans", "resource_spans"],
  logs: ["resourceLogs", "resource_logs"],
  metrics: ["resourceMetrics", "resource_metrics"],
} as const;

const CAPTURES = {
  traces: readTraceCaptures(),
  logs: readSignalCaptures("logs"),
  metrics: readSignalCaptures("metrics"),
};

const bytesOf = (text: string) => new TextEncoder().encode(text);

describe.each(PAIRS)("%s sent as %s", (sent, path) => {
  test("every capture is refused with the path where it belongs, in both encodings", () => {
    expect(new Set(CAPTURES[sent].map(({ encoding }) => encoding))).toEqual(
      new Set(["json", "pb"]),
    );
    for (const { encoding, body } of CAPTURES[sent]) {
      const refusal = refusalOf(() => DECODERS[encoding][path](body));
      expect(refusal.code).toBe("wrong_signal");
      expect(refusal.message).toBe(
        `the body holds ${LIST_NAMES[sent][0]} where ${LIST_NAMES[path][0]} is expected; send it to /v1/${sent}`,
      );
    }
  });

  test("an empty JSON list by either name is refused too", () => {
    for (const name of LIST_NAMES[sent]) {
      const refusal = refusalOf(() => DECODERS.json[path](bytesOf(`{"${name}":[]}`)));
      expect(refusal.code).toBe("wrong_signal");
      expect(refusal.message).toContain(name);
    }
  });
});

test.each(SIGNALS)("profiles sent as %s are refused, without a path to send them to", (path) => {
  const refusal = refusalOf(() => DECODERS.json[path](bytesOf('{"resourceProfiles":[]}')));
  expect(refusal.code).toBe("wrong_signal");
  expect(refusal.message).toContain("profiles are not received");
});

test.each(SIGNALS)("a JSON body with the list of %s is taken, whatever else it has", (path) => {
  const members = SIGNALS.map((signal) => `"${LIST_NAMES[signal][0]}":[]`);
  expect(DECODERS.json[path](bytesOf(`{${members.join(",")}}`)).warnings).toStrictEqual([]);
});

describe("protobuf bodies that resemble another signal by accident", () => {
  test("gauges alone sent as traces are refused, though each could be a span with wrong ids", () => {
    const dataPoints = [{ asInt: 1, timeUnixNano: 5n }];
    const metrics = [{ name: "a", gauge: { dataPoints } }];
    const body = encodeMetricsRequest({ resourceMetrics: [{ scopeMetrics: [{ metrics }] }] });
    expect(refusalOf(() => decodeTraces(body)).message).toContain("send it to /v1/metrics");
  });

  test("log records that were only observed are known as logs", () => {
    const logRecords = [{ observedTimeUnixNano: 5n, body: { stringValue: "x" } }];
    const body = encodeLogsRequest({ resourceLogs: [{ scopeLogs: [{ logRecords }] }] });
    for (const decode of [decodeTraces, decodeMetrics]) {
      expect(refusalOf(() => decode(body)).message).toContain("send it to /v1/logs");
    }
  });

  test("spans that are all rejected stay rejected spans", () => {
    const spans = [{ traceId: Uint8Array.of(1), name: "chat", startTimeUnixNano: 5n }];
    const body = encodeTraceRequest({ resourceSpans: [{ scopeSpans: [{ spans }] }] });
    expect(decodeTraces(body)).toMatchObject({ span_count: 0, rejected_spans: 1 });
  });

  test.each(SIGNALS)("a cut-off body of %s on its own path is never called another's", (path) => {
    for (const { encoding, body } of CAPTURES[path].slice(0, 40)) {
      if (encoding === "json") continue;
      for (let size = 1; size < Math.min(body.length, 3000); size += 7) {
        const refusal = refusalOf(() => DECODERS.pb[path](body.subarray(0, size)));
        expect(refusal.code).toBe("invalid_protobuf");
      }
    }
  });

  test("any spans are taken as traces, and as another signal never with anything kept", () => {
    fc.assert(
      fc.property(arbitraryTraceRequest, (request) => {
        const body = encodeTraceRequest(request);
        expect(unlessRefused(() => decodeTraces(body))?.rejected_spans).toBe(0);
        expect(unlessRefused(() => decodeLogs(body))?.record_count ?? 0).toBe(0);
        expect(unlessRefused(() => decodeMetrics(body))?.point_count ?? 0).toBe(0);
      }),
      { numRuns: 200 },
    );
  });
});
