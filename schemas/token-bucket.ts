/**
 * A rate as a bucket: it fills at the rate up to a burst, and what is taken may leave a debt that has to
 * be waited off. Pure: the time is an argument.
 *
 * Invariant: over any time, no more than the burst, the rate times that time and the last taking is
 * taken; a clock that goes back adds nothing.
 */

/** Seconds' worth of the rate that may be taken at once. */
export const BURST_S = 10;

export class TokenBucket {
  readonly rate_per_s: number;
  readonly #burst: number;
  #level: number;
  #filled_ms: number;

  /** Full at first. */
  constructor(rate_per_s: number, now_ms: number) {
    this.rate_per_s = rate_per_s;
    this.#burst = rate_per_s * BURST_S;
    this.#level = this.#burst;
    this.#filled_ms = now_ms;
  }

  /** Milliseconds until something may be taken; 0 when it may be now. */
  wait_ms(now_ms: number): number {
    this.#fill(now_ms);
    return this.#level > 0 ? 0 : Math.ceil((-this.#level / this.rate_per_s) * 1000) + 1;
  }

  /** Takes what has come, however much it is: what comes after waits for it. */
  take(amount: number, now_ms: number): void {
    this.#fill(now_ms);
    this.#level -= amount;
  }

  #fill(now_ms: number): void {
    const passed_ms = Math.max(now_ms - this.#filled_ms, 0);
    this.#filled_ms = now_ms;
    this.#level = Math.min(this.#level + (passed_ms / 1000) * this.rate_per_s, this.#burst);
  }
}
