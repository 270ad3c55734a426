/** `spanledger migrate [--status]`: brings the database to the schema of this version. */
import { migrate, migrationStatus } from "../clickhouse/migrate.ts";
import { readSettings } from "./config.ts";
import { openEngine } from "./engine.ts";

/** Runs the command; resolves with the exit code. */
export async function runMigrate(argv: readonly string[]): Promise<number> {
  const [option, ...rest] = argv;
  if (rest.length > 0 || (option !== undefined && option !== "--status")) {
    process.stderr.write("usage: spanledger migrate [--status]\n");
    return 2;
  }
  const engine = await openEngine(readSettings());
  try {
    if (option === "--status") {
      for (const { name, applied } of await migrationStatus(engine)) {
        process.stdout.write(`${applied ? "applied" : "pending"}  ${name}\n`);
      }
      return 0;
    }
    const applied = await migrate(engine);
    for (const name of applied) process.stdout.write(`applied  ${name}\n`);
    if (applied.length === 0) process.stdout.write("nothing to apply\n");
    return 0;
  } finally {
    await engine.close();
  }
}
