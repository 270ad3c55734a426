/**
 * `/v1/audit`: who did what, newest first, and whether the log is whole.
 *
 * Invariant: an owner reads the acts on its own organization; the chains, which go over all of them, are
 * the operator's.
 */
import type { Engine } from "../../clickhouse/engine.ts";
import { loadQuery } from "../../clickhouse/queries.ts";
import {
  AuditAnswer,
  AuditQuery,
  type AuditRecord,
  AuditVerifyAnswer,
} from "../../schemas/api-tenancy.ts";
import { hashEntry } from "../../state/audit.ts";
import { resolveAuditRange } from "../audit.ts";
import { invalidCursor } from "../page.ts";
import { type ApiRequest, defineRoute, type Route } from "../route.ts";

const DEFAULT_LIMIT = 100;

interface StoredEntry {
  readonly entry_id: string;
  readonly at_ms: string;
  readonly organization_id: string;
  readonly project_id: string;
  readonly actor_kind: string;
  readonly actor_id: string;
  readonly actor_name: string;
  readonly action: string;
  readonly object_kind: string;
  readonly object_id: string;
  readonly outcome: string;
  readonly detail: string;
  readonly remote_address: string;
  readonly request_id: string;
}

/** Answers a page of the acts on these organizations, or (null) on all there is. */
export async function answerAudit(
  engine: Engine,
  organizations: readonly string[] | null,
  query: AuditQuery,
): Promise<AuditAnswer> {
  const cursor = query.cursor === undefined ? null : readCursor(query.cursor);
  const limit = query.limit ?? DEFAULT_LIMIT;
  const rows = await engine.query<StoredEntry>(loadQuery("select_audit_entries"), {
    is_everywhere: organizations === null ? 1 : 0,
    organizations: organizations ?? [],
    ...resolveAuditRange(query),
    actor: query.actor ?? "",
    action: query.action ?? "",
    object: query.object ?? "",
    outcome: query.outcome ?? "",
    cursor_ms: cursor?.at_ms ?? 0,
    cursor_entry_id: cursor?.entry_id ?? "",
    limit: limit + 1,
  });
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  return {
    entries: page.map((row) => viewEntry(row)),
    next_cursor:
      rows.length > limit && last !== undefined ? writeCursor(last.at_ms, last.entry_id) : null,
  };
}

function viewEntry(row: StoredEntry): AuditRecord {
  return {
    entry_id: row.entry_id,
    at: new Date(Number(row.at_ms)).toISOString(),
    organization_id: row.organization_id === "" ? null : row.organization_id,
    project_id: row.project_id === "" ? null : row.project_id,
    actor: { kind: row.actor_kind, id: row.actor_id, name: row.actor_name },
    action: row.action,
    object: { kind: row.object_kind, id: row.object_id },
    outcome: row.outcome,
    detail: readDetail(row.detail),
    remote_address: row.remote_address,
    request_id: row.request_id,
  };
}

/** A detail that was too long was cut, and is no longer JSON. */
function readDetail(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return { cut: text };
  }
}

function writeCursor(at_ms: string | number, entry_id: string): string {
  return Buffer.from(`${at_ms}:${entry_id}`).toString("base64url");
}

function readCursor(text: string): { at_ms: number; entry_id: string } {
  const match = /^(\d{1,15}):([0-9a-f-]{36})$/.exec(Buffer.from(text, "base64url").toString());
  const at_ms = Number(match?.[1]);
  const entry_id = match?.[2] ?? "";
  if (match === null || writeCursor(at_ms, entry_id) !== text) throw invalidCursor();
  return { at_ms, entry_id };
}

interface ChainedEntry extends StoredEntry {
  readonly writer_id: string;
  readonly sequence: string;
  readonly previous_sha256: string;
  readonly sha256: string;
}

/** Entries read at once, and in all, when the log is verified. */
const VERIFY_PAGE = 10_000;
export const MAX_VERIFIED_ENTRIES = 1_000_000;
/** Breaks that are told. */
const MAX_BREAKS = 100;

/**
 * Recomputes the chains of all writers. An entry that was changed, or that one is missing before, is told;
 * entries cut off at the end of a chain leave no trace in it. A writer that did not learn whether an entry
 * was stored writes the next one with the same number: both are well.
 */
export async function verifyAudit(engine: Engine): Promise<AuditVerifyAnswer> {
  const found: AuditVerifyAnswer["breaks"] = [];
  const writers = new Set<string>();
  const chain = new Chain();
  let entries = 0;
  let after = { after_writer_id: "", after_sequence: "0", after_entry_id: "" };
  for (;;) {
    const limit = Math.min(VERIFY_PAGE, MAX_VERIFIED_ENTRIES - entries);
    const rows =
      limit === 0
        ? []
        : await engine.query<ChainedEntry>(loadQuery("select_audit_chains"), { ...after, limit });
    for (const row of rows) {
      writers.add(row.writer_id);
      const problem = chain.take(row);
      if (problem === null || found.length === MAX_BREAKS) continue;
      const { writer_id, sequence, entry_id } = row;
      found.push({ writer_id, sequence: Number(sequence), entry_id, problem });
    }
    entries += rows.length;
    const last = rows.at(-1);
    if (last === undefined || rows.length < limit) break;
    after = {
      after_writer_id: last.writer_id,
      after_sequence: last.sequence,
      after_entry_id: last.entry_id,
    };
  }
  return {
    is_whole: found.length === 0,
    is_complete: entries < MAX_VERIFIED_ENTRIES,
    entries,
    writers: writers.size,
    breaks: found,
  };
}

/** Follows the entries of one writer after the other, in the order of their numbers. */
class Chain {
  #writer_id: string | null = null;
  #sequence = 0;
  /** Hashes of the entries that have the number `#sequence`, and the one before it. */
  #hashes = new Set<string>([""]);
  #earlier = new Set<string>();

  take(row: ChainedEntry): "changed" | "missing_before" | null {
    if (row.writer_id !== this.#writer_id) {
      this.#writer_id = row.writer_id;
      this.#sequence = 0;
      this.#hashes = new Set([""]);
      this.#earlier = new Set();
    }
    const sequence = Number(row.sequence);
    if (sequence > this.#sequence) {
      this.#earlier = sequence === this.#sequence + 1 ? this.#hashes : new Set();
      this.#hashes = new Set();
      this.#sequence = sequence;
    }
    this.#hashes.add(row.sha256);
    const { at_ms, ...texts } = row;
    if (hashEntry({ ...texts, sequence, at_ms: Number(at_ms) }) !== row.sha256) return "changed";
    return this.#earlier.has(row.previous_sha256) ? null : "missing_before";
  }
}

/** The organizations whose acts are asked for; null: all, of an operator that names none. */
function organizationsOf({
  actor,
  organization_id,
  query,
}: Pick<ApiRequest<AuditQuery>, "actor" | "organization_id" | "query">): string[] | null {
  const is_everywhere = actor.kind === "operator" && query.organization === undefined;
  return is_everywhere ? null : [organization_id];
}

/** The audit log. */
export const AUDIT_ROUTES: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/audit",
    summary: "Administrative acts, newest first, those that were refused too",
    description:
      "An operator that names no organization sees those on all, and on the installation.",
    tag: "Audit log",
    action: "audit:read",
    of: "organization",
    query: AuditQuery,
    answer: AuditAnswer,
    handle: (request) =>
      answerAudit(request.services.engine, organizationsOf(request), request.query),
  }),
  defineRoute({
    method: "GET",
    path: "/v1/audit/verify",
    summary: "Whether an entry of the audit log was changed or removed",
    tag: "Audit log",
    action: "installation:manage",
    of: "installation",
    answer: AuditVerifyAnswer,
    errors: [504],
    handle: ({ services }) => verifyAudit(services.engine),
  }),
];
