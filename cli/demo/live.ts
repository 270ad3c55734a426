/**
 * Traffic in real time: each request is sent when it is over, until somebody stops it.
 *
 * Invariant: the rate is kept on average; after a pause of the machine it is not made up for.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { DemoOptions } from "./options.ts";
import { formatCount } from "./report.ts";
import type { TraceSender } from "./sender.ts";
import type { Totals } from "./totals.ts";
import { placeRequest, RequestSource } from "./traffic.ts";

const TICK_MS = 1_000;
/** Most time that one tick makes up for, ms. */
const MAX_CATCH_UP_MS = 5_000;
const PROGRESS_MS = 10_000;
/** Calls of one request at most; agents need some. */
const MAX_REQUEST_CALLS = 32;

/** What live sending works with. */
export interface LiveOptions {
  readonly options: Pick<DemoOptions, "seed" | "calls">;
  readonly sender: TraceSender;
  readonly totals: Totals;
  readonly tell: (text: string) => void;
  /** Ends the sending. */
  readonly signal: AbortSignal;
}

/** Sends `options.calls` calls a minute until the signal; what is made is flushed every second. */
export async function sendLive(live: LiveOptions): Promise<void> {
  const { options, sender, totals, tell, signal } = live;
  const source = new RequestSource(options.seed);
  const calls_per_ms = options.calls / 60_000;
  let last_ms = performance.now();
  let told_ms = last_ms;
  // The first request comes at once: nobody likes to wait for a demo.
  let due_calls = 1;
  while (!signal.aborted) {
    const end_ns = BigInt(Date.now()) * 1_000_000n;
    for (; due_calls > 0;) {
      const request = source.next(MAX_REQUEST_CALLS);
      const trace = placeRequest(request, end_ns, end_ns);
      sender.send(trace);
      totals.add(trace);
      due_calls -= request.calls;
      if (sender.is_full) await sender.flush();
    }
    await sender.flush();
    const now_ms = performance.now();
    if (now_ms - told_ms >= PROGRESS_MS) {
      told_ms = now_ms;
      tell(tellProgress(totals, sender));
    }
    // Only an abort rejects, which ends the loop.
    await sleep(TICK_MS, undefined, { signal }).catch(() => {});
    const passed_ms = performance.now() - last_ms;
    last_ms += passed_ms;
    due_calls += Math.min(passed_ms, MAX_CATCH_UP_MS) * calls_per_ms;
  }
}

function tellProgress(totals: Totals, { outcome }: TraceSender): string {
  const failed = outcome.failed_spans + outcome.rejected_spans;
  const failures = failed === 0 ? "" : `, ${formatCount(failed)} spans failed`;
  return `${formatCount(totals.all.calls)} calls${failures}\n`;
}
