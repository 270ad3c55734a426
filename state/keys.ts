/**
 * What is done to stored keys: made, replaced, revoked. Who may do so is asked before; here is only what
 * a maker may give away.
 *
 * Invariant: no key is stored that has more than its maker; a key that was revoked stays so.
 */
import type { Actor } from "../schemas/access.ts";
import { makeKey } from "../schemas/keys.ts";
import type { Key, StateObject, StateScope } from "../schemas/state.ts";
import type { StateStore } from "./store.ts";

/** What a maker asks for. */
export type WantedKey = Pick<
  Key,
  | "organization_id"
  | "project_id"
  | "name"
  | "scopes"
  | "expires_at"
  | "allowed_service_name"
  | "member_id"
>;

/** A key that was just made: what is stored, and the key, which is not. */
export interface MadeKey {
  readonly object: StateObject<"key">;
  readonly key: string;
}

/** Why a maker may not give away what a key would have; null when it may. */
export function findExcess(
  state: StateStore,
  maker: Actor,
  wanted: Pick<WantedKey, "scopes" | "allowed_service_name">,
): string | null {
  const { scopes } = maker;
  const missing = wanted.scopes.find(
    (scope) => !scopes.includes(scope) && !(scope === "read" && scopes.includes("admin")),
  );
  if (missing !== undefined) {
    return `Your key lacks the scope ${missing}, so it cannot give it to another.`;
  }
  const own = maker.kind === "key" ? state.find("key", maker.id)?.body : undefined;
  const service = own?.allowed_service_name ?? null;
  if (service === null || !wanted.scopes.includes("ingest")) return null;
  return wanted.allowed_service_name === service
    ? null
    : `Your key may send only that of one service; give the new one the same allowed_service_name.`;
}

/** Makes and stores a key. Rejects as `StateStore.put`. */
export async function storeKey(
  state: StateStore,
  maker: Actor,
  wanted: WantedKey,
  now_ms: number,
): Promise<MadeKey> {
  const { key, key_id, sha256 } = makeKey();
  const body: Key = {
    key_id,
    organization_id: wanted.organization_id,
    project_id: wanted.project_id,
    member_id: wanted.member_id,
    name: wanted.name,
    scopes: wanted.scopes,
    sha256,
    allowed_service_name: wanted.allowed_service_name,
    created_at: new Date(now_ms).toISOString(),
    created_by: maker.kind === "operator" ? "operator" : maker.id,
    expires_at: wanted.expires_at,
    revoked_at: null,
    replaced_by: null,
  };
  return { object: await state.put("key", key_id, scopeOf(body), body, 0), key };
}

/** When the key that replaces another ends: it lives as long as the other was meant to. */
export function renewedExpiry({ created_at, expires_at }: Key, now_ms: number): string | null {
  if (expires_at === null) return null;
  const lifetime_ms = Date.parse(expires_at) - Date.parse(created_at);
  return new Date(now_ms + lifetime_ms).toISOString();
}

/**
 * Makes a key like another, which then ends after the overlap, or sooner if it would have. Rejects with
 * RetryableError("state_changed") when the other changed meanwhile; then nothing is left of it.
 */
export async function replaceKey(
  state: StateStore,
  maker: Actor,
  old: StateObject<"key">,
  { overlap_ms, expires_at }: { readonly overlap_ms: number; readonly expires_at: string | null },
  now_ms: number,
): Promise<MadeKey> {
  const made = await storeKey(state, maker, { ...old.body, expires_at }, now_ms);
  const end_ms = Math.min(
    now_ms + overlap_ms,
    old.body.expires_at === null ? Infinity : Date.parse(old.body.expires_at),
  );
  const body: Key = {
    ...old.body,
    expires_at: new Date(end_ms).toISOString(),
    // An end holds for a minute more, as clocks differ; at once is a revocation.
    revoked_at: overlap_ms === 0 ? new Date(now_ms).toISOString() : null,
    replaced_by: made.object.object_id,
  };
  try {
    await state.put("key", old.object_id, scopeOf(old.body), body, old.version);
  } catch (error) {
    // Nobody has seen it; a key that nobody has would stay for ever.
    await state.remove("key", made.object.object_id);
    throw error;
  }
  return made;
}

/** Revokes a key; one that is revoked already stays as it is. */
export async function revokeKey(
  state: StateStore,
  known: StateObject<"key">,
  now_ms: number,
): Promise<StateObject<"key">> {
  if (known.body.revoked_at !== null) return known;
  const body: Key = { ...known.body, revoked_at: new Date(now_ms).toISOString() };
  return state.put("key", known.object_id, scopeOf(body), body, known.version);
}

function scopeOf({ organization_id, project_id }: Key): StateScope {
  return { organization_id, project_id };
}
