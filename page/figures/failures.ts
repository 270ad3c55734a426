/** Failed calls over time, by what failed, and their share of all calls. */
import type { UsageAnswer, UsageRow } from "../../schemas/api-usage.ts";
import { type Answer, mapAnswer } from "../answers.ts";
import { colorOf } from "../colors.ts";
import { changeColumn, countColumn, linkColumn, shareColumn, textColumn } from "../columns.ts";
import { Figure, Legend } from "../figure.ts";
import { DIMENSION_TITLES, ParamChoice } from "../filters.ts";
import { showCount, showShare } from "../format.ts";
import { html, useCallback, useMemo, type VNode } from "../html.ts";
import { timeSeries } from "../series.ts";
import type { Column, TableData } from "../table.ts";
import { fillSteps, type Range, type Step } from "../time.ts";
import { goTo, linkTo } from "../url.ts";
import {
  changeOf,
  type GroupDimension,
  type GroupLine,
  groupLines,
  nameOfGroup,
} from "./group-lines.ts";
import { nameStep, patchOfStep, stepColumn } from "./lines.ts";
import { redOf } from "./reds.ts";
import { timeOf, valuesOf } from "./steps.ts";

/** What failures are split by; the parameter is `group_by`. */
export const FAILURE_GROUPS = [
  ["error_type", "by error type"],
  ["provider", "by provider"],
  // A call that failed was seldom answered: it has the model that was asked for alone.
  ["request_model", "by requested model"],
  ["service_name", "by service"],
] as const satisfies readonly (readonly [GroupDimension, string])[];
export type FailureGroup = (typeof FAILURE_GROUPS)[number][0];

/** Groups with a look of their own; the rest is one. */
export const TOP_FAILURES = 5;

/** Status of HTTP of an error type, when all its calls have the same one. */
export type StatusOfType = ReadonlyMap<string, number>;

export interface FailuresProps {
  readonly group: FailureGroup;
  /** By group and step. */
  readonly answer: Answer<UsageAnswer>;
  readonly step: Step;
  readonly range: Range;
}

/** The name of a kind of failure, with its status where that is one. */
export function nameOfFailure(row: UsageRow, group: FailureGroup, statuses: StatusOfType): string {
  if (group === "error_type" && row.is_other !== true && (row.error_type ?? null) === null) {
    return "Without a type";
  }
  const name = nameOfGroup(row, group);
  const status = group === "error_type" ? statuses.get(row.error_type ?? "") : undefined;
  return status === undefined ? name : `${name} (${status})`;
}

function failureLines(data: UsageAnswer, group: FailureGroup): readonly GroupLine[] {
  const readErrors = ({ errors }: UsageRow) => errors ?? 0;
  return groupLines(data, group, readErrors, readErrors).filter(({ total }) => total > 0);
}

/** The link of a group: the failed calls of it. */
function hrefOf(group: FailureGroup, value: string): string {
  return linkTo("calls", { status: "error", [group]: value });
}

interface StackProps extends FailuresProps {
  readonly statuses: StatusOfType;
}

/** Failed calls by group, upon each other. */
export function FailuresFigure({ group, answer, step, range, statuses }: StackProps): VNode {
  const titleOf = ({ name, value }: GroupLine) => {
    const status = group === "error_type" ? statuses.get(value ?? "") : undefined;
    if (group === "error_type" && value === "") return "Without a type";
    return status === undefined ? name : `${name} (${status})`;
  };
  const chart = (data: UsageAnswer) => ({
    makeOption: () =>
      timeSeries({
        series: failureLines(data, group).map((line, index) => ({
          name: titleOf(line),
          values: line.values,
          color: redOf(index).color,
          decal: redOf(index).decal,
        })),
        step,
        range,
        unit: "calls",
        kind: "bar",
      }),
    onPick: ({ index }: { readonly index: number }) => {
      const start_ms = fillSteps(data.rows.map(timeOf), step, range)[index];
      if (start_ms === undefined) return;
      goTo(linkTo("calls", { status: "error", ...patchOfStep(start_ms, step, range) }));
    },
  });
  const table = useCallback(
    (data: UsageAnswer): TableData<UsageRow> => ({
      columns: [
        stepColumn(step, range, { status: "error" }),
        textColumn(group, DIMENSION_TITLES[group] ?? group, (row) =>
          nameOfFailure(row, group, statuses),
        ),
        countColumn("errors", "Failed", ({ errors }) => errors),
      ],
      rows: data.rows.filter(({ errors }) => (errors ?? 0) > 0),
    }),
    [group, statuses, step, range],
  );
  return html`<${Figure}
    title="Failed calls"
    subtitle=${`Calls ${wordsOf(group)} and ${nameStep(step)}`}
    width="wide"
    answer=${answer}
    file=${`failed_calls_by_${group}`}
    table=${table}
    chart=${chart}
    label=${({ totals }: UsageAnswer) => `${showCount(totals.errors)} failed calls ${wordsOf(group)}`}
    when_empty="No call in this range failed."
    aside=${html`<${ParamChoice} name="group_by" title="" choices=${FAILURE_GROUPS} />`}
    footer=${(data: UsageAnswer) =>
      html`<${Legend}
        items=${failureLines(data, group).map((line, index) => ({
          name: titleOf(line),
          color: redOf(index).background,
          ...(line.value === null ? {} : { href: hrefOf(group, line.value) }),
        }))}
      />`}
  />`;
}

function wordsOf(group: FailureGroup): string {
  return FAILURE_GROUPS.find(([name]) => name === group)?.[1] ?? "";
}

interface RateProps extends FailuresProps {
  /** All calls by step. */
  readonly totals: Answer<UsageAnswer>;
}

/** All calls by step, and the groups beside them. */
interface Rates {
  readonly all: UsageAnswer;
  readonly groups: readonly GroupLine[];
}

function rateLines(data: UsageAnswer, group: FailureGroup): readonly GroupLine[] {
  // Of an error type all calls failed.
  if (group === "error_type") return [];
  return groupLines(
    data,
    group,
    ({ error_rate }) => error_rate,
    ({ errors }) => errors ?? 0,
  ).filter(({ value }) => value !== null);
}

function rateTable({ all, groups }: Rates, step: Step, range: Range): TableData<UsageRow> {
  return {
    columns: [
      stepColumn(step, range, { status: "error" }),
      countColumn("errors", "Failed", ({ errors }) => errors),
      countColumn("calls", "Calls", ({ calls }) => calls),
      shareColumn("error_rate", "Error rate, all calls", ({ error_rate }) => error_rate),
      ...groups.map(({ name, values }): Column<UsageRow> =>
        shareColumn(`error_rate ${name}`, name, (row) => values.get(timeOf(row))),
      ),
    ],
    rows: all.rows,
  };
}

/** The share of calls that failed: of all, and of each group that has successful calls too. */
export function FailureRateFigure({ group, answer, totals, step, range }: RateProps): VNode {
  const rates = useMemo(
    () =>
      mapAnswer(totals, (all): Rates => ({
        all,
        groups: answer.data === null ? [] : rateLines(answer.data, group),
      })),
    [totals.data, totals.problem, answer.data, group],
  );
  const chart = ({ all, groups }: Rates) => ({
    makeOption: () =>
      timeSeries({
        series: [
          {
            name: "All calls",
            color: colorOf("errors"),
            values: valuesOf(all, ({ error_rate }) => error_rate),
          },
          ...groups.map((line) => ({ ...line, is_dashed: true })),
        ],
        step,
        range,
        unit: "share",
        kind: "line",
      }),
  });
  const table = useCallback((data: Rates) => rateTable(data, step, range), [step, range]);
  return html`<${Figure}
    title="Error rate"
    subtitle=${`Share of calls that failed, by ${nameStep(step)}`}
    answer=${rates}
    file="error_rate"
    table=${table}
    chart=${chart}
    label=${({ all }: Rates) => `${showShare(all.totals.error_rate)} of calls failed`}
    footer=${({ groups }: Rates) =>
      groups.length > 0 &&
      html`<${Legend}
        items=${[
          { name: "All calls", color: colorOf("errors") },
          ...groups.map(({ name, color }) => ({ name: `${name} (dashed)`, color })),
        ]}
      />`}
  />`;
}

interface TableProps {
  readonly group: FailureGroup;
  readonly answer: Answer<UsageAnswer>;
  readonly statuses: StatusOfType;
}

function nameColumn(group: FailureGroup, statuses: StatusOfType): Column<UsageRow> {
  const title = DIMENSION_TITLES[group] ?? group;
  const nameOf = (row: UsageRow) =>
    group === "error_type" ? nameOfFailure(row, group, statuses) : (row[group] ?? null);
  return linkColumn(group, title, nameOf, {
    view: "calls",
    patch: (row) => ({ status: "error", [group]: row[group] ?? "" }),
  });
}

/** Groups with their failed calls, and how many they were before. */
export function FailureTable({ group, answer, statuses }: TableProps): VNode {
  const table = useCallback(
    ({ rows, totals }: UsageAnswer): TableData<UsageRow> => ({
      columns: [
        nameColumn(group, statuses),
        countColumn("errors", "Failed", ({ errors }) => errors),
        shareColumn("errors_share", "Of all failed", ({ errors }) =>
          (totals.errors ?? 0) === 0 ? null : (errors ?? 0) / (totals.errors ?? 1),
        ),
        countColumn("previous_errors", "Failed before", ({ previous }) => previous?.errors ?? 0),
        changeColumn("errors_change_share", "Change", ({ errors, previous }) =>
          changeOf(errors, previous?.errors),
        ),
        ...(group === "error_type" ? [] : RATE_COLUMNS),
      ],
      rows: rows.filter(({ errors }) => (errors ?? 0) > 0),
    }),
    [group, statuses],
  );
  return html`<${Figure}
    title="What failed"
    subtitle=${`Failed calls ${wordsOf(group)}, and before`}
    width="wide"
    answer=${answer}
    file=${`failures_by_${group}`}
    table=${table}
    when_empty="No call in this range failed."
    aside=${html`<${ParamChoice} name="group_by" title="" choices=${FAILURE_GROUPS} />`}
  />`;
}

const RATE_COLUMNS: readonly Column<UsageRow>[] = [
  countColumn("calls", "Calls", ({ calls }) => calls),
  shareColumn("error_rate", "Error rate", ({ error_rate }) => error_rate),
  shareColumn("previous_error_rate", "Error rate before", ({ previous }) => previous?.error_rate),
];
