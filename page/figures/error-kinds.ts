/** Kinds of errors by `GET /v1/analytics/errors`: what failed how, since when, for whom, with samples. */
import type { ErrorsAnswer } from "../../schemas/api-lists.ts";
import type { Answer } from "../answers.ts";
import { countColumn, instantColumn, linkColumn, textColumn } from "../columns.ts";
import { Figure } from "../figure.ts";
import { showCount } from "../format.ts";
import { ParamChoice } from "../filters.ts";
import { html, useCallback, type VNode } from "../html.ts";
import type { Column, TableData } from "../table.ts";
import { linkTo } from "../url.ts";
import type { StatusOfType } from "./failures.ts";

/** Kinds that are asked for; an answer of them has about 120 kB. */
export const MAX_KINDS = 200;

/** What kinds can be ordered by; the parameter is `order_by`. */
export const KIND_ORDERS = [
  ["calls", "most calls first"],
  ["last_seen", "latest first"],
  ["users", "most users first"],
] as const;

export type Kind = ErrorsAnswer["groups"][number];

/** Failed calls by the class of their status of HTTP. */
export interface StatusSums {
  readonly rate_limited: number;
  readonly server: number;
  readonly client: number;
  readonly without: number;
}

/** Adds up kinds by their status: 429 apart from other refusals. */
export function sumByStatus(kinds: readonly Kind[]): StatusSums {
  const sums = { rate_limited: 0, server: 0, client: 0, without: 0 };
  for (const { http_status, calls } of kinds) {
    if (http_status === null) sums.without += calls;
    else if (http_status === 429) sums.rate_limited += calls;
    else if (http_status >= 500) sums.server += calls;
    else sums.client += calls;
  }
  return sums;
}

/** The status of each error type whose calls all have the same one. */
export function statusOfTypes(kinds: readonly Kind[]): StatusOfType {
  const statuses = new Map<string, Set<number | null>>();
  for (const { error_type, http_status } of kinds) {
    if (error_type === null) continue;
    const known = statuses.get(error_type) ?? new Set();
    statuses.set(error_type, known.add(http_status));
  }
  const single = new Map<string, number>();
  for (const [type, known] of statuses) {
    const [status = null] = known;
    if (known.size === 1 && status !== null) single.set(type, status);
  }
  return single;
}

/** The filters of the calls that a kind counts; one without a value is asked for as the empty text. */
export const failedCalls = ({ error_type, model, provider }: Kind) => ({
  status: "error",
  error_type: error_type ?? "",
  model: model ?? "",
  provider: provider ?? "",
});

function kindColumns(tz: string): readonly Column<Kind>[] {
  return [
    linkColumn("error_type", "Error type", ({ error_type }) => error_type, {
      view: "calls",
      patch: failedCalls,
    }),
    {
      ...textColumn<Kind>("http_status", "HTTP", ({ http_status }) => http_status),
      hint: "Status of HTTP; 429 is a rate limit",
    },
    textColumn("provider", "Provider", ({ provider }) => provider),
    textColumn("model", "Model", ({ model }) => model),
    countColumn("calls", "Calls", ({ calls }) => calls),
    {
      ...countColumn<Kind>("calls_before", "Before", ({ calls_before }) => calls_before),
      show: ({ calls_before, is_new }) =>
        is_new ? html`<strong class="new-kind">new</strong>` : showCount(calls_before),
      hint: "Calls in the period of the same length before; new: there were none",
    },
    countColumn("users", "Users", ({ users }) => users),
    textColumn("services", "Services", ({ services }) => services.join(", ")),
    instantColumn("last_seen", "Last", ({ last_seen }) => last_seen, tz),
    {
      key: "sample_trace_ids",
      title: "Traces",
      value: ({ sample_trace_ids }) => sample_trace_ids.join(" "),
      show: ({ sample_trace_ids }) =>
        html`${sample_trace_ids.map(
          (trace_id, index) =>
            html`<a class="sample" title=${trace_id} href=${linkTo("trace", { trace_id })}
              ><span class="hidden">trace </span>${index + 1}</a
            >`,
        )}`,
    },
    textColumn("message", "Message", ({ message }) => message),
  ];
}

/** The list. */
export function ErrorKindsFigure({
  answer,
  tz,
}: {
  readonly answer: Answer<ErrorsAnswer>;
  readonly tz: string;
}): VNode {
  const table = useCallback(
    ({ groups }: ErrorsAnswer): TableData<Kind> => {
      const has_messages = groups.some(({ message }) => message !== null);
      const columns = kindColumns(tz).filter(({ key }) => has_messages || key !== "message");
      return { columns, rows: groups };
    },
    [tz],
  );
  return html`<${Figure}
    title="Kinds of errors"
    subtitle="Failed calls by type, status, provider and model"
    width="full"
    answer=${answer}
    file="error_kinds"
    table=${table}
    when_empty="No call in this range failed."
    aside=${html`<${ParamChoice} name="order_by" title="" choices=${KIND_ORDERS} />`}
    footer=${({ truncated }: ErrorsAnswer) =>
      truncated ? `The first ${MAX_KINDS} kinds are shown.` : null}
  />`;
}
