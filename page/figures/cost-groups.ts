/** What each model, user, service or tag cost, against the period before. */
import type { UsageAnswer, UsageRow } from "../../schemas/api-usage.ts";
import type { GroupName } from "../../schemas/dimensions.ts";
import { type Asked, useAnswer } from "../answers.ts";
import { colorOf, colorOfValue } from "../colors.ts";
import { knownUsd, mostUsd, shareColumn, usdColumn } from "../columns.ts";
import { Figure } from "../figure.ts";
import { NO_VALUE, ParamChoice } from "../filters.ts";
import { showChange, showCount, showUsd, UNKNOWN } from "../format.ts";
import { html, useCallback, useRef, type VNode } from "../html.ts";
import { changeOfUsd, isNothing, shareOfUsd } from "../money.ts";
import type { Column, TableData } from "../table.ts";
import { linkTo, linkWith, setParams, useParams } from "../url.ts";
import { COST_GROUPS, costGroupOf, groupTitle } from "./cost.ts";

/** Groups with a row of their own; the rest is one. */
const TOP_ROWS = 100;
const MEASURES =
  "cost_usd,calls,cost_per_call_usd,cost_per_1k_output_tokens_usd,cache_hit_share,client_cost_usd";

/** A choice of the list that asks for the key of a tag. */
const TAG_CHOICE = ["tag.", "by tag …"] as const;

/** What costs are split by: a dimension, or a tag whose key is typed. */
export function SplitChoice(): VNode {
  const params = useParams();
  const asked = params.get("group_by") ?? "";
  const input = useRef<HTMLInputElement>(null);
  const is_tag = asked.startsWith(TAG_CHOICE[0]);
  const own = is_tag && asked !== TAG_CHOICE[0] ? [[asked, `by tag ${asked.slice(4)}`]] : [];
  const show = (event: Event) => {
    event.preventDefault();
    const key = (input.current?.value ?? "").trim();
    if (key !== "") setParams({ group_by: `tag.${key}` });
  };
  return html`<div class="filters" role="group" aria-label="Split of the costs">
    <${ParamChoice}
      name="group_by"
      title="Split costs"
      choices=${[...COST_GROUPS, ...own, TAG_CHOICE]}
    />
    ${
      is_tag &&
      html`<form class="custom-range" onSubmit=${show}>
        <label
          ><span class="hidden">Key of the tag</span
          ><input
            ref=${input}
            maxlength="256"
            required
            placeholder="Key, such as team"
            value=${asked.slice(4)}
        /></label>
        <button>Show</button>
      </form>`
    }
  </div>`;
}

function nameOf(row: UsageRow, group: GroupName): string {
  return row.is_other === true ? "All others" : (row[group] ?? NO_VALUE);
}

function colorOfRow(row: UsageRow, group: GroupName): string {
  return row.is_other === true ? colorOf("other") : colorOfValue(group, row[group] ?? null);
}

/** The name of a group, in its colour; it filters the view, where that can be. */
function nameColumn(group: GroupName): Column<UsageRow> {
  const can_filter = (row: UsageRow) => row.is_other !== true && !group.startsWith("tag.");
  return {
    key: group,
    title: groupTitle(group),
    value: (row) => nameOf(row, group),
    show: (row) =>
      html`<i class="swatch" style=${{ background: colorOfRow(row, group) }}></i>${
          can_filter(row)
            ? html`<a href=${linkWith({ [group]: row[group] ?? "" })} title="Show only this"
                >${nameOf(row, group)}</a
              >`
            : nameOf(row, group)
        }`,
  };
}

/** Where the calls of a group are listed; traces alone can be found by a tag. */
function callsLink(row: UsageRow, group: GroupName): string | null {
  const value = row[group] ?? "";
  if (row.is_other === true) return null;
  if (!group.startsWith("tag.")) return linkTo("calls", { [group]: value });
  return value === "" ? null : linkTo("traces", { [group]: value });
}

/** The number of calls, which leads to them. */
function callsColumn(group: GroupName): Column<UsageRow> {
  return {
    key: "calls",
    title: "Calls",
    value: ({ calls }) => calls,
    is_number: true,
    show: (row) => {
      const href = callsLink(row, group);
      if (href === null) return showCount(row.calls);
      const words = `${showCount(row.calls)} calls of ${nameOf(row, group)}`;
      return html`<a href=${href} aria-label=${words}>${showCount(row.calls)}</a>`;
    },
  };
}

/** The change to the period before; new is what had no cost there. */
function changeColumn(): Column<UsageRow> {
  const read = ({ cost_usd, coverage, previous }: UsageRow) =>
    changeOfUsd(knownUsd(cost_usd, coverage), previous?.cost_usd);
  return {
    key: "cost_change_share",
    title: "Change",
    hint: "Cost against the period of the same length before",
    value: read,
    is_number: true,
    show: (row) => {
      const before = row.previous?.cost_usd ?? null;
      const change = read(row);
      const words =
        change === null ? (isNothing(row.cost_usd) ? UNKNOWN : "new") : showChange(change);
      return html`<span title=${`Before: ${showUsd(before)}`}>${words}</span>`;
    },
  };
}

/** The table behind the groups of an answer. */
export function groupTable(data: UsageAnswer, group: GroupName): TableData<UsageRow> {
  const { rows, totals } = data;
  const readCost = ({ cost_usd }: UsageRow) => cost_usd;
  const coverage = (row: UsageRow) => row.coverage;
  const claims = totals.client_cost_usd !== null && totals.client_cost_usd !== undefined;
  return {
    columns: [
      nameColumn(group),
      usdColumn("cost_usd", "Cost, USD", readCost, {
        most: mostUsd(rows, readCost),
        coverage,
      }),
      shareColumn("cost_share", "Share", ({ cost_usd, coverage }) =>
        shareOfUsd(knownUsd(cost_usd, coverage), totals.cost_usd),
      ),
      changeColumn(),
      callsColumn(group),
      usdColumn("cost_per_call_usd", "A call, USD", (row) => row.cost_per_call_usd, { coverage }),
      usdColumn(
        "cost_per_1k_output_tokens_usd",
        "1k output tokens, USD",
        (row) => row.cost_per_1k_output_tokens_usd,
        { coverage },
      ),
      shareColumn("cache_hit_share", "Read from cache", (row) => row.cache_hit_share),
      ...(claims
        ? [
            usdColumn<UsageRow>(
              "client_cost_usd",
              "Clients claim, USD",
              (row) => row.client_cost_usd,
            ),
          ]
        : []),
    ],
    rows,
  };
}

/** The figure; it asks by itself. */
export function CostGroupsFigure({ asked }: { readonly asked: Asked }): VNode {
  const group = costGroupOf(useParams());
  const answer = useAnswer<UsageAnswer>("/v1/usage", {
    ...asked.query,
    group_by: group,
    top: TOP_ROWS,
    compare: "previous",
    measures: MEASURES,
    order_by: "cost_usd",
    limit: TOP_ROWS + 1,
  });
  const table = useCallback((data: UsageAnswer) => groupTable(data, group), [group]);
  return html`<${Figure}
    title=${`What each cost: ${groupTitle(group)}`}
    subtitle="The dearest first, what has no price last. A name filters this page, a number of calls leads to them"
    width="full"
    answer=${answer}
    file=${`cost-by-${group.replace(".", "-")}`}
    table=${table}
    coverage=${(data: UsageAnswer) => data.coverage}
    footer=${(data: UsageAnswer) =>
      data.previous === undefined || data.rows.length === 0
        ? ""
        : html`<span
            >Before is ${data.previous.from.slice(0, 16).replace("T", " ")} to
            ${" "}${data.previous.to.slice(0, 16).replace("T", " ")} UTC:
            ${" "}${showUsd(data.totals.previous?.cost_usd)}.</span
          >`}
  />`;
}
