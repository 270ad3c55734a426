/**
 * Takes the spans, points and refused items of requests in: reads trace exports in place, gathers rows
 * in blocks, and commits them to the log.
 *
 * Invariant: what is taken in of a request is committed in the turn in which its last row was gathered.
 */
import type { Column } from "../schemas/columns.ts";
import { encodeRecord, type RecordTable } from "../schemas/record.ts";
import {
  judgeTime,
  SET_ASIDE_COLUMNS,
  setAsideRow,
  type SetAsideItem,
  type TimeBounds,
} from "../schemas/set-aside.ts";
import type { Sender } from "../schemas/sender.ts";
import type { Span } from "../schemas/span.ts";
import { USAGE_METRIC_COLUMNS, type UsageMetricPoint } from "../schemas/usage-metrics.ts";
import { makeRowWriter } from "./columns/block.ts";
import { type GroupCommit, makeGroupCommit } from "./commit/group.ts";
import { makeJsonTranscoder } from "./decode/json-wire.ts";
import type { PriceBook } from "./price/book.ts";
import { type SpanGather, SpanLog } from "./span-log.ts";
import { addSpan, maySend, TraceBody, TracePass } from "./traces.ts";
import type { Wal } from "./wal/wal.ts";

/** Rows of one block of metric points or of items set aside. */
const MAX_BLOCK_ROWS = 65_536;
/** Rows of such tables that wait for the log at most; above it senders are told to come back. */
const MAX_WAITING_ROWS = 250_000;
/** A larger request gathers for itself, and others get their turn between its spans, bytes. */
const MAX_SHARED_BODY_BYTES = 1024 ** 2;
/** Spans of one turn: a few milliseconds. */
const TURN_SPANS = 2_048;
/** Texts that one turn, or a request among others, may add, bytes. */
const MAX_TURN_BYTES = 16 * 1024 ** 2;

/** Resource attributes of one request, counted once for each item that repeats them, characters. */
export const MAX_RESOURCE_BYTES = 512 * 1024 ** 2;

export interface IntakeOptions {
  readonly wal: Wal;
  readonly book: PriceBook;
  readonly capture_content: boolean;
  readonly now_ms: () => number;
  /** A number that nobody outside knows, for tables that senders fill. */
  readonly seed: number;
  /** Told after each sync that there is something to insert. */
  readonly onSynced: () => void;
}

/** What a request holds that becomes rows, and what was refused or ignored of it. */
export interface ReadResult {
  readonly spans: Span[];
  readonly points: UsageMetricPoint[];
  /** Items that were read, whether they become rows or not. */
  readonly read_items: number;
  /** Items that are no business of the ledger: read, and not stored. */
  readonly ignored_items: number;
  readonly rejected_items: number;
  /** For the sender: reasons of rejections, and warnings. */
  readonly notes: string[];
}

/** What was taken in of a request. */
export interface Taken {
  readonly accepted_items: number;
  readonly rejected_items: number;
  readonly ignored_items: number;
  readonly counted_calls: number;
  /** Items of services that the key may not send; not among the others. */
  readonly foreign_items: number;
  /** Of the decoder: reasons of rejections, and warnings. */
  readonly notes: readonly string[];
  /** Items whose time is none: they are set aside. */
  readonly refused: readonly (Span | UsageMetricPoint)[];
  /** Resolves when all of it is synced. */
  readonly written: Promise<void>;
}

/** The way of requests into the log. */
export class Intake {
  readonly #json = makeJsonTranscoder();
  readonly #pass: TracePass;
  readonly #log: SpanLog;
  readonly #points: GroupCommit<UsageMetricPoint>;
  readonly #aside: GroupCommit<SetAsideItem>;
  readonly #now_ms: () => number;

  constructor(options: IntakeOptions) {
    const { wal, book, capture_content, seed, now_ms, onSynced } = options;
    this.#now_ms = now_ms;
    this.#pass = new TracePass({ book, capture_content, seed });
    this.#log = new SpanLog({ wal, now_ms, onSynced });
    this.#points = makeRowLog("usage_metric_points", USAGE_METRIC_COLUMNS, options);
    this.#aside = makeRowLog("set_aside_items", SET_ASIDE_COLUMNS, options);
  }

  /** Throws RetryableError("overloaded") when too much waits for the log. */
  checkRoom(): void {
    this.#log.checkRoom();
  }

  /** Resolves when nothing waits for the log any more. */
  async idle(): Promise<void> {
    await this.#log.idle();
    await this.#points.idle();
    await this.#aside.idle();
  }

  /**
   * Reads a trace export in place, of JSON in the form of protobuf; "odd" when it has to be read as
   * objects.
   */
  async readTraces(
    body: Uint8Array,
    encoding: "json" | "protobuf",
    sender: Sender,
    bounds: TimeBounds,
  ): Promise<Taken | "odd"> {
    const wire = encoding === "json" ? this.#json.transcode(body) : body;
    if (wire === null) return "odd";
    const is_small = wire.length <= MAX_SHARED_BODY_BYTES;
    const read = is_small ? this.#readShared(wire, sender, bounds) : "more";
    if (read !== "more") return read;
    // The next request is written over what was written of this one.
    const kept = encoding === "json" ? this.#json.keep(wire) : wire;
    return this.#readInTurns(kept, sender, bounds);
  }

  /**
   * Rows are committed in the turn in which they were gathered: what another request commits in
   * between would take them along, and its failure would not be told here.
   */
  #take(
    rows: number,
    own: readonly SpanGather[],
    counts: Omit<Taken, "written">,
    extra: { readonly points: readonly UsageMetricPoint[]; readonly bounds: TimeBounds },
  ): Taken & { readonly written: Promise<void> } {
    const { refused } = counts;
    const written = commitAll([
      ...(rows > 0 ? [this.#log.commit(own)] : []),
      ...(extra.points.length > 0 ? [this.#points.add(extra.points)] : []),
      ...(refused.length > 0
        ? [this.#aside.add(setAside(refused, extra.bounds, this.#now_ms()))]
        : []),
    ]);
    return { ...counts, written };
  }

  #takeBody(way: TraceBody, own: readonly SpanGather[], bounds: TimeBounds): Taken {
    const { counts, scanner, refused } = way;
    const { rejected_count, rejections, warnings } = scanner.notes;
    const taken = {
      accepted_items: counts.rows,
      rejected_items: rejected_count,
      ignored_items: 0,
      counted_calls: counts.calls,
      foreign_items: counts.foreign,
      notes: [...rejections, ...warnings],
      refused,
    };
    return this.#take(counts.rows, own, taken, { points: [], bounds });
  }

  /** A small trace export in protobuf, or how it has to go on: in turns, or as objects. */
  #readShared(body: Uint8Array, sender: Sender, bounds: TimeBounds): Taken | "more" | "odd" {
    const gather = this.#log.shared();
    const mark = gather.rows.mark();
    const limits = { ...bounds, max_resource_size: MAX_RESOURCE_BYTES };
    let end: "more" | "done" | "odd" | "failed" = "failed";
    try {
      const way = new TraceBody(this.#pass, body, sender, gather, limits);
      end = way.step(Infinity, gather.rows.size() + MAX_TURN_BYTES);
      if (end === "done") return this.#takeBody(way, [], bounds);
      return end;
    } finally {
      // Whatever stopped it, nothing of it may go out with the next request.
      if (end !== "done") gather.rows.takeBack(mark);
    }
  }

  /** A large one, with turns for others between its spans; "odd" when it has to go as objects. */
  async #readInTurns(body: Uint8Array, sender: Sender, bounds: TimeBounds): Promise<Taken | "odd"> {
    const own: SpanGather[] = [];
    let gather = this.#log.take();
    let end: "more" | "done" | "odd" | "failed" = "failed";
    try {
      const limits = { ...bounds, max_resource_size: MAX_RESOURCE_BYTES };
      const way = new TraceBody(this.#pass, body, sender, gather, limits);
      for (;;) {
        end = "failed";
        end = way.step(TURN_SPANS, gather.rows.size() + MAX_TURN_BYTES);
        if (end === "odd") return end;
        if (end === "done" || gather.isFull()) {
          own.push(gather);
          if (end === "done") return this.#takeBody(way, own, bounds);
          gather = this.#log.take();
          way.turnTo(gather);
        }
        await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      if (end !== "done") for (const used of [...own, gather]) this.#log.drop(used);
    }
  }

  /** Takes in what was read as objects. */
  takeObjects(read: ReadResult, sender: Sender, bounds: TimeBounds): Taken {
    const counts = { rows: 0, calls: 0, resource_size: 0, foreign: 0 };
    const limits = { ...bounds, max_resource_size: MAX_RESOURCE_BYTES };
    const refused: (Span | UsageMetricPoint)[] = [];
    for (const span of read.spans) {
      if (!maySend(sender, span.service_name)) counts.foreign += 1;
      else if (!addSpan(span, this.#log.shared(), limits, counts)) refused.push(span);
    }
    const timely: UsageMetricPoint[] = [];
    for (const point of read.points) {
      if (!maySend(sender, point.service_name)) counts.foreign += 1;
      else if (judgeTime(point.time_ns, bounds) === null) timely.push(point);
      else refused.push(point);
    }
    const taken = {
      accepted_items: read.read_items - refused.length - counts.foreign,
      rejected_items: read.rejected_items,
      ignored_items: read.ignored_items,
      counted_calls: counts.calls,
      foreign_items: counts.foreign,
      notes: read.notes,
      refused,
    };
    return this.#take(counts.rows, [], taken, { points: timely, bounds });
  }
}

/** Waits for all writes, so that no failure of one is left alone. */
async function commitAll(writes: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(writes);
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

/** Group commit of the rows of a table that few requests have. */
function makeRowLog<Row>(
  table: RecordTable,
  columns: readonly Column<Row>[],
  { wal, now_ms, onSynced }: IntakeOptions,
): GroupCommit<Row> {
  const writer = makeRowWriter(columns);
  return makeGroupCommit<Row>(MAX_WAITING_ROWS, async (rows) => {
    await commitAll(
      [...splitIntoRuns(rows, MAX_BLOCK_ROWS)].map(async (part) => {
        const sequence = wal.reserveSequence();
        const block = writer.encode(part, { ingest_seq: sequence, ingested_ms: now_ms() });
        const header = { table, rows: part.length, buckets: [] };
        await wal.append(sequence, encodeRecord({ header, block }));
      }),
    );
    onSynced();
  });
}

/** The rows of refused items. */
function setAside(
  items: readonly (Span | UsageMetricPoint)[],
  bounds: TimeBounds,
  received_ms: number,
): SetAsideItem[] {
  return items.map((item) => {
    const time_ns = "time_ns" in item ? item.time_ns : item.start_ns;
    return setAsideRow(item, judgeTime(time_ns, bounds) ?? "too_old", received_ms);
  });
}

function* splitIntoRuns<Row>(rows: readonly Row[], max_rows: number): Generator<readonly Row[]> {
  for (let start = 0; start < rows.length; start += max_rows) {
    yield rows.slice(start, start + max_rows);
  }
}
