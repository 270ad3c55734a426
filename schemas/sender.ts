/**
 * Who sends telemetry, and what its project may send: what the collector knows of a request beside the
 * body.
 *
 * Invariant: the project comes from the key and never from what was sent.
 */
import { DEFAULT_PROJECT_ID } from "./state.ts";

/** The header by which a key of an organization names the project that it sends to. */
export const PROJECT_HEADER = "x-spanledger-project";

/** The sender of an export request. */
export interface Sender {
  readonly project_id: string;
  /** Id of the key; empty without a stored one. */
  readonly key_id: string;
  /** The only service.name that it may send; null: any. */
  readonly allowed_service_name: string | null;
}

/** The sender of an installation without keys. */
export const DEFAULT_SENDER: Sender = {
  project_id: DEFAULT_PROJECT_ID,
  key_id: "",
  allowed_service_name: null,
};

/**
 * Tells the sender of a request by its headers. Throws PermanentError "unauthenticated", "key_expired",
 * "key_revoked", "forbidden" or "project_required", and RetryableError "keys_unavailable".
 */
export type Authenticate = (
  headers: Readonly<Record<string, string | string[] | undefined>>,
) => Sender;

/** What projects may send. */
export interface SendLimits {
  /**
   * Whether the project may send now: asked before a body is read. Throws RetryableError("rate_limited")
   * above its rate, PermanentError("quota_exceeded") above its quota of the month.
   */
  check(project_id: string): void;
  /** The same in front of decoding, and counts the bytes of the body as they were inflated. */
  takeBytes(project_id: string, byte_count: number): void;
  /** Counts what was accepted: all items, and those among them that are units of the quota. */
  takeItems(project_id: string, items: number, units: number): void;
}

/** The limits of an installation that has none. */
export const NO_LIMITS: SendLimits = {
  check: () => {},
  takeBytes: () => {},
  takeItems: () => {},
};
