/**
 * Requests and answers about keys.
 *
 * Invariant: no answer has the hash of a key; the key itself is in the answer that makes it and nowhere
 * else. Bodies are strict: whose a key is comes from the route and never from them, but for the member.
 */
import { z } from "zod";
import { Key } from "./state.ts";

/** Longest that both keys of a rotation hold, seconds: 30 days. */
export const MAX_OVERLAP_S = 30 * 86_400;
/** How long both hold when nobody says, seconds: a day. */
export const DEFAULT_OVERLAP_S = 86_400;

const { sha256: _secret, ...shown } = Key.shape;

export const KEY_STATUSES = ["active", "expired", "revoked"] as const;

/** A key as it is answered. */
export const KeyView = z.object({
  ...shown,
  status: z.enum(KEY_STATUSES),
  last_used_at: z.iso
    .datetime()
    .nullable()
    .describe("Rounded down to the hour, and up to an hour late; null when it was not used yet"),
});
export type KeyView = z.infer<typeof KeyView>;

export const KeysAnswer = z.object({
  keys: z.array(KeyView),
  next_cursor: z.string().nullable().describe("null on the last page"),
});
export type KeysAnswer = z.infer<typeof KeysAnswer>;

/** The answer that shows a key, once. */
export const NewKeyAnswer = z.object({
  ...KeyView.shape,
  key: z.string().describe("The key itself. It is shown here and never again."),
});
export type NewKeyAnswer = z.infer<typeof NewKeyAnswer>;

export const KeyCreate = z.strictObject({
  name: Key.shape.name,
  scopes: Key.shape.scopes.refine(
    (scopes) => new Set(scopes).size === scopes.length,
    "must not repeat a scope",
  ),
  expires_at: Key.shape.expires_at.optional().describe("null or left out: never"),
  allowed_service_name: Key.shape.allowed_service_name.optional(),
  member_id: Key.shape.member_id
    .optional()
    .describe(
      "Member whose key it is: it then has no more than the member's role, and goes with it",
    ),
});
export type KeyCreate = z.infer<typeof KeyCreate>;

export const KeyRotate = z.strictObject({
  overlap_s: z
    .number()
    .int()
    .min(0)
    .max(MAX_OVERLAP_S)
    .optional()
    .describe(`How long the old key still holds; ${DEFAULT_OVERLAP_S} when it is not given`),
  expires_at: Key.shape.expires_at
    .optional()
    .describe("Of the new key; when it is left out it lives as long as the old one was meant to"),
});
export type KeyRotate = z.infer<typeof KeyRotate>;
