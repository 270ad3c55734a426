/**
 * What lies in the data directory of collectors on this machine beside ClickHouse: segments of logs, and
 * records that were set aside. Looked at by name alone (collector/wal/README.md).
 *
 * Invariant: nothing is opened, changed or removed here.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/** The logs of the collectors of a data directory. */
export interface LocalLogs {
  /** Files of all logs, as paths below the data directory. */
  listSegments(): Promise<string[]>;
  /** Records set aside that name the project. */
  countDeadLetters(project_id: string): Promise<number>;
}

const SEGMENT = /^segment-\d{16}-[0-9a-f]{16}\.wal$/;
/** Notes of dead letters that are read at most. */
const MAX_NOTES = 100_000;

async function listNames(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** Directories that collectors of a data directory keep their logs in, relative to it. */
async function listCollectors(data_directory: string): Promise<string[]> {
  const workers = await listNames(join(data_directory, "workers"));
  return ["", ...workers.filter((name) => /^\d+$/.test(name)).map((name) => `workers/${name}`)];
}

/** Opens nothing; the directory may not be there yet. */
export function watchLocalLogs(data_directory: string): LocalLogs {
  return {
    async listSegments() {
      const segments: string[] = [];
      for (const collector of await listCollectors(data_directory)) {
        const directory = join(collector, "wal");
        const names = await listNames(join(data_directory, directory));
        const own = names.filter((name) => SEGMENT.test(name));
        segments.push(...own.map((name) => join(directory, name)));
      }
      return segments.toSorted();
    },
    async countDeadLetters(project_id) {
      let count = 0;
      let read = 0;
      for (const collector of await listCollectors(data_directory)) {
        const directory = join(data_directory, collector, "dead-letter");
        for (const name of await listNames(directory)) {
          if (!name.endsWith(".json") || (read += 1) > MAX_NOTES) continue;
          if (await isOfProject(join(directory, name), project_id)) count += 1;
        }
      }
      return count;
    },
  };
}

/** A note that cannot be read may be of any project. */
async function isOfProject(path: string, project_id: string): Promise<boolean> {
  try {
    const note: unknown = JSON.parse(await readFile(path, "utf8"));
    const projects = (note as { projects?: unknown }).projects;
    return !Array.isArray(projects) || projects.length === 0 || projects.includes(project_id);
  } catch {
    return true;
  }
}
