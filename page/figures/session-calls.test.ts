import { expect, test } from "vitest";
import type { CallRow } from "../../schemas/call.ts";
import { addUpCalls, tracesOf } from "./session-calls.ts";

function call(id: string, cost_usd: string | null, trace_id = "t1"): CallRow {
  const row: Partial<CallRow> = { call_id: id, cost_usd, trace_id, status: "ok", start_time: id };
  return row as CallRow;
}

test("calls come in their order, with the exact cost until then", () => {
  const rows = addUpCalls([call("c", "0.3"), call("b", null), call("a", "0.1")]);
  expect(
    rows.map(({ number, call: { call_id }, running_usd }) => [number, call_id, running_usd]),
  ).toEqual([
    [1, "a", "0.1"],
    [2, "b", "0.1"],
    [3, "c", "0.4"],
  ]);
});

test("traces stand in the order of their first call, with the sums of their own calls", () => {
  const rows = addUpCalls([
    call("d", null, "t2"),
    { ...call("c", "0.2", "t1"), status: "error" },
    call("b", null, "t2"),
    call("a", "0.1", "t1"),
  ]);
  expect(tracesOf(rows)).toEqual([
    { trace_id: "t1", start_time: "a", calls: 2, failed: 1, cost_usd: "0.3" },
    { trace_id: "t2", start_time: "b", calls: 2, failed: 0, cost_usd: null },
  ]);
});
