/**
 * Brings stored notices to their channels: attempts, pauses between them, and the log of both.
 *
 * Invariant: a notice is stored before it is sent and an attempt written down after it was made, so that a
 * notice is sent at least once; the id of a delivery is the same in every attempt.
 */
import type { Engine } from "../clickhouse/engine.ts";
import { loadQuery } from "../clickhouse/queries.ts";
import { messageOf } from "../schemas/errors.ts";
import type { Log } from "../schemas/log.ts";
import { type Channel, type ChannelKind, type Delivery, Notice } from "../schemas/notices.ts";
import type { StateStore } from "../state/store.ts";
import type { Outcome } from "./delivery/sender.ts";
import { identityOf } from "./notices.ts";
import type { Senders } from "./senders.ts";

/** Pause after the first attempt, ms; each later one is twice as long, up to the longest. */
export const FIRST_PAUSE_MS = 5_000;
export const MAX_PAUSE_MS = 3_600_000;
/** Channels that are sent to at once; a slow one holds up nobody else. */
const MAX_CHANNELS_AT_ONCE = 16;
/** Deliveries of one round. */
const MAX_DELIVERIES = 1_000;
/** Age from which a notice is not delivered any more, ms: it would be news of last month. */
const MAX_NOTICE_AGE_MS = 30 * 86_400_000;

export interface DelivererOptions {
  readonly engine: Engine;
  readonly state: StateStore;
  readonly senders: Senders;
  readonly log: Log;
  readonly now_ms: () => number;
  /** From 0 up to 1: spreads attempts. */
  readonly random: () => number;
  /** Attempts of one delivery. */
  readonly max_attempts: number;
}

interface PendingRow {
  readonly notice_id: string;
  readonly channel_id: string;
  readonly body: string;
  readonly attempts: number;
  readonly next_attempt_ms: string;
}

/** An attempt as it is written down. */
type Attempt = Omit<Delivery, "attempted_at" | "next_attempt_at"> & {
  readonly project_id: string;
  readonly attempted_ms: number;
  readonly next_attempt_ms: number | null;
};

/** The id of a delivery. */
export function deliveryIdOf(notice_id: string, channel_id: string): string {
  return identityOf("delivery", notice_id, channel_id);
}

/** The pause after a failed attempt, from 1, ms: half of it is chance. */
export function pauseAfter(attempt: number, random: number): number {
  const full = Math.min(FIRST_PAUSE_MS * 2 ** (attempt - 1), MAX_PAUSE_MS);
  return Math.round(full / 2 + (full / 2) * random);
}

/** Delivers what is stored. One round at a time. */
export class Deliverer {
  readonly #options: DelivererOptions;
  /** Made attempts that could not be written down yet, by delivery: they are not made again. */
  readonly #unwritten = new Map<string, Attempt>();

  constructor(options: DelivererOptions) {
    this.#options = options;
  }

  /**
   * Sends all that is due. Resolves with the time of the next attempt, Unix ms, null when nothing waits;
   * rejects when the engine does not answer.
   */
  async deliver(signal: AbortSignal): Promise<number | null> {
    await this.#writeMissed();
    const { engine, now_ms } = this.#options;
    const rows = await engine.query<PendingRow>(loadQuery("select_pending_deliveries"), {
      since_ms: Math.max(now_ms() - MAX_NOTICE_AGE_MS, 0),
      limit: MAX_DELIVERIES,
    });
    const started_ms = now_ms();
    const due = rows.filter((row) => this.#isDue(row, started_ms));
    const later = rows
      .filter((row) => !due.includes(row))
      .map((row) => Number(row.next_attempt_ms));
    const by_channel = Map.groupBy(due, ({ channel_id }) => channel_id);
    const queues = [...by_channel.values()];
    const next: (number | null)[] = [...later];
    const work = async () => {
      for (let queue = queues.shift(); queue !== undefined; queue = queues.shift()) {
        for (const row of queue) {
          if (signal.aborted) return;
          next.push(await this.#attempt(row, signal));
        }
      }
    };
    await Promise.all(Array.from({ length: MAX_CHANNELS_AT_ONCE }, work));
    const times = next.filter((time) => time !== null);
    if (rows.length === MAX_DELIVERIES) times.push(started_ms);
    return times.length === 0 ? null : Math.min(...times);
  }

  /** Sends one notice to one channel now, once, and writes it down. */
  async sendOnce(channel: Channel, notice: Notice, signal: AbortSignal): Promise<Attempt> {
    const delivery_id = deliveryIdOf(notice.notice_id, channel.channel_id);
    const made = await this.#send(channel, notice, delivery_id, 1, signal);
    const attempt = { ...made, ...lastWord(made.outcome) };
    await this.#write(attempt);
    return attempt;
  }

  /** A time far ahead is of a clock that was put back. */
  #isDue({ attempts, next_attempt_ms }: PendingRow, now_ms: number): boolean {
    const wait_ms = Number(next_attempt_ms) - now_ms;
    return attempts === 0 || wait_ms <= 0 || wait_ms > MAX_PAUSE_MS;
  }

  async #attempt(row: PendingRow, signal: AbortSignal): Promise<number | null> {
    const { state, log } = this.#options;
    const notice = Notice.parse(JSON.parse(row.body));
    const delivery_id = deliveryIdOf(row.notice_id, row.channel_id);
    if (this.#unwritten.has(delivery_id)) return null;
    const channel = state.find("channel", row.channel_id);
    const is_there = channel !== undefined && channel.project_id === notice.project_id;
    const count = row.attempts + 1;
    const attempt =
      is_there && channel.body.is_enabled
        ? await this.#send(channel.body, notice, delivery_id, count, signal)
        : this.#nowhere(row, notice, delivery_id, channel?.body.kind ?? null);
    const fields = { notice_id: row.notice_id, channel_id: row.channel_id, attempt: count };
    if (attempt.outcome === "gave_up") log.error(fields, `a notice is given up: ${attempt.error}`);
    await this.#write(attempt);
    return attempt.next_attempt_ms;
  }

  async #send(
    channel: Channel,
    notice: Notice,
    delivery_id: string,
    count: number,
    signal: AbortSignal,
  ): Promise<Attempt> {
    const { senders, now_ms } = this.#options;
    const attempted_ms = now_ms();
    const began_ms = performance.now();
    const outcome = await senders.send({
      channel,
      notice,
      delivery_id,
      now_ms: attempted_ms,
      signal,
    });
    return {
      ...namesOf(notice, delivery_id),
      channel_id: channel.channel_id,
      channel_kind: channel.kind,
      attempt: count,
      attempted_ms,
      duration_ms: Math.round(performance.now() - began_ms),
      status_code: outcome.status_code,
      error: outcome.is_delivered ? null : outcome.error,
      ...this.#judge(outcome, count),
    };
  }

  /** What an outcome means for the delivery. */
  #judge(outcome: Outcome, count: number): Pick<Attempt, "outcome" | "next_attempt_ms"> {
    const { now_ms, random, max_attempts } = this.#options;
    if (outcome.is_delivered) return { outcome: "delivered", next_attempt_ms: null };
    if (outcome.is_final || count >= max_attempts) {
      return { outcome: "gave_up", next_attempt_ms: null };
    }
    const pause_ms = Math.max(pauseAfter(count, random()), outcome.retry_after_ms ?? 0);
    return { outcome: "retrying", next_attempt_ms: now_ms() + pause_ms };
  }

  #nowhere(
    row: PendingRow,
    notice: Notice,
    delivery_id: string,
    channel_kind: ChannelKind | null,
  ): Attempt {
    return {
      ...namesOf(notice, delivery_id),
      channel_id: row.channel_id,
      channel_kind,
      attempt: row.attempts + 1,
      attempted_ms: this.#options.now_ms(),
      duration_ms: 0,
      outcome: "gave_up",
      status_code: null,
      error: channel_kind === null ? "channel_gone" : "channel_off",
      next_attempt_ms: null,
    };
  }

  async #write(attempt: Attempt): Promise<void> {
    try {
      await this.#insert(attempt);
      this.#unwritten.delete(attempt.delivery_id);
    } catch (error) {
      this.#unwritten.set(attempt.delivery_id, attempt);
      const fields = { notice_id: attempt.notice_id, channel_id: attempt.channel_id };
      this.#options.log.warn(fields, `an attempt is not written down yet: ${messageOf(error)}`);
    }
  }

  async #writeMissed(): Promise<void> {
    for (const [delivery_id, attempt] of this.#unwritten) {
      await this.#insert(attempt);
      this.#unwritten.delete(delivery_id);
    }
  }

  async #insert(attempt: Attempt): Promise<void> {
    const { channel_kind, status_code, error, next_attempt_ms, ...names } = attempt;
    const params = {
      ...names,
      channel_kind: channel_kind ?? "",
      status_code: status_code ?? 0,
      error: error ?? "",
      next_attempt_ms: next_attempt_ms ?? 0,
    };
    await this.#options.engine.command(loadQuery("insert_alert_delivery"), params, "insert");
  }
}

function namesOf({ notice_id, kind, subject_id, project_id }: Notice, delivery_id: string) {
  return { delivery_id, notice_id, kind, subject_id, project_id };
}

/** What is sent once only is not tried again. */
function lastWord(outcome: Attempt["outcome"]): Pick<Attempt, "outcome" | "next_attempt_ms"> {
  return { outcome: outcome === "retrying" ? "gave_up" : outcome, next_attempt_ms: null };
}
