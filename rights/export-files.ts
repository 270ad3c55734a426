/**
 * The files of exports: a directory for each below the data directory, named by the random id of its job,
 * its files by numbers.
 *
 * Invariant: no name here comes from a request: an id must be a UUID and a file a number of ours
 * (research/reliability.md A20). A file is whole or has another name.
 */
import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { PermanentError } from "../schemas/errors.ts";

const ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const NAME = /^(?:\d{6}\.ndjson\.gz|manifest\.json)$/;
/** Readable by their owner alone: they hold all of a project. */
const MODE_DIRECTORY = 0o700;
const MODE_FILE = 0o600;

const compress = promisify(gzip);

/** What a file turned out to be. */
export interface WrittenFile {
  readonly rows: number;
  readonly bytes: number;
  readonly sha256: string;
}

/** A file to be sent. */
export interface OpenFile {
  readonly bytes: number;
  readonly stream: ReadableStream<Uint8Array>;
}

/** The exports of a data directory. */
export class ExportFiles {
  readonly #directory: string;

  constructor(data_directory: string) {
    this.#directory = join(data_directory, "exports");
  }

  /** Makes the directory of an export. */
  async make(export_id: string): Promise<void> {
    await mkdir(this.#pathOf(export_id), { recursive: true, mode: MODE_DIRECTORY });
  }

  /** Writes a small file of ours whole, such as the plan. */
  async writeText(export_id: string, name: "plan.json" | "manifest.json", text: string) {
    const path = join(this.#pathOf(export_id), name);
    await writeFile(`${path}.part`, text, { mode: MODE_FILE, flush: true });
    await rename(`${path}.part`, path);
  }

  /** Such a file, or null when there is none. */
  async readText(export_id: string, name: string): Promise<string | null> {
    try {
      return await readFile(join(this.#pathOf(export_id), name), "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
  }

  /** What is said of the file that a number has; null when there is none. */
  async readNote(export_id: string, number: number): Promise<string | null> {
    return this.readText(export_id, `${nameOf(number)}.note`);
  }

  async writeNote(export_id: string, number: number, text: string): Promise<void> {
    const path = join(this.#pathOf(export_id), `${nameOf(number)}.note`);
    await writeFile(path, text, { mode: MODE_FILE, flush: true });
  }

  /** Writes pages of lines as one compressed file; resolves when it is durable under its name. */
  async write(
    export_id: string,
    number: number,
    pages: AsyncIterable<readonly string[]>,
  ): Promise<WrittenFile> {
    const path = join(this.#pathOf(export_id), nameOf(number));
    const hash: Hash = createHash("sha256");
    let rows = 0;
    let bytes = 0;
    const file = await open(`${path}.part`, "w", MODE_FILE);
    try {
      for await (const lines of pages) {
        if (lines.length === 0) continue;
        // A gzip file may be made of several one after the other.
        const block = await compress(`${lines.join("\n")}\n`);
        await file.write(block);
        hash.update(block);
        rows += lines.length;
        bytes += block.length;
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(`${path}.part`, path);
    return { rows, bytes, sha256: hash.digest("hex") };
  }

  /** Opens a file of a finished export; null when there is none of that name. */
  async open(export_id: string, name: string): Promise<OpenFile | null> {
    if (!ID.test(export_id) || !NAME.test(name)) return null;
    const path = join(this.#pathOf(export_id), name);
    try {
      const { size } = await stat(path);
      const stream = Readable.toWeb(createReadStream(path)) as ReadableStream<Uint8Array>;
      return { bytes: size, stream };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
  }

  /** Ids of the exports that have files. */
  async list(): Promise<string[]> {
    const names = await readdir(this.#directory).catch(() => []);
    return names.filter((name) => ID.test(name));
  }

  /** Bytes of all exports. */
  async measure(): Promise<number> {
    let bytes = 0;
    for (const export_id of await this.list()) {
      for (const name of await readdir(this.#pathOf(export_id))) {
        bytes += (await stat(join(this.#pathOf(export_id), name))).size;
      }
    }
    return bytes;
  }

  /** Removes all files of an export; nothing happens when there are none. */
  async remove(export_id: string): Promise<void> {
    await rm(this.#pathOf(export_id), { recursive: true, force: true });
  }

  #pathOf(export_id: string): string {
    if (!ID.test(export_id)) {
      throw new PermanentError("bad_export_id", "An export is named by the id of its job.");
    }
    return join(this.#directory, export_id);
  }
}

/** The name of the n-th file of an export, counted from 1. */
export function nameOf(number: number): string {
  return `${String(number).padStart(6, "0")}.ndjson.gz`;
}
