/**
 * The main job, end to end: an application instrumented with the OpenTelemetry SDK sends spans to
 * the real program, and the API answers what they cost. The amounts are worked out by hand from the
 * providers' price lists, in the comments.
 */
import { context, SpanKind, trace, type Tracer } from "@opentelemetry/api";
import { OTLPTraceExporter as JsonExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtobufExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { NodeSDK } from "@opentelemetry/sdk-node";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { CallsAnswer, TraceAnswer, UsageAnswer } from "../../schemas/api.ts";
import { eventually, makeDataDirectory, type Program, startServe } from "../support/program.ts";

const data = makeDataDirectory();
let program: Program;

beforeAll(async () => {
  program = await startServe(data.path);
});
afterAll(async () => {
  await program.end("SIGTERM");
  data.remove();
});

async function ask<Answer>(path: string): Promise<Answer> {
  const response = await fetch(`${program.api}${path}`);
  expect(response.status).toBe(200);
  return (await response.json()) as Answer;
}

/** One call of a model, as instrumentations write it. */
function call(tracer: Tracer, attributes: Record<string, string | number | boolean | string[]>) {
  const span = tracer.startSpan(`chat ${String(attributes["gen_ai.request.model"])}`, {
    kind: SpanKind.CLIENT,
    attributes: { "gen_ai.operation.name": "chat", ...attributes },
  });
  span.end();
}

function sendTraffic(tracer: Tracer): void {
  tracer.startActiveSpan("handle request", (request) => {
    tracer.startActiveSpan(
      "invoke_agent helper",
      {
        attributes: { "gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 9999 },
      },
      (agent) => {
        // gpt-4o-mini: $0.15 in, $0.075 cached, $0.60 out per million.
        // 1,000 in of which 400 cached, 200 out:
        // 600*0.15 + 400*0.075 + 200*0.60 = 90 + 30 + 120 = 240 per million = 0.00024
        for (let index = 0; index < 3; index += 1) {
          call(tracer, {
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
            "gen_ai.usage.input_tokens": 1000,
            "gen_ai.usage.cache_read.input_tokens": 400,
            "gen_ai.usage.output_tokens": 200,
            "user.id": "ada",
          });
        }
        // claude-sonnet-4-5: $3 in, $0.30 read, $3.75 write, $15 out per million.
        // 5,000 in of which 3,000 read and 500 written, 700 out:
        // 1500*3 + 3000*0.30 + 500*3.75 + 700*15 = 4500 + 900 + 1875 + 10500 = 17775 = 0.017775
        call(tracer, {
          "gen_ai.system": "anthropic",
          "gen_ai.request.model": "claude-sonnet-4-5",
          "gen_ai.usage.input_tokens": 5000,
          "gen_ai.usage.cache_read.input_tokens": 3000,
          "gen_ai.usage.cache_creation.input_tokens": 500,
          "gen_ai.usage.output_tokens": 700,
        });
        // gemini-2.5-flash: $0.30 in, $0.03 cached, $2.50 out per million.
        // 510 in of which 400 cached, 200 out of which 160 reasoning:
        // 110*0.30 + 400*0.03 + 200*2.50 = 33 + 12 + 500 = 545 = 0.000545
        call(tracer, {
          "gen_ai.provider.name": "gcp.gemini",
          "gen_ai.request.model": "gemini-2.5-flash",
          "gen_ai.usage.input_tokens": 510,
          "gen_ai.usage.cache_read.input_tokens": 400,
          "gen_ai.usage.output_tokens": 200,
          "gen_ai.usage.reasoning.output_tokens": 160,
        });
        agent.end();
      },
    );
    call(tracer, {
      "gen_ai.system": "openai",
      "gen_ai.request.model": "model-of-nobody",
      "gen_ai.usage.prompt_tokens": 10,
      "gen_ai.usage.completion_tokens": 5,
    });
    request.end();
  });
}

const EXPECTED = [
  {
    model: "claude-sonnet-4-5",
    calls: 1,
    cost_usd: "0.017775",
    tokens: { input_uncached: 1500, cache_read: 3000, cache_write: 500, output_text: 700 },
  },
  {
    model: "gpt-4o-mini-2024-07-18",
    calls: 3,
    cost_usd: "0.00072",
    tokens: { input_uncached: 1800, cache_read: 1200, cache_write: null, output_text: 600 },
  },
  {
    model: "gemini-2.5-flash",
    calls: 1,
    cost_usd: "0.000545",
    tokens: { input_uncached: 110, cache_read: 400, output_text: 40, output_reasoning: 160 },
  },
  {
    model: "model-of-nobody",
    calls: 1,
    cost_usd: null,
    tokens: { input_uncached: 10, cache_read: null, output_text: 5, output_reasoning: null },
  },
];

const exporters = [
  ["OTLP/JSON", JsonExporter, "json-service"],
  ["OTLP/protobuf", ProtobufExporter, "protobuf-service"],
] as const;

test.each(exporters)(
  "spans of the SDK sent as %s are in the answer within 2 s, to the last digit",
  async (_name, Exporter, service) => {
    const exporter = new Exporter({ url: `${program.otlp}/v1/traces` });
    const sdk = new NodeSDK({
      autoDetectResources: false,
      resource: resourceFromAttributes({
        "service.name": service,
        "deployment.environment.name": service,
      }),
      traceExporter: exporter,
    });
    sdk.start();
    sendTraffic(trace.getTracer("the-application"));
    await sdk.shutdown();
    trace.disable();
    context.disable();

    const path = `/v1/usage?group_by=model&environment=${service}`;
    const { answer, took_ms } = await eventually(
      () => ask<UsageAnswer>(path),
      (usage) => usage.coverage.calls === 6,
      10_000,
    );
    expect(took_ms).toBeLessThan(2_000);
    expect(answer.rows).toHaveLength(4);
    expect(answer.rows).toMatchObject(EXPECTED);
    // 0.017775 + 0.00072 + 0.000545
    expect(answer.totals.cost_usd).toBe("0.01904");
    expect(answer.coverage).toMatchObject({
      calls: 6,
      calls_missing_usage: 0,
      calls_estimated: 0,
      calls_unpriced: 1,
    });
  },
  30_000,
);

test("the trace shows the cost of every node and the ledger row of every call", async () => {
  const { calls } = await ask<CallsAnswer>("/v1/calls?environment=json-service");
  expect(calls).toHaveLength(6);
  const tree = await ask<TraceAnswer>(`/v1/traces/${calls[0]?.trace_id}`);
  expect(tree.spans).toHaveLength(8);
  const cost = (name: string) => tree.spans.find((span) => span.name === name)?.cost_usd;
  expect(cost("handle request")).toBe("0.01904");
  expect(cost("invoke_agent helper")).toBe("0.01904");
  expect(cost("chat gemini-2.5-flash")).toBe("0.000545");
  expect(cost("chat model-of-nobody")).toBeNull();
  expect(tree.totals).toMatchObject({ calls: 6, cost_usd: "0.01904" });
});

test("the same answer comes from the rollups once they are computed", async () => {
  const metrics = async () => (await fetch(`${program.api}/metrics`)).text();
  await eventually(
    metrics,
    (text) => Number(/^spanledger_recomputed_buckets_total (\d+)/m.exec(text)?.[1] ?? 0) > 0,
    20_000,
  );
  const usage = await ask<UsageAnswer>("/v1/usage?group_by=model&environment=json-service");
  expect(usage.rows).toMatchObject(EXPECTED);
});

test("SIGTERM ends it with code 0 and a new start answers the same", async () => {
  const before = await ask<UsageAnswer>("/v1/usage?group_by=model,environment");
  expect(await program.end("SIGTERM")).toBe(0);
  program = await startServe(data.path);
  expect(program.ready_ms).toBeLessThan(10_000);
  const { answer } = await eventually(
    () => ask<UsageAnswer>("/v1/usage?group_by=model,environment"),
    (usage) => usage.coverage.calls === 12,
    5_000,
  );
  expect(answer.rows).toEqual(before.rows);
});
