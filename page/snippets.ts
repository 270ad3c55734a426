/**
 * How to send the first span: commands and code to copy, with the addresses of this installation in them.
 *
 * Invariant: what stands here works as it stands; `test/browser/` runs what can be run.
 */
import type { WhoamiAnswer } from "../schemas/api-tenancy.ts";

/** Where spans go, and whether they need a key. */
export interface Target {
  /** URL without a path and without a slash at its end. */
  readonly otlp_http: string;
  readonly otlp_grpc: string;
  /** The addresses are a guess: the process that was asked does not receive spans. */
  readonly is_guess: boolean;
  readonly has_keys: boolean;
}

/** Ports that OTLP has everywhere. */
const USUAL_PORTS = { otlp_http: 4318, otlp_grpc: 4317 } as const;
/** Listens on all addresses: not one to send to. */
const ANY_HOST = /^(https?:\/\/)(?:0\.0\.0\.0|\[::\])(?=:)/;
/** Stands where the key goes: keys are never put on the page. */
const KEY = "YOUR_KEY";

/** Where to send to, as seen from a browser that reached the page at this host. */
export function targetOf(
  receiver: WhoamiAnswer["receiver"],
  hostname: string,
  has_keys: boolean,
): Target {
  const reach = (kind: keyof typeof USUAL_PORTS) =>
    receiver?.[kind].replace(ANY_HOST, (_all, scheme: string) => scheme + hostname) ??
    `http://${hostname}:${USUAL_PORTS[kind]}`;
  return {
    otlp_http: reach("otlp_http"),
    otlp_grpc: reach("otlp_grpc"),
    is_guess: receiver === null,
    has_keys,
  };
}

/** Something to copy. */
export interface Block {
  /** What to do with it: "Save as app.mjs". */
  readonly title: string;
  readonly code: string;
}

/** A client, and what to do there. */
export interface Client {
  readonly name: string;
  readonly title: string;
  readonly words?: string;
  readonly makeBlocks: (target: Target) => readonly Block[];
}

function makeNodeCode({ otlp_http, has_keys }: Target): string {
  const headers = has_keys ? `\n    headers: { "x-api-key": "${KEY}" },` : "";
  return `import { SpanKind, trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { NodeSDK } from "@opentelemetry/sdk-node";

const sdk = new NodeSDK({
  serviceName: "my-app",
  traceExporter: new OTLPTraceExporter({
    url: "${otlp_http}/v1/traces",${headers}
  }),
});
sdk.start();

// What an instrumentation does around a call of a model:
const span = trace.getTracer("my-app").startSpan("chat gpt-4o-mini", { kind: SpanKind.CLIENT });
span.setAttributes({
  "gen_ai.operation.name": "chat",
  "gen_ai.provider.name": "openai",
  "gen_ai.request.model": "gpt-4o-mini",
  "gen_ai.usage.input_tokens": 1000,
  "gen_ai.usage.output_tokens": 200,
});
span.end();

await sdk.shutdown(); // sends what is still waiting
`;
}

function makePythonCode({ otlp_http, has_keys }: Target): string {
  const headers = has_keys ? `, headers={"x-api-key": "${KEY}"}` : "";
  return `from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider(resource=Resource.create({"service.name": "my-app"}))
exporter = OTLPSpanExporter(endpoint="${otlp_http}/v1/traces"${headers})
provider.add_span_processor(BatchSpanProcessor(exporter))
trace.set_tracer_provider(provider)

# What an instrumentation does around a call of a model:
tracer = trace.get_tracer("my-app")
with tracer.start_as_current_span("chat gpt-4o-mini", kind=trace.SpanKind.CLIENT) as span:
    span.set_attributes({
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 200,
    })

provider.shutdown()  # sends what is still waiting
`;
}

/** Environment variables that every OpenTelemetry SDK reads. */
function exportVariables({ otlp_http, has_keys }: Target): string {
  const headers = has_keys ? `\nexport OTEL_EXPORTER_OTLP_HEADERS=x-api-key=${KEY}` : "";
  return `export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf
export OTEL_EXPORTER_OTLP_ENDPOINT=${otlp_http}${headers}
`;
}

function makeCodexConfig({ otlp_http, has_keys }: Target): string {
  const headers = has_keys ? `\n[otel.exporter."otlp-http".headers]\n"x-api-key" = "${KEY}"\n` : "";
  return `[otel.exporter."otlp-http"]
endpoint = "${otlp_http}/v1/logs"
protocol = "binary"
${headers}`;
}

function makeGeminiVariables({ otlp_http, has_keys }: Target): string {
  const headers = has_keys ? `\nexport OTEL_EXPORTER_OTLP_HEADERS=x-api-key=${KEY}` : "";
  return `export GEMINI_TELEMETRY_ENABLED=true GEMINI_TELEMETRY_TARGET=local
export GEMINI_TELEMETRY_LOG_PROMPTS=false GEMINI_TELEMETRY_OTLP_PROTOCOL=http
export GEMINI_TELEMETRY_OTLP_ENDPOINT=${otlp_http}${headers}
`;
}

function makeCurlCommand({ otlp_http, has_keys }: Target): string {
  const header = has_keys ? `\n  -H "x-api-key: ${KEY}" \\` : "";
  return `now=$(date +%s)
curl --fail-with-body ${otlp_http}/v1/traces \\${header}
  -H "Content-Type: application/json" -d '{
  "resourceSpans": [{
    "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shell"}}]},
    "scopeSpans": [{"scope": {"name": "by-hand"}, "spans": [{
      "traceId": "'"$(openssl rand -hex 16)"'", "spanId": "'"$(openssl rand -hex 8)"'",
      "name": "chat gpt-4o-mini", "kind": 3,
      "startTimeUnixNano": "'"$now"'000000000", "endTimeUnixNano": "'"$now"'800000000",
      "attributes": [
        {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
        {"key": "gen_ai.provider.name", "value": {"stringValue": "openai"}},
        {"key": "gen_ai.request.model", "value": {"stringValue": "gpt-4o-mini"}},
        {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "1000"}},
        {"key": "gen_ai.usage.output_tokens", "value": {"intValue": "200"}}
      ]}]}]}]}'
`;
}

/** The clients, in the order of the tabs. */
export const CLIENTS: readonly Client[] = [
  {
    name: "node",
    title: "Node",
    words: "A whole program. An instrumentation of your provider's package does the middle part.",
    makeBlocks: (target) => [
      {
        title: "In a folder of its own",
        code: "npm init -y && npm install @opentelemetry/api @opentelemetry/sdk-node @opentelemetry/exporter-trace-otlp-http\n",
      },
      { title: "Save as app.mjs", code: makeNodeCode(target) },
      { title: "Run", code: "node app.mjs\n" },
    ],
  },
  {
    name: "python",
    title: "Python",
    words: "A whole program. An instrumentation of your provider's package does the middle part.",
    makeBlocks: (target) => [
      {
        title: "Install",
        code: "pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http\n",
      },
      { title: "Save as app.py", code: makePythonCode(target) },
      { title: "Run", code: "python app.py\n" },
    ],
  },
  {
    name: "claude-code",
    title: "Claude Code",
    words: "Its log events tell of each call; prompts stay out unless you ask for them.",
    makeBlocks: (target) => [
      {
        title: "In the shell that starts it",
        code: `export CLAUDE_CODE_ENABLE_TELEMETRY=1 OTEL_LOGS_EXPORTER=otlp OTEL_METRICS_EXPORTER=otlp\n${exportVariables(target)}`,
      },
      { title: "Run", code: "claude\n" },
    ],
  },
  {
    name: "codex",
    title: "Codex",
    words: "Its log events tell of each call.",
    makeBlocks: (target) => [
      { title: "Add to ~/.codex/config.toml", code: makeCodexConfig(target) },
      { title: "Run", code: "codex\n" },
    ],
  },
  {
    name: "gemini",
    title: "Gemini CLI",
    words: "Its log events tell of each call.",
    makeBlocks: (target) => [
      { title: "In the shell that starts it", code: makeGeminiVariables(target) },
      { title: "Run", code: "gemini\n" },
    ],
  },
  {
    name: "otlp",
    title: "Any OTLP",
    words:
      "Every OpenTelemetry SDK and collector reads these. Spans, log events and metrics are received.",
    makeBlocks: (target) => [
      { title: "In the environment of your application", code: exportVariables(target) },
      {
        title: "Or over gRPC",
        code: exportVariables({ ...target, otlp_http: target.otlp_grpc }).replace(
          "http/protobuf",
          "grpc",
        ),
      },
    ],
  },
  {
    name: "curl",
    title: "curl",
    words: "One span by hand.",
    makeBlocks: (target) => [{ title: "In a shell", code: makeCurlCommand(target) }],
  },
  {
    name: "demo",
    title: "Demo",
    words: "Plausible traffic of a made-up company, over the last 30 days.",
    makeBlocks: ({ otlp_http, has_keys }) => [
      {
        title: "Where Spanledger was started",
        code: `${has_keys ? `export SPANLEDGER_API_KEY=${KEY}\n` : ""}npm run demo -- --minutes 43200 --calls 5000 --endpoint ${otlp_http}\n`,
      },
    ],
  },
];
