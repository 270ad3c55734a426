/**
 * Everything that is known of one span of a trace, beside its tree.
 *
 * Invariant: what the tree knows of the span stands there at once; the rest is asked for, of this span
 * alone.
 */
import type { TraceAnswer } from "../../schemas/api-traces.ts";
import type { CallRow } from "../../schemas/call.ts";
import { useAnswer } from "../answers.ts";
import { ProblemBox } from "../figure.ts";
import { showCount, showDuration } from "../format.ts";
import { html, type VNode } from "../html.ts";
import { linkTo, useParams } from "../url.ts";
import {
  alignUsd,
  Attributes,
  type Fact,
  Facts,
  Marks,
  NO_FILTERS,
  showExactInstant,
  tellStatus,
} from "./call-parts.ts";
import { type FullSpan, instantToNs, type TraceNode } from "./trace-layout.ts";
import { CLASS_TITLES, TOKEN_CLASS_NAMES } from "./usage.ts";
import { chooseSpan, colorOfKind, KIND_TITLES } from "./waterfall.ts";

/** Events of a span that are listed. */
const MAX_EVENTS = 100;

export interface SpanDetailsProps {
  readonly trace_id: string;
  /** When the trace starts, as the API has it. */
  readonly trace_start: string;
  readonly node: TraceNode;
}

/** The panel. */
export function SpanDetails({ trace_id, trace_start, node }: SpanDetailsProps): VNode {
  const { span, kind } = node;
  const path = `/v1/traces/${encodeURIComponent(trace_id)}`;
  const { data, problem, is_loading, reload } = useAnswer<TraceAnswer>(path, {
    project: useParams().get("project"),
    span_id: span.span_id,
  });
  // Two spans may have one id: that of the same start is meant.
  const full = data?.spans.find(({ start_time }) => start_time === span.start_time) ?? null;
  const after_ns = Number(instantToNs(span.start_time) - instantToNs(trace_start));
  return html`<aside
    class="figure span-details"
    aria-label=${`Span ${span.name}`}
    aria-busy=${is_loading}
  >
    <header>
      <div>
        <h2>${span.name}</h2>
        <div class="subtitle">
          <span
            ><i class="swatch" style=${{ background: colorOfKind(kind) }}></i
            >${KIND_TITLES[kind]}</span
          >
        </div>
      </div>
      <button class="tool" aria-label="Close the details" onClick=${() => chooseSpan(null)}>
        ✕
      </button>
    </header>
    ${span.status === "error" && html`<p class="failed">✕ ${full === null ? "failed" : failureOf(full)}</p>`}
    <${Facts} facts=${factsOf(node, full, after_ns)} />
    ${problem !== null && html`<${ProblemBox} problem=${problem} reload=${reload} />`}
    ${is_loading && html`<div class="skeleton reasons"></div>`}
    ${full !== null && html`<${Rest} trace_id=${trace_id} trace_start=${trace_start} span=${full} />`}
  </aside>`;
}

interface RestProps {
  readonly trace_id: string;
  readonly trace_start: string;
  readonly span: FullSpan;
}

/** What the tree does not know. */
function Rest({ trace_id, trace_start, span }: RestProps): VNode {
  const call_id = span.call?.call_id ?? `${trace_id}-${span.span_id}`;
  return html`<h3>${span.counted ? "Why it counts" : "Why it does not count"}</h3>
    <ul class="reasons">
      ${span.reason.split("; ").map((reason) => html`<li>${reason}</li>`)}
    </ul>
    <p class="links">
      <a href=${linkTo("call", { call_id })}
        >${span.call === null ? "All about this report" : "Its bill and all about it"}</a
      >
      ${
        span.counted_by !== null &&
        html`<a href=${linkTo("call", { call_id: span.counted_by })}
          >The call counted in its place</a
        >`
      }
    </p>
    ${span.call !== null && html`<${CallFacts} call=${span.call} />`}
    <${Events} span=${span} trace_start=${trace_start} />
    <${Attributes} title="Attributes" attributes=${span.attributes} />
    <${Attributes} title="Resource" attributes=${span.resource_attributes} is_open=${false} />`;
}

function failureOf({ status_message, call }: FullSpan): string {
  const words = [call === null ? "" : tellStatus(call), status_message ?? ""];
  return words.filter((word) => word !== "").join(": ") || "failed";
}

function factsOf(node: TraceNode, full: FullSpan | null, after_ns: number): Fact[] {
  const { span, spans_below, is_orphan } = node;
  return [
    ["Service", span.service_name],
    ["Starts after", showDuration(after_ns)],
    ["Duration", showDuration(span.duration_ns)],
    ["Cost with below", alignUsd(span.cost_usd, 0)],
    ["Spans below", showCount(spans_below)],
    ["Kind", full?.kind ?? null],
    ["Class", span.span_class],
    ["Span id", span.span_id],
    ["Parent", is_orphan ? `${span.parent_span_id} (not in this trace)` : span.parent_span_id],
    ["Start", showExactInstant(span.start_time)],
  ];
}

function CallFacts({ call }: { readonly call: CallRow }): VNode {
  const { session_id, user_id } = call;
  const tokens = TOKEN_CLASS_NAMES.flatMap((name): Fact[] => {
    const count = call.tokens[name];
    if (count === null) return [];
    const cost = call.cost[name];
    const words = cost === null ? "unpriced" : `$${cost}`;
    return [[CLASS_TITLES[name], `${showCount(count)} · ${words}`]];
  });
  const facts: Fact[] = [
    ["Model", call.response_model ?? call.request_model],
    ["Provider", call.provider],
    ["Own cost", html`<${Marks} call=${call} />${alignUsd(call.cost_usd, 0)}`],
    ...tokens,
    ["First token", showDuration(call.ttft_ns)],
    ["Finish reason", call.finish_reason],
    [
      "User",
      user_id === null
        ? null
        : html`<a href=${linkTo("calls", { ...NO_FILTERS, user_id })}>${user_id}</a>`,
    ],
    [
      "Session",
      session_id === null
        ? null
        : html`<a href=${linkTo("sessions", { ...NO_FILTERS, session_id })}>${session_id}</a>`,
    ],
    ["Agent", call.agent_name],
  ];
  return html`<h3>The call</h3>
    <${Facts} facts=${facts} />`;
}

function Events({
  span,
  trace_start,
}: {
  readonly span: FullSpan;
  readonly trace_start: string;
}): VNode | null {
  const { events } = span;
  if (events.length === 0) return null;
  const start_ns = instantToNs(trace_start);
  return html`<h3>Events (${showCount(events.length)})</h3>
    <ol class="events">
      ${events.slice(0, MAX_EVENTS).map(
        ({ time, name, attributes }) =>
          html`<li>
            <b>${name}</b> after ${showDuration(Number(instantToNs(time) - start_ns))}
            <${Attributes} title="Attributes" attributes=${attributes} is_open=${false} />
          </li>`,
      )}
    </ol>
    ${
      events.length > MAX_EVENTS &&
      html`<p>The other ${showCount(events.length - MAX_EVENTS)} are not shown.</p>`
    }`;
}
