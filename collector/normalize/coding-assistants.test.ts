/**
 * The captured cases of the coding assistants, signal by signal: what each says alone, held against
 * what the provider billed. Which signal counts is decided later.
 */
import { describe, expect, test } from "vitest";
import type { Span } from "../../schemas/span.ts";
import { INPUT_CLASSES, OUTPUT_CLASSES, sumClasses } from "../../schemas/tokens.ts";
import { type CorpusCase, readCorpus, type TrueTokens } from "../../test/support/corpus.ts";
import { decodeTracesJson } from "../decode/json.ts";
import { decodeLogsJson } from "../decode/json-logs.ts";
import { decodeMetricsJson } from "../decode/json-metrics.ts";
import { decodeLogs } from "../decode/logs.ts";
import { decodeMetrics } from "../decode/metrics.ts";
import { decodeTraces } from "../decode/traces.ts";
import { normalizeLogs } from "./events.ts";
import { normalizeScope } from "./normalize.ts";
import { normalizeMetrics } from "./usage-metrics.ts";

const OPTIONS = { project_id: "default", capture_content: false };

function isJson(name: string): boolean {
  return name.endsWith(".json");
}

function readLogRows({ bodies }: CorpusCase): Span[] {
  return bodies
    .filter(({ signal }) => signal === "logs")
    .map(({ name, bytes }) => (isJson(name) ? decodeLogsJson(bytes) : decodeLogs(bytes)))
    .flatMap(({ scope_logs }) => scope_logs)
    .flatMap((scope) => normalizeLogs(scope, OPTIONS).spans);
}

function readSpanRows({ bodies }: CorpusCase): Span[] {
  return bodies
    .filter(({ signal }) => signal === "traces")
    .map(({ name, bytes }) => (isJson(name) ? decodeTracesJson(bytes) : decodeTraces(bytes)))
    .flatMap(({ scope_spans }) => scope_spans)
    .flatMap((scope) => normalizeScope(scope, OPTIONS));
}

/** Sums of the deltas by class; costs as "cost_usd". */
function sumDeltas({ bodies }: CorpusCase): Map<string, number> {
  const sums = new Map<string, number>();
  const points = bodies
    .filter(({ signal }) => signal === "metrics")
    .map(({ name, bytes }) => (isJson(name) ? decodeMetricsJson(bytes) : decodeMetrics(bytes)))
    .flatMap(({ scope_metrics }) => scope_metrics)
    .flatMap((scope) => normalizeMetrics(scope, OPTIONS).points);
  for (const { kind, token_class, temporality, value } of points) {
    expect(temporality).toBe("delta");
    const key = kind === "tokens" ? token_class : kind;
    sums.set(key, (sums.get(key) ?? 0) + value);
  }
  return sums;
}

function isCall({ span_class }: Span): boolean {
  return span_class === "billable";
}

function summarize({ tokens }: Span) {
  return {
    input: sumClasses(tokens, INPUT_CLASSES),
    uncached: sumClasses(tokens, ["input_uncached"]),
    read: sumClasses(tokens, ["cache_read"]),
    output: sumClasses(tokens, OUTPUT_CLASSES),
  };
}

function billedIn({ truth }: CorpusCase): TrueTokens[] {
  return truth.calls.flatMap(({ tokens }) => (tokens === null ? [] : [tokens]));
}

const CASES = readCorpus().filter(
  ({ client, bodies }) => /^(claude-code|codex|gemini-cli)-/.test(client) && bodies.length > 0,
);

describe("the captures of coding assistants", () => {
  test("are there", () => expect(CASES.length).toBeGreaterThanOrEqual(7));

  test.each(CASES.map((item): [string, CorpusCase] => [item.id, item]))(
    "%s: each signal has the calls that were billed, and failed ones as failed",
    (_id, item) => {
      const billed = billedIn(item).map((tokens) => ({
        input: tokens.input_total,
        uncached: tokens.input_uncached,
        read: tokens.cache_read,
        output: tokens.output_total,
      }));
      const [logs, spans] = [readLogRows(item), readSpanRows(item)];
      for (const rows of [logs, spans]) {
        const calls = rows.filter(isCall);
        const answered = calls.filter(({ status }) => status !== "error");
        if (rows.length > 0) expect(answered.map(summarize)).toEqual(billed);
        const failed = calls.filter(({ status }) => status === "error");
        expect(failed.length).toBeLessThanOrEqual(item.truth.failed_http_calls);
        if (rows.length > 0 && billed.length === 0) expect(failed.length).toBeGreaterThan(0);
        for (const { http_status } of failed) expect(http_status).toBeGreaterThanOrEqual(400);
      }
      expect(logs.length).toBeGreaterThan(0);
    },
  );

  const answered = CASES.filter(
    (item) => billedIn(item).length > 0 && item.bodies.some(({ signal }) => signal === "metrics"),
  );

  test.each(answered.map((item): [string, CorpusCase] => [item.id, item]))(
    "%s: the deltas of the metrics add up to what was billed",
    (_id, item) => {
      const sums = sumDeltas(item);
      const [truth] = billedIn(item);
      expect(sums.get("output")).toBe(truth?.output_total);
      expect(sums.get("cache_read")).toBe(truth?.cache_read);
      expect(sums.get("cache_write")).toBe(truth?.cache_write);
      if (item.client.startsWith("claude-code")) {
        expect(sums.get("input")).toBe(truth?.input_uncached);
        expect(sums.get("cost_usd")).toBe(0.002925);
      } else {
        expect(sums.get("input")).toBe(truth?.input_total);
        expect(sums.get("reasoning")).toBe(truth?.reasoning_output);
      }
    },
  );
});
