/**
 * A bounded pool of things that do one job at a time. Waiting is first come, first served, and
 * bounded in number and time: who waits too long is told to come back rather than kept.
 *
 * Invariant: a job holds one of `size` slots from before its session is opened until after the job
 * has ended, so whatever fails in between, the slot goes to the next in line.
 */
import { RetryableError } from "../schemas/errors.ts";

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout | undefined;
}

/** Jobs that wait for a session at most; one more is refused at once. */
export const MAX_WAITING_JOBS = 1_024;

function busyError(): RetryableError {
  return new RetryableError("engine_busy", "Too many queries at once; try again.");
}

function closedError(): RetryableError {
  return new RetryableError("engine_closed", "The engine is shutting down.");
}

/** Sessions opened when they are first needed, `size` at most; waits `max_wait_ms` at most. */
export class SessionPool<Session extends { close(): void }> {
  readonly #max_wait_ms: number;
  readonly #open: () => Promise<Session>;
  readonly #idle: Session[] = [];
  readonly #waiting: Waiter[] = [];
  readonly #running = new Set<Promise<unknown>>();
  #free_slots: number;
  #closed = false;

  constructor(size: number, max_wait_ms: number, open: () => Promise<Session>) {
    this.#free_slots = size;
    this.#max_wait_ms = max_wait_ms;
    this.#open = open;
  }

  /**
   * Runs a job on a free session, opening one while there are fewer than the size. Throws what the
   * job or the opening throws, RetryableError "engine_busy" or "engine_closed".
   */
  async use<Result>(job: (session: Session) => Promise<Result>): Promise<Result> {
    if (this.#closed) throw closedError();
    const running = this.#run(job);
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  async #run<Result>(job: (session: Session) => Promise<Result>): Promise<Result> {
    await this.#takeSlot();
    try {
      const session = this.#idle.pop() ?? (await this.#open());
      try {
        return await job(session);
      } finally {
        this.#idle.push(session);
      }
    } finally {
      this.#giveSlot();
    }
  }

  async #takeSlot(): Promise<void> {
    if (this.#free_slots > 0) {
      this.#free_slots -= 1;
      return;
    }
    if (this.#waiting.length >= MAX_WAITING_JOBS) throw busyError();
    await new Promise<void>((resolve, reject) => {
      const giveUp = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        reject(busyError());
      };
      const timer = Number.isFinite(this.#max_wait_ms)
        ? setTimeout(giveUp, this.#max_wait_ms)
        : undefined;
      const waiter = { resolve, reject, timer };
      this.#waiting.push(waiter);
    });
  }

  #giveSlot(): void {
    const next = this.#waiting.shift();
    if (next === undefined) {
      this.#free_slots += 1;
      return;
    }
    clearTimeout(next.timer);
    next.resolve();
  }

  /** Refuses new jobs and those that wait, waits for running ones and closes every session. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const { reject, timer } of this.#waiting.splice(0)) {
      clearTimeout(timer);
      reject(closedError());
    }
    await Promise.allSettled(this.#running);
    for (const session of this.#idle.splice(0)) session.close();
  }
}
