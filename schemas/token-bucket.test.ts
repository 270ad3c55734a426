/** A rate over time: what passes, what waits, and that no order of takings gets more. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { BURST_S, TokenBucket } from "./token-bucket.ts";

test("ten seconds' worth pass at once, then the rate, with the wait told to the millisecond", () => {
  const bucket = new TokenBucket(100, 0);
  bucket.take(999, 0);
  expect(bucket.wait_ms(0)).toBe(0);
  bucket.take(51, 0); // 1,050 of 1,000: half a second of debt
  expect(bucket.wait_ms(0)).toBe(501);
  expect(bucket.wait_ms(500)).toBe(1);
  expect(bucket.wait_ms(501)).toBe(0);
});

test("a bucket that was left alone holds no more than its burst", () => {
  const bucket = new TokenBucket(10, 0);
  bucket.take(10 * BURST_S + 1, 3_600_000);
  expect(bucket.wait_ms(3_600_000)).toBeGreaterThan(0);
});

test("a clock that goes back adds nothing and takes nothing", () => {
  const bucket = new TokenBucket(10, 1_000_000);
  bucket.take(110, 1_000_000);
  expect(bucket.wait_ms(0)).toBe(1_001);
  expect(bucket.wait_ms(1_001)).toBe(0);
});

test("A28 whatever is asked and when, no more passes than burst, rate and one taking allow", () => {
  const step = fc.record({ pause_ms: fc.nat(5_000), amount: fc.nat(2_000) });
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60 }),
      fc.integer({ min: 1, max: 500 }),
      (steps, rate) => {
        const bucket = new TokenBucket(rate, 0);
        let now_ms = 0;
        let passed = 0;
        let largest = 0;
        for (const { pause_ms, amount } of steps) {
          now_ms += pause_ms;
          if (bucket.wait_ms(now_ms) > 0) continue;
          bucket.take(amount, now_ms);
          passed += amount;
          largest = Math.max(largest, amount);
        }
        expect(passed).toBeLessThanOrEqual(rate * (BURST_S + now_ms / 1000) + largest + 1e-6);
      },
    ),
  );
});
