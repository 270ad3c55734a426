/**
 * The two kinds of failure that matter to a sender: will the same input fail again?
 *
 * Decided where the error is made; `collector/receive/reply.ts` turns the answer into a status.
 * A message says what to do next and never carries a secret, a prompt or a path.
 */

/** The same input fails every time: the sender must not retry (OTLP 4xx). */
export class PermanentError extends Error {
  override readonly name = "PermanentError";
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The same input may succeed later: the sender should retry (OTLP 503). */
export class RetryableError extends Error {
  override readonly name = "RetryableError";
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The text of anything thrown, for a log line or a wrapped message. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
