/** The answers against protobufjs and JSON.parse, and the table of statuses of OTLP 1.11. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PermanentError, RetryableError } from "../../schemas/errors.ts";
import { decodeExportResponse, decodeStatus, decodeViolations } from "./fixture.ts";
import { errorReply, exportReply, type OtlpEncoding, type OtlpSignal } from "./reply.ts";

const ENCODINGS: readonly OtlpEncoding[] = ["protobuf", "json"];
const SIGNALS: readonly OtlpSignal[] = ["traces", "logs", "metrics"];
const encoding = fc.constantFrom(...ENCODINGS);
/** What the OTLP schema calls the refused items of each signal, as its JSON names it. */
const REJECTED_NAMES: Readonly<Record<OtlpSignal, string>> = {
  traces: "rejectedSpans",
  logs: "rejectedLogRecords",
  metrics: "rejectedDataPoints",
};
/** Any text a message may be made of, half characters included. */
const anyText = fc
  .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 60 })
  .map((units) => String.fromCharCode(...units));

/** Codes of google.rpc.Code, from its documentation. */
const CODES = {
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  RESOURCE_EXHAUSTED: 8,
  UNIMPLEMENTED: 12,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
};

describe("errors", () => {
  test.each([
    ["bad_body", 400, CODES.INVALID_ARGUMENT],
    ["unauthenticated", 401, CODES.UNAUTHENTICATED],
    ["unknown_path", 404, CODES.NOT_FOUND],
    ["method_not_allowed", 405, CODES.UNIMPLEMENTED],
    ["request_timeout", 408, CODES.DEADLINE_EXCEEDED],
    ["body_too_large", 413, CODES.RESOURCE_EXHAUSTED],
    ["unsupported_media_type", 415, CODES.INVALID_ARGUMENT],
    ["unsupported_encoding", 415, CODES.INVALID_ARGUMENT],
    ["expectation_failed", 417, CODES.INVALID_ARGUMENT],
    ["head_too_large", 431, CODES.RESOURCE_EXHAUSTED],
    ["__proto__", 400, CODES.INVALID_ARGUMENT],
    ["constructor", 400, CODES.INVALID_ARGUMENT],
  ])("R04 the permanent error %s is answered with %i and rpc code %i", (code, status, rpc) => {
    for (const encoding of ENCODINGS) {
      const reply = errorReply(encoding, new PermanentError(code, "do this instead"));
      expect(reply.status).toBe(status);
      expect(decodeStatus(encoding, reply.body)).toEqual({ code: rpc, message: "do this instead" });
    }
  });

  test("B03 400 names the part of the request that is wrong, no other status does", () => {
    for (const encoding of ENCODINGS) {
      const violations = (code: string) =>
        decodeViolations(encoding, errorReply(encoding, new PermanentError(code, "why")).body);
      expect(violations("invalid_protobuf")).toEqual([{ field: "body", description: "why" }]);
      expect(violations("bad_compression")).toEqual([
        { field: "content-encoding", description: "why" },
      ]);
      for (const code of ["unauthenticated", "body_too_large", "unsupported_encoding"]) {
        expect(violations(code)).toEqual([]);
      }
      expect(decodeViolations(encoding, errorReply(encoding, new Error("a bug")).body)).toEqual([]);
    }
  });

  test("R05 no permanent error gets a status that senders retry", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (code, message) => {
        const { status } = errorReply("json", new PermanentError(code, message));
        expect([408, 429, 500, 502, 503, 504]).not.toContain(status);
        expect(status).toBeGreaterThanOrEqual(400);
      }),
    );
  });

  test("R06 a retryable error is 503 with whole seconds to wait, at most five", () => {
    const reply = errorReply("protobuf", new RetryableError("overloaded", "come back"));
    expect(reply.status).toBe(503);
    expect(reply.headers?.["retry-after"]).toMatch(/^[1-5]$/);
    expect(decodeStatus("protobuf", reply.body)).toEqual({
      code: CODES.UNAVAILABLE,
      message: "come back",
    });
  });

  test("R10 anything else thrown is 503 and its text stays inside", () => {
    const secrets = [new Error("/srv/wal/7"), "/srv/wal/7", null, { message: "/srv/wal/7" }];
    for (const encoding of ENCODINGS) {
      for (const thrown of secrets) {
        const reply = errorReply(encoding, thrown);
        expect(reply.status).toBe(503);
        expect(reply.headers?.["retry-after"]).toBe("1");
        expect(decodeStatus(encoding, reply.body).message).not.toContain("wal");
      }
    }
  });

  test("R04 any message comes through in both encodings", () => {
    fc.assert(
      fc.property(encoding, anyText, fc.boolean(), (encoding, message, permanent) => {
        const error = permanent
          ? new PermanentError("bad_body", message)
          : new RetryableError("away", message);
        const reply = errorReply(encoding, error);
        expect(decodeStatus(encoding, reply.body)).toEqual({
          code: permanent ? CODES.INVALID_ARGUMENT : CODES.UNAVAILABLE,
          message: message.toWellFormed(),
        });
      }),
    );
  });

  test("R04 a JSON answer holds no half characters, which strict parsers refuse", () => {
    const reply = errorReply("json", new PermanentError("bad_body", `a\ud800b`));
    expect(Buffer.from(reply.body).toString("utf8")).not.toContain("\\ud800");
  });

  test("B02 a long message is cut, between characters", () => {
    const message = "x" + "\u{1f600}".repeat(1_000_000);
    for (const encoding of ENCODINGS) {
      const reply = errorReply(encoding, new PermanentError("bad_body", message));
      expect(reply.body.length).toBeLessThan(16 * 1024);
      const { message: text } = decodeStatus(encoding, reply.body);
      expect(text.slice(0, 999)).toBe(message.slice(0, 999));
      expect(text.isWellFormed()).toBe(true);
    }
  });
});

describe("export responses", () => {
  test.each(SIGNALS)("T09 %s: full success leaves partial_success out, byte for byte", (signal) => {
    const result = { accepted_items: 7, rejected_items: 0, message: "" };
    expect(exportReply(signal, "protobuf", result).body).toHaveLength(0);
    expect(textOf(exportReply(signal, "json", result).body)).toBe("{}");
  });

  test.each(SIGNALS)("R01 %s: rejected items and any message come through", (signal) => {
    const name = REJECTED_NAMES[signal];
    fc.assert(
      fc.property(
        encoding,
        fc.nat({ max: Number.MAX_SAFE_INTEGER }),
        anyText,
        (encoding, rejected_items, message) => {
          fc.pre(rejected_items > 0 || message !== "");
          const result = { accepted_items: 1, rejected_items, message };
          const { status, body } = exportReply(signal, encoding, result);
          expect(status).toBe(200);
          const answer = decodeExportResponse(signal, encoding, body) as {
            partialSuccess: Record<string, string>;
          };
          const { errorMessage = "", ...counts } = answer.partialSuccess;
          expect({ [name]: "0", ...counts }).toEqual({ [name]: String(rejected_items) });
          expect(errorMessage).toBe(message.toWellFormed());
        },
      ),
    );
  });

  test.each(SIGNALS)("R01 %s: a partial success is these bytes", (signal) => {
    const result = { accepted_items: 1, rejected_items: 300, message: "no id" };
    // Field 1 of the answer, 10 bytes: field 1 the varint 300 and field 2 five letters.
    expect(Buffer.from(exportReply(signal, "protobuf", result).body).toString("hex")).toBe(
      "0a0a08ac0212056e6f206964",
    );
    expect(textOf(exportReply(signal, "json", result).body)).toBe(
      `{"partialSuccess":{"${REJECTED_NAMES[signal]}":"300","errorMessage":"no id"}}`,
    );
  });

  test.each(SIGNALS)("R02 %s: a warning on full success counts nothing as rejected", (signal) => {
    const result = { accepted_items: 1, rejected_items: 0, message: "names were snake_case" };
    const read = (encoding: OtlpEncoding) =>
      decodeExportResponse(signal, encoding, exportReply(signal, encoding, result).body);
    expect(read("protobuf")).toEqual({ partialSuccess: { errorMessage: "names were snake_case" } });
    expect(read("json")).toEqual({
      partialSuccess: { [REJECTED_NAMES[signal]]: "0", errorMessage: "names were snake_case" },
    });
  });
});

function textOf(body: Uint8Array): string {
  return Buffer.from(body).toString("utf8");
}
