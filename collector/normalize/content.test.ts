/**
 * Reliability row A30: a canary put in every place where prompts are known to travel must be in no
 * place of a normalized span while capture is off, and must still be there while it is on.
 */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Attributes, type AttributeValue, type Span } from "../../schemas/span.ts";
import { readTraceCaptures } from "../../test/support/otlp-oracle.ts";
import { decodeTracesJson } from "../decode/json.ts";
import { decodeTraces } from "../decode/traces.ts";
import { withoutContent } from "./content.ts";
import { type Around, attributesOf, normalizeOne, type Pairs } from "./fixture.ts";
import { normalizeScope } from "./normalize.ts";

/** Short, so that no limit on length finds it, and without a word that speaks of content. */
const CANARY = "zebra7 loves kumquats";
const LONG_CANARY = `${CANARY} `.repeat(20);
const JSON_CANARY = JSON.stringify([{ role: "user", content: CANARY }]);

/** Everything in the span as one text: columns, maps, events, links, bytes. */
function textOf(span: Span): string {
  return JSON.stringify(span, (_name, value: unknown) => {
    if (typeof value === "bigint") return value.toString();
    return value instanceof Uint8Array ? Buffer.from(value).toString("latin1") : value;
  });
}

/** Span attributes that hold content, with the shape in which their emitter sends it. */
const ATTRIBUTES: readonly (readonly [string, AttributeValue])[] = [
  // OpenTelemetry, every generation
  ["gen_ai.input.messages", JSON_CANARY],
  ["gen_ai.output.messages", JSON_CANARY],
  ["gen_ai.input.messages", [attributesOf({ role: "user", content: CANARY })]],
  ["gen_ai.system_instructions", `"${CANARY}"`],
  ["gen_ai.tool.definitions", CANARY],
  ["gen_ai.tool.description", CANARY],
  ["gen_ai.tool.call.arguments", `{"city":"${CANARY}"}`],
  ["gen_ai.tool.call.result", CANARY],
  ["gen_ai.tool.args", CANARY],
  ["gen_ai.agent.description", CANARY],
  ["gen_ai.retrieval.query.text", CANARY],
  ["gen_ai.retrieval.documents", [CANARY]],
  ["gen_ai.evaluation.explanation", CANARY],
  ["gen_ai.prompt", CANARY],
  ["gen_ai.completion", CANARY],
  ["gen_ai.request.messages", CANARY],
  ["gen_ai.memory.query", CANARY],
  ["mcp.tool.arguments", CANARY],
  // OpenLLMetry and Traceloop
  ["gen_ai.prompt.0.content", CANARY],
  ["gen_ai.completion.0.content", CANARY],
  ["gen_ai.completion.0.tool_calls.0.arguments", CANARY],
  ["llm.prompts.0.content", CANARY],
  ["llm.completions.0.content", CANARY],
  ["llm.request.functions.0.description", CANARY],
  ["traceloop.entity.input", CANARY],
  ["traceloop.entity.output", CANARY],
  ["traceloop.prompt.template", CANARY],
  ["traceloop.prompt.template_variables.name", CANARY],
  // OpenInference
  ["input.value", CANARY],
  ["output.value", `{"text":"${CANARY}"}`],
  ["llm.input_messages.0.message.content", CANARY],
  ["llm.output_messages.0.message.contents.0.message_content.text", CANARY],
  ["llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments", CANARY],
  ["llm.prompt_template.template", CANARY],
  ["llm.prompt_template.variables", CANARY],
  ["llm.invocation_parameters", `{"system":"${CANARY}"}`],
  ["llm.tools.0.tool.json_schema", `{"description":"${CANARY}"}`],
  ["embedding.embeddings.0.embedding.text", CANARY],
  ["embedding.text", CANARY],
  ["retrieval.documents.0.document.content", CANARY],
  ["reranker.query", CANARY],
  ["reranker.input_documents.0.document.content", CANARY],
  ["tool.parameters", CANARY],
  ["metadata", `{"question":"${CANARY}"}`],
  // Vercel AI SDK
  ["ai.prompt", `{"prompt":"${CANARY}"}`],
  ["ai.prompt.messages", JSON_CANARY],
  ["ai.prompt.tools", [`{"description":"${CANARY}"}`]],
  ["ai.response.text", CANARY],
  ["ai.response.object", CANARY],
  ["ai.response.reasoning", CANARY],
  ["ai.response.toolCalls", JSON_CANARY],
  ["ai.response.providerMetadata", `{"google":{"text":"${CANARY}"}}`],
  ["ai.toolCall.args", CANARY],
  ["ai.toolCall.result", CANARY],
  ["ai.value", CANARY],
  ["ai.values", [CANARY]],
  ["ai.request.headers.x-question", CANARY],
  ["ai.telemetry.metadata.userPrompt", CANARY],
  // Langfuse, LangSmith
  ["langfuse.observation.input", CANARY],
  ["langfuse.observation.output", CANARY],
  ["langfuse.observation.status_message", CANARY],
  ["langfuse.observation.model.parameters", `{"system":"${CANARY}"}`],
  ["langfuse.observation.usage_details", `{"input":"${CANARY}"}`],
  ["langfuse.trace.input", CANARY],
  ["langfuse.trace.output", CANARY],
  ["langsmith.metadata.ls_invocation_params", `{"system":"${CANARY}"}`],
  // Google
  ["genkit:input", CANARY],
  ["genkit:output", CANARY],
  ["genkit:metadata:context", CANARY],
  ["gcp.vertex.agent.llm_request", CANARY],
  ["gcp.vertex.agent.llm_response", CANARY],
  ["gcp.vertex.agent.tool_call_args", CANARY],
  ["gcp.vertex.agent.tool_response", CANARY],
  ["gcp.vertex.agent.data", CANARY],
  // Pydantic AI and Logfire, Mastra, LiteLLM, CrewAI, Claude Code
  ["all_messages_events", JSON_CANARY],
  ["events", CANARY],
  ["final_result", CANARY],
  ["tool_arguments", CANARY],
  ["tool_response", CANARY],
  ["request_data", CANARY],
  ["response_data", CANARY],
  ["logfire.msg", CANARY],
  ["mastra.agent_run.input", CANARY],
  ["mastra.model_step.output", CANARY],
  ["mastra.metadata.body", CANARY],
  ["llm.openai.messages", CANARY],
  ["llm.openai.choices", CANARY],
  ["llm.anthropic.system", CANARY],
  ["crewai.agent.goal", CANARY],
  ["crewai.agent.backstory", CANARY],
  ["user_prompt", CANARY],
  // everything else on the way
  ["error.message", CANARY],
  ["error", CANARY],
  ["exception.message", CANARY],
  ["exception.stacktrace", CANARY],
  ["url.full", `https://search.example/find?q=${CANARY}`],
  ["url.full", `https://search.example/find#${CANARY}`],
  ["url.query", CANARY],
  ["url.fragment", CANARY],
  ["http.url", `https://search.example/?q=${CANARY}`],
  ["http.target", `/find?q=${CANARY}`],
  ["my.callback", `https://hook.example/?text=${CANARY}`],
  ["image.url", `data:text/plain,${CANARY}`],
  ["http.request.header.x-question", [CANARY]],
  ["http.request.body", CANARY],
  ["db.statement", `INSERT INTO chats VALUES ('${CANARY}')`],
  ["db.query.text", `SELECT '${CANARY}'`],
  ["db.query.parameter.0", CANARY],
  ["rag.context", CANARY],
  ["chat_history", CANARY],
  ["systemprompt", CANARY],
  ["app.note", LONG_CANARY],
  ["app.note", JSON_CANARY],
  ["app.note", `{"a":"${CANARY}"}`],
  ["app.note", `<doc>${CANARY}</doc>`],
  ["app.note", attributesOf({ a: CANARY })],
  ["app.note", [[CANARY]]],
  ["app.note", new Uint8Array(Buffer.from(CANARY))],
  ["app.notes", Array.from({ length: 40 }, () => CANARY)],
  [`app.${CANARY}.${"x".repeat(200)}`, "key"],
];

/** The same places in the other parts of a span. */
const AROUND: readonly (readonly [string, Around])[] = [
  ["the status message", { span: { status_code: 2, status_message: `400 ${CANARY}` } }],
  ["a long span name", { span: { name: LONG_CANARY } }],
  ["a resource attribute", { resource: { "app.prompt": CANARY } }],
  ["the command line", { resource: { "process.command_args": ["claude", "-p", CANARY] } }],
  ["the command line as one", { resource: { "process.command_line": `claude -p ${CANARY}` } }],
  ["a long tag", { resource: { "spanledger.tag.note": LONG_CANARY } }],
  ["a long event name", eventWith({}, LONG_CANARY)],
  [
    "an exception event",
    eventWith({ "exception.message": CANARY, "exception.stacktrace": CANARY }),
  ],
  ["gen_ai.user.message", eventWith({ content: CANARY }, "gen_ai.user.message")],
  ["gen_ai.choice", eventWith({ message: `{"content":"${CANARY}"}` }, "gen_ai.choice")],
  ["gen_ai.content.prompt", eventWith({ "gen_ai.prompt": CANARY }, "gen_ai.content.prompt")],
  ["gen_ai.event.content", eventWith({ "gen_ai.event.content": CANARY })],
  ["a log event", eventWith({ message: CANARY }, "log")],
  ["a link", { span: { links: [linkWith({ "input.value": CANARY })] } }],
  ["a link with a message", { span: { links: [linkWith({ "llm.prompts.0": CANARY })] } }],
];

function eventWith(pairs: Pairs, name = "exception"): Around {
  return { span: { events: [{ name, time_ns: 1n, attributes: attributesOf(pairs) }] } };
}

function linkWith(pairs: Pairs) {
  return {
    trace_id: new Uint8Array(16).fill(3),
    span_id: new Uint8Array(8).fill(4),
    attributes: attributesOf(pairs),
  };
}

const CALL = { "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o" };
const ON = { options: { capture_content: true } };

/** Spellings under which a key may come as well. */
function spellingsOf(key: string): string[] {
  return [key, key.toLowerCase(), key.toUpperCase(), key.replaceAll("_", "-")];
}

describe("A30 the canary", () => {
  test("has at least forty places here", () => {
    expect(ATTRIBUTES.length + AROUND.length).toBeGreaterThan(40);
  });

  test.each(ATTRIBUTES)("is not stored from the attribute %s", (key, value) => {
    for (const spelling of spellingsOf(key)) {
      expect(textOf(normalizeOne({ ...CALL, [spelling]: value }))).not.toContain(CANARY);
      expect(textOf(normalizeOne({ [spelling]: value }))).not.toContain(CANARY);
      const inResource = { resource: { [spelling]: value } };
      expect(textOf(normalizeOne(CALL, inResource))).not.toContain(CANARY);
      expect(textOf(normalizeOne(CALL, eventWith({ [spelling]: value })))).not.toContain(CANARY);
      const inLink = { span: { links: [linkWith({ [spelling]: value })] } };
      expect(textOf(normalizeOne(CALL, inLink))).not.toContain(CANARY);
    }
  });

  test.each(AROUND)("is not stored from %s", (_place, around) => {
    expect(textOf(normalizeOne(CALL, around))).not.toContain(CANARY);
    expect(textOf(normalizeOne({}, around))).not.toContain(CANARY);
  });

  test("is not stored from all places at once", () => {
    const spans = AROUND.map(([, { span }]) => span ?? {});
    const span = normalizeOne([...Object.entries(CALL), ...ATTRIBUTES], {
      span: {
        events: spans.flatMap(({ events }) => events ?? []),
        links: spans.flatMap(({ links }) => links ?? []),
        status_message: CANARY,
      },
      resource: ATTRIBUTES,
    });
    expect(textOf(span)).not.toContain("kumquats");
    expect(span.events).toHaveLength(spans.flatMap(({ events }) => events ?? []).length);
  });

  test.each(ATTRIBUTES)("is stored from the attribute %s when capture is on", (key, value) => {
    const text = textOf(normalizeOne({ ...CALL, [key]: value }, ON));
    expect(text).toContain(CANARY);
  });

  test.each(AROUND)("is stored from %s when capture is on", (_place, around) => {
    expect(textOf(normalizeOne(CALL, { ...around, ...ON }))).toContain(CANARY);
  });
});

describe("what stays", () => {
  test.each<[string, AttributeValue]>([
    ["gen_ai.request.model", "gpt-4o"],
    ["gen_ai.response.id", "chatcmpl-1"],
    ["gen_ai.response.finish_reasons", ["stop"]],
    ["gen_ai.output.type", "json"],
    ["gen_ai.prompt.name", "greeting"],
    ["gen_ai.usage.input_tokens", 1500],
    ["gen_ai.usage.prompt_tokens", "1500"],
    ["gen_ai.usage.reasoning.output_tokens", 448n],
    ["gen_ai.request.reasoning.level", "high"],
    ["gen_ai.request.temperature", 0.2],
    ["gen_ai.tool.name", "get_weather"],
    ["gen_ai.conversation.id", "conversation-1"],
    ["llm.token_count.prompt", 1500],
    ["llm.token_count.completion_details.reasoning", 448],
    ["llm.cost.prompt", "0.001"],
    ["llm.model_name", "gpt-4o"],
    ["llm.system", "openai"],
    ["input.mime_type", "application/json"],
    ["langfuse.observation.prompt.version", 3],
    ["langfuse.observation.usage_details", '{"input":476,"output":52,"nested":{"a":null}}'],
    ["langfuse.observation.completion_start_time", '"2026-11-21T01:55:39.575Z"'],
    ["langfuse.trace.tags", ["t1", "t2"]],
    ["ai.response.finishReason", "stop"],
    ["ai.telemetry.functionId", "fn-weather"],
    ["traceloop.association.properties.user_id", "user-1"],
    ["anthropic.request.id", "req_1"],
    ["messaging.message.id", "42"],
    ["error.type", "RateLimitError"],
    ["http.response.status_code", 429],
    ["http.request.resend_count", 1],
    ["url.path", "/v1/messages"],
    ["url.full", "https://api.anthropic.com/v1/messages"],
    ["server.address", "api.anthropic.com"],
    ["k8s.pod.name", "checkout-5f6d"],
    ["process.runtime.description", "Node.js"],
    ["app.plan", "enterprise"],
    ["app.flag", true],
    ["app.empty", null],
    ["app.words", ["a", "b", 3, false]],
    ["app.length", "x".repeat(256)],
  ])("%s keeps its value", (key, value) => {
    const span = normalizeOne({ [key]: value });
    expect(span.attributes.keys).toEqual([key]);
    expect(span.attributes.values).toEqual([value]);
  });

  test("numbers and flags under a key that only speaks of content", () => {
    for (const value of [42, 7n, true]) {
      expect(normalizeOne({ "app.prompt_quality": value }).attributes.values).toEqual([value]);
    }
    expect(normalizeOne({ "app.prompt_quality": "good" }).attributes.keys).toEqual([]);
  });

  test("no list as long as an embedding", () => {
    const list = (length: number) => Array.from({ length }, (_, index) => index / 7);
    const { attributes } = normalizeOne({ "app.short": list(32), "app.long": list(33) });
    expect(attributes.keys).toEqual(["app.short"]);
  });

  test("a URL without what follows its path, and without its password", () => {
    const cut = (key: string, value: string) => normalizeOne({ [key]: value }).attributes.get(key);
    expect(cut("url.full", "https://a.example/v1/x?key=1#y")).toBe("https://a.example/v1/x");
    expect(cut("http.target", "/v1/x?key=1")).toBe("/v1/x");
    expect(cut("my.hook", "https://a.example/x?y")).toBe("https://a.example/x");
    expect(cut("url.full", "https://me:secret@a.example/x")).toBe("https://a.example/x");
    expect(cut("url.full", `https://a.example/x?${"y".repeat(5_000)}`)).toBe("https://a.example/x");
    expect(cut("url.full", `https://a.example/${"y".repeat(5_000)}`)).toBeUndefined();
  });

  test("attributes without content are the same object, in their order", () => {
    const plain = attributesOf({ b: 1, a: "x", c: NaN });
    expect(withoutContent(plain).keys).toEqual(["b", "a", "c"]);
    const same = attributesOf({ b: 1, a: "x" });
    expect(withoutContent(same)).toBe(same);
  });

  test("tags stay whatever their name: their sender asked for them", () => {
    const span = normalizeOne({ ...CALL, "spanledger.tag.prompt": "greeting-v2" });
    expect(span.tags.get("prompt")).toBe("greeting-v2");
  });

  test("events stay with their times, links with their ids", () => {
    const around = {
      span: {
        ...eventWith({ content: CANARY }, "gen_ai.choice").span,
        links: [linkWith({ "input.value": CANARY })],
      },
    };
    const span = normalizeOne(CALL, around);
    expect(span.events).toEqual([
      { name: "gen_ai.choice", time_ns: 1n, attributes: new Attributes() },
    ]);
    expect(span.links).toEqual([linkWith({})]);
  });

  test("dialects read a value before it is dropped", () => {
    const span = normalizeOne({
      ...CALL,
      "gen_ai.response.id": "chatcmpl-1",
      "gen_ai.prompt": "x",
    });
    expect(span.response_id).toBe("chatcmpl-1");
  });
});

describe("any attributes", () => {
  const key = fc.oneof(
    fc.string(),
    fc.constantFrom("__proto__", "gen_ai.prompt", "app.x", "url.full", "spanledger.tag.a"),
  );
  const value = fc.oneof(fc.string(), fc.double(), fc.boolean(), fc.array(fc.string()));

  test("what is kept was sent, in the order sent, and is never more", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(key, value), { maxLength: 20 }), (pairs) => {
        const sent = attributesOf(pairs);
        const kept = withoutContent(sent);
        let from = 0;
        for (const [index, key] of kept.keys.entries()) {
          from = sent.keys.indexOf(key, from) + 1;
          while (from > 0 && !startsAs(sent.values[from - 1], kept.values[index])) {
            from = sent.keys.indexOf(key, from) + 1;
          }
          expect(from).toBeGreaterThan(0);
        }
        expect(Object.keys(Object.prototype)).toEqual([]);
      }),
    );
  });

  test("filtering twice changes nothing more", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(key, value), { maxLength: 20 }), (pairs) => {
        const once = withoutContent(attributesOf(pairs));
        expect(withoutContent(once)).toEqual(once);
      }),
    );
  });
});

/** Whether the kept value is the sent one, or the beginning of a sent URL. */
function startsAs(sent: AttributeValue | undefined, kept: AttributeValue | undefined): boolean {
  if (typeof sent === "string" && typeof kept === "string") {
    return sent.startsWith(kept) || sent.includes("://");
  }
  return Object.is(sent, kept);
}

describe("real clients", () => {
  /** What the captured applications said and were told (see the captures' expect.json). */
  const SAID = ["Hello from fake", "weather?", "Be brief", "sunny", "Paris"];

  /** The said texts that the spans of a capture still hold. */
  function heard(capture_content: boolean): string[] {
    return readTraceCaptures().flatMap(({ name, encoding, body }) => {
      const decoded = encoding === "json" ? decodeTracesJson(body) : decodeTraces(body);
      const spans = decoded.scope_spans.flatMap((scope_spans) =>
        normalizeScope(scope_spans, { project_id: "default", capture_content }),
      );
      const text = spans.map(textOf).join();
      return SAID.filter((said) => text.includes(said)).map((said) => `${name}: ${said}`);
    });
  }

  test("nothing that their users or models said is in any span", () => {
    expect(heard(false)).toEqual([]);
  });

  test("it is there when capture is on", () => {
    expect(heard(true).length).toBeGreaterThan(100);
  });
});
