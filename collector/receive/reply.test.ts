/** The answers against protobufjs and JSON.parse, and the table of statuses of OTLP 1.11. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PermanentError, RetryableError } from "../../schemas/errors.ts";
import { decodeExportResponse, decodeStatus } from "./fixture.ts";
import { errorReply, exportReply, type OtlpEncoding } from "./reply.ts";

const ENCODINGS: readonly OtlpEncoding[] = ["protobuf", "json"];
const encoding = fc.constantFrom(...ENCODINGS);
/** Any text a message may be made of, half characters included. */
const anyText = fc
  .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 60 })
  .map((units) => String.fromCharCode(...units));

/** Codes of google.rpc.Code, from its documentation. */
const CODES = {
  INVALID_ARGUMENT: 3,
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
    ["unsupported_signal", 404, CODES.UNIMPLEMENTED],
    ["method_not_allowed", 405, CODES.UNIMPLEMENTED],
    ["body_too_large", 413, CODES.RESOURCE_EXHAUSTED],
    ["unsupported_media_type", 415, CODES.INVALID_ARGUMENT],
    ["unsupported_encoding", 415, CODES.INVALID_ARGUMENT],
    ["__proto__", 400, CODES.INVALID_ARGUMENT],
    ["constructor", 400, CODES.INVALID_ARGUMENT],
  ])("R04 the permanent error %s is answered with %i and rpc code %i", (code, status, rpc) => {
    for (const encoding of ENCODINGS) {
      const reply = errorReply(encoding, new PermanentError(code, "do this instead"));
      expect(reply.status).toBe(status);
      expect(decodeStatus(encoding, reply.body)).toEqual({ code: rpc, message: "do this instead" });
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
  test("T09 full success leaves partial_success out, byte for byte", () => {
    const result = { accepted_spans: 7, rejected_spans: 0, message: "" };
    expect(exportReply("protobuf", result).body).toHaveLength(0);
    expect(Buffer.from(exportReply("json", result).body).toString("utf8")).toBe("{}");
  });

  test("R01 rejected spans and any message come through in both encodings", () => {
    fc.assert(
      fc.property(
        encoding,
        fc.nat({ max: Number.MAX_SAFE_INTEGER }),
        anyText,
        (encoding, rejected_spans, message) => {
          fc.pre(rejected_spans > 0 || message !== "");
          const { status, body } = exportReply(encoding, {
            accepted_spans: 1,
            rejected_spans,
            message,
          });
          expect(status).toBe(200);
          const { partialSuccess } = decodeExportResponse(encoding, body) as {
            partialSuccess: { rejectedSpans?: string; errorMessage?: string };
          };
          expect(partialSuccess.rejectedSpans ?? "0").toBe(String(rejected_spans));
          expect(partialSuccess.errorMessage ?? "").toBe(message.toWellFormed());
        },
      ),
    );
  });

  test("R02 a warning on full success is a message with no rejected spans", () => {
    const result = { accepted_spans: 1, rejected_spans: 0, message: "names were snake_case" };
    expect(decodeExportResponse("protobuf", exportReply("protobuf", result).body)).toEqual({
      partialSuccess: { errorMessage: "names were snake_case" },
    });
    expect(decodeExportResponse("json", exportReply("json", result).body)).toEqual({
      partialSuccess: { rejectedSpans: "0", errorMessage: "names were snake_case" },
    });
  });
});
