/**
 * Who runs the jobs of an installation that has several processes: a claim is a row of `job_leases`, and
 * who has written a claim and then finds no other live one is the holder.
 *
 * Invariant: of two that claim, the one that looks second sees the other's claim, so never do both hold.
 */
import type { Engine } from "../clickhouse/engine.ts";
import { loadQuery } from "../clickhouse/queries.ts";

/** How long a claim holds, ms; others wait as long for one that died. */
export const JOB_LEASE_MS = 120_000;

/** The lease of one process. Not for concurrent calls. */
export class JobLease {
  readonly #engine: Engine;
  readonly #token: string;
  /** A clock that never goes back, ms. */
  readonly #clock: () => number;
  #until_ms = -Infinity;
  #version = 0;

  constructor(engine: Engine, token: string, clock: () => number) {
    this.#engine = engine;
    this.#token = token;
    this.#clock = clock;
  }

  /** Takes or renews the lease; false when another holds it or claimed it at the same moment. */
  async hold(): Promise<boolean> {
    const now_ms = this.#clock();
    if (now_ms + JOB_LEASE_MS / 2 < this.#until_ms) return true;
    if (now_ms >= this.#until_ms && (await this.#hasOthers())) return false;
    await this.#claim(JOB_LEASE_MS);
    if (await this.#hasOthers()) {
      await this.release();
      return false;
    }
    this.#until_ms = now_ms + JOB_LEASE_MS;
    return true;
  }

  /** Gives the lease back, so that others need not wait for its end. */
  async release(): Promise<void> {
    this.#until_ms = -Infinity;
    if (this.#version > 0) await this.#claim(0);
  }

  async #claim(duration_ms: number): Promise<void> {
    this.#version += 1;
    const params = { token: this.#token, duration_ms, ver: this.#version };
    await this.#engine.command(loadQuery("claim_job_lease"), params, "insert");
  }

  async #hasOthers(): Promise<boolean> {
    const [row] = await this.#engine.query<{ others: number }>(
      loadQuery("select_other_job_leases"),
      { token: this.#token },
    );
    return (row?.others ?? 0) > 0;
  }
}
