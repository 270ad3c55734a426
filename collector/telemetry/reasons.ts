/**
 * Why something was not taken, in the few words that metrics use.
 *
 * Invariant: a word comes from a list in this file, whatever the error or its message says.
 */
import { PermanentError, RetryableError } from "../../schemas/errors.ts";

/** Words by the code of the error; the codes are those that receivers, decoders and log give. */
const REASONS = {
  aborted: ["aborted"],
  decode: ["bad_body", "invalid_json", "invalid_protobuf", "wrong_signal", "bad_compression"],
  log_failed: [
    "wal_checkpoint_failed",
    "wal_closed",
    "wal_directory_lost",
    "wal_sequence_passed",
    "wal_sync_failed",
    "wal_write_failed",
  ],
  log_full: ["disk_full", "wal_full"],
  forbidden: ["forbidden"],
  overloaded: ["overloaded", "wal_busy"],
  over_limit: ["quota_exceeded", "rate_limited"],
  timeout: ["request_timeout"],
  too_large: ["body_too_large", "head_too_large", "record_too_large", "too_many_objects"],
  unauthenticated: ["unauthenticated", "key_expired", "key_revoked", "keys_unavailable"],
  unsupported: [
    "expectation_failed",
    "invalid_request",
    "method_not_allowed",
    "project_required",
    "unknown_path",
    "unsupported_encoding",
    "unsupported_media_type",
  ],
} as const satisfies Record<string, readonly string[]>;

/** Why a request was refused; "internal" is a fault of ours. */
export type RefusalReason = keyof typeof REASONS | "other" | "internal";

const BY_CODE: ReadonlyMap<string, RefusalReason> = new Map(
  Object.entries(REASONS).flatMap(([reason, codes]) =>
    codes.map((code) => [code, reason as RefusalReason] as const),
  ),
);

/** The word for an error that refused a request. */
export function reasonOf(error: unknown): RefusalReason {
  const is_known = error instanceof PermanentError || error instanceof RetryableError;
  return is_known ? (BY_CODE.get(error.code) ?? "other") : "internal";
}

/** What a receiver alone refuses, before the pipeline has the body, by the HTTP status. */
const BY_STATUS: ReadonlyMap<number, RefusalReason> = new Map<number, RefusalReason>([
  [400, "decode"],
  [401, "unauthenticated"],
  [403, "forbidden"],
  [408, "timeout"],
  [413, "too_large"],
  [431, "too_large"],
  [503, "overloaded"],
]);

/** The word for a refusal of which only the status is known: 400 is a body that does not inflate. */
export function reasonOfStatus(status: number): RefusalReason {
  return BY_STATUS.get(status) ?? "unsupported";
}

/** Why an item of an accepted request was refused. */
export type ItemReason = "forbidden_service" | "invalid_id" | "invalid_time" | "invalid_value";

/** How the pipeline begins what it says of items that were set aside for their time. */
const SET_ASIDE = /(?:^|; )(\d+) items? (?:was|were) refused for the time sent/;
/** The same of items of services that the key may not send. */
const FOREIGN = /(?:^|; )(\d+) items? (?:was|were) refused for the service\.name/;
/** What decoders say of ids: of the part of the message before anything else. */
const ID_FAULT = /\bids? must\b/;

/** The refused items of an answer by reason; the counts add up to `rejected_items`. */
export function itemReasons(
  rejected_items: number,
  message: string,
): readonly (readonly [ItemReason, number])[] {
  if (rejected_items === 0) return [];
  const foreign = Math.min(Number(FOREIGN.exec(message)?.[1] ?? 0), rejected_items);
  const [whole = "", count = "0"] = SET_ASIDE.exec(message) ?? [];
  const untimely = Math.min(Number(count), rejected_items - foreign);
  const rest = rejected_items - foreign - untimely;
  const [first = ""] = message
    .slice(whole === "" ? 0 : message.indexOf(whole) + whole.length)
    .split("; ")
    .filter((note) => / must /.test(note));
  const fault: ItemReason = ID_FAULT.test(first) ? "invalid_id" : "invalid_value";
  return [
    ...(foreign > 0 ? ([["forbidden_service", foreign]] as const) : []),
    ...(untimely > 0 ? ([["invalid_time", untimely]] as const) : []),
    ...(rest > 0 ? ([[fault, rest]] as const) : []),
  ];
}
