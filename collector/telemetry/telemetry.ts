/**
 * What a collector tells of itself, in one place for those that wire it: metrics always, traces when
 * there is a tracer.
 *
 * Invariant: watching changes no result and no error of what is watched; without a tracer no object is
 * made for a trace.
 */
import type { Tracer } from "@opentelemetry/api";
import { PermanentError, RetryableError } from "../../schemas/errors.ts";
import type { Log } from "../../schemas/log.ts";
import type { Sender } from "../../schemas/sender.ts";
import type { CollectorMetrics } from "../metrics.ts";
import { RequestCounts, type RequestResult, type Transport } from "./requests.ts";
import { type InsertStep, type RequestTrace, SelfTraces, type TracedGroup } from "./self-traces.ts";

export { SELF_SCOPE } from "./self-traces.ts";
export { watchHolds } from "./requests.ts";

/** What a collector's telemetry is made of. */
export interface TelemetryOptions {
  readonly metrics: CollectorMetrics;
  readonly log: Log;
  /** Of the scope SELF_SCOPE; null: no traces. */
  readonly tracer: Tracer | null;
  /** The HTTP status that an error is answered with. */
  readonly statusOf: (error: unknown) => number;
}

/** A fault of ours is told so often, ms: each sender may repeat the request that met it. */
const FAULT_INTERVAL_MS = 60_000;
/** Lines of its stack that are told. */
const MAX_STACK_LINES = 8;

/** A sync of the log. */
export interface ObservedSync {
  readonly records: number;
  readonly bytes: number;
  readonly duration_ms: number;
  readonly is_durable: boolean;
}

/** The part of a log that its queue is asked of. */
interface QueuedLog {
  stats(): { readonly queued_bytes: number };
}

type ExportBody<Signal, Encoding, Result> = (
  signal: Signal,
  body: Uint8Array,
  encoding: Encoding,
  sender: Sender,
) => Promise<Result>;

/** What a receiver is given in place of the pipeline's `exportBody`. */
export interface WatchedReceiver<Signal, Encoding, Result> {
  readonly exportBody: ExportBody<Signal, Encoding, Result>;
  readonly observe: (signal: Signal | "", status: number, body_bytes: number) => void;
}

/** The telemetry of one collector. */
export class Telemetry {
  readonly metrics: CollectorMetrics;
  readonly #options: TelemetryOptions;
  readonly #traces: SelfTraces | null;
  #told_fault_ms = -Infinity;

  constructor(options: TelemetryOptions) {
    this.#options = options;
    this.metrics = options.metrics;
    this.#traces = options.tracer === null ? null : new SelfTraces(options.tracer);
  }

  /** Told by the log of each sync. */
  readonly observeSync = (sync: ObservedSync): void => {
    const { metrics } = this.#options;
    metrics.wal_sync_duration.observe(sync.duration_ms / 1000);
    metrics.wal_sync_records.observe(sync.records);
    if (sync.is_durable) metrics.wal_written_bytes.inc(sync.bytes);
    else metrics.wal_sync_failures.inc();
  };

  /** Adds to a log what watches the groups that go into it (`SpanLogWatch` in span-log.ts). */
  watchLog<Wal extends QueuedLog>(wal: Wal): Wal & { readonly watch: LogWatch } {
    const { metrics } = this.#options;
    const traces = this.#traces;
    const setQueued = () => metrics.wal_queued_bytes.set(wal.stats().queued_bytes);
    Object.assign(metrics.wal_queued_bytes, { collect: setQueued });
    const watch: LogWatch = {
      watchQueue(waiting) {
        const collect = () => metrics.waiting_spans.set(waiting());
        Object.assign(metrics.waiting_spans, { collect });
      },
      follow: traces === null ? () => null : () => traces.current(),
      observeGroup(group) {
        traces?.noteGroup(group);
        if (!group.is_durable) return;
        metrics.group_requests.observe(group.requests);
        metrics.group_spans.observe(group.spans);
        metrics.read_spans.inc({ way: "object" }, group.object_spans);
        metrics.read_spans.inc({ way: "in_place" }, group.spans - group.object_spans);
      },
    };
    return Object.assign(wal, { watch });
  }

  /** Watches what comes in by one transport. */
  watchReceiver<Signal extends string, Encoding extends string, Result extends RequestResult>(
    transport: Transport,
    exportBody: ExportBody<Signal, Encoding, Result>,
  ): WatchedReceiver<Signal, Encoding, Result> {
    const { metrics, statusOf } = this.#options;
    const counts = new RequestCounts(metrics, transport);
    const traces = this.#traces;
    return {
      observe: (signal, status, body_bytes) => counts.noteAnswer(signal, status, body_bytes),
      exportBody: async (signal, body, encoding, sender) => {
        const finish = metrics.ack_duration.startTimer();
        metrics.inflated_bytes.inc({ signal }, body.length);
        const request = traces?.startRequest(signal, encoding, body) ?? null;
        try {
          const working =
            request === null || traces === null
              ? exportBody(signal, body, encoding, sender)
              : traces.run(request, () => exportBody(signal, body, encoding, sender));
          request?.noteReturn();
          const result = await working;
          counts.noteAccepted(signal, encoding, result);
          if (request !== null) endAccepted(request, result);
          return result;
        } catch (error) {
          counts.noteRefused(signal, encoding, statusOf(error), error);
          const code = codeOf(error);
          request?.end({}, code);
          if (code === INTERNAL) this.#tellFault(error);
          throw error;
        } finally {
          finish();
        }
      },
    };
  }

  /** Where it happened and not what it says: the message of a fault may hold what was sent. */
  #tellFault(error: unknown): void {
    const now_ms = performance.now();
    if (now_ms - this.#told_fault_ms < FAULT_INTERVAL_MS) return;
    this.#told_fault_ms = now_ms;
    const { name = "", stack = "" } = error instanceof Error ? error : {};
    const at = stack.split("\n").filter((line) => /^\s+at /.test(line));
    this.#options.log.error(
      { fault: name, at: at.slice(0, MAX_STACK_LINES).map((line) => line.trim()) },
      "a request was not stored because of a fault of Spanledger, please report it; more of them in " +
        'spanledger_otlp_refused_requests_total{reason="internal"}',
    );
  }

  /** Watches one step of an INSERT. */
  watchStep<Args extends readonly unknown[], Result>(
    step: InsertStep,
    run: (...args: Args) => Promise<Result>,
  ): (...args: Args) => Promise<Result> {
    const { metrics } = this.#options;
    return async (...args) => {
      const started_ms = performance.now();
      let is_ok = false;
      try {
        const result = await run(...args);
        is_ok = true;
        return result;
      } finally {
        const ended_ms = performance.now();
        metrics.insert_step_duration.observe({ step }, (ended_ms - started_ms) / 1000);
        this.#traces?.noteStep(step, started_ms, ended_ms, is_ok);
      }
    };
  }

  /** An INSERT is over; `error_code` is null when all of it is in. */
  noteBatch(rows: number, error_code: string | null): void {
    this.#traces?.noteBatch(rows, error_code);
  }

  /** A round of the rollups is over. */
  noteRound(buckets: number, duration_ms: number, is_ok: boolean): void {
    this.#traces?.noteRound(buckets, duration_ms, is_ok);
  }
}

/** As `SpanLogWatch` in span-log.ts, which is no part of this stage. */
export interface LogWatch {
  readonly watchQueue: (waiting: () => number) => void;
  readonly follow: () => RequestTrace | null;
  readonly observeGroup: (group: TracedGroup) => void;
}

function endAccepted(request: RequestTrace, result: RequestResult): void {
  request.end(
    {
      "spanledger.accepted_items": result.accepted_items,
      "spanledger.rejected_items": result.rejected_items,
      "spanledger.ignored_items": result.ignored_items,
    },
    null,
  );
}

const INTERNAL = "internal";

/** The code of an error of ours; what is none is a fault that the log of the program tells of. */
function codeOf(error: unknown): string {
  const is_known = error instanceof PermanentError || error instanceof RetryableError;
  return is_known ? error.code : INTERNAL;
}
