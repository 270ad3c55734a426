/**
 * The live stream as the state of a component: drawn no more than twice a second, asleep while nobody
 * looks, and over when the view is left.
 *
 * Invariant: what is shown is a copy of one moment, so that it does not change while it is drawn.
 */
import type { LiveFrame } from "../../schemas/api-live.ts";
import { ask } from "../api.ts";
import { useEffect, useRef, useState } from "../html.ts";
import { FILTER_NAMES } from "../url.ts";
import { followLive, type LiveState } from "./live-stream.ts";
import { fitsFilters, LiveTail, type SeenCall, type SeenTotals } from "./live-tail.ts";

/** Least time between two drawings, ms. */
const DRAW_MS = 500;
/** How long the page may be hidden before the stream is closed, ms. */
const SLEEP_AFTER_MS = 60_000;

type Totals = Extract<LiveFrame, { kind: "totals" }>;

/** What is shown of the stream. */
export interface LiveMoment {
  readonly state: LiveState | { readonly kind: "asleep" };
  /** When this tail began, Unix ms. */
  readonly since_ms: number;
  readonly rows: readonly SeenCall[];
  readonly seen: SeenTotals;
  readonly left_out: number;
  readonly is_unsure: boolean;
  /** Sums of all calls by the server; null until it told them. */
  readonly sums: Totals | null;
  /** Whether the server could ask its storage when it last gave a sign of life. */
  readonly is_storage_well: boolean;
  /** Whether the stream has been open before. */
  readonly was_connected: boolean;
}

/** Keeps a tail and its stream together, outside of what is drawn. */
class LiveSession {
  readonly #project: string | null;
  readonly #onMoment: (moment: LiveMoment) => void;
  readonly #tail: LiveTail;
  readonly #since_ms = Date.now();
  #state: LiveMoment["state"] = { kind: "connecting" };
  #sums: Totals | null = null;
  #is_storage_well = true;
  #was_connected = false;
  #last_id: string | null = null;
  #stop: (() => void) | null = null;
  #drawing: ReturnType<typeof setTimeout> | undefined;
  #sleeping: ReturnType<typeof setTimeout> | undefined;

  constructor(params: URLSearchParams, onMoment: (moment: LiveMoment) => void) {
    this.#project = params.get("project");
    this.#tail = new LiveTail((call) => fitsFilters(call, params));
    this.#onMoment = onMoment;
  }

  readonly open = (): void => {
    this.#stop?.();
    this.#stop = followLive({
      project: this.#project,
      last_id: this.#last_id,
      onFrame: (frame) => this.#take(frame),
      onState: (state) => this.#change(state),
    });
  };

  /** Ends all of it. */
  close(): void {
    this.#stop?.();
    this.#stop = null;
    clearTimeout(this.#drawing);
    clearTimeout(this.#sleeping);
  }

  /** Sleeps some time after the page was hidden, and wakes up when it is seen. */
  readonly watch = (): void => {
    clearTimeout(this.#sleeping);
    if (document.visibilityState === "hidden") {
      this.#sleeping = setTimeout(() => this.#fallAsleep(), SLEEP_AFTER_MS);
    } else if (this.#state.kind === "asleep") this.open();
  };

  #fallAsleep(): void {
    if (this.#state.kind === "refused") return;
    this.#stop?.();
    this.#stop = null;
    this.#change({ kind: "asleep" });
  }

  #take(frame: LiveFrame): void {
    this.#last_id = frame.id;
    if (frame.kind === "calls") this.#tail.add(frame);
    if (frame.kind === "totals") this.#sums = frame;
    this.#is_storage_well = frame.kind !== "heartbeat" || frame.storage === "ok";
    this.#draw();
  }

  #change(state: LiveMoment["state"]): void {
    this.#was_connected ||= this.#state.kind === "connected";
    this.#state = state;
    // Who needs a key is asked for one by the page: any question finds that out.
    if (state.kind === "refused") ask("/v1/whoami").catch(() => {});
    this.#draw();
  }

  #draw(): void {
    this.#drawing ??= setTimeout(() => {
      this.#drawing = undefined;
      this.#onMoment(this.moment());
    }, DRAW_MS);
  }

  moment(): LiveMoment {
    const { rows, totals, left_out, is_unsure } = this.#tail;
    return {
      state: this.#state,
      since_ms: this.#since_ms,
      rows,
      seen: totals,
      left_out,
      is_unsure,
      sums: this.#sums,
      is_storage_well: this.#is_storage_well,
      was_connected: this.#was_connected,
    };
  }
}

const FIRST_MOMENT: LiveMoment = new LiveSession(new URLSearchParams(), () => {}).moment();

/** Follows the ledger by the project and the filters of the address; other filters begin anew. */
export function useLive(params: URLSearchParams): readonly [LiveMoment, () => void] {
  const names = ["project", ...FILTER_NAMES];
  const key = new URLSearchParams(
    names.flatMap((name) => params.getAll(name).map((value) => [name, value])),
  ).toString();
  const [moment, setMoment] = useState<LiveMoment>(FIRST_MOMENT);
  const session = useRef<LiveSession | null>(null);
  useEffect(() => {
    const opened = new LiveSession(new URLSearchParams(key), setMoment);
    session.current = opened;
    setMoment(opened.moment());
    opened.open();
    document.addEventListener("visibilitychange", opened.watch);
    return () => {
      document.removeEventListener("visibilitychange", opened.watch);
      opened.close();
    };
  }, [key]);
  return [moment, () => session.current?.open()];
}
