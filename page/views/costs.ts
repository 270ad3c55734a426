/** Where the money goes: by class, by whom, when, and what could be saved. */
import type { CostsOfPeriodAnswer } from "../../schemas/api-analytics.ts";
import type { UsageAnswer } from "../../schemas/api-usage.ts";
import { type Answer, useAnswer, useAsked } from "../answers.ts";
import { Tile } from "../figure.ts";
import { CacheFigure, CLASS_MEASURES, CostClassesFigure } from "../figures/cost-classes.ts";
import { CostGroupsFigure, SplitChoice } from "../figures/cost-groups.ts";
import { CostFigure } from "../figures/cost.ts";
import { DearTracesFigure } from "../figures/dear-traces.ts";
import { HeatFigure } from "../figures/heat.ts";
import { forecastWords, MonthFigure, useMonth } from "../figures/month.ts";
import { SavingsFigure } from "../figures/savings.ts";
import { FilterBar } from "../filters.ts";
import { showChange, showCount, showUsd, UNKNOWN } from "../format.ts";
import { html, type VNode } from "../html.ts";
import { changeOfUsd } from "../money.ts";
import { stepOf } from "../time.ts";
import { linkTo, linkWith } from "../url.ts";

const TOTAL_MEASURES =
  "cost_usd,calls,cost_per_call_usd,cost_per_user_usd,cost_per_session_usd,cost_per_1k_output_tokens_usd,unique_users,sessions,client_cost_usd";

/** The view. */
export function CostsView(): VNode {
  const asked = useAsked();
  const step = stepOf(asked.range);
  const totals = useAnswer<UsageAnswer>("/v1/usage", {
    ...asked.query,
    measures: TOTAL_MEASURES,
    compare: "previous",
  });
  const classes = useAnswer<UsageAnswer>("/v1/usage", {
    ...asked.query,
    interval: step,
    measures: CLASS_MEASURES,
    limit: 1000,
  });
  const month = useMonth(asked);
  const steps = { answer: classes, step, range: asked.range };
  return html`<${FilterBar} />
    <${Tiles} totals=${totals} month=${month} />
    <div class="grid pairs">
      <${CostClassesFigure} ...${steps} />
      <${MonthFigure} answer=${month} />
    </div>
    <${SplitChoice} />
    <div class="grid pairs">
      <${CostGroupsFigure} asked=${asked} />
      <${CostFigure} asked=${asked} has_choice=${false} />
      <${CacheFigure} ...${steps} />
      <${SavingsFigure} asked=${asked} />
      <${HeatFigure} asked=${asked} />
      <${DearTracesFigure} asked=${asked} />
    </div>`;
}

interface TilesProps {
  readonly totals: Answer<UsageAnswer>;
  readonly month: Answer<CostsOfPeriodAnswer>;
}

/** What a tile shows of an answer: null while it is loading, a dash when it failed. */
function textOf<Data>(
  { data, problem }: Answer<Data>,
  show: (data: Data) => string,
): string | null {
  if (data !== null) return show(data);
  return problem === null ? null : UNKNOWN;
}

const UNIT_COSTS = [
  ["Cost of a call", "cost_per_call_usd", "mean, priced calls", null],
  ["Cost of a user", "cost_per_user_usd", "mean of users", "user_id"],
  ["Cost of a session", "cost_per_session_usd", "mean of sessions", null],
  ["1k output tokens", "cost_per_1k_output_tokens_usd", "priced calls", "model"],
] as const;

function Tiles({ totals: answer, month }: TilesProps): VNode {
  const totals = answer.data?.totals;
  const previous = totals?.previous ?? null;
  const change = (name: "cost_usd" | (typeof UNIT_COSTS)[number][1]) => {
    const share = changeOfUsd(totals?.[name], previous?.[name]);
    return share === null ? null : `${showChange(share)} on before`;
  };
  const claimed = totals?.client_cost_usd ?? null;
  return html`<div class="tiles">
    <${Tile}
      title="Spend"
      value=${textOf(answer, (data) => showUsd(data.totals.cost_usd))}
      exact=${totals?.cost_usd ?? undefined}
      note=${change("cost_usd")}
      href=${linkTo("calls")}
    />
    ${UNIT_COSTS.map(
      ([title, name, note, group]) =>
        html`<${Tile}
          title=${title}
          value=${textOf(answer, (data) => showUsd(data.totals[name]))}
          exact=${totals?.[name] ?? undefined}
          note=${change(name) ?? note}
          href=${
            group === null
              ? linkTo(name === "cost_per_session_usd" ? "sessions" : "calls")
              : linkWith({ group_by: group })
          }
        />`,
    )}
    <${Tile}
      title="This month"
      value=${textOf(month, (data) => showUsd(data.totals.cost_usd))}
      exact=${month.data?.totals.cost_usd ?? undefined}
      note=${month.data === null ? "" : forecastWords(month.data.forecast)}
      href=${linkTo("budgets")}
    />
    <${Tile}
      title="Users / sessions"
      value=${textOf(answer, (data) => `${showCount(data.totals.unique_users)} / ${showCount(data.totals.sessions)}`)}
      note="that calls name"
      href=${linkTo("sessions")}
    />
    <${Tile}
      title="Claimed by clients"
      value=${textOf(answer, () => showUsd(claimed))}
      exact=${claimed ?? undefined}
      note=${textOf(answer, () => claimWords(claimed, totals?.cost_usd))}
    />
  </div>`;
}

/** What clients claim against ours; only some calls may have a claim. */
function claimWords(claimed: string | null, ours: string | null | undefined): string {
  if (claimed === null) return "none is claimed";
  const share = changeOfUsd(claimed, ours);
  return share === null ? "not priced here" : `${showChange(share)} on ours`;
}
