/** What failed: how many calls, of which kind, where, since when; and the latest of them. */
import type { CallsAnswer } from "../../schemas/api.ts";
import type { ErrorsAnswer } from "../../schemas/api-lists.ts";
import type { UsageAnswer } from "../../schemas/api-usage.ts";
import type { CallRow } from "../../schemas/call.ts";
import { type Answer, type Asked, useAnswer, useAsked } from "../answers.ts";
import { durationColumn, instantColumn, textColumn } from "../columns.ts";
import { callQueryOf } from "../figures/call-question.ts";
import {
  ErrorKindsFigure,
  KIND_ORDERS,
  MAX_KINDS,
  statusOfTypes,
  sumByStatus,
} from "../figures/error-kinds.ts";
import {
  FAILURE_GROUPS,
  FailureRateFigure,
  FailuresFigure,
  FailureTable,
  TOP_FAILURES,
} from "../figures/failures.ts";
import { FinishReasonsFigure, isTruncated } from "../figures/finish-reasons.ts";
import { Figure, Tile } from "../figure.ts";
import { chosen, FilterBar } from "../filters.ts";
import { showCount, showShare, UNKNOWN } from "../format.ts";
import { html, useCallback, useMemo, type VNode } from "../html.ts";
import type { TableData } from "../table.ts";
import { showInstant, stepOf } from "../time.ts";
import { linkTo, useParams } from "../url.ts";

/** Groups of a table, and the latest calls. */
const MAX_GROUPS = 100;
const LATEST_CALLS = 20;
const MEASURES = "calls,errors,error_rate";

/** The view. */
export function ErrorsView(): VNode {
  const asked = useAsked();
  const params = useParams();
  const group = chosen(params, "group_by", FAILURE_GROUPS);
  const { range, query } = asked;
  const step = stepOf(range);
  // Calls that did not fail have no type: they would be the largest group.
  const ranked = {
    ...query,
    ...(group === "error_type" ? { status: "error" } : {}),
    group_by: group,
    measures: MEASURES,
    order_by: "errors",
  };
  const kinds = useAnswer<ErrorsAnswer>("/v1/analytics/errors", {
    ...query,
    order_by: chosen(params, "order_by", KIND_ORDERS),
    limit: MAX_KINDS,
  });
  const answer = useAnswer<UsageAnswer>("/v1/usage", {
    ...ranked,
    interval: step,
    top: TOP_FAILURES,
    limit: 2000,
  });
  const totals = useAnswer<UsageAnswer>("/v1/usage", {
    ...query,
    interval: step,
    measures: MEASURES,
    limit: 1000,
  });
  const groups = useAnswer<UsageAnswer>("/v1/usage", {
    ...ranked,
    compare: "previous",
    limit: MAX_GROUPS,
  });
  const reasons = useAnswer<UsageAnswer>("/v1/usage", {
    ...query,
    group_by: "finish_reason",
    measures: "calls,errors",
    compare: "previous",
    limit: MAX_GROUPS,
  });
  const statuses = useMemo(() => statusOfTypes(kinds.data?.groups ?? []), [kinds.data]);
  const common = { group, answer, step, range };
  return html`<${FilterBar} />
    <${Tiles} kinds=${kinds} reasons=${reasons} />
    <div class="grid">
      <${FailuresFigure} ...${common} statuses=${statuses} key=${statuses.size} />
      <${FailureRateFigure} ...${common} totals=${totals} />
      <${FailureTable} group=${group} answer=${groups} statuses=${statuses} />
      <${FinishReasonsFigure} answer=${reasons} />
      <${ErrorKindsFigure} answer=${kinds} tz=${range.tz} />
      <${LatestFigure} asked=${asked} />
    </div>`;
}

interface TilesProps {
  readonly kinds: Answer<ErrorsAnswer>;
  readonly reasons: Answer<UsageAnswer>;
}

interface Told {
  readonly title: string;
  /** Calls; null when not known. */
  readonly count: number | null;
  readonly shown?: string;
  readonly note: string;
  readonly answer: Answer<unknown>;
}

function tilesOf({ kinds, reasons }: TilesProps): readonly Told[] {
  const { data } = kinds;
  const sums = sumByStatus(data?.groups ?? []);
  // Kinds that the list leaves out may be of any status.
  const least = data?.truncated === true ? "at least; " : "";
  const ofErrors = (count: number) =>
    data === null || data.errors === 0
      ? ""
      : `${least}${showShare(count / data.errors)} of the failed`;
  const before = data?.previous;
  const before_rate =
    before === undefined || before.calls === 0 ? null : before.errors / before.calls;
  const truncated = reasons.data?.rows.filter((row) => isTruncated(row.finish_reason)) ?? [];
  const cut = truncated.reduce((sum, { calls }) => sum + (calls ?? 0), 0);
  const count = (value: number) => (data === null ? null : value);
  return [
    {
      title: "Failed calls",
      count: count(data?.errors ?? 0),
      note: `before: ${showCount(before?.errors)}`,
      answer: kinds,
    },
    {
      title: "Error rate",
      count: data?.error_rate ?? null,
      shown: showShare(data?.error_rate),
      note: `before: ${showShare(before_rate)}`,
      answer: kinds,
    },
    {
      title: "Rate limited (429)",
      count: count(sums.rate_limited),
      note: ofErrors(sums.rate_limited),
      answer: kinds,
    },
    {
      title: "Server errors (5xx)",
      count: count(sums.server),
      note: ofErrors(sums.server),
      answer: kinds,
    },
    {
      title: "Other refusals",
      count: count(sums.client),
      note: ofErrors(sums.client),
      answer: kinds,
    },
    {
      title: "Without a status",
      count: count(sums.without),
      note: ofErrors(sums.without),
      answer: kinds,
    },
    {
      title: "New kinds",
      count: count(data?.groups.filter(({ is_new }) => is_new).length ?? 0),
      note: "not seen before",
      answer: kinds,
    },
    {
      title: "Cut off (length)",
      count: reasons.data === null ? null : cut,
      note: `${showShare(cut / (reasons.data?.totals.calls || 1))} of all calls`,
      answer: reasons,
    },
  ];
}

function Tiles(props: TilesProps): VNode {
  return html`<div class="tiles">
    ${tilesOf(props).map(({ title, count, shown, note, answer }) => {
      const is_waiting = answer.data === null && answer.problem === null;
      return html`<${Tile}
        title=${title}
        value=${is_waiting ? null : answer.data === null ? UNKNOWN : (shown ?? showCount(count))}
        exact=${count?.toString()}
        note=${answer.data === null ? "" : note}
      />`;
    })}
  </div>`;
}

function makeLatest(tz: string) {
  return ({ calls }: CallsAnswer): TableData<CallRow> => ({
    columns: [
      {
        ...instantColumn<CallRow>("start_time", "Start", ({ start_time }) => start_time, tz),
        show: ({ call_id, start_time }) =>
          html`<a href=${linkTo("call", { call_id })}
            >${showInstant(Date.parse(start_time), tz)}</a
          >`,
      },
      textColumn("error_type", "Error type", ({ error_type }) => error_type),
      textColumn("http_status", "HTTP", ({ http_status }) => http_status),
      textColumn("provider", "Provider", ({ provider }) => provider),
      textColumn("model", "Model", (row) => row.response_model ?? row.request_model),
      textColumn("service_name", "Service", ({ service_name }) => service_name),
      textColumn("user_id", "User", ({ user_id }) => user_id),
      durationColumn("duration_ns", "Duration", ({ duration_ns }) => duration_ns),
      {
        key: "trace_id",
        title: "Trace",
        value: ({ trace_id }) => trace_id,
        show: ({ trace_id }) =>
          html`<a title=${trace_id} href=${linkTo("trace", { trace_id })}
            >${trace_id.slice(0, 8)}…</a
          >`,
      },
    ],
    rows: calls,
  });
}

/** The failed calls that came last. */
function LatestFigure({ asked }: { readonly asked: Asked }): VNode {
  const { tz } = asked.range;
  const answer = useAnswer<CallsAnswer>("/v1/calls", {
    ...callQueryOf(asked),
    status: "error",
    limit: LATEST_CALLS,
  });
  const table = useCallback(makeLatest(tz), [tz]);
  return html`<${Figure}
    title="Latest failed calls"
    subtitle=${`The last ${LATEST_CALLS}, newest first`}
    width="full"
    answer=${answer}
    file="failed_calls"
    table=${table}
    when_empty="No call in this range failed."
    footer=${({ next_cursor }: CallsAnswer) =>
      next_cursor !== null &&
      html`<a href=${linkTo("calls", { status: "error" })}>All failed calls of the range</a>`}
  />`;
}
