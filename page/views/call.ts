/** One call: why it counts, what it cost line by line, and everything else that is known of it. */
import type { ExplainAnswer } from "../../schemas/api.ts";
import type { TraceAnswer } from "../../schemas/api-traces.ts";
import type { CallRow } from "../../schemas/call.ts";
import { type Answer, mapAnswer, useAnswer } from "../answers.ts";
import { instantColumn, textColumn } from "../columns.ts";
import { Figure, ProblemBox, Tile } from "../figure.ts";
import { BillFigure } from "../figures/bill-figure.ts";
import {
  Attributes,
  CopyId,
  type Fact,
  Facts,
  FindById,
  isRefused,
  listMarks,
  NO_FILTERS,
  showExactInstant,
  tellCostStatus,
  tellStatus,
  tellUsage,
} from "../figures/call-parts.ts";
import { showCount, showDuration, showUsd } from "../format.ts";
import { html, useCallback, useMemo, type VNode } from "../html.ts";
import { type TableData, tableHeight } from "../table.ts";
import { showInstant, zoneOf } from "../time.ts";
import { linkTo, linkWith, useParams } from "../url.ts";

const PLACEHOLDER = "trace id - span id";
type Explained = ExplainAnswer["span"];

/** The view. */
export function CallView(): VNode {
  const params = useParams();
  const call_id = params.get("call_id");
  const path = call_id === null ? null : `/v1/calls/${encodeURIComponent(call_id)}/explain`;
  const answer = useAnswer<ExplainAnswer>(path, { project: params.get("project") });
  const { data, problem, reload } = answer;
  const bill = useMemo(() => mapAnswer(answer, ({ call }) => call), [data, problem]);
  const find = { name: "call_id", title: "Find a call", placeholder: PLACEHOLDER } as const;
  if (call_id === null) {
    const words = "A call is named by its trace id, a hyphen and its span id.";
    return html`<${FindById} ...${find} words=${words} />`;
  }
  if (problem !== null && (problem.status === 404 || problem.status === 400)) {
    const words = `${problem.message} It may be of another project, or older than what is kept.`;
    return html`<${FindById} ...${find} title=${`Not found: ${call_id}`} words=${words} />`;
  }
  if (problem !== null) return html`<${ProblemBox} problem=${problem} reload=${reload} />`;
  const is_uncounted = data !== null && data.call === null;
  // The attributes wait for what stands above them, so that nothing pushes them down.
  return html`<${Heading} call_id=${call_id} data=${data} />
    ${!is_uncounted && html`<${Tiles} call=${data?.call ?? null} />`}
    <div class="grid">
      ${!is_uncounted && html`<${BillFigure} answer=${bill} />`}
      <${Reasons} data=${data} />
      <${ReplacedFigure} answer=${answer} tz=${zoneOf(params)} />
      ${data !== null && data.call !== null && html`<${Details} call=${data.call} />`}
      ${data !== null && html`<${SpanAttributes} call_id=${call_id} />`}
    </div>`;
}

interface HeadingProps {
  readonly call_id: string;
  readonly data: ExplainAnswer | null;
}

/** What it is, and the ways to what is around it. */
function Heading({ call_id, data }: HeadingProps): VNode {
  const params = useParams();
  const [trace_id = "", span_id = ""] = call_id.split("-");
  const { user_id = null, session_id = null } = data?.call ?? {};
  const when = data === null ? "" : showInstant(Date.parse(data.span.start_time), zoneOf(params));
  const words = data === null ? "" : `${data.span.name}, ${when} (${zoneOf(params)})`;
  return html`<div class="id-line">
    <p>${words}</p>
    <p><${CopyId} name="call_id" id=${call_id} /></p>
    <p class="links">
      <a href=${linkTo("trace", { trace_id, span_id })}>Its trace</a>
      ${
        session_id !== null &&
        html`<a href=${linkTo("sessions", { ...NO_FILTERS, session_id })}>Session ${session_id}</a>`
      }
      ${
        user_id !== null &&
        html`<a href=${linkTo("calls", { ...NO_FILTERS, user_id })}>Calls of ${user_id}</a>`
      }
    </p>
  </div>`;
}

function Tiles({ call }: { readonly call: CallRow | null }): VNode {
  const show = (text: (call: CallRow) => string) => (call === null ? null : text(call));
  const marks = call === null ? [] : listMarks(call);
  const claimed = call?.client_cost_usd ?? null;
  const cost_note =
    marks.map(({ words }) => words.split(":")[0]).join(", ") ||
    (call !== null && isRefused(call) ? "refused calls cost nothing" : "") ||
    (claimed === null ? "" : `the client claims ${showUsd(claimed)}`);
  return html`<div class="tiles trace-tiles">
    <${Tile}
      title="Cost"
      value=${show(({ cost_usd }) => showUsd(cost_usd))}
      exact=${call?.cost_usd ?? undefined}
      note=${cost_note}
    />
    <${Tile}
      title="Status"
      value=${show(({ status }) => status)}
      note=${call === null ? "" : tellStatus(call)}
    />
    <${Tile}
      title="Tokens in"
      value=${show(({ input_total }) => showCount(input_total))}
      note=${call === null ? "" : tellUsage(call)}
    />
    <${Tile}
      title="Tokens out"
      value=${show(({ output_total }) => showCount(output_total))}
      note=${call?.finish_reason ?? ""}
    />
    <${Tile} title="Duration" value=${show(({ duration_ns }) => showDuration(duration_ns))} />
    <${Tile} title="First token" value=${show(({ ttft_ns }) => showDuration(ttft_ns))} />
  </div>`;
}

function Header({ title, subtitle }: { readonly title: string; readonly subtitle: string }): VNode {
  return html`<header>
    <div>
      <h2>${title}</h2>
      <div class="subtitle"><span>${subtitle}</span></div>
    </div>
  </header>`;
}

/** Why it counts or does not: each reason a line. */
function Reasons({ data }: { readonly data: ExplainAnswer | null }): VNode {
  const title = data?.call === null ? "Why it does not count" : "Why it counts";
  const css = data?.call === null ? "figure full" : "figure";
  return html`<section class=${css} aria-label=${title} aria-busy=${data === null}>
    <${Header} title=${title} subtitle="What the rules of counting say of it" />
    ${data === null ? html`<div class="skeleton reasons"></div>` : html`<${Reason} data=${data} />`}
  </section>`;
}

function Reason({ data: { span, call } }: { readonly data: ExplainAnswer }): VNode {
  const facts: Fact[] = [
    ["Class", span.span_class],
    ["Signal", span.signal],
    ["Dialect", span.dialect],
    ["Scope", [span.scope_name, call?.scope_version].filter(Boolean).join(" ")],
  ];
  if (call !== null) {
    facts.push(
      ["Other reports", showCount(call.duplicates)],
      ["Usage", tellUsage(call)],
      ["Cost", tellCostStatus(call)],
    );
  }
  return html`<div>
    <ul class="reasons">
      ${span.reason.split("; ").map((reason) => html`<li>${reason}</li>`)}
    </ul>
    ${
      span.counted_by !== null &&
      html`<p>
        Counted in its place:${" "}<a href=${linkTo("call", { call_id: span.counted_by })}
          >${span.counted_by}</a
        >
      </p>`
    }
    ${
      call?.suspected_duplicate === true &&
      html`<p class="caution">
        ▲ It may be a second report of another call; that is not certain, so both count.
      </p>`
    }
    <${Facts} facts=${facts} />
  </div>`;
}

function ReplacedFigure({
  answer,
  tz,
}: {
  readonly answer: Answer<ExplainAnswer>;
  readonly tz: string;
}): VNode | null {
  const table = useCallback(
    ({ replaced }: ExplainAnswer): TableData<Explained> => ({
      columns: [
        {
          key: "call_id",
          title: "Report",
          value: ({ call_id }) => call_id,
          show: ({ call_id, name }) =>
            html`<a href=${linkTo("call", { call_id })} title=${call_id}>${name}</a>`,
        },
        textColumn("signal", "Signal", ({ signal }) => signal),
        textColumn("span_class", "Class", ({ span_class }) => span_class),
        textColumn("dialect", "Dialect", ({ dialect }) => dialect),
        textColumn("scope_name", "Scope", ({ scope_name }) => scope_name),
        textColumn("reason", "Why it lost", ({ reason }) => reason),
        instantColumn("start_time", "Time", ({ start_time }) => start_time, tz),
      ],
      rows: replaced,
    }),
    [tz],
  );
  // Most calls are reported once: then there is nothing to show, and nothing is shown.
  if (answer.data === null || answer.data.replaced.length === 0) return null;
  return html`<${Figure}
    title="Other reports of this call"
    subtitle="They gave way to it and are not counted"
    width="full"
    answer=${answer}
    file="replaced"
    table=${table}
    height=${tableHeight(1)}
    footer=${({ replaced, truncated }: ExplainAnswer) =>
      truncated ? `Only the first ${showCount(replaced.length)} are shown.` : ""}
  />`;
}

function Details({ call }: { readonly call: CallRow }): VNode {
  const facts: Fact[] = [
    ["Provider", call.provider],
    ["Requested model", call.request_model],
    ["Answering model", call.response_model],
    ["Operation", call.operation],
    ["Service tier", call.service_tier],
    ["Region", call.region],
    ["Streaming", call.streaming === null ? null : call.streaming ? "yes" : "no"],
    ["Finish reason", call.finish_reason],
    ["Error type", call.error_type],
    ["HTTP status", call.http_status],
    ["Response id", call.response_id],
    ["Provider calls", call.provider_calls],
    ["Claimed by the client, USD", call.client_cost_usd],
    ["Service", call.service_name],
    ["Environment", call.environment],
    ["User", call.user_id],
    ["Session", call.session_id],
    ["Agent", call.agent_name],
    ["Start", showExactInstant(call.start_time)],
    ["Duration, ns", call.duration_ns],
    ["First token, ns", call.ttft_ns],
    ["Parent span", call.parent_span_id],
    ["Project", call.project],
  ];
  return html`<section class="figure full" aria-label="Details">
    <${Header} title="Details" subtitle="As the ledger has them" />
    <${Facts} facts=${facts} />
    <${Attributes} title="Tags" attributes=${call.tags} />
  </section>`;
}

/** Attributes may hold whole prompts: they come when asked for. */
function SpanAttributes({ call_id }: { readonly call_id: string }): VNode {
  const params = useParams();
  const [trace_id = "", span_id = ""] = call_id.toLowerCase().split("-");
  const is_asked = params.get("attributes") === "all";
  const path = `/v1/traces/${encodeURIComponent(trace_id)}`;
  const { data, problem, is_loading, reload } = useAnswer<TraceAnswer>(is_asked ? path : null, {
    project: params.get("project"),
    span_id,
  });
  const span = data?.spans[0] ?? null;
  const has_none =
    span !== null &&
    Object.keys(span.attributes).length + Object.keys(span.resource_attributes).length === 0;
  return html`<section class="figure full" aria-label="Attributes" aria-busy=${is_loading}>
    <header>
      <div>
        <h2>Attributes</h2>
        <div class="subtitle"><span>What the span and its resource said</span></div>
      </div>
      ${!is_asked && html`<a class="button" href=${linkWith({ attributes: "all" })}>Show them</a>`}
    </header>
    ${problem !== null && html`<${ProblemBox} problem=${problem} reload=${reload} />`}
    ${is_loading && html`<div class="skeleton reasons"></div>`}
    ${has_none && html`<p class="empty">It has none.</p>`}
    ${
      span !== null &&
      html`<${Attributes} title="Attributes of the span" attributes=${span.attributes} />
        <${Attributes} title="Attributes of the resource" attributes=${span.resource_attributes} />`
    }
  </section>`;
}
