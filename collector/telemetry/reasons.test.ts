import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { PermanentError, RetryableError } from "../../schemas/errors.ts";
import { REJECTIONS } from "../decode/notes.ts";
import { itemReasons, reasonOf, reasonOfStatus } from "./reasons.ts";

const COLLECTOR = fileURLToPath(new URL("../", import.meta.url));
/** Errors of starting and of reading back: no request is refused with them. */
const NOT_OF_REQUESTS = new Set([
  "bad_tls",
  "wal_config",
  "wal_locked",
  "wal_open_failed",
  "wal_read_failed",
  "wal_sequence_unknown",
  "wal_version_newer",
]);

test("every error that a request can be refused with in the sources has a word of its own", () => {
  const files = globSync("{receive,decode,commit,wal}/*.ts", { cwd: COLLECTOR });
  const sources = [...files, "pipeline.ts", "span-log.ts", "traces.ts"]
    .filter((path) => !/\.test\.ts$|fixture/.test(path))
    .map((path) => readFileSync(`${COLLECTOR}${path}`, "utf8"));
  const codes = new Set(
    sources.flatMap((text) =>
      [...text.matchAll(/new (?:Permanent|Retryable)Error\(\s*"([a-z_]+)"/g)].map(
        ([, code = ""]) => code,
      ),
    ),
  );
  expect(codes.size, "found no errors: the rule would pass by accident").toBeGreaterThan(20);
  const without = [...codes].filter(
    (code) => !NOT_OF_REQUESTS.has(code) && reasonOf(new PermanentError(code, "")) === "other",
  );
  expect(without).toEqual([]);
});

test("an error gives a word of the list, whatever it says", () => {
  expect(reasonOf(new RetryableError("wal_full", "secret"))).toBe("log_full");
  expect(reasonOf(new RetryableError("overloaded", ""))).toBe("overloaded");
  expect(reasonOf(new PermanentError("made_up", "secret"))).toBe("other");
  expect(reasonOf(new TypeError("secret"))).toBe("internal");
  expect([400, 401, 404, 408, 413, 415, 503].map(reasonOfStatus)).toEqual([
    "decode",
    "unauthenticated",
    "unsupported",
    "timeout",
    "too_large",
    "unsupported",
    "overloaded",
  ]);
});

describe("refused items", () => {
  const aside =
    "3 items were refused for the time sent: before the year 2000, more than 9 days old or more than " +
    "9 s in the future; check the sender's clock (kept in set_aside_items)";

  test("of a wrong id count as such, by the words of the decoders", () => {
    const { point_value, ...ids } = REJECTIONS;
    for (const words of Object.values(ids)) {
      expect(itemReasons(2, words), words).toEqual([["invalid_id", 2]]);
    }
    expect(itemReasons(1, point_value)).toEqual([["invalid_value", 1]]);
    expect(itemReasons(1, "name must be a string")).toEqual([["invalid_value", 1]]);
  });

  test("of a wrong time are told from the others, and all are counted", () => {
    expect(itemReasons(3, aside)).toEqual([["invalid_time", 3]]);
    expect(itemReasons(5, `${aside}; ${REJECTIONS.span_id_zero}; name must be a string`)).toEqual([
      ["invalid_time", 3],
      ["invalid_id", 2],
    ]);
    const foreign = '2 items were refused for the service.name: this key may send only that of "a"';
    expect(itemReasons(2, foreign)).toEqual([["forbidden_service", 2]]);
    expect(itemReasons(6, `${foreign}; ${aside}; ${REJECTIONS.span_id_zero}`)).toEqual([
      ["forbidden_service", 2],
      ["invalid_time", 3],
      ["invalid_id", 1],
    ]);
    expect(itemReasons(0, "attributes were dropped")).toEqual([]);
    expect(itemReasons(2, aside)).toEqual([["invalid_time", 2]]);
  });
});
