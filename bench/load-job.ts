/** What a bench tells its load generator (`load.ts`) and hears from it: messages between processes. */
import type { Latency } from "./measure.ts";

/** What the bodies are and how they travel. */
export interface LoadPlan {
  /** Bodies kept ready, each of SPANS_PER_BODY spans. */
  readonly bodies: number;
  readonly transport: "http" | "grpc";
  readonly compression: "identity" | "gzip" | "zstd";
  /** OTLP/JSON in place of protobuf. */
  readonly is_json: boolean;
  /** Every body sent is new: other ids, times of now. Not with compression. */
  readonly renews: boolean;
  /** Requests under way at once, at most. */
  readonly in_flight: number;
}

/** One run of the load. */
export interface LoadRun {
  /** host:port */
  readonly address: string;
  /** Spans/s offered whatever becomes of them; null: as fast as answers come. */
  readonly rate: number | null;
  readonly duration_s: number;
}

/** What came of it. */
export interface LoadReport {
  readonly acknowledged_spans: number;
  readonly failed_requests: number;
  /** Of the first failure, empty without one. */
  readonly failure: string;
  /** From the first request to the last answer. */
  readonly duration_s: number;
  /**
   * From when a request was due to its answer: what a sender would wait, also when the generator itself
   * was late. Null when nothing was answered.
   */
  readonly ack_ms: Latency | null;
  /** CPU of the generator. */
  readonly cpu_us: number;
  /** What the ledger must say of all that was acknowledged; picodollars in decimal. */
  readonly calls: number;
  readonly cost_picodollars: string;
  /** performance.timeOrigin + performance.now() of the last answer. */
  readonly last_answer_ms: number;
}

/** To the generator; each is answered by one message: null when ready, or a report. */
export type LoadMessage =
  | { readonly kind: "prepare"; readonly plan: LoadPlan }
  | { readonly kind: "run"; readonly run: LoadRun };
