/**
 * Reads the files that OTLP is received with over TLS.
 *
 * Invariant: half a set of files is refused; nobody who asked for TLS gets plain text.
 */
import { readFileSync } from "node:fs";
import type { TlsFiles } from "../collector/collector.ts";
import { messageOf, PermanentError } from "../schemas/errors.ts";
import type { Settings } from "../schemas/settings.ts";

/** The files of the settings; null without them. Throws PermanentError that says what to do. */
export function readTls(settings: Settings): TlsFiles | null {
  const cert = readPem(settings, "SPANLEDGER_TLS_CERT_FILE");
  const key = readPem(settings, "SPANLEDGER_TLS_KEY_FILE");
  const client_ca = readPem(settings, "SPANLEDGER_TLS_CLIENT_CA_FILE");
  if (cert === null && key === null && client_ca === null) return null;
  if (cert === null || key === null) {
    throw new PermanentError(
      "bad_settings",
      "TLS needs both SPANLEDGER_TLS_CERT_FILE and SPANLEDGER_TLS_KEY_FILE.",
    );
  }
  return { cert, key, client_ca };
}

type FileSetting =
  | "SPANLEDGER_TLS_CERT_FILE"
  | "SPANLEDGER_TLS_KEY_FILE"
  | "SPANLEDGER_TLS_CLIENT_CA_FILE";

function readPem(settings: Settings, name: FileSetting): Buffer | null {
  const file = settings[name];
  if (file === null) return null;
  try {
    return readFileSync(file);
  } catch (error) {
    throw new PermanentError("bad_settings", `${name} cannot be read: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
