/**
 * Groups beside each other over time: one line each, by a measure and a quantile that can be chosen.
 *
 * Invariant: an answer has no more than MAX_ROWS rows, however many steps the range has.
 */
import type { UsageAnswer, UsageRow } from "../../schemas/api-usage.ts";
import { type Asked, mapAnswer, useAnswer } from "../answers.ts";
import { countColumn, textColumn } from "../columns.ts";
import { Figure, Legend } from "../figure.ts";
import { chosen, DIMENSION_TITLES, ParamChoice } from "../filters.ts";
import { html, useCallback, useMemo, type VNode } from "../html.ts";
import { timeSeries } from "../series.ts";
import type { TableData } from "../table.ts";
import { fillSteps, type Range, type Step, stepOf } from "../time.ts";
import { linkWith, useParams } from "../url.ts";
import { type GroupLine, groupLines, nameOfGroup } from "./group-lines.ts";
import { type LineUnit, nameStep, stepColumn, UNIT_COLUMNS } from "./lines.ts";
import { hrefOf, pickName, SPEED_GROUPS, type SpeedGroup } from "./speed-groups.ts";

/** Groups that are compared at most, and those that are whatever the steps. */
const MAX_COMPARED = 6;
const MIN_COMPARED = 2;
/** Rows of an answer: about 280 kB. */
const MAX_ROWS = 900;

/** How many groups can be compared over so many steps; what adds up the others has rows too. */
export function countCompared(steps: number): number {
  const fitting = Math.floor(MAX_ROWS / Math.max(1, steps)) - 1;
  return Math.max(MIN_COMPARED, Math.min(MAX_COMPARED, fitting));
}

/** How many groups of a range can be compared. */
export function maxCompared(step: Step, range: Range): number {
  return countCompared(fillSteps([], step, range).length);
}

const QUANTILES = [
  ["p95", "p95"],
  ["p50", "p50"],
  ["p90", "p90"],
  ["p99", "p99"],
  ["mean", "mean"],
] as const;
type Quantile = (typeof QUANTILES)[number][0];

/** What is compared; the parameter is `measure`. */
const COMPARED = [
  ["duration", "Duration"],
  ["ttft", "First token"],
  ["output_tokens_per_second", "Output tokens a second"],
  ["error_rate", "Failed calls"],
] as const;
type Compared = (typeof COMPARED)[number][0];

interface Comparison {
  readonly unit: LineUnit;
  /** Name in the CSV, with its unit. */
  readonly key: string;
  readonly title: string;
  readonly read: (row: UsageRow) => number | null | undefined;
}

function comparisonOf(measure: Compared, quantile: Quantile): Comparison {
  const title = COMPARED.find(([name]) => name === measure)?.[1] ?? measure;
  if (measure === "output_tokens_per_second") {
    return { unit: "per_second", key: measure, title, read: (row) => row[measure] };
  }
  if (measure === "error_rate") {
    return { unit: "share", key: measure, title, read: (row) => row[measure] };
  }
  return {
    unit: "ns",
    key: `${measure}_${quantile}_ns`,
    title: `${title}, ${quantile}`,
    read: (row) => row[measure]?.[`${quantile}_ns`],
  };
}

function Choices({ is_timed }: { readonly is_timed: boolean }): VNode {
  return html`<${ParamChoice} name="measure" title="" choices=${COMPARED} />
    ${is_timed && html`<${ParamChoice} name="quantile" title="" choices=${QUANTILES} />`}
    <${ParamChoice} name="group_by" title="" choices=${SPEED_GROUPS} />`;
}

const UNIT_WORDS: Readonly<Record<LineUnit, string>> = {
  ns: "",
  share: ", per cent",
  per_second: "",
  per_minute: "",
  calls: "",
};

interface Question {
  readonly group: SpeedGroup;
  readonly step: Step;
  readonly range: Range;
  readonly comparison: Comparison;
}

function linesOf(data: UsageAnswer, { group, comparison }: Question): readonly GroupLine[] {
  return groupLines(data, group, comparison.read, ({ calls }) => calls ?? 0).filter(
    ({ value, values }) => value !== null && [...values.values()].some((item) => item !== null),
  );
}

function tableOf(data: UsageAnswer, { group, step, range, comparison }: Question) {
  const { unit, key, title, read } = comparison;
  const table: TableData<UsageRow> = {
    columns: [
      stepColumn(step, range),
      textColumn(group, DIMENSION_TITLES[group] ?? group, (row) => nameOfGroup(row, group)),
      UNIT_COLUMNS[unit](key, title, read),
      countColumn("calls", "Calls", ({ calls }) => calls),
    ],
    rows: data.rows,
  };
  return table;
}

function drawLines(data: UsageAnswer, question: Question) {
  const { step, range, comparison } = question;
  const makeOption = () => {
    const series = linesOf(data, question);
    return timeSeries({ series, step, range, unit: comparison.unit, kind: "line" });
  };
  return { makeOption };
}

function Lines({
  lines,
  group,
  has_picks,
}: {
  readonly lines: readonly GroupLine[];
  readonly group: SpeedGroup;
  readonly has_picks: boolean;
}): VNode {
  return html`<div class="legend-line">
    <${Legend}
      items=${lines.map(({ name, color, value }) => ({ name, color, href: hrefOf(group, value ?? "") }))}
    />
    ${
      has_picks &&
      html`<a href=${linkWith({ [pickName(group)]: null })}>Compare those with the most calls</a>`
    }
  </div>`;
}

/** Groups over time: those that were picked in the table, or the ones with the most calls. */
export function ComparisonFigure({ asked }: { readonly asked: Asked }): VNode {
  const params = useParams();
  const group = chosen(params, "group_by", SPEED_GROUPS);
  const measure = chosen(params, "measure", COMPARED);
  const comparison = comparisonOf(measure, chosen(params, "quantile", QUANTILES));
  const { unit, key, title, read } = comparison;
  const { range, query } = asked;
  const step = stepOf(range);
  const question: Question = { group, step, range, comparison };
  const most = maxCompared(step, range);
  const picks = params.getAll(pickName(group)).slice(0, most);
  const answer = useAnswer<UsageAnswer>("/v1/usage", {
    ...query,
    interval: step,
    group_by: group,
    measures: `calls,${measure}`,
    limit: 5000,
    ...(picks.length === 0 ? { top: most } : { [group]: picks }),
  });
  // Quantiles come with one answer: another one of them is another figure all the same.
  const shown = useMemo(
    () => mapAnswer(answer, (data) => ({ ...data })),
    [answer.data, answer.problem, key],
  );
  const table = useCallback(
    (data: UsageAnswer) => tableOf(data, question),
    [group, key, step, range],
  );
  const which = picks.length === 0 ? `the ${most} with the most calls` : "those picked";
  return html`<${Figure}
    title="Comparison"
    subtitle=${`${title}${UNIT_WORDS[unit]}, by ${nameStep(step)}: ${which}`}
    width="full"
    answer=${shown}
    file=${`comparison_${key}`}
    table=${table}
    chart=${(data: UsageAnswer) => drawLines(data, question)}
    height=${260}
    label=${() => `${title} ${SPEED_GROUPS.find(([name]) => name === group)?.[1]}, ${which}`}
    isEmpty=${(data: UsageAnswer) => !data.rows.some((row) => (read(row) ?? null) !== null)}
    when_empty="No call in this range tells it."
    aside=${html`<${Choices} is_timed=${unit === "ns"} />`}
    footer=${(data: UsageAnswer) =>
      html`<${Lines}
        lines=${linesOf(data, question)}
        group=${group}
        has_picks=${picks.length > 0}
      />`}
  />`;
}
