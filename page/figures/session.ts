/** One session: what it came to, how its cost built up, its calls and its traces. */
import type { SessionsAnswer } from "../../schemas/api-lists.ts";
import type { CallRow } from "../../schemas/call.ts";
import { type Answer, type Asked, useAnswer } from "../answers.ts";
import type { Option } from "../chart.ts";
import { colorOf } from "../colors.ts";
import { countColumn, durationColumn, instantColumn, textColumn, usdColumn } from "../columns.ts";
import { Figure, Legend, Tile } from "../figure.ts";
import { showCount, showDuration, showShort, showTickOf, showUsd, UNKNOWN } from "../format.ts";
import { html, useCallback, type VNode } from "../html.ts";
import { textOf, TOOLTIP } from "../series.ts";
import type { Column, TableData } from "../table.ts";
import { showInstant } from "../time.ts";
import { goTo, linkTo } from "../url.ts";
import { CallCost, CallStatus, CopyId, NO_FILTERS } from "./call-parts.ts";
import { callQueryOf } from "./call-question.ts";
import {
  MAX_SESSION_CALLS,
  type SessionCall,
  type SessionCalls,
  type SessionTrace,
  tracesOf,
  useSessionCalls,
} from "./session-calls.ts";

type Session = SessionsAnswer["sessions"][number];

/** Points up to which each one is marked. */
const MAX_MARKED = 60;

/** The part of the page that is of one session. */
export function SessionPart({
  asked,
  session_id,
}: {
  readonly asked: Asked;
  readonly session_id: string;
}): VNode {
  const { tz } = asked.range;
  const sums = useAnswer<SessionsAnswer>("/v1/analytics/sessions", { ...asked.query, limit: 1 });
  const answer = useSessionCalls(callQueryOf(asked));
  const session = sums.data?.sessions[0] ?? null;
  return html`<div class="session-head">
      <h2>Session <${CopyId} name="session_id" id=${session_id} /></h2>
      <a href=${linkTo("sessions", { session_id: null })}>All sessions</a>
    </div>
    <${SessionTiles} session=${session} is_loading=${sums.is_loading} tz=${tz} />
    <div class="grid">
      <${BuildUpFigure} answer=${answer} tz=${tz} />
      <div class="session-traces"><${TracesFigure} answer=${answer} tz=${tz} /></div>
      <${SessionCallsFigure} answer=${answer} tz=${tz} />
    </div>`;
}

interface TilesProps {
  readonly session: Session | null;
  readonly is_loading: boolean;
  readonly tz: string;
}

function SessionTiles({ session, is_loading, tz }: TilesProps): VNode {
  const show = (text: (session: Session) => string) =>
    session === null ? (is_loading ? null : UNKNOWN) : text(session);
  const at = (text: string | undefined) =>
    text === undefined ? "" : showInstant(Date.parse(text), tz);
  const unpriced = session?.coverage.calls_unpriced ?? 0;
  const { user_ids = [], models = [] } = session ?? {};
  return html`<div class="tiles session-tiles">
    <${Tile}
      title="Cost"
      value=${show(({ cost_usd }) => showUsd(cost_usd))}
      exact=${session?.cost_usd ?? undefined}
      note=${unpriced === 0 ? "US dollars" : `▲ ${showCount(unpriced)} calls without a whole price`}
    />
    <${Tile}
      title="Calls"
      value=${show(({ calls }) => showCount(calls))}
      exact=${session?.calls.toString()}
      note=${session === null ? "" : `${showCount(session.errors)} failed`}
      href=${linkTo("calls")}
    />
    <${Tile}
      title="Tokens"
      value=${show((row) => showShort((row.input_total ?? 0) + (row.output_total ?? 0)))}
      exact=${session === null ? undefined : `${session.input_total} in, ${session.output_total} out`}
      note=${session === null ? "" : `${showShort(session.input_total)} in, ${showShort(session.output_total)} out`}
    />
    <${Tile}
      title="From first to last"
      value=${show(({ duration_ns }) => showLong(duration_ns))}
      exact=${session === null ? undefined : `${session.duration_ns} ns`}
      note=${at(session?.first_seen)}
    />
    <${Tile}
      title="Users"
      value=${show(() => showCount(user_ids.length))}
      note=${user_ids.map(
        (user_id) =>
          html`<a href=${linkTo("sessions", { session_id: null, user_id })}>${user_id}</a> `,
      )}
    />
    <${Tile}
      title="Models"
      value=${show(() => showCount(models.length))}
      note=${html`<span title=${models.join("\n")}>${models.join(", ")}</span>`}
    />
  </div>`;
}

const HOUR_NS = 3_600e9;

/** A duration that may last days. */
export function showLong(ns: number): string {
  if (ns < 2 * HOUR_NS) return showDuration(ns);
  return ns < 48 * HOUR_NS
    ? `${(ns / HOUR_NS).toFixed(1)} h`
    : `${(ns / HOUR_NS / 24).toFixed(1)} days`;
}

interface PartProps {
  readonly answer: Answer<SessionCalls>;
  readonly tz: string;
}

const modelOf = ({ response_model, request_model }: CallRow) => response_model ?? request_model;

function describeCall({ number, call, running_usd }: SessionCall, tz: string): string {
  const lines = [
    `Call ${number}, ${showInstant(Date.parse(call.start_time), tz)}`,
    `${modelOf(call) ?? "model not told"}${call.status === "error" ? `: ${call.error_type ?? "failed"}` : ""}`,
    `Cost ${showUsd(call.cost_usd)}; until here ${showUsd(running_usd)}`,
  ];
  return lines.join("\n");
}

function buildUp(calls: readonly SessionCall[], tz: string): Option {
  // Floats only place the points; what is written comes from the decimal text.
  const values = calls.map(({ running_usd }) => Number(running_usd));
  return {
    xAxis: {
      type: "category",
      data: calls.map(({ number }) => String(number)),
      splitLine: { show: false },
    },
    yAxis: {
      type: "value",
      axisLabel: { formatter: (value: number) => showTickOf(value, "usd") },
    },
    tooltip: {
      ...TOOLTIP,
      trigger: "axis",
      formatter: ([point]: readonly { readonly dataIndex: number }[]) => {
        const row = calls[point?.dataIndex ?? -1];
        return textOf(row === undefined ? "" : describeCall(row, tz));
      },
    },
    series: [
      {
        name: "Cost so far",
        type: "line",
        step: "end",
        color: colorOf("cost"),
        areaStyle: { opacity: 0.12 },
        lineStyle: { width: 2 },
        showSymbol: calls.length <= MAX_MARKED,
        symbolSize: 6,
        triggerLineEvent: true,
        data: values,
      },
      {
        name: "Failed calls",
        type: "scatter",
        symbol: "diamond",
        symbolSize: 12,
        z: 5,
        itemStyle: { color: colorOf("errors"), opacity: 1 },
        data: calls.map(({ call }, index) => (call.status === "error" ? values[index] : null)),
      },
    ],
  };
}

const RUNNING: Column<SessionCall> = usdColumn(
  "running_usd",
  "So far, USD",
  ({ running_usd }) => running_usd,
);

function cutWords(is_cut: boolean): string {
  return is_cut
    ? `The newest ${showCount(MAX_SESSION_CALLS)} calls; the sum begins with them. `
    : "";
}

function BuildUpFigure({ answer, tz }: PartProps): VNode {
  const table = useCallback(
    ({ calls }: SessionCalls): TableData<SessionCall> => ({
      columns: [
        countColumn("number", "Call", ({ number }) => number),
        instantColumn("start_time", "Start", ({ call }) => call.start_time, tz),
        usdColumn("cost_usd", "Cost, USD", ({ call }) => call.cost_usd),
        RUNNING,
      ],
      rows: calls,
    }),
    [tz],
  );
  const chart = ({ calls }: SessionCalls) => ({
    makeOption: () => buildUp(calls, tz),
    onPick: ({ index }: { readonly index: number }) => {
      const picked = calls[index];
      if (picked === undefined) return;
      goTo(linkTo("call", { ...NO_FILTERS, call_id: picked.call.call_id }));
    },
  });
  const items = [
    { name: "Cost so far", color: colorOf("cost") },
    { name: "Failed calls (diamonds)", color: colorOf("errors") },
  ];
  return html`<${Figure}
    title="How the cost built up"
    subtitle="US dollars after each call, in their order"
    width="wide"
    answer=${answer}
    file="session_cost"
    table=${table}
    chart=${chart}
    label=${({ calls }: SessionCalls) =>
      `Cost after each of ${calls.length} calls, ${showUsd(calls.at(-1)?.running_usd)} in the end`}
    when_empty="The session has no calls in this range."
    footer=${({ calls, is_cut }: SessionCalls) =>
      calls.length > 0 && html`${cutWords(is_cut)}<${Legend} items=${items} />`}
  />`;
}

function traceColumn<Row>(read: (row: Row) => string): Column<Row> {
  return {
    key: "trace_id",
    title: "Trace",
    value: read,
    show: (row) => {
      const trace_id = read(row);
      return html`<a title=${trace_id} href=${linkTo("trace", { ...NO_FILTERS, trace_id })}
        >${trace_id.slice(0, 8)}…</a
      >`;
    },
  };
}

function TracesFigure({ answer, tz }: PartProps): VNode {
  const table = useCallback(
    ({ calls }: SessionCalls): TableData<SessionTrace> => ({
      columns: [
        {
          ...traceColumn<SessionTrace>(({ trace_id }) => trace_id),
          title: `Trace, from (${tz})`,
          show: ({ trace_id, start_time }) =>
            html`<a title=${trace_id} href=${linkTo("trace", { ...NO_FILTERS, trace_id })}
              >${showInstant(Date.parse(start_time), tz)}</a
            >`,
        },
        countColumn("calls", "Calls", (row) => row.calls),
        usdColumn("cost_usd", "Cost, USD", ({ cost_usd }) => cost_usd),
      ],
      rows: tracesOf(calls),
    }),
    [tz],
  );
  return html`<${Figure}
    title="Traces"
    subtitle="In the order of their first call"
    answer=${answer}
    file="session_traces"
    table=${table}
    when_empty="The session has no calls in this range."
  />`;
}

function callColumns(tz: string): readonly Column<SessionCall>[] {
  return [
    countColumn("number", "Call", ({ number }) => number),
    {
      key: "start_time",
      title: `Start (${tz})`,
      value: ({ call }) => call.start_time,
      show: ({ call: { call_id, start_time } }) =>
        html`<a href=${linkTo("call", { ...NO_FILTERS, call_id })}
          >${showInstant(Date.parse(start_time), tz)}</a
        >`,
    },
    textColumn("model", "Model", ({ call }) => modelOf(call)),
    {
      key: "status",
      title: "Status",
      value: ({ call }) => call.status,
      show: ({ call }) => html`<${CallStatus} call=${call} />`,
    },
    countColumn("input_total", "Tokens in", ({ call }) => call.input_total),
    countColumn("output_total", "Tokens out", ({ call }) => call.output_total),
    durationColumn("duration_ns", "Duration", ({ call }) => call.duration_ns),
    {
      ...usdColumn<SessionCall>("cost_usd", "Cost, USD", ({ call }) => call.cost_usd),
      show: ({ call }) => html`<${CallCost} call=${call} />`,
    },
    RUNNING,
    traceColumn(({ call }) => call.trace_id),
  ];
}

function SessionCallsFigure({ answer, tz }: PartProps): VNode {
  const table = useCallback(
    ({ calls }: SessionCalls): TableData<SessionCall> => ({
      columns: callColumns(tz),
      rows: calls,
    }),
    [tz],
  );
  return html`<${Figure}
    title="Calls"
    subtitle="The oldest first"
    width="full"
    answer=${answer}
    file="session_calls"
    table=${table}
    when_empty="The session has no calls in this range. Choose a longer one above."
    footer=${({ is_cut }: SessionCalls) => cutWords(is_cut)}
  />`;
}
