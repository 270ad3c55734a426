/**
 * Counts export requests as receivers and pipeline tell of them: how many, in which encoding, how
 * they ended and why, and what is being worked on.
 *
 * Invariant: each answer is counted once, with a status, whatever was wrong with the request.
 *
 * A receiver tells the status of an answer and the pipeline the encoding and the error, one after the
 * other. What the pipeline said last of a request of that signal and status is taken for it: the sums
 * are right as every answer follows its result. Of senders that left before their answer a few words
 * stay behind, and are forgotten.
 */
import type { CollectorMetrics } from "../metrics.ts";
import { itemReasons, reasonOf, reasonOfStatus, type RefusalReason } from "./reasons.ts";

/** The way in of a request. */
export type Transport = "http" | "grpc";

/** What came of a request, as the pipeline tells it. */
export interface RequestResult {
  readonly accepted_items: number;
  readonly rejected_items: number;
  readonly ignored_items: number;
  readonly counted_calls: number;
  readonly message: string;
}

/** The bytes that a request holds, as receivers count them. */
export interface WatchedHold {
  readonly check: (byteCount: number) => void;
  readonly add: (byteCount: number) => void;
  readonly release: () => void;
}

/** What the pipeline said of a request. */
interface Outcome {
  readonly encoding: string;
  /** Null when it was accepted. */
  readonly reason: RefusalReason | null;
}

/** Outcomes without an answer that are kept, for each signal and status. */
const MAX_UNTOLD = 64;

/** The requests of one way in. */
export class RequestCounts {
  readonly #metrics: CollectorMetrics;
  readonly #transport: Transport;
  readonly #untold = new Map<string, Outcome[]>();

  constructor(metrics: CollectorMetrics, transport: Transport) {
    this.#metrics = metrics;
    this.#transport = transport;
  }

  /** The pipeline took a body. */
  noteAccepted(signal: string, encoding: string, result: RequestResult): void {
    const metrics = this.#metrics;
    metrics.accepted_items.inc({ signal }, result.accepted_items);
    metrics.ignored_items.inc({ signal }, result.ignored_items);
    metrics.counted_calls.inc(result.counted_calls);
    for (const [reason, count] of itemReasons(result.rejected_items, result.message)) {
      metrics.rejected_items.inc({ signal, reason }, count);
    }
    this.#keep(signal, 200, { encoding, reason: null });
  }

  /** The pipeline refused a body; `status` is what the sender will be told. */
  noteRefused(signal: string, encoding: string, status: number, error: unknown): void {
    this.#keep(signal, status, { encoding, reason: reasonOf(error) });
  }

  /** A request was answered. `signal` is empty for a path that is none. */
  noteAnswer(signal: string, status: number, body_bytes: number): void {
    const metrics = this.#metrics;
    const transport = this.#transport;
    const outcome = this.#untold.get(`${signal} ${status}`)?.shift();
    const encoding = outcome?.encoding ?? "none";
    metrics.requests.inc({ signal, transport, encoding, status: String(status) });
    metrics.received_bytes.inc({ transport }, body_bytes);
    if (status < 400) return;
    const reason = outcome?.reason ?? reasonOfStatus(status);
    metrics.refused_requests.inc({ signal, transport, reason });
  }

  #keep(signal: string, status: number, outcome: Outcome): void {
    const key = `${signal} ${status}`;
    const known = this.#untold.get(key);
    if (known === undefined) this.#untold.set(key, [outcome]);
    else if (known.push(outcome) > MAX_UNTOLD) known.shift();
  }
}

/** Counts what requests hold, behind the limit that `open` is of. */
export function watchHolds(open: () => WatchedHold, metrics: CollectorMetrics): () => WatchedHold {
  let requests = 0;
  let bytes = 0;
  Object.assign(metrics.in_flight_requests, {
    collect: () => metrics.in_flight_requests.set(requests),
  });
  Object.assign(metrics.in_flight_bytes, { collect: () => metrics.in_flight_bytes.set(bytes) });
  return () => {
    const hold = open();
    let held_bytes = 0;
    let is_open = true;
    requests += 1;
    return {
      check: hold.check,
      add(byteCount) {
        hold.add(byteCount);
        bytes += byteCount;
        held_bytes += byteCount;
      },
      release() {
        hold.release();
        bytes -= held_bytes;
        held_bytes = 0;
        if (is_open) requests -= 1;
        is_open = false;
      },
    };
  };
}
