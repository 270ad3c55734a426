/**
 * Whose request it is, by the key in its headers. One key for one project for now; without a key
 * set, every request of the loopback belongs to the default project.
 */
import { createHash, timingSafeEqual } from "node:crypto";

/** The project of an installation without keys. */
export const DEFAULT_PROJECT = "default";

/** Longest key that is looked at, characters. */
const MAX_KEY_LENGTH = 512;

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** The key a request carries: `Authorization: Bearer`, or `x-api-key`. */
export function keyOfHeaders(headers: Headers): string | null {
  const bearer = /^Bearer +(\S+) *$/i.exec(String(headers["authorization"] ?? ""))?.[1];
  const key = bearer ?? headers["x-api-key"];
  return typeof key === "string" && key.length <= MAX_KEY_LENGTH ? key : null;
}

function digest(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}

/** Tells the project of a request's headers; null when its key is missing or wrong. */
export function makeAuthenticator(api_key: string | null): (headers: Headers) => string | null {
  if (api_key === null) return () => DEFAULT_PROJECT;
  const expected = digest(api_key);
  return (headers) => {
    const key = keyOfHeaders(headers);
    // Digests have one length, so the comparison takes the same time for every wrong key.
    return key !== null && timingSafeEqual(digest(key), expected) ? DEFAULT_PROJECT : null;
  };
}
