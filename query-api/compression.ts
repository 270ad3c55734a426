/**
 * Compresses large answers on their way to clients that take gzip: rows of JSON shrink to a tenth or less.
 *
 * Invariant: an answer that is sent as it comes into being, or that is a file, is left as it is; no answer
 * is held in memory for its compression beyond MIN_COMPRESSED_BYTES.
 */
import type { Context, MiddlewareHandler } from "hono";
import { compress } from "hono/compress";

/**
 * Smallest answer that is compressed, bytes. Most answers have a few kilobytes, of which a network sends
 * as many packets either way before it waits, so that compressing them only costs time.
 */
export const MIN_COMPRESSED_BYTES = 32 * 1024;

/** Rows as JSON, NDJSON and CSV. Parquet is compressed in itself. */
const COMPRESSED_TYPES = /^(?:application\/(?:json|x-ndjson)|text\/csv)\s*(?:;|$)/i;

/** Compresses what later handlers answer. */
export function compressAnswers(): MiddlewareHandler {
  const compressLarge = compress({
    encoding: "gzip",
    threshold: MIN_COMPRESSED_BYTES,
    contentTypeFilter: COMPRESSED_TYPES,
  });
  return async (c, next) => {
    await next();
    const is_known = c.res.status === 304;
    if (!is_known && !mayBeCompressed(c.res.headers)) return;
    // 304 has the headers of the answer that it stands for.
    c.header("vary", "Accept-Encoding", { append: true });
    if (is_known) return;
    await measureBody(c);
    await compressLarge(c, async () => {});
  };
}

function mayBeCompressed(headers: Headers): boolean {
  return (
    COMPRESSED_TYPES.test(headers.get("content-type") ?? "") &&
    !headers.has("content-encoding") &&
    // Files of exports keep their length and bytes.
    !headers.has("content-disposition") &&
    // Live frames ask whoever stands between not to gather them: neither do we.
    headers.get("x-accel-buffering") !== "no"
  );
}

/** Sets the length of a short answer, which the threshold is compared with; a longer one has none. */
async function measureBody(c: Context): Promise<void> {
  if (c.res.body === null || c.res.headers.has("content-length")) return;
  const reader = (c.res.body as ReadableStream<Uint8Array>).getReader();
  const parts: Uint8Array[] = [];
  let bytes = 0;
  while (bytes < MIN_COMPRESSED_BYTES) {
    const { value } = await reader.read();
    if (value === undefined) {
      c.res = new Response(Buffer.concat(parts), c.res);
      c.header("content-length", String(bytes));
      return;
    }
    parts.push(value);
    bytes += value.byteLength;
  }
  c.res = new Response(resume(parts, reader), c.res);
}

/** What was read of a stream, and then the rest of it, its error too. */
function resume(
  parts: readonly Uint8Array[],
  reader: ReadableStreamDefaultReader<Uint8Array>,
): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const part of parts) controller.enqueue(part);
    },
    async pull(controller) {
      const { value } = await reader.read();
      if (value === undefined) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  });
}
