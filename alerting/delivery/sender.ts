/**
 * What a channel of each kind does with a notice: a webhook, Slack, e-mail.
 *
 * Invariant: a sender makes one attempt and tells how it went; who repeats it is elsewhere.
 */
import type { Channel, Notice } from "../../schemas/notices.ts";

/** How one attempt went. `is_final`: another one would go the same way. */
export type Outcome =
  | { readonly is_delivered: true; readonly status_code: number | null }
  | {
      readonly is_delivered: false;
      readonly status_code: number | null;
      /** One word. */
      readonly error: string;
      readonly is_final: boolean;
      /** What the receiver asks for, ms. */
      readonly retry_after_ms?: number;
    };

/** One notice for one channel. */
export interface Letter {
  readonly channel: Channel;
  readonly notice: Notice;
  /** The same for every attempt: receivers drop what they have. */
  readonly delivery_id: string;
  readonly now_ms: number;
  /** Ends the attempt without an outcome; then it rejects. */
  readonly signal: AbortSignal;
}

/** Makes one attempt; rejects only when the signal ended it. */
export type Sender = (letter: Letter) => Promise<Outcome>;
