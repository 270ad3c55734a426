/** Cost over time, split by a dimension that can be chosen. */
import type { UsageAnswer, UsageRow } from "../../schemas/api-usage.ts";
import type { GroupName } from "../../schemas/dimensions.ts";
import { type Asked, useAnswer } from "../answers.ts";
import { colorOf, colorOfValue } from "../colors.ts";
import { countColumn, textColumn, usdColumn } from "../columns.ts";
import { Figure, Legend } from "../figure.ts";
import { chosen, DIMENSION_TITLES, NO_VALUE, ParamChoice } from "../filters.ts";
import { showUsd } from "../format.ts";
import { html, useCallback, type VNode } from "../html.ts";
import { type Series, timeSeries } from "../series.ts";
import type { TableData } from "../table.ts";
import { type Range, type Step, stepOf } from "../time.ts";
import { linkWith, useParams } from "../url.ts";
import { pickStep, stepColumn } from "./lines.ts";
import { timeOf } from "./steps.ts";

/** What cost can be split by; the parameter is `group_by`. */
export const COST_GROUPS = [
  ["model", "by model"],
  ["request_model", "by requested model"],
  ["provider", "by provider"],
  ["service_name", "by service"],
  ["user_id", "by user"],
  ["agent_name", "by agent"],
  ["environment", "by environment"],
] as const;
const TAG = "tag.";

/** What the address splits costs by: one of the list, or a tag as `tag.<key>`. */
export function costGroupOf(params: URLSearchParams): GroupName {
  const asked = params.get("group_by") ?? "";
  if (asked.startsWith(TAG) && asked.length > TAG.length) return asked as `tag.${string}`;
  return chosen(params, "group_by", COST_GROUPS);
}

/** What a group is called. */
export function groupTitle(group: GroupName): string {
  return group.startsWith(TAG)
    ? `Tag ${group.slice(TAG.length)}`
    : (DIMENSION_TITLES[group] ?? group);
}

/** Groups with a colour of their own; the rest is one. */
const TOP_GROUPS = 8;

interface GroupSeries extends Series {
  /** The value to filter by; the rest has none. */
  readonly value?: string;
}

/** One series a group, those of the most cost first and the rest last. */
export function groupSeries(data: UsageAnswer, group: GroupName): GroupSeries[] {
  const series = new Map<string, GroupSeries & { total: number }>();
  for (const row of data.rows) {
    const value = row[group] ?? null;
    const is_other = row.is_other === true;
    const key = is_other ? "\n" : (value ?? "");
    const one = series.get(key) ?? {
      name: is_other ? "All others" : (value ?? NO_VALUE),
      color: is_other ? colorOf("other") : colorOfValue(group, value),
      values: new Map<number, number | null>(),
      ...(is_other ? {} : { value: value ?? "" }),
      total: 0,
    };
    const cost = row.cost_usd === null || row.cost_usd === undefined ? null : Number(row.cost_usd);
    series.set(key, {
      ...one,
      values: new Map([...one.values, [timeOf(row), cost]]),
      total: one.total + (cost ?? 0),
    });
  }
  const rank = ({ value, total }: GroupSeries & { total: number }) =>
    value === undefined ? -1 : total;
  return [...series.values()].sort((a, b) => rank(b) - rank(a));
}

function costTable(
  data: UsageAnswer,
  group: GroupName,
  step: Step,
  range: Range,
): TableData<UsageRow> {
  return {
    columns: [
      stepColumn(step, range),
      textColumn(group, groupTitle(group), (row) =>
        row.is_other === true ? "All others" : (row[group] ?? NO_VALUE),
      ),
      usdColumn("cost_usd", "Cost, USD", ({ cost_usd }) => cost_usd),
      countColumn("calls", "Calls", ({ calls }) => calls),
    ],
    rows: data.rows,
  };
}

interface Props {
  readonly asked: Asked;
  /** Whether the choice of what to split by stands in the figure. */
  readonly has_choice?: boolean;
}

/** The figure; it asks by itself. */
export function CostFigure({ asked, has_choice = true }: Props): VNode {
  const group = costGroupOf(useParams());
  const step: Step = stepOf(asked.range);
  const { tz } = asked.range;
  const answer = useAnswer<UsageAnswer>("/v1/usage", {
    ...asked.query,
    interval: step,
    group_by: group,
    top: TOP_GROUPS,
    measures: "cost_usd,calls",
    limit: 5000,
  });
  const { from, to } = asked.range;
  const table = useCallback(
    (data: UsageAnswer) => costTable(data, group, step, asked.range),
    [group, step, from, to, tz],
  );
  const chart = (data: UsageAnswer) => ({
    makeOption: () =>
      timeSeries({
        series: groupSeries(data, group),
        step,
        range: asked.range,
        unit: "usd",
        kind: "bar",
      }),
    onPick: pickStep(data, { step, range: asked.range }, (series) => {
      const value = groupSeries(data, group).find(({ name }) => name === series)?.value;
      // Tags are no filter of all views.
      return value === undefined || group.startsWith(TAG) ? {} : { [group]: value };
    }),
  });
  return html`<${Figure}
    title="Cost"
    subtitle=${`${has_choice ? "" : `${groupTitle(group)}: `}US dollars by ${step}, ${tz}`}
    width="wide"
    answer=${answer}
    file="cost"
    table=${table}
    chart=${chart}
    label=${(data: UsageAnswer) => `Cost by ${step}, ${showUsd(data.totals.cost_usd)} in all`}
    coverage=${(data: UsageAnswer) => data.coverage}
    aside=${has_choice && html`<${ParamChoice} name="group_by" title="" choices=${COST_GROUPS} />`}
    footer=${(data: UsageAnswer) =>
      html`<${Legend}
        items=${groupSeries(data, group).map(({ name, color, value }) => ({
          name,
          color,
          // Tags are no filter of all views.
          ...(value === undefined || group.startsWith(TAG)
            ? {}
            : { href: linkWith({ [group]: value }) }),
        }))}
      />`}
  />`;
}
