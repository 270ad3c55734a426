/**
 * Certificates for tests, made by openssl: an authority `ca` with certificates `server` for 127.0.0.1
 * and `client`, and an authority `other` that nobody should trust. Each is NAME.pem with NAME.key.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
const SIGNED = [
  "-CA",
  "ca.pem",
  "-CAkey",
  "ca.key",
  "-addext",
  "subjectAltName=IP:127.0.0.1",
  "-addext",
  "basicConstraints=critical,CA:FALSE",
];

export interface Certificates {
  readonly path: (file: string) => string;
  readonly read: (file: string) => Buffer;
  readonly remove: () => void;
}

/** Makes them in a folder of their own. */
export function makeCertificates(): Certificates {
  const folder = mkdtempSync(join(tmpdir(), "spanledger-tls-"));
  const certify = (name: string, ...words: readonly string[]) => {
    const files = ["-keyout", `${name}.key`, "-out", `${name}.pem`];
    const { status, stderr } = spawnSync(
      "openssl",
      ["req", "-x509", ...NEW_KEY, ...files, "-days", "2", "-subj", `/CN=${name}`, ...words],
      { cwd: folder },
    );
    if (status !== 0) throw new Error(`openssl failed: ${String(stderr)}`);
  };
  for (const name of ["ca", "other"]) certify(name);
  for (const name of ["server", "client"]) certify(name, ...SIGNED);
  return {
    path: (file) => join(folder, file),
    read: (file) => readFileSync(join(folder, file)),
    remove: () => rmSync(folder, { recursive: true }),
  };
}
