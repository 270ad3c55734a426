/**
 * Reads a request body, never more than the limit: neither of what is sent nor of what it inflates
 * to (OTLP 1.11; CVE-2024-36129 in the Collector was a limit on the compressed size only).
 */
import type { IncomingMessage } from "node:http";
import type { Transform } from "node:stream";
import { createGunzip, createInflate, createZstdDecompress } from "node:zlib";
import { PermanentError } from "../../schemas/errors.ts";
import type { BodyPool } from "./body-pool.ts";

/**
 * Output chunk of the inflaters, bytes: each is a way to the thread pool and back, and a body that
 * fits in one is not joined. Telemetry inflates about 6 times; a chunk far too large costs its pages
 * (measured, ms for 600 KB of 6:1 gzip: 2.9 with 16 KiB, 1.2 with 64 KiB, 0.8 with 1 MiB, 1.2 with
 * 8 MiB; for 40 MB: 90 with 64 KiB, 75 with 8 MiB).
 */
const MIN_INFLATE_CHUNK_BYTES = 64 * 1024;
const MAX_INFLATE_CHUNK_BYTES = 8 * 1024 * 1024;
const EXPECTED_RATIO = 8;

/** A stream of node:zlib; `bytesWritten` are the bytes of its input that it used. */
type Inflater = Transform & { readonly bytesWritten: number };

/** Makes the inflater of one body. */
export type MakeInflater = (options: { chunkSize: number }) => Inflater;

/** Told of every piece that comes into memory, bytes; throws when it may not stay. */
export type TakeBytes = (byteCount: number) => void;

/** Watches a body that is coming in, until the returned function is called; see `timeouts.ts`. */
export type WatchBody = (byteCount: () => number, refuse: (error: Error) => void) => () => void;

/** Inflaters by Content-Encoding. They run on the thread pool, not on the event loop. */
const INFLATERS: Readonly<Record<string, MakeInflater | null>> = {
  "": null,
  identity: null,
  gzip: createGunzip,
  deflate: createInflate,
  zstd: createZstdDecompress,
};

export const SUPPORTED_ENCODINGS = "identity, gzip, deflate, zstd";

function tooLarge(max_body_bytes: number): PermanentError {
  return new PermanentError(
    "body_too_large",
    `The request is larger than ${max_body_bytes} bytes, as sent or decompressed. ` +
      "Export smaller batches or raise SPANLEDGER_MAX_BODY_BYTES.",
  );
}

/** Bytes of the body as the head of the request declares them; 0 when it does not. */
export function declaredBytes(request: IncomingMessage): number {
  return Number(request.headers["content-length"] ?? 0);
}

/** The inflater the headers ask for; throws before a body byte is read. */
export function chooseInflater(
  request: IncomingMessage,
  max_body_bytes: number,
): MakeInflater | null {
  const encoding = (request.headers["content-encoding"] ?? "identity").trim().toLowerCase();
  if (!Object.hasOwn(INFLATERS, encoding)) {
    throw new PermanentError(
      "unsupported_encoding",
      `Content-Encoding "${encoding.slice(0, 40)}" is not supported; use one of ${SUPPORTED_ENCODINGS}.`,
    );
  }
  if (declaredBytes(request) > max_body_bytes) throw tooLarge(max_body_bytes);
  return INFLATERS[encoding] ?? null;
}

/**
 * Reads the body as sent. Rejects with body_too_large as soon as the limit is crossed, with what
 * `take` throws or `watch` says, with a PermanentError that the request emits (`parser-errors.ts`), or
 * with "aborted" when the sender goes away; the request is then left paused. A body of `pool` is given
 * back by whoever is done with it.
 */
export function readBody(
  request: IncomingMessage,
  max_body_bytes: number,
  take: TakeBytes,
  watch: WatchBody,
  pool: BodyPool | null = null,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const pieces: Uint8Array[] = [];
    let byteCount = 0;
    const refuse = (error: unknown) => {
      unwatch();
      request.removeAllListeners("data");
      request.pause();
      pieces.length = 0; // the connection may stay open for a while, the memory need not
      reject(error);
    };
    const unwatch = watch(() => byteCount, refuse);
    request.on("data", (piece: Uint8Array) => {
      byteCount += piece.length;
      try {
        if (byteCount > max_body_bytes) throw tooLarge(max_body_bytes);
        take(piece.length);
        pieces.push(piece);
      } catch (error) {
        refuse(error);
      }
    });
    request.on("end", () => {
      unwatch();
      resolve(join(pieces, pool));
    });
    // After "end" the promise is settled and these change nothing.
    const aborted = () =>
      refuse(new PermanentError("aborted", "The sender closed the connection."));
    request.on("error", (error) => (error instanceof PermanentError ? refuse(error) : aborted()));
    request.on("close", aborted);
  });
}

function join(pieces: readonly Uint8Array[], pool: BodyPool | null): Uint8Array {
  if (pieces.length === 1) return pieces[0] as Uint8Array;
  return pool === null ? Buffer.concat(pieces) : pool.join(pieces);
}

/** An inflater that has ended has no use for the memory of its pieces, and they share it with nobody. */
function joinInflated(pieces: readonly Uint8Array[], pool: BodyPool | null): Uint8Array {
  return pool === null ? Buffer.concat(pieces) : pool.join(pieces, true);
}

/**
 * Inflates a body piece by piece, so that what is never let in is never made. Rejects with
 * body_too_large, with what `take` throws, or with bad_compression.
 */
export function inflateBody(
  bytes: Uint8Array,
  make: MakeInflater | null,
  max_body_bytes: number,
  take: TakeBytes,
  pool: BodyPool | null = null,
): Promise<Uint8Array> {
  if (make === null) return Promise.resolve(bytes);
  const expected_bytes = Math.max(MIN_INFLATE_CHUNK_BYTES, bytes.length * EXPECTED_RATIO);
  const inflater = make({ chunkSize: Math.min(expected_bytes, MAX_INFLATE_CHUNK_BYTES) });
  return new Promise((resolve, reject) => {
    const pieces: Uint8Array[] = [];
    let byteCount = 0;
    inflater.on("data", (piece: Uint8Array) => {
      byteCount += piece.length;
      try {
        if (byteCount > max_body_bytes) throw tooLarge(max_body_bytes);
        take(piece.length);
        pieces.push(piece);
      } catch (error) {
        inflater.destroy();
        reject(error);
      }
    });
    inflater.on("error", (error) => reject(badCompression(error)));
    inflater.on("end", () => {
      // Node stops silently at the end of the first deflate stream or zstd frame.
      if (inflater.bytesWritten === bytes.length) resolve(joinInflated(pieces, pool));
      else reject(badCompression(new Error("bytes follow the end of the compressed data")));
    });
    inflater.end(bytes);
  });
}

function badCompression(cause: Error): PermanentError {
  return new PermanentError(
    "bad_compression",
    "The body is not what its Content-Encoding says, it is cut off, or something follows it.",
    { cause },
  );
}
