/**
 * Who may compute the rollups of one ClickHouse server: a claim is a row in `recompute_lease`, and who
 * has written a claim and then finds no other live one is the holder.
 *
 * Invariant: of two that claim, the one that looks second sees the other's claim, so never do both hold.
 */
import type { Engine } from "../../clickhouse/engine.ts";
import { loadQuery } from "../../clickhouse/queries.ts";

export interface LeaseOptions {
  /** Name of this holder; no two running recomputes have the same. */
  readonly token: string;
  /** How long a claim holds, ms: as long do others wait for one that died. */
  readonly ttl_ms: number;
  /** How long before its end a lease is renewed, ms: longer than a statement may take. */
  readonly reserve_ms: number;
  /** A clock that never goes back, ms. */
  readonly now_ms: () => number;
}

/** How long a claim holds, ms. */
export const DEFAULT_LEASE_TTL_MS = 120_000;

/** The lease of one recompute. Not for concurrent calls. */
export class Lease {
  readonly token: string;
  /** What a statement needs of the lease when it begins, ms. */
  readonly reserve_ms: number;
  readonly #engine: Engine;
  readonly #options: LeaseOptions;
  /** Until when the claim holds for certain, by our clock, ms: the engine's row holds a little longer. */
  #until_ms = -Infinity;
  #version = 0;

  constructor(engine: Engine, options: LeaseOptions) {
    this.#engine = engine;
    this.#options = options;
    this.token = options.token;
    this.reserve_ms = options.reserve_ms;
  }

  /** Takes or renews the lease; false when another holds it or claimed it at the same moment. */
  async hold(): Promise<boolean> {
    const { now_ms, ttl_ms, reserve_ms } = this.#options;
    if (now_ms() + reserve_ms < this.#until_ms) return true;
    // A claim of ours that could hold up the holder is not even made.
    if (!this.isHeld() && (await this.#hasOthers())) return false;
    const claimed_ms = now_ms();
    await this.#claim(ttl_ms);
    if (await this.#hasOthers()) {
      await this.release();
      return false;
    }
    this.#until_ms = claimed_ms + ttl_ms;
    return this.isHeld();
  }

  /** Whether the lease has been held without a break until now. */
  isHeld(): boolean {
    return this.#options.now_ms() < this.#until_ms;
  }

  /** Gives the lease back, so that others need not wait for its end. */
  async release(): Promise<void> {
    this.#until_ms = -Infinity;
    if (this.#version > 0) await this.#claim(0);
  }

  async #claim(duration_ms: number): Promise<void> {
    this.#version += 1;
    const params = { token: this.token, duration_ms, ver: this.#version };
    await this.#engine.command(loadQuery("claim_lease"), params, "insert");
  }

  async #hasOthers(): Promise<boolean> {
    const [row] = await this.#engine.query<{ others: number }>(loadQuery("select_other_leases"), {
      token: this.token,
    });
    return (row?.others ?? 0) > 0;
  }
}
