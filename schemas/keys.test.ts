/** How keys are written and found: the form, the checksum, and where a request may carry one. */
import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hashKey, isDigest, keyOfHeaders, makeKey, readKeyId } from "./keys.ts";

const KEY = "sl_0123456789abcdefghijklmnop";
const basic = (text: string) => `Basic ${Buffer.from(text).toString("base64")}`;

describe("the form of a key", () => {
  test("is sl_, ten characters of its id, thirty-two of its secret and six of its checksum", () => {
    const { key, key_id, sha256 } = makeKey();
    expect(key).toMatch(/^sl_[0-9A-Za-z]{10}_[0-9A-Za-z]{38}$/);
    expect(key.split("_")[1]).toBe(key_id);
    expect(sha256).toBe(createHash("sha256").update(key).digest("hex"));
  });

  test("A02 the secret has 190 bits: base62 digits, each as likely as any other", () => {
    const counts = new Map<string, number>();
    for (let index = 0; index < 2_000; index += 1) {
      for (const digit of makeKey().key.slice(14, 46)) {
        counts.set(digit, (counts.get(digit) ?? 0) + 1);
      }
    }
    expect(counts.size).toBe(62);
    // Chi-squared with 61 degrees of freedom: above 130 in one of a million runs.
    const expected = (2_000 * 32) / 62;
    const chi = [...counts.values()].reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
    expect(chi).toBeLessThan(130);
    expect(Math.floor(32 * Math.log2(62))).toBe(190);
  });

  test("bytes that would make some digits likelier are not used", () => {
    const bytes = Uint8Array.from({ length: 64 }, (_unused, index) => (index % 2 === 0 ? 255 : 61));
    expect(makeKey((size) => bytes.subarray(0, size)).key).toMatch(/^sl_z{10}_z{32}/);
  });

  test("the checksum is the CRC-32 of all before it", () => {
    const { key } = makeKey();
    const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const written = Array.from(key.slice(-6)).reduce(
      (sum, digit) => sum * 62 + digits.indexOf(digit),
      0,
    );
    let crc = 0xffffffff;
    for (const byte of Buffer.from(key.slice(0, -6))) {
      crc ^= byte;
      for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
    }
    expect(written).toBe((crc ^ 0xffffffff) >>> 0);
  });

  test("A01 a key with one character changed, two swapped, or one more or less is none", () => {
    fc.assert(
      fc.property(fc.nat(51), fc.integer({ min: 32, max: 126 }), (at, code) => {
        const { key, key_id } = makeKey();
        expect(readKeyId(key)).toBe(key_id);
        const other = String.fromCharCode(code);
        const changed = key.slice(0, at) + other + key.slice(at + 1);
        expect(readKeyId(changed)).toBe(changed === key ? key_id : null);
        const swapped = key.slice(0, at) + (key[at + 1] ?? "") + key[at] + key.slice(at + 2);
        expect(readKeyId(swapped)).toBe(swapped === key ? key_id : null);
        expect(readKeyId(key.slice(0, at) + key.slice(at + 1))).toBeNull();
        expect(readKeyId(key.slice(0, at) + other + key.slice(at))).toBeNull();
      }),
    );
  });

  test("A01 no other text is a key, however long", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(readKeyId(text)).toBeNull();
      }),
    );
    expect(readKeyId(`sl_${"a".repeat(10)}_${"a".repeat(38)}`)).toBeNull();
    expect(readKeyId("a".repeat(1_000_000))).toBeNull();
  });
});

describe("digests", () => {
  test("A03 are compared whole, and that of no key is never equal", () => {
    const { key, sha256 } = makeKey();
    expect(isDigest(hashKey(key), sha256)).toBe(true);
    expect(isDigest(hashKey(`${key} `), sha256)).toBe(false);
    expect(isDigest(hashKey(key), null)).toBe(false);
    expect(isDigest(Buffer.alloc(32), null)).toBe(false);
  });
});

describe("the key of a request", () => {
  test.each([
    [{ authorization: `Bearer ${KEY}` }, KEY],
    [{ authorization: `bearer ${KEY}` }, KEY],
    [{ authorization: `BEARER   ${KEY}  ` }, KEY],
    [{ "x-api-key": KEY }, KEY],
    [{ authorization: `Bearer ${KEY}`, "x-api-key": "other" }, KEY],
    // What a proxy adds must not hide the key.
    [{ authorization: basic("user:pass"), "x-api-key": KEY }, KEY],
    [{ authorization: "", "x-api-key": KEY }, KEY],
    [{ authorization: basic(`anyone:${KEY}`) }, KEY],
    [{ authorization: basic(`:${KEY}`) }, KEY],
    [{ authorization: basic("a:b:c") }, "b:c"],
  ])("%j carries it", (headers, key) => {
    expect(keyOfHeaders(headers)).toBe(key);
  });

  test.each([
    [{}],
    [{ authorization: KEY }],
    [{ authorization: "Bearer" }],
    [{ authorization: "Bearer " }],
    [{ authorization: `Bearer ${KEY} more` }],
    [{ authorization: `Basic ${KEY}` }],
    [{ authorization: basic(KEY) }],
    [{ authorization: basic("user:") }],
    [{ authorization: basic(`u:${"k".repeat(2_000)}`) }],
    [{ authorization: `xBearer ${KEY}` }],
    [{ "x-api-key": undefined }],
    [{ "x-api-key": [KEY, KEY] }],
    [{ "X-API-KEY": KEY }], // header names arrive in lower case
    [{ "x-api-key": "k".repeat(513) }],
    [{ authorization: `Bearer ${"k".repeat(513)}` }],
  ])("%j carries none", (headers) => {
    expect(keyOfHeaders(headers)).toBeNull();
  });
});
