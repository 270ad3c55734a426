/**
 * The small things an installation remembers, in memory: read from ClickHouse at start and again when
 * someone else wrote, kept on disk so that keys hold while ClickHouse is away.
 *
 * Invariant: what is in memory is what ClickHouse has, or had when it last answered; a write is in memory
 * only after ClickHouse has it durably.
 */
import type { Engine } from "../clickhouse/engine.ts";
import { loadQuery } from "../clickhouse/queries.ts";
import { messageOf, RetryableError } from "../schemas/errors.ts";
import type { Log } from "../schemas/log.ts";
import {
  STATE_KINDS,
  type StateBody,
  type StateKind,
  type StateObject,
  type StateScope,
} from "../schemas/state.ts";
import { type Snapshot, type SnapshotFile } from "./snapshot.ts";

export interface StateStoreOptions {
  readonly engine: Engine;
  readonly log: Log;
  readonly now_ms: () => number;
  /** Pause between looks for what others wrote, ms. A revoked key holds no longer than this. */
  readonly refresh_ms: number;
  /** Where what is known is kept while ClickHouse is away; null: nowhere. */
  readonly snapshot: SnapshotFile | null;
}

interface StoredRow {
  readonly kind: string;
  readonly object_id: string;
  readonly organization_id: string;
  readonly project_id: string;
  readonly body: string;
  readonly version: string;
  readonly is_deleted: number;
  readonly written_ms: string;
}

/** Clocks of writers and of the engine may differ by this, ms: so much is read again each time. */
const OVERLAP_MS = 30_000;
/** Pause until the next try when the engine does not answer, ms. */
const RETRY_MS = 1_000;
/** Objects of one installation; beyond it nothing more is stored. */
export const MAX_STATE_OBJECTS = 500_000;

/** Objects by kind and id, and the door to change them. */
export class StateStore {
  readonly #options: StateStoreOptions;
  readonly #objects = new Map<StateKind, Map<string, StateObject>>();
  /** Last version of each object, deleted ones too: an older row must not bring it back. */
  readonly #versions = new Map<string, number>();
  readonly #listeners = new Set<() => void>();
  #since_ms = 0;
  #revision = 0;
  #read_ms: number | null = null;
  #is_known = false;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #stopped = false;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(options: StateStoreOptions) {
    this.#options = options;
  }

  /**
   * Reads what there is. Resolves when it is known, or when ClickHouse does not answer: then from the
   * snapshot, if there is one, and again until it answers.
   */
  async start(): Promise<void> {
    if (!(await this.#tryRefresh())) {
      const snapshot = (await this.#options.snapshot?.read()) ?? null;
      if (snapshot !== null) this.#restore(snapshot);
    }
    this.#schedule();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#queue;
  }

  /** Whether anything can be told: it was read once, by this process or the one before it. */
  get isKnown(): boolean {
    return this.#is_known;
  }

  /** Age of what is in memory, ms; null before ClickHouse answered for the first time. */
  get age_ms(): number | null {
    return this.#read_ms === null ? null : this.#options.now_ms() - this.#read_ms;
  }

  /** Grows with every change that is seen here. */
  get revision(): number {
    return this.#revision;
  }

  /** The object of an id; undefined when there is none. */
  find<Kind extends StateKind>(kind: Kind, object_id: string): StateObject<Kind> | undefined {
    return this.#objects.get(kind)?.get(object_id) as StateObject<Kind> | undefined;
  }

  /** Whether an id is or ever was that of an object: such an id is not given again. */
  isUsed(kind: StateKind, object_id: string): boolean {
    return this.#versions.has(nameOf(kind, object_id));
  }

  /** All objects of a kind, of one organization or project when that is given, by id. */
  list<Kind extends StateKind>(kind: Kind, scope: Partial<StateScope> = {}): StateObject<Kind>[] {
    const all = [...(this.#objects.get(kind)?.values() ?? [])] as StateObject<Kind>[];
    return all
      .filter(
        (object) =>
          (scope.organization_id === undefined ||
            object.organization_id === scope.organization_id) &&
          (scope.project_id === undefined || object.project_id === scope.project_id),
      )
      .toSorted((a, b) => (a.object_id < b.object_id ? -1 : 1));
  }

  /**
   * Stores an object, durably. Throws RetryableError("state_changed") when `expected_version` is given
   * and the object has another, 0 standing for no object; RetryableError when the engine is away.
   */
  put<Kind extends StateKind>(
    kind: Kind,
    object_id: string,
    scope: StateScope,
    body: StateBody<Kind>,
    expected_version?: number,
  ): Promise<StateObject<Kind>> {
    return this.#enqueue(async () => {
      const checked = STATE_KINDS[kind].parse(body) as StateBody<Kind>;
      const known = this.find(kind, object_id);
      this.#refuseOther(kind, object_id, expected_version);
      if (known === undefined && this.#versions.size >= MAX_STATE_OBJECTS) {
        throw new RetryableError("state_full", "There are too many objects; remove some first.");
      }
      const version = this.#nextVersion(kind, object_id);
      await this.#write(kind, object_id, scope, JSON.stringify(checked), version, 0);
      const { organization_id, project_id } = scope;
      const object = { kind, object_id, organization_id, project_id, body: checked, version };
      this.#keep(object);
      await this.#tell();
      return object;
    });
  }

  /** Removes an object, durably; nothing happens when there is none. */
  remove(kind: StateKind, object_id: string, expected_version?: number): Promise<void> {
    return this.#enqueue(async () => {
      const known = this.find(kind, object_id);
      this.#refuseOther(kind, object_id, expected_version);
      if (known === undefined) return;
      const version = this.#nextVersion(kind, object_id);
      await this.#write(kind, object_id, known, "{}", version, 1);
      this.#versions.set(nameOf(kind, object_id), version);
      this.#objects.get(kind)?.delete(object_id);
      await this.#tell();
    });
  }

  /** Calls the listener after every change, its own or another's; answers how to stop that. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Reads what others wrote. Throws when the engine does not answer. */
  refresh(): Promise<void> {
    return this.#enqueue(async () => {
      const asked_ms = this.#options.now_ms();
      const rows = await this.#options.engine.query<StoredRow>(loadQuery("select_state_objects"), {
        since_ms: Math.max(this.#since_ms - OVERLAP_MS, 0),
      });
      let is_changed = !this.#is_known;
      for (const row of rows) {
        is_changed = this.#take(row) || is_changed;
        this.#since_ms = Math.max(this.#since_ms, Number(row.written_ms));
      }
      this.#is_known = true;
      this.#read_ms = asked_ms;
      if (is_changed) await this.#tell();
    });
  }

  async #tryRefresh(): Promise<boolean> {
    try {
      await this.refresh();
      return true;
    } catch (error) {
      const fields = { known: this.#is_known };
      this.#options.log.warn(fields, `keys and settings cannot be read: ${messageOf(error)}`);
      return false;
    }
  }

  #schedule(pause_ms = this.#options.refresh_ms): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => void this.#refreshAndSchedule(), pause_ms);
    this.#timer.unref();
  }

  async #refreshAndSchedule(): Promise<void> {
    const is_read = await this.#tryRefresh();
    this.#schedule(is_read ? this.#options.refresh_ms : RETRY_MS);
  }

  #enqueue<Result>(run: () => Promise<Result>): Promise<Result> {
    const turn = this.#queue.then(run);
    this.#queue = turn.catch(() => {});
    return turn;
  }

  #refuseOther(kind: StateKind, object_id: string, expected_version: number | undefined): void {
    const version = this.find(kind, object_id)?.version ?? 0;
    if (expected_version === undefined || expected_version === version) return;
    throw new RetryableError(
      "state_changed",
      "Someone else changed this meanwhile; read it again and decide anew.",
    );
  }

  #nextVersion(kind: StateKind, object_id: string): number {
    const last = this.#versions.get(nameOf(kind, object_id)) ?? 0;
    return Math.max(this.#options.now_ms() * 1000, last + 1);
  }

  async #write(
    kind: StateKind,
    object_id: string,
    { organization_id, project_id }: StateScope,
    body: string,
    version: number,
    is_deleted: 0 | 1,
  ): Promise<void> {
    const params = {
      kind,
      object_id,
      organization_id: organization_id ?? "",
      project_id: project_id ?? "",
      body,
      version,
      is_deleted,
    };
    await this.#options.engine.command(loadQuery("insert_state_object"), params, "insert");
  }

  /** Takes a row over when it is newer than what is known; whether it was. */
  #take(row: StoredRow): boolean {
    const version = Number(row.version);
    const name = nameOf(row.kind, row.object_id);
    if ((this.#versions.get(name) ?? -1) >= version) return false;
    if (!Object.hasOwn(STATE_KINDS, row.kind)) return false; // of a newer version of the program
    const kind = row.kind as StateKind;
    if (row.is_deleted === 1) {
      this.#versions.set(name, version);
      this.#objects.get(kind)?.delete(row.object_id);
      return true;
    }
    const body = STATE_KINDS[kind].safeParse(JSON.parse(row.body));
    if (!body.success) {
      const fields = { kind, object_id: row.object_id };
      this.#options.log.error(fields, "a stored object is not one of this version; it is left out");
      return false;
    }
    this.#keep({
      kind,
      object_id: row.object_id,
      organization_id: row.organization_id === "" ? null : row.organization_id,
      project_id: row.project_id === "" ? null : row.project_id,
      body: body.data,
      version,
    });
    return true;
  }

  #keep(object: StateObject): void {
    const { kind, object_id, version } = object;
    const objects = this.#objects.get(kind) ?? new Map<string, StateObject>();
    this.#objects.set(kind, objects);
    objects.set(object_id, object);
    this.#versions.set(nameOf(kind, object_id), version);
  }

  async #tell(): Promise<void> {
    this.#revision += 1;
    for (const listener of this.#listeners) listener();
    try {
      await this.#options.snapshot?.write({
        objects: [...this.#objects.values()].flatMap((objects) => [...objects.values()]),
      });
    } catch (error) {
      this.#options.log.warn({}, `the copy of keys on disk is behind: ${messageOf(error)}`);
    }
  }

  #restore({ objects }: Snapshot): void {
    for (const object of objects) this.#keep(object);
    this.#is_known = true;
    this.#revision += 1;
    for (const listener of this.#listeners) listener();
  }
}

function nameOf(kind: string, object_id: string): string {
  return `${kind} ${object_id}`;
}
