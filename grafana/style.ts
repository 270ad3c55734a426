/**
 * How values look: units by what is measured, and colours by what is meant, the same in every panel.
 *
 * Invariant: one meaning, one colour; a colour of a token class stands for nothing else.
 */
import type { TokenClass } from "../schemas/tokens.ts";

/** Grafana's units by ours. */
export const UNITS = {
  calls: "short",
  /** Whole numbers with separators, for tables. */
  count: "locale",
  tokens: "short",
  /** Shortened, for tiles and axes: $1.23K. */
  usd: "currencyUSD",
  /** To the hundredth of a cent, for tables: $1,234.5678. */
  usd_exact: "currency:financial:$",
  duration_ns: "ns",
  duration_s: "s",
  share: "percentunit",
  tokens_per_second: "suffix:tok/s",
  per_second: "cps",
  bytes: "bytes",
  text: "string",
  time: "dateTimeAsIso",
  /** A number without a unit. */
  none: "none",
} as const;
export type PanelUnit = keyof typeof UNITS;

/** Colours of Grafana's palette by what they mean. */
export const COLOURS = {
  cost: "#5794F2",
  calls: "#8F9BB3",
  tokens: "#33A2A8",
  error: "#E02F44",
  warning: "#FF9830",
  good: "#56A64B",
  latency_p50: "#B877D9",
  latency_p95: "#8F3BB8",
  latency_p99: "#5B1F7A",
  ttft: "#E0B400",
  /** What has to do with cached tokens: that of the class. */
  cached: "#73BF69",
  budget: "#FADE2A",
  forecast: "#B8C7E0",
  unknown: "#808791",
} as const;
export type Meaning = keyof typeof COLOURS;

/** How a token class is called and coloured wherever it is shown. */
export const CLASS_STYLES: Readonly<Record<TokenClass, { label: string; colour: string }>> = {
  input_uncached: { label: "Input", colour: "#3274D9" },
  cache_read: { label: "Cache read", colour: "#73BF69" },
  cache_write_5m: { label: "Cache write 5m", colour: "#37872D" },
  cache_write_1h: { label: "Cache write 1h", colour: "#19730E" },
  cache_write: { label: "Cache write", colour: "#4CA38D" },
  output_text: { label: "Output", colour: "#FF780A" },
  output_reasoning: { label: "Reasoning", colour: "#FFB357" },
  input_audio: { label: "Input audio", colour: "#8AB8FF" },
  output_audio: { label: "Output audio", colour: "#FA6400" },
  input_image: { label: "Input image", colour: "#C0D8FF" },
  output_image: { label: "Output image", colour: "#C15C17" },
};
