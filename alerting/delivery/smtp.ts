/**
 * Notices as e-mail, by the SMTP server of the settings.
 *
 * Invariant: a password goes only over TLS, or to this machine itself; nothing of a notice becomes a header
 * but its title, on one line.
 */
import { createTransport } from "nodemailer";
import { ATTEMPT_TIMEOUT_MS } from "./http.ts";
import type { Letter, Outcome, Sender } from "./sender.ts";

/** The server, and whom the mails are from. */
export interface SmtpOptions {
  /** smtp://user:password@host:587, or smtps:// for TLS from the start. */
  readonly url: string;
  /** An address, or `Name <address>`. */
  readonly from: string;
  readonly timeout_ms?: number;
}

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;
const DEFAULT_PORTS = { smtp: 587, smtps: 465 } as const;
/** Characters of a subject. */
const MAX_SUBJECT_LENGTH = 200;

/** Makes the sender of e-mail. */
export function makeSmtpSender({ url: text, from, timeout_ms }: SmtpOptions): Sender {
  const url = new URL(text);
  const secure = url.protocol === "smtps:";
  const limit_ms = timeout_ms ?? ATTEMPT_TIMEOUT_MS;
  const user = decodeURIComponent(url.username);
  const pass = decodeURIComponent(url.password);
  const options = {
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: Number(url.port === "" ? DEFAULT_PORTS[secure ? "smtps" : "smtp"] : url.port),
    secure,
    ...(user === "" ? {} : { auth: { user, pass }, requireTLS: !LOOPBACK.test(url.hostname) }),
    connectionTimeout: limit_ms,
    greetingTimeout: limit_ms,
    socketTimeout: limit_ms,
    dnsTimeout: limit_ms,
    disableFileAccess: true,
    disableUrlAccess: true,
  };
  return (letter) => sendMail(letter, options, from, limit_ms);
}

async function sendMail(
  { channel, notice, delivery_id, signal }: Letter,
  options: object,
  from: string,
  limit_ms: number,
): Promise<Outcome> {
  signal.throwIfAborted();
  const transport = createTransport(options);
  const ended = Promise.withResolvers<never>();
  const deadline = setTimeout(() => ended.reject({ code: "ETIMEDOUT" }), limit_ms);
  const abort = () => ended.reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    const sent = transport.sendMail({
      from,
      to: [...channel.to],
      subject: oneLine(notice.title).slice(0, MAX_SUBJECT_LENGTH),
      text: `${notice.text}\n\nProject ${notice.project_id}, notice ${notice.notice_id}\n`,
      messageId: `<${delivery_id}@spanledger>`,
      headers: { "X-Spanledger-Delivery": delivery_id, "Auto-Submitted": "auto-generated" },
    });
    await Promise.race([sent, ended.promise]);
    return { is_delivered: true, status_code: 250 };
  } catch (error) {
    signal.throwIfAborted();
    return failureOf(error);
  } finally {
    clearTimeout(deadline);
    signal.removeEventListener("abort", abort);
    transport.close();
  }
}

/** Control characters would begin another header, or another line of a log. */
function oneLine(text: string): string {
  return text.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, " ");
}

/** Words for what SMTP answers; its own text might quote what was sent. */
const WORDS: Readonly<Record<string, string>> = {
  EAUTH: "smtp_login_refused",
  EENVELOPE: "smtp_recipient_refused",
  ETLS: "tls",
  ETIMEDOUT: "timeout",
  EDNS: "unknown_host",
  ECONNECTION: "connection_refused",
  ESOCKET: "connection_refused",
};

/** All is tried again: a mailbox that is full, and a password that is wrong, may be mended. */
function failureOf(error: unknown): Outcome {
  const { code, responseCode } = (error ?? {}) as { code?: unknown; responseCode?: unknown };
  const status_code = typeof responseCode === "number" ? responseCode : null;
  const known = Object.hasOwn(WORDS, String(code)) ? WORDS[String(code)] : undefined;
  const word = known ?? (status_code === null ? "failed" : `smtp_${status_code}`);
  return { is_delivered: false, status_code, error: word, is_final: false };
}
