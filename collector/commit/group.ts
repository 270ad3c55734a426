/**
 * Group commit: what arrives while one write runs is written together by the next. Under load the
 * groups grow by themselves and the disk is not asked for more syncs than it can do; alone, an item
 * is written at once.
 */
import { RetryableError } from "../../schemas/errors.ts";

export interface GroupCommit<Item> {
  /** Resolves when the items are written; rejects with the error of their group. */
  add(items: readonly Item[]): Promise<void>;
  /** Resolves when nothing is waiting or being written. */
  idle(): Promise<void>;
}

interface Waiting<Item> {
  readonly items: readonly Item[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Groups items for `write`, which gets them in order and never runs twice at once. Above
 * `max_waiting_items` an addition is refused, unless nothing waits.
 */
export function makeGroupCommit<Item>(
  max_waiting_items: number,
  write: (items: Item[]) => Promise<void>,
): GroupCommit<Item> {
  let waiting: Waiting<Item>[] = [];
  let waitingItems = 0;
  let running: Promise<void> | null = null;

  /** A write that throws at once is a rejection too, and `running` is set before it is handled. */
  async function writeItems(items: Item[]): Promise<void> {
    await write(items);
  }

  async function writeAll(): Promise<void> {
    while (waiting.length > 0) {
      const group = waiting;
      waiting = [];
      waitingItems = 0;
      try {
        await writeItems(group.flatMap((entry) => entry.items));
        for (const entry of group) entry.resolve();
      } catch (error) {
        for (const entry of group) entry.reject(error);
      }
    }
    running = null;
  }

  return {
    add(items) {
      if (waitingItems > 0 && waitingItems + items.length > max_waiting_items) {
        return Promise.reject(
          new RetryableError("overloaded", "The log is behind; send this request again."),
        );
      }
      return new Promise((resolve, reject) => {
        waiting.push({ items, resolve, reject });
        waitingItems += items.length;
        running ??= writeAll();
      });
    },
    async idle() {
      for (let current = running; current !== null; current = running) await current;
    },
  };
}
