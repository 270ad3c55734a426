/** Models, providers, services and operations beside each other in a table: how fast, and what changed. */
import type { UsageAnswer, UsageRow } from "../../schemas/api-usage.ts";
import { type Asked, useAnswer } from "../answers.ts";
import { changeColumn, countColumn, durationColumn, rateColumn, shareColumn } from "../columns.ts";
import { Figure } from "../figure.ts";
import { chosen, DIMENSION_TITLES, ParamChoice } from "../filters.ts";
import { html, useCallback, type VNode } from "../html.ts";
import type { Column, TableData } from "../table.ts";
import { linkTo, linkWith, setParams, useParams } from "../url.ts";
import { changeOf, type GroupDimension, nameOfGroup } from "./group-lines.ts";

/** What speed is compared by; the parameter is `group_by`. */
export const SPEED_GROUPS = [
  ["model", "by model"],
  ["request_model", "by requested model"],
  ["provider", "by provider"],
  ["service_name", "by service"],
  ["operation", "by operation"],
  ["streaming", "by streaming"],
] as const satisfies readonly (readonly [GroupDimension, string])[];
export type SpeedGroup = (typeof SPEED_GROUPS)[number][0];

/** Rows of the table; an answer of them has about 200 kB. */
const MAX_GROUPS = 150;

/** The parameter that names the groups that were picked of a dimension. */
export function pickName(group: SpeedGroup): string {
  return `pick_${group}`;
}

/** Where a group leads: its calls, or where these cannot be told apart, itself alone. */
export function hrefOf(group: SpeedGroup, value: string): string {
  return group === "streaming"
    ? linkWith({ [pickName(group)]: value })
    : linkTo("calls", { [group]: value });
}

function groupColumn(group: SpeedGroup, picks: readonly string[], most: number): Column<UsageRow> {
  const pick = (value: string, is_picked: boolean) =>
    setParams({
      [pickName(group)]: is_picked ? picks.filter((item) => item !== value) : [...picks, value],
    });
  const show = (row: UsageRow) => {
    const value = row[group] ?? "";
    const name = nameOfGroup(row, group);
    const is_picked = picks.includes(value);
    return html`<input
        class="pick"
        type="checkbox"
        aria-label=${`Compare ${name}`}
        title="Compare over time"
        checked=${is_picked}
        disabled=${!is_picked && picks.length >= most}
        onChange=${() => pick(value, is_picked)}
      />
      ${group === "streaming" ? name : html`<a href=${hrefOf(group, value)}>${name}</a>`}`;
  };
  return {
    key: group,
    title: DIMENSION_TITLES[group] ?? group,
    value: (row) => row[group] ?? null,
    show,
  };
}

const SPEED_COLUMNS: readonly Column<UsageRow>[] = [
  countColumn("calls", "Calls", ({ calls }) => calls),
  changeColumn("calls_change_share", "Calls, change", ({ calls, previous }) =>
    changeOf(calls, previous?.calls),
  ),
  durationColumn("duration_p50_ns", "p50", ({ duration }) => duration?.p50_ns),
  durationColumn("duration_p95_ns", "p95", ({ duration }) => duration?.p95_ns),
  changeColumn("duration_p95_change_share", "p95, change", ({ duration, previous }) =>
    changeOf(duration?.p95_ns, previous?.duration?.p95_ns),
  ),
  durationColumn("duration_p99_ns", "p99", ({ duration }) => duration?.p99_ns),
  durationColumn("ttft_p95_ns", "First token, p95", ({ ttft }) => ttft?.p95_ns),
  rateColumn("output_tokens_per_second", "Tokens/s", (row) => row.output_tokens_per_second),
  changeColumn("output_tokens_per_second_change_share", "Tokens/s, change", (row) =>
    changeOf(row.output_tokens_per_second, row.previous?.output_tokens_per_second),
  ),
  shareColumn("error_rate", "Failed", ({ error_rate }) => error_rate),
  shareColumn("previous_error_rate", "Failed before", ({ previous }) => previous?.error_rate),
];

interface SpeedTableProps {
  readonly asked: Asked;
  /** Groups that can be picked, to be compared over time. */
  readonly most: number;
}

/** Groups with their speed, and how it changed. */
export function SpeedTable({ asked, most }: SpeedTableProps): VNode {
  const params = useParams();
  const group = chosen(params, "group_by", SPEED_GROUPS);
  const picks = params.getAll(pickName(group));
  const answer = useAnswer<UsageAnswer>("/v1/usage", {
    ...asked.query,
    group_by: group,
    measures: "calls,duration,ttft,output_tokens_per_second,error_rate",
    compare: "previous",
    limit: MAX_GROUPS,
  });
  const table = useCallback(
    ({ rows }: UsageAnswer): TableData<UsageRow> => ({
      columns: [groupColumn(group, picks, most), ...SPEED_COLUMNS],
      rows,
    }),
    [group, picks.join("\n"), most],
  );
  return html`<${Figure}
    title="Beside each other"
    subtitle="Duration of calls, and how it changed"
    width="full"
    answer=${answer}
    file=${`speed_by_${group}`}
    table=${table}
    aside=${html`<${ParamChoice} name="group_by" title="" choices=${SPEED_GROUPS} />`}
    footer=${({ truncated, previous }: UsageAnswer) =>
      html`<span
        >Tick up to ${most} to compare them over time. Quantiles are within 2.2 %. Tokens a second:
        output tokens over the whole duration of
        calls.${previous !== undefined && ` Before: ${dayOf(previous.from)} to ${dayOf(previous.to)}.`}
        ${truncated && ` The ${MAX_GROUPS} with the most calls are shown.`}</span
      >`}
  />`;
}

function dayOf(text: string): string {
  return text.replace("T", " ").replace(/(:\d\d):\d\d(\.\d+)?Z$/, "$1 UTC");
}
