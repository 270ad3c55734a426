/**
 * Looks for traces that have settled, as time passes and nothing arrives.
 *
 * Invariant: a bucket that changed is marked in the end, whatever failed between.
 */
import { messageOf } from "../../schemas/errors.ts";
import type { Resolver, ResolverEvent } from "./resolver.ts";
import type { Bucket } from "./store.ts";

/** Looks again and again for traces that have settled, until stopped. */
export class SettleLoop {
  readonly #resolver: Resolver;
  readonly #interval_ms: number;
  readonly #mark: (buckets: readonly Bucket[]) => Promise<void>;
  readonly #observe: (event: ResolverEvent) => void;
  #stopped = false;
  #wake: () => void = () => {};
  #running: Promise<void> = Promise.resolve();
  /** Changed, and not known to be marked. */
  #unmarked: readonly Bucket[] = [];

  constructor(
    resolver: Resolver,
    interval_ms: number,
    mark: (buckets: readonly Bucket[]) => Promise<void>,
    observe: (event: ResolverEvent) => void,
  ) {
    this.#resolver = resolver;
    this.#interval_ms = interval_ms;
    this.#mark = mark;
    this.#observe = observe;
  }

  start(): void {
    this.#running = this.#loop();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake();
    await this.#running;
  }

  async #loop(): Promise<void> {
    while (!this.#stopped) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, this.#interval_ms);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      if (this.#stopped) return;
      try {
        this.#unmarked = [...this.#unmarked, ...(await this.#resolver.resolveWaiting())];
        if (this.#unmarked.length > 0) await this.#mark(this.#unmarked);
        this.#unmarked = [];
      } catch (error) {
        this.#observe({ kind: "failed", message: messageOf(error) });
      }
    }
  }
}
