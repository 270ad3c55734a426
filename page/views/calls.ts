/** The rows of the ledger, newest first, page by page, and the sums of all that the filters let through. */
import type { CallsAnswer } from "../../schemas/api.ts";
import type { UsageAnswer } from "../../schemas/api-usage.ts";
import type { CallRow } from "../../schemas/call.ts";
import { type Asked, useAnswer, useAsked } from "../answers.ts";
import { countColumn, durationColumn, textColumn } from "../columns.ts";
import { addUsd } from "../money.ts";
import { CoverageBadge, Figure } from "../figure.ts";
import { CallCost, CallStatus, shortenId, tellTokens } from "../figures/call-parts.ts";
import { ExportCalls } from "../figures/calls-export.ts";
import { listQuery, Pager } from "../figures/pager.ts";
import { CLASS_TITLES, TOKEN_CLASS_NAMES } from "../figures/usage.ts";
import { chosen, FilterBar, ParamChoice } from "../filters.ts";
import { showCount, showShort, showUsd, UNKNOWN } from "../format.ts";
import { html, useCallback, useMemo, useRef, type VNode } from "../html.ts";
import type { Column, TableData } from "../table.ts";
import { showInstant } from "../time.ts";
import { linkTo, setParams, useParams, type ViewName } from "../url.ts";

/** Rows of a page: about 170 kB. */
const PAGE_ROWS = 100;
const MIN_HEIGHT = 420;

const STATUS_CHOICES = [
  ["", "Good and failed"],
  ["ok", "Good only"],
  ["error", "Failed only"],
] as const;
const TOKEN_CHOICES = [
  ["totals", "Tokens in and out"],
  ["classes", "Tokens by class"],
] as const;

/** The view. */
export function CallsView(): VNode {
  const params = useParams();
  const asked = useAsked();
  const cursor = params.get("cursor");
  const status = chosen(params, "status", STATUS_CHOICES);
  const trace_id = params.get("trace_id");
  const by_class = chosen(params, "tokens", TOKEN_CHOICES) === "classes";
  const { tz } = asked.range;
  const filters = { status: status === "" ? null : status, trace_id };
  const answer = useAnswer<CallsAnswer>("/v1/calls", {
    ...listQuery(asked, cursor),
    ...filters,
    limit: PAGE_ROWS,
  });
  const table = useCallback(
    ({ calls }: CallsAnswer): TableData<CallRow> => ({
      columns: callColumns(tz, by_class ? classColumns(calls) : totalColumns()),
      rows: calls,
    }),
    [tz, by_class],
  );
  // Not the instants of the range, which move on while an export is under way.
  const key = new URLSearchParams(params);
  key.delete("cursor");
  const exported = useMemo(() => exportColumns(tz), [tz]);
  const footer = ({ calls, from, to, next_cursor }: CallsAnswer) =>
    html`<${Pager}
      ...${{ noun: "calls", rows: calls.length, cursor, next_cursor, from, to, tz }}
    />`;
  return html`<${FilterBar} />
    <div class="filters" role="group" aria-label="More filters">
      <${ParamChoice} name="status" title="Status" choices=${STATUS_CHOICES} />
      <${TraceFilter} trace_id=${trace_id} />
      <${ParamChoice} name="tokens" title="" choices=${TOKEN_CHOICES} />
    </div>
    <${Summary} ...${{ asked, cursor, status, trace_id, page: answer.data }} />
    <div class="dense">
      <${Figure}
        title="Calls"
        subtitle="Newest first; each counts once"
        answer=${answer}
        file="calls-of-this-page"
        aside=${html`<${ExportCalls}
          key=${key.toString()}
          query=${{ ...listQuery(asked, null), ...filters }}
          columns=${exported}
        />`}
        table=${table}
        can_sort=${false}
        height=${MIN_HEIGHT}
        when_empty=${cursor === null ? "No call in this range fits." : "No more calls."}
        footer=${footer}
      />
    </div>`;
}

function TraceFilter({ trace_id }: { readonly trace_id: string | null }): VNode {
  const input = useRef<HTMLInputElement>(null);
  const apply = (event: Event) => {
    event.preventDefault();
    const text = (input.current?.value ?? "").trim();
    setParams({ trace_id: text === "" ? null : text, cursor: null });
  };
  if (trace_id !== null) {
    return html`<span class="chip">
      <span
        >Trace: <a href=${linkTo("trace", { trace_id })}><b>${trace_id}</b></a></span
      >
      <button
        aria-label="Remove filter Trace"
        onClick=${() => setParams({ trace_id: null, cursor: null })}
      >
        ×
      </button>
    </span>`;
  }
  return html`<form class="custom-range" onSubmit=${apply}>
    <label class="field"
      ><span class="field-title">Trace</span>
      <input
        ref=${input}
        pattern="\\s*[0-9a-fA-F]{32}\\s*"
        title="32 hexadecimal digits"
        placeholder="trace_id"
        autocomplete="off"
        spellcheck=${false}
    /></label>
    <button>Filter</button>
  </form>`;
}

interface SummaryProps {
  readonly asked: Asked;
  readonly cursor: string | null;
  readonly status: string;
  readonly trace_id: string | null;
  readonly page: CallsAnswer | null;
}

interface Sums {
  readonly calls: number;
  readonly errors: number;
  readonly input_total: number | null;
  readonly output_total: number | null;
  readonly cost_usd: string | null;
}

/** Sums of all calls that fit; of one trace, which usage is not asked by, those of the page. */
function Summary({ asked, cursor, status, trace_id, page }: SummaryProps): VNode {
  // Later pages keep the range of the first one: their answer says which.
  const range = cursor === null ? {} : { from: page?.from, to: page?.to };
  const can_ask = trace_id === null && (cursor === null || page !== null);
  const { data, problem } = useAnswer<UsageAnswer>(can_ask ? "/v1/usage" : null, {
    ...asked.query,
    ...range,
    status: status === "" ? null : status,
    measures: "calls,errors,input_total,output_total,cost_usd",
  });
  if (problem !== null) {
    return html`<p class="summary problem-line" role="alert">Sums: ${problem.message}</p>`;
  }
  const sums: Sums | null =
    trace_id === null ? sumsOf(data) : page === null ? null : sumCalls(page.calls);
  const scope = trace_id === null ? "All that fit" : "On this page";
  return html`<p class="summary" aria-live="polite">
    <span>${scope}:</span>
    <${Item} words="calls" text=${showCount(sums?.calls)} exact=${sums?.calls} />
    <${Item} words="failed" text=${showCount(sums?.errors)} exact=${sums?.errors} />
    <${Item} words="tokens in" text=${showShort(sums?.input_total)} exact=${sums?.input_total} />
    <${Item} words="tokens out" text=${showShort(sums?.output_total)} exact=${sums?.output_total} />
    <${Item} words="US dollars" text=${showUsd(sums?.cost_usd)} exact=${sums?.cost_usd} />
    ${trace_id === null && data !== null && html`<${CoverageBadge} coverage=${data.coverage} />`}
  </p>`;
}

function Item({
  words,
  text,
  exact,
}: {
  readonly words: string;
  readonly text: string;
  readonly exact: string | number | null | undefined;
}): VNode {
  return html`<span
    ><b title=${exact ?? UNKNOWN} data-exact=${exact ?? ""}>${text}</b> ${words}</span
  >`;
}

function sumsOf(data: UsageAnswer | null): Sums | null {
  if (data === null) return null;
  const { calls = 0, errors = 0, input_total, output_total, cost_usd } = data.totals;
  return {
    calls,
    errors,
    input_total: input_total ?? null,
    output_total: output_total ?? null,
    cost_usd: cost_usd ?? null,
  };
}

function sumCalls(calls: readonly CallRow[]): Sums {
  const sum = (read: (call: CallRow) => number | null) => {
    const known = calls.map(read).filter((value) => value !== null);
    return known.length === 0 ? null : known.reduce((total, value) => total + value, 0);
  };
  return {
    calls: calls.length,
    errors: calls.filter(({ status }) => status === "error").length,
    input_total: sum(({ input_total }) => input_total),
    output_total: sum(({ output_total }) => output_total),
    cost_usd: addUsd(...calls.map(({ cost_usd }) => cost_usd)),
  };
}

function callColumns(tz: string, tokens: readonly Column<CallRow>[]): Column<CallRow>[] {
  return [
    {
      key: "start_time",
      title: `Time (${tz})`,
      value: ({ start_time }) => start_time,
      show: ({ start_time, call_id }) =>
        html`<a href=${linkTo("call", { call_id })}>${showInstant(Date.parse(start_time), tz)}</a>`,
    },
    textColumn("model", "Model", (call) => call.response_model ?? call.request_model),
    idColumn("service_name", "Service", "calls"),
    idColumn("user_id", "User", "calls"),
    ...tokens,
    {
      key: "cost_usd",
      title: "Cost, USD",
      value: ({ cost_usd }) => cost_usd,
      show: (call) => html`<${CallCost} call=${call} />`,
      is_number: true,
    },
    durationColumn("duration_ns", "Duration", ({ duration_ns }) => duration_ns),
    durationColumn("ttft_ns", "First token", ({ ttft_ns }) => ttft_ns),
    {
      key: "status",
      title: "Status",
      value: ({ status }) => status,
      show: (call) => html`<${CallStatus} call=${call} />`,
    },
    {
      key: "trace_id",
      title: "Trace",
      value: ({ trace_id }) => trace_id,
      show: ({ trace_id, span_id }) =>
        html`<a href=${linkTo("trace", { trace_id, span_id })} title=${trace_id}
          >${trace_id.slice(0, 8)}…</a
        >`,
    },
    textColumn("provider", "Provider", ({ provider }) => provider),
    textColumn("operation", "Operation", ({ operation }) => operation),
    idColumn("session_id", "Session", "sessions"),
    textColumn("error_type", "Error type", ({ error_type }) => error_type),
    textColumn("http_status", "HTTP", ({ http_status }) => http_status),
    textColumn("usage_status", "Usage is", ({ usage_status }) => usage_status),
    textColumn("cost_status", "Cost is", ({ cost_status }) => cost_status),
    textColumn("price_id", "Price", ({ price_id }) => price_id),
  ];
}

/** The columns of the CSV of all calls: those of the table with all tokens, and the ids. */
function exportColumns(tz: string): Column<CallRow>[] {
  const classes = TOKEN_CLASS_NAMES.map((name) =>
    countColumn<CallRow>(`tokens_${name}`, CLASS_TITLES[name], ({ tokens }) => tokens[name]),
  );
  return [
    textColumn("call_id", "Call", ({ call_id }) => call_id),
    ...callColumns(tz, [...totalColumns(), ...classes]),
  ];
}

/** A value that leads to what else it has; long ones are cut. */
function idColumn(
  name: "service_name" | "user_id" | "session_id",
  title: string,
  view: ViewName,
): Column<CallRow> {
  return {
    key: name,
    title,
    value: (call) => call[name],
    show: (call) => {
      const id = call[name];
      if (id === null) return UNKNOWN;
      return html`<a href=${linkTo(view, { [name]: id })} title=${id}>${shortenId(id)}</a>`;
    },
  };
}

function totalColumns(): Column<CallRow>[] {
  const show = (side: "input_total" | "output_total", isOf: (name: string) => boolean) =>
    function showTokens(call: CallRow): VNode {
      return html`<span title=${tellTokens(call, isOf)}>${showCount(call[side])}</span>`;
    };
  const is_out = (name: string) => name.startsWith("output_");
  return [
    {
      ...countColumn<CallRow>("input_total", "Tokens in", ({ input_total }) => input_total),
      show: show("input_total", (name) => !is_out(name)),
    },
    {
      ...countColumn<CallRow>("output_total", "Tokens out", ({ output_total }) => output_total),
      show: show("output_total", is_out),
    },
  ];
}

/** The classes that some call of the page has. */
function classColumns(calls: readonly CallRow[]): Column<CallRow>[] {
  const known = TOKEN_CLASS_NAMES.filter((name) =>
    calls.some(({ tokens }) => tokens[name] !== null),
  );
  return known.map((name) =>
    countColumn(`tokens_${name}`, CLASS_TITLES[name], ({ tokens }) => tokens[name]),
  );
}
