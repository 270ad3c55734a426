/**
 * `spanledger dead-letter`: what did not come into the ledger and why. Records that ClickHouse refused
 * lie as files in the data directory and can be replayed; items refused for their time are rows of
 * `set_aside_items` and are only told.
 *
 * Invariant: stdout holds the answer alone; what to do next goes to stderr. Exit codes: 0 done, 1 some
 * of it failed, 2 the words cannot be understood.
 */
import { existsSync, readdirSync } from "node:fs";
import { join, sep } from "node:path";
import { parseArgs } from "node:util";
import type { Engine } from "../clickhouse/engine.ts";
import { migrate } from "../clickhouse/migrate.ts";
import { loadQuery } from "../clickhouse/queries.ts";
import { replay, type ReplayOutcome } from "../collector/dead-letter/replay.ts";
import type { DeadLetter, DeadLetters } from "../collector/dead-letter/store.ts";
import { makeReplayTarget, openDeadLetters } from "../collector/inserts.ts";
import { messageOf, PermanentError, RetryableError } from "../schemas/errors.ts";
import type { Settings } from "../schemas/settings.ts";
import { readSettings } from "./config.ts";
import { openEngine } from "./engine.ts";

const USAGE = `usage: spanledger dead-letter <command> [--json]

  list                    What lies in dead-letter/, and how many items were refused for their time.
  show NAME               One record: what it is, when it was acknowledged, why it was refused.
  replay --all | NAME...  Inserts records again, once the cause is mended, and removes those that
                          went in. Embedded: stop "spanledger serve" first.
  drop --all | NAME...    Removes records for good. Their rows were acknowledged and are then lost.

  --json                  The same as JSON.
`;

/** A folder of dead letters with the prefix of its names: empty, or "workers/2/". */
interface Folder {
  readonly prefix: string;
  readonly letters: DeadLetters;
}

/** What was refused for its time, by who sent it. */
interface RefusedItems {
  readonly project_id: string;
  readonly reason: string;
  readonly signal: string;
  readonly service_name: string;
  readonly scope_name: string;
  readonly items: number;
  readonly first_received: string;
  readonly last_received: string;
  /** Unix ns, as text. */
  readonly least_sent_time_ns: string;
  readonly greatest_sent_time_ns: string;
  readonly example: string;
}

/** Lines of refused items that are told. */
const MAX_REFUSED_LINES = 1_000;

/** The folders of the data directory: its own, and one for each worker that ever ran. */
function openFolders(settings: Settings): Folder[] {
  const root = settings.SPANLEDGER_DATA_DIR;
  if (!existsSync(root)) {
    throw new PermanentError(
      "no_data",
      `There is no data directory ${root}. Set SPANLEDGER_DATA_DIR to the server's.`,
    );
  }
  const workers = join(root, "workers");
  const names = existsSync(workers) ? readdirSync(workers).sort() : [];
  return [
    { prefix: "", letters: openDeadLetters(root, settings) },
    ...names.map((name) => ({
      prefix: `workers/${name}/`,
      letters: openDeadLetters(join(workers, name), settings),
    })),
  ];
}

/** A dead letter, its folder, and the name that the commands take. */
interface Found {
  readonly letter: DeadLetter;
  readonly letters: DeadLetters;
  readonly name: string;
}

async function findAll(folders: readonly Folder[]): Promise<Found[]> {
  const found: Found[] = [];
  for (const { prefix, letters } of folders) {
    for (const letter of await letters.list()) {
      found.push({ letter, letters, name: prefix + letter.name });
    }
  }
  return found;
}

/** The named ones, or all. Throws PermanentError("no_dead_letter") that names what is not there. */
function choose(found: readonly Found[], names: readonly string[], is_all: boolean): Found[] {
  if (is_all) return [...found];
  const by_name = new Map(found.map((each) => [each.name, each]));
  const missing = names.filter((name) => !by_name.has(name));
  if (missing.length > 0) {
    throw new PermanentError(
      "no_dead_letter",
      `There is no dead letter ${missing.join(", ")}; "spanledger dead-letter list" has the names.`,
    );
  }
  return [...new Set(names)].map((name) => by_name.get(name) as Found);
}

/** Opens the ledger. Throws PermanentError("directory_in_use") while a server has it embedded. */
async function openLedger(settings: Settings): Promise<Engine> {
  const engine = await openEngine(settings);
  try {
    await migrate(engine);
    return engine;
  } catch (error) {
    await engine.close();
    if (!(error instanceof RetryableError) || error.code !== "engine_unavailable") throw error;
    throw new PermanentError(
      "directory_in_use",
      "The data directory is in use, and the embedded engine serves one process at a time: stop " +
        `"spanledger serve", run this again, start it. (${error.message})`,
      { cause: error },
    );
  }
}

/** What was refused for its time; null, told on stderr, when the engine cannot be asked now. */
async function readRefused(settings: Settings): Promise<RefusedItems[] | null> {
  const { SPANLEDGER_CLICKHOUSE_URL: url, SPANLEDGER_DATA_DIR: directory } = settings;
  // To ask is not to make an engine where there was none.
  if (url === null && !existsSync(join(directory, "clickhouse"))) return [];
  try {
    const engine = await openLedger(settings);
    try {
      const sql = loadQuery("select_set_aside");
      return await engine.query<RefusedItems>(sql, { limit: MAX_REFUSED_LINES });
    } finally {
      await engine.close();
    }
  } catch (error) {
    process.stderr.write(
      "Items refused for their time are in ClickHouse, which cannot be asked now: stop the server of " +
        `this data directory first, or see that ClickHouse is there. (${messageOf(error)})\n`,
    );
    return null;
  }
}

function print(lines: readonly string[]): void {
  process.stdout.write(lines.map((line) => `${line}\n`).join(""));
}

function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

function describe({ name, letter }: Found): Record<string, unknown> {
  return { ...letter, name };
}

/** A time as sent, to the second; a number that no calendar has stays one. */
function formatSent(time_ns: string): string {
  const time_ms = Number(BigInt(time_ns) / 1_000_000n);
  return time_ms <= 8.64e15 ? new Date(time_ms).toISOString().slice(0, 19) : `${time_ns} ns`;
}

function formatRefused(refused: RefusedItems): string {
  const { items, signal, reason, project_id, service_name, example } = refused;
  const least = formatSent(refused.least_sent_time_ns);
  const greatest = formatSent(refused.greatest_sent_time_ns);
  return (
    `${items} ${signal} ${reason} project=${project_id} service=${service_name || "-"} ` +
    `sent ${least}${least === greatest ? "" : ` to ${greatest}`}, last received ` +
    `${refused.last_received}, such as "${example}"`
  );
}

async function runList(settings: Settings, json: boolean): Promise<number> {
  const found = await findAll(openFolders(settings));
  const refused = await readRefused(settings);
  if (json) {
    printJson({ dead_letters: found.map(describe), refused_items: refused });
    return 0;
  }
  print([
    `${found.length} records that ClickHouse refused`,
    ...found.map(
      ({ name, letter: { set_aside_at, table, rows, bytes, code, reason } }) =>
        `  ${name}  ${set_aside_at || "-"}  ${table || "unreadable"}  ${rows} rows  ${bytes} bytes  ` +
        `${code || "-"}: ${firstLine(reason)}`,
    ),
  ]);
  if (refused !== null) {
    const items = refused.reduce((sum, each) => sum + each.items, 0);
    print([
      `${items} items refused for their time in the last two weeks`,
      ...refused.map((each) => `  ${formatRefused(each)}`),
    ]);
  }
  return 0;
}

/** Characters of a reason in a list. */
const MAX_LISTED_REASON = 160;

function firstLine(text: string): string {
  return (text.split("\n")[0] ?? "").slice(0, MAX_LISTED_REASON);
}

async function runShow(settings: Settings, names: readonly string[], json: boolean) {
  const [found] = choose(await findAll(openFolders(settings)), names, false);
  if (found === undefined) return 2;
  const note = describe(found);
  if (json) printJson(note);
  else print(Object.entries(note).map(([key, value]) => `${key}: ${String(value)}`));
  return 0;
}

async function runReplay(settings: Settings, chosen: readonly Found[], json: boolean) {
  const outcomes: ReplayOutcome[] = [];
  if (chosen.length > 0) {
    const engine = await openLedger(settings);
    try {
      const target = makeReplayTarget(engine, settings, (event) => {
        if (event.kind !== "resolved") process.stderr.write(`${event.message}\n`);
      });
      for (const { letters, letter, name } of chosen) {
        for (const outcome of await replay(letters, [letter.name], target)) {
          outcomes.push({ ...outcome, name });
        }
      }
    } finally {
      await engine.close();
    }
  }
  const failed = outcomes.filter(({ error }) => error !== null);
  if (json) printJson({ replayed: outcomes });
  else {
    print(
      outcomes.map(({ name, table, rows, error }) =>
        error === null
          ? `${name}  ${table}  ${rows} rows: in the ledger`
          : `${name}  stays: ${firstLine(error)}`,
      ),
    );
    print([`${outcomes.length - failed.length} replayed, ${failed.length} failed`]);
  }
  return failed.length > 0 ? 1 : 0;
}

async function runDrop(chosen: readonly Found[], json: boolean): Promise<number> {
  for (const { letters, letter } of chosen) await letters.remove(letter.name);
  if (json) printJson({ dropped: chosen.map(describe) });
  else print([...chosen.map(({ name }) => `${name}  dropped`), `${chosen.length} dropped`]);
  return 0;
}

const OPTIONS = {
  all: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  help: { type: "boolean", default: false },
} as const;

function parseWords(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: true });
  } catch {
    return null;
  }
}

/** Whether the words behind a command fit it. */
const FITS: Readonly<Record<string, (names: readonly string[], is_all: boolean) => boolean>> = {
  list: (names, is_all) => names.length === 0 && !is_all,
  show: (names, is_all) => names.length === 1 && !is_all,
  replay: (names, is_all) => is_all !== names.length > 0,
  drop: (names, is_all) => is_all !== names.length > 0,
};

/** Runs the command; resolves with the exit code. */
export async function runDeadLetter(argv: readonly string[]): Promise<number> {
  const words = parseWords(argv);
  if (words?.values.help === true) {
    process.stdout.write(USAGE);
    return 0;
  }
  const [command = "", ...given] = words?.positionals ?? [];
  const { all = false, json = false } = words?.values ?? {};
  const names = given.map((name) => name.replaceAll(sep, "/"));
  if (!Object.hasOwn(FITS, command) || FITS[command]?.(names, all) !== true) {
    process.stderr.write(USAGE);
    return 2;
  }
  const settings = readSettings();
  if (command === "list") return runList(settings, json);
  if (command === "show") return runShow(settings, names, json);
  const chosen = choose(await findAll(openFolders(settings)), names, all);
  return command === "replay" ? runReplay(settings, chosen, json) : runDrop(chosen, json);
}
