/** From an act of a request to the row of the audit log that remembers it. */
import { MAX_INSTANT_MS } from "../schemas/api-parts.ts";
import type { AuditLog } from "../state/audit.ts";
import { ApiError } from "./errors.ts";
import type { AuditEntry } from "./route.ts";

/** Writes an act down; resolves when it is durable. */
export function writeAudit(log: AuditLog, entry: AuditEntry, now_ms: number): Promise<void> {
  const { actor } = entry;
  return log.write({
    organization_id: entry.organization_id ?? "",
    project_id: entry.project_id ?? "",
    at_ms: now_ms,
    actor_kind: actor.kind,
    actor_id: actor.id,
    actor_name: actor.name,
    action: entry.action,
    object_kind: entry.object_kind,
    object_id: entry.object_id,
    outcome: entry.outcome,
    detail: JSON.stringify(entry.detail ?? {}),
    remote_address: entry.remote_address ?? "",
    request_id: entry.request_id ?? "",
  });
}

/** The range of a question about the log, Unix ms, `to_ms` exclusive; all of it without bounds. */
export function resolveAuditRange(query: {
  readonly from?: number | undefined;
  readonly to?: number | undefined;
}): { from_ms: number; to_ms: number } {
  const { from: from_ms = 0, to: to_ms = MAX_INSTANT_MS } = query;
  if (from_ms < to_ms) return { from_ms, to_ms };
  const message = "from must lie before to";
  throw new ApiError(400, "invalid_range", message, [{ path: "from", message }]);
}
