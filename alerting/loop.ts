/**
 * Looks at budgets and rules again and again, and delivers what is due in between.
 *
 * Invariant: pauses are counted by a clock that never goes back; a round that fails is followed by the next
 * one. What is being sent when the program stops is sent again when it starts.
 */
import { randomUUID } from "node:crypto";
import type { Engine } from "../clickhouse/engine.ts";
import { messageOf } from "../schemas/errors.ts";
import type { Log } from "../schemas/log.ts";
import type { StateStore } from "../state/store.ts";
import { Deliverer } from "./deliver.ts";
import { evaluateAll } from "./evaluate.ts";
import { type Lease, makeLease, SOLE_LEASE } from "./lease.ts";
import { NoticeStore } from "./notices.ts";
import { RuleReader } from "./rules.ts";
import type { Senders } from "./senders.ts";
import type { AskUsage } from "./usage.ts";

/** Shortest pause between two rounds of delivery, ms. */
const MIN_DELIVERY_PAUSE_MS = 1_000;
/** Longest sleep, ms: the lease is renewed in time, and who waits for it sees soon that it is free. */
const MAX_SLEEP_MS = 20_000;

export interface AlertingOptions {
  readonly engine: Engine;
  readonly state: StateStore;
  readonly ask: AskUsage;
  readonly senders: Senders;
  readonly log: Log;
  /** Wall clock, Unix ms. */
  readonly now_ms: () => number;
  /** From the start of one look to the start of the next, ms. */
  readonly interval_ms: number;
  readonly max_attempts: number;
}

/** Alerting that runs. */
export interface RunningAlerting {
  /** Ends after what it is writing; what it is sending is cut off. */
  stop(): Promise<void>;
}

/** Starts the loop; the first look is made at once. */
export function startAlerting(options: AlertingOptions): RunningAlerting {
  const loop = new AlertingLoop(options);
  const ended = loop.run();
  return {
    async stop() {
      loop.stop();
      await ended;
    },
  };
}

class AlertingLoop {
  readonly #options: AlertingOptions;
  readonly #stopping = new AbortController();
  readonly #deliverer: Deliverer;
  readonly #lease: Lease;
  readonly #rules: RuleReader;
  readonly #notices: NoticeStore;
  /** The delivery that runs; a look does not wait for it. */
  #delivery: Promise<void> | null = null;
  /** When something is to be delivered, by the monotonic clock, ms. */
  #delivery_due_ms = 0;
  /** Ends the sleep of now. */
  #wake: () => void = () => {};

  constructor(options: AlertingOptions) {
    this.#options = options;
    const { engine, ask } = options;
    this.#deliverer = new Deliverer({ ...options, random: Math.random });
    this.#rules = new RuleReader(ask);
    this.#notices = new NoticeStore(engine);
    this.#lease =
      engine.kind === "server"
        ? makeLease(engine, randomUUID(), () => performance.now())
        : SOLE_LEASE;
  }

  stop(): void {
    this.#stopping.abort(new Error("the program stops"));
    this.#wake();
  }

  async run(): Promise<void> {
    const { interval_ms } = this.#options;
    const { signal } = this.#stopping;
    let look_due_ms = 0;
    while (!signal.aborted) {
      const began_ms = performance.now();
      const is_holder = await this.#holds();
      if (is_holder) {
        if (began_ms >= look_due_ms) {
          look_due_ms = began_ms + interval_ms;
          await this.#look();
        }
        this.#deliverDue();
      } else {
        look_due_ms = 0;
        this.#delivery_due_ms = 0;
      }
      const pause_ms = is_holder ? this.#nextDue(look_due_ms) - performance.now() : MAX_SLEEP_MS;
      await this.#sleep(Math.max(Math.min(pause_ms, MAX_SLEEP_MS), MIN_DELIVERY_PAUSE_MS));
    }
    await this.#delivery;
    await this.#quietly("the lease of alerts is not given back", () => this.#lease.release());
  }

  #nextDue(look_due_ms: number): number {
    return this.#delivery === null ? Math.min(look_due_ms, this.#delivery_due_ms) : look_due_ms;
  }

  async #holds(): Promise<boolean> {
    return (await this.#quietly("alerts wait for the storage", () => this.#lease.hold())) ?? false;
  }

  async #look(): Promise<void> {
    const evaluate = { ...this.#options, rules: this.#rules, notices: this.#notices };
    const done = await this.#quietly("budgets and alerts could not be looked at", () =>
      evaluateAll(evaluate, this.#stopping.signal),
    );
    // What another process stored before it died is due too, and only the first round finds it.
    if (done === undefined || done.notices > 0) this.#delivery_due_ms = 0;
  }

  #deliverDue(): void {
    if (this.#delivery !== null || performance.now() < this.#delivery_due_ms) return;
    this.#delivery_due_ms = Infinity;
    this.#delivery = this.#deliver().finally(() => {
      this.#delivery = null;
      this.#wake();
    });
  }

  async #deliver(): Promise<void> {
    const { now_ms, interval_ms } = this.#options;
    const { signal } = this.#stopping;
    const next_ms = await this.#quietly("notices could not be delivered", () =>
      this.#deliverer.deliver(signal),
    );
    const wait_ms =
      next_ms === undefined ? interval_ms : next_ms === null ? Infinity : next_ms - now_ms();
    this.#delivery_due_ms = Math.min(
      this.#delivery_due_ms,
      performance.now() + Math.max(wait_ms, MIN_DELIVERY_PAUSE_MS),
    );
  }

  /** Runs something whose failure is told in the log, and mended by the next round. */
  async #quietly<Result>(what: string, run: () => Promise<Result>): Promise<Result | undefined> {
    try {
      return await run();
    } catch (error) {
      if (!this.#stopping.signal.aborted)
        this.#options.log.warn({}, `${what}: ${messageOf(error)}`);
      return undefined;
    }
  }

  async #sleep(ms: number): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    const woken = Promise.withResolvers<void>();
    this.#wake = () => woken.resolve();
    const timer = setTimeout(this.#wake, ms);
    await woken.promise;
    clearTimeout(timer);
  }
}
