/** Calls, tokens and speed over time: three figures of one answer of `GET /v1/usage`. */
import type { UsageAnswer, UsageRow } from "../../schemas/api-usage.ts";
import type { TOKEN_CLASSES, TokenClass } from "../../schemas/tokens.ts";
import { colorOf } from "../colors.ts";
import { countColumn, durationColumn } from "../columns.ts";
import { Figure, Legend } from "../figure.ts";
import { showCount } from "../format.ts";
import { html, useCallback, useMemo, type VNode } from "../html.ts";
import { timeSeries } from "../series.ts";
import type { TableData } from "../table.ts";
import { linkTo } from "../url.ts";
import { pickStep } from "./lines.ts";
import { type StepsProps, timeColumn, valuesOf } from "./steps.ts";

/** Measures that the figures need. */
export const USAGE_MEASURES = "calls,errors,tokens,duration,ttft";

/** Token classes, in the order of the API. */
export const TOKEN_CLASS_NAMES = [
  "input_uncached",
  "cache_read",
  "cache_write_5m",
  "cache_write_1h",
  "cache_write",
  "output_text",
  "output_reasoning",
  "input_audio",
  "output_audio",
  "input_image",
  "output_image",
] as const satisfies typeof TOKEN_CLASSES;

/** Their titles. */
export const CLASS_TITLES: Readonly<Record<TokenClass, string>> = {
  input_uncached: "Input, uncached",
  cache_read: "Cache read",
  cache_write_5m: "Cache write, 5 min",
  cache_write_1h: "Cache write, 1 h",
  cache_write: "Cache write",
  output_text: "Output text",
  output_reasoning: "Reasoning",
  input_audio: "Audio in",
  output_audio: "Audio out",
  input_image: "Images in",
  output_image: "Images out",
};

/** Good and failed calls. */
export function CallsFigure({ answer, step, range, height }: StepsProps): VNode {
  const chart = (data: UsageAnswer) => ({
    makeOption: () =>
      timeSeries({
        series: [
          {
            name: "Good calls",
            color: colorOf("calls"),
            values: valuesOf(data, ({ calls, errors }) => (calls ?? 0) - (errors ?? 0)),
          },
          {
            name: "Failed calls",
            color: colorOf("errors"),
            values: valuesOf(data, ({ errors }) => errors),
          },
        ],
        step,
        range,
        unit: "calls",
        kind: "bar",
      }),
    onPick: pickStep(data, { step, range }),
  });
  const table = useCallback(
    (data: UsageAnswer): TableData<UsageRow> => ({
      columns: [
        timeColumn(),
        countColumn("calls", "Calls", ({ calls }) => calls),
        countColumn("errors", "Failed", ({ errors }) => errors),
      ],
      rows: data.rows,
    }),
    [],
  );
  const label = ({ totals }: UsageAnswer) =>
    `Calls by ${step}, ${showCount(totals.calls)} in all, ${showCount(totals.errors)} failed`;
  const items = [
    { name: "Good", color: colorOf("calls") },
    { name: "Failed", color: colorOf("errors"), href: linkTo("errors") },
  ];
  return html`<${Figure}
    title="Calls"
    subtitle=${`Calls by ${step}`}
    answer=${answer}
    file="calls"
    height=${height}
    table=${table}
    chart=${chart}
    label=${label}
    footer=${() => html`<${Legend} items=${items} />`}
  />`;
}

/** Tokens by class. */
export function TokensFigure({ answer, step, range, height }: StepsProps): VNode {
  const known = useMemo(
    () => TOKEN_CLASS_NAMES.filter((name) => (answer.data?.totals.tokens?.[name] ?? 0) > 0),
    [answer.data],
  );
  const chart = (data: UsageAnswer) => ({
    makeOption: () =>
      timeSeries({
        series: known.map((name) => ({
          name: CLASS_TITLES[name],
          color: colorOf(name),
          values: valuesOf(data, ({ tokens }) => tokens?.[name]),
        })),
        step,
        range,
        unit: "tokens",
        kind: "bar",
      }),
    onPick: pickStep(data, { step, range }),
  });
  const table = useCallback(
    (data: UsageAnswer): TableData<UsageRow> => ({
      columns: [
        timeColumn(),
        ...known.map((name) =>
          countColumn<UsageRow>(
            `tokens_${name}`,
            CLASS_TITLES[name],
            ({ tokens }) => tokens?.[name],
          ),
        ),
      ],
      rows: data.rows,
    }),
    [known],
  );
  const items = known.map((name) => ({ name: CLASS_TITLES[name], color: colorOf(name) }));
  return html`<${Figure}
    title="Tokens"
    subtitle=${`Tokens by class and ${step}`}
    answer=${answer}
    file="tokens"
    height=${height}
    table=${table}
    chart=${chart}
    isEmpty=${() => known.length === 0}
    when_empty="No call in this range reported tokens."
    footer=${() => html`<${Legend} items=${items} />`}
  />`;
}

const QUANTILES = ["p50", "p95"] as const;

/** Duration and time to first token. */
export function SpeedFigure({ answer, step, range, height }: StepsProps): VNode {
  const chart = (data: UsageAnswer) => ({
    makeOption: () =>
      timeSeries({
        series: [
          ...QUANTILES.map((name) => ({
            name: `Duration, ${name}`,
            color: colorOf(name),
            values: valuesOf(data, ({ duration }) => duration?.[`${name}_ns`]),
          })),
          {
            name: "First token, p95",
            color: colorOf("ttft"),
            is_dashed: true,
            values: valuesOf(data, ({ ttft }) => ttft?.p95_ns),
          },
        ],
        step,
        range,
        unit: "ns",
        kind: "line",
      }),
    onPick: pickStep(data, { step, range }),
  });
  const table = useCallback(
    (data: UsageAnswer): TableData<UsageRow> => ({
      columns: [
        timeColumn(),
        ...QUANTILES.map((name) =>
          durationColumn<UsageRow>(
            `duration_${name}_ns`,
            `Duration, ${name}`,
            ({ duration }) => duration?.[`${name}_ns`],
          ),
        ),
        durationColumn("ttft_p95_ns", "First token, p95", ({ ttft }) => ttft?.p95_ns),
      ],
      rows: data.rows,
    }),
    [],
  );
  const items = [
    { name: "p50", color: colorOf("p50") },
    { name: "p95", color: colorOf("p95") },
    { name: "First token, p95 (dashed)", color: colorOf("ttft") },
  ];
  return html`<${Figure}
    title="Speed"
    subtitle=${`Duration of calls by ${step}`}
    answer=${answer}
    file="speed"
    height=${height}
    table=${table}
    chart=${chart}
    footer=${() => html`<${Legend} items=${items} />`}
  />`;
}
