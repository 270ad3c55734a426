/**
 * For the tests of this folder: stores on a table in memory that several share, with a clock and an
 * engine that can be away, and keys in them.
 */
import type { Engine } from "../clickhouse/engine.ts";
import { RetryableError } from "../schemas/errors.ts";
import { makeKey } from "../schemas/keys.ts";
import type { Key, Member, Project } from "../schemas/state.ts";
import type { SnapshotFile } from "./snapshot.ts";
import { StateStore } from "./store.ts";

export const NOW_MS = Date.UTC(2026, 10, 21, 12);
export const NO_LOG = { info: () => {}, warn: () => {}, error: () => {} };

/** A table `state_objects` in memory, and what it does when asked. */
export interface Laboratory {
  /** Unix ms. */
  now_ms: number;
  /** Whether ClickHouse does not answer. */
  is_away: boolean;
  readonly engine: Engine;
  /** A store of its own process. */
  openStore(snapshot?: SnapshotFile | null): StateStore;
}

export function makeLaboratory(): Laboratory {
  const rows: Record<string, unknown>[] = [];
  const fail = () => {
    throw new RetryableError("clickhouse_unavailable", "The ClickHouse server does not answer.");
  };
  const laboratory: Laboratory = {
    now_ms: NOW_MS,
    is_away: false,
    engine: {
      kind: "server",
      query: async () => (laboratory.is_away ? fail() : [...rows]),
      command: async (_sql: string, params: Record<string, unknown>) => {
        if (laboratory.is_away) fail();
        rows.push({ ...params, written_ms: String(laboratory.now_ms) });
      },
    } as unknown as Engine,
    openStore: (snapshot = null) =>
      new StateStore({
        engine: laboratory.engine,
        log: NO_LOG,
        now_ms: () => laboratory.now_ms,
        refresh_ms: 3_600_000,
        snapshot,
      }),
  };
  return laboratory;
}

/** A snapshot in memory. */
export function makeSnapshot(): SnapshotFile & { writes: number } {
  let text: string | null = null;
  const file = {
    writes: 0,
    read: async () => (text === null ? null : JSON.parse(text)),
    write: async (snapshot: object) => {
      file.writes += 1;
      text = JSON.stringify(snapshot);
    },
  };
  return file;
}

/** Stores a key of the project "shop" in the organization "acme"; returns the key. */
export async function addKey(
  state: StateStore,
  changes: Partial<Key> = {},
): Promise<{ key: string; key_id: string }> {
  const { key, key_id, sha256 } = makeKey();
  const body: Key = {
    key_id,
    organization_id: "acme",
    project_id: "shop",
    member_id: null,
    name: "a key",
    scopes: ["ingest", "read"],
    sha256,
    allowed_service_name: null,
    created_at: "2026-01-01T00:00:00.000Z",
    created_by: "operator",
    expires_at: null,
    revoked_at: null,
    replaced_by: null,
    ...changes,
  };
  const { organization_id, project_id } = body;
  await state.put("key", key_id, { organization_id, project_id }, body);
  return { key, key_id };
}

export async function addProject(
  state: StateStore,
  project_id: string,
  organization_id: string,
  limits: Partial<Project["limits"]> = {},
): Promise<void> {
  const none = { spans_per_second: null, bytes_per_second: null, monthly_spans: null };
  const body: Project = {
    project_id,
    organization_id,
    name: project_id,
    created_at: "2026-01-01T00:00:00.000Z",
    retention: { raw_days: null, content_days: null, rollup_days: null },
    limits: { ...none, ...limits },
  };
  await state.put("project", project_id, { organization_id, project_id }, body);
}

export async function addMember(state: StateStore, changes: Partial<Member> = {}): Promise<string> {
  const member_id = changes.member_id ?? "member-1";
  const body: Member = {
    member_id,
    organization_id: "acme",
    name: "Ada",
    email: "ada@acme.example",
    role: "viewer",
    project_roles: [],
    is_project_only: false,
    created_at: "2026-01-01T00:00:00.000Z",
    ...changes,
  };
  const scope = { organization_id: body.organization_id, project_id: null };
  await state.put("member", member_id, scope, body);
  return member_id;
}
