/** Export requests for tests: calls whose price is known by heart. */
import { encodeTraceRequest } from "./otlp-proto.ts";

/**
 * A protobuf body of gpt-4o-mini calls with 1,000 input and 100 output tokens each:
 * (1000 * 0.15 + 100 * 0.60) / 1e6 = 0.00021 US dollars. Ids are counted from `first`.
 */
export function makeCallsBody(first: number, count: number): Uint8Array<ArrayBuffer> {
  const start = BigInt(Date.now()) * 1_000_000n;
  const spans = Array.from({ length: count }, (_unused, index) => ({
    traceId: Buffer.from((first + index + 1).toString(16).padStart(32, "0"), "hex"),
    spanId: Buffer.from((first + index + 1).toString(16).padStart(16, "0"), "hex"),
    name: "chat gpt-4o-mini",
    kind: 3,
    startTimeUnixNano: start + BigInt(index),
    endTimeUnixNano: start + BigInt(index) + 1_000_000n,
    attributes: [
      { key: "gen_ai.operation.name", value: { stringValue: "chat" } },
      { key: "gen_ai.provider.name", value: { stringValue: "openai" } },
      { key: "gen_ai.request.model", value: { stringValue: "gpt-4o-mini" } },
      { key: "gen_ai.usage.input_tokens", value: { intValue: 1000n } },
      { key: "gen_ai.usage.output_tokens", value: { intValue: 100n } },
    ],
  }));
  return encodeTraceRequest({
    resourceSpans: [
      {
        resource: { attributes: [{ key: "service.name", value: { stringValue: "test" } }] },
        scopeSpans: [{ scope: { name: "test", version: "1" }, spans }],
      },
    ],
  });
}
