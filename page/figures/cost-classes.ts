/** Cost by token class and fees over time, and what the cache saved: two figures of one answer. */
import type { UsageAnswer, UsageRow } from "../../schemas/api-usage.ts";
import type { TokenClass } from "../../schemas/tokens.ts";
import { colorOf } from "../colors.ts";
import { shareColumn, usdColumn } from "../columns.ts";
import { Figure, Legend } from "../figure.ts";
import { showShare, showUsd } from "../format.ts";
import { html, useCallback, useMemo, type VNode } from "../html.ts";
import { isNothing, subtractUsd } from "../money.ts";
import { type Series, timeSeries } from "../series.ts";
import type { TableData } from "../table.ts";
import { type StepsProps, timeColumn, valuesOf } from "./steps.ts";
import { CLASS_TITLES, TOKEN_CLASS_NAMES } from "./usage.ts";

/** Measures that the figures need. */
export const CLASS_MEASURES =
  "cost_usd,cost,fees_usd,cache_hit_share,cache_savings_usd,cache_write_surcharge_usd";

/** A part of the cost: a token class, or the fees. */
interface Part {
  readonly key: string;
  readonly title: string;
  readonly color: TokenClass | "fees";
  readonly read: (values: Pick<UsageRow, "cost" | "fees_usd">) => string | null | undefined;
}

const PARTS: readonly Part[] = [
  ...TOKEN_CLASS_NAMES.map((name) => ({
    key: `cost_${name}_usd`,
    title: CLASS_TITLES[name],
    color: name,
    read: ({ cost }: Pick<UsageRow, "cost">) => cost?.[name],
  })),
  {
    key: "fees_usd",
    title: "Fees by the piece",
    color: "fees",
    read: ({ fees_usd }) => fees_usd,
  },
];

/** The parts of the cost that any of the steps has, in the order of the token classes. */
export function partsOf(totals: UsageAnswer["totals"]): readonly Part[] {
  return PARTS.filter(({ read }) => !isNothing(read(totals)));
}

function toNumber(usd: string | null | undefined): number | null {
  return usd === null || usd === undefined ? null : Number(usd);
}

/** Cost by class. */
export function CostClassesFigure({ answer, step, range }: StepsProps): VNode {
  const parts = useMemo(
    () => (answer.data === null ? [] : partsOf(answer.data.totals)),
    [answer.data],
  );
  const chart = (data: UsageAnswer) => ({
    makeOption: () =>
      timeSeries({
        series: parts.map(({ title, color, read }) => ({
          name: title,
          color: colorOf(color),
          values: valuesOf(data, (row) => toNumber(read(row))),
        })),
        step,
        range,
        unit: "usd",
        kind: "bar",
      }),
  });
  const table = useCallback(
    (data: UsageAnswer): TableData<UsageRow> => ({
      columns: [
        timeColumn(),
        usdColumn("cost_usd", "Cost, USD", ({ cost_usd }) => cost_usd, {
          coverage: ({ coverage }) => coverage,
        }),
        ...parts.map(({ key, title, read }) => usdColumn<UsageRow>(key, `${title}, USD`, read)),
      ],
      rows: data.rows,
    }),
    [parts],
  );
  return html`<${Figure}
    title="Cost by class"
    subtitle=${`US dollars by class of tokens and ${step}, ${range.tz}`}
    width="wide"
    answer=${answer}
    file="cost-by-class"
    table=${table}
    chart=${chart}
    label=${({ totals }: UsageAnswer) => `Cost by class of tokens and ${step}: ${partWords(totals)}`}
    coverage=${(data: UsageAnswer) => data.coverage}
    isEmpty=${() => parts.length === 0}
    when_empty="No call in this range has a price."
    footer=${({ totals }: UsageAnswer) => html`<${Legend} items=${legendOf(totals)} />`}
  />`;
}

function partWords(totals: UsageAnswer["totals"]): string {
  return partsOf(totals)
    .map(({ title, read }) => `${title} ${showUsd(read(totals))}`)
    .join(", ");
}

function legendOf(totals: UsageAnswer["totals"]) {
  return partsOf(totals).map(({ title, color, read }) => ({
    name: `${title} ${showUsd(read(totals))}`,
    color: colorOf(color),
  }));
}

function netOf(values: Pick<UsageRow, "cache_savings_usd" | "cache_write_surcharge_usd">) {
  return subtractUsd(values.cache_savings_usd, values.cache_write_surcharge_usd ?? "0");
}

const SAVED = "Saved by reading";
const SURCHARGE = "Paid more for writing";

/** What reading from the cache saved, and what writing to it cost more. */
export function CacheFigure({ answer, step, range }: StepsProps): VNode {
  const chart = (data: UsageAnswer) => ({
    makeOption: () =>
      timeSeries({ series: cacheSeries(data), step, range, unit: "usd", kind: "bar" }),
  });
  const table = useCallback(
    (data: UsageAnswer): TableData<UsageRow> => ({
      columns: [
        timeColumn(),
        shareColumn("cache_hit_share", "Read from cache", ({ cache_hit_share }) => cache_hit_share),
        usdColumn("cache_savings_usd", `${SAVED}, USD`, (row) => row.cache_savings_usd),
        usdColumn(
          "cache_write_surcharge_usd",
          `${SURCHARGE}, USD`,
          (row) => row.cache_write_surcharge_usd,
        ),
        usdColumn("net_usd", "Net, USD", netOf),
      ],
      rows: data.rows,
    }),
    [],
  );
  const items = [
    { name: SAVED, color: colorOf("cache_read") },
    { name: SURCHARGE, color: colorOf("cache_write_5m") },
  ];
  return html`<${Figure}
    title="What the cache saved"
    subtitle=${`US dollars by ${step}`}
    answer=${answer}
    file="cache"
    table=${table}
    chart=${chart}
    label=${cacheWords}
    isEmpty=${hasNoCache}
    when_empty="No call in this range used a provider's cache."
    footer=${(data: UsageAnswer) =>
      !hasNoCache(data) && html`<${Legend} items=${items} /> <span>${cacheWords(data)}</span>`}
  />`;
}

function hasNoCache({ totals }: UsageAnswer): boolean {
  return totals.cache_savings_usd === null && totals.cache_write_surcharge_usd === null;
}

/** Bars up for what was saved, down for what was paid more. */
function cacheSeries(data: UsageAnswer): Series[] {
  return [
    {
      name: SAVED,
      color: colorOf("cache_read"),
      values: valuesOf(data, (row) => toNumber(row.cache_savings_usd)),
    },
    {
      name: SURCHARGE,
      color: colorOf("cache_write_5m"),
      values: valuesOf(data, (row) => toNumber(subtractUsd("0", row.cache_write_surcharge_usd))),
    },
  ];
}

function cacheWords({ totals }: UsageAnswer): string {
  const saved = showUsd(totals.cache_savings_usd);
  const surcharge = showUsd(totals.cache_write_surcharge_usd);
  const share = showShare(totals.cache_hit_share);
  return `${share} of the prompt tokens were read from a cache. Saved ${saved}, paid ${surcharge} more for writing: ${showUsd(netOf(totals))} net.`;
}
