/**
 * How commands on the same machine speak to a running program: it listens on a loopback port of its own
 * and leaves the address and a token in a file that only its owner reads. The embedded engine is locked
 * while it runs, so a command could not open it.
 *
 * Invariant: the token is new at each start, opens that port alone, and the file goes with the program.
 */
import { renameSync, rmSync, writeFileSync } from "node:fs";
import type { Server } from "node:http";
import { join } from "node:path";
import { createAdaptorServer } from "@hono/node-server";
import { closeServer, listen } from "../collector/collector.ts";
import { type AppOptions, createApp } from "../query-api/app.ts";
import { type Identity, makeOperator } from "../schemas/access.ts";
import { hashKey, isDigest, keyOfHeaders, makeKey } from "../schemas/keys.ts";
import { LOCAL_ADMIN_FILE, readLocalAdmin } from "./ask.ts";
import { prepareDataDirectory } from "./data-directory.ts";

/** Only its owner reads it: who has it is the operator. */
const MODE = 0o600;
const LOOPBACK = { host: "127.0.0.1", port: 0 };

/** Serves commands of this machine; resolves with how to stop that. */
export async function serveLocalAdmin(
  data_dir: string,
  options: AppOptions,
): Promise<() => Promise<void>> {
  prepareDataDirectory(data_dir);
  const { key: token, sha256 } = makeKey();
  const authenticate = (headers: Readonly<Record<string, string>>): Identity => {
    const key = keyOfHeaders(headers);
    return key !== null && isDigest(hashKey(key), sha256)
      ? { actor: makeOperator(), expires_at_ms: null }
      : { problem: "unknown", message: "This port takes commands of the machine alone." };
  };
  const app = createApp({ ...options, authenticate, loopback_only: true });
  const server = createAdaptorServer({ fetch: app.fetch }) as Server;
  const address = await listen(server, LOOPBACK);
  const path = join(data_dir, LOCAL_ADMIN_FILE);
  const next = `${path}.next`;
  writeFileSync(next, `${JSON.stringify({ url: `http://${address}`, token })}\n`, { mode: MODE });
  renameSync(next, path);
  return async () => {
    // Another program of the same directory may have been started since.
    if (readLocalAdmin(data_dir)?.token === token) rmSync(path, { force: true });
    await closeServer(server);
  };
}
