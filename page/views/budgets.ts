/** Budgets and alert rules: how each stands, and what was told. */
import type { AlertRulesAnswer, BudgetAnswer, BudgetsAnswer } from "../../schemas/alerting.ts";
import type { WhoamiAnswer } from "../../schemas/api-tenancy.ts";
import type { ChannelsAnswer, DeliveriesAnswer } from "../../schemas/notices.ts";
import { type Answer, useAnswer } from "../answers.ts";
import { Figure } from "../figure.ts";
import { DeliveriesFigure, RulesFigure } from "../figures/alert-rules.ts";
import { BudgetCards, budgetTable } from "../figures/budget-cards.ts";
import { BudgetForm } from "../figures/budget-form.ts";
import { ChannelForm, EDIT_CHANNEL } from "../figures/channel-form.ts";
import { FilterBar } from "../filters.ts";
import { showCount } from "../format.ts";
import { html, useCallback, useMemo, useRef, type VNode } from "../html.ts";
import { zoneOf } from "../time.ts";
import { linkWith, useParams } from "../url.ts";

/** Budgets and rules that the page asks for: the most of a page of the API. */
const MAX_ROWS = 100;
/** Channels that a project has at most. */
const MAX_CHANNELS = 50;
/** Deliveries that are shown. */
const MAX_DELIVERIES = 20;

/** Whether a key may change budgets of the project: by its scope, and by the role of the member it is of. */
export function mayWriteBudgets(who: WhoamiAnswer | null, project: string | null): boolean {
  if (who === null || !who.scopes.includes("admin")) return false;
  if (who.member_id === null) return true;
  const { projects } = who;
  const own = projects.find(({ project_id }) => project_id === project) ?? projects[0];
  const role = own?.role ?? who.role;
  return role === "editor" || role === "owner";
}

/** The view. */
export function BudgetsView(): VNode {
  const params = useParams();
  const tz = zoneOf(params);
  const project = params.get("project");
  const page = { project, limit: MAX_ROWS };
  const budgets = useAnswer<BudgetsAnswer>("/v1/budgets", page);
  const alerts = useAnswer<AlertRulesAnswer>("/v1/alerts", page);
  const deliveries = useAnswer<DeliveriesAnswer>("/v1/deliveries", {
    project,
    limit: MAX_DELIVERIES,
  });
  const channels = useAnswer<ChannelsAnswer>("/v1/channels", { project, limit: MAX_CHANNELS });
  const who = useAnswer<WhoamiAnswer>("/v1/whoami");
  const may_write = mayWriteBudgets(who.data, project);
  const names = useMemo(
    () =>
      new Map([
        ...(budgets.data?.budgets ?? []).map(({ budget_id, name }) => [budget_id, name] as const),
        ...(alerts.data?.alerts ?? []).map(({ rule_id, name }) => [rule_id, name] as const),
      ]),
    [budgets.data, alerts.data],
  );
  // What stands below waits for the cards, so that they push nothing down.
  const is_settled = budgets.data !== null || budgets.problem !== null;
  return html`<${FilterBar} has_filters=${false} has_range=${false} />
    <${EditForm} budgets=${budgets} may_write=${may_write} project=${project} />
    <div class="grid">
      <${BudgetsFigure} answer=${budgets} ...${{ channels, who, may_write, tz }} />
      ${
        is_settled &&
        html`<${RulesFigure} answer=${alerts} tz=${tz} />
          <${DeliveriesFigure} answer=${deliveries} names=${names} tz=${tz} />`
      }
    </div>`;
}

interface EditProps {
  readonly budgets: Answer<BudgetsAnswer>;
  readonly may_write: boolean;
  readonly project: string | null;
}

/** The form, while the address asks for it: `edit` is `new`, `channel` or the id of a budget. */
function EditForm({ budgets, may_write, project }: EditProps): VNode | null {
  const edit = useParams().get("edit");
  // What is typed outlives a look at the server that fails.
  const last = useRef<BudgetAnswer | null>(null);
  const found = budgets.data?.budgets.find(({ budget_id }) => budget_id === edit);
  if (found !== undefined) last.current = found;
  if (edit === null || !may_write) return null;
  if (edit === EDIT_CHANNEL) return html`<${ChannelForm} project=${project} />`;
  if (edit === "new") return html`<${BudgetForm} key="new" budget=${null} project=${project} />`;
  const budget = last.current?.budget_id === edit ? last.current : null;
  return budget && html`<${BudgetForm} key=${edit} budget=${budget} project=${project} />`;
}

interface BudgetsProps {
  readonly answer: Answer<BudgetsAnswer>;
  readonly channels: Answer<ChannelsAnswer>;
  readonly who: Answer<WhoamiAnswer>;
  readonly may_write: boolean;
  readonly tz: string;
}

function BudgetsFigure({ answer, channels, who, may_write, tz }: BudgetsProps): VNode {
  const table = useCallback(({ budgets }: BudgetsAnswer) => budgetTable(budgets, tz), [tz]);
  const draw = ({ budgets }: BudgetsAnswer) =>
    html`<${BudgetCards}
      budgets=${budgets}
      channels=${channels.data?.channels ?? null}
      may_write=${may_write}
    />`;
  const words =
    who.data !== null && !may_write
      ? "This key may look at budgets, not change them."
      : "A limit for each day, week, month, quarter or year, of all calls or of some";
  return html`<${Figure}
    title="Budgets"
    subtitle=${words}
    width="full"
    height=${120}
    answer=${answer}
    file="budgets"
    table=${table}
    draw=${draw}
    when_empty=${`A budget says how much calls may cost in a window of the calendar, tells you at 50, 80 and 100 %, and when the forecast is over it. It never stops a call.${may_write ? " Make the first one with “New budget”." : ""}`}
    aside=${may_write && html`<a class="button" href=${linkWith({ edit: "new" })}>New budget</a>`}
    footer=${({ next_cursor }: BudgetsAnswer) =>
      html`${next_cursor !== null && html`<p>The first ${showCount(MAX_ROWS)} budgets; the API has more.</p>`}
        <${ToldTo} channels=${channels.data?.channels ?? null} may_write=${may_write} />`}
  />`;
}

interface ToldProps {
  readonly channels: ChannelsAnswer["channels"] | null;
  readonly may_write: boolean;
}

/** The channels of the project, and a way to one more. */
function ToldTo({ channels, may_write }: ToldProps): VNode | null {
  if (channels === null) return null;
  const names = channels.map(
    ({ name, kind, is_enabled }) => `${name} (${kind}${is_enabled ? "" : ", off"})`,
  );
  const words = names.length === 0 ? "Channels: none." : `Channels: ${names.join(", ")}.`;
  return html`<span class="hint"
    >${`${words} `}${
      may_write && html`<a href=${linkWith({ edit: EDIT_CHANNEL })}>New channel</a>`
    }</span
  >`;
}
