/**
 * When the alert rules fire: the numbers to change for an installation, all in one place. After a change
 * `npm run grafana` writes the provisioning file anew; docs/guides/grafana.md lists them.
 *
 * Invariant: a rule compares with a number of this file and no other.
 */

/** A limit: above it (`above`) or below it (`below`) the rule fires. */
export interface Threshold {
  readonly value: number;
  readonly unit: "US dollars" | "share" | "times" | "seconds" | "items" | "calls";
  /** What it is the limit of. */
  readonly of: string;
}

export const THRESHOLDS = {
  hourly_spend: { value: 50, unit: "US dollars", of: "what a project spends in an hour" },
  projected_month: {
    value: 1,
    unit: "share",
    of: "its budget that a project will have spent at the end of the month, at the pace so far",
  },
  spend_spike: {
    value: 3,
    unit: "times",
    of: "the median of the same hour of the seven days before",
  },
  /** A spike below this is not worth a person's time. */
  spend_spike_least: { value: 5, unit: "US dollars", of: "an hour that counts as a spike" },
  session_spend: { value: 20, unit: "US dollars", of: "what a session spends in six hours" },
  error_ratio: { value: 0.1, unit: "share", of: "calls of a provider that fail, in 15 minutes" },
  latency_p95: {
    value: 60,
    unit: "seconds",
    of: "the p95 duration of a model's calls, in 15 minutes",
  },
  rate_limited: {
    value: 0.05,
    unit: "share",
    of: "calls of a provider that are answered with 429, in 15 minutes",
  },
  /** Shares and percentiles of fewer calls say little. */
  least_calls: { value: 20, unit: "calls", of: "a group that shares and percentiles are told of" },
  silence: { value: 1, unit: "items", of: "what collectors must accept in 30 minutes" },
  unpriced: { value: 10, unit: "calls", of: "calls of a model without a price, in an hour" },
  drops: { value: 100, unit: "items", of: "what collectors refuse or set aside, in 15 minutes" },
} as const satisfies Readonly<Record<string, Threshold>>;
