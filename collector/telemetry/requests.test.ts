import { beforeEach, describe, expect, test } from "vitest";
import { PermanentError, RetryableError } from "../../schemas/errors.ts";
import { type CollectorMetrics, makeCollectorMetrics } from "../metrics.ts";
import { makeInFlightLimit } from "../receive/in-flight.ts";
import { RequestCounts, watchHolds } from "./requests.ts";

let metrics: CollectorMetrics;
let counts: RequestCounts;

beforeEach(() => {
  metrics = makeCollectorMetrics();
  counts = new RequestCounts(metrics, "http");
});

/** Samples of a metric, as Prometheus reads them. */
async function samples(name: string): Promise<string[]> {
  const text = await metrics.registry.getSingleMetricAsString(`spanledger_${name}`);
  return text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
}

const ACCEPTED = {
  accepted_items: 5,
  rejected_items: 0,
  ignored_items: 1,
  counted_calls: 2,
  message: "",
};

test("an accepted request is counted with its encoding and its items", async () => {
  counts.noteAccepted("traces", "json", ACCEPTED);
  counts.noteAnswer("traces", 200, 77);
  expect(await samples("otlp_requests_total")).toEqual([
    'spanledger_otlp_requests_total{signal="traces",transport="http",encoding="json",status="200"} 1',
  ]);
  expect(await samples("otlp_received_bytes_total")).toEqual([
    'spanledger_otlp_received_bytes_total{transport="http"} 77',
  ]);
  expect(await samples("accepted_items_total")).toEqual([
    'spanledger_accepted_items_total{signal="traces"} 5',
  ]);
  expect(await samples("otlp_refused_requests_total")).toEqual([]);
});

test("what the pipeline refuses has its reason, what the receiver refuses that of its status", async () => {
  counts.noteRefused("logs", "protobuf", 503, new RetryableError("wal_full", ""));
  counts.noteAnswer("logs", 503, 1);
  counts.noteAnswer("logs", 503, 0);
  counts.noteRefused("logs", "json", 400, new PermanentError("invalid_json", ""));
  counts.noteAnswer("logs", 400, 1);
  counts.noteAnswer("", 404, 0);
  expect(await samples("otlp_refused_requests_total")).toEqual([
    'spanledger_otlp_refused_requests_total{signal="logs",transport="http",reason="log_full"} 1',
    'spanledger_otlp_refused_requests_total{signal="logs",transport="http",reason="overloaded"} 1',
    'spanledger_otlp_refused_requests_total{signal="logs",transport="http",reason="decode"} 1',
    'spanledger_otlp_refused_requests_total{signal="",transport="http",reason="unsupported"} 1',
  ]);
  expect(await samples("otlp_requests_total")).toContain(
    'spanledger_otlp_requests_total{signal="logs",transport="http",encoding="none",status="503"} 1',
  );
});

test("senders that leave before their answer do not pile up", async () => {
  for (let request = 0; request < 1_000; request += 1) {
    counts.noteAccepted("traces", "json", ACCEPTED);
  }
  for (let request = 0; request < 100; request += 1) counts.noteAnswer("traces", 200, 0);
  const [json, none] = await samples("otlp_requests_total");
  expect(json).toMatch(/encoding="json".* 64$/);
  expect(none).toMatch(/encoding="none".* 36$/);
});

describe("what is in flight", () => {
  test("is counted until it is given back, once, and is refused as the limit says", async () => {
    const open = watchHolds(makeInFlightLimit(100), metrics);
    const [first, second] = [open(), open()];
    first.add(60);
    first.add(10);
    expect(() => second.add(40)).toThrow(RetryableError);
    expect(() => second.check(40)).toThrow(RetryableError);
    second.add(30);
    expect(await samples("otlp_in_flight_requests")).toEqual([
      "spanledger_otlp_in_flight_requests 2",
    ]);
    expect(await samples("otlp_in_flight_bytes")).toEqual(["spanledger_otlp_in_flight_bytes 100"]);
    first.release();
    first.release();
    expect(await samples("otlp_in_flight_requests")).toEqual([
      "spanledger_otlp_in_flight_requests 1",
    ]);
    expect(await samples("otlp_in_flight_bytes")).toEqual(["spanledger_otlp_in_flight_bytes 30"]);
    second.release();
    expect(await samples("otlp_in_flight_bytes")).toEqual(["spanledger_otlp_in_flight_bytes 0"]);
  });
});
