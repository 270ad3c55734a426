/** Why models stopped: by themselves, cut off, or held back. */
import type { UsageAnswer, UsageRow } from "../../schemas/api-usage.ts";
import type { Answer } from "../answers.ts";
import { colorOfValue } from "../colors.ts";
import { changeColumn, countColumn, shareColumn } from "../columns.ts";
import { Figure } from "../figure.ts";
import { showCount, showShare } from "../format.ts";
import { html, useCallback, type VNode } from "../html.ts";
import { groupBars } from "../series.ts";
import type { Column, TableData } from "../table.ts";
import { changeOf } from "./group-lines.ts";

/** What the values that are common mean. */
const MEANINGS: Readonly<Record<string, string>> = {
  stop: "ended by itself",
  length: "cut off: the limit of tokens was reached",
  max_tokens: "cut off: the limit of tokens was reached",
  tool_call: "asked for a tool",
  tool_calls: "asked for a tool",
  tool_use: "asked for a tool",
  end_turn: "ended by itself",
  content_filter: "held back by a filter",
  refusal: "the model refused",
  error: "failed",
};

/** Whether a finish reason says that the answer was cut off. */
export function isTruncated(reason: string | null | undefined): boolean {
  return reason === "length" || reason === "max_tokens";
}

function meaningOf({ finish_reason, errors, calls }: UsageRow): string {
  if (finish_reason != null) return MEANINGS[finish_reason.toLowerCase()] ?? "";
  const good = (calls ?? 0) - (errors ?? 0);
  return `not told: ${showCount(errors)} failed, ${showCount(good)} others`;
}

const nameOf = ({ finish_reason }: UsageRow) => finish_reason ?? "Not told";

function makeColumns(all: number | undefined): readonly Column<UsageRow>[] {
  return [
    {
      key: "finish_reason",
      title: "Finish reason",
      value: (row) => row.finish_reason,
      show: nameOf,
    },
    { key: "meaning", title: "Meaning", value: meaningOf },
    countColumn("calls", "Calls", ({ calls }) => calls),
    shareColumn("calls_share", "Of all", ({ calls }) =>
      all === undefined || all === 0 ? null : (calls ?? 0) / all,
    ),
    countColumn("previous_calls", "Before", ({ previous }) => previous?.calls ?? 0),
    changeColumn("calls_change_share", "Change", ({ calls, previous }) =>
      changeOf(calls, previous?.calls),
    ),
  ];
}

/** The figure. */
export function FinishReasonsFigure({ answer }: { readonly answer: Answer<UsageAnswer> }): VNode {
  const table = useCallback(
    ({ rows, totals }: UsageAnswer): TableData<UsageRow> => ({
      columns: makeColumns(totals.calls),
      rows,
    }),
    [],
  );
  const chart = ({ rows, totals }: UsageAnswer) => ({
    makeOption: () =>
      groupBars(
        rows.map((row) => ({
          name: nameOf(row),
          value: row.calls ?? null,
          color: colorOfValue("finish_reason", row.finish_reason ?? null),
          text: showShare((row.calls ?? 0) / (totals.calls || 1)),
        })),
        "calls",
      ),
  });
  return html`<${Figure}
    title="Finish reasons"
    subtitle="Calls by why the model stopped, share of all"
    answer=${answer}
    file="finish_reasons"
    table=${table}
    chart=${chart}
    label=${({ rows }: UsageAnswer) =>
      `Finish reasons: ${rows.map((row) => `${nameOf(row)} ${showCount(row.calls)}`).join(", ")}`}
  />`;
}
