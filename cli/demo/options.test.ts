/** The words behind `spanledger demo`, and the sums and texts of its report. */
import { describe, expect, it } from "vitest";
import { MAX_CALLS, parseOptions } from "./options.ts";
import type { DemoCall, PlannedSpan, PlannedTrace } from "./plan.ts";
import { formatCount, formatFailure, formatTotals, lookCommand } from "./report.ts";
import { Totals } from "./totals.ts";

const DEFAULTS = {
  endpoint: "http://127.0.0.1:4318",
  minutes: 60,
  calls: 1_000,
  seed: 1,
  live: false,
};

describe("parseOptions", () => {
  it("has a default for everything", () => {
    expect(parseOptions([])).toEqual({ kind: "options", options: DEFAULTS });
  });

  it("takes values behind a space or an equals sign", () => {
    const parsed = parseOptions(["--calls", "5", "--seed=9", "--minutes", "90"]);
    const options = { ...DEFAULTS, calls: 5, seed: 9, minutes: 90 };
    expect(parsed).toEqual({ kind: "options", options });
  });

  it.each(["https://otlp.example/", "https://otlp.example/v1/traces", "https://otlp.example"])(
    "makes a base URL of %s",
    (url) => {
      const options = { ...DEFAULTS, endpoint: "https://otlp.example" };
      expect(parseOptions(["--endpoint", url])).toEqual({ kind: "options", options });
    },
  );

  it.each([
    [["--nope"], '"--nope" is not an option of demo'],
    [["calls"], '"calls" is not an option of demo'],
    [["--calls"], "--calls needs a value"],
    [["--calls", "0"], `--calls must be a whole number from 1 to ${MAX_CALLS}`],
    [["--calls", "1e3"], `--calls must be a whole number from 1 to ${MAX_CALLS}`],
    [["--calls=1000001"], `--calls must be a whole number from 1 to ${MAX_CALLS}`],
    [["--seed", "-1"], "--seed must be a whole number from 0 to 4294967295"],
    [["--endpoint", "localhost:4318"], "--endpoint must be a URL such as http://127.0.0.1:4318"],
    [
      ["--endpoint", "http://a:b@host"],
      "--endpoint must be a plain URL; a key goes into SPANLEDGER_API_KEY",
    ],
    [["--live", "--minutes", "5"], "--minutes lays down history, which --live does not"],
  ])("refuses %j in words", (argv, problem) => {
    expect(parseOptions(argv)).toEqual({ kind: "problem", problem });
  });
});

function callSpan(call: DemoCall | null, children: PlannedSpan[] = []): PlannedSpan {
  return {
    name: "x",
    kind: "client",
    scope: { name: "x", version: "1" },
    offset_ns: 0n,
    duration_ns: 1n,
    attributes: [],
    response_id_prefix: null,
    error_message: null,
    call,
    children,
  };
}

function traceOf(root: PlannedSpan): PlannedTrace {
  const deployment = { service_name: "s", environment: "e", attributes: [] };
  return { deployment, start_ns: 0n, root };
}

const USAGE = {
  input_uncached: 100,
  cache_read: 20,
  cache_write_5m: 3,
  output_text: 7,
  output_reasoning: 5,
};

function failed(http_status: number | null): DemoCall {
  return { model: "b", usage: null, failure: { error_type: "x", http_status, message: "x" } };
}

function someTotals(): Totals {
  const totals = new Totals();
  const answered = { model: "a", usage: USAGE, failure: null };
  totals.add(traceOf(callSpan(null, [callSpan(answered), callSpan(answered)])));
  totals.add(traceOf(callSpan(failed(429))));
  totals.add(traceOf(callSpan(failed(null))));
  totals.add(traceOf(callSpan({ model: "a", usage: null, failure: null })));
  return totals;
}

describe("Totals", () => {
  it("adds calls up by model and counts refused calls as errors, not as missing usage", () => {
    const totals = someTotals();
    expect(totals.traces).toBe(4);
    expect(totals.spans).toBe(6);
    expect(totals.byModel()).toEqual([
      [
        "a",
        {
          calls: 3,
          errors: 0,
          calls_missing_usage: 1,
          input_total: 246,
          cache_read: 40,
          cache_write: 6,
          output_total: 24,
          output_reasoning: 10,
        },
      ],
      ["b", expect.objectContaining({ calls: 2, errors: 2, calls_missing_usage: 1 })],
    ]);
    expect(totals.all).toMatchObject({ calls: 5, errors: 2, input_total: 246, output_total: 24 });
  });
});

describe("the report", () => {
  it("puts commas between thousands", () => {
    expect([0, 999, 1_000, 1_234_567].map(formatCount)).toEqual(["0", "999", "1,000", "1,234,567"]);
  });

  it("lines the columns of the table up", () => {
    const lines = formatTotals(someTotals()).trimEnd().split("\n");
    expect(lines.map((line) => line.split(/ {2,}/)[0])).toEqual(["model", "a", "b", "total"]);
    expect(new Set(lines.map((line) => line.length)).size).toBe(1);
  });

  it("asks the API for the whole window when that is longer than its default", () => {
    const end_ms = Date.UTC(2026, 10, 20, 12);
    const hour = { start_ms: end_ms - 3_600_000, end_ms };
    const week = { start_ms: end_ms - 7 * 86_400_000, end_ms };
    const usage = "http://127.0.0.1:8080/v1/usage?group_by=model";
    expect(lookCommand(hour, DEFAULTS, false)).toBe(`curl '${usage}'`);
    expect(lookCommand(week, DEFAULTS, false)).toBe(`curl '${usage}&from=2026-11-13T12:00:00Z'`);
    expect(lookCommand(hour, DEFAULTS, true)).toBe(
      `curl -H "Authorization: Bearer $SPANLEDGER_API_KEY" '${usage}'`,
    );
  });

  it("says nothing when all arrived, and accounts for every span when not", () => {
    const outcome = {
      started_spans: 10,
      acknowledged_spans: 10,
      failed_spans: 0,
      rejected_spans: 0,
      reasons: new Set<string>(),
    };
    expect(formatFailure(outcome)).toBeNull();
    const broken = { ...outcome, acknowledged_spans: 3, failed_spans: 4, rejected_spans: 2 };
    expect(formatFailure({ ...broken, reasons: new Set(["disk full"]) })).toBe(
      "7 of 10 spans did not arrive: 4 failed to be sent, 2 were rejected by the collector, " +
        "1 got lost in the SDK. The ledger may hold less than this table.\n  disk full\n",
    );
  });
});
