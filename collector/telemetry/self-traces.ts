/**
 * The collector's traces of itself: what one export request, one group of the log, one INSERT and one
 * round of the rollups spent their time on. Never a span for each span.
 *
 * Invariant: nothing is traced that our own export alone has caused. A body of our own scope is not
 * traced, and work behind the log only for a while after a request of somebody else; otherwise a
 * collector that sends to itself would never rest.
 *
 * The trace that a sender was in is not followed: docs/decisions/0014-own-telemetry.md.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import {
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
} from "@opentelemetry/api";

/** Name of the instrumentation scope of all these spans: what they are known by when they come back. */
export const SELF_SCOPE = "spanledger.self";
const SELF_SCOPE_BYTES = Buffer.from(SELF_SCOPE);
/** Where the first scope of a body is looked for, bytes: it stands behind one resource. */
const SCOPE_LOOK_BYTES = 8 * 1024;
/** Work behind the log is traced so long after a request of somebody else, ms. */
export const BUSY_MS = 10_000;
/** Links of one group: requests that shared it. */
const MAX_LINKS = 32;

/** A group of requests that were made durable together; times by performance.now(), ms. */
export interface TracedGroup {
  readonly requests: number;
  readonly spans: number;
  readonly object_spans: number;
  readonly started_ms: number;
  readonly ended_ms: number;
  readonly is_durable: boolean;
}

/** The steps of an INSERT. */
export type InsertStep = "insert" | "resolve" | "mark";

/** A span with what its children need. */
class TracedWork {
  readonly span: Span;
  readonly #tracer: Tracer;
  readonly #parent: Context;
  /** Added to performance.now() for Unix time, ms: one for a span and its children, so they fit. */
  readonly #epoch_ms: number;

  constructor(tracer: Tracer, name: string, kind: SpanKind, started_ms: number) {
    this.#tracer = tracer;
    this.#epoch_ms = Date.now() - performance.now();
    const startTime = this.#epoch_ms + started_ms;
    this.span = tracer.startSpan(name, { kind, startTime, root: true }, ROOT_CONTEXT);
    this.#parent = trace.setSpan(ROOT_CONTEXT, this.span);
  }

  /** Adds a child that is over; times by performance.now(), ms. */
  addChild(name: string, started_ms: number, ended_ms: number, more: ChildOptions = {}): Span {
    const { parent, attributes = {}, links = [], error_code = null } = more;
    const child = this.#tracer.startSpan(
      name,
      {
        startTime: this.#epoch_ms + started_ms,
        attributes,
        links: links.map((context) => ({ context })),
      },
      parent === undefined ? this.#parent : trace.setSpan(ROOT_CONTEXT, parent),
    );
    if (error_code !== null) tellError(child, error_code);
    child.end(this.#epoch_ms + Math.max(started_ms, ended_ms));
    return child;
  }

  end(ended_ms: number): void {
    this.span.end(this.#epoch_ms + ended_ms);
  }
}

interface ChildOptions {
  readonly parent?: Span;
  readonly attributes?: Attributes;
  readonly links?: readonly SpanContext[];
  readonly error_code?: string | null;
}

/** The code says what is wrong; a message may say more than a trace should hold. */
function tellError(span: Span, code: string): void {
  span.setStatus({ code: SpanStatusCode.ERROR });
  span.setAttribute("error.type", code);
}

/** One export request that was sampled. */
export class RequestTrace {
  readonly work: TracedWork;
  /** The span of its sync, once it had one. */
  sync: Span | null = null;
  readonly #owner: SelfTraces;
  readonly #started_ms: number;
  #committed_ms: number | null = null;
  #returned_ms = 0;

  constructor(owner: SelfTraces, work: TracedWork, started_ms: number) {
    this.#owner = owner;
    this.work = work;
    this.#started_ms = started_ms;
  }

  /** Its spans are decoded and wait for a group. */
  noteCommit(): void {
    this.#committed_ms ??= performance.now();
  }

  /** The pipeline has read it, or has to let others have a turn. */
  noteReturn(): void {
    this.#returned_ms = performance.now();
  }

  /** Its group is over. */
  noteGroup(group: TracedGroup): void {
    const committed_ms = this.#committed_ms ?? group.started_ms;
    this.work.addChild("decode", this.#started_ms, committed_ms);
    this.work.addChild("wait", committed_ms, group.started_ms);
    this.sync = this.work.addChild("sync", group.started_ms, group.ended_ms);
    this.#owner.joinGroup(this);
  }

  /** The request is over. `error_code` is null when it was accepted. */
  end(attributes: Attributes, error_code: string | null): void {
    const now_ms = performance.now();
    // Metric points and what is refused at once have no group of spans.
    if (this.sync === null) {
      const decoded_ms = this.#returned_ms;
      this.work.addChild("decode", this.#started_ms, decoded_ms);
      if (error_code === null) this.work.addChild("sync", decoded_ms, now_ms);
    }
    const { span } = this.work;
    span.setAttributes(attributes);
    if (error_code !== null) tellError(span, error_code);
    this.work.end(now_ms);
  }
}

/** The traces of one collector. */
export class SelfTraces {
  readonly #tracer: Tracer;
  readonly #now_ms: () => number;
  readonly #requests = new AsyncLocalStorage<RequestTrace>();
  /** Sampled requests of the group that is being told of. */
  #members: RequestTrace[] = [];
  #batch: TracedWork | null = null;
  /** When a request of somebody else came last. */
  #foreign_ms = -Infinity;

  /** `now_ms` is a clock that only goes forward. */
  constructor(tracer: Tracer, now_ms: () => number = () => performance.now()) {
    this.#tracer = tracer;
    this.#now_ms = now_ms;
  }

  /** Begins to follow a request; null when it is our own or was not sampled. */
  startRequest(signal: string, encoding: string, body: Uint8Array): RequestTrace | null {
    if (isOwnExport(body)) return null;
    this.#foreign_ms = this.#now_ms();
    const started_ms = performance.now();
    const work = new TracedWork(this.#tracer, "export request", SpanKind.SERVER, started_ms);
    if (!work.span.isRecording()) return null;
    work.span.setAttributes({
      "spanledger.signal": signal,
      "spanledger.encoding": encoding,
      "spanledger.body_bytes": body.length,
    });
    return new RequestTrace(this, work, started_ms);
  }

  /** Runs work of a request, so that `current` finds it. */
  run<Result>(request: RequestTrace, work: () => Result): Result {
    return this.#requests.run(request, work);
  }

  /** The request at work. */
  current(): RequestTrace | null {
    return this.#requests.getStore() ?? null;
  }

  /** A sampled request was in the group that is being told of. */
  joinGroup(request: RequestTrace): void {
    this.#members.push(request);
  }

  /** A group of the log is over, and its requests have been told. */
  noteGroup(group: TracedGroup): void {
    const [first, ...others] = this.#members;
    this.#members = [];
    if (first === undefined || first.sync === null) return;
    const links = others.slice(0, MAX_LINKS).flatMap(({ sync }) => sync?.spanContext() ?? []);
    first.work.addChild("wal sync group", group.started_ms, group.ended_ms, {
      parent: first.sync,
      links,
      attributes: {
        "spanledger.requests": group.requests,
        "spanledger.spans": group.spans,
        "spanledger.object_spans": group.object_spans,
      },
      error_code: group.is_durable ? null : "not_durable",
    });
  }

  /** A step of an INSERT is over; the first begins a batch. Times by performance.now(), ms. */
  noteStep(step: InsertStep, started_ms: number, ended_ms: number, is_ok: boolean): void {
    if (this.#batch === null) {
      if (!this.#isBusy()) return;
      this.#batch = new TracedWork(this.#tracer, "insert batch", SpanKind.INTERNAL, started_ms);
    }
    this.#batch.addChild(step, started_ms, ended_ms, { error_code: is_ok ? null : "failed" });
  }

  /** The batch is in, or failed with a code and will be tried again. */
  noteBatch(rows: number, error_code: string | null): void {
    const batch = this.#batch;
    this.#batch = null;
    if (batch === null) return;
    batch.span.setAttribute("spanledger.rows", rows);
    if (error_code !== null) tellError(batch.span, error_code);
    batch.end(performance.now());
  }

  /** A round of the rollups is over. */
  noteRound(buckets: number, duration_ms: number, is_ok: boolean): void {
    if (!this.#isBusy()) return;
    const now_ms = performance.now();
    const started_ms = now_ms - duration_ms;
    const round = new TracedWork(this.#tracer, "recompute round", SpanKind.INTERNAL, started_ms);
    round.span.setAttribute("spanledger.buckets", buckets);
    if (!is_ok) tellError(round.span, "failed");
    round.end(now_ms);
  }

  #isBusy(): boolean {
    return this.#now_ms() - this.#foreign_ms < BUSY_MS;
  }
}

/** Whether a body is what we export ourselves, also when a collector in between has passed it on. */
function isOwnExport(body: Uint8Array): boolean {
  const head = body.subarray(0, SCOPE_LOOK_BYTES);
  return Buffer.from(head.buffer, head.byteOffset, head.length).includes(SELF_SCOPE_BYTES);
}
