/** One trace: its spans over time, what each of them cost, and the chosen one in all detail. */
import type { TraceTreeAnswer } from "../../schemas/api-traces.ts";
import { type Answer, lookAgain, useAnswer } from "../answers.ts";
import { countColumn, mostUsd, shortColumn, textColumn, usdColumn } from "../columns.ts";
import { Figure, Legend, ProblemBox, Tile } from "../figure.ts";
import { CopyId, FindById, NO_FILTERS } from "../figures/call-parts.ts";
import { SpanDetails } from "../figures/span-details.ts";
import {
  costByModel,
  layoutTrace,
  listRows,
  MAX_TREE_SPANS,
  type ModelCost,
  SPAN_KINDS,
  type TraceNode,
  type TraceTree,
} from "../figures/trace-layout.ts";
import { colorOfKind, KIND_TITLES, Waterfall } from "../figures/waterfall.ts";
import { showCount, showDuration, showShort, showUsd, UNKNOWN } from "../format.ts";
import { html, useCallback, useMemo, type VNode } from "../html.ts";
import type { Column, TableData } from "../table.ts";
import { dayIn, showInstant, zoneOf } from "../time.ts";
import { linkTo, useParams } from "../url.ts";

const MIN_HEIGHT = 300;
const DAY_MS = 86_400_000;
const PLACEHOLDER = "32 hexadecimal digits";

/** The view. */
export function TraceView(): VNode {
  const params = useParams();
  const trace_id = params.get("trace_id");
  const path = trace_id === null ? null : `/v1/traces/${encodeURIComponent(trace_id)}`;
  const answer = useAnswer<TraceTreeAnswer>(path, {
    project: params.get("project"),
    detail: "tree",
    limit: MAX_TREE_SPANS,
  });
  const { data, problem, reload } = answer;
  const tree = useMemo(() => (data === null ? null : layoutTrace(data)), [data]);
  const find = { name: "trace_id", title: "Find a trace", placeholder: PLACEHOLDER } as const;
  if (trace_id === null) {
    return html`<${FindById} ...${find} words="A trace is named by its trace id." />`;
  }
  if (problem !== null && (problem.status === 404 || problem.status === 400)) {
    const words = `${problem.message} It may be of another project, or older than what is kept.`;
    return html`<${FindById} ...${find} title=${`Not found: ${trace_id}`} words=${words} />`;
  }
  if (problem !== null) return html`<${ProblemBox} problem=${problem} reload=${reload} />`;
  const chosen = params.get("span_id");
  const node = tree?.nodes.find(({ key }) => key === chosen) ?? null;
  return html`<${Heading} trace_id=${trace_id} trace=${data} />
    <${Tiles} trace=${data} />
    <div class=${node === null ? "trace-parts" : "trace-parts has-details"}>
      <${WaterfallFigure} answer=${answer} tree=${tree} chosen=${node?.key ?? null} />
      ${
        node !== null &&
        data !== null &&
        html`<${SpanDetails}
          trace_id=${data.trace_id}
          trace_start=${data.start_time}
          node=${node}
        />`
      }
    </div>
    <div class="grid"><${ModelsFigure} answer=${answer} /></div>`;
}

interface TraceProps {
  readonly trace: TraceTreeAnswer | null;
}

/** Id, start, and the ways to what is around it. */
function Heading({ trace_id, trace }: TraceProps & { readonly trace_id: string }): VNode {
  const tz = zoneOf(useParams());
  const start_ms = trace === null ? 0 : Date.parse(trace.start_time);
  const end_ms = start_ms + (trace?.duration_ns ?? 0) / 1e6;
  // The list of calls has a range: the days of the trace.
  const days = {
    range: null,
    from: dayIn(tz, start_ms),
    to: new Date(Date.parse(dayIn(tz, end_ms)) + DAY_MS).toISOString().slice(0, 10),
  };
  const of = (read: (call: Call) => string | null) => namesOf(trace, read);
  return html`<div class="id-line">
    <p>${trace === null ? " " : `Started ${showInstant(start_ms, tz)} (${tz})`}</p>
    <p><${CopyId} name="trace_id" id=${trace_id} /></p>
    <p class="links">
      <a href=${linkTo("calls", { ...NO_FILTERS, ...days, trace_id })}>Its calls</a>
      ${of(({ session_id }) => session_id).map(
        (session_id) =>
          html`<a href=${linkTo("sessions", { ...NO_FILTERS, session_id })}
            >Session ${session_id}</a
          >`,
      )}
      ${of(({ user_id }) => user_id).map(
        (user_id) =>
          html`<a href=${linkTo("calls", { ...NO_FILTERS, user_id })}>Calls of ${user_id}</a>`,
      )}
      <button class="tool" onClick=${lookAgain}>↻ Look again</button>
    </p>
  </div>`;
}

type Call = NonNullable<TraceTreeAnswer["spans"][number]["call"]>;
/** Users and sessions that are linked. */
const MAX_NAMES = 5;

function namesOf(trace: TraceTreeAnswer | null, read: (call: Call) => string | null): string[] {
  const names = (trace?.spans ?? []).flatMap(({ call }) => (call === null ? [] : [read(call)]));
  return [...new Set(names.filter((name) => name !== null))].slice(0, MAX_NAMES);
}

function Tiles({ trace }: TraceProps): VNode {
  const show = (text: (trace: TraceTreeAnswer) => string) => (trace === null ? null : text(trace));
  const totals = trace?.totals ?? null;
  return html`<div class="tiles trace-tiles">
    <${Tile}
      title="Cost"
      value=${show(({ totals }) => showUsd(totals.cost_usd))}
      exact=${totals?.cost_usd ?? undefined}
    />
    <${Tile}
      title="Calls"
      value=${show(({ totals }) => showCount(totals.calls))}
      note=${totals === null ? "" : `${showCount(totals.errors)} failed`}
    />
    <${Tile}
      title="Tokens in"
      value=${show(({ totals }) => showShort(totals.input_total))}
      exact=${totals?.input_total ?? undefined}
    />
    <${Tile}
      title="Tokens out"
      value=${show(({ totals }) => showShort(totals.output_total))}
      exact=${totals?.output_total ?? undefined}
    />
    <${Tile} title="Duration" value=${show(({ duration_ns }) => showDuration(duration_ns))} />
    <${Tile}
      title="Spans"
      value=${show(({ span_count }) => showCount(span_count))}
      note=${trace === null ? "" : noteCut(trace)}
    />
  </div>`;
}

function noteCut({ truncated, span_count, spans }: TraceTreeAnswer): string {
  if (truncated) return "the first ones; there are more";
  return spans.length < span_count ? `${showCount(spans.length)} are shown` : "";
}

interface WaterfallFigureProps {
  readonly answer: Answer<TraceTreeAnswer>;
  readonly tree: TraceTree | null;
  readonly chosen: string | null;
}

function WaterfallFigure({ answer, tree, chosen }: WaterfallFigureProps): VNode {
  const table = useCallback(
    (): TableData<TraceNode> => ({
      columns: NODE_COLUMNS,
      rows: tree === null ? [] : listRows(tree, () => true),
    }),
    [tree],
  );
  const asked = useParams().get("span_id");
  const footer = (trace: TraceTreeAnswer) =>
    html`<${Legend}
        items=${SPAN_KINDS.map((kind) => ({ name: KIND_TITLES[kind], color: colorOfKind(kind) }))}
      />
      ${
        asked !== null &&
        chosen === null &&
        html`<p class="caution">
          ▲ The span ${asked} is not among those shown:${" "}<a
            href=${linkTo("call", { call_id: `${trace.trace_id}-${asked}` })}
            >all about it</a
          >
        </p>`
      }
      ${tellCuts(trace).map((words) => html`<p class="caution">▲ ${words}</p>`)}
      ${tree !== null && tree.orphans > 0 && html`<p>${tellOrphans(tree.orphans)}</p>`}`;
  return html`<${Figure}
    title="Spans"
    subtitle="Over time, with the cost of each and of all below it, all digits"
    answer=${answer}
    file="trace"
    table=${table}
    height=${MIN_HEIGHT}
    coverage=${({ coverage }: TraceTreeAnswer) => coverage}
    draw=${(trace: TraceTreeAnswer) =>
      html`<${Waterfall} trace=${trace} tree=${tree} chosen=${chosen} />`}
    footer=${footer}
  />`;
}

/** What of the trace is not there. */
function tellCuts({ truncated, span_count, spans }: TraceTreeAnswer): string[] {
  const cuts: string[] = [];
  if (spans.length < span_count) {
    cuts.push(
      `The first ${showCount(spans.length)} of ${showCount(span_count)} spans are shown; costs with ` +
        "below and totals are of all of them.",
    );
  }
  if (truncated) {
    cuts.push(
      `The trace has more than ${showCount(span_count)} spans: the later ones are in no sum here.`,
    );
  }
  return cuts;
}

function tellOrphans(count: number): string {
  const words =
    count === 1
      ? "1 span names a parent that is"
      : `${showCount(count)} spans name parents that are`;
  return `${words} not in this trace, or not yet: they stand at the top.`;
}

const NODE_COLUMNS: readonly Column<TraceNode>[] = [
  textColumn("name", "Span", ({ span }) => span.name),
  textColumn("kind", "Kind", ({ kind }) => KIND_TITLES[kind]),
  countColumn("level", "Level", ({ depth }) => depth + 1),
  textColumn("service_name", "Service", ({ span }) => span.service_name),
  textColumn("status", "Status", ({ span }) => span.status),
  textColumn("start_time", "Start (UTC)", ({ span }) => span.start_time),
  {
    ...countColumn<TraceNode>("duration_ns", "Duration", ({ span }) => span.duration_ns),
    show: ({ span }) => showDuration(span.duration_ns),
  },
  textColumn("model", "Model", ({ span }) => span.call?.response_model ?? span.call?.request_model),
  countColumn("input_total", "Tokens in", ({ span }) => span.call?.input_total),
  countColumn("output_total", "Tokens out", ({ span }) => span.call?.output_total),
  usdColumn("own_cost_usd", "Own, USD", ({ span }) => span.call?.cost_usd),
  usdColumn("cost_usd", "With below, USD", ({ span }) => span.cost_usd),
  textColumn("span_id", "Span id", ({ span }) => span.span_id),
  textColumn("parent_span_id", "Parent", ({ span }) => span.parent_span_id),
];

function ModelsFigure({ answer }: { readonly answer: Answer<TraceTreeAnswer> }): VNode {
  const table = useCallback((trace: TraceTreeAnswer): TableData<ModelCost> => {
    const rows = costByModel(trace);
    const readCost = ({ cost_usd }: ModelCost) => cost_usd;
    return {
      columns: [
        textColumn("model", "Model", ({ model }) => model),
        textColumn("provider", "Provider", ({ provider }) => provider),
        usdColumn("cost_usd", "Cost, USD", readCost, { most: mostUsd(rows, readCost) }),
        countColumn("calls", "Calls", ({ calls }) => calls),
        countColumn("errors", "Failed", ({ errors }) => errors),
        countColumn("calls_unpriced", "Unpriced", ({ calls_unpriced }) => calls_unpriced),
        shortColumn("input_total", "Tokens in", ({ input_total }) => input_total),
        shortColumn("output_total", "Tokens out", ({ output_total }) => output_total),
      ],
      rows,
    };
  }, []);
  return html`<${Figure}
    title="Cost by model of this trace"
    width="full"
    answer=${answer}
    file="trace-models"
    table=${table}
    height=${100}
    when_empty="No call of this trace counts."
    footer=${({ totals, spans, span_count }: TraceTreeAnswer) =>
      spans.length < span_count
        ? html`<span class="caution"
            >▲ Of the first ${showCount(spans.length)} of ${showCount(span_count)} spans</span
          >`
        : html`<span title=${totals.cost_usd ?? UNKNOWN}
            >${showUsd(totals.cost_usd)} in ${showCount(totals.calls)} calls</span
          >`}
  />`;
}
