/** The JSON decoder of metrics against the protobuf bodies of the same points, and bad bodies. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { DecodedMetrics } from "../../schemas/metrics.ts";
import type { IntegerStyle } from "../../test/support/otlp-oracle.ts";
import {
  arbitraryMetricsRequest,
  expectedMetrics,
  readOtlpJson,
  readSignalCaptures,
  refusalOf,
  unlessRefused,
  writeOtlpJson,
} from "../../test/support/otlp-oracle.ts";
import { encodeMetricsRequest } from "../../test/support/otlp-proto.ts";
import { decodeMetricsJson } from "./json-metrics.ts";
import { MAX_ENVELOPES_PER_REQUEST } from "./limits.ts";
import { decodeMetrics } from "./metrics.ts";
import { REJECTIONS, WARNINGS } from "./notes.ts";

function decodeText(text: string): DecodedMetrics {
  return decodeMetricsJson(new TextEncoder().encode(text));
}

/** A request of one scope with these JSON texts as metrics. */
function requestOf(...metrics: string[]): string {
  return `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[${metrics.join(",")}]}]}]}`;
}

/** Decodes a metric with the members of the JSON text. */
function decodeMetric(members: string) {
  const decoded = decodeText(requestOf(`{${members}}`));
  const metric = decoded.scope_metrics[0]?.metrics[0];
  return { ...decoded, metric, points: metric?.points ?? [] };
}

/** A sum of points with these members. */
function sumOf(...points: string[]): string {
  return `"sum":{"dataPoints":[${points.map((point) => `{${point}}`).join(",")}]}`;
}

const jsonCaptures = readSignalCaptures("metrics").filter(({ encoding }) => encoding === "json");

describe("what valid requests give", () => {
  test.each<IntegerStyle>(["quoted", "bare"])(
    "any request written with %s integers is decoded like its protobuf",
    (style) => {
      fc.assert(
        fc.property(arbitraryMetricsRequest, (request) => {
          const metrics = decodeText(writeOtlpJson(request, style));
          expect(metrics).toStrictEqual(expectedMetrics(request));
          expect(metrics).toStrictEqual(decodeMetrics(encodeMetricsRequest(request)));
        }),
        { numRuns: 200 },
      );
    },
  );

  test.each(jsonCaptures)("$name is decoded to what JSON.parse reads in it", ({ body }) => {
    const metrics = decodeMetricsJson(body);
    const request = readOtlpJson(new TextDecoder().decode(body));
    expect(metrics).toStrictEqual(expectedMetrics(request));
    expect(metrics.point_count).toBeGreaterThan(0);
  });

  test.each(["{}", '{"resourceMetrics":[]}', '{"resourceMetrics":null}', requestOf("null", "{}")])(
    "J08: %s is an empty request",
    (text) => {
      expect(decodeText(text)).toStrictEqual({
        scope_metrics: [],
        point_count: 0,
        rejected_points: 0,
        rejections: [],
        warnings: [],
      });
    },
  );
});

describe("values", () => {
  test.each<[string, number | bigint]>([
    ['"asInt":"7"', 7],
    ['"asInt":7', 7],
    ['"asInt":1e3', 1000],
    ['"asInt":"-9223372036854775808"', -9223372036854775808n],
    ['"asInt":9007199254740993', 9007199254740993n],
    ['"asDouble":0', 0],
    ['"asDouble":1.5', 1.5],
    ['"asDouble":"Infinity"', Number.POSITIVE_INFINITY],
    ['"asInt":null,"asDouble":2', 2],
    ['"asInt":1,"asDouble":2', 2],
    ['"asDouble":2,"asInt":1', 1],
  ])("a point with %s has the value %s", (members, value) => {
    expect(decodeMetric(sumOf(members)).points.map((point) => point.value)).toStrictEqual([value]);
  });

  test.each([
    '"asInt":1.5',
    '"asInt":"9223372036854775808"',
    '"asInt":true',
    '"asDouble":"much"',
    '"asDouble":{}',
    '"asInt":1,"timeUnixNano":"soon"',
    '"asInt":1,"startTimeUnixNano":-1',
    '"asInt":1,"flags":"x"',
  ])("J07: a point with %s is rejected and its neighbours are kept", (members) => {
    const decoded = decodeMetric(sumOf('"asInt":1', members, '"asInt":3'));
    expect(decoded).toMatchObject({ point_count: 2, rejected_points: 1 });
    expect(decoded.points.map(({ value }) => value)).toStrictEqual([1, 3]);
    expect(decoded.rejections).toHaveLength(1);
  });

  test("a bad last point does not cost its metric", () => {
    expect(decodeMetric(sumOf('"asInt":1', '"asInt":"x"'))).toMatchObject({
      point_count: 1,
      rejected_points: 1,
    });
  });

  test("a number without a value is rejected, one flagged as not recorded is kept", () => {
    expect(decodeMetric(sumOf("", '"flags":1', '"asInt":null'))).toMatchObject({
      points: [{ value: null, no_recorded_value: true }],
      rejected_points: 2,
      rejections: [REJECTIONS.point_value],
    });
  });

  test("a histogram without a sum has none, a summary without one has zero", () => {
    const data = '{"dataPoints":[{"count":"3"}]}';
    expect(decodeMetric(`"histogram":${data}`).points).toMatchObject([{ value: null, count: 3n }]);
    expect(decodeMetric(`"summary":${data}`).points).toMatchObject([{ value: 0, count: 3n }]);
  });

  test("J05: a count and a time above 2^53 are read without loss", () => {
    const point = '{"count":18446744073709551615,"timeUnixNano":1795226010303000001}';
    expect(decodeMetric(`"histogram":{"dataPoints":[${point}]}`).points).toMatchObject([
      { count: 18446744073709551615n, time_ns: 1795226010303000001n },
    ]);
  });
});

describe("metrics", () => {
  test("J04: snake_case names give the same metrics as lowerCamelCase ones, with a warning", () => {
    const snake = `{"resource_metrics":[{"scope_metrics":[{"metrics":[
      {"name":"a","sum":{"aggregation_temporality":2,"is_monotonic":true,
        "data_points":[{"as_int":"1","start_time_unix_nano":"5","time_unix_nano":"6"}]}},
      {"name":"b","exponential_histogram":{"aggregation_temporality":1,
        "data_points":[{"count":"2","sum":2.5}]}}]}]}]}`;
    const camel = snake.replaceAll(/_([a-z])/g, (_match, letter: string) => letter.toUpperCase());
    const fromCamel = decodeText(camel);
    expect(fromCamel.warnings).toStrictEqual([]);
    expect(fromCamel.scope_metrics[0]?.metrics).toMatchObject([
      {
        type: "sum",
        temporality: 2,
        is_monotonic: true,
        points: [{ value: 1, start_ns: 5n, time_ns: 6n }],
      },
      { type: "exponential_histogram", temporality: 1, points: [{ value: 2.5, count: 2n }] },
    ]);
    expect(decodeText(snake)).toStrictEqual({ ...fromCamel, warnings: [WARNINGS.snake_case] });
  });

  test("J02: a temporality by name is accepted with a warning, an unknown number is unspecified", () => {
    const sum = (temporality: string) =>
      decodeMetric(`"sum":{"aggregationTemporality":${temporality},"dataPoints":[{"asInt":1}]}`);
    expect(sum('"AGGREGATION_TEMPORALITY_CUMULATIVE"')).toMatchObject({
      metric: { temporality: 2 },
      warnings: [WARNINGS.enum_name],
    });
    expect(sum("7")).toMatchObject({
      metric: { temporality: 0 },
      warnings: [WARNINGS.temporality],
    });
  });

  test.each([
    '"name":5',
    '"unit":{}',
    '"sum":{"aggregationTemporality":"OFTEN","dataPoints":[{"asInt":1},null,{"asInt":2}]}',
    '"sum":{"isMonotonic":"yes","dataPoints":[{"asInt":1},{"asInt":2}]}',
  ])("a metric with %s is rejected with both of its points, and its neighbours are kept", (bad) => {
    const good = `{${sumOf('"asInt":1')}}`;
    const members = bad.startsWith('"sum"') ? bad : `${bad},${sumOf('"asInt":1', '"asInt":2')}`;
    const decoded = decodeText(requestOf(good, `{${members}}`, good));
    expect(decoded).toMatchObject({ point_count: 2, rejected_points: 2 });
    expect(decoded.rejections).toHaveLength(1);
  });

  test.each(['{"name":5}', '{"gauge":5}', '{"sum":{"dataPoints":{}}}', "5", '{"summary":[]}'])(
    "the metric %s counts as one rejected point",
    (bad) => {
      const decoded = decodeText(requestOf(`{${sumOf('"asInt":1')}}`, bad));
      expect(decoded).toMatchObject({ point_count: 1, rejected_points: 1 });
    },
  );

  test("what is no object among the points is rejected", () => {
    const decoded = decodeMetric('"gauge":{"dataPoints":[5,{"asInt":1},null,[]]}');
    expect(decoded).toMatchObject({ point_count: 1, rejected_points: 2 });
  });
});

describe("bad bodies", () => {
  test.each([
    ["nothing", ""],
    ["an array", "[]"],
    ["resourceMetrics that are no array", '{"resourceMetrics":{}}'],
    ["metrics that are no array", '{"resourceMetrics":[{"scopeMetrics":[{"metrics":{}}]}]}'],
    ["a cut-off body", requestOf("{}").slice(0, -1)],
  ])("J11: %s is refused as invalid JSON", (_name, text) => {
    expect(refusalOf(() => decodeText(text)).code).toBe("invalid_json");
  });

  test("a body without resourceMetrics is accepted with a warning that names them", () => {
    expect(decodeText('{"metrics":[]}').warnings).toStrictEqual([WARNINGS.no_resource_metrics]);
  });

  test("P09: more points than the limit are refused", () => {
    const points = (count: number) =>
      requestOf(`{"histogram":{"dataPoints":[${"{},".repeat(count - 1)}{}]}}`);
    const most = MAX_ENVELOPES_PER_REQUEST - 3;
    expect(decodeText(points(most)).point_count).toBe(most);
    expect(refusalOf(() => decodeText(points(most + 1))).code).toBe("too_many_objects");
  });

  test("P28: arbitrary JSON, cut and mutated captures are decoded or refused and nothing else", () => {
    const bodies = jsonCaptures.map(({ body }) => body);
    const mutated = fc
      .tuple(
        fc.constantFrom(...bodies),
        fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 3 }),
        fc.nat(),
      )
      .map(([body, edits, cut]) => {
        const copy = Uint8Array.from(body);
        for (const [offset, byte] of edits) copy[offset % copy.length] = byte;
        return cut % 2 === 0 ? copy : copy.subarray(0, cut % copy.length);
      });
    const names = ["gauge", "sum", "histogram", "summary", "dataPoints", "asInt", "flags"];
    const json = fc.json({ maxDepth: 4 }).map((text) => {
      let index = 0;
      const named = text.replaceAll(
        /"[^"\\]*":/g,
        () => `"${names[(index += 1) % names.length]}":`,
      );
      return new TextEncoder().encode(requestOf(named));
    });
    const noise = fc.uint8Array({ maxLength: 100 });
    fc.assert(
      fc.property(fc.oneof(mutated, json, noise), (body) => {
        const metrics = unlessRefused(() => decodeMetricsJson(body));
        const kept = metrics?.scope_metrics.flatMap((scoped) => scoped.metrics) ?? [];
        expect(kept.flatMap(({ points }) => points)).toHaveLength(metrics?.point_count ?? 0);
      }),
      { numRuns: 1500 },
    );
  });
});
