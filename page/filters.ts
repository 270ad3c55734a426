/**
 * The bar above a view: range of time, zone, how often to look again, and filters with the values that
 * there are.
 *
 * Invariant: everything here is in the address; nothing is kept elsewhere.
 */
import type { UsageAnswer } from "../schemas/api-usage.ts";
import {
  askedOf,
  DEFAULT_REFRESH_S,
  lookAgain,
  nowMs,
  REFRESH_CHOICES_S,
  refreshOf,
  useAnswer,
} from "./answers.ts";
import { showCount } from "./format.ts";
import { html, useEffect, useMemo, useRef, useState, type VNode } from "./html.ts";
import { DEFAULT_RANGE, DEFAULT_ZONE, RANGE_NAMES, RANGES, rangeOf, zoneOf } from "./time.ts";
import { FILTER_NAMES, type FilterName, setParams, useParams } from "./url.ts";

/** Titles of the dimensions that can be filtered and grouped by. */
export const DIMENSION_TITLES: Readonly<Record<string, string>> = {
  model: "Model",
  request_model: "Requested model",
  response_model: "Answering model",
  provider: "Provider",
  service_name: "Service",
  environment: "Environment",
  user_id: "User",
  agent_name: "Agent",
  operation: "Operation",
  session_id: "Session",
  price_id: "Price",
  error_type: "Error type",
  finish_reason: "Finish reason",
  service_tier: "Service tier",
  streaming: "Streaming",
  status: "Status",
  key_id: "API key",
};

/** What stands for a value that is not known. */
export const NO_VALUE = "(none)";

/** Values that a list of choices offers. */
const MAX_CHOICES = 100;

/** The bar of a view. */
export function FilterBar({
  has_filters = true,
  has_range = true,
  has_refresh = true,
}: {
  readonly has_filters?: boolean;
  /** Whether the view looks at a range of time at all. */
  readonly has_range?: boolean;
  /** Whether it has to look again to see what is new. */
  readonly has_refresh?: boolean;
}): VNode {
  const params = useParams();
  return html`<div class="filters" role="group" aria-label="What is shown">
    ${has_range && html`<${RangeChoice} params=${params} />`}
    <${ZoneChoice} params=${params} />
    ${has_filters && html`<${Chips} params=${params} /> <${AddFilter} params=${params} />`}
    <span class="spring"></span>
    ${has_refresh && html`<${RefreshChoice} params=${params} />`}
  </div>`;
}

interface Props {
  readonly params: URLSearchParams;
}

function RangeChoice({ params }: Props): VNode {
  const range = rangeOf(params, nowMs());
  const [is_open, setOpen] = useState(range.name === null);
  const choose = (name: string) => {
    if (name === "custom") setOpen(true);
    else {
      setOpen(false);
      setParams({
        range: name === DEFAULT_RANGE ? null : name,
        from: null,
        to: null,
        cursor: null,
      });
    }
  };
  const value = is_open || range.name === null ? "custom" : range.name;
  return html`<label class="field"
      ><span class="hidden">Range of time</span>
      <select value=${value} onChange=${(event: Event) => choose(valueOf(event))}>
        ${RANGE_NAMES.map((name) => html`<option value=${name}>${RANGES[name].title}</option>`)}
        <option value="custom">From … to …</option>
      </select></label
    >
    ${value === "custom" && html`<${CustomRange} from=${range.from} to=${range.to} />`}`;
}

function CustomRange({ from, to }: { readonly from: string; readonly to: string }): VNode {
  const first = useRef<HTMLInputElement>(null);
  const last = useRef<HTMLInputElement>(null);
  const [words, setWords] = useState("");
  const apply = (event: Event) => {
    event.preventDefault();
    const [start, end] = [first.current?.value ?? "", last.current?.value ?? ""];
    if (!(Date.parse(end) >= Date.parse(start))) {
      setWords("The last day must not be before the first.");
      return;
    }
    setWords("");
    const after = new Date(Date.parse(end) + 86_400_000).toISOString().slice(0, 10);
    setParams({ range: null, from: start, to: after, cursor: null });
  };
  const before = new Date(Date.parse(to) - 1).toISOString().slice(0, 10);
  return html`<form class="custom-range" onSubmit=${apply}>
    <label
      ><span class="hidden">First day</span
      ><input type="date" required ref=${first} value=${from.slice(0, 10)}
    /></label>
    <span aria-hidden="true">–</span>
    <label
      ><span class="hidden">Last day</span><input type="date" required ref=${last} value=${before}
    /></label>
    <button>Show</button>
    ${words !== "" && html`<span class="problem-line" role="alert">${words}</span>`}
  </form>`;
}

function ZoneChoice({ params }: Props): VNode {
  const zone = zoneOf(params);
  const own = useMemo(() => new Intl.DateTimeFormat().resolvedOptions().timeZone, []);
  const zones = useMemo(
    () => [...new Set(["UTC", own, zone, ...Intl.supportedValuesOf("timeZone")])],
    [own, zone],
  );
  const change = (event: Event) => {
    const name = valueOf(event);
    setParams({ tz: name === DEFAULT_ZONE ? null : name, cursor: null });
  };
  return html`<label class="field"
    ><span class="hidden">Time zone</span>
    <select class="zone" value=${zone} onChange=${change}>
      ${zones.map(
        (name) =>
          html`<option value=${name}>
            ${name === own && name !== "UTC" ? `${name} (here)` : name}
          </option>`,
      )}
    </select></label
  >`;
}

function Chips({ params }: Props): VNode {
  const chips = FILTER_NAMES.flatMap((name) =>
    params.getAll(name).map((value) => ({ name, value })),
  );
  const remove = (name: FilterName, value: string) => {
    const values = params.getAll(name).filter((item) => item !== value);
    setParams({ [name]: values, cursor: null });
  };
  return html`${chips.map(
    ({ name, value }) =>
      html`<span class="chip">
        <span>${DIMENSION_TITLES[name]}: <b>${value === "" ? NO_VALUE : value}</b></span>
        <button
          aria-label=${`Remove filter ${DIMENSION_TITLES[name]} ${value}`}
          onClick=${() => remove(name, value)}
        >
          ×
        </button>
      </span>`,
  )}`;
}

function AddFilter({ params }: Props): VNode {
  const [name, setName] = useState<FilterName | null>(null);
  const choose = (event: Event) => {
    setName(FILTER_NAMES.find((known) => known === valueOf(event)) ?? null);
  };
  return html`<label class="field"
      ><span class="hidden">Add a filter</span>
      <select value=${name ?? ""} onChange=${choose}>
        <option value="">+ Filter</option>
        ${FILTER_NAMES.map((item) => html`<option value=${item}>${DIMENSION_TITLES[item]}</option>`)}
      </select></label
    >
    ${
      name !== null &&
      html`<${ValueChoice} key=${name} name=${name} params=${params} done=${() => setName(null)} />`
    }`;
}

interface ValueProps extends Props {
  readonly name: FilterName;
  readonly done: () => void;
}

/** The values of a dimension in the range, most calls first; others can be typed. */
function ValueChoice({ name, params, done }: ValueProps): VNode {
  const { query } = askedOf(params, nowMs());
  const answer = useAnswer<UsageAnswer>("/v1/usage", {
    ...query,
    [name]: null,
    group_by: name,
    measures: "calls",
    limit: MAX_CHOICES,
  });
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current?.focus(), []);
  const add = (event: Event) => {
    event.preventDefault();
    const text = (input.current?.value ?? "").trim();
    if (text === "") return;
    const value = text === NO_VALUE ? "" : text;
    setParams({ [name]: [...new Set([...params.getAll(name), value])], cursor: null });
    done();
  };
  const rows = answer.data?.rows ?? [];
  return html`<form class="custom-range" onSubmit=${add}>
    <label
      ><span class="hidden">${DIMENSION_TITLES[name]}</span>
      <input
        ref=${input}
        list="filter-values"
        maxlength="1024"
        placeholder=${answer.is_loading ? "Loading…" : `${DIMENSION_TITLES[name]}…`}
        onKeyDown=${(event: KeyboardEvent) => event.key === "Escape" && done()}
    /></label>
    <datalist id="filter-values">
      ${rows.map(
        (row) =>
          html`<option value=${row[name] ?? NO_VALUE}>${showCount(row.calls)} calls</option>`,
      )}
    </datalist>
    <button>Add</button>
    <button type="button" class="plain" onClick=${done}>Cancel</button>
  </form>`;
}

function RefreshChoice({ params }: Props): VNode {
  const seconds = refreshOf(params);
  useEffect(() => {
    if (seconds === 0) return undefined;
    // What nobody sees is not asked for; who comes back sees what is new.
    const look = () => {
      if (document.visibilityState === "visible") lookAgain();
    };
    const timer = setInterval(look, seconds * 1000);
    document.addEventListener("visibilitychange", look);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, [seconds]);
  const change = (event: Event) => {
    const value = valueOf(event);
    setParams({ refresh: value === String(DEFAULT_REFRESH_S) ? null : value }, { replace: true });
  };
  return html`<label class="field"
      ><span class="hidden">Look again</span>
      <select value=${String(seconds)} onChange=${change}>
        ${REFRESH_CHOICES_S.map(
          (item) =>
            html`<option value=${String(item)}>
              ${item === 0 ? "No refresh" : item < 60 ? `Every ${item} s` : `Every ${item / 60} min`}
            </option>`,
        )}
      </select></label
    >
    <button class="tool" title="Look again now" aria-label="Look again now" onClick=${lookAgain}>
      ↻
    </button>`;
}

/** The value of a field that changed. */
export function valueOf(event: Event): string {
  return (event.target as HTMLInputElement | HTMLSelectElement).value;
}

/** A choice of a parameter of the address; the first one is what it is without. */
export function ParamChoice({
  name,
  title,
  choices,
}: {
  readonly name: string;
  readonly title: string;
  readonly choices: readonly (readonly [value: string, title: string])[];
}): VNode {
  const params = useParams();
  const first = choices[0]?.[0] ?? "";
  const change = (event: Event) => {
    const value = valueOf(event);
    setParams({ [name]: value === first ? null : value, cursor: null });
  };
  return html`<label class="field"
    ><span class="field-title">${title}</span>
    <select
      aria-label=${title === "" ? name.replaceAll("_", " ") : undefined}
      value=${params.get(name) ?? first}
      onChange=${change}
    >
      ${choices.map(([value, words]) => html`<option value=${value}>${words}</option>`)}
    </select></label
  >`;
}

/** What a parameter is: one of the choices, the first when the address has none of them. */
export function chosen<Name extends string>(
  params: URLSearchParams,
  name: string,
  choices: readonly (readonly [value: Name, title: string])[],
): Name {
  const asked = params.get(name);
  const [first] = choices;
  return (choices.find(([value]) => value === asked) ?? first)?.[0] as Name;
}
