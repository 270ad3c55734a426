/**
 * The log of the programs: JSON lines on stderr, so that stdout holds the ready line alone.
 *
 * Invariant: no line holds a secret of the settings. Lines are written without them; what is done
 * here is the second belt, for texts that come from elsewhere (an engine, a library).
 */
import { pino } from "pino";
import type { Log } from "../schemas/log.ts";
import type { LogSettings } from "./config.ts";

/** What stands in place of a secret. */
export const REDACTED = "[redacted]";

/** Names whose values are secrets, in lower case. */
const SECRET_NAMES: ReadonlySet<string> = new Set([
  "authorization",
  "proxy-authorization",
  "x-api-key",
  "api_key",
  "apikey",
  "cookie",
  "set-cookie",
  "password",
]);
/** Fields are looked at so deep; anything deeper is not written. */
const MAX_DEPTH = 6;

/**
 * A log, by default to stderr, written before the call returns: the last line of a crash is the
 * needed one.
 */
export function makeLog(
  program: string,
  { level, secrets }: LogSettings,
  write: { write(line: string): unknown } = pino.destination({ fd: 2, sync: true }),
): Log {
  const hide = hideSecrets(secrets);
  return pino(
    {
      level,
      base: { program },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: {
        level: (label) => ({ level: label }),
        log: (fields) => redact(fields, MAX_DEPTH) as Record<string, unknown>,
      },
      hooks: { streamWrite: hide },
    },
    write,
  );
}

/** The fields without the values of secret names. */
function redact(value: unknown, depth: number): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (depth === 0) return REDACTED;
  // Stack and code of an error are not its own enumerable fields, its message is not one either.
  if (value instanceof Error) return { type: value.name, message: value.message };
  if (Array.isArray(value)) return value.map((item) => redact(item, depth - 1));
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [
      name,
      SECRET_NAMES.has(name.toLowerCase()) ? REDACTED : redact(item, depth - 1),
    ]),
  );
}

/** Takes secrets out of a line of JSON, wherever they stand in it. */
function hideSecrets(secrets: readonly string[]): (line: string) => string {
  // As they stand in a JSON string; the longest first, as one may hold another.
  const written = secrets
    .map((secret) => JSON.stringify(secret).slice(1, -1))
    .toSorted((a, b) => b.length - a.length);
  return (line) => written.reduce((text, secret) => text.replaceAll(secret, REDACTED), line);
}
