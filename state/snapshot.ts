/**
 * The copy of the small things on disk: what keys are checked by while ClickHouse is away.
 *
 * Invariant: the file is whole or not there: it is written beside and renamed, readable by its owner
 * alone. A file that cannot be read is as none.
 */
import { readFile, rename, writeFile } from "node:fs/promises";
import { z } from "zod";
import { STATE_KINDS, type StateKind, type StateObject } from "../schemas/state.ts";

/** What the file holds. */
export interface Snapshot {
  readonly objects: readonly StateObject[];
}

/** Where a snapshot is kept. */
export interface SnapshotFile {
  /** null when there is none, or none that can be read. */
  read(): Promise<Snapshot | null>;
  write(snapshot: Snapshot): Promise<void>;
}

const FORMAT = 1;
/** Only its owner reads it: it has the hashes of keys. */
const MODE = 0o600;

const Envelope = z.object({
  format: z.literal(FORMAT),
  objects: z.array(
    z.object({
      kind: z.string(),
      object_id: z.string(),
      organization_id: z.string().nullable(),
      project_id: z.string().nullable(),
      body: z.unknown(),
      version: z.number(),
    }),
  ),
});

/** A snapshot in a file; its directory must exist. */
export function snapshotAt(path: string): SnapshotFile {
  return {
    async read() {
      try {
        return readSnapshot(JSON.parse(await readFile(path, "utf8")));
      } catch {
        return null; // none, or torn: the engine will tell
      }
    },
    async write({ objects }) {
      const next = `${path}.next`;
      await writeFile(next, JSON.stringify({ format: FORMAT, objects }), {
        mode: MODE,
        flush: true,
      });
      await rename(next, path);
    },
  };
}

/** Objects of kinds that this version does not know, or that do not fit, are left out. */
function readSnapshot(json: unknown): Snapshot | null {
  const envelope = Envelope.safeParse(json);
  if (!envelope.success) return null;
  const objects = envelope.data.objects.flatMap((object): StateObject[] => {
    if (!Object.hasOwn(STATE_KINDS, object.kind)) return [];
    const kind = object.kind as StateKind;
    const body = STATE_KINDS[kind].safeParse(object.body);
    return body.success ? [{ ...object, kind, body: body.data }] : [];
  });
  return { objects };
}
