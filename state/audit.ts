/**
 * The audit log: every administrative act as one row, chained to the row before it by hash.
 *
 * Invariant: an act is told as done only after its row is durable, and the rows of one writer have no
 * gaps: a row that someone changes or removes breaks the chain from there on.
 */
import { createHash, randomUUID } from "node:crypto";
import type { Engine } from "../clickhouse/engine.ts";
import { loadQuery } from "../clickhouse/queries.ts";

/** An entry as it is stored; `detail` is JSON without secrets. */
export interface AuditRow {
  readonly organization_id: string;
  readonly project_id: string;
  readonly at_ms: number;
  readonly actor_kind: string;
  readonly actor_id: string;
  readonly actor_name: string;
  readonly action: string;
  readonly object_kind: string;
  readonly object_id: string;
  readonly outcome: string;
  readonly detail: string;
  readonly remote_address: string;
  readonly request_id: string;
}

/** Characters of one detail; a longer one is cut. */
const MAX_DETAIL_LENGTH = 8_192;

/** Writes entries one after the other. */
export class AuditLog {
  readonly #engine: Engine;
  readonly #writer_id: string;
  #sequence = 0;
  #previous_sha256 = "";
  #queue: Promise<unknown> = Promise.resolve();

  constructor(engine: Engine, writer_id: string = randomUUID()) {
    this.#engine = engine;
    this.#writer_id = writer_id;
  }

  /** Resolves when the entry is durable; rejects as the engine does, and then it is not written. */
  write(row: AuditRow): Promise<void> {
    const turn = this.#queue.then(() => this.#append(row));
    this.#queue = turn.catch(() => {});
    return turn;
  }

  async #append(row: AuditRow): Promise<void> {
    const chained = {
      ...wellFormed(row),
      detail: row.detail.slice(0, MAX_DETAIL_LENGTH).toWellFormed(),
      remote_address: coarseAddress(row.remote_address),
      entry_id: randomUUID(),
      writer_id: this.#writer_id,
      sequence: this.#sequence + 1,
      previous_sha256: this.#previous_sha256,
    };
    const sha256 = hashEntry(chained);
    await this.#engine.command(loadQuery("insert_audit_entry"), { ...chained, sha256 }, "insert");
    this.#sequence = chained.sequence;
    this.#previous_sha256 = sha256;
  }
}

/** What can be stored as it is: half of a surrogate pair would come back as another character. */
function wellFormed(row: AuditRow): AuditRow {
  const entries = Object.entries(row as unknown as Record<string, string | number>);
  return Object.fromEntries(
    entries.map(([name, value]) => [
      name,
      typeof value === "string" ? value.toWellFormed() : value,
    ]),
  ) as unknown as AuditRow;
}

/** What is hashed of an entry, in this order; the hash of the entry before is part of it. */
const HASHED = [
  "writer_id",
  "sequence",
  "previous_sha256",
  "entry_id",
  "organization_id",
  "project_id",
  "at_ms",
  "actor_kind",
  "actor_id",
  "actor_name",
  "action",
  "object_kind",
  "object_id",
  "outcome",
  "detail",
  "remote_address",
  "request_id",
] as const;

/** SHA-256 of an entry, hex: what its row must have. */
export function hashEntry(
  entry: Readonly<Record<(typeof HASHED)[number], string | number>>,
): string {
  const text = JSON.stringify(HASHED.map((name) => entry[name]));
  return createHash("sha256").update(text).digest("hex");
}

/** An address without its last part: enough to see from where, not who. */
export function coarseAddress(address: string): string {
  const v4 = /(?:^|:)(\d{1,3}\.\d{1,3}\.\d{1,3})\.\d{1,3}$/.exec(address);
  if (v4 !== null) return `${v4[1]}.0`;
  return address.includes(":") ? `${address.split(":").slice(0, 3).join(":")}::` : "";
}
