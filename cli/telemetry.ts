/**
 * The collector's traces of itself through the OpenTelemetry SDK, when the standard variables name an
 * endpoint. The SDK is loaded only then.
 *
 * Invariant: nothing of it ends or holds up the program: what cannot be set up or sent is told once in
 * the log, and the spans are gone.
 */
import { randomUUID } from "node:crypto";
import type { OTLPTraceExporter as Exporter } from "@opentelemetry/exporter-trace-otlp-proto";
import type { Sampler } from "@opentelemetry/sdk-trace";
import { SELF_SCOPE, type TelemetryOptions } from "../collector/telemetry/telemetry.ts";
import { messageOf } from "../schemas/errors.ts";
import type { Log } from "../schemas/log.ts";
import { readTraceSettings, type TraceSettings, VERSION } from "./config.ts";

/** Spans of one export, and spans that wait for one; those beyond are dropped. */
const MAX_EXPORT_SPANS = 512;
const MAX_WAITING_SPANS = 4_096;
/** Pause between exports, and the longest one may take, ms. */
const EXPORT_INTERVAL_MS = 2_000;
const EXPORT_TIMEOUT_MS = 3_000;
/** Longest the last export holds up a stop, ms; below the deadline of the whole (serve.ts). */
const STOP_TIMEOUT_MS = 1_500;
/** Attributes of a span; ours have fewer. */
const MAX_ATTRIBUTES = 32;

/** Traces of this process, on or off. */
export interface RunningTraces {
  /** Null when nothing is traced. */
  readonly tracer: TelemetryOptions["tracer"];
  /** Sends what is left. Never rejects. */
  stop(): Promise<void>;
}

/** ExportResultCode.SUCCESS of the SDK, which exports its type alone. */
const EXPORTED = 0;

const OFF: RunningTraces = { tracer: null, stop: async () => {} };

/** Starts to trace, when the environment asks for it. Never rejects. */
export async function startTraces(log: Log): Promise<RunningTraces> {
  const read = readTraceSettings();
  if (read === null) return OFF;
  if ("problem" in read) {
    log.warn({}, `Spanledger does not trace itself: ${read.problem}`);
    return OFF;
  }
  try {
    return await openTraces(read.settings, log);
  } catch (error) {
    log.warn({}, `Spanledger does not trace itself: ${messageOf(error)}`);
    return OFF;
  }
}

async function openTraces(settings: TraceSettings, log: Log): Promise<RunningTraces> {
  const [sdk, { OTLPTraceExporter }, { resourceFromAttributes }] = await Promise.all([
    import("@opentelemetry/sdk-trace"),
    import("@opentelemetry/exporter-trace-otlp-proto"),
    import("@opentelemetry/resources"),
  ]);
  const exporter = new OTLPTraceExporter({ userAgent: `spanledger-self/${VERSION}` });
  const provider = new sdk.TracerProvider({
    resource: resourceFromAttributes({
      "service.name": settings.service_name,
      "service.version": VERSION,
      "service.instance.id": randomUUID(),
    }),
    sampler: makeSampler(sdk, settings, log),
    spanLimits: { attributeCountLimit: MAX_ATTRIBUTES },
    spanProcessors: [
      new sdk.BatchSpanProcessor({
        exporter: tellFailures(exporter, log),
        maxExportBatchSize: MAX_EXPORT_SPANS,
        maxQueueSize: MAX_WAITING_SPANS,
        scheduledDelayMillis: EXPORT_INTERVAL_MS,
        exportTimeoutMillis: EXPORT_TIMEOUT_MS,
      }),
    ],
  });
  log.info({ sampler: settings.sampler }, "Spanledger traces itself");
  return {
    tracer: provider.getTracer(SELF_SCOPE, VERSION),
    async stop() {
      const timeout = new Promise<void>((resolve) => {
        setTimeout(resolve, STOP_TIMEOUT_MS).unref();
      });
      await Promise.race([provider.shutdown().catch(() => {}), timeout]);
    },
  };
}

type Sdk = typeof import("@opentelemetry/sdk-trace");

/**
 * The sampler by its standard name. No request has a parent here, so `parentbased_` changes nothing:
 * children always go with their root.
 */
function makeSampler(sdk: Sdk, { sampler, sampler_ratio }: TraceSettings, log: Log): Sampler {
  const samplers: ReadonlyMap<string, () => Sampler> = new Map<string, () => Sampler>([
    ["always_on", () => new sdk.AlwaysOnSampler()],
    ["always_off", () => new sdk.AlwaysOffSampler()],
    ["traceidratio", () => new sdk.TraceIdRatioBasedSampler(sampler_ratio)],
  ]);
  const make = samplers.get(sampler.replace(/^parentbased_/, ""));
  if (make === undefined) {
    log.warn({}, "OTEL_TRACES_SAMPLER is not a sampler that Spanledger knows: all is traced");
  }
  return new sdk.ParentBasedSampler({ root: (make ?? (() => new sdk.AlwaysOnSampler()))() });
}

/** An exporter that tells of the first failure in a row, and when it works again. */
function tellFailures(
  exporter: Exporter,
  log: Log,
): Pick<Exporter, "export" | "shutdown" | "forceFlush"> {
  let is_failing = false;
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        const code: number = result.code;
        const has_failed = code !== EXPORTED;
        if (has_failed && !is_failing) {
          log.warn(
            {},
            "traces of Spanledger itself do not arrive; see OTEL_EXPORTER_OTLP_ENDPOINT",
          );
        }
        if (!has_failed && is_failing) log.info({}, "traces of Spanledger itself arrive again");
        is_failing = has_failed;
        done(result);
      });
    },
    shutdown: () => exporter.shutdown(),
    forceFlush: () => exporter.forceFlush(),
  };
}
