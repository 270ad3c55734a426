/**
 * `spanledger keys`: makes, lists, replaces and revokes keys. Asks the running program of the data
 * directory, which has the embedded engine locked; when none runs, the same routes in this process.
 *
 * Invariant: stdout holds the answer alone, and a key is printed once, when it is made. Exit codes: 0
 * done, 1 refused, 2 the words cannot be understood.
 */
import { parseArgs } from "node:util";
import { ApiError } from "../query-api/errors.ts";
import { SCOPES } from "../schemas/access.ts";
import { KeysAnswer, KeyView, NewKeyAnswer } from "../schemas/api-keys.ts";
import { OrganizationsAnswer } from "../schemas/api-tenancy.ts";
import { DEFAULT_PROJECT_ID } from "../schemas/state.ts";
import { type Ask, openAsk } from "./ask.ts";
import { readSettings } from "./config.ts";

const USAGE = `usage: spanledger keys <command> [options]

  create --name TEXT      Makes a key and prints it, once.
    --scope LIST            ingest (the default), read, admin; several with commas.
    --project ID            Of one project; "default" when neither this nor the next is given.
    --organization ID       Of a whole organization; sending with it takes the header
                            x-spanledger-project.
    --expires TIME          Such as 90d, 12h, or 2027-01-31T00:00:00Z; never when it is not given.
    --service NAME          The only service.name that it may send.
    --member ID             The member whose key it is: it has no more than the member's role.
  list                    Keys of a project, or with --organization of all of one.
  rotate KEY_ID           Makes a key like it and prints it; the old one ends in a day.
    --overlap TIME          Such as 1h or 7d; 0s: at once.
    --expires TIME          Of the new key; as long as the old one when it is not given.
  revoke KEY_ID           No collector takes it after five seconds.

  --json                  The same as JSON.

KEY_ID is the part between the underscores of a key. The program may be running or not.
`;

const OPTIONS = {
  name: { type: "string" },
  scope: { type: "string" },
  project: { type: "string" },
  organization: { type: "string" },
  expires: { type: "string" },
  overlap: { type: "string" },
  service: { type: "string" },
  member: { type: "string" },
  json: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
} as const;

type Words = ReturnType<typeof readWords>;

function readWords(argv: readonly string[]) {
  return parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: true });
}

/** What a command asks and prints, and which options it takes beside --json. */
interface Command {
  readonly options: readonly (keyof typeof OPTIONS)[];
  readonly takes_key_id: boolean;
  readonly run: (
    ask: Ask,
    words: Words,
    now_ms: number,
  ) => Promise<{ json: unknown; text: string }>;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  create: {
    options: ["name", "scope", "project", "organization", "expires", "service", "member"],
    takes_key_id: false,
    run: create,
  },
  list: { options: ["project", "organization"], takes_key_id: false, run: list },
  rotate: {
    options: ["project", "organization", "expires", "overlap"],
    takes_key_id: true,
    run: rotate,
  },
  revoke: { options: ["project", "organization"], takes_key_id: true, run: revoke },
};

/** Runs the command; resolves with the exit code. */
export async function runKeys(argv: readonly string[]): Promise<number> {
  let words: Words;
  let command: Command;
  try {
    words = readWords(argv);
    if (words.values.help) {
      process.stdout.write(USAGE);
      return 0;
    }
    command = checkWords(words);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : ""}\n\n${USAGE}`);
    return 2;
  }
  const { ask, close } = await openAsk(readSettings());
  try {
    const { json, text } = await command.run(ask, words, Date.now());
    process.stdout.write(words.values.json ? `${JSON.stringify(json, null, 2)}\n` : text);
    return 0;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    process.stderr.write(`spanledger keys: ${error.message}\n`);
    return 1;
  } finally {
    await close();
  }
}

function checkWords({ values, positionals }: Words): Command {
  const [name = "", key_id, ...more] = positionals;
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) throw new Error(`"${name}" is no command of keys.`);
  if ((key_id !== undefined) !== command.takes_key_id || more.length > 0) {
    throw new Error(
      command.takes_key_id ? `keys ${name} takes one KEY_ID.` : `keys ${name} takes no words.`,
    );
  }
  if (key_id !== undefined && !/^[0-9A-Za-z-]{1,64}$/.test(key_id)) {
    throw new Error("KEY_ID is the part between the underscores of a key, not the key.");
  }
  const other = (Object.keys(values) as (keyof typeof OPTIONS)[]).find(
    (option) => option !== "json" && option !== "help" && !command.options.includes(option),
  );
  if (other !== undefined) throw new Error(`keys ${name} takes no --${other}.`);
  if (values.project !== undefined && values.organization !== undefined) {
    throw new Error("A key is of a project or of an organization: give one of both.");
  }
  if (name === "create" && values.name === undefined) throw new Error("Give the key a --name.");
  for (const scope of listScopes(values.scope)) {
    if (!SCOPES.some((known) => known === scope)) throw new Error(`"${scope}" is no scope.`);
  }
  for (const text of [values.expires, values.overlap]) if (text !== undefined) readTime(text, 0);
  return command;
}

function listScopes(text = "ingest"): string[] {
  return text.split(",").map((scope) => scope.trim());
}

const UNITS_MS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Unix ms of a time from now, such as 90d, or of an instant. Throws for any other text. */
export function readTime(text: string, now_ms: number): number {
  const [, count = "", unit = ""] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  if (count !== "") return now_ms + Number(count) * (UNITS_MS[unit] ?? 0);
  const is_instant = /^\d{4}-\d{2}-\d{2}T[\d:.]+(?:Z|[+-]\d{2}:\d{2})$/.test(text);
  const instant_ms = is_instant ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(instant_ms)) return instant_ms;
  throw new Error(`"${text}" is no time such as 90d, 12h or 2027-01-31T00:00:00Z.`);
}

/** The paths of the routes for what the words name. */
function pathOf({ values }: Words, rest = ""): string {
  const { organization, project = DEFAULT_PROJECT_ID } = values;
  return organization === undefined
    ? `/v1/keys${rest}?project=${encodeURIComponent(project)}`
    : `/v1/orgs/${encodeURIComponent(organization)}/keys${rest}`;
}

async function create(ask: Ask, words: Words, now_ms: number) {
  const { name, scope, expires, service, member } = words.values;
  const made = NewKeyAnswer.parse(
    await ask("POST", pathOf(words), {
      name,
      scopes: listScopes(scope),
      ...(expires === undefined ? {} : { expires_at: toInstant(expires, now_ms) }),
      ...(service === undefined ? {} : { allowed_service_name: service }),
      ...(member === undefined ? {} : { member_id: member }),
    }),
  );
  return { json: made, text: describeNew(made) };
}

async function rotate(ask: Ask, words: Words, now_ms: number) {
  const { expires, overlap } = words.values;
  const path = await findPath(ask, words, "/rotate");
  const made = NewKeyAnswer.parse(
    await ask("POST", path, {
      ...(expires === undefined ? {} : { expires_at: toInstant(expires, now_ms) }),
      ...(overlap === undefined ? {} : { overlap_s: Math.round(readTime(overlap, 0) / 1000) }),
    }),
  );
  return { json: made, text: describeNew(made) };
}

async function revoke(ask: Ask, words: Words) {
  const revoked = KeyView.parse(await ask("DELETE", await findPath(ask, words)));
  return { json: revoked, text: `revoked ${revoked.key_id} (${revoked.name})\n` };
}

async function list(ask: Ask, words: Words) {
  const keys: KeyView[] = [];
  let cursor: string | null = null;
  do {
    const path: string = pathOf(words);
    const more: string = cursor === null ? "" : `${path.includes("?") ? "&" : "?"}cursor=${cursor}`;
    const answer: KeysAnswer = KeysAnswer.parse(await ask("GET", `${path}${more}`));
    keys.push(...answer.keys);
    cursor = answer.next_cursor;
  } while (cursor !== null);
  return { json: { keys }, text: describeList(keys) };
}

/** The path of a key whose project nobody named: it is looked for in all organizations. */
async function findPath(ask: Ask, words: Words, rest = ""): Promise<string> {
  const [, key_id = ""] = words.positionals;
  const { organization, project } = words.values;
  if (organization !== undefined || project !== undefined)
    return pathOf(words, `/${key_id}${rest}`);
  let cursor: string | null = null;
  do {
    const path: string = `/v1/orgs?limit=1000${cursor === null ? "" : `&cursor=${cursor}`}`;
    const answer: { organizations: { organization_id: string }[]; next_cursor: string | null } =
      OrganizationsAnswer.parse(await ask("GET", path));
    for (const { organization_id } of answer.organizations) {
      const found = `/v1/orgs/${encodeURIComponent(organization_id)}/keys/${key_id}`;
      try {
        await ask("GET", found);
        return `${found}${rest}`;
      } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 404) throw error;
      }
    }
    cursor = answer.next_cursor;
  } while (cursor !== null);
  throw new ApiError(404, "not_found", `There is no key ${key_id}; see "spanledger keys list".`);
}

function toInstant(text: string, now_ms: number): string {
  return new Date(readTime(text, now_ms)).toISOString();
}

function describeNew({
  key,
  key_id,
  project_id,
  organization_id,
  scopes,
  expires_at,
}: NewKeyAnswer): string {
  const whose = project_id === null ? `organization ${organization_id}` : `project ${project_id}`;
  return [
    key,
    "",
    `It is not shown again. Key ${key_id} of ${whose}, for ${scopes.join(", ")}, ` +
      `${expires_at === null ? "without an end" : `until ${expires_at}`}.`,
    "",
  ].join("\n");
}

function describeList(keys: readonly KeyView[]): string {
  if (keys.length === 0) return "no keys\n";
  const rows = keys.map((key) => [
    key.key_id,
    key.status,
    key.project_id ?? `${key.organization_id} (all)`,
    key.scopes.join(","),
    key.expires_at?.slice(0, 16) ?? "never",
    key.last_used_at?.slice(0, 13) ?? "-",
    key.name,
  ]);
  const table = [
    ["KEY_ID", "STATUS", "PROJECT", "SCOPES", "EXPIRES", "LAST USED", "NAME"],
    ...rows,
  ];
  const widths = table[0]?.map((_title, column) =>
    Math.max(...table.map((row) => (row[column] ?? "").length)),
  );
  return `${table
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths?.[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n")}\n`;
}
