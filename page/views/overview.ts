/** What was used and spent, at one glance: the same figures as `GET /v1/analytics/dashboard`. */
import type { DashboardAnswer } from "../../schemas/api-analytics.ts";
import type { UsageAnswer } from "../../schemas/api-usage.ts";
import { type Answer, type Asked, type Coverage, useAnswer, useAsked } from "../answers.ts";
import {
  countColumn,
  linkColumn,
  mostUsd,
  shareColumn,
  shortColumn,
  textColumn,
  usdColumn,
} from "../columns.ts";
import { Figure, Tile } from "../figure.ts";
import { CostFigure } from "../figures/cost.ts";
import { CallsFigure, SpeedFigure, TokensFigure, USAGE_MEASURES } from "../figures/usage.ts";
import { useEverCalls } from "../figures/first-call.ts";
import { FilterBar } from "../filters.ts";
import {
  showChange,
  showCount,
  showDuration,
  showShare,
  showShort,
  showUsd,
  UNKNOWN,
} from "../format.ts";
import { html, useCallback, type VNode } from "../html.ts";
import { type Column, type TableData, tableHeight } from "../table.ts";
import { stepOf } from "../time.ts";
import { linkTo } from "../url.ts";
import { StartInPlace } from "./start.ts";

/** The view. */
export function OverviewView(): VNode {
  const asked = useAsked();
  const step = stepOf(asked.range);
  const dashboard = useAnswer<DashboardAnswer>("/v1/analytics/dashboard", {
    ...asked.query,
    interval: step,
  });
  const answer = useAnswer<UsageAnswer>("/v1/usage", {
    ...asked.query,
    interval: step,
    measures: USAGE_MEASURES,
    limit: 1000,
  });
  const is_empty = dashboard.data?.totals.calls === 0 && !asked.has_filters;
  // An installation without a call ever shows how to send one, and becomes the overview by itself.
  const ever = useEverCalls(is_empty);
  if (is_empty && ever.calls === 0) return html`<${StartInPlace} />`;
  const steps = { answer, step, range: asked.range };
  return html`<${FilterBar} />
    <${Tiles} answer=${dashboard} />
    <div class="grid">
      <${CostFigure} asked=${asked} />
      <${CallsFigure} ...${steps} />
      <${TokensFigure} ...${steps} height=${tableHeight(10)} />
      <${SpeedFigure} ...${steps} height=${tableHeight(10)} />
      <${UsersFigure} answer=${dashboard} asked=${asked} />
      <${ModelsFigure} answer=${dashboard} />
      <${ServicesFigure} answer=${dashboard} />
    </div>`;
}

function Tiles({ answer }: { readonly answer: Answer<DashboardAnswer> }): VNode {
  const { data, problem } = answer;
  const totals = data?.totals ?? null;
  // A failed question is told by the figures below; tiles then have no value.
  const show = (text: (data: DashboardAnswer) => string) =>
    data === null ? (problem === null ? null : UNKNOWN) : text(data);
  const change = (share: number | null | undefined) =>
    share === null || share === undefined ? "" : `${showChange(share)} on before`;
  return html`<div class="tiles">
    <${Tile}
      title="Spend"
      value=${show(({ totals }) => showUsd(totals.cost_usd))}
      exact=${totals?.cost_usd ?? undefined}
      note=${change(data?.change.cost_share)}
      href=${linkTo("costs")}
    />
    <${Tile}
      title="Calls"
      value=${show(({ totals }) => showCount(totals.calls))}
      exact=${totals?.calls.toString()}
      note=${change(data?.change.calls_share)}
      href=${linkTo("calls")}
    />
    <${Tile}
      title="Cost of a call"
      value=${show(({ totals }) => showUsd(totals.cost_per_call_usd))}
      exact=${totals?.cost_per_call_usd ?? undefined}
      note="mean, priced calls"
      href=${linkTo("costs")}
    />
    <${Tile}
      title="Tokens"
      value=${show(({ totals }) => showShort((totals.input_total ?? 0) + (totals.output_total ?? 0)))}
      exact=${totals === null ? undefined : `${totals.input_total} in, ${totals.output_total} out`}
      note=${totals === null ? "" : `${showShort(totals.input_total)} in, ${showShort(totals.output_total)} out`}
      href=${linkTo("costs")}
    />
    <${Tile}
      title="Failed calls"
      value=${show(({ totals }) => showShare(totals.error_rate))}
      exact=${totals?.error_rate?.toString()}
      note=${totals === null ? "" : `${showCount(totals.errors)} of ${showCount(totals.calls)}`}
      href=${linkTo("errors")}
    />
    <${Tile}
      title="Duration, p95"
      value=${show(({ totals }) => showDuration(totals.duration.p95_ns))}
      exact=${totals?.duration.p95_ns?.toString()}
      note=${totals === null ? "" : `half within ${showDuration(totals.duration.p50_ns)}`}
      href=${linkTo("performance")}
    />
    <${Tile}
      title="First token, p95"
      value=${show(({ totals }) => showDuration(totals.ttft.p95_ns))}
      exact=${totals?.ttft.p95_ns?.toString()}
      note=${totals === null ? "" : `of ${showShort(totals.ttft.calls)} calls that tell`}
      href=${linkTo("performance")}
    />
    <${Tile}
      title="Read from cache"
      value=${show(({ totals }) => showShare(totals.cache_hit_share))}
      exact=${totals?.cache_hit_share?.toString()}
      note="of the prompt tokens"
      href=${linkTo("costs")}
    />
  </div>`;
}

/** What groups have in common in the answer of the dashboard. */
interface Part {
  readonly coverage: Coverage;
  readonly calls: number;
  readonly error_rate: number | null;
  readonly input_total: number | null;
  readonly output_total: number | null;
  readonly cost_usd: string | null;
}

function partColumns<Row extends Part>(rows: readonly Row[]): Column<Row>[] {
  const readCost = ({ cost_usd }: Row) => cost_usd;
  return [
    usdColumn("cost_usd", "Cost, USD", readCost, {
      most: mostUsd(rows, readCost),
      coverage: ({ coverage }) => coverage,
    }),
    countColumn("calls", "Calls", ({ calls }) => calls),
    shortColumn("input_total", "Tokens in", ({ input_total }) => input_total),
    shortColumn("output_total", "Tokens out", ({ output_total }) => output_total),
    shareColumn("error_rate", "Failed", ({ error_rate }) => error_rate),
  ];
}

interface Props {
  readonly answer: Answer<DashboardAnswer>;
}

function ModelsFigure({ answer }: Props): VNode {
  type Model = DashboardAnswer["models"][number];
  const table = useCallback(
    ({ models }: DashboardAnswer): TableData<Model> => ({
      columns: [
        linkColumn("model", "Model", ({ model }) => model, {
          view: "calls",
          patch: ({ model }) => ({ model: model ?? "" }),
        }),
        textColumn("provider", "Provider", ({ provider }) => provider),
        ...partColumns(models),
      ],
      rows: models,
    }),
    [],
  );
  return html`<${Figure}
    title="Models"
    subtitle="The dearest"
    width="full"
    answer=${answer}
    file="models"
    height=${tableHeight(10)}
    table=${table}
    footer=${() => "A call that failed has no answering model and stands under the one asked for."}
  />`;
}

function ServicesFigure({ answer }: Props): VNode {
  type Service = DashboardAnswer["services"][number];
  const table = useCallback(
    ({ services }: DashboardAnswer): TableData<Service> => ({
      columns: [
        linkColumn("service_name", "Service", ({ service_name }) => service_name, {
          view: "calls",
          patch: ({ service_name }) => ({ service_name: service_name ?? "" }),
        }),
        ...partColumns(services),
      ],
      rows: services,
    }),
    [],
  );
  return html`<${Figure}
    title="Services"
    subtitle="The dearest"
    width="full"
    answer=${answer}
    file="services"
    height=${tableHeight(5)}
    table=${table}
  />`;
}

function UsersFigure({ answer, asked }: Props & { readonly asked: Asked }): VNode {
  const names_users = (asked.query["user_id"] as readonly string[]).length > 0;
  // What no user is named for: a list of users alone would hide it.
  // Asked when the rest is there: it must not hold that up.
  const is_wanted = !names_users && answer.data !== null;
  const unnamed = useAnswer<UsageAnswer>(is_wanted ? "/v1/usage" : null, {
    ...asked.query,
    user_id: [""],
    measures: "calls,cost_usd",
  });
  type User = DashboardAnswer["users"]["top"][number];
  const table = useCallback(
    ({ users }: DashboardAnswer): TableData<User> => ({
      columns: [
        linkColumn("user_id", "User", ({ user_id }) => user_id, {
          view: "costs",
          patch: ({ user_id }) => ({ user_id }),
        }),
        usdColumn("cost_usd", "Cost, USD", ({ cost_usd }) => cost_usd),
        countColumn("calls", "Calls", ({ calls }) => calls),
        countColumn("errors", "Failed", ({ errors }) => errors),
      ],
      rows: users.top,
    }),
    [],
  );
  return html`<${Figure}
    title="Users"
    subtitle="The dearest of those that calls name"
    answer=${answer}
    file="users"
    height=${tableHeight(10)}
    table=${table}
    when_empty="No call in this range names a user."
    footer=${({ users }: DashboardAnswer) => html`
      <span>${`${showCount(users.users)} different users. `}</span>
      ${
        (unnamed.data?.totals.calls ?? 0) > 0 &&
        html`<a href=${linkTo("calls", { user_id: "" })}>
          ${`${showCount(unnamed.data?.totals.calls)} calls for ${showUsd(unnamed.data?.totals.cost_usd)} name none`}
        </a>`
      }
    `}
  />`;
}
