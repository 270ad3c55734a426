/**
 * Which of several processes on one ClickHouse server looks at budgets and rules and delivers notices: who
 * has written a claim and then finds no other live one.
 *
 * Invariant: of two that claim, the one that looks second sees the other's claim, so never do both hold. A
 * process that sleeps past the end of its claim may still send what it was sending: that is why identities
 * of notices and deliveries do not depend on who finds them.
 */
import type { Engine } from "../clickhouse/engine.ts";
import { loadQuery } from "../clickhouse/queries.ts";

/** How long a claim holds, ms: as long do others wait for one that died. */
const LEASE_TTL_MS = 60_000;
/** How long before its end a claim is renewed, ms: longer than a delivery may take. */
const LEASE_RESERVE_MS = 30_000;

/** Whether this process may act now. */
export interface Lease {
  /** Takes or renews the lease; false when another holds it. Rejects as the engine does. */
  hold(): Promise<boolean>;
  /** Gives it back, so that others need not wait for its end. */
  release(): Promise<void>;
}

/** The lease of the embedded engine, which has one process. */
export const SOLE_LEASE: Lease = { hold: async () => true, release: async () => {} };

/** A lease by a table of the engine; the token is one of each process, the clock never goes back. */
export function makeLease(engine: Engine, token: string, now_ms: () => number): Lease {
  let until_ms = -Infinity;
  let version = 0;
  const claim = async (duration_ms: number) => {
    version += 1;
    const params = { token, duration_ms, ver: version };
    await engine.command(loadQuery("claim_alert_lease"), params, "insert");
  };
  const hasOthers = async () => {
    const sql = loadQuery("select_other_alert_leases");
    const [row] = await engine.query<{ others: number }>(sql, { token });
    return (row?.others ?? 0) > 0;
  };
  const release = async () => {
    until_ms = -Infinity;
    if (version > 0) await claim(0);
  };
  return {
    release,
    async hold() {
      if (now_ms() + LEASE_RESERVE_MS < until_ms) return true;
      // A claim of ours that could hold up the holder is not even made.
      if (now_ms() >= until_ms && (await hasOthers())) return false;
      const claimed_ms = now_ms();
      await claim(LEASE_TTL_MS);
      if (await hasOthers()) {
        await release();
        return false;
      }
      until_ms = claimed_ms + LEASE_TTL_MS;
      return true;
    },
  };
}
