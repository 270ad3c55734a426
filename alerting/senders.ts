/**
 * The senders of an installation, one for each kind of channel, with what its settings allow.
 *
 * Invariant: where a channel may lead is decided here alone, when it is stored and again when it is sent to.
 */
import type { Settings } from "../schemas/settings.ts";
import {
  parseTarget,
  RefusedTarget,
  resolveAll,
  resolveTarget,
  type TargetPolicy,
} from "./delivery/guard.ts";
import { sendSlack } from "./delivery/slack.ts";
import { makeSmtpSender, type SmtpOptions } from "./delivery/smtp.ts";
import type { Letter, Outcome, Sender } from "./delivery/sender.ts";
import { sendWebhook } from "./delivery/webhook.ts";
import type { ChannelKind } from "../schemas/notices.ts";

/** What the settings say of delivery. */
export interface SenderOptions {
  readonly allow_private: boolean;
  readonly smtp: SmtpOptions | null;
  readonly resolve?: TargetPolicy["resolve"];
}

/** Sends notices, and tells beforehand what could not be sent. */
export interface Senders {
  /** Makes one attempt; rejects only when the signal of the letter ended it. */
  readonly send: (letter: Letter) => Promise<Outcome>;
  /** Why a URL could not be sent to, as a sentence; null when it can. */
  readonly refuse: (url: string) => Promise<string | null>;
  readonly can_email: boolean;
}

/** Makes the senders. */
export function makeSenders(options: SenderOptions): Senders {
  const policy: TargetPolicy = {
    allow_private: options.allow_private,
    resolve: options.resolve ?? resolveAll,
  };
  const by_kind: Readonly<Record<ChannelKind, Sender>> = {
    webhook: (letter) => sendWebhook(letter, policy),
    slack: (letter) => sendSlack(letter, policy),
    email: options.smtp === null ? sendNowhere : makeSmtpSender(options.smtp),
  };
  return {
    send: (letter) => by_kind[letter.channel.kind](letter),
    refuse: (url) => refuseTarget(url, policy),
    can_email: options.smtp !== null,
  };
}

/** The options that settings mean. */
export function senderOptions(settings: Settings): SenderOptions {
  const { SPANLEDGER_SMTP_URL: url, SPANLEDGER_SMTP_FROM: from } = settings;
  return {
    allow_private: settings.SPANLEDGER_ALERTS_ALLOW_PRIVATE,
    smtp: url === null ? null : { url, from },
  };
}

async function sendNowhere(): Promise<Outcome> {
  return { is_delivered: false, status_code: null, error: "smtp_not_set", is_final: false };
}

async function refuseTarget(text: string, policy: TargetPolicy): Promise<string | null> {
  try {
    const url = parseTarget(text, policy);
    // Where anything is allowed a name may also come to life later.
    if (!policy.allow_private) await resolveTarget(url, policy);
    return null;
  } catch (error) {
    if (error instanceof RefusedTarget) return error.message;
    throw error;
  }
}
