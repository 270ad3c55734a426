/** Traces of the range, found by what their calls are and cost, page by page. */
import type { TraceRow, TracesAnswer } from "../../schemas/api-traces.ts";
import { useAnswer, useAsked } from "../answers.ts";
import { countColumn, durationColumn, shortColumn, textColumn, usdColumn } from "../columns.ts";
import { Figure } from "../figure.ts";
import { shortenId } from "../figures/call-parts.ts";
import { listQuery, Pager } from "../figures/pager.ts";
import { chosen, FilterBar, ParamChoice } from "../filters.ts";
import { showCount, UNKNOWN } from "../format.ts";
import { html, useCallback, useRef, type VNode } from "../html.ts";
import type { Column, TableData } from "../table.ts";
import { showInstant } from "../time.ts";
import {
  type FilterName,
  linkTo,
  type Patch,
  setParams,
  useParams,
  type ViewName,
} from "../url.ts";

/** Traces of a page: about 50 kB. */
const PAGE_ROWS = 50;
const MIN_HEIGHT = 420;
const TAG_PREFIX = "tag.";

const ORDERS = [
  ["start", "Newest first"],
  ["cost", "Dearest first"],
  ["duration", "Longest first"],
  ["calls", "Most calls first"],
] as const;
const ERROR_CHOICES = [
  ["", "Good and failed"],
  ["true", "With failed spans"],
  ["false", "Without failed spans"],
] as const;

/** The view. */
export function TracesView(): VNode {
  const params = useParams();
  const asked = useAsked();
  const cursor = params.get("cursor");
  const has_errors = chosen(params, "has_errors", ERROR_CHOICES);
  const { tz } = asked.range;
  const answer = useAnswer<TracesAnswer>("/v1/traces", {
    ...listQuery(asked, cursor),
    order_by: chosen(params, "order_by", ORDERS),
    has_errors: has_errors === "" ? null : has_errors,
    ...Object.fromEntries(FIELDS.map(({ name }) => [name, params.get(name)])),
    ...Object.fromEntries(tagsOf(params).map((name) => [name, params.getAll(name)])),
    limit: PAGE_ROWS,
  });
  const table = useCallback(
    ({ traces }: TracesAnswer): TableData<TraceRow> => ({
      columns: traceColumns(tz),
      rows: traces,
    }),
    [tz],
  );
  const footer = ({ traces, from, to, next_cursor }: TracesAnswer) =>
    html`<${Pager}
      ...${{ noun: "traces", rows: traces.length, cursor, next_cursor, from, to, tz }}
    />`;
  return html`<${FilterBar} />
    <div class="filters" role="group" aria-label="Search of traces">
      <${ParamChoice} name="order_by" title="" choices=${ORDERS} />
      <${ParamChoice} name="has_errors" title="" choices=${ERROR_CHOICES} />
      <${Fields} key=${params.toString()} params=${params} />
      <${Tags} params=${params} />
    </div>
    <div class="dense">
      <${Figure}
        title="Traces"
        subtitle="Those with a call that fits all filters; sums are of all calls of the trace that count"
        answer=${answer}
        file="traces"
        table=${table}
        can_sort=${false}
        height=${MIN_HEIGHT}
        coverage=${({ coverage }: TracesAnswer) => coverage}
        when_empty=${
          cursor === null ? "No trace in this range fits." : "No more traces on this page."
        }
        isEmpty=${({ traces, next_cursor }: TracesAnswer) =>
          traces.length === 0 && next_cursor === null}
        footer=${footer}
      />
    </div>`;
}

interface Field {
  readonly name: "name" | "min_cost_usd" | "min_duration_ms";
  readonly title: string;
  readonly placeholder: string;
  readonly pattern?: string;
  readonly hint?: string;
}

const FIELDS: readonly Field[] = [
  { name: "name", title: "Root operation", placeholder: "part of its name" },
  {
    name: "min_cost_usd",
    title: "Cost from, USD",
    placeholder: "0.25",
    pattern: "\\s*\\d{1,9}(\\.\\d{1,12})?\\s*",
    hint: "An amount such as 0.25",
  },
  {
    name: "min_duration_ms",
    title: "Duration from, ms",
    placeholder: "5000",
    pattern: "\\s*\\d{1,9}\\s*",
    hint: "A whole number of milliseconds",
  },
];

interface Props {
  readonly params: URLSearchParams;
}

/** Fields that are asked when the form is sent, not with every letter. */
function Fields({ params }: Props): VNode {
  const form = useRef<HTMLFormElement>(null);
  const apply = (event: Event) => {
    event.preventDefault();
    const given = new FormData(form.current ?? undefined);
    const textOf = (name: string) => {
      const text = given.get(name);
      return typeof text === "string" ? text.trim() : "";
    };
    const patch: Record<string, string | readonly string[] | null> = { cursor: null };
    for (const { name } of FIELDS) patch[name] = textOf(name) === "" ? null : textOf(name);
    const tag = /^([^=]+)=(.*)$/.exec(textOf("tag"));
    if (tag !== null) {
      const name = `${TAG_PREFIX}${tag[1]?.trim()}`;
      patch[name] = [...new Set([...params.getAll(name), (tag[2] ?? "").trim()])];
    }
    setParams(patch);
  };
  return html`<form class="custom-range" ref=${form} onSubmit=${apply}>
    ${FIELDS.map(
      ({ name, title, placeholder, pattern, hint }) =>
        html`<label class="field"
          ><span class="field-title">${title}</span>
          <input
            name=${name}
            class=${name === "name" ? "" : "short"}
            value=${params.get(name) ?? ""}
            placeholder=${placeholder}
            pattern=${pattern}
            title=${hint}
            maxlength="256"
            inputmode=${name === "name" ? undefined : "decimal"}
            autocomplete="off"
        /></label>`,
    )}
    <label class="field"
      ><span class="field-title">Tag</span>
      <input
        name="tag"
        placeholder="team=search"
        pattern="[^=]+=.*"
        title="A key, an equals sign and a value"
        maxlength="1280"
        autocomplete="off"
    /></label>
    <button>Search</button>
  </form>`;
}

function tagsOf(params: URLSearchParams): string[] {
  return [...new Set(params.keys())].filter((name) => name.startsWith(TAG_PREFIX));
}

function Tags({ params }: Props): VNode {
  const chips = tagsOf(params).flatMap((name) =>
    params.getAll(name).map((value) => ({ name, value })),
  );
  const remove = (name: string, value: string): Patch => ({
    [name]: params.getAll(name).filter((item) => item !== value),
    cursor: null,
  });
  return html`${chips.map(
    ({ name, value }) =>
      html`<span class="chip">
        <span>${name}: <b>${value}</b></span>
        <button
          aria-label=${`Remove filter ${name} ${value}`}
          onClick=${() => setParams(remove(name, value))}
        >
          ×
        </button>
      </span>`,
  )}`;
}

/** What a name leads to. */
const NAME_LINKS = {
  users: ["traces", "user_id"],
  models: ["traces", "model"],
  sessions: ["sessions", "session_id"],
} as const satisfies Record<string, readonly [view: ViewName, filter: FilterName]>;

/** Several names: the first, and how many more; all of them in the tooltip and in the CSV. */
function namesColumn(key: keyof typeof NAME_LINKS, title: string): Column<TraceRow> {
  const [view, filter] = NAME_LINKS[key];
  return {
    key,
    title,
    value: (row) => row[key].join(" "),
    show: (row) => {
      const [first, ...others] = row[key];
      if (first === undefined) return UNKNOWN;
      const more = others.length === 0 ? "" : ` +${others.length}`;
      return html`<a href=${linkTo(view, { [filter]: first })} title=${row[key].join("\n")}
          >${shortenId(first)}</a
        >${more}`;
    },
  };
}

function traceColumns(tz: string): Column<TraceRow>[] {
  return [
    {
      key: "start_time",
      title: `Time (${tz})`,
      value: ({ start_time }) => start_time,
      show: ({ start_time, trace_id }) =>
        html`<a href=${linkTo("trace", { trace_id })} title=${trace_id}
          >${showInstant(Date.parse(start_time), tz)}</a
        >`,
    },
    textColumn("name", "Root operation", ({ name }) => name),
    textColumn("service_name", "Service", ({ service_name }) => service_name),
    namesColumn("users", "Users"),
    namesColumn("models", "Models"),
    countColumn("calls", "Calls", ({ calls }) => calls),
    shortColumn("input_total", "Tokens in", ({ input_total }) => input_total),
    shortColumn("output_total", "Tokens out", ({ output_total }) => output_total),
    usdColumn("cost_usd", "Cost, USD", ({ cost_usd }) => cost_usd, {
      coverage: ({ coverage }) => coverage,
    }),
    durationColumn("duration_ns", "Duration", ({ duration_ns }) => duration_ns),
    {
      ...countColumn<TraceRow>("failed_spans", "Failed", ({ failed_spans }) => failed_spans),
      hint: "Spans of any kind that failed",
      show: ({ failed_spans }) =>
        failed_spans === 0 ? "0" : html`<span class="failed">✕ ${showCount(failed_spans)}</span>`,
    },
    countColumn("spans", "Spans", ({ spans }) => spans),
    namesColumn("sessions", "Sessions"),
    {
      key: "trace_id",
      title: "Trace",
      value: ({ trace_id }) => trace_id,
      show: ({ trace_id }) =>
        html`<a href=${linkTo("trace", { trace_id })} title=${trace_id}
          >${trace_id.slice(0, 8)}…</a
        >`,
    },
  ];
}
