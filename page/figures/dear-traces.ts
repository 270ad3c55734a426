/** The traces that cost most, each with the way to its waterfall. */
import type { TraceRow, TracesAnswer } from "../../schemas/api-traces.ts";
import { type Asked, useAnswer } from "../answers.ts";
import {
  countColumn,
  durationColumn,
  instantColumn,
  linkColumn,
  mostUsd,
  shortColumn,
  textColumn,
  usdColumn,
} from "../columns.ts";
import { Figure } from "../figure.ts";
import { UNKNOWN } from "../format.ts";
import { html, useCallback, type VNode } from "../html.ts";
import type { Column, TableData } from "../table.ts";
import { linkTo } from "../url.ts";
import { listQuery } from "./pager.ts";

/** Traces that are shown. */
const MAX_ROWS = 10;

/** The first of several names, and how many there are beside; all of them are the tooltip. */
function namesColumn(
  key: string,
  title: string,
  read: (row: TraceRow) => readonly string[],
): Column<TraceRow> {
  return {
    key,
    title,
    value: (row) => read(row).join(", "),
    show: (row) => {
      const [first, ...others] = read(row);
      const more = others.length === 0 ? "" : ` +${others.length}`;
      return html`<span title=${read(row).join(", ")}>${first ?? UNKNOWN}${more}</span>`;
    },
  };
}

/** The figure; it asks by itself. */
export function DearTracesFigure({ asked }: { readonly asked: Asked }): VNode {
  const { tz } = asked.range;
  const answer = useAnswer<TracesAnswer>("/v1/traces", {
    ...listQuery(asked, null),
    order_by: "cost",
    limit: MAX_ROWS,
  });
  const table = useCallback(
    ({ traces }: TracesAnswer): TableData<TraceRow> => {
      const readCost = ({ cost_usd }: TraceRow) => cost_usd;
      return {
        columns: [
          linkColumn("trace_id", "Trace", ({ name, trace_id }) => name ?? trace_id, {
            view: "trace",
            patch: ({ trace_id }) => ({ trace_id }),
          }),
          usdColumn("cost_usd", "Cost, USD", readCost, {
            most: mostUsd(traces, readCost),
            coverage: ({ coverage }) => coverage,
          }),
          countColumn("calls", "Calls", ({ calls }) => calls),
          shortColumn("input_total", "Tokens in", ({ input_total }) => input_total),
          durationColumn("duration_ns", "Duration", ({ duration_ns }) => duration_ns),
          textColumn("service_name", "Service", ({ service_name }) => service_name),
          instantColumn("start_time", "Start", ({ start_time }) => start_time, tz),
          namesColumn("users", "Users", ({ users }) => users),
          namesColumn("models", "Models", ({ models }) => models),
        ],
        rows: traces,
      };
    },
    [tz],
  );
  return html`<${Figure}
    title="Dearest traces"
    subtitle="Those whose first span starts in the range"
    width="full"
    answer=${answer}
    file="dearest-traces"
    table=${table}
    when_empty="No trace in this range has calls."
    footer=${() => html`<a href=${linkTo("traces", { order_by: "cost" })}>All traces by cost</a>`}
  />`;
}
