/**
 * The lease against the engine: whatever the order in which several take, renew, lose and give it back,
 * never do two hold it at once, and somebody gets it in the end.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { openTestEngine, type TestEngine } from "../../test/support/engine.ts";
import { replaceMethods } from "../../test/support/ledger.ts";
import { makeRandom } from "../../test/support/random.ts";
import { Lease } from "./lease.ts";

let test_engine: TestEngine;
beforeAll(async () => {
  test_engine = await openTestEngine();
});
afterAll(() => test_engine.close());
beforeEach(() => test_engine.engine.command("TRUNCATE TABLE recompute_lease"));

let leases_made = 0;

function makeLease(ttl_ms = 60_000, reserve_ms = ttl_ms / 2): Lease {
  leases_made += 1;
  const now_ms = () => performance.now();
  const token = `holder-${leases_made}`;
  return new Lease(test_engine.engine, { token, ttl_ms, reserve_ms, now_ms });
}

describe("a lease", () => {
  test("goes to the first that takes it, and to another once it is given back", async () => {
    const [one, two] = [makeLease(), makeLease()];
    expect([await one.hold(), await two.hold(), await one.hold()]).toEqual([true, false, true]);
    expect([one.isHeld(), two.isHeld()]).toEqual([true, false]);
    await one.release();
    expect([one.isHeld(), await two.hold(), await one.hold()]).toEqual([false, true, false]);
  });

  test("of one that died goes to another when its time is over, not before", async () => {
    const [dead, heir] = [makeLease(1_500), makeLease()];
    expect(await dead.hold()).toBe(true);
    expect(await heir.hold()).toBe(false);
    await expect.poll(() => heir.hold(), { timeout: 20_000, interval: 100 }).toBe(true);
    expect([dead.isHeld(), await dead.hold()]).toEqual([false, false]);
  });

  test("is renewed by its holder for as long as it asks", async () => {
    const [holder, other] = [makeLease(3_000, 2_500), makeLease()];
    for (let round = 0; round < 8; round += 1) {
      expect(await holder.hold()).toBe(true);
      expect(await other.hold()).toBe(false);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  });
});

describe("several that take it at once", () => {
  test.each([1, 2, 3])("never hold it together (seed %d)", async (seed) => {
    const random = makeRandom(seed);
    const { engine } = test_engine;
    // Every step of each is held up at random, so that they interleave in many ways.
    const dally = () => new Promise((resolve) => setTimeout(resolve, random.whole(12)));
    const slow = replaceMethods(engine, {
      async query(sql, params) {
        await dally();
        return engine.query(sql, params);
      },
      async command(sql, params, lane) {
        await dally();
        await engine.command(sql, params, lane);
      },
    });
    let holders = 0;
    let held = 0;
    const compete = async (number: number) => {
      const token = `racer-${seed}-${number}`;
      const now_ms = () => performance.now();
      const lease = new Lease(slow, { token, ttl_ms: 60_000, reserve_ms: 1_000, now_ms });
      for (let round = 0; round < 12; round += 1) {
        if (await lease.hold()) {
          holders += 1;
          held += 1;
          expect(holders).toBe(1);
          await dally();
          holders -= 1;
          await lease.release();
        }
        await dally();
      }
    };
    await Promise.all([compete(1), compete(2), compete(3)]);
    expect(held).toBeGreaterThan(0);
  });
});
