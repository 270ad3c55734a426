/** Budgets as cards: a bar of what is spent, the numbers, how it stands in words, and what can be done. */
import type { BudgetAnswer } from "../../schemas/alerting.ts";
import type { ChannelAnswer } from "../../schemas/notices.ts";
import { lookAgain, nowMs } from "../answers.ts";
import { addressOf, Problem, tell } from "../api.ts";
import { instantColumn, shareColumn, textColumn } from "../columns.ts";
import { showCount, showShare, UNKNOWN } from "../format.ts";
import { html, useState, type VNode } from "../html.ts";
import type { Column, TableData } from "../table.ts";
import { showInstant, showStep } from "../time.ts";
import { FILTER_NAMES, linkTo, linkWith, type Patch, readParams } from "../url.ts";
import {
  budgetState,
  exhaustionOf,
  reachedWords,
  scopeWords,
  showAmount,
  silenceOf,
  sortBudgets,
} from "./budget-words.ts";
import { CHANNEL_DOCS, EDIT_CHANNEL, UNDERLINED } from "./channel-form.ts";

/** The table behind the cards. */
export function budgetTable(budgets: readonly BudgetAnswer[], tz: string): TableData<BudgetAnswer> {
  const now_ms = nowMs();
  const amount = (
    key: string,
    title: string,
    read: (row: BudgetAnswer) => string | null | undefined,
  ): Column<BudgetAnswer> => ({
    key,
    title,
    value: read,
    show: (row) => showAmount(row.unit, read(row)),
    is_number: true,
  });
  const endOf = (row: BudgetAnswer) => {
    const at_ms = exhaustionOf(row, now_ms);
    return at_ms === null ? null : new Date(at_ms).toISOString();
  };
  return {
    columns: [
      textColumn("name", "Budget", ({ name }) => name),
      textColumn("scope", "Of", scopeWords),
      textColumn("period", "Each", ({ period }) => period),
      textColumn("unit", "Unit", ({ unit }) => unit),
      amount("spent", "Spent", ({ spent }) => spent),
      amount("amount", "Limit", (row) => row.amount),
      shareColumn("share", "Share", ({ share }) => share),
      amount("remaining", "Left", ({ remaining }) => remaining),
      amount("forecast_amount", "Forecast", ({ forecast }) => forecast?.amount),
      shareColumn("forecast_share", "Forecast, share", ({ forecast }) => forecast?.share),
      instantColumn("used_up_about", "Used up about", endOf, tz),
      textColumn("reached", "Reached", reachedWords),
      textColumn("state", "State", (row) => budgetState(row, now_ms).words),
    ],
    rows: sortBudgets(budgets, now_ms),
  };
}

/** The costs that a budget is about; null when the page cannot filter so. */
function costsLink({ filters, tags, window, tz }: BudgetAnswer): string | null {
  const is_known = (name: string) => FILTER_NAMES.some((known) => known === name);
  if (tags.length > 0 || !Object.keys(filters).every((name) => is_known(name))) return null;
  const patch: Patch = Object.fromEntries(
    FILTER_NAMES.map((name) => [name, filters[name] ?? null]),
  );
  return linkTo("costs", { ...patch, range: null, from: window.start, to: window.end, tz });
}

interface CardsProps {
  readonly budgets: readonly BudgetAnswer[];
  /** Of the project; null while nobody knows. */
  readonly channels: readonly ChannelAnswer[] | null;
  readonly may_write: boolean;
}

/** The cards, the worst first. */
export function BudgetCards({ budgets, channels, may_write }: CardsProps): VNode {
  return html`<ul class="budgets">
    ${sortBudgets(budgets, nowMs()).map(
      (budget) =>
        html`<${BudgetCard}
          key=${budget.budget_id}
          budget=${budget}
          silence=${channels === null ? null : silenceOf(budget, channels)}
          may_write=${may_write}
        />`,
    )}
  </ul>`;
}

interface CardProps {
  readonly budget: BudgetAnswer;
  /** Why nobody is told. */
  readonly silence: string | null;
  readonly may_write: boolean;
}

function BudgetCard({ budget, silence, may_write }: CardProps): VNode {
  const { name, unit, period, spent, amount, share, forecast, window, tz } = budget;
  const { level, words } = budgetState(budget, nowMs());
  const costs = costsLink(budget);
  const end = showStep(Date.parse(window.end) - 1, "day", tz);
  return html`<li class="budget">
    <div class="budget-head">
      <div>
        <h3>${name}</h3>
        <span class=${`state ${level}`}>${words}</span>
      </div>
      <div class="tools">
        ${
          costs !== null &&
          html`<a class="tool" href=${costs} aria-label=${`Costs of ${name}`}>Costs</a>`
        }
        ${may_write && html`<${CardButtons} budget=${budget} />`}
      </div>
    </div>
    <${SpendBar} budget=${budget} />
    <p class="budget-numbers">
      <span
        ><b title=${spent ?? undefined}>${showAmount(unit, spent)}</b> of${" "}
        <b title=${amount}>${showAmount(unit, amount)}</b
        >${` a ${period} (${showShare(share)})`}</span
      >
      <${Incomplete} budget=${budget} />
      ${
        forecast !== null &&
        html`<span title=${forecast.method}
          >Forecast${" "}
          <b title=${forecast.amount}>${showAmount(unit, forecast.amount)}</b
          >${` (${showShare(forecast.share)}), from ${forecast.known_days} days`}</span
        >`
      }
      <span>${`Until the end of ${end}${tz === "UTC" ? " UTC" : `, ${tz}`}`}</span>
    </p>
    <p class="hint">${scopeWords(budget)}</p>
    <${Thresholds} budget=${budget} />
    ${
      silence !== null &&
      html`<p class="caution">
        ${`▲ ${silence} `}${
          may_write &&
          html`<a style=${UNDERLINED} href=${linkWith({ edit: EDIT_CHANNEL })}>Make a channel</a
            >${" or see "}`
        }<a style=${UNDERLINED} href=${CHANNEL_DOCS}>how channels are made</a>
      </p>`
    }
  </li>`;
}

function Incomplete({ budget }: { readonly budget: BudgetAnswer }): VNode | null {
  const { is_complete, coverage, unit } = budget;
  if (is_complete) return null;
  const missing = unit === "usd" ? coverage.calls_unpriced : coverage.calls_missing_usage;
  const what = unit === "usd" ? "have no whole price" : "reported no usage";
  const words = `${showCount(missing)} of ${showCount(coverage.calls)} calls ${what} and are not in it`;
  return html`<a class="coverage" href=${linkTo("prices")} title=${words}
    >▲ ${showCount(missing)} not in it<span class="hidden">: ${words}</span></a
  >`;
}

/** What is spent and what the forecast adds, up to the limit or beyond; the numbers stand below. */
function SpendBar({ budget }: { readonly budget: BudgetAnswer }): VNode {
  const { share, forecast, thresholds } = budget;
  const spent = share ?? 0;
  const most = Math.max(1, spent, forecast?.share ?? 0);
  const at = (part: number) => `${(Math.min(part, most) / most) * 100}%`;
  const { level } = budgetState(budget, nowMs());
  return html`<div class="spend" aria-hidden="true">
    ${forecast !== null && html`<span class="to-come" style=${{ width: at(forecast.share) }}></span>`}
    <span class=${`spent ${level}`} style=${{ width: at(spent) }}></span>
    ${thresholds
      .filter(({ kind, percent }) => kind === "actual" && percent / 100 <= most)
      .map(
        ({ percent }) =>
          html`<i
            class=${percent === 100 ? "limit" : ""}
            style=${{ left: at(percent / 100) }}
            title=${`${percent} %`}
          ></i>`,
      )}
  </div>`;
}

function Thresholds({ budget }: { readonly budget: BudgetAnswer }): VNode {
  const { thresholds, tz } = budget;
  return html`<ul class="thresholds" aria-label="Thresholds">
    ${thresholds.map(({ kind, percent, is_crossed, notified_at }) => {
      // A notice is made whether or not there is a channel to tell: "told" would promise too much.
      const told =
        notified_at === null ? "" : `, notice made ${showInstant(Date.parse(notified_at), tz)}`;
      return html`<li class=${is_crossed ? "crossed" : ""}>
        ${is_crossed ? "●" : "○"} ${percent} % ${kind === "actual" ? "spent" : "forecast"}:
        ${" "}${is_crossed ? "reached" : "not reached"}${told}
      </li>`;
    })}
  </ul>`;
}

function CardButtons({ budget }: { readonly budget: BudgetAnswer }): VNode {
  const { budget_id, name } = budget;
  const [is_asking, setAsking] = useState(false);
  const [words, setWords] = useState("");
  const remove = async () => {
    const project = readParams().get("project");
    try {
      await tell(addressOf(`/v1/budgets/${budget_id}`, { project }), undefined, "DELETE");
      lookAgain();
    } catch (error) {
      setAsking(false);
      setWords(error instanceof Problem ? error.message : UNKNOWN);
    }
  };
  if (is_asking) {
    return html`<span role="alert">Delete it?</span>
      <button class="danger" onClick=${() => void remove()}>Delete ${name}</button>
      <button onClick=${() => setAsking(false)}>Keep</button>`;
  }
  return html`${words !== "" && html`<span class="problem-line" role="alert">${words}</span>`}
    <a class="tool" href=${linkWith({ edit: budget_id })} aria-label=${`Change ${name}`}>Change</a>
    <button class="tool" aria-label=${`Delete ${name}`} onClick=${() => setAsking(true)}>
      Delete
    </button>`;
}
