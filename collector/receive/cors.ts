/**
 * Lets browsers of listed origins send telemetry: Cross-Origin Resource Sharing, off without a list.
 *
 * Invariant: no answer lets a browser send credentials of its own (cookies), and none names an origin
 * that is not on the list: a page that nobody listed can neither send nor read anything.
 */
import type { IncomingHttpHeaders } from "node:http";

/** The origins that may send: exact ones, and `https://*.example.com` for every name below it. */
export type OriginList = readonly string[];

/** The headers of an answer by the headers of its request. */
export interface Cors {
  /** Headers that every answer carries, errors too: without them a page cannot read the status. */
  readonly answerHeaders: (request: IncomingHttpHeaders) => Readonly<Record<string, string>>;
  /** The headers that answer a preflight, or null when its origin may not send. */
  readonly preflightHeaders: (
    request: IncomingHttpHeaders,
  ) => Readonly<Record<string, string>> | null;
}

/** Longest origin that is looked at, characters: a host name has at most 253. */
const MAX_ORIGIN_LENGTH = 300;
/** How long a browser may keep the answer to a preflight, seconds; Chromium keeps none longer. */
const PREFLIGHT_MAX_AGE_S = 7_200;
/** What exporters in browsers send; authorization has to be named, a wildcard leaves it out. */
const REQUEST_HEADERS =
  "content-type, content-encoding, authorization, x-api-key, traceparent, tracestate";

const NOTHING: Readonly<Record<string, string>> = {};

/** Makes the rules of one server; an empty list switches Cross-Origin Resource Sharing off. */
export function makeCors(origins: OriginList): Cors {
  const patterns = origins.map(compileOrigin);
  const isListed = (origin: string | undefined): origin is string =>
    origin !== undefined &&
    origin.length <= MAX_ORIGIN_LENGTH &&
    patterns.some((pattern) => pattern.test(origin));
  const answerHeaders = ({ origin }: IncomingHttpHeaders): Readonly<Record<string, string>> => {
    if (patterns.length === 0) return NOTHING;
    // Also without an origin: a cache must not give this answer to a page that sent one.
    if (!isListed(origin)) return { vary: "Origin" };
    return {
      vary: "Origin",
      "access-control-allow-origin": origin,
      "access-control-expose-headers": "retry-after",
    };
  };
  return {
    answerHeaders,
    preflightHeaders(request) {
      if (!isListed(request.origin)) return null;
      return {
        ...answerHeaders(request),
        "access-control-allow-methods": "POST",
        "access-control-allow-headers": REQUEST_HEADERS,
        "access-control-max-age": String(PREFLIGHT_MAX_AGE_S),
      };
    },
  };
}

/** A star stands for whole labels of a host name: never for a port, a path or a part of a label. */
function compileOrigin(origin: string): RegExp {
  const [before = "", after] = origin.toLowerCase().split("*");
  const text = after === undefined ? before : `${before}\0${after}`;
  const escaped = text.replace(/[.+?^${}()|[\]\\]/g, String.raw`\$&`);
  return new RegExp(`^${escaped.replace("\0", String.raw`[a-z0-9_-]+(?:\.[a-z0-9_-]+)*`)}$`);
}
