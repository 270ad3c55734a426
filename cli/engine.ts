/** Opens the engine that the settings name: a server, or ClickHouse in this process. */
import { join } from "node:path";
import { DEFAULT_READ_SESSIONS, openEmbedded } from "../clickhouse/embedded.ts";
import { DEFAULT_ENGINE_LIMITS, type Engine } from "../clickhouse/engine.ts";
import { openServer } from "../clickhouse/server.ts";
import { PermanentError } from "../schemas/errors.ts";
import type { Settings } from "../schemas/settings.ts";
import { prepareDataDirectory } from "./data-directory.ts";

/** Name of the database, embedded and on a server whose URL names none. */
export const DATABASE = "spanledger";

export async function openEngine(settings: Settings): Promise<Engine> {
  const limits = {
    ...DEFAULT_ENGINE_LIMITS,
    query_timeout_s: settings.SPANLEDGER_QUERY_TIMEOUT_S,
  };
  const url = settings.SPANLEDGER_CLICKHOUSE_URL;
  if (url !== null) return openServer({ url, limits });
  prepareDataDirectory(settings.SPANLEDGER_DATA_DIR);
  return openEmbedded({
    directory: join(settings.SPANLEDGER_DATA_DIR, "clickhouse"),
    database: DATABASE,
    limits,
    memory_bytes: settings.SPANLEDGER_ENGINE_MEMORY_BYTES,
    read_sessions: DEFAULT_READ_SESSIONS,
  });
}

/** Two programs share an engine only when it is a server. */
export function requireServer(settings: Settings, program: string): void {
  if (settings.SPANLEDGER_CLICKHOUSE_URL !== null) return;
  throw new PermanentError(
    "needs_server",
    `"spanledger ${program}" alone needs a ClickHouse server: set SPANLEDGER_CLICKHOUSE_URL. ` +
      'With the embedded engine run "spanledger serve", which is both programs in one.',
  );
}
