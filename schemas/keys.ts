/**
 * API keys: how one is written, made, read from a request, and compared. Pure but for the randomness of
 * a new one; who a key is of is told by `state/authenticator.ts`.
 *
 * A key is `sl_<id>_<secret><checksum>`: ten base62 characters that name it, thirty-two that nobody can
 * guess (190 bits), and six of the CRC-32 of all before them (research/reliability.md 5.1).
 *
 * Invariant: the id alone says nothing of the secret; only the SHA-256 of a key is ever stored.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { crc32 } from "node:zlib";

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const PREFIX = "sl";
const ID_LENGTH = 10;
const SECRET_LENGTH = 32;
const CHECKSUM_LENGTH = 6;
const SHAPE = new RegExp(
  `^${PREFIX}_([0-9A-Za-z]{${ID_LENGTH}})_[0-9A-Za-z]{${SECRET_LENGTH + CHECKSUM_LENGTH}}$`,
);

/** Longest key that is looked at, characters: the key of the settings may have any form. */
const MAX_KEY_LENGTH = 512;
/** The same of a Basic credential, which is base64 of a name, a colon and the key. */
const MAX_BASIC_LENGTH = 1_024;

/** Headers of a request by name in lower case, as Node gives them. */
export type KeyHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** A key as its owner gets it, once, and what is stored of it. */
export interface NewKey {
  readonly key: string;
  readonly key_id: string;
  /** SHA-256 of the key, hex. */
  readonly sha256: string;
}

/** Makes a key; `random` gives that many random bytes. */
export function makeKey(random: (size: number) => Uint8Array = randomBytes): NewKey {
  const key_id = randomDigits(ID_LENGTH, random);
  const open = `${PREFIX}_${key_id}_${randomDigits(SECRET_LENGTH, random)}`;
  const key = `${open}${checksumOf(open)}`;
  return { key, key_id, sha256: hashKey(key).toString("hex") };
}

/** The id of a key whose form and checksum are right; null for any other text. No lookup. */
export function readKeyId(key: string): string | null {
  const key_id = SHAPE.exec(key)?.[1];
  if (key_id === undefined) return null;
  const open = key.slice(0, -CHECKSUM_LENGTH);
  return checksumOf(open) === key.slice(-CHECKSUM_LENGTH) ? key_id : null;
}

/** SHA-256 of a key. */
export function hashKey(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}

/** Stands for the digest of a key that there is none of: an unknown id takes as long as a wrong secret. */
const NO_DIGEST = Buffer.alloc(32);

/** Whether a digest is the one that is stored, hex; null stands for none, and never is. */
export function isDigest(digest: Buffer, stored: string | null): boolean {
  const expected = stored === null ? NO_DIGEST : Buffer.from(stored, "hex");
  return timingSafeEqual(digest, expected) && stored !== null;
}

/**
 * The key that a request carries: `Authorization: Bearer`, else `x-api-key`, else the password of
 * `Authorization: Basic`; null without one. Never from the URL, which ends in the logs of proxies.
 */
export function keyOfHeaders(headers: KeyHeaders): string | null {
  const authorization = String(headers["authorization"] ?? "");
  const bearer = /^Bearer +(\S+) *$/i.exec(authorization)?.[1];
  const key = bearer ?? headers["x-api-key"] ?? passwordOf(authorization);
  return typeof key === "string" && key.length <= MAX_KEY_LENGTH ? key : null;
}

function passwordOf(authorization: string): string | undefined {
  if (authorization.length > MAX_BASIC_LENGTH) return undefined;
  const credentials = /^Basic +([A-Za-z0-9+/]+=*) *$/i.exec(authorization)?.[1];
  if (credentials === undefined) return undefined;
  const text = Buffer.from(credentials, "base64").toString("utf8");
  const colon = text.indexOf(":");
  return colon === -1 || colon === text.length - 1 ? undefined : text.slice(colon + 1);
}

function checksumOf(text: string): string {
  let rest = crc32(text);
  let digits = "";
  for (let place = 0; place < CHECKSUM_LENGTH; place += 1) {
    digits = `${DIGITS[rest % DIGITS.length]}${digits}`;
    rest = Math.floor(rest / DIGITS.length);
  }
  return digits;
}

/** Each digit as likely as any other: bytes beyond the last whole multiple are not used. */
function randomDigits(length: number, random: (size: number) => Uint8Array): string {
  const limit = 256 - (256 % DIGITS.length);
  let digits = "";
  while (digits.length < length) {
    for (const byte of random(length)) {
      if (byte < limit && digits.length < length) digits += DIGITS[byte % DIGITS.length];
    }
  }
  return digits;
}
