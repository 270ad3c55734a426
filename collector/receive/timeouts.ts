/**
 * How long a sender may take, and the watch over bodies that come too slowly.
 *
 * Invariant: only the silence of a sender counts, never ours: a tick that comes late because this
 * process was busy refuses nobody.
 */
import { PermanentError } from "../../schemas/errors.ts";

/** Every wait for a sender; times in ms. */
export interface ReceiveTimeouts {
  /**
   * An idle connection is closed after it: beyond Go clients' idle pool of 90 s, so that the client
   * closes first (reliability.md 0.8).
   */
  readonly keep_alive_ms: number;
  /** From the first byte, or the connection, to the end of the head. */
  readonly headers_ms: number;
  /** From the first byte to the end of the body. */
  readonly request_ms: number;
  /** How often Node looks for heads and requests that are too late. */
  readonly check_ms: number;
  /** A body must bring `min_body_bytes` in each span of this length. */
  readonly body_window_ms: number;
  readonly min_body_bytes: number;
  /**
   * How long the rest of a refused body is read and thrown away. Many senders read the answer only
   * when they have sent everything; five seconds let 64 MiB through at 13 MB/s.
   */
  readonly linger_ms: number;
}

/** 15 s for a head, 30 s for a request, and of a body at least 1 KiB/s (reliability.md N01). */
export const DEFAULT_TIMEOUTS: ReceiveTimeouts = {
  keep_alive_ms: 120_000,
  headers_ms: 15_000,
  request_ms: 30_000,
  check_ms: 5_000,
  body_window_ms: 5_000,
  min_body_bytes: 5 * 1024,
  linger_ms: 5_000,
};

/** Ticks in one window: a slow body is refused at most a tick late. */
const TICKS_PER_WINDOW = 5;
/** A tick that comes this many times later than it should says that the process was busy. */
const LATE_FACTOR = 2;

/** One body that is coming in. */
interface Watched {
  readonly byteCount: () => number;
  readonly refuse: (error: PermanentError) => void;
  window_began_ms: number;
  window_bytes: number;
}

/** Watches the bodies of one server. */
export interface SlowBodyWatch {
  /** Watches a body until the returned function is called; `refuse` is called at most once. */
  readonly watch: (byteCount: () => number, refuse: (error: PermanentError) => void) => () => void;
  readonly stop: () => void;
}

/** One timer for all bodies: a timer for each would cost more than receiving a small one. */
export function makeSlowBodyWatch(timeouts: ReceiveTimeouts, now_ms: () => number): SlowBodyWatch {
  const bodies = new Set<Watched>();
  const tick_ms = timeouts.body_window_ms / TICKS_PER_WINDOW;
  let last_tick_ms = now_ms();
  const check = (body: Watched, time_ms: number, was_late: boolean) => {
    const byteCount = body.byteCount();
    if (!was_late && time_ms - body.window_began_ms < timeouts.body_window_ms) return;
    if (!was_late && byteCount - body.window_bytes < timeouts.min_body_bytes) {
      bodies.delete(body);
      body.refuse(tooSlow(timeouts));
      return;
    }
    body.window_began_ms = time_ms;
    body.window_bytes = byteCount;
  };
  const timer = setInterval(() => {
    const time_ms = now_ms();
    const was_late = time_ms - last_tick_ms > tick_ms * LATE_FACTOR;
    last_tick_ms = time_ms;
    for (const body of bodies) check(body, time_ms, was_late);
  }, tick_ms);
  timer.unref();
  return {
    watch(byteCount, refuse) {
      const body = { byteCount, refuse, window_began_ms: now_ms(), window_bytes: 0 };
      bodies.add(body);
      return () => bodies.delete(body);
    },
    stop: () => clearInterval(timer),
  };
}

function tooSlow({ min_body_bytes, body_window_ms }: ReceiveTimeouts): PermanentError {
  return new PermanentError(
    "request_timeout",
    `Less than ${min_body_bytes} bytes of the body came in ${body_window_ms} ms; ` +
      "send it again over a faster connection or in smaller batches.",
  );
}
