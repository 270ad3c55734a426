/**
 * Makes OTLP trace bodies as an application with agents sends them: traces of one agent span, its
 * model calls and its tool calls. About 28 attributes and 1.2 KB a span; prompts, answers and what tools
 * are given only when they are asked for.
 *
 * Invariant: seed and options alone decide every byte, and no two spans of a set have the same ids. The
 * first call of a trace does not fail, so that what a trace counts for is known before it has settled.
 */
import {
  encodeTraceRequest,
  type OtlpEvent,
  type OtlpKeyValue,
  type OtlpSpan,
  type OtlpTraceRequest,
  type OtlpValue,
} from "../test/support/otlp-proto.ts";
import { makeRandom, type Random } from "../test/support/random.ts";
import { CHAT_CONTENT, makeContents, TOOL_CONTENT } from "./content.ts";

/** Spans of one body: the default batch of the OpenTelemetry SDKs. */
export const SPANS_PER_BODY = 512;

/** Start of the first span, ns. Fixed, so that a body does not depend on when it was made. */
export const FIRST_START_NS = BigInt(Date.UTC(2026, 9, 1, 10)) * 1_000_000n;

/** Time between the starts of two bodies, ns: a busy service fills a batch in two seconds. */
const BODY_STEP_NS = 2_000_000_000n;

/** What the bodies are to be like. */
export interface BodyOptions {
  /** Start of the first span, Unix ns; FIRST_START_NS when it is not given. */
  readonly start_ns?: bigint;
  /** Prompts, answers, arguments and results of each span, bytes; none when it is not given. */
  readonly content_bytes?: number;
}

interface Model {
  readonly provider: string;
  readonly server: string;
  readonly request: string;
  readonly response: string;
  readonly id_prefix: string;
  readonly reasons: boolean;
}

function model(
  provider: string,
  server: string,
  id_prefix: string,
  request: string,
  response: string,
  reasons = false,
): Model {
  return { provider, server, request, response, id_prefix, reasons };
}

const OPENAI = ["openai", "api.openai.com", "chatcmpl-"] as const;
const ANTHROPIC = ["anthropic", "api.anthropic.com", "msg_01"] as const;
const GEMINI = ["gcp.gemini", "generativelanguage.googleapis.com", "resp-"] as const;

const MODELS: readonly Model[] = [
  model(...OPENAI, "gpt-4o", "gpt-4o-2024-08-06"),
  model(...OPENAI, "gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
  model(...OPENAI, "gpt-4.1", "gpt-4.1-2025-04-14"),
  model(...OPENAI, "gpt-4.1-mini", "gpt-4.1-mini-2025-04-14"),
  model(...OPENAI, "o4-mini", "o4-mini-2025-04-16", true),
  model(...ANTHROPIC, "claude-sonnet-4-5", "claude-sonnet-4-5-20250929"),
  model(...ANTHROPIC, "claude-opus-4-1", "claude-opus-4-1-20250805"),
  model(...ANTHROPIC, "claude-haiku-4-5", "claude-haiku-4-5-20251001"),
  model(...GEMINI, "gemini-2.5-pro", "gemini-2.5-pro", true),
  model(...GEMINI, "gemini-2.5-flash", "gemini-2.5-flash", true),
  // A model of the house: in no price book, so that not every call can be priced.
  model("vllm", "llm.internal", "cmpl-", "house-tuned-8b", "house-tuned-8b"),
];

const SERVICES = ["checkout", "support-bot", "search", "code-review", "onboarding", "reports"];
const AGENTS = ["planner", "researcher", "reviewer", "triage", "writer"];
const TOOLS = ["search_orders", "fetch_page", "run_sql", "read_file", "send_mail", "list_tickets"];
const FEATURES = ["answer", "classify", "extract", "draft", "rank", "translate"];
const REGIONS = ["eu-west-1", "us-east-1", "ap-south-1"];
const USER_COUNT = 2_000;
const CUSTOMER_COUNT = 120;
const ERROR_SHARE = 0.03;
const RETRY_EVENT_SHARE = 0.05;

const text = (key: string, value: string): OtlpKeyValue => ({ key, value: { stringValue: value } });
const whole = (key: string, value: number): OtlpKeyValue => ({ key, value: { intValue: value } });
const double = (key: string, value: number): OtlpKeyValue => ({
  key,
  value: { doubleValue: value },
});
const flag = (key: string, value: boolean): OtlpKeyValue => ({ key, value: { boolValue: value } });
const list = (key: string, values: readonly string[]): OtlpKeyValue => ({
  key,
  value: { arrayValue: { values: values.map((value): OtlpValue => ({ stringValue: value })) } },
});

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

function uuid(random: Random): string {
  const hex = hexOf(random.bytes(16));
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`;
}

/** What all spans of one trace share. */
interface Trace {
  readonly content_bytes: number;
  readonly trace_id: Uint8Array;
  readonly agent_span_id: Uint8Array;
  readonly agent: string;
  readonly model: Model;
  readonly user: string;
  readonly session_id: string;
  readonly conversation_id: string;
  readonly shared: readonly OtlpKeyValue[];
}

function makeTrace(random: Random, content_bytes: number): Trace {
  const user = `user-${1_000 + random.whole(USER_COUNT)}`;
  const agent = random.pick(AGENTS);
  const session_id = `sess-${uuid(random)}`;
  const conversation_id = `conv_${hexOf(random.bytes(12))}`;
  return {
    content_bytes,
    trace_id: random.bytes(16),
    agent_span_id: random.bytes(8),
    agent,
    model: random.pick(MODELS),
    user,
    session_id,
    conversation_id,
    shared: [
      text("gen_ai.agent.name", agent),
      text("gen_ai.agent.id", `agent_${agent}_v3`),
      text("gen_ai.conversation.id", conversation_id),
      text("user.id", user),
      text("session.id", session_id),
      text("spanledger.tag.feature", random.pick(FEATURES)),
      text("spanledger.tag.customer", `customer-${random.whole(CUSTOMER_COUNT)}`),
      text("app.request.id", uuid(random)),
      text("app.tenant.region", random.pick(REGIONS)),
      text("app.build.id", hexOf(random.bytes(6))),
      text("app.release.channel", random.chance(0.9) ? "stable" : "canary"),
      whole("thread.id", 1 + random.whole(64)),
      text("thread.name", `worker-${random.whole(16)}`),
    ],
  };
}

interface Timing {
  readonly start_ns: bigint;
  readonly duration_ns: bigint;
}

function makeSpan(
  random: Random,
  trace: Trace,
  span_id: Uint8Array,
  timing: Timing,
  fields: { name: string; kind: number; attributes: OtlpKeyValue[]; failed: string | null },
): OtlpSpan {
  const { start_ns, duration_ns } = timing;
  const end_ns = start_ns + duration_ns;
  const is_root = span_id === trace.agent_span_id;
  const events = makeEvents(random, end_ns, fields.failed);
  return {
    traceId: trace.trace_id,
    spanId: span_id,
    ...(is_root ? {} : { parentSpanId: trace.agent_span_id }),
    name: fields.name,
    kind: fields.kind,
    startTimeUnixNano: start_ns,
    endTimeUnixNano: end_ns,
    attributes: fields.attributes,
    ...(events.length > 0 ? { events } : {}),
    ...(fields.failed === null ? {} : { status: { code: 2 } }),
    flags: 0x101,
  };
}

function makeEvents(random: Random, end_ns: bigint, failed: string | null): OtlpEvent[] {
  if (failed !== null) {
    const attributes = [text("exception.type", failed), flag("exception.escaped", true)];
    return [{ timeUnixNano: end_ns, name: "exception", attributes }];
  }
  if (!random.chance(RETRY_EVENT_SHARE)) return [];
  const attributes = [
    whole("retry.attempt", 1 + random.whole(3)),
    double("retry.delay_s", 0.25 * (1 + random.whole(8))),
  ];
  return [{ timeUnixNano: end_ns - 1_000_000n, name: "retry", attributes }];
}

function makeChat(random: Random, trace: Trace, timing: Timing, may_fail: boolean): OtlpSpan {
  const { provider, server, request, response, id_prefix, reasons } = trace.model;
  const failed = may_fail && random.chance(ERROR_SHARE) ? "RateLimitError" : null;
  const input = 200 + random.whole(6_000);
  const cache_read = random.chance(0.5) ? Math.floor(input * random.next()) : 0;
  const output = 20 + random.whole(900);
  const answered = [
    text("gen_ai.response.model", response),
    text("gen_ai.response.id", `${id_prefix}${hexOf(random.bytes(12))}`),
    list("gen_ai.response.finish_reasons", [random.chance(0.3) ? "tool_calls" : "stop"]),
    whole("gen_ai.usage.input_tokens", input),
    whole("gen_ai.usage.output_tokens", output),
    whole("gen_ai.usage.cache_read.input_tokens", cache_read),
    ...(reasons ? [whole("gen_ai.usage.reasoning.output_tokens", random.whole(output))] : []),
    double("gen_ai.response.time_to_first_chunk", Math.round(random.next() * 1e6) / 1e6),
  ];
  const refused = [text("error.type", failed ?? ""), whole("http.response.status_code", 429)];
  return makeSpan(random, trace, random.bytes(8), timing, {
    name: `chat ${request}`,
    kind: 3,
    failed,
    attributes: [
      text("gen_ai.operation.name", "chat"),
      text("gen_ai.provider.name", provider),
      text("gen_ai.request.model", request),
      double("gen_ai.request.temperature", random.pick([0, 0.2, 0.7, 1])),
      double("gen_ai.request.top_p", random.pick([0.9, 0.95, 1])),
      whole("gen_ai.request.max_tokens", random.pick([512, 1_024, 4_096])),
      flag("gen_ai.request.stream", random.chance(0.5)),
      text("gen_ai.output.type", "text"),
      text("server.address", server),
      whole("server.port", 443),
      ...(failed === null ? answered : refused),
      ...makeContents(random, trace.content_bytes, CHAT_CONTENT),
      ...trace.shared,
    ],
  });
}

function makeTool(random: Random, trace: Trace, timing: Timing): OtlpSpan {
  const tool = random.pick(TOOLS);
  const failed = random.chance(ERROR_SHARE) ? "TimeoutError" : null;
  return makeSpan(random, trace, random.bytes(8), timing, {
    name: `execute_tool ${tool}`,
    kind: 1,
    failed,
    attributes: [
      text("gen_ai.operation.name", "execute_tool"),
      text("gen_ai.tool.name", tool),
      text("gen_ai.tool.type", "function"),
      text("gen_ai.tool.call.id", `call_${hexOf(random.bytes(12))}`),
      text("code.function.name", `tools.${tool}.run`),
      text("code.file.path", `/srv/app/tools/${tool}.py`),
      whole("code.line.number", 10 + random.whole(400)),
      text("db.system.name", "postgresql"),
      text("db.collection.name", random.pick(TOOLS)),
      text("url.full", `https://tools.internal/v1/${tool}/${random.whole(100_000)}`),
      text("http.request.method", "POST"),
      whole("http.response.status_code", failed === null ? 200 : 504),
      whole("app.tool.rows", random.whole(500)),
      ...(failed === null ? [] : [text("error.type", failed)]),
      ...makeContents(random, trace.content_bytes, TOOL_CONTENT),
      ...trace.shared,
    ],
  });
}

function makeAgent(random: Random, trace: Trace, timing: Timing): OtlpSpan {
  return makeSpan(random, trace, trace.agent_span_id, timing, {
    name: `invoke_agent ${trace.agent}`,
    kind: 1,
    failed: random.chance(ERROR_SHARE) ? "AgentError" : null,
    attributes: [
      text("gen_ai.operation.name", "invoke_agent"),
      text("gen_ai.provider.name", trace.model.provider),
      text("gen_ai.request.model", trace.model.request),
      whole("gen_ai.usage.input_tokens", 2_000 + random.whole(20_000)),
      whole("gen_ai.usage.output_tokens", 200 + random.whole(4_000)),
      text("http.request.method", "POST"),
      text("http.route", "/v1/assist"),
      whole("http.response.status_code", 200),
      text("client.address", `10.${random.whole(256)}.${random.whole(256)}.${random.whole(256)}`),
      text("network.protocol.version", "1.1"),
      whole("app.agent.steps", 1 + random.whole(8)),
      ...makeContents(random, trace.content_bytes, CHAT_CONTENT),
      ...trace.shared,
    ],
  });
}

const MILLISECOND_NS = 1_000_000n;

/** The spans of one trace: the agent, then one to six model calls, each with up to one tool call. */
function makeTraceSpans(random: Random, start_ns: bigint, content_bytes: number): OtlpSpan[] {
  const trace = makeTrace(random, content_bytes);
  const spans: OtlpSpan[] = [];
  let at_ns = start_ns + BigInt(random.whole(1_000_000));
  const call_count = 1 + random.whole(6);
  for (let call = 0; call < call_count; call += 1) {
    const duration_ns = BigInt(300 + random.whole(4_000)) * MILLISECOND_NS;
    spans.push(makeChat(random, trace, { start_ns: at_ns, duration_ns }, call > 0));
    at_ns += duration_ns;
    if (!random.chance(0.47)) continue;
    const tool_ns = BigInt(5 + random.whole(300)) * MILLISECOND_NS;
    spans.push(makeTool(random, trace, { start_ns: at_ns, duration_ns: tool_ns }));
    at_ns += tool_ns;
  }
  const timing = { start_ns, duration_ns: at_ns - start_ns };
  return [...spans, makeAgent(random, trace, timing)];
}

function makeResource(random: Random): OtlpKeyValue[] {
  const service = random.pick(SERVICES);
  const host = hexOf(random.bytes(5));
  return [
    text("service.name", service),
    text("service.version", `2.${random.whole(20)}.${random.whole(10)}`),
    text("service.instance.id", uuid(random)),
    text("deployment.environment.name", random.chance(0.8) ? "production" : "staging"),
    text("cloud.region", random.pick(REGIONS)),
    text("k8s.pod.name", `${service}-${host}`),
    text("k8s.namespace.name", "apps"),
    text("host.name", `node-${host}`),
    text("telemetry.sdk.language", "python"),
    text("telemetry.sdk.name", "opentelemetry"),
    text("telemetry.sdk.version", "1.39.0"),
  ];
}

function makeRequest(random: Random, start_ns: bigint, content_bytes: number): OtlpTraceRequest {
  const spans: OtlpSpan[] = [];
  while (spans.length < SPANS_PER_BODY) {
    const start_offset_ns = (BODY_STEP_NS * BigInt(spans.length)) / BigInt(SPANS_PER_BODY);
    spans.push(...makeTraceSpans(random, start_ns + start_offset_ns, content_bytes));
  }
  const scope = { name: "opentelemetry.instrumentation.genai", version: "0.9.0" };
  return {
    resourceSpans: [
      {
        resource: { attributes: makeResource(random) },
        scopeSpans: [{ scope, spans: spans.slice(0, SPANS_PER_BODY) }],
      },
    ],
  };
}

/** Makes that many requests, each of SPANS_PER_BODY spans and each different. */
export function* makeRequests(
  count: number,
  seed = 1,
  { start_ns = FIRST_START_NS, content_bytes = 0 }: BodyOptions = {},
): Generator<OtlpTraceRequest> {
  const random = makeRandom(seed);
  for (let index = 0; index < count; index += 1) {
    yield makeRequest(random, start_ns + BODY_STEP_NS * BigInt(index), content_bytes);
  }
}

/** Protobuf bodies of that many requests; they take about 20 ms and 600 KB each. */
export function makeBodies(
  count: number,
  seed = 1,
  options: BodyOptions = {},
): Uint8Array<ArrayBuffer>[] {
  return Array.from(makeRequests(count, seed, options), encodeTraceRequest);
}

/** OTLP/JSON bodies of the same requests: ids in hex, 64-bit integers as decimal strings. */
export function makeJsonBodies(
  count: number,
  seed = 1,
  options: BodyOptions = {},
): Uint8Array<ArrayBuffer>[] {
  return Array.from(makeRequests(count, seed, options), encodeJson);
}

function encodeJson(request: OtlpTraceRequest): Uint8Array<ArrayBuffer> {
  const json = JSON.stringify(request, (key, value: unknown) => {
    if (value instanceof Uint8Array) return hexOf(value);
    if (key === "intValue") return String(value);
    return typeof value === "bigint" ? value.toString() : value;
  });
  return new TextEncoder().encode(json);
}
