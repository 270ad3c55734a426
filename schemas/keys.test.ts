/** Who may ask: the key and nothing else, in either header, and never a key that is not exact. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DEFAULT_PROJECT, keyOfHeaders, makeAuthenticator } from "./keys.ts";

const KEY = "sl_0123456789abcdefghijklmnop";

describe("the key of a request", () => {
  test.each([
    [{ authorization: `Bearer ${KEY}` }, KEY],
    [{ authorization: `bearer ${KEY}` }, KEY],
    [{ authorization: `BEARER   ${KEY}  ` }, KEY],
    [{ "x-api-key": KEY }, KEY],
    [{ authorization: `Bearer ${KEY}`, "x-api-key": "other" }, KEY],
    // What a proxy adds must not hide the key.
    [{ authorization: "Basic dXNlcjpwYXNz", "x-api-key": KEY }, KEY],
    [{ authorization: "", "x-api-key": KEY }, KEY],
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

describe("the project of a request", () => {
  test("without a key set every request is of the default project", () => {
    const authenticate = makeAuthenticator(null);
    expect(authenticate({})).toBe(DEFAULT_PROJECT);
    expect(authenticate({ "x-api-key": "anything" })).toBe(DEFAULT_PROJECT);
  });

  test("the key opens, in either header", () => {
    const authenticate = makeAuthenticator(KEY);
    expect(authenticate({ authorization: `Bearer ${KEY}` })).toBe(DEFAULT_PROJECT);
    expect(authenticate({ "x-api-key": KEY })).toBe(DEFAULT_PROJECT);
  });

  test("nothing but the key opens", () => {
    const authenticate = makeAuthenticator(KEY);
    const wrong = [
      "",
      KEY.slice(0, -1),
      `${KEY}x`,
      KEY.toUpperCase(),
      ` ${KEY}`,
      "null",
      "undefined",
    ];
    for (const key of wrong) expect(authenticate({ "x-api-key": key }), key).toBeNull();
    expect(authenticate({})).toBeNull();
    expect(authenticate({ "x-api-key": [KEY] })).toBeNull();
    fc.assert(
      fc.property(fc.string(), (key) => {
        expect(authenticate({ "x-api-key": key })).toBe(key === KEY ? DEFAULT_PROJECT : null);
      }),
    );
  });

  test("a wrong bearer is not saved by a good second header", () => {
    const authenticate = makeAuthenticator(KEY);
    expect(authenticate({ authorization: "Bearer wrong", "x-api-key": KEY })).toBeNull();
  });

  test("keys with letters beyond ASCII compare by what they are", () => {
    const authenticate = makeAuthenticator("schlüssel-ünïcode-✓-0123456789");
    expect(authenticate({ "x-api-key": "schlüssel-ünïcode-✓-0123456789" })).toBe(DEFAULT_PROJECT);
    expect(authenticate({ "x-api-key": "schl?ssel-?n?code-?-0123456789" })).toBeNull();
  });
});
