/**
 * Content where content is not kept (row A30), and what senders try to write into files and logs (rows
 * A20 and A21): a canary in every place where prompts travel must be in no file and no column.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { Engine } from "../../clickhouse/engine.ts";
import {
  encode,
  type Encoding,
  ENCODINGS,
  KEY,
  logsOf,
  makeSpan,
  metricsOf,
  newId,
  openLaboratory,
  post,
  settle,
  startTestCollector,
  type TestCollector,
  text,
  tracesOf,
} from "../conformance/collector.ts";
import type { OtlpKeyValue, OtlpSpan, OtlpValue } from "../support/otlp-proto.ts";

const CANARY = "CanaryOfAPrompt";
/** Thousands of requests on a machine that others use. */
vi.setConfig({ testTimeout: 180_000 });

let engine: Engine;
let collector: TestCollector;
/** With content kept: shows that the search finds what is there. */
let keeping: TestCollector;
let close: () => Promise<void>;
beforeAll(async () => {
  const laboratory = await openLaboratory();
  engine = laboratory.engine;
  keeping = laboratory.collector;
  collector = await startTestCollector(engine, { SPANLEDGER_CAPTURE_CONTENT: "false" });
  close = async () => {
    await collector.stop();
    await laboratory.close();
  };
});
afterAll(() => close());

/** Keys under which clients send prompts, answers, arguments and documents. */
const CONTENT_KEYS = [
  "gen_ai.input.messages",
  "gen_ai.output.messages",
  "gen_ai.system_instructions",
  "gen_ai.prompt",
  "gen_ai.prompt.0.content",
  "gen_ai.completion.0.content",
  "gen_ai.tool.call.arguments",
  "gen_ai.tool.call.result",
  "gen_ai.tool.definitions",
  "gen_ai.retrieval.query.text",
  "llm.prompts",
  "llm.prompts.0.content",
  "llm.input_messages.0.message.content",
  "llm.prompt_template.template",
  "input.value",
  "output.value",
  "ai.prompt.messages",
  "ai.response.text",
  "ai.toolCall.args",
  "langfuse.observation.input",
  "langfuse.trace.output",
  "traceloop.entity.input",
  "traceloop.entity.output",
  "gcp.vertex.agent.llm_request",
  "genkit:input",
  "request_data",
  "exception.message",
  "exception.stacktrace",
  "http.request.header.authorization",
  "url.query",
  "user.prompt",
  "systemPrompt",
  "chat_history",
  "k".repeat(129),
] as const;

/** Content under keys that say nothing of it. */
const PLAIN_VALUES: readonly OtlpValue[] = [
  { stringValue: `{"messages":"${CANARY}"}` },
  { stringValue: ` {"messages":"${CANARY}"}` },
  { stringValue: `<p>${CANARY}</p>` },
  { stringValue: `data:text/plain,${CANARY}` },
  { stringValue: `https://user:${CANARY}@host/path` },
  { stringValue: `https://host/path?q=${CANARY}` },
  { stringValue: `see https://host/path#${CANARY}` },
  { stringValue: "x".repeat(300) + CANARY },
  { stringValue: "é".repeat(300) + CANARY },
  { bytesValue: Buffer.from(CANARY) },
  { kvlistValue: { values: [text("text", CANARY)] } },
  { arrayValue: { values: [{ kvlistValue: { values: [text("text", CANARY)] } }] } },
  { arrayValue: { values: [{ stringValue: "x".repeat(300) + CANARY }] } },
  { arrayValue: { values: [{ stringValue: `https://host/?${CANARY}` }] } },
];

/** Attributes with the canary, or with harmless values of the same types in the same places. */
function listAttributes(): OtlpKeyValue[][] {
  return [
    ...CONTENT_KEYS.flatMap((key) => [
      [text(key, CANARY)],
      [{ key, value: { arrayValue: { values: [{ stringValue: CANARY }] } } }],
    ]),
    ...PLAIN_VALUES.map((value) => [{ key: "app.label", value }]),
    [text("url.full", `https://host/path?${CANARY}`)],
    [text("http.target", `/path?${CANARY}`)],
  ];
}

/** The same attributes with nothing to hide: a form is made of these first. */
function disarm(attributes: readonly OtlpKeyValue[]): OtlpKeyValue[] {
  return attributes.map(({ key = "", value }) =>
    value?.stringValue === undefined ? { key, value: value ?? {} } : text(key, "plain"),
  );
}

const CALL = [
  text("gen_ai.operation.name", "chat"),
  text("gen_ai.provider.name", "openai"),
  text("gen_ai.request.model", "gpt-4o-mini"),
];

function* makeSpans(): Generator<OtlpSpan> {
  for (const attributes of listAttributes()) {
    for (const base of [[], CALL]) {
      yield makeSpan({ attributes: [...base, ...disarm(attributes)] });
      yield makeSpan({ attributes: [...base, ...disarm(attributes)] });
      yield makeSpan({ attributes: [...base, ...attributes] });
      yield makeSpan({ attributes: [...base, ...attributes] });
    }
    const event = (list: OtlpKeyValue[]) => ({ timeUnixNano: 7n, name: "retry", attributes: list });
    yield makeSpan({ events: [event(disarm(attributes))] });
    yield makeSpan({ events: [event(attributes)] });
    yield makeSpan({ links: [{ traceId: newId(16), spanId: newId(8), attributes }] });
    // Refused for its time, and kept aside.
    yield makeSpan({ startTimeUnixNano: 5n, attributes });
  }
  for (const name of [
    "gen_ai.user.message",
    "gen_ai.choice",
    "exception",
    "gen_ai.content.prompt",
  ]) {
    for (const key of ["content", "message", "gen_ai.prompt", "exception.message", "body"]) {
      yield makeSpan({ events: [{ timeUnixNano: 7n, name, attributes: [text(key, CANARY)] }] });
      yield makeSpan({ events: [{ timeUnixNano: 7n, name, attributes: [text(key, CANARY)] }] });
    }
  }
  for (const message of [CANARY, `429 ${CANARY}`, `Error code: 500 - ${CANARY}`]) {
    yield makeSpan({ status: { code: 2, message: "plain" } });
    yield makeSpan({ status: { code: 2, message } });
    yield makeSpan({ status: { code: 2, message } });
  }
  yield makeSpan({ name: "x".repeat(300) + CANARY });
  yield makeSpan({ traceState: CANARY });
  yield makeSpan({ spanId: new Uint8Array(8), attributes: [text("gen_ai.prompt", CANARY)] });
}

/** Requests of all signals with the canary everywhere. */
function* makeRequests(): Generator<["traces" | "logs" | "metrics", object]> {
  const spans = [...makeSpans()];
  yield ["traces", tracesOf(...spans)];
  // Alone, and in another order: whatever a form was made of first.
  for (const span of spans.toReversed()) yield ["traces", tracesOf(span)];
  for (const attributes of listAttributes()) {
    const scopeSpans = [{ scope: { name: "s", attributes }, spans: [makeSpan()] }];
    yield ["traces", { resourceSpans: [{ resource: { attributes }, scopeSpans }] }];
  }
  for (const body of [
    { stringValue: CANARY },
    { kvlistValue: { values: [text("prompt", CANARY)] } },
  ]) {
    const logs = logsOf("session") as {
      resourceLogs: { scopeLogs: { logRecords: { attributes: OtlpKeyValue[] }[] }[] }[];
    };
    const [record] = logs.resourceLogs[0]?.scopeLogs[0]?.logRecords ?? [];
    record?.attributes.push(...listAttributes().flat());
    Object.assign(record ?? {}, { body });
    yield ["logs", logs];
  }
  const metrics = metricsOf("session") as unknown as {
    resourceMetrics: {
      scopeMetrics: { metrics: { sum: { dataPoints: { attributes: OtlpKeyValue[] }[] } }[] }[];
    }[];
  };
  const [metric] = metrics.resourceMetrics[0]?.scopeMetrics[0]?.metrics ?? [];
  metric?.sum.dataPoints[0]?.attributes.push(...listAttributes().flat());
  yield ["metrics", metrics];
}

/** Files under a folder that hold the text, and all files. */
function searchFiles(folder: string, searched: string): { found: string[]; all: string[] } {
  const all = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  return { found: all.filter((file) => readFileSync(file).includes(searched)), all };
}

/** Columns of tables that hold the text; compressed files would not show it. */
async function searchColumns(searched: string): Promise<string[]> {
  const columns = await engine.query<{ table: string; name: string }>(
    `SELECT table, name FROM system.columns WHERE database = currentDatabase()
     AND match(type, 'String|Map|Array') AND NOT startsWith(table, '.')`,
  );
  const found: string[] = [];
  for (const { table, name } of columns) {
    const [row] = await engine.query<{ n: string }>(
      `SELECT count() AS n FROM \`${table}\` WHERE position(toString(\`${name}\`), {text:String}) > 0`,
      { text: searched },
    );
    if (Number(row?.n) > 0) found.push(`${table}.${name}`);
  }
  return found;
}

const SENT_AT_ONCE = 16;

async function sendAll(to: TestCollector, encoding: Encoding): Promise<number> {
  const requests = [...makeRequests()];
  for (let first = 0; first < requests.length; first += SENT_AT_ONCE) {
    const sent = requests.slice(first, first + SENT_AT_ONCE).map(async ([signal, request]) => {
      const answer = await post(to, signal, encoding, encode(signal, encoding, request));
      expect(answer.status).toBe(200);
    });
    await Promise.all(sent);
  }
  return requests.length;
}

test("A30 a canary in hundreds of places is in no file, no column and no line of the log", async () => {
  const before = await searchColumns("plain");
  for (const encoding of ENCODINGS) expect(await sendAll(collector, encoding)).toBeGreaterThan(400);
  await settle(collector, engine);
  const { found, all } = searchFiles(collector.data_dir, CANARY);
  expect(all.length).toBeGreaterThan(0);
  expect(found).toEqual([]);
  expect(await searchColumns(CANARY)).toEqual([]);
  expect(collector.complaints.filter((line) => line.includes(CANARY))).toEqual([]);
  // The harmless values of the same places are there, so the search looks where things are.
  expect(before).toEqual([]);
  expect(await searchColumns("plain")).toContain("spans.attributes");
});

test("A30 where content is kept the same search finds it in the log and in the table", async () => {
  await sendAll(keeping, "protobuf");
  await settle(keeping, engine);
  expect(searchFiles(keeping.data_dir, CANARY).found).not.toEqual([]);
  expect(await searchColumns(CANARY)).toContain("spans.attributes");
});

test("P22 5 MB of prompt as attribute, event and log body leave next to nothing in the log", async () => {
  const small = await startTestCollector(engine, { SPANLEDGER_CAPTURE_CONTENT: "false" });
  const prompt = CANARY.repeat(350_000);
  const spans = [1, 2, 3].map(() =>
    makeSpan({
      attributes: [...CALL, text("gen_ai.prompt", prompt), text("app.label", prompt)],
      events: [
        { timeUnixNano: 7n, name: "gen_ai.user.message", attributes: [text("content", prompt)] },
      ],
    }),
  );
  for (const span of spans) {
    const answer = await post(
      small,
      "traces",
      "protobuf",
      encode("traces", "protobuf", tracesOf(span)),
    );
    expect(answer.status).toBe(200);
  }
  const { all } = searchFiles(small.data_dir, CANARY);
  const bytes = all.map((file) => readFileSync(file));
  const kept = bytes.reduce((sum, file) => sum + file.filter((byte) => byte !== 0).length, 0);
  expect(kept).toBeLessThan(64 * 1024);
  await small.stop();
});

const HOSTILE_NAMES = [
  "../../../etc/passwd",
  "C:\\windows",
  "a\u0000b",
  "x".repeat(300),
  "/etc/passwd",
  "..",
];

test("A20 no file is named after anything that a sender says", async () => {
  for (const name of HOSTILE_NAMES) {
    for (const encoding of ENCODINGS) {
      const attributes = [
        "service.name",
        "session.id",
        "user.id",
        "gen_ai.request.model",
        "project_id",
      ].map((key) => text(key, name));
      const request = {
        resourceSpans: [
          {
            resource: { attributes },
            scopeSpans: [
              { scope: { name, version: name }, spans: [makeSpan({ name, attributes })] },
            ],
          },
        ],
      };
      const answer = await post(
        collector,
        "traces",
        encoding,
        encode("traces", encoding, request),
        {
          headers: { "x-project": name.replaceAll(/[^ -~]/g, "") },
        },
      );
      expect(answer.status).toBe(200);
    }
  }
  await settle(collector, engine);
  const { all } = searchFiles(collector.data_dir, CANARY);
  const names = all.map((file) => file.slice(collector.data_dir.length));
  for (const name of names) expect(name).toMatch(/^(\/[a-z0-9_-]{1,60}(\.[a-z0-9]{1,12}){0,3})+$/);
});

test("A21 the log has no key, no text of a sender and no line that a sender began", async () => {
  const odd = `${CANARY}\r\n{"level":"fatal"}\u001b[31m`;
  const bodies = [
    Buffer.from(odd),
    Buffer.from(`{"resourceSpans": "${odd}"`),
    Buffer.from([0x0a, 0xff]),
  ];
  for (const signal of ["traces", "logs", "metrics"] as const) {
    for (const body of bodies) {
      for (const encoding of ENCODINGS) {
        const answer = await post(collector, signal, encoding, new Uint8Array(body));
        expect(answer.status).toBe(400);
        expect(Buffer.from(answer.body).includes(CANARY)).toBe(false);
      }
    }
  }
  const wrong = { headers: { "x-api-key": `${KEY}-${CANARY}` } };
  expect((await post(collector, "traces", "json", "{}", wrong)).status).toBe(401);
  for (const line of [...collector.complaints, ...keeping.complaints]) {
    expect(line).not.toContain(KEY);
    expect(line).not.toContain(CANARY);
    for (const sign of ["\r", "\n", "\u001b"]) expect(line).not.toContain(sign);
  }
});
