/**
 * The first question of ClickHouse's Go client, which Grafana's data source is made with: who is there,
 * and which revision of the protocol does it speak?
 *
 * Invariant: the answer says revision 0, so the client reads all that follows as plain Native, which is
 * what the embedded engine writes. This one answer it reads as the revision that it asked with.
 */

/** The question, in the engine's form. */
export const HELLO = "SELECT displayName(), version(), revision(), timezone()";

/** From this revision on a block begins with what the server says of it. */
const BLOCK_INFO_REVISION = 1;
/** From this revision on each column says whether its serialization is a special one. */
const CUSTOM_SERIALIZATION_REVISION = 54_454;
/** Block info: not an overflow block (field 1), no bucket (field 2, -1), end. */
const BLOCK_INFO = Uint8Array.of(1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0);

/** The answer as one Native block of a revision: the name is ours, the time zone UTC. */
export function writeHello(version: string, revision: number): Uint8Array {
  const parts: Uint8Array[] = revision >= BLOCK_INFO_REVISION ? [BLOCK_INFO] : [];
  const columns: readonly (readonly [string, string, Uint8Array])[] = [
    ["displayName()", "String", text("spanledger")],
    ["version()", "String", text(version)],
    ["revision()", "UInt32", new Uint8Array(4)],
    ["timezone()", "String", text("UTC")],
  ];
  parts.push(Uint8Array.of(columns.length, 1));
  for (const [name, type, value] of columns) {
    parts.push(text(name), text(type));
    if (revision >= CUSTOM_SERIALIZATION_REVISION) parts.push(Uint8Array.of(0));
    parts.push(value);
  }
  return Buffer.concat(parts);
}

/** A string of fewer than 128 bytes with its length in front. */
function text(value: string): Uint8Array {
  const bytes = Buffer.from(value.slice(0, 100), "ascii");
  return Buffer.concat([Uint8Array.of(bytes.length), bytes]);
}
