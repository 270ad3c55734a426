/**
 * What a program logs to. Lines are structured; a line never carries a secret, a prompt or the body
 * of a request. Frequent events are metrics, not lines.
 */

export interface Log {
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
  /** Something went wrong and was recovered from. */
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
  /** Data is at risk or a person has to act. */
  error(fields: Readonly<Record<string, unknown>>, message: string): void;
}
