/** The protobuf decoder of metrics against protobufjs, the captures of real clients, and bad bodies. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { DecodedMetric } from "../../schemas/metrics.ts";
import {
  arbitraryMetricsRequest,
  expectedMetrics,
  readOtlpJson,
  readSignalCaptures,
  refusalOf,
  unlessRefused,
} from "../../test/support/otlp-oracle.ts";
import type { OtlpMetric, OtlpMetricsRequest } from "../../test/support/otlp-proto.ts";
import {
  decodeMetricsRequest,
  encodeMessage,
  encodeMetricsRequest,
  field,
  repeat,
} from "../../test/support/otlp-proto.ts";
import { decodeMetricsJson } from "./json-metrics.ts";
import { MAX_ENVELOPES_PER_REQUEST } from "./limits.ts";
import { decodeMetrics } from "./metrics.ts";
import { REJECTIONS, WARNINGS } from "./notes.ts";

/** A request of one scope with these Metric messages. */
function requestOf(...metrics: Uint8Array[]): Uint8Array {
  return field(1, field(2, ...metrics.map((metric) => field(2, metric))));
}

function encodeMetric(metric: OtlpMetric): Uint8Array {
  return encodeMessage("Metric", metric);
}

/** What a request of this Metric message gives, with its one metric. */
function decodeMetric(...parts: Uint8Array[]) {
  const { scope_metrics, ...rest } = decodeMetrics(requestOf(Buffer.concat(parts)));
  const metric: DecodedMetric | undefined = scope_metrics[0]?.metrics[0];
  return { ...rest, metric, points: metric?.points ?? [] };
}

const captures = readSignalCaptures("metrics");
const pbCaptures = captures.filter(({ encoding }) => encoding === "pb");
const jsonCaptures = captures.filter(({ encoding }) => encoding === "json");

describe("what valid requests give", () => {
  test("any request that protobufjs encodes is decoded to what was encoded", () => {
    fc.assert(
      fc.property(arbitraryMetricsRequest, (request) => {
        const body = encodeMetricsRequest(request);
        expect(decodeMetrics(body)).toStrictEqual(expectedMetrics(request));
      }),
      { numRuns: 300 },
    );
  });

  test("there are captures in both encodings", () => {
    expect(pbCaptures.length).toBeGreaterThanOrEqual(1);
    expect(jsonCaptures.length).toBeGreaterThanOrEqual(10);
  });

  test.each(pbCaptures)("$name is decoded to what protobufjs reads in it", ({ body }) => {
    const metrics = decodeMetrics(body);
    expect(metrics).toStrictEqual(expectedMetrics(decodeMetricsRequest(body)));
    expect(metrics.point_count).toBeGreaterThan(0);
  });

  test.each(jsonCaptures)("$name written as protobuf is decoded like its JSON", ({ body }) => {
    const request = readOtlpJson(new TextDecoder().decode(body));
    expect(decodeMetrics(encodeMetricsRequest(request))).toStrictEqual(decodeMetricsJson(body));
  });

  test("an empty body is an empty request, and a metric without points leaves nothing", () => {
    const empty = {
      scope_metrics: [],
      point_count: 0,
      rejected_points: 0,
      rejections: [],
      warnings: [],
    };
    expect(decodeMetrics(new Uint8Array(0))).toStrictEqual(empty);
    const metrics = [{ name: "a" }, { name: "b", gauge: {} }, { name: "c", sum: {} }];
    expect(decodeMetrics(requestOf(...metrics.map(encodeMetric)))).toStrictEqual(empty);
  });
});

describe("values", () => {
  const valueOf = (point: object) =>
    decodeMetric(encodeMetric({ gauge: { dataPoints: [point] } })).points[0]?.value;

  test.each<[bigint, number | bigint]>([
    [0n, 0],
    [-1n, -1],
    [4294967296n, 4294967296],
    [-4294967297n, -4294967297],
    [9007199254740991n, 9007199254740991],
    [9007199254740993n, 9007199254740993n],
    [-9223372036854775808n, -9223372036854775808n],
    [9223372036854775807n, 9223372036854775807n],
  ])("the integer %s is read without loss", (asInt, value) => {
    expect(valueOf({ asInt })).toBe(value);
  });

  test("a double of zero is a value, not an absent one", () => {
    expect(valueOf({ asDouble: 0 })).toBe(0);
    expect(valueOf({ asDouble: Number.NaN })).toBeNaN();
  });

  test("D03: of two values of a point the last counts", () => {
    const point = Buffer.concat(
      [{ asInt: 5 }, { asDouble: 2.5 }].map((value) => encodeMessage("NumberDataPoint", value)),
    );
    expect(decodeMetric(field(5, field(1, point))).points[0]?.value).toBe(2.5);
  });

  test("a number point without a value is rejected and its neighbours are kept", () => {
    const dataPoints = [{ asInt: 1 }, { timeUnixNano: 5 }, { asInt: 3 }];
    const { points, rejected_points, rejections } = decodeMetric(
      encodeMetric({ sum: { dataPoints } }),
    );
    expect(points.map(({ value }) => value)).toStrictEqual([1, 3]);
    expect({ rejected_points, rejections }).toStrictEqual({
      rejected_points: 1,
      rejections: [REJECTIONS.point_value],
    });
  });

  test("a point flagged as not recorded is kept with no value", () => {
    const { points, rejected_points } = decodeMetric(
      encodeMetric({ gauge: { dataPoints: [{ flags: 3 }, { flags: 2, asInt: 1 }] } }),
    );
    expect(rejected_points).toBe(0);
    expect(points).toMatchObject([
      { value: null, no_recorded_value: true },
      { value: 1, no_recorded_value: false },
    ]);
  });

  test("a histogram without a sum has none, a summary without one has zero", () => {
    const dataPoints = [{ count: 3 }];
    expect(decodeMetric(encodeMetric({ histogram: { dataPoints } })).points).toMatchObject([
      { kind: "histogram", value: null, count: 3n },
    ]);
    expect(decodeMetric(encodeMetric({ summary: { dataPoints } })).points).toMatchObject([
      { kind: "histogram", value: 0, count: 3n },
    ]);
  });

  test("D02: buckets and bounds are skipped whether they are packed or not", () => {
    const fixed64 = Buffer.alloc(8, 1);
    const unpacked = Buffer.concat([Buffer.of(0x31), fixed64, Buffer.of(0x39), fixed64]);
    const packed = Buffer.concat([field(6, fixed64, fixed64), field(7, fixed64)]);
    const sum = encodeMessage("HistogramDataPoint", { sum: 1.5 });
    for (const buckets of [unpacked, packed]) {
      const { points } = decodeMetric(field(9, field(1, buckets, sum)));
      expect(points.map(({ value }) => value)).toStrictEqual([1.5]);
    }
  });
});

describe("kinds and temporality", () => {
  const dataPoints = [{ asInt: 1 }];

  test("D03: another member of the oneof replaces the last, the same one merges", () => {
    const sum = { dataPoints, aggregationTemporality: 2, isMonotonic: true };
    const gauge = encodeMetric({ gauge: { dataPoints } });
    expect(decodeMetric(encodeMetric({ sum }), gauge, gauge).metric).toMatchObject({
      type: "gauge",
      temporality: 0,
      is_monotonic: false,
      points: [{ value: 1 }, { value: 1 }],
    });
    const later = encodeMetric({ sum: { dataPoints: [{ asInt: 2 }], aggregationTemporality: 1 } });
    expect(decodeMetric(encodeMetric({ sum }), later).metric).toMatchObject({
      type: "sum",
      temporality: 1,
      is_monotonic: true,
      points: [{ value: 1 }, { value: 2 }],
    });
  });

  test("an unknown temporality is read as unspecified, with a warning", () => {
    const sum = { dataPoints, aggregationTemporality: 3 };
    const { metric, warnings } = decodeMetric(encodeMetric({ sum }));
    expect(metric?.temporality).toBe(0);
    expect(warnings).toStrictEqual([WARNINGS.temporality]);
  });

  test("P23: a kind of metric that OTLP does not have yet is ignored", () => {
    const unknown = field(13, field(1, encodeMessage("NumberDataPoint", { asInt: 1 })));
    const { scope_metrics, rejected_points } = decodeMetrics(
      requestOf(Buffer.concat([encodeMetric({ name: "new" }), unknown])),
    );
    expect({ scope_metrics, rejected_points }).toStrictEqual({
      scope_metrics: [],
      rejected_points: 0,
    });
  });

  test("D01: unknown fields of all wire types are ignored in a metric, its data and its points", () => {
    // Fields 100 to 104: varint, fixed64, delimited, a group with a varint in it, fixed32.
    const unknown = Buffer.from(
      "a00601a9060102030405060708b20603616263bb060801bc06c50601020304",
      "hex",
    );
    const point = field(1, unknown, encodeMessage("NumberDataPoint", { asInt: 7 }), unknown);
    for (const number of [5, 7]) {
      const { points, warnings } = decodeMetric(unknown, field(number, unknown, point), unknown);
      expect(points.map(({ value }) => value)).toStrictEqual([7]);
      expect(warnings).toStrictEqual([]);
    }
  });
});

describe("limits", () => {
  test("P09: more envelopes than the limit are refused, points among them", () => {
    const count = MAX_ENVELOPES_PER_REQUEST;
    // A resource, a scope and a metric are counted as well.
    const points = (pointCount: number) => requestOf(field(9, repeat(field(1), pointCount)));
    expect(decodeMetrics(points(count - 3)).point_count).toBe(count - 3);
    for (const body of [
      repeat(field(1), count + 1),
      field(1, repeat(field(2), count)),
      field(1, field(2, repeat(field(2), count))),
      points(count - 2),
    ]) {
      expect(refusalOf(() => decodeMetrics(body)).code).toBe("too_many_objects");
    }
  });
});

describe("bodies that are not protobuf", () => {
  test.each([
    ["a resource_metrics that is a varint", "0801"],
    ["a gauge that is a varint", "0a061204120228 01".replace(" ", "")],
    ["a temporality that is a double", "0a0f120d120b3a0911000000000000f03f"],
    ["JSON", Buffer.from('{"resourceMetrics":[]}').toString("hex")],
  ])("D04: %s is refused with the offset", (_name, hex) => {
    const refusal = refusalOf(() => decodeMetrics(Buffer.from(hex, "hex")));
    expect(refusal.code).toBe("invalid_protobuf");
    expect(refusal.message).toMatch(/^at byte \d+: ./);
  });

  test("P01: a capture cut at any byte is refused, or was cut between two resources", () => {
    const body = pbCaptures[0]?.body ?? new Uint8Array(0);
    const whole = decodeMetrics(body).point_count;
    const accepted = Array.from({ length: body.length + 1 }, (_, size) => ({
      size,
      count: unlessRefused(() => decodeMetrics(body.subarray(0, size)))?.point_count,
    })).filter(({ count }) => count !== undefined);
    expect(accepted).toStrictEqual([
      { size: 0, count: 0 },
      { size: body.length, count: whole },
    ]);
  });

  test("P28: arbitrary bytes are decoded or refused and nothing else", () => {
    const noise = fc.uint8Array({ maxLength: 300 });
    fc.assert(
      fc.property(noise, fc.constantFrom(5, 7, 9, 10, 11), (bytes, number) => {
        const point = requestOf(field(number, field(1, bytes)));
        for (const body of [bytes, requestOf(bytes), requestOf(field(number, bytes)), point]) {
          const metrics = unlessRefused(() => decodeMetrics(body));
          const scoped = metrics?.scope_metrics.flatMap((each) => each.metrics) ?? [];
          expect(scoped.flatMap(({ points }) => points)).toHaveLength(metrics?.point_count ?? 0);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("mutated captures are decoded or refused, and accepted as protobufjs reads them", () => {
    const bodies = [
      ...pbCaptures.map(({ body }) => body),
      ...jsonCaptures.map(({ body }) =>
        encodeMetricsRequest(readOtlpJson(new TextDecoder().decode(body))),
      ),
    ];
    const mutation = fc.record({
      capture: fc.nat({ max: bodies.length - 1 }),
      edits: fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 4 }),
    });
    let acceptedCount = 0;
    fc.assert(
      fc.property(mutation, ({ capture, edits }) => {
        const body = Uint8Array.from(bodies[capture] ?? []);
        for (const [offset, byte] of edits) body[offset % body.length] = byte;
        const metrics = unlessRefused(() => decodeMetrics(body));
        if (metrics === undefined || metrics.rejected_points + metrics.warnings.length > 0) return;
        const request = decodeOrUndefined(body);
        if (request === undefined) return;
        acceptedCount += 1;
        expect(metrics).toStrictEqual(expectedMetrics(request));
      }),
      { numRuns: 1000, interruptAfterTimeLimit: 4000 },
    );
    expect(acceptedCount).toBeGreaterThan(10);
  });
});

/** Undefined where protobufjs refuses the body: it also reads the fields that are skipped here. */
function decodeOrUndefined(body: Uint8Array): OtlpMetricsRequest | undefined {
  try {
    return decodeMetricsRequest(body);
  } catch {
    return undefined;
  }
}
