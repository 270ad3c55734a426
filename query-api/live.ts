/**
 * Live frames for all who listen: one poller a project, however many listen to it, and limits on all of
 * it.
 *
 * Invariant: the engine is asked by at most MAX_POLLS pollers at once, each resting between two polls as
 * long as the last one took; a project that nobody listens to is not asked about.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Engine } from "../clickhouse/engine.ts";
import type { LiveFrame } from "../schemas/api-live.ts";
import { messageOf } from "../schemas/errors.ts";
import type { Log } from "../schemas/log.ts";
import { ApiError } from "./errors.ts";
import { EncodedFrame, type LiveFormat, LiveListener } from "./live-listener.ts";
import { LivePoller } from "./live-poll.ts";

export interface LiveOptions {
  readonly max_listeners: number;
  readonly max_listeners_per_project: number;
  /** Pause between two polls of a project, ms. */
  readonly interval_ms: number;
  /** Pause between two looks at keys and slow listeners, ms. */
  readonly check_ms: number;
  /** How long a listener is left without a frame, ms. */
  readonly heartbeat_ms: number;
  readonly now_ms: () => number;
}

export const DEFAULT_LIVE_OPTIONS: LiveOptions = {
  max_listeners: 200,
  max_listeners_per_project: 50,
  interval_ms: 2_000,
  check_ms: 1_000,
  heartbeat_ms: 10_000,
  now_ms: Date.now,
};

/** Projects that are asked about at once. */
const MAX_POLLS = 2;
/** Frames of a project that are kept for those who come back. */
const MAX_KEPT_FRAMES = 64;
const MAX_KEPT_BYTES = 1024 * 1024;
/** How long frames are still gathered when nobody listens any more, ms: reconnects take seconds. */
const LINGER_MS = 30_000;
/** How long ago a frame may be that is gone on after by a poller that starts, ms. */
const MAX_CATCH_UP_MS = 300_000;
/** When to come again while all places are taken, seconds. */
const RETRY_AFTER_S = 10;

/** Whom a stream is for. */
export interface ListenRequest {
  readonly engine: Engine;
  readonly log: Log;
  readonly project_id: string;
  readonly last_event_id: string | null;
  readonly format: LiveFormat;
  readonly isAllowed: () => boolean;
}

/** All that is followed live in a process. */
export class LiveHub {
  readonly #options: LiveOptions;
  readonly #channels = new Map<string, Channel>();
  readonly #checks: NodeJS.Timeout;
  readonly #turns: (() => void)[] = [];
  #polls = 0;
  #is_closed = false;

  constructor(options: Partial<LiveOptions> = {}) {
    this.#options = { ...DEFAULT_LIVE_OPTIONS, ...options };
    this.#checks = setInterval(() => this.#check(), this.#options.check_ms);
    this.#checks.unref();
  }

  /** Listeners of all projects. */
  get listeners(): number {
    let count = 0;
    for (const channel of this.#channels.values()) count += channel.listeners.size;
    return count;
  }

  /** Projects that are followed. */
  get projects(): number {
    return this.#channels.size;
  }

  /** The stream of a project's frames. Throws ApiError 429 when all places are taken, 503 at the end. */
  listen(request: ListenRequest): ReadableStream<Uint8Array> {
    if (this.#is_closed) throw new ApiError(503, "stopping", "The server stops; come again.");
    const { max_listeners, max_listeners_per_project, now_ms } = this.#options;
    const here = this.#channels.get(request.project_id)?.listeners.size ?? 0;
    if (this.listeners >= max_listeners || here >= max_listeners_per_project) {
      const which = here >= max_listeners_per_project ? "this project" : "this server";
      const message = `As many listen to ${which} as may. Close a stream, or come again later.`;
      throw new ApiError(429, "too_many_listeners", message, [], RETRY_AFTER_S);
    }
    const channel = this.#channelOf(request);
    const listener = new LiveListener({
      format: request.format,
      now_ms,
      isAllowed: request.isAllowed,
      onClose: () => {
        channel.listeners.delete(listener);
        channel.left_ms = now_ms();
      },
    });
    for (const frame of channel.framesAfter(request.last_event_id)) listener.offer(frame);
    channel.listeners.add(listener);
    return listener.stream;
  }

  /** Ends every stream and waits for the polls that run. */
  async close(): Promise<void> {
    this.#is_closed = true;
    clearInterval(this.#checks);
    const channels = [...this.#channels.values()];
    for (const channel of channels) {
      for (const listener of channel.listeners) listener.end(channel.endFrame("stopping"));
      channel.stop();
    }
    await Promise.all(channels.map((channel) => channel.finished));
  }

  #channelOf({ engine, log, project_id, last_event_id }: ListenRequest): Channel {
    const open = this.#channels.get(project_id);
    if (open !== undefined) return open;
    const { now_ms } = this.#options;
    const last_ms = parseFrameId(last_event_id)?.time_ms ?? 0;
    const since_ms = now_ms() - last_ms <= MAX_CATCH_UP_MS ? last_ms : null;
    const poller = new LivePoller(engine, project_id, since_ms);
    const channel = new Channel(poller, log, this.#options, since_ms !== null);
    this.#channels.set(project_id, channel);
    channel.run(this.#takeTurn, () => this.#channels.delete(project_id));
    return channel;
  }

  /** Runs one poll when fewer than MAX_POLLS run. */
  readonly #takeTurn = async <Result>(poll: () => Promise<Result>): Promise<Result> => {
    if (this.#polls >= MAX_POLLS) await new Promise<void>((resolve) => this.#turns.push(resolve));
    else this.#polls += 1;
    try {
      return await poll();
    } finally {
      const next = this.#turns.shift();
      if (next === undefined) this.#polls -= 1;
      else next();
    }
  };

  #check(): void {
    for (const channel of this.#channels.values()) channel.check();
  }
}

interface FrameId {
  /** When the poller of the frame started, Unix ms of this process. */
  readonly started_ms: number;
  readonly number: number;
  /** Time of the engine at the frame, Unix ms. */
  readonly time_ms: number;
}

function parseFrameId(text: string | null): FrameId | null {
  const match = /^(\d{1,15})\.(\d{1,15})\.(\d{1,15})$/.exec(text ?? "");
  if (match === null) return null;
  return { started_ms: Number(match[1]), number: Number(match[2]), time_ms: Number(match[3]) };
}

type Turn = <Result>(poll: () => Promise<Result>) => Promise<Result>;

/** The frames of one project. */
class Channel {
  readonly listeners = new Set<LiveListener>();
  finished: Promise<void> = Promise.resolve();
  /** When the last listener left, ms. */
  left_ms: number;
  readonly #poller: LivePoller;
  readonly #log: Log;
  readonly #options: LiveOptions;
  readonly #started_ms: number;
  /** Whether the first poll looks back to where a listener was before. */
  readonly #catches_up: boolean;
  readonly #kept: EncodedFrame[] = [];
  #kept_bytes = 0;
  #first_number = 1;
  #number = 0;
  #time_ms: number;
  #totals: EncodedFrame | null = null;
  #is_well = true;
  readonly #stopped = new AbortController();

  constructor(poller: LivePoller, log: Log, options: LiveOptions, catches_up: boolean) {
    this.#poller = poller;
    this.#log = log;
    this.#options = options;
    this.#catches_up = catches_up;
    this.#started_ms = options.now_ms();
    this.#time_ms = this.#started_ms;
    this.left_ms = this.#started_ms;
  }

  /** Polls until nobody has listened for a while. */
  run(takeTurn: Turn, onEnd: () => void): void {
    this.finished = this.#follow(takeTurn).finally(onEnd);
  }

  stop(): void {
    this.#stopped.abort();
  }

  async #follow(takeTurn: Turn): Promise<void> {
    const { now_ms, interval_ms } = this.#options;
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      const is_left = this.listeners.size === 0 && now_ms() - this.left_ms > LINGER_MS;
      if (is_left) return;
      const begun_ms = now_ms();
      await takeTurn(() => this.#poll());
      const took_ms = now_ms() - begun_ms;
      const pause_ms = Math.max(interval_ms, took_ms);
      await sleep(pause_ms, undefined, { signal, ref: false }).catch(() => {});
    }
  }

  async #poll(): Promise<void> {
    try {
      const { time_ms, calls, totals } = await this.#poller.poll();
      this.#time_ms = time_ms;
      this.#is_well = true;
      if (calls !== null) this.#send({ kind: "calls", ...this.#stamp(), ...calls });
      if (totals !== null) this.#send({ kind: "totals", ...this.#stamp(), ...totals });
    } catch (error) {
      if (this.#is_well) this.#log.warn({}, `live frames wait: ${messageOf(error).slice(0, 500)}`);
      this.#is_well = false;
    }
  }

  #stamp(): { id: string; time: string } {
    this.#number += 1;
    return { id: this.#idOf(this.#number), time: new Date(this.#time_ms).toISOString() };
  }

  #idOf(number: number): string {
    return `${this.#started_ms}.${number}.${Math.floor(this.#time_ms)}`;
  }

  #send(frame: LiveFrame): void {
    const encoded = new EncodedFrame(frame);
    if (frame.kind === "totals") this.#totals = encoded;
    else this.#keep(encoded);
    for (const listener of this.listeners) listener.offer(encoded);
  }

  #keep(encoded: EncodedFrame): void {
    this.#kept.push(encoded);
    this.#kept_bytes += encoded.json.length;
    while (this.#kept.length > MAX_KEPT_FRAMES || this.#kept_bytes > MAX_KEPT_BYTES) {
      const first = this.#kept.shift();
      if (first === undefined) return;
      this.#kept_bytes -= first.json.length;
      this.#first_number = (parseFrameId(first.frame.id)?.number ?? 0) + 1;
    }
  }

  /** What one who comes, or comes back, has missed, and the sums as they are. */
  framesAfter(last_event_id: string | null): EncodedFrame[] {
    const last = parseFrameId(last_event_id);
    const totals = this.#totals === null ? [] : [this.#totals];
    if (last_event_id === null) return totals;
    const knows = last?.started_ms === this.#started_ms && last.number + 1 >= this.#first_number;
    if (knows) {
      const missed = this.#kept.filter(
        ({ frame }) => (parseFrameId(frame.id)?.number ?? 0) > last.number,
      );
      return [...missed, ...totals];
    }
    // The poller that has just started looks back itself.
    if (this.#number === 0 && this.#catches_up) return totals;
    const gap = {
      id: this.#idOf(this.#number),
      time: new Date(this.#time_ms).toISOString(),
      calls: [],
      withdrawn: [],
      left_out: null,
    };
    return [new EncodedFrame({ kind: "calls", ...gap }), ...totals];
  }

  endFrame(reason: "stopping" | "not_allowed"): EncodedFrame {
    return new EncodedFrame({ kind: "end", id: this.#idOf(this.#number), reason });
  }

  /** Ends the streams of those who may not listen any more, or do not read; gives signs of life. */
  check(): void {
    const { now_ms, heartbeat_ms } = this.#options;
    const heartbeat = new EncodedFrame({
      kind: "heartbeat",
      id: this.#idOf(this.#number),
      time: new Date(this.#time_ms).toISOString(),
      storage: this.#is_well ? "ok" : "unavailable",
    });
    for (const listener of this.listeners) {
      const state = listener.check();
      if (state === "not_allowed") listener.end(this.endFrame("not_allowed"));
      else if (state === "stalled") listener.abort();
      else if (now_ms() - listener.offered_ms >= heartbeat_ms) listener.offer(heartbeat);
    }
  }
}
