/**
 * Sends planned traces through the OpenTelemetry SDK: a tracer provider with its own resource,
 * batch processor and OTLP exporter for each deployment, as if each were a process.
 *
 * Invariant: every span is acknowledged, failed or rejected in the outcome; none is lost silently.
 */
import type { Context, DiagLogger } from "@opentelemetry/api";
import type { SpanExporter } from "@opentelemetry/sdk-trace";
import type { OpenTelemetry } from "./packages.ts";
import type { Deployment, PlannedSpan, PlannedTrace } from "./plan.ts";

/** Where to send. */
export interface SendTarget {
  /** Base URL of OTLP/HTTP, without a slash at the end. */
  readonly endpoint: string;
  readonly api_key: string | null;
}

/** What became of the spans so far. */
export interface SendOutcome {
  started_spans: number;
  acknowledged_spans: number;
  /** Spans whose export failed, retries included. */
  failed_spans: number;
  /** Spans the collector took note of and refused (OTLP partial success). */
  rejected_spans: number;
  /** What exporters and collector said, each once, at most MAX_REASONS. */
  readonly reasons: Set<string>;
}

/** Spans of one export request. */
const EXPORT_BATCH_SPANS = 512;
/** Spans that wait in one provider; beyond it the SDK drops, so the sender flushes before. */
const MAX_QUEUED_SPANS = 8_192;
/** Spans started between two flushes; one request of the demo is far smaller than the rest. */
const FLUSH_SPANS = 4_096;
/** An export with all its retries, ms. */
const EXPORT_TIMEOUT_MS = 10_000;
const MAX_REASONS = 5;
const MAX_REASON_LENGTH = 300;
const PARTIAL_SUCCESS = "Received Partial Success response";
/** `ExportResultCode.SUCCESS` of @opentelemetry/core. */
const EXPORT_SUCCESS = 0;

/** A provider of one deployment with its exporter. */
interface Line {
  readonly provider: InstanceType<OpenTelemetry["sdk"]["TracerProvider"]>;
  readonly exporter: SpanExporter;
}

/** Sends traces; close it when done. One at a time: it takes the SDK's global diagnostics. */
export class TraceSender {
  readonly outcome: SendOutcome = {
    started_spans: 0,
    acknowledged_spans: 0,
    failed_spans: 0,
    rejected_spans: 0,
    reasons: new Set(),
  };
  readonly #otel: OpenTelemetry;
  readonly #target: SendTarget;
  readonly #lines = new Map<Deployment, Line>();
  #unflushed_spans = 0;

  constructor(otel: OpenTelemetry, target: SendTarget) {
    this.#otel = otel;
    this.#target = target;
    otel.api.diag.setLogger(this.#makeDiagLogger(), {
      logLevel: otel.api.DiagLogLevel.WARN,
      suppressOverrideMessage: true,
    });
  }

  /** Whether enough has been started that it is time to flush. */
  get is_full(): boolean {
    return this.#unflushed_spans >= FLUSH_SPANS;
  }

  /** Hands a trace to the SDK. Flush when `is_full` says so. */
  send(trace: PlannedTrace): void {
    const { provider } = this.#lineOf(trace.deployment);
    this.#sendSpan(provider, trace.root, trace.start_ns, this.#otel.api.ROOT_CONTEXT);
  }

  /** Exports all that was started; resolves when every export has its answer. */
  async flush(): Promise<void> {
    this.#unflushed_spans = 0;
    await Promise.all(
      [...this.#lines.values()].map(async ({ provider, exporter }) => {
        // A failed export is in the outcome already.
        await provider.forceFlush().catch(() => {});
        // The provider does not wait for batches that it began on its own; the exporter does.
        await exporter.forceFlush?.();
      }),
    );
  }

  /** Flushes and ends the SDK. */
  async close(): Promise<void> {
    await this.flush();
    await Promise.all([...this.#lines.values()].map(({ provider }) => provider.shutdown()));
    this.#lines.clear();
    this.#otel.api.diag.disable();
  }

  #sendSpan(
    provider: Line["provider"],
    planned: PlannedSpan,
    trace_start_ns: bigint,
    parent: Context,
  ): void {
    const { api } = this.#otel;
    const { scope } = planned;
    const start_ns = trace_start_ns + planned.offset_ns;
    const kind = planned.kind.toUpperCase() as "INTERNAL" | "SERVER" | "CLIENT";
    const span = provider
      .getTracer(scope.name, scope.version)
      .startSpan(planned.name, { kind: api.SpanKind[kind], startTime: toHrTime(start_ns) }, parent);
    this.outcome.started_spans += 1;
    this.#unflushed_spans += 1;
    for (const [key, value] of planned.attributes) {
      span.setAttribute(key, typeof value === "object" ? [...value] : value);
    }
    if (planned.response_id_prefix !== null) {
      // Made from the span's own ids: a second run with the same seed is other calls, not a resend.
      const { traceId, spanId } = span.spanContext();
      const id = planned.response_id_prefix + traceId.slice(0, 12) + spanId;
      span.setAttribute("gen_ai.response.id", id);
    }
    if (planned.error_message !== null) {
      span.setStatus({ code: api.SpanStatusCode.ERROR, message: planned.error_message });
    }
    const context = api.trace.setSpan(api.ROOT_CONTEXT, span);
    for (const child of planned.children) this.#sendSpan(provider, child, start_ns, context);
    span.end(toHrTime(start_ns + planned.duration_ns));
  }

  #lineOf(deployment: Deployment): Line {
    const known = this.#lines.get(deployment);
    if (known !== undefined) return known;
    const { sdk, resources } = this.#otel;
    const exporter = this.#makeExporter();
    const provider = new sdk.TracerProvider({
      resource: resources.resourceFromAttributes(
        Object.fromEntries(
          deployment.attributes.map(([key, value]) => [key, String(value)] as const),
        ),
      ),
      spanProcessors: [
        new sdk.BatchSpanProcessor({
          exporter,
          maxExportBatchSize: EXPORT_BATCH_SPANS,
          maxQueueSize: MAX_QUEUED_SPANS,
        }),
      ],
    });
    const line = { provider, exporter };
    this.#lines.set(deployment, line);
    return line;
  }

  #makeExporter(): SpanExporter {
    const { endpoint, api_key } = this.#target;
    return countExports(
      this.#otel.exporter.OTLPTraceExporter,
      {
        url: `${endpoint}/v1/traces`,
        timeoutMillis: EXPORT_TIMEOUT_MS,
        ...(api_key === null ? {} : { headers: { authorization: `Bearer ${api_key}` } }),
      },
      (spans, error) => {
        if (error === null) {
          this.outcome.acknowledged_spans += spans;
          return;
        }
        this.outcome.failed_spans += spans;
        this.#addReason(error === undefined ? "no reason given" : tellError(error));
      },
    );
  }

  /** Partial success is told by the SDK to its diagnostics only. */
  #makeDiagLogger(): DiagLogger {
    const ignore = () => {};
    return {
      verbose: ignore,
      debug: ignore,
      info: ignore,
      // Failed exports: they come back as results, too.
      error: ignore,
      warn: (message, detail) => {
        if (!message.startsWith(PARTIAL_SUCCESS)) {
          this.#addReason(message);
          return;
        }
        const { rejected_spans, text } = readPartialSuccess(detail);
        this.outcome.rejected_spans += rejected_spans;
        this.outcome.acknowledged_spans -= rejected_spans;
        this.#addReason(text);
      },
    };
  }

  #addReason(text: string): void {
    if (this.outcome.reasons.size < MAX_REASONS) {
      this.outcome.reasons.add(text.slice(0, MAX_REASON_LENGTH));
    }
  }
}

type OtlpExporter = OpenTelemetry["exporter"]["OTLPTraceExporter"];

/** The real exporter, which tells of every answer: the number of spans, and null for success. */
function countExports(
  Exporter: OtlpExporter,
  config: ConstructorParameters<OtlpExporter>[0],
  count: (spans: number, error: Error | undefined | null) => void,
): SpanExporter {
  class CountingExporter extends Exporter {
    override export(...[spans, done]: Parameters<InstanceType<OtlpExporter>["export"]>): void {
      super.export(spans, (result) => {
        const code: number = result.code;
        count(spans.length, code === EXPORT_SUCCESS ? null : result.error);
        done(result);
      });
    }
  }
  return new CountingExporter(config);
}

function toHrTime(unix_ns: bigint): [number, number] {
  return [Number(unix_ns / 1_000_000_000n), Number(unix_ns % 1_000_000_000n)];
}

/** The error in words: exporters put the status into `code` and what the server said into `data`. */
function tellError(error: Error & { code?: string | number; data?: unknown }): string {
  const { message } = error;
  const code = String(error.code ?? "");
  const data =
    typeof error.data === "string" ? error.data.replace(/[^\x20-\x7e]+/g, " ").trim() : "";
  return [message, message.includes(code) ? "" : code, data]
    .filter((word) => word !== "")
    .join(" ");
}

function readPartialSuccess(detail: unknown): { rejected_spans: number; text: string } {
  let answer: unknown = null;
  try {
    answer = JSON.parse(String(detail));
  } catch {
    // Not the JSON the SDK writes today: the words are still passed on.
  }
  const fields = typeof answer === "object" && answer !== null ? answer : {};
  const rejected = "rejectedSpans" in fields ? Number(fields.rejectedSpans) : 0;
  const text = "errorMessage" in fields ? String(fields.errorMessage) : String(detail);
  return { rejected_spans: Number.isSafeInteger(rejected) && rejected > 0 ? rejected : 0, text };
}
