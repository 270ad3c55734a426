/**
 * Notices as JSON to a URL, signed with the secret of the channel.
 *
 * Invariant: the signature is over the time and the very bytes that are sent, so that neither can be
 * changed, and an old body not be sent again as a new one.
 */
import { createHmac } from "node:crypto";
import type { TargetPolicy } from "./guard.ts";
import { post } from "./http.ts";
import type { Letter, Outcome } from "./sender.ts";

/** What our requests call themselves. */
export const USER_AGENT = "Spanledger";

/**
 * The value of `x-spanledger-signature`: `t=<Unix seconds>,v1=<HMAC-SHA256 of "t.body", hex>`. Receivers
 * make the same and compare, and refuse a time that is long past.
 */
export function signBody(secret: string, unix_s: number, body: string): string {
  const digest = createHmac("sha256", secret).update(`${unix_s}.${body}`).digest("hex");
  return `t=${unix_s},v1=${digest}`;
}

/** Posts a notice to a webhook. */
export function sendWebhook(letter: Letter, policy: TargetPolicy): Promise<Outcome> {
  const { channel, notice, delivery_id, now_ms, signal } = letter;
  const body = JSON.stringify({ delivery_id, ...notice });
  const signature =
    channel.secret === null
      ? {}
      : { "x-spanledger-signature": signBody(channel.secret, Math.floor(now_ms / 1000), body) };
  const headers = {
    "content-type": "application/json",
    "user-agent": USER_AGENT,
    "x-spanledger-delivery": delivery_id,
    "idempotency-key": delivery_id,
    ...signature,
  };
  return post({ url: channel.url ?? "", headers, body, signal }, policy);
}
