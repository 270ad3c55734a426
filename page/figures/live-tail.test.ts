import { expect, test } from "vitest";
import type { CallRow } from "../../schemas/call.ts";
import { fitsFilters, LiveTail, MAX_LISTED } from "./live-tail.ts";

function call(id: number, more: Partial<CallRow> = {}): CallRow {
  const row: Partial<CallRow> = {
    call_id: `call-${id}`,
    status: "ok",
    cost_status: "priced",
    cost_usd: "0.1",
    input_total: 10,
    output_total: 1,
    request_model: "asked",
    response_model: null,
    ...more,
  };
  return row as CallRow;
}

function frame(calls: readonly CallRow[], withdrawn: readonly string[] = [], left_out = 0) {
  const stamp = { kind: "calls", id: "1.1.1", time: "2026-11-21T12:00:00.000Z" } as const;
  return { ...stamp, calls: [...calls], withdrawn: [...withdrawn], left_out };
}

test("sums of money are exact: ten times a tenth is one", () => {
  const tail = new LiveTail(() => true);
  tail.add(frame(Array.from({ length: 10 }, (_, index) => call(index))));
  expect(tail.totals.cost_usd).toBe("1");
  expect(tail.totals.calls).toBe(10);
});

test("a call that changes counts once, as it was told last", () => {
  const tail = new LiveTail(() => true);
  tail.add(frame([call(1, { cost_usd: null, cost_status: "unpriced" }), call(2)]));
  expect(tail.totals).toMatchObject({ calls: 2, cost_usd: "0.1", unpriced: 1 });
  tail.add(frame([call(1, { cost_usd: "0.25", status: "error" })]));
  expect(tail.totals).toMatchObject({ calls: 2, cost_usd: "0.35", unpriced: 0, failed: 1 });
  expect(tail.rows.map(({ call_id }) => call_id)).toEqual(["call-1", "call-2"]);
});

test("the call that arrived last is on top with when it was told, though it began before", () => {
  const tail = new LiveTail(() => true);
  tail.add(frame([call(1, { start_time: "2026-11-21T11:59:58Z" })]));
  tail.add({
    ...frame([call(2, { start_time: "2026-10-21T11:00:00Z" })]),
    time: "2026-11-21T12:00:05.000Z",
  });
  expect(tail.rows.map(({ call_id, arrived_at }) => [call_id, arrived_at])).toEqual([
    ["call-2", "2026-11-21T12:00:05.000Z"],
    ["call-1", "2026-11-21T12:00:00.000Z"],
  ]);
});

test("a call that is withdrawn leaves the list and the sums", () => {
  const tail = new LiveTail(() => true);
  tail.add(frame([call(1), call(2)]));
  tail.add(frame([], ["call-1", "never-seen"]));
  expect(tail.totals).toMatchObject({ calls: 1, cost_usd: "0.1", input_total: 10 });
  expect(tail.rows).toHaveLength(1);
});

test("the list has an end, and the sums go on", () => {
  const tail = new LiveTail(() => true);
  for (let id = 0; id < MAX_LISTED + 100; id += 1) tail.add(frame([call(id)]));
  expect(tail.rows).toHaveLength(MAX_LISTED);
  expect(tail.rows[0]?.call_id).toBe(`call-${MAX_LISTED + 99}`);
  expect(tail.totals.calls).toBe(MAX_LISTED + 100);
});

test("a call that no longer fits the filters leaves", () => {
  const tail = new LiveTail(({ status }) => status === "ok");
  tail.add(frame([call(1)]));
  tail.add(frame([call(1, { status: "error" })]));
  expect(tail.totals.calls).toBe(0);
  expect(tail.rows).toEqual([]);
});

test("what the server could not tell is counted, and told when it is not known", () => {
  const tail = new LiveTail(() => true);
  tail.add(frame([], [], 7));
  tail.add({ ...frame([]), left_out: null });
  expect([tail.left_out, tail.is_unsure]).toEqual([7, true]);
});

test.each([
  ["model=asked", true],
  ["model=other", false],
  ["model=other&model=asked", true],
  ["user_id=", true],
  ["user_id=ann", false],
  ["model=asked&user_id=ann", false],
  ["range=7d", true],
])("filters of the address choose calls: %s", (query, fits) => {
  const row = call(1, { user_id: null });
  expect(fitsFilters(row, new URLSearchParams(query))).toBe(fits);
});

test("the model that answered comes before the one asked for", () => {
  const row = call(1, { response_model: "answered" });
  expect(fitsFilters(row, new URLSearchParams("model=answered"))).toBe(true);
  expect(fitsFilters(row, new URLSearchParams("model=asked"))).toBe(false);
  expect(fitsFilters(row, new URLSearchParams("request_model=asked"))).toBe(true);
});
