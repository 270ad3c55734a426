/** A real embedded ClickHouse for tests, in a directory that goes away with it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openEmbedded } from "../../clickhouse/embedded.ts";
import { DEFAULT_ENGINE_LIMITS, type Engine } from "../../clickhouse/engine.ts";
import { migrate } from "../../clickhouse/migrate.ts";

export interface TestEngine {
  readonly engine: Engine;
  readonly directory: string;
  close(): Promise<void>;
}

/** Opens an engine with the newest schema. One per test process: chdb binds one directory. */
export async function openTestEngine(): Promise<TestEngine> {
  const directory = mkdtempSync(join(tmpdir(), "spanledger-engine-"));
  const engine = await openEmbedded({
    directory: join(directory, "clickhouse"),
    database: "spanledger",
    limits: DEFAULT_ENGINE_LIMITS,
    memory_bytes: 2 * 1024 ** 3,
    read_sessions: 4,
  });
  await migrate(engine);
  return {
    engine,
    directory,
    async close() {
      await engine.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
