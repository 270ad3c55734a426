/**
 * One POST to a target that a user named.
 *
 * Invariant: no redirect is followed, what the receiver says is read only up to a limit and kept nowhere,
 * and all of it together, the look-up of the name included, ends by the deadline.
 */
import { request as requestHttp, type IncomingMessage, type RequestOptions } from "node:http";
import { request as requestHttps } from "node:https";
import { isIPv6, type LookupFunction } from "node:net";
import { parseTarget, RefusedTarget, resolveTarget, type TargetPolicy } from "./guard.ts";
import type { Outcome } from "./sender.ts";

/** Longest that one attempt takes, ms. */
export const ATTEMPT_TIMEOUT_MS = 10_000;
/** Bytes of an answer that are read; then the connection is closed. */
export const MAX_ANSWER_BYTES = 65_536;
/** Bytes of the headers of an answer. */
const MAX_ANSWER_HEADER_BYTES = 16_384;
/** Longest pause that a receiver may ask for, s. */
const MAX_RETRY_AFTER_S = 3_600;

export interface Post {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Ends the attempt early, without an outcome. */
  readonly signal: AbortSignal;
  readonly timeout_ms?: number;
}

interface Head {
  readonly status: number;
  readonly retry_after: string | undefined;
}

/** Sends a body and tells how it went; rejects only when the signal ended it. */
export async function post(message: Post, policy: TargetPolicy): Promise<Outcome> {
  const deadline = AbortSignal.timeout(message.timeout_ms ?? ATTEMPT_TIMEOUT_MS);
  const signal = AbortSignal.any([message.signal, deadline]);
  try {
    const url = parseTarget(message.url, policy);
    const addresses = await orAborted(resolveTarget(url, policy), signal);
    return outcomeOf(await send(url, addresses, message, signal));
  } catch (error) {
    message.signal.throwIfAborted();
    if (error instanceof RefusedTarget) {
      // A name that is not known now may be known later; an address that is not allowed stays so.
      const is_final = error.code !== "unknown_host";
      return { is_delivered: false, status_code: null, error: error.code, is_final };
    }
    const word = deadline.aborted ? "timeout" : wordOf(error);
    return { is_delivered: false, status_code: null, error: word, is_final: false };
  }
}

function orAborted<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  return Promise.race([work, aborted.promise]).finally(() => {
    signal.removeEventListener("abort", abort);
  });
}

function send(
  url: URL,
  addresses: readonly string[],
  { headers, body }: Post,
  signal: AbortSignal,
): Promise<Head> {
  const done = Promise.withResolvers<Head>();
  const options: RequestOptions = {
    method: "POST",
    headers: { ...headers, "content-length": Buffer.byteLength(body) },
    agent: false,
    lookup: pinned(addresses),
    maxHeaderSize: MAX_ANSWER_HEADER_BYTES,
    signal,
  };
  const start = url.protocol === "https:" ? requestHttps : requestHttp;
  let head: Head | null = null;
  const request = start(url, options, (response) => {
    const known = {
      status: response.statusCode ?? 0,
      retry_after: response.headers["retry-after"],
    };
    head = known;
    drain(response, () => done.resolve(known));
  });
  // Once the status is known nothing that fails matters.
  request.on("error", (error) => (head === null ? done.reject(error) : done.resolve(head)));
  request.end(body);
  return done.promise;
}

/** Answers every question for the name with the addresses that were checked. */
function pinned(addresses: readonly string[]): LookupFunction {
  const found = addresses.map((address) => ({ address, family: isIPv6(address) ? 6 : 4 }));
  return (_host, options, callback) => {
    const [first] = found;
    if (options.all === true) callback(null, found);
    else callback(null, first?.address ?? "", first?.family ?? 4);
  };
}

/** Reads an answer to its end or the limit. */
function drain(response: IncomingMessage, finish: () => void): void {
  let bytes = 0;
  response.on("data", (chunk: Buffer) => {
    bytes += chunk.byteLength;
    if (bytes >= MAX_ANSWER_BYTES) response.destroy();
  });
  response.on("error", finish);
  response.on("close", finish);
}

/** Statuses that another attempt does not change: the receiver does not want it. */
const FINAL_STATUSES: ReadonlySet<number> = new Set([410, 413, 414, 415, 431]);

function outcomeOf({ status, retry_after }: Head): Outcome {
  if (status >= 200 && status < 300) return { is_delivered: true, status_code: status };
  const is_redirect = status >= 300 && status < 400;
  const error = is_redirect ? "redirect_not_followed" : `http_${status}`;
  const is_final = is_redirect || FINAL_STATUSES.has(status);
  const failed = { is_delivered: false, status_code: status, error, is_final } as const;
  const seconds = /^\d{1,6}$/.test(retry_after ?? "") ? Number(retry_after) : null;
  return seconds === null
    ? failed
    : { ...failed, retry_after_ms: Math.min(seconds, MAX_RETRY_AFTER_S) * 1000 };
}

/** Words for what goes wrong on the way; anything else might name hosts. */
const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection_refused",
  ECONNRESET: "connection_reset",
  EPIPE: "connection_reset",
  EHOSTUNREACH: "unreachable",
  ENETUNREACH: "unreachable",
  ETIMEDOUT: "timeout",
  HPE_HEADER_OVERFLOW: "answer_too_large",
};

function wordOf(error: unknown): string {
  const given = (error as { code?: unknown } | null)?.code;
  const code = typeof given === "string" ? given : "";
  const word = Object.hasOwn(WORDS, code) ? WORDS[code] : undefined;
  if (word !== undefined) return word;
  if (code.startsWith("HPE_")) return "not_http";
  return /CERT|TLS|SSL|SELF_SIGNED|UNABLE_TO_|ALTNAME/.test(code) ? "tls" : "failed";
}
