/** The form that makes or changes a budget; what the API refuses is said in it, and nothing is lost. */
import type { BudgetAnswer } from "../../schemas/alerting.ts";
import type { ChannelsAnswer } from "../../schemas/notices.ts";
import { lookAgain, useAnswer } from "../answers.ts";
import { addressOf, Problem, tell } from "../api.ts";
import { DIMENSION_TITLES, NO_VALUE, valueOf } from "../filters.ts";
import { html, useEffect, useMemo, useRef, useState, type VNode } from "../html.ts";
import { zoneOf } from "../time.ts";
import { FILTER_NAMES, linkWith, readParams, setParams } from "../url.ts";
import { budgetBody, limitWords, type ScopeLine, scopeLines } from "./budget-input.ts";
import { CHANNEL_DOCS, EDIT_CHANNEL, UNDERLINED } from "./channel-form.ts";

const PERIODS = ["day", "week", "month", "quarter", "year"] as const;
const UNITS = [
  ["usd", "US dollars"],
  ["tokens", "tokens"],
  ["calls", "calls"],
] as const;
/** Lines of a scope that a form has at most; the API takes more. */
const MAX_LINES = 50;

interface FormProps {
  /** What is changed; null makes a new one. */
  readonly budget: BudgetAnswer | null;
  readonly project: string | null;
}

/** A new budget is about what the page is filtered by. */
function firstLines(budget: BudgetAnswer | null): ScopeLine[] {
  if (budget !== null) return scopeLines(budget);
  const params = readParams();
  return FILTER_NAMES.flatMap((name) => params.getAll(name).map((value) => ({ name, value })));
}

function percentsOf(budget: BudgetAnswer | null, kind: "actual" | "forecast"): string {
  if (budget === null) return kind === "actual" ? "50, 80, 100" : "100";
  return budget.thresholds
    .filter((threshold) => threshold.kind === kind)
    .map(({ percent }) => percent)
    .join(", ");
}

const close = () => setParams({ edit: null });

/** The form. */
export function BudgetForm({ budget, project }: FormProps): VNode {
  const form = useRef<HTMLFormElement>(null);
  const [lines, setLines] = useState(() => firstLines(budget));
  const [words, setWords] = useState("");
  const [is_sending, setSending] = useState(false);
  useEffect(() => form.current?.querySelector("input")?.focus(), []);
  const send = async (event: Event) => {
    event.preventDefault();
    if (form.current === null) return;
    setSending(true);
    try {
      const body = bodyOf(new FormData(form.current), lines);
      const path = budget === null ? "/v1/budgets" : `/v1/budgets/${budget.budget_id}`;
      await tell(addressOf(path, { project }), body, budget === null ? "POST" : "PATCH");
      close();
      lookAgain();
    } catch (error) {
      setSending(false);
      if (!(error instanceof Problem) && !(error instanceof RangeError)) throw error;
      setWords(error.message);
    }
  };
  return html`<form
    class="card budget-form"
    ref=${form}
    onSubmit=${(event: Event) => void send(event)}
  >
    <h2>${budget === null ? "New budget" : `Change ${budget.name}`}</h2>
    <${Amount} budget=${budget} />
    <${Scope} lines=${lines} setLines=${setLines} />
    <${Telling} budget=${budget} project=${project} />
    ${words !== "" && html`<p class="problem" role="alert">${words}</p>`}
    <div class="filters">
      <button class="primary" disabled=${is_sending}>
        ${budget === null ? "Make the budget" : "Save"}
      </button>
      <button type="button" onClick=${close}>Cancel</button>
    </div>
  </form>`;
}

function bodyOf(data: FormData, lines: readonly ScopeLine[]) {
  const text = (name: string) => {
    const value = data.get(name);
    return typeof value === "string" ? value : "";
  };
  return budgetBody({
    name: text("name"),
    amount: text("amount"),
    unit: text("unit"),
    period: text("period"),
    tz: text("tz"),
    actual: text("actual"),
    forecast: text("forecast"),
    is_enabled: data.get("is_enabled") !== null,
    channel_ids: data.getAll("channel_ids").filter((value) => typeof value === "string"),
    // A line without a name is not filled in yet.
    lines: lines.filter(({ name }) => name !== "" && name !== "tag."),
  });
}

/** What an amount comes to, or why it cannot be read; nothing while there is none. */
function readLimit(amount: string, unit: string, period: string) {
  if (amount.trim() === "") return { words: "", problem: "" };
  try {
    return { words: `Saved as ${limitWords(amount, unit, period)}.`, problem: "" };
  } catch (error) {
    return { words: "", problem: error instanceof RangeError ? error.message : String(error) };
  }
}

function Amount({ budget }: Pick<FormProps, "budget">): VNode {
  const input = useRef<HTMLInputElement>(null);
  const [amount, setAmount] = useState(budget?.amount ?? "");
  const [unit, setUnit] = useState<string>(budget?.unit ?? "usd");
  const [period, setPeriod] = useState<string>(budget?.period ?? "month");
  const limit = readLimit(amount, unit, period);
  // The browser does not send the form as long as the field has something to say.
  useEffect(() => input.current?.setCustomValidity(limit.problem), [limit.problem]);
  const tz = budget?.tz ?? zoneOf(readParams());
  const zones = useMemo(
    () => [...new Set(["UTC", tz, ...Intl.supportedValuesOf("timeZone")])],
    [tz],
  );
  const option = (value: string, title = value, chosen = "") =>
    html`<option value=${value} selected=${value === chosen}>${title}</option>`;
  return html`<div class="fields">
      <label
        >Name
        <input
          name="name"
          required
          maxlength="200"
          autocomplete="off"
          defaultValue=${budget?.name ?? ""}
      /></label>
      <label
        >Limit
        <input
          ref=${input}
          name="amount"
          required
          inputmode="decimal"
          autocomplete="off"
          placeholder="250.00"
          aria-describedby="budget-limit"
          aria-invalid=${limit.problem !== ""}
          value=${amount}
          onInput=${(event: Event) => setAmount(valueOf(event))}
      /></label>
      <label
        >in
        <select name="unit" onChange=${(event: Event) => setUnit(valueOf(event))}>
          ${UNITS.map(([value, title]) => option(value, title, budget?.unit ?? "usd"))}
        </select></label
      >
      <label
        >each
        <select name="period" onChange=${(event: Event) => setPeriod(valueOf(event))}>
          ${PERIODS.map((value) => option(value, value, budget?.period ?? "month"))}
        </select></label
      >
      <label
        >that begins in
        <select name="tz">
          ${zones.map((value) => option(value, value, tz))}
        </select></label
      >
    </div>
    <p id="budget-limit" class=${limit.problem === "" ? "hint" : "problem-line"} aria-live="polite">
      ${limit.problem || limit.words || "Digits, with a point before the cents: 1250.50"}
    </p>`;
}

interface ScopeProps {
  readonly lines: readonly ScopeLine[];
  readonly setLines: (lines: ScopeLine[]) => void;
}

/** Which calls count: dimensions and tags, each with a value. */
function Scope({ lines, setLines }: ScopeProps): VNode {
  const change = (index: number, patch: Partial<ScopeLine>) =>
    setLines(lines.map((line, at) => (at === index ? { ...line, ...patch } : line)));
  return html`<fieldset>
    <legend>Which calls count</legend>
    ${lines.length === 0 && html`<p class="hint">All calls of the project.</p>`}
    ${lines.map(
      (line, index) =>
        html`<${Line}
          key=${index}
          line=${line}
          change=${(patch: Partial<ScopeLine>) => change(index, patch)}
          remove=${() => setLines(lines.filter((_, at) => at !== index))}
        />`,
    )}
    ${
      lines.length < MAX_LINES &&
      html`<button
        type="button"
        onClick=${() => setLines([...lines, { name: "model", value: "" }])}
      >
        Only calls with …
      </button>`
    }
  </fieldset>`;
}

interface LineProps {
  readonly line: ScopeLine;
  readonly change: (patch: Partial<ScopeLine>) => void;
  readonly remove: () => void;
}

function Line({ line: { name, value }, change, remove }: LineProps): VNode {
  const is_tag = name.startsWith("tag.");
  return html`<div class="fields">
    <label
      ><span class="hidden">Dimension</span>
      <select
        value=${is_tag ? "tag." : name}
        onChange=${(event: Event) => change({ name: valueOf(event) })}
      >
        ${Object.entries(DIMENSION_TITLES).map(
          ([dimension, title]) => html`<option value=${dimension}>${title}</option>`,
        )}
        <option value="tag.">Tag</option>
      </select></label
    >
    ${
      is_tag &&
      html`<label
        ><span class="hidden">Key of the tag</span>
        <input
          required
          maxlength="256"
          placeholder="Key"
          value=${name.slice(4)}
          onInput=${(event: Event) => change({ name: `tag.${valueOf(event)}` })}
      /></label>`
    }
    <span aria-hidden="true">is</span>
    <label
      ><span class="hidden">Value</span>
      <input
        maxlength="1024"
        placeholder=${NO_VALUE}
        value=${value}
        onInput=${(event: Event) => change({ value: valueOf(event) })}
    /></label>
    <button type="button" class="tool" onClick=${remove} aria-label=${`Remove ${name} ${value}`}>
      ×
    </button>
  </div>`;
}

/** Without a channel a threshold is reached in silence. */
function NoChannel(): VNode {
  return html`<p class="caution" role="note">
    ▲ The project has no channel yet: nobody is told when a threshold is reached; it is only shown
    here. <a style=${UNDERLINED} href=${linkWith({ edit: EDIT_CHANNEL })}>Make a channel</a> first:
    a webhook, Slack or email, or <a style=${UNDERLINED} href=${CHANNEL_DOCS}>by the API</a>.
  </p>`;
}

/** When it is told, and to whom. */
function Telling({ budget, project }: FormProps): VNode {
  const { data } = useAnswer<ChannelsAnswer>("/v1/channels", { project, limit: 50 });
  const channels = data?.channels ?? [];
  return html`<fieldset>
    <legend>When it is told</legend>
    <div class="fields">
      <label
        >At % of what was spent
        <input
          name="actual"
          autocomplete="off"
          defaultValue=${percentsOf(budget, "actual")} /></label
      ><label
        >At % of the forecast
        <input name="forecast" autocomplete="off" defaultValue=${percentsOf(budget, "forecast")}
      /></label>
    </div>
    ${channels.map(
      ({ channel_id, name, kind }) =>
        html`<label class="check" key=${channel_id}
          ><input
            type="checkbox"
            name="channel_ids"
            value=${channel_id}
            defaultChecked=${budget?.channel_ids.includes(channel_id) ?? false}
          />
          ${name} (${kind})</label
        >`,
    )}
    ${data !== null && channels.length === 0 && html`<${NoChannel} />`}
    ${channels.length > 0 && html`<p class="hint">None chosen: all channels that are on.</p>`}
    <label class="check"
      ><input type="checkbox" name="is_enabled" defaultChecked=${budget?.is_enabled ?? true} /> Tell
      when a threshold is reached</label
    >
  </fieldset>`;
}
