/**
 * The view of spans under OpenTelemetry's names, asked what Grafana's ClickHouse plugin asks it: its own
 * statements for one trace and for a search, as its generator of 4.20.0 writes them for the columns of
 * grafana/provisioning/datasources/clickhouse.yaml.
 */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { Attributes } from "../schemas/span.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { insertSpans } from "../test/support/ledger.ts";
import { idBytes, makeSpan } from "../test/support/span.ts";

const TRACE_ID = "0102030405060708090a0b0c0d0e0f10";
const OTHER_ID = "f102030405060708090a0b0c0d0e0f10";
const START_NS = 1_795_225_705_123_456_789n;

interface Columns {
  readonly [name: string]: string | boolean;
}

/** The columns that the data source names. */
const { traces } = (
  parse(
    readFileSync(
      new URL("../grafana/provisioning/datasources/clickhouse.yaml", import.meta.url),
      "utf8",
    ),
  ) as { datasources: { jsonData: { traces: Columns } }[] }
).datasources[0]?.jsonData ?? { traces: {} };

const column = (name: string) => `"${String(traces[name])}"`;
const tags = (name: string) =>
  `arrayMap(key -> map('key', key, 'value',${column(name)}[key]), mapKeys(${column(name)}))`;
const fields = "arrayMap(key -> map('key', key, 'value', attributes[key]), mapKeys(attributes))";
const prefix = (name: string, part: string) => `${column(name)}.${part}`;

/** What the plugin asks for one trace. */
const TRACE_SQL = `WITH '${TRACE_ID}' as trace_id, (SELECT min(Start) FROM "${String(traces["defaultDatabase"])}"."${String(traces["defaultTable"])}${String(traces["traceTimestampTableSuffix"])}" WHERE TraceId = trace_id) as trace_start, (SELECT max(End) + 1 FROM "${String(traces["defaultDatabase"])}"."${String(traces["defaultTable"])}${String(traces["traceTimestampTableSuffix"])}" WHERE TraceId = trace_id) as trace_end
SELECT ${column("traceIdColumn")} as traceID, ${column("spanIdColumn")} as spanID, ${column("parentSpanIdColumn")} as parentSpanID, ${column("serviceNameColumn")} as serviceName, ${column("operationNameColumn")} as operationName, multiply(toUnixTimestamp64Nano(${column("startTimeColumn")}), 0.000001) as startTime, multiply(${column("durationColumn")}, 0.000001) as duration, ${tags("tagsColumn")} as tags, ${tags("serviceTagsColumn")} as serviceTags, if(${column("statusCodeColumn")} IN ('Error', 'STATUS_CODE_ERROR'), 2, 0) as statusCode,
arrayMap((name, timestamp, attributes) -> tuple(name, toString(toUnixTimestamp64Milli(timestamp)), ${fields})::Tuple(name String, timestamp String, fields Array(Map(String, String))), ${prefix("traceEventsColumnPrefix", "Name")}, ${prefix("traceEventsColumnPrefix", "Timestamp")}, ${prefix("traceEventsColumnPrefix", "Attributes")}) AS logs,
arrayMap((traceID, spanID, attributes) -> tuple(traceID, spanID, ${fields})::Tuple(traceID String, spanID String, tags Array(Map(String, String))), ${prefix("traceLinksColumnPrefix", "TraceId")}, ${prefix("traceLinksColumnPrefix", "SpanId")}, ${prefix("traceLinksColumnPrefix", "Attributes")}) AS references,
${column("kindColumn")} as kind, ${column("statusMessageColumn")} as statusMessage, ${column("instrumentationLibraryNameColumn")} as instrumentationLibraryName, ${column("instrumentationLibraryVersionColumn")} as instrumentationLibraryVersion
FROM "${String(traces["defaultDatabase"])}"."${String(traces["defaultTable"])}" WHERE traceID = trace_id AND ${column("startTimeColumn")} >= trace_start AND ${column("startTimeColumn")} <= trace_end`;

let test_engine: TestEngine;

beforeAll(async () => {
  test_engine = await openTestEngine();
  const span = makeSpan({
    trace_id: idBytes(TRACE_ID),
    span_id: idBytes("a1a2a3a4a5a6a7a8"),
    parent_span_id: idBytes("b1b2b3b4b5b6b7b8"),
    start_ns: START_NS,
    kind: 3,
    status: "error",
    service_name: "it's a service",
    scope_name: "scope",
    scope_version: "1.0",
    attributes: new Attributes(["gen_ai.system", "odd'key"], ["openai", 'say "hi"']),
    resource_attributes: new Attributes(["service.name"], ["it's a service"]),
  });
  const root = makeSpan({
    ...span,
    span_id: idBytes("b1b2b3b4b5b6b7b8"),
    parent_span_id: new Uint8Array(8),
    start_ns: START_NS - 1_000_000_000n,
    duration_ns: 9_000_000_000n,
    kind: 2,
    status: "ok",
    span_class: "structure",
  });
  // Of another trace, in the midst of the first one.
  const other = makeSpan({ trace_id: idBytes(OTHER_ID), start_ns: START_NS });
  // Delivered twice: seen once.
  await insertSpans(test_engine.engine, [span, root, other], 1);
  await insertSpans(test_engine.engine, [span], 2);
});
afterAll(() => test_engine.close());

test("the plugin's statement for a trace finds its spans, each once, and none of another trace", async () => {
  const rows = await test_engine.engine.query<Record<string, unknown>>(
    `${TRACE_SQL} ORDER BY startTime`,
  );
  expect(rows).toMatchObject([
    {
      traceID: TRACE_ID,
      spanID: "b1b2b3b4b5b6b7b8",
      parentSpanID: "",
      kind: "Server",
      statusCode: 0,
      duration: 9_000,
    },
    {
      traceID: TRACE_ID,
      spanID: "a1a2a3a4a5a6a7a8",
      parentSpanID: "b1b2b3b4b5b6b7b8",
      serviceName: "it's a service",
      operationName: "chat gpt-4o-mini",
      kind: "Client",
      statusCode: 2,
      duration: 1_500,
      instrumentationLibraryName: "scope",
      instrumentationLibraryVersion: "1.0",
      tags: [
        { key: "gen_ai.system", value: "openai" },
        { key: "odd'key", value: 'say "hi"' },
      ],
      serviceTags: [{ key: "service.name", value: "it's a service" }],
    },
  ]);
  // Milliseconds as a float: to the microsecond.
  expect(rows[1]?.["startTime"]).toBeCloseTo(Number(START_NS / 1_000n) / 1_000, 2);
});

test("a search by service and time finds the start of each span", async () => {
  const rows = await test_engine.engine.query(
    `SELECT ${column("traceIdColumn")} as traceID, ${column("serviceNameColumn")} as serviceName, ${column("operationNameColumn")} as operationName, ${column("startTimeColumn")} as startTime, multiply(${column("durationColumn")}, 0.000001) as duration FROM "${String(traces["defaultDatabase"])}"."${String(traces["defaultTable"])}" WHERE ( Timestamp >= toDateTime(1795225700) AND Timestamp <= toDateTime(1795225710) ) AND ( ServiceName = 'it''s a service' ) ORDER BY Timestamp DESC LIMIT 1000`,
  );
  expect(rows).toHaveLength(2);
});

test("events and links come with their names, times and attributes", async () => {
  const insert = `INSERT INTO spans (project_id, ts, trace_id, span_id, event_times, event_names, event_attributes, link_trace_ids, link_span_ids, link_attributes)
SELECT 'default', fromUnixTimestamp64Nano(${START_NS}), unhex('${TRACE_ID}'), unhex('c1c2c3c4c5c6c7c8'),
  [fromUnixTimestamp64Nano(${START_NS})], ['exception'], [map('exception.type', 'Oops')],
  [unhex('${OTHER_ID}')], [unhex('d1d2d3d4d5d6d7d8')], [map('why', 'because')]`;
  await test_engine.engine.command(insert);
  const rows = await test_engine.engine.query<Record<string, unknown>>(TRACE_SQL);
  expect(rows).toHaveLength(3);
  expect(rows.find(({ spanID }) => spanID === "c1c2c3c4c5c6c7c8")).toMatchObject({
    logs: [
      {
        name: "exception",
        timestamp: "1795225705123",
        fields: [{ key: "exception.type", value: "Oops" }],
      },
    ],
    references: [
      { traceID: OTHER_ID, spanID: "d1d2d3d4d5d6d7d8", tags: [{ key: "why", value: "because" }] },
    ],
    kind: "Unspecified",
    statusCode: 0,
  });
});
