/** Calls as they arrive, the latest to arrive on top, and what they came to since one began to look. */
import type { LiveFrame } from "../../schemas/api-live.ts";
import type { Answer } from "../answers.ts";
import { countColumn, durationColumn, instantColumn, textColumn, usdColumn } from "../columns.ts";
import { CallCost, CallStatus, NO_FILTERS } from "../figures/call-parts.ts";
import { type LiveMoment, useLive } from "../figures/live-follow.ts";
import { MAX_LISTED, type SeenCall } from "../figures/live-tail.ts";
import { Figure, Tile } from "../figure.ts";
import { FilterBar } from "../filters.ts";
import { showCount, showShare, showShort, showUsd } from "../format.ts";
import { html, useCallback, useEffect, useMemo, useRef, useState, type VNode } from "../html.ts";
import type { Column, TableData } from "../table.ts";
import { showAge, showInstant, zoneOf } from "../time.ts";
import { FILTER_NAMES, linkTo, useParams } from "../url.ts";

/** Every how long the summary is told to screen readers, ms. */
const TELL_MS = 15_000;
/** Least height of the list, CSS pixels. */
const LIST_HEIGHT = 480;

/** The view. */
export function LiveView(): VNode {
  const params = useParams();
  const tz = zoneOf(params);
  const [now, openAgain] = useLive(params);
  const [paused, setPaused] = useState<LiveMoment | null>(null);
  // Other filters begin a new tail: what was held of the old one is gone.
  const held = paused !== null && paused.since_ms === now.since_ms ? paused : null;
  const has_filters = FILTER_NAMES.some((name) => params.has(name));
  const moment = held ?? now;
  const waiting = now.seen.calls - moment.seen.calls;
  return html`<${FilterBar} has_range=${false} has_refresh=${false} />
    <div class="live-bar">
      <${StateLine} moment=${now} openAgain=${openAgain} />
      <span class="spring"></span>
      <button class="primary" onClick=${() => setPaused(held === null ? now : null)}>
        ${held === null ? "Pause" : `Continue${waiting > 0 ? ` (${showCount(waiting)} more)` : ""}`}
      </button>
    </div>
    <${SeenTiles} moment=${moment} tz=${tz} />
    <div class="grid">
      <${CallsFigure} moment=${moment} tz=${tz} has_filters=${has_filters} />
    </div>
    <${Summary} moment=${now} tz=${tz} />`;
}

/** A text that follows the clock. */
function useClock(interval_ms: number): number {
  const [now_ms, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), interval_ms);
    return () => clearInterval(timer);
  }, [interval_ms]);
  return now_ms;
}

interface StateProps {
  readonly moment: LiveMoment;
  readonly openAgain: () => void;
}

interface StateWords {
  readonly mark: string;
  readonly words: string;
  readonly is_bad?: boolean;
  readonly has_button?: boolean;
}

function wordsOf(
  { state, was_connected, is_storage_well }: LiveMoment,
  now_ms: number,
): StateWords {
  switch (state.kind) {
    case "connecting":
      return { mark: "○", words: was_connected ? "Connecting again…" : "Connecting…" };
    case "connected":
      return is_storage_well
        ? {
            mark: "●",
            words: was_connected
              ? "Connected again: going on where it broke off."
              : "Connected: calls appear within five seconds.",
          }
        : { mark: "▲", words: "Connected, but the storage does not answer now.", is_bad: true };
    case "waiting": {
      const seconds = Math.max(0, Math.ceil((state.until_ms - now_ms) / 1000));
      const words = `${state.words} Connecting again in ${seconds} s.`;
      return { mark: "▲", words, is_bad: true, has_button: true };
    }
    case "refused":
      return { mark: "✕", words: state.words, is_bad: true, has_button: true };
    case "asleep":
      return { mark: "○", words: "Asleep: nobody looked for a minute.", has_button: true };
  }
}

/** How the stream is. */
function StateLine({ moment, openAgain }: StateProps): VNode {
  const { mark, words, is_bad = false, has_button = false } = wordsOf(moment, useClock(1000));
  const css = is_bad ? "live-state bad" : "live-state";
  return html`<span class=${css} data-state=${moment.state.kind}>
      <span class="live-mark" aria-hidden="true">${mark}</span> ${words}</span
    >
    ${has_button && html`<button onClick=${openAgain}>Connect now</button>`}`;
}

interface MomentProps {
  readonly moment: LiveMoment;
  readonly tz: string;
}

type Sums = Extract<LiveFrame, { kind: "totals" }>["today"];

function sumsNote({ errors, cost_usd, calls }: Sums): string {
  const share = calls === 0 ? "" : `, ${showShare(errors / calls)} failed`;
  return `${showUsd(cost_usd)}${share}`;
}

function SeenTiles({ moment, tz }: MomentProps): VNode {
  const { seen, sums, since_ms } = moment;
  const since = `since ${showInstant(since_ms, tz).split(", ").at(-1)}`;
  const tokens = seen.input_total + seen.output_total;
  const unpriced = `▲ ${showCount(seen.unpriced)} without a whole price`;
  return html`<div class="tiles live-tiles">
    <${Tile}
      title="Calls seen"
      value=${showCount(seen.calls)}
      exact=${String(seen.calls)}
      note=${since}
    />
    <${Tile}
      title="Their cost"
      value=${showUsd(seen.cost_usd)}
      exact=${seen.cost_usd}
      note=${seen.unpriced === 0 ? "US dollars" : unpriced}
    />
    <${Tile}
      title="Their tokens"
      value=${showShort(tokens)}
      exact=${`${seen.input_total} in, ${seen.output_total} out`}
      note=${`${showShort(seen.input_total)} in, ${showShort(seen.output_total)} out`}
    />
    <${Tile}
      title="Failed"
      value=${showCount(seen.failed)}
      exact=${String(seen.failed)}
      note=${seen.calls === 0 ? "" : `${showShare(seen.failed / seen.calls)} of those seen`}
      href=${linkTo("errors", { range: "1h" })}
    />
    <${Tile}
      title="All calls, last 5 min"
      value=${sums === null ? null : showCount(sums.last_5m.calls)}
      exact=${sums?.last_5m.cost_usd ?? undefined}
      note=${sums === null ? "" : sumsNote(sums.last_5m)}
    />
    <${Tile}
      title="All calls, today (UTC)"
      value=${sums === null ? null : showCount(sums.today.calls)}
      exact=${sums?.today.cost_usd ?? undefined}
      note=${sums === null ? "" : sumsNote(sums.today)}
    />
  </div>`;
}

function liveColumns(tz: string): readonly Column<SeenCall>[] {
  return [
    {
      ...instantColumn<SeenCall>("arrived_at", "Arrived", ({ arrived_at }) => arrived_at, tz),
      // Whoever looks knows the day.
      show: ({ arrived_at }) =>
        html`<span title=${showInstant(Date.parse(arrived_at), tz)}
          >${showInstant(Date.parse(arrived_at), tz).split(", ").at(-1)}</span
        >`,
      hint: "When the server told of it; a call is told of when it ends, or later",
    },
    {
      key: "start_time",
      title: `Start (${tz})`,
      value: ({ start_time }) => start_time,
      show: ({ call_id, start_time }) =>
        html`<a href=${linkTo("call", { ...NO_FILTERS, call_id })}
          >${showInstant(Date.parse(start_time), tz)}</a
        >`,
    },
    textColumn("model", "Model", (row) => row.response_model ?? row.request_model),
    textColumn("service_name", "Service", ({ service_name }) => service_name),
    textColumn("user_id", "User", ({ user_id }) => user_id),
    {
      key: "status",
      title: "Status",
      value: ({ status }) => status,
      show: (call) => html`<${CallStatus} call=${call} />`,
    },
    countColumn("input_total", "Tokens in", ({ input_total }) => input_total),
    countColumn("output_total", "Tokens out", ({ output_total }) => output_total),
    durationColumn("duration_ns", "Duration", ({ duration_ns }) => duration_ns),
    {
      ...usdColumn<SeenCall>("cost_usd", "Cost, USD", ({ cost_usd }) => cost_usd),
      show: (call) => html`<${CallCost} call=${call} />`,
    },
    {
      key: "trace_id",
      title: "Trace",
      value: ({ trace_id }) => trace_id,
      show: ({ trace_id }) =>
        html`<a title=${trace_id} href=${linkTo("trace", { ...NO_FILTERS, trace_id })}
          >${trace_id.slice(0, 8)}…</a
        >`,
    },
  ];
}

interface CallsProps extends MomentProps {
  readonly has_filters: boolean;
}

function CallsFigure({ moment, tz, has_filters }: CallsProps): VNode {
  const answer: Answer<readonly SeenCall[]> = useMemo(
    () => ({ data: moment.rows, problem: null, is_loading: false, reload: () => {} }),
    [moment.rows],
  );
  const table = useCallback(
    (rows: readonly SeenCall[]): TableData<SeenCall> => ({ columns: liveColumns(tz), rows }),
    [tz],
  );
  const missed = moment.is_unsure
    ? " Some changes may have been missed while the stream was closed."
    : "";
  const left_out =
    moment.left_out === 0
      ? ""
      : ` ${showCount(moment.left_out)} more changes came too fast to be shown one by one; they are not in the sums of what was seen.`;
  const filters = has_filters
    ? " Filters choose what is listed and seen; the sums of the last five minutes and of today are of all calls."
    : "";
  return html`<${Figure}
    title="Calls as they arrive"
    subtitle=${`The latest to arrive on top, at most ${MAX_LISTED}; history that is sent late arrives late`}
    width="full"
    height=${LIST_HEIGHT}
    answer=${answer}
    file="live_calls"
    table=${table}
    can_sort=${false}
    when_empty="Nothing has come yet. Calls appear here by themselves."
    footer=${() => `${missed}${left_out}${filters}`.trim()}
  />`;
}

/** What screen readers are told now and then, not row by row. */
function Summary({ moment, tz }: MomentProps): VNode {
  const [words, setWords] = useState("");
  const latest = useRef(moment);
  latest.current = moment;
  const { kind } = moment.state;
  useEffect(() => {
    const tell = () => {
      const { seen, since_ms, state } = latest.current;
      const now_ms = Date.now();
      setWords(
        state.kind === "connected"
          ? `${showCount(seen.calls)} calls, ${showUsd(seen.cost_usd)}, ${showCount(seen.failed)} failed; began ${showAge(since_ms, now_ms)}`
          : wordsOf(latest.current, now_ms).words,
      );
    };
    tell();
    const timer = setInterval(tell, TELL_MS);
    return () => clearInterval(timer);
  }, [kind, tz]);
  return html`<p class="hidden" role="status">${words}</p>`;
}
