/**
 * The dead-letter folder: records of the log that ClickHouse refuses for what is in them, each as
 * `<sequence>.record` (its bytes) and `<sequence>.json` (what it is and why it is here).
 *
 * Invariant: a record counts as kept when both files and their names are on disk; only then may the
 * log forget it. Nothing here is ever removed to make room: a full folder refuses instead.
 */
import { mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { messageOf, PermanentError, RetryableError } from "../../schemas/errors.ts";
import { decodeRecord } from "../../schemas/record.ts";

/** Name of the folder in a data directory. */
export const DEAD_LETTER_FOLDER = "dead-letter";

/** Bounds of the folder. */
export interface DeadLetterLimits {
  /** Both files of all records together, bytes. */
  readonly max_bytes: number;
  /** Records. */
  readonly max_files: number;
}

/** A record of the log: its place in it, when it was written (Unix ms), its bytes. */
export interface KeptRecord {
  readonly sequence: number;
  readonly written_ms: number;
  readonly payload: Uint8Array;
}

const Note = z.object({
  sequence: z.number().int(),
  /** UUID of the log. */
  writer_id: z.string(),
  /** Empty when the record has no readable header. */
  table: z.string(),
  rows: z.number().int(),
  projects: z.array(z.string()),
  bytes: z.number().int(),
  /** When the sender was answered, RFC 3339. */
  acknowledged_at: z.string(),
  set_aside_at: z.string(),
  /** Code of the error, such as clickhouse_117. */
  code: z.string(),
  reason: z.string(),
});

/** What is known of a dead letter; its file beside the record. */
export type DeadLetterNote = z.infer<typeof Note>;

/** A dead letter by the name that the commands take: its sequence. */
export interface DeadLetter extends DeadLetterNote {
  readonly name: string;
}

/** How much lies in the folder. */
export interface DeadLetterUse {
  readonly records: number;
  readonly bytes: number;
}

const NAME = /^(\d{1,16})\.record$/;
/** Projects of a record that its note names. */
const MAX_NOTED_PROJECTS = 20;
/** Longest reason that is kept, characters. */
const MAX_REASON_LENGTH = 2_000;
const MODE_DIRECTORY = 0o700;
const MODE_FILE = 0o600;

/** The folder of one data directory; made when the first record is kept. */
export class DeadLetters {
  readonly directory: string;
  readonly #limits: DeadLetterLimits;
  readonly #now_ms: () => number;

  constructor(data_directory: string, limits: DeadLetterLimits, now_ms: () => number) {
    this.directory = join(data_directory, DEAD_LETTER_FOLDER);
    this.#limits = limits;
    this.#now_ms = now_ms;
  }

  /**
   * Keeps a record durably; one that is here already is written over. Throws RetryableError
   * "dead_letter_full" or "dead_letter_failed": then the record must stay in the log.
   */
  async keep(record: KeptRecord, writer_id: string, reason: string, code: string): Promise<void> {
    const note = this.#describe(record, writer_id, reason, code);
    const text = new TextEncoder().encode(`${JSON.stringify(note, null, 2)}\n`);
    const name = String(record.sequence);
    try {
      await mkdir(this.directory, { recursive: true, mode: MODE_DIRECTORY });
      await syncDirectory(dirname(this.directory));
      await this.#requireRoom(name, record.payload.length + text.length);
      await writeDurably(join(this.directory, `${name}.record`), record.payload);
      // Last: a note that is there says that its record is whole.
      await writeDurably(join(this.directory, `${name}.json`), text);
      await syncDirectory(this.directory);
    } catch (error) {
      if (error instanceof RetryableError) throw error;
      throw new RetryableError(
        "dead_letter_failed",
        `A record that ClickHouse refuses cannot be written to ${DEAD_LETTER_FOLDER}/: ${messageOf(error)}`,
        { cause: error },
      );
    }
  }

  /** All records that are here, oldest first. */
  async list(): Promise<DeadLetter[]> {
    const letters: DeadLetter[] = [];
    for (const name of await this.#names()) {
      const note = await this.#readNote(name);
      // Replayed or dropped in between.
      if (note !== null) letters.push({ name, ...note });
    }
    return letters;
  }

  /** The bytes of a record. Throws PermanentError("no_dead_letter"). */
  async read(name: string): Promise<Uint8Array> {
    try {
      return await readFile(this.#recordPath(name));
    } catch (error) {
      throw new PermanentError("no_dead_letter", `There is no dead letter ${name}.`, {
        cause: error,
      });
    }
  }

  /** Removes a record for good. */
  async remove(name: string): Promise<void> {
    const path = this.#recordPath(name);
    await rm(path, { force: true });
    await rm(path.replace(/\.record$/, ".json"), { force: true });
    await syncDirectory(this.directory);
  }

  /** What lies here now. */
  async use(): Promise<DeadLetterUse> {
    let records = 0;
    let bytes = 0;
    for (const file of await listFiles(this.directory)) {
      if (NAME.test(file)) records += 1;
      bytes += await sizeOf(join(this.directory, file));
    }
    return { records, bytes };
  }

  async #names(): Promise<string[]> {
    const names = (await listFiles(this.directory)).flatMap((file) => NAME.exec(file)?.[1] ?? []);
    return names.sort((a, b) => Number(a) - Number(b));
  }

  #recordPath(name: string): string {
    if (!NAME.test(`${name}.record`)) {
      throw new PermanentError("no_dead_letter", `"${name}" is not the name of a dead letter.`);
    }
    return join(this.directory, `${name}.record`);
  }

  #describe(
    { sequence, written_ms, payload }: KeptRecord,
    writer_id: string,
    reason: string,
    code: string,
  ): DeadLetterNote {
    return {
      sequence,
      writer_id,
      ...describePayload(payload),
      acknowledged_at: formatTime(written_ms),
      set_aside_at: formatTime(this.#now_ms()),
      code,
      reason: reason.slice(0, MAX_REASON_LENGTH),
    };
  }

  /** The note of a record; made up from its bytes when a crash came before it was written. */
  async #readNote(name: string): Promise<DeadLetterNote | null> {
    const path = this.#recordPath(name);
    try {
      return Note.parse(JSON.parse(await readFile(path.replace(/\.record$/, ".json"), "utf8")));
    } catch {
      const payload = await readFile(path).catch(() => null);
      if (payload === null) return null;
      return {
        sequence: Number(name),
        writer_id: "",
        ...describePayload(payload),
        acknowledged_at: "",
        set_aside_at: "",
        code: "",
        reason: "no note beside it",
      };
    }
  }

  async #requireRoom(name: string, byte_size: number): Promise<void> {
    const path = join(this.directory, `${name}.record`);
    if ((await sizeOf(path)) > 0) return;
    const { records, bytes } = await this.use();
    const { max_bytes, max_files } = this.#limits;
    if (records < max_files && bytes + byte_size <= max_bytes) return;
    throw new RetryableError(
      "dead_letter_full",
      `${DEAD_LETTER_FOLDER}/ has ${records} records of ${bytes} bytes, at most ${max_files} of ` +
        `${max_bytes}: a record that ClickHouse refuses stays in the log, and so does what came ` +
        'after it. Look with "spanledger dead-letter list".',
    );
  }
}

function describePayload(
  payload: Uint8Array,
): Pick<DeadLetterNote, "table" | "rows" | "projects" | "bytes"> {
  const bytes = payload.length;
  try {
    const { table, rows, buckets } = decodeRecord(payload).header;
    const projects = new Set(buckets.map(([project_id]) => project_id));
    return { table, rows, projects: [...projects].slice(0, MAX_NOTED_PROJECTS), bytes };
  } catch {
    return { table: "", rows: 0, projects: [], bytes };
  }
}

/** RFC 3339; empty for a time that no calendar has. */
function formatTime(time_ms: number): string {
  return Math.abs(time_ms) <= 8.64e15 ? new Date(time_ms).toISOString() : "";
}

/** Writes beside it, syncs, and takes the name: a name never stands for half a file. */
async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  const draft = `${path}.tmp`;
  const file = await open(draft, "w", MODE_FILE);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(draft, path);
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function listFiles(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}

/** Bytes of a file; 0 when it is not there. */
async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch {
    return 0;
  }
}
