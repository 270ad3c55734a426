/** What happens right now: the last five minutes by `GET /v1/analytics/metrics/current`. */
import type { CurrentAnswer } from "../../schemas/api-analytics.ts";
import { type Asked, useAnswer } from "../answers.ts";
import { Tile } from "../figure.ts";
import {
  showCount,
  showDuration,
  showRate,
  showShare,
  showShort,
  showUsd,
  UNKNOWN,
} from "../format.ts";
import { html, type VNode } from "../html.ts";
import { linkTo, type ViewName } from "../url.ts";

interface NowTile {
  readonly title: string;
  readonly show: (data: CurrentAnswer) => string;
  /** All digits. */
  readonly exact: (data: CurrentAnswer) => number | string | null;
  readonly note: (data: CurrentAnswer) => string;
  readonly view: ViewName;
}

const beforeText = (text: string) => `before: ${text}`;

const NOW_TILES: readonly NowTile[] = [
  {
    title: "Calls/min",
    show: ({ per_minute }) => showRate(per_minute.calls),
    exact: ({ per_minute }) => per_minute.calls,
    note: ({ previous, window_s }) =>
      `before: ${showRate((previous.totals.calls / window_s) * 60)}`,
    view: "live",
  },
  {
    title: "Failed calls",
    show: ({ totals }) => showShare(totals.error_rate),
    exact: ({ totals }) => totals.error_rate,
    note: ({ totals }) => `${showCount(totals.errors)} of ${showCount(totals.calls)}`,
    view: "errors",
  },
  {
    title: "Duration, p50",
    show: ({ totals }) => showDuration(totals.duration.p50_ns),
    exact: ({ totals }) => totals.duration.p50_ns,
    note: ({ previous }) => beforeText(showDuration(previous.totals.duration.p50_ns)),
    view: "calls",
  },
  {
    title: "Duration, p95",
    show: ({ totals }) => showDuration(totals.duration.p95_ns),
    exact: ({ totals }) => totals.duration.p95_ns,
    note: ({ previous }) => beforeText(showDuration(previous.totals.duration.p95_ns)),
    view: "calls",
  },
  {
    title: "First token, p95",
    show: ({ totals }) => showDuration(totals.ttft.p95_ns),
    exact: ({ totals }) => totals.ttft.p95_ns,
    note: ({ totals }) => `${showShort(totals.ttft.calls)} calls tell`,
    view: "calls",
  },
  {
    title: "Tokens in/min",
    show: ({ per_minute }) => showShort(per_minute.input_tokens),
    exact: ({ per_minute }) => per_minute.input_tokens,
    note: () => "of the prompts",
    view: "costs",
  },
  {
    title: "Tokens out/min",
    show: ({ per_minute }) => showShort(per_minute.output_tokens),
    exact: ({ per_minute }) => per_minute.output_tokens,
    note: () => "of the answers",
    view: "costs",
  },
  {
    title: "Spend/min",
    show: ({ per_minute }) => showUsd(per_minute.cost_usd),
    exact: ({ per_minute }) => per_minute.cost_usd,
    note: ({ coverage }) =>
      coverage.calls_unpriced === 0
        ? "US dollars"
        : `▲ ${showCount(coverage.calls_unpriced)} unpriced`,
    view: "costs",
  },
];

/** The tiles; they ask by themselves, with the filters but not the range. */
export function NowTiles({ asked }: { readonly asked: Asked }): VNode {
  const { from: _from, to: _to, tz: _tz, ...filters } = asked.query;
  const { data, problem } = useAnswer<CurrentAnswer>("/v1/analytics/metrics/current", filters);
  const idle = data !== null && data.totals.calls === 0;
  return html`<p class="tiles-title" id="now-title">
      Right now: the last five minutes, whatever the range${idle ? ". No calls." : ""}
      ${problem !== null && html`<span class="problem-line" role="alert">${problem.message}</span>`}
    </p>
    <div class="tiles" role="group" aria-labelledby="now-title">
      ${NOW_TILES.map(
        ({ title, show, exact, note, view }) =>
          html`<${Tile}
            title=${title}
            value=${data === null ? (problem === null ? null : UNKNOWN) : show(data)}
            exact=${data === null ? undefined : (exact(data)?.toString() ?? undefined)}
            note=${data === null ? "" : note(data)}
            href=${linkTo(view)}
          />`,
      )}
    </div>`;
}
