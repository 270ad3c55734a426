/**
 * How much of a core the recompute may take: its share while inserts need the machine, less while they
 * are behind, and what they leave over when they are not.
 *
 * Invariant: after a round the rest is long enough that the share holds over round and rest.
 */

/** How long the past of the inserts counts, ms. */
const MEMORY_MS = 10_000;
/** Share of a core that inserts and recompute together may take when nothing is behind. */
const TOTAL_SHARE = 0.9;
/** How long spans may wait for their insert before the recompute gives way, ms. */
const ALLOWED_BEHIND_MS = 2_000;
/** The share never falls below this part of itself: rollups that stand still make reads dear. */
const LEAST_PART = 1 / 16;

/** Watches the inserts of one process. */
export class InsertLoad {
  readonly #now_ms: () => number;
  #busy_ms = 0;
  #noted_ms: number;

  constructor(now_ms: () => number) {
    this.#now_ms = now_ms;
    this.#noted_ms = now_ms();
  }

  /** Notes an insert that has ended. */
  note(duration_ms: number): void {
    this.#fade();
    this.#busy_ms += duration_ms;
  }

  /** The part of the time that inserts took lately, 0 to 1. */
  busyPart(): number {
    this.#fade();
    return Math.min(this.#busy_ms / MEMORY_MS, 1);
  }

  #fade(): void {
    const now_ms = this.#now_ms();
    const passed_ms = Math.max(now_ms - this.#noted_ms, 0);
    this.#busy_ms *= Math.exp(-passed_ms / MEMORY_MS);
    this.#noted_ms = now_ms;
  }
}

/** The share of a core, 0 to 1, when inserts take `busy_part` and wait since `behind_ms`. */
export function shareOf(least: number, busy_part: number, behind_ms: number): number {
  if (behind_ms > ALLOWED_BEHIND_MS) {
    return least * Math.max(ALLOWED_BEHIND_MS / behind_ms, LEAST_PART);
  }
  return Math.max(least, TOTAL_SHARE - busy_part);
}

/** How long to rest after working that long, ms, so that the share holds. */
export function restAfter(worked_ms: number, share: number, least_ms: number): number {
  return Math.max((Math.max(worked_ms, 0) * (1 - share)) / share, least_ms);
}
