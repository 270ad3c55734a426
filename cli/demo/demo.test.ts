/** The demo through the real OpenTelemetry SDK, against a receiver of our own. */
import { afterEach, describe, expect, it } from "vitest";
import { explainBodies } from "../explain.ts";
import { runDemo } from "./demo.ts";
import { openSink, readSpans, type Sink, type SinkAnswer, type SinkRequest } from "./fixture.ts";
import { sendLive } from "./live.ts";
import { explainLoadError, loadOpenTelemetry } from "./packages.ts";
import { MAX_PROBE_MS, probeCollector } from "./probe.ts";
import { TraceSender } from "./sender.ts";
import { Totals } from "./totals.ts";
import { generateTraffic } from "./traffic.ts";

let sink: Sink | null = null;

afterEach(async () => {
  await sink?.close();
  sink = null;
});

async function openTestSink(answer?: (request: SinkRequest, index: number) => SinkAnswer) {
  sink = await openSink(answer);
  return sink;
}

async function run(
  argv: string[],
  environment: Record<string, string> = {},
): Promise<{ code: number; out: string; err: string }> {
  let out = "";
  let err = "";
  const code = await runDemo(argv, environment, {
    out: (text) => (out += text),
    err: (text) => (err += text),
  });
  return { code, out, err };
}

function plannedSpans(calls: number, seed: number): number {
  const totals = new Totals();
  const end_ms = Date.now();
  for (const trace of generateTraffic({ calls, seed, minutes: 60, end_ms })) totals.add(trace);
  return totals.spans;
}

const CALLS = ["--calls", "300", "--seed", "5"];

describe("runDemo", () => {
  it("delivers every span, each once, in the window, below its parent", async () => {
    const { endpoint, requests } = await openTestSink();
    const before_ms = Date.now();
    const { code, out, err } = await run([...CALLS, "--endpoint", endpoint, "--minutes", "30"]);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toContain("Sent 300 model calls");

    const received = readSpans(requests);
    expect(received).toHaveLength(plannedSpans(300, 5));
    const hex = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString("hex");
    const by_id = new Map(received.map((one) => [hex(one.span.spanId), one]));
    expect(by_id.size).toBe(received.length);
    for (const { span } of received) {
      expect(span.endTimeUnixNano).toBeGreaterThanOrEqual(span.startTimeUnixNano as bigint);
      expect(span.endTimeUnixNano).toBeGreaterThan(BigInt(before_ms - 30 * 60_000) * 1_000_000n);
      expect(span.endTimeUnixNano).toBeLessThanOrEqual(BigInt(Date.now()) * 1_000_000n);
      if ((span.parentSpanId ?? []).length === 0) continue;
      const parent = by_id.get(hex(span.parentSpanId))?.span;
      expect(hex(parent?.traceId)).toBe(hex(span.traceId));
      expect(parent?.startTimeUnixNano).toBeLessThanOrEqual(span.startTimeUnixNano as bigint);
      expect(parent?.endTimeUnixNano).toBeGreaterThanOrEqual(span.endTimeUnixNano as bigint);
    }
    expect(new Set(received.map(({ resource }) => resource.get("service.name"))).size).toBe(4);
    const tags = received.map(({ resource }) => resource.get("spanledger.tag.team"));
    expect(tags).not.toContain(undefined);
  });

  it("makes the ledger come to what it prints", async () => {
    const { endpoint, requests } = await openTestSink();
    const { out } = await run([...CALLS, "--endpoint", endpoint]);
    const { calls, rejected_items } = explainBodies(requests.map(({ body }) => body));
    expect(rejected_items).toBe(0);
    const ledger = new Map<string, number[]>();
    for (const call of calls) {
      const model = call.response_model ?? call.request_model ?? "";
      const refused = call.status === "error" && call.http_status !== null;
      const { cache_write, cache_write_5m, cache_read, output_reasoning } = call.tokens;
      const row = [
        1,
        call.status === "error" ? 1 : 0,
        call.usage_status === "missing" && !refused ? 1 : 0,
        call.input_total ?? 0,
        cache_read ?? 0,
        (cache_write ?? 0) + (cache_write_5m ?? 0),
        call.output_total ?? 0,
        output_reasoning ?? 0,
      ];
      const sums = ledger.get(model);
      ledger.set(model, sums === undefined ? row : row.map((value, at) => value + (sums[at] ?? 0)));
    }
    const printed = new Map(
      out
        .split("\n")
        .map((line) => line.trim().split(/ {2,}/))
        .filter((cells) => cells.length === 9 && !["model", "total"].includes(cells[0] ?? ""))
        .map(([model = "", ...cells]) => [
          model,
          cells.map((cell) => Number(cell.replaceAll(",", ""))),
        ]),
    );
    expect(printed.size).toBeGreaterThan(7);
    expect(printed).toEqual(ledger);
  });

  it("is other calls when run again with the same seed", async () => {
    const { endpoint, requests } = await openTestSink();
    await run(["--calls", "40", "--endpoint", endpoint]);
    await run(["--calls", "40", "--endpoint", endpoint]);
    const ids = readSpans(requests)
      .map(({ attributes }) => attributes.get("gen_ai.response.id"))
      .filter((id) => id !== undefined);
    expect(ids.length).toBeGreaterThan(40);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("sends the key with every request, and never prints it", async () => {
    const { endpoint, requests } = await openTestSink();
    const key = "k".repeat(24);
    const { code, out, err } = await run(["--calls", "20", "--endpoint", endpoint], {
      SPANLEDGER_API_KEY: key,
    });
    expect(code).toBe(0);
    expect(requests.length).toBeGreaterThan(1);
    for (const { headers, path } of requests) {
      expect(path).toBe("/v1/traces");
      expect(headers.authorization).toBe(`Bearer ${key}`);
    }
    expect(out + err).not.toContain(key);
    expect(out).toContain("$SPANLEDGER_API_KEY");
  });

  it("fails and says why when exports are refused", async () => {
    const { endpoint } = await openTestSink((_request, index) => ({
      status: index === 0 ? 200 : 413,
    }));
    const { code, out, err } = await run(["--calls", "20", "--endpoint", endpoint]);
    expect(code).toBe(1);
    expect(out).toContain("Tried to send 20 model calls");
    const spans = plannedSpans(20, 1);
    expect(err).toContain(`${spans} of ${spans} spans did not arrive: ${spans} failed to be sent`);
    expect(err).toContain("413");
  });

  it("stops sending when nothing arrives any more", async () => {
    const { endpoint, requests } = await openTestSink((_request, index) => ({
      status: index === 0 ? 200 : 400,
    }));
    const { code, err } = await run(["--calls", "20000", "--endpoint", endpoint]);
    expect(code).toBe(1);
    expect(err).toContain("the rest is not sent");
    expect(readSpans(requests).length).toBeLessThan(10_000);
  });

  it("counts spans that the collector rejects although it answers 200", async () => {
    // ExportTraceServiceResponse{partial_success{rejected_spans: 3, error_message: "no"}}
    const partial = Uint8Array.from([0x0a, 6, 0x08, 3, 0x12, 2, 0x6e, 0x6f]);
    const { endpoint } = await openTestSink((_request, index) =>
      index === 1 ? { status: 200, body: partial } : { status: 200 },
    );
    const { code, err } = await run(["--calls", "20", "--endpoint", endpoint]);
    expect(code).toBe(1);
    expect(err).toContain("3 were rejected by the collector");
    expect(err).toContain("  no\n");
  });

  it("explains itself, and refuses what it does not know with exit code 2", async () => {
    const help = await run(["--help"]);
    expect(help.code).toBe(0);
    expect(help.out).toContain("--endpoint URL");
    const wrong = await run(["--call", "5"]);
    expect(wrong.code).toBe(2);
    expect(wrong.err).toContain('"--call" is not an option of demo');
  });

  it("names the key when the collector does not take it", async () => {
    const { endpoint } = await openTestSink(() => ({ status: 401 }));
    const { code, err } = await run(["--endpoint", endpoint]);
    expect(code).toBe(1);
    expect(err).toContain("Set SPANLEDGER_API_KEY");
  });
});

describe("probeCollector", () => {
  it("says how to start a collector when there is none, in less than 15 seconds", async () => {
    const gone = await openSink();
    await gone.close();
    const target = { endpoint: gone.endpoint, api_key: null };
    await expect(probeCollector(target, () => {}, 0)).rejects.toThrow(/npm start/);
    expect(MAX_PROBE_MS).toBeLessThan(15_000);
  });

  it("waits for a collector that is still starting", async () => {
    const { endpoint, requests } = await openTestSink((_request, index) => ({
      status: index < 2 ? 503 : 200,
    }));
    const told: string[] = [];
    await probeCollector({ endpoint, api_key: null }, (text) => told.push(text));
    expect(requests).toHaveLength(3);
    expect(told).toHaveLength(1);
  });

  it("takes something else than a collector for what it is", async () => {
    const { endpoint } = await openTestSink(() => ({ status: 404 }));
    const target = { endpoint, api_key: null };
    await expect(probeCollector(target, () => {})).rejects.toThrow(/no OTLP\/HTTP collector/);
  });
});

describe("sendLive", () => {
  it("sends until it is stopped, and all it counted has arrived by then", async () => {
    const { endpoint, requests } = await openTestSink();
    const sender = new TraceSender(await loadOpenTelemetry(), { endpoint, api_key: null });
    const totals = new Totals();
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 1_500);
    const options = { seed: 3, calls: 3_000 };
    await sendLive({ options, sender, totals, tell: () => {}, signal: stop.signal });
    await sender.close();
    expect(readSpans(requests)).toHaveLength(totals.spans);
    expect(sender.outcome).toMatchObject({
      started_spans: totals.spans,
      acknowledged_spans: totals.spans,
    });
    // 50 calls a second; the first second's come at its end.
    expect(totals.all.calls).toBeGreaterThan(30);
    expect(totals.all.calls).toBeLessThan(200);
  });
});

describe("explainLoadError", () => {
  it("says how to get the OpenTelemetry packages when they are not installed", () => {
    const name = "@opentelemetry/is-not-installed";
    // As Node words it; the loader of the test runner has words of its own.
    const error = new Error(`Cannot find package '${name}' imported from /somewhere/x.ts`);
    Object.assign(error, { code: "ERR_MODULE_NOT_FOUND" });
    const explained = explainLoadError(error) as Error;
    expect(explained.message).toContain(`(Cannot find package '${name}')`);
    expect(explained.message).toContain('run "npm ci" without "--omit=dev"');
    expect(explained.message).not.toContain("/somewhere");
  });

  it("passes other errors through", () => {
    const error = new SyntaxError("broken");
    expect(explainLoadError(error)).toBe(error);
  });
});
