/**
 * The certificate that the receivers show, and the authority that senders' certificates must come from.
 *
 * Invariant: a certificate that cannot be used ends the start with what to do; no receiver falls back
 * to plain text.
 */
import { createSecureContext, type TlsOptions } from "node:tls";
import { messageOf, PermanentError } from "../../schemas/errors.ts";

/** The contents of PEM files. */
export interface TlsFiles {
  readonly cert: Buffer;
  readonly key: Buffer;
  /** Senders must show a certificate of this authority; null: they need none. */
  readonly client_ca: Buffer | null;
}

/** Throws PermanentError("bad_tls") when a server cannot be run with the files. */
export function checkTls(files: TlsFiles): void {
  try {
    createSecureContext(tlsOptions(files));
  } catch (error) {
    throw new PermanentError(
      "bad_tls",
      "SPANLEDGER_TLS_CERT_FILE, SPANLEDGER_TLS_KEY_FILE or SPANLEDGER_TLS_CLIENT_CA_FILE cannot " +
        `be used: ${messageOf(error)}. They must be PEM files, and the key that of the certificate.`,
      { cause: error },
    );
  }
}

/** The options that servers of node:tls and node:https take. */
export function tlsOptions({ cert, key, client_ca }: TlsFiles): TlsOptions {
  return client_ca === null
    ? { cert, key }
    : { cert, key, ca: client_ca, requestCert: true, rejectUnauthorized: true };
}
