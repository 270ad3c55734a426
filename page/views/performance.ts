/** How fast calls are, and how many: right now, over time, and beside each other. */
import type { UsageAnswer } from "../../schemas/api-usage.ts";
import { type Asked, nowMs, useAnswer, useAsked } from "../answers.ts";
import { type Line, endOfStep, LinesFigure, nameStep } from "../figures/lines.ts";
import { NowTiles } from "../figures/now.ts";
import { ComparisonFigure, maxCompared } from "../figures/comparison.ts";
import { SpeedTable } from "../figures/speed-groups.ts";
import { type StepsProps, timeOf } from "../figures/steps.ts";
import { FilterBar } from "../filters.ts";
import { showCount } from "../format.ts";
import { html, useMemo, type VNode } from "../html.ts";
import { endToMs, type Range, type Step, stepOf } from "../time.ts";

const MEASURES = "calls,errors,error_rate,duration,ttft,output_tokens_per_second";

/** The view. */
export function PerformanceView(): VNode {
  const asked = useAsked();
  return html`<${FilterBar} />
    <${NowTiles} asked=${asked} />
    <div class="grid">
      <${OverTime} asked=${asked} />
      <${ComparisonFigure} asked=${asked} />
      <${SpeedTable} asked=${asked} most=${maxCompared(stepOf(asked.range), asked.range)} />
    </div>`;
}

const QUANTILES = ["p50", "p90", "p95", "p99"] as const;

function latencyLines(measure: "duration" | "ttft"): readonly Line[] {
  return [
    ...QUANTILES.map((name): Line => ({
      key: `${measure}_${name}_ns`,
      title: name,
      color: name,
      read: (row) => row[measure]?.[`${name}_ns`],
    })),
    {
      key: `${measure}_mean_ns`,
      title: "mean",
      color: "other",
      read: (row) => row[measure]?.mean_ns,
      is_dashed: true,
    },
  ];
}

const DURATION_LINES = latencyLines("duration");
const TTFT_LINES = latencyLines("ttft");
const PACE_LINES: readonly Line[] = [
  {
    key: "output_tokens_per_second",
    title: "Output tokens a second",
    color: "output",
    read: (row) => row.output_tokens_per_second,
  },
];
const ERROR_LINES: readonly Line[] = [
  {
    key: "error_rate",
    title: "Failed calls",
    color: "errors",
    read: ({ error_rate }) => error_rate,
  },
];

/** The minutes of a step that lie in the range and are over, at least one. */
function minutesOf(start_ms: number, step: Step, range: Range): number {
  const { from, to, tz } = range;
  const first_ms = Math.max(start_ms, endToMs(from, tz));
  const last_ms = Math.min(endOfStep(start_ms, step, tz), endToMs(to, tz), nowMs());
  return Math.max(1, (last_ms - first_ms) / 60_000);
}

function makeRateLines(step: Step, range: Range): readonly Line[] {
  return [
    {
      key: "calls_per_minute",
      title: "Calls a minute",
      color: "calls",
      read: (row) => (row.calls ?? 0) / minutesOf(timeOf(row), step, range),
    },
  ];
}

function OverTime({ asked }: { readonly asked: Asked }): VNode {
  const { range, query } = asked;
  const step = stepOf(range);
  const answer = useAnswer<UsageAnswer>("/v1/usage", {
    ...query,
    interval: step,
    measures: MEASURES,
    limit: 1000,
  });
  const steps: StepsProps = { answer, step, range };
  const rate_lines = useMemo(() => makeRateLines(step, range), [step, range]);
  const totals = answer.data?.totals;
  return html`<${LinesFigure}
      ...${steps}
      title="Duration"
      subtitle=${`Duration of calls, by ${nameStep(step)}`}
      unit="ns"
      lines=${DURATION_LINES}
      file="duration"
      width="wide"
    />
    <${LinesFigure}
      ...${steps}
      title="Calls a minute"
      subtitle=${`Mean of the ${nameStep(step)}; ${showCount(totals?.calls)} calls in all`}
      unit="per_minute"
      kind="bar"
      lines=${rate_lines}
      file="calls_per_minute"
    />
    <${LinesFigure}
      ...${steps}
      title="First token"
      subtitle=${`By ${nameStep(step)}; ${showCount(totals?.ttft?.calls)} calls tell it`}
      unit="ns"
      lines=${TTFT_LINES}
      file="first_token"
      when_empty="No call in this range tells when its first token came."
    />
    <${LinesFigure}
      ...${steps}
      title="Output tokens a second"
      subtitle=${`Over the whole duration of calls, by ${nameStep(step)}`}
      unit="per_second"
      lines=${PACE_LINES}
      file="output_tokens_per_second"
      when_empty="No call in this range reported output tokens."
    />
    <${LinesFigure}
      ...${steps}
      title="Failed calls"
      subtitle=${`Share of calls, by ${nameStep(step)}`}
      unit="share"
      lines=${ERROR_LINES}
      file="error_rate"
    />`;
}
