/** Items refused for their time: which are, why, and what is kept of them. */
import { describe, expect, test } from "vitest";
import { idBytes, makeSpan } from "../test/support/span.ts";
import { judgeTime, SET_ASIDE_COLUMNS, setAsideRow, timeBoundsAt } from "./set-aside.ts";
import { Attributes } from "./span.ts";
import type { UsageMetricPoint } from "./usage-metrics.ts";

/** 2026-11-21 00:00:00 UTC. */
const NOW_MS = 1_795_219_200_000;
const DAY_S = 86_400;
const at = (offset_s: number) => BigInt(NOW_MS) * 1_000_000n + BigInt(offset_s) * 1_000_000_000n;

describe("C18: a time", () => {
  const bounds = timeBoundsAt(NOW_MS, 396 * DAY_S, DAY_S);
  test.each([
    ["of now", at(0), null],
    ["seven days late", at(-7 * DAY_S), null],
    ["as old as is kept", at(-396 * DAY_S), null],
    ["a nanosecond older", at(-396 * DAY_S) - 1n, "too_old"],
    ["400 days late", at(-400 * DAY_S), "too_old"],
    ["of 1999", 946_684_799_999_999_999n, "before_2000"],
    ["of 1970, as a clock without a battery has", 0n, "before_2000"],
    ["as far ahead as is allowed", at(DAY_S), null],
    ["a nanosecond further", at(DAY_S) + 1n, "in_future"],
    ["in milliseconds, taken for nanoseconds", BigInt(NOW_MS), "before_2000"],
    ["the largest there is", 2n ** 64n - 1n, "in_future"],
  ] as const)("%s is judged", (_what, time_ns, reason) => {
    expect(judgeTime(time_ns, bounds)).toBe(reason);
  });

  test("before 2000 is refused however much history is allowed, and 2000 is not", () => {
    const wide = timeBoundsAt(NOW_MS, 100 * 366 * DAY_S, 0);
    expect(judgeTime(946_684_800_000_000_000n, wide)).toBeNull();
    expect(judgeTime(946_684_799_999_999_999n, wide)).toBe("before_2000");
  });
});

const SPAN = makeSpan({
  project_id: "p",
  start_ns: 5n,
  trace_id: idBytes("0102030405060708090a0b0c0d0e0f10"),
  signal: "log",
  attributes: new Attributes(["a"], ["b"]),
});

const POINT: UsageMetricPoint = {
  project_id: "p",
  metric: "gen_ai.client.token.usage",
  series: 77n,
  start_ns: 1n,
  time_ns: 2n,
  temporality: "delta",
  kind: "tokens",
  token_class: "input",
  value: 3,
  provider: "",
  model: "",
  operation: "",
  service_name: "s",
  environment: "",
  user_id: "",
  session_id: "",
  dialect: "",
  scope_name: "scope",
  attributes: new Attributes(["k"], ["v"]),
};

test("of a span or an event who sent it, what it was and its time as sent are kept", () => {
  expect(setAsideRow(SPAN, "before_2000", NOW_MS)).toEqual({
    project_id: "p",
    received_ms: NOW_MS,
    signal: "log",
    reason: "before_2000",
    trace_id: SPAN.trace_id,
    span_id: SPAN.span_id,
    series: 0n,
    service_name: "checkout",
    name: "chat gpt-4o-mini",
    sent_time_ns: 5n,
    scope_name: "test",
    attributes: SPAN.attributes,
  });
});

test("of a data point the series is kept, and there is no trace", () => {
  expect(setAsideRow(POINT, "in_future", NOW_MS)).toEqual({
    project_id: "p",
    received_ms: NOW_MS,
    signal: "metric",
    reason: "in_future",
    trace_id: new Uint8Array(16),
    span_id: new Uint8Array(8),
    series: 77n,
    service_name: "s",
    name: "gen_ai.client.token.usage",
    sent_time_ns: 2n,
    scope_name: "scope",
    attributes: POINT.attributes,
  });
});

test("every field of a row is a column", () => {
  const row = setAsideRow(SPAN, "too_old", NOW_MS);
  const names = Object.keys(row).map((name) => (name === "received_ms" ? "received_at" : name));
  expect(SET_ASIDE_COLUMNS.map(({ name }) => name).toSorted()).toEqual(
    [...names, "ingest_seq"].toSorted(),
  );
});
