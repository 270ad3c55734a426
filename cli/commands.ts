/**
 * The commands of `spanledger`, and the text that helps with them.
 */
import { SETTINGS, type Setting } from "../schemas/settings.ts";
import { ENVIRONMENT, VERSION } from "./config.ts";

export interface Command {
  readonly summary: string;
  /** Runs with the words behind the command; resolves with the exit code. */
  readonly run: (argv: readonly string[]) => Promise<number>;
}

/** A program takes no words of its own: it is set up by SPANLEDGER_ variables. */
function program(name: "serve" | "collector" | "query-api"): Command["run"] {
  return async (argv) => {
    if (argv[0] === "--help") {
      process.stdout.write(helpText());
      return 0;
    }
    if (argv.length > 0) {
      process.stderr.write(`"spanledger ${name}" takes no arguments; see "spanledger help".\n`);
      return 2;
    }
    return (await import("./serve.ts")).runProgram(name);
  };
}

/** `collector`, alone or as the supervisor or one of several workers. */
async function runCollector(argv: readonly string[]): Promise<number> {
  const [option = "", value = ""] = argv;
  if (option === "--worker") return (await import("./worker.ts")).runWorker(argv);
  if (option !== "--workers") return program("collector")(argv);
  const { MAX_WORKERS, runWorkers } = await import("./workers.ts");
  const count = /^\d{1,3}$/.test(value) ? Number(value) : 0;
  if (argv.length !== 2 || count < 1 || count > MAX_WORKERS) {
    process.stderr.write(
      `"spanledger collector --workers N" takes a number from 1 to ${MAX_WORKERS}.\n`,
    );
    return 2;
  }
  return runWorkers(count);
}

/** The commands, in the order of the help. Loaded when run: `help` should not open an engine. */
export const COMMANDS: Readonly<Record<string, Command>> = {
  serve: {
    summary: "Run collector and query API in one process (npm start).",
    run: program("serve"),
  },
  collector: {
    summary: "Run the collector alone, or [--workers N] of them; needs a ClickHouse server.",
    run: runCollector,
  },
  "query-api": {
    summary: "Run the query API alone; needs a ClickHouse server.",
    run: program("query-api"),
  },
  keys: {
    summary: "Make, list, rotate and revoke API keys, while the program runs or not; keys --help.",
    run: async (argv) => (await import("./keys.ts")).runKeys(argv),
  },
  migrate: {
    summary: "Bring the database to this version's schema; --status only tells.",
    run: async (argv) => (await import("./migrate.ts")).runMigrate(argv),
  },
  explain: {
    summary: "Print the ledger rows that OTLP files make, and why: explain [--json] FILE...",
    run: async (argv) => (await import("./explain.ts")).runExplain(argv),
  },
  prices: {
    summary: "Show, check and import prices, price stored calls again; prices --help.",
    run: async (argv) => (await import("./prices.ts")).runPrices(argv),
  },
  "dead-letter": {
    summary: "List, show, replay or drop records that ClickHouse refused; dead-letter --help.",
    run: async (argv) => (await import("./dead-letter.ts")).runDeadLetter(argv),
  },
  demo: {
    summary: "Send plausible traffic through the OpenTelemetry SDK; demo --help.",
    run: async (argv) => (await import("./demo/demo.ts")).runDemo([...argv], ENVIRONMENT),
  },
};

/** What `spanledger help` prints. */
export function helpText(): string {
  const commands = Object.entries(COMMANDS).map(
    ([name, { summary }]) => `  ${name.padEnd(11)} ${summary}`,
  );
  const settings = Object.entries<Setting>(SETTINGS).map(
    ([name, setting]) => `  ${name} (${setting.default ?? "unset"})\n      ${setting.description}`,
  );
  return [
    `spanledger ${VERSION}: LLM usage and spend from OpenTelemetry`,
    "",
    "usage: spanledger <command>",
    "",
    ...commands,
    "  help        Print this text.",
    "  version     Print the version.",
    "",
    "Settings, as environment variables (default):",
    "",
    ...settings,
    "",
  ].join("\n");
}
