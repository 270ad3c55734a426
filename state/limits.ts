/**
 * What projects may send: rates of items and bytes in this process, and a quota of a month that is
 * counted in the ledger.
 *
 * Invariant: what was accepted is always counted, also above a limit, and within a month a count never
 * goes back: requests at once, or ones that are sent again, get nothing for free.
 */
import type { Engine } from "../clickhouse/engine.ts";
import { loadQuery } from "../clickhouse/queries.ts";
import { messageOf, PermanentError, RetryableError } from "../schemas/errors.ts";
import type { Log } from "../schemas/log.ts";
import type { SendLimits } from "../schemas/sender.ts";
import type { IngestLimits } from "../schemas/state.ts";
import { TokenBucket } from "../schemas/token-bucket.ts";
import type { StateStore } from "./store.ts";
import { findProject } from "./tenancy.ts";

export interface LimiterOptions {
  readonly engine: Engine;
  readonly state: StateStore;
  readonly log: Log;
  readonly now_ms: () => number;
}

/** Pause between counts of the ledger, ms. */
const COUNT_INTERVAL_MS = 60_000;
/** Pause until the next count when ClickHouse did not answer, ms. */
const COUNT_RETRY_MS = 5_000;

/** What is counted of a project that has limits. */
interface Account {
  readonly limits: IngestLimits;
  readonly items: TokenBucket | null;
  readonly bytes: TokenBucket | null;
}

/** What a project has sent of its quota. */
interface Month {
  readonly month: string;
  /** At least so many, in the ledger or on the way to it. */
  spans: number;
}

/** The limits of all projects, as `startCollector` takes them. */
export class Limiter implements SendLimits {
  readonly #options: LimiterOptions;
  /** By project; none for projects without limits. Remade when the limits of a project change. */
  readonly #accounts = new Map<string, Account>();
  readonly #months = new Map<string, Month>();
  /** Ids of notices that are stored, or being so. */
  readonly #told = new Set<string>();
  #timer: ReturnType<typeof setTimeout> | null = null;
  #stopped = false;

  constructor(options: LimiterOptions) {
    this.#options = options;
  }

  /** Begins to count the ledger, now and every minute. */
  start(): void {
    void this.#countInTurns();
  }

  /** Counts no more; a count that runs is not waited for: the server may hang. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  check(project_id: string): void {
    const account = this.#accountOf(project_id);
    if (account === null) return;
    const now_ms = this.#options.now_ms();
    this.#checkQuota(project_id, account.limits, now_ms);
    const waits = [account.items, account.bytes].map((bucket) => bucket?.wait_ms(now_ms) ?? 0);
    const wait_ms = Math.max(...waits);
    if (wait_ms === 0) return;
    throw new RetryableError(
      "rate_limited",
      `The project sends more than it may (${describeRate(account.limits)}); send again in ` +
        `${Math.ceil(wait_ms / 1000)} s, or have its limits raised.`,
    );
  }

  takeBytes(project_id: string, byte_count: number): void {
    this.check(project_id);
    this.#accountOf(project_id)?.bytes?.take(byte_count, this.#options.now_ms());
  }

  takeItems(project_id: string, items: number, units: number): void {
    const account = this.#accountOf(project_id);
    if (account === null) return;
    const now_ms = this.#options.now_ms();
    account.items?.take(items, now_ms);
    if (account.limits.monthly_spans === null) return;
    this.#monthOf(project_id, now_ms).spans += units;
    this.#tellWhenReached(project_id, account.limits, now_ms);
  }

  /** Counts in the ledger what all collectors accepted this month. Throws as the engine does. */
  async count(): Promise<void> {
    const { engine, state, now_ms } = this.#options;
    const projects = state
      .list("project")
      .filter(({ body }) => body.limits.monthly_spans !== null)
      .map(({ object_id }) => object_id);
    if (projects.length === 0) return;
    const asked_ms = now_ms();
    const rows = await engine.query<{ project: string; spans: string }>(
      loadQuery("count_accepted_spans"),
      { projects, from_ms: Date.parse(`${monthAt(asked_ms)}-01T00:00:00.000Z`) },
    );
    for (const { project, spans } of rows) {
      const month = this.#monthOf(project, asked_ms);
      // What is on its way is not in the ledger yet; what is in it twice may be merged.
      month.spans = Math.max(month.spans, Number(spans));
    }
    for (const project_id of projects) {
      const account = this.#accountOf(project_id);
      if (account !== null) this.#tellWhenReached(project_id, account.limits, asked_ms);
    }
  }

  async #countInTurns(): Promise<void> {
    let pause_ms = COUNT_INTERVAL_MS;
    try {
      await this.count();
    } catch (error) {
      pause_ms = COUNT_RETRY_MS;
      this.#options.log.warn({}, `quotas are counted without the ledger: ${messageOf(error)}`);
    }
    if (this.#stopped) return;
    this.#timer = setTimeout(() => this.start(), pause_ms);
    this.#timer.unref();
  }

  #accountOf(project_id: string): Account | null {
    const limits = findProject(this.#options.state, project_id)?.body.limits;
    if (limits === undefined || Object.values(limits).every((limit) => limit === null)) {
      this.#accounts.delete(project_id);
      return null;
    }
    const known = this.#accounts.get(project_id);
    if (known !== undefined && isSame(known.limits, limits)) return known;
    const now_ms = this.#options.now_ms();
    const makeBucket = (rate: number | null) =>
      rate === null ? null : new TokenBucket(rate, now_ms);
    const account = {
      limits,
      items: makeBucket(limits.spans_per_second),
      bytes: makeBucket(limits.bytes_per_second),
    };
    this.#accounts.set(project_id, account);
    return account;
  }

  #monthOf(project_id: string, now_ms: number): Month {
    const month = monthAt(now_ms);
    const known = this.#months.get(project_id);
    if (known !== undefined && known.month >= month) return known;
    const next = { month, spans: 0 };
    this.#months.set(project_id, next);
    return next;
  }

  #checkQuota(project_id: string, { monthly_spans }: IngestLimits, now_ms: number): void {
    if (monthly_spans === null) return;
    const { month, spans } = this.#monthOf(project_id, now_ms);
    if (spans < monthly_spans) return;
    throw new PermanentError(
      "quota_exceeded",
      `The project has sent all of its ${monthly_spans} spans of ${month}. Its quota begins anew at ` +
        `${nextMonth(month)}T00:00:00Z; raise monthly_spans of the project to send before.`,
    );
  }

  /** Leaves a notice for whoever tells the owner: once a month, also when several collectors see it. */
  #tellWhenReached(project_id: string, { monthly_spans }: IngestLimits, now_ms: number): void {
    if (monthly_spans === null) return;
    const { month, spans } = this.#monthOf(project_id, now_ms);
    const { state, log } = this.#options;
    const object_id = `${project_id}:${month}`;
    if (spans < monthly_spans || this.#told.has(object_id)) return;
    this.#told.add(object_id);
    if (state.find("quota_notice", object_id) !== undefined) return;
    const project = findProject(state, project_id);
    const scope = { organization_id: project?.organization_id ?? null, project_id };
    const reached_at = new Date(now_ms).toISOString();
    const body = { project_id, month, reached_at, monthly_spans };
    log.warn({ project_id, month, monthly_spans }, "a project has sent all of its quota");
    state.put("quota_notice", object_id, scope, body, 0).catch((error: unknown) => {
      // The next count tries again; when another collector was first, it finds the notice.
      this.#told.delete(object_id);
      log.warn({}, `a notice of a quota could not be stored, trying again: ${messageOf(error)}`);
    });
  }
}

function isSame(a: IngestLimits, b: IngestLimits): boolean {
  return (
    a === b ||
    (a.spans_per_second === b.spans_per_second &&
      a.bytes_per_second === b.bytes_per_second &&
      a.monthly_spans === b.monthly_spans)
  );
}

/** Such as 2026-11, UTC. */
function monthAt(now_ms: number): string {
  return new Date(now_ms).toISOString().slice(0, 7);
}

/** The first day of the month after. */
function nextMonth(month: string): string {
  const [year = 0, number = 0] = month.split("-").map(Number);
  return new Date(Date.UTC(year, number, 1)).toISOString().slice(0, 10);
}

function describeRate({ spans_per_second, bytes_per_second }: IngestLimits): string {
  return [
    ...(spans_per_second === null ? [] : [`${spans_per_second} items a second`]),
    ...(bytes_per_second === null ? [] : [`${bytes_per_second} bytes a second`]),
  ].join(" and ");
}
