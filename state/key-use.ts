/**
 * When keys were last used: noted in memory at each request, stored now and then, coarse on purpose.
 *
 * Invariant: a request never waits for it, and a key costs at most one write an hour and process.
 */
import { messageOf } from "../schemas/errors.ts";
import type { Log } from "../schemas/log.ts";
import type { StateStore } from "./store.ts";

/** What is told is rounded down to this, ms. */
export const USE_GRAIN_MS = 3_600_000;
/** Pause between looks for what has to be stored, ms. */
const FLUSH_INTERVAL_MS = 600_000;
/** Keys stored in one look; the others come with the next. */
const MAX_WRITES = 500;

export interface KeyUseOptions {
  readonly state: StateStore;
  readonly log: Log;
  readonly now_ms: () => number;
}

export class KeyUse {
  readonly #options: KeyUseOptions;
  /** By id of a key, Unix ms rounded; only keys that are stored get here. */
  readonly #last = new Map<string, number>();
  #timer: ReturnType<typeof setInterval> | null = null;

  constructor(options: KeyUseOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => void this.flush(), FLUSH_INTERVAL_MS);
    this.#timer.unref();
  }

  /** Stores what is not stored yet. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    await this.flush();
  }

  note = (key_id: string): void => {
    const now_ms = this.#options.now_ms();
    const hour_ms = now_ms - (now_ms % USE_GRAIN_MS);
    if (this.#last.get(key_id) !== hour_ms) this.#last.set(key_id, hour_ms);
  };

  /** Stores what is newer here than there; the engine may be away, then it is done later. */
  async flush(): Promise<void> {
    const { state, log } = this.#options;
    let writes = 0;
    for (const [key_id, used_ms] of this.#last) {
      const key = state.find("key", key_id);
      if (key === undefined || used_ms <= (lastUsedMs(state, key_id) ?? -1)) {
        this.#last.delete(key_id);
        continue;
      }
      writes += 1;
      if (writes > MAX_WRITES) return;
      try {
        const body = { key_id, last_used_at: new Date(used_ms).toISOString() };
        const { organization_id, project_id } = key;
        await state.put("key_use", key_id, { organization_id, project_id }, body);
      } catch (error) {
        log.warn({}, `when keys were used could not be stored, trying again: ${messageOf(error)}`);
        return;
      }
    }
  }
}

/** When a key was last used as far as it is stored, Unix ms; null when that is not known. */
export function lastUsedMs(state: StateStore, key_id: string): number | null {
  const use = state.find("key_use", key_id)?.body;
  return use === undefined ? null : Date.parse(use.last_used_at);
}
