/**
 * The pass over a trace export in protobuf: decode, normalize, price and columns, span by span and in
 * place, into rows of a block. What is written unusually goes through the same stages as an object.
 *
 * Invariant: rows, counts and notes are those that the stages give one after the other, whatever part
 * of a body goes which way; a body that is refused leaves no row.
 */
import { ByteTable } from "../schemas/byte-table.ts";
import { PermanentError } from "../schemas/errors.ts";
import type { Sender } from "../schemas/sender.ts";
import type { TimeBounds } from "../schemas/set-aside.ts";
import type { Attributes, Span } from "../schemas/span.ts";
import { NANOSECONDS_PER_SECOND } from "../schemas/units.ts";
import { NOWHERE, WireSpan } from "../schemas/wire-span.ts";
import type { SpanRows } from "./columns/span-rows.ts";
import { formatAttribute } from "./columns/text.ts";
import { FOUND_END, FOUND_ODD_BODY, FOUND_SPAN, TraceScanner } from "./decode/scan.ts";
import { Shapes } from "./decode/shapes.ts";
import { SpanForms } from "./normalize/forms.ts";
import { type Context, makeContext } from "./normalize/normalize.ts";
import type { PriceBook } from "./price/book.ts";
import {
  type CompiledPricing,
  compilePricing,
  isRefused,
  makePricedCounts,
  priceCounts,
  priceSpan,
} from "./price/cost.ts";

/** Resources with their scopes known at once. */
const MAX_CONTEXTS = 4_096;
const MAX_CONTEXT_TABLE_BYTES = 16 * 1024 ** 2;
/** Larger resources are read anew each time, bytes. */
const MAX_CONTEXT_BYTES = 64 * 1024;

/** Where the spans of a body go: rows, and what the log has to know of them. */
export interface SpanTarget {
  readonly rows: SpanRows;
  /** Told of the project and start of each row, Unix seconds. */
  readonly addTime: (project_id: string, start_s: number) => void;
  /** Told when the row added last was made of an object, for metrics. */
  readonly noteObject?: () => void;
}

/** What a body may hold. */
export interface BodyLimits extends TimeBounds {
  /** Resource attributes, counted for each span that repeats them, characters. */
  readonly max_resource_size: number;
}

export interface PassOptions {
  readonly book: PriceBook;
  readonly capture_content: boolean;
  /** For tables that senders fill: nobody outside may know it. */
  readonly seed: number;
}

interface KnownContext {
  readonly context: Context;
  /** Characters of the resource attributes: about the bytes that each span takes for them. */
  readonly resource_size: number;
}

/** What all bodies have in common: known shapes, forms and contexts. */
export class TracePass {
  readonly #options: PassOptions;
  readonly shapes: Shapes;
  readonly wire = new WireSpan();
  readonly forms: SpanForms<CompiledPricing>;
  readonly #priced = makePricedCounts();
  readonly #contexts: ByteTable;
  readonly #known: KnownContext[] = [];
  /** Numbers of projects with the keys that they are written to by. */
  readonly #senders = new Map<string, number>();
  readonly #key = Buffer.alloc(MAX_CONTEXT_BYTES + 16);
  readonly #key_view = new DataView(this.#key.buffer, this.#key.byteOffset, this.#key.length);
  /** The body at work, for values that the forms ask for. */
  #scanner: TraceScanner | null = null;

  constructor(options: PassOptions) {
    const { capture_content, seed } = options;
    this.#options = options;
    this.shapes = new Shapes(seed);
    this.#contexts = new ByteTable(MAX_CONTEXTS, MAX_CONTEXT_TABLE_BYTES, seed);
    this.forms = new SpanForms(
      {
        capture_content,
        seed,
        describeShape: (shape) => this.shapes.describe(shape),
        readValue: (at, size) => this.#scanner?.readValue(at, size),
        formatValue: formatAttribute,
      },
      this.wire,
    );
  }

  /** Takes a body in hand between two spans. */
  resume(scanner: TraceScanner): void {
    this.#scanner = scanner;
    scanner.resume();
    if (this.shapes.isFull() || this.forms.isFull()) {
      this.shapes.clear();
      this.forms.clear();
    }
  }

  /** The context of the span that the scanner found last. */
  contextOf(scanner: TraceScanner, sender: Sender): KnownContext {
    const size = this.#writeKey(scanner, sender);
    const known = size === 0 ? -1 : this.#contexts.find(this.#key_view, 0, size);
    if (known !== -1) return this.#known[known] as KnownContext;
    const { capture_content } = this.#options;
    const resource = scanner.decodeResource();
    const { project_id, key_id } = sender;
    const options = { project_id, key_id, capture_content };
    const context = makeContext(resource, scanner.decodeScope(), options);
    const made = { context, resource_size: measureAttributes(resource) };
    // What has to be noted has to be noted each time.
    if (size === 0 || scanner.hasNotes()) return made;
    if (this.#contexts.isFull()) {
      this.#contexts.clear();
      this.#known.length = 0;
      this.#senders.clear();
      // The number of the sender in the key is one of those just forgotten.
      this.#writeKey(scanner, sender);
    }
    const number = this.#contexts.intern(this.#key_view, 0, size);
    if (number !== -1) this.#known[number] = made;
    return made;
  }

  /** Writes what a context is known by; returns its size, 0 when it is too large to be known. */
  #writeKey(scanner: TraceScanner, { project_id, key_id }: Sender): number {
    const { resource_at, resource_size, scope_at, scope_size } = scanner;
    if (resource_size + scope_size > MAX_CONTEXT_BYTES) return 0;
    const name = `${key_id} ${project_id}`;
    let number = this.#senders.get(name);
    if (number === undefined) {
      number = this.#senders.size;
      this.#senders.set(name, number);
    }
    const { bytes } = this.wire;
    this.#key_view.setInt32(0, number, true);
    this.#key_view.setInt32(4, resource_size, true);
    bytes.copy(this.#key, 8, resource_at, resource_at + resource_size);
    bytes.copy(this.#key, 8 + resource_size, scope_at, scope_at + scope_size);
    return 8 + resource_size + scope_size;
  }

  /** Adds the span in place to the rows; false when it has to go as an object. */
  addInPlace(context: Context, start_high: number, start_low: number, rows: SpanRows): boolean {
    const { forms } = this;
    if (!forms.read(context)) return false;
    const { row, form, span_class } = forms;
    if (span_class !== "billable" && span_class !== "aggregate") {
      forms.settle("none", "", "");
    } else {
      form.pricing ??= compilePricing(this.#options.book, form.span);
      const priced = this.#priced;
      const { status, http_status } = form.span;
      const is_refused = isRefused(span_class, status, http_status);
      priceCounts(form.pricing, start_high, start_low, row.tokens, is_refused, priced);
      if (!priced.is_exact) return false;
      row.priced_mask = priced.cost_mask;
      row.cost = priced.cost;
      forms.settle(priced.cost_status, priced.price_id, priced.complaint);
    }
    rows.appendRow(row);
    return true;
  }

  /** The span found last as an object, normalized and priced; undefined when it is refused. */
  makeSpan(scanner: TraceScanner, context: Context, is_plain: boolean): Span | undefined {
    const decoded = scanner.decodeSpan();
    if (decoded === undefined) return undefined;
    const span = this.forms.learn(decoded, context, is_plain && !scanner.hasNotes());
    priceSpan(this.#options.book, span);
    return span;
  }
}

/** What came of a body so far. */
export interface BodyCounts {
  /** Spans that became rows. */
  rows: number;
  calls: number;
  /** Resource attributes, counted for each span that repeats them, characters. */
  resource_size: number;
  /** Spans of services that the key may not send. */
  foreign: number;
}

/** One body on its way. */
export class TraceBody {
  readonly counts: BodyCounts = { rows: 0, calls: 0, resource_size: 0, foreign: 0 };
  /** Spans that became no rows because their start is no time. */
  readonly refused: Span[] = [];
  readonly scanner: TraceScanner;
  readonly #pass: TracePass;
  readonly #sender: Sender;
  #target: SpanTarget;
  readonly #limits: BodyLimits;
  readonly #oldest_high: number;
  readonly #oldest_low: number;
  readonly #latest_high: number;
  readonly #latest_low: number;
  #envelope = 0;
  #known: KnownContext | null = null;
  #is_foreign = false;

  constructor(
    pass: TracePass,
    body: Uint8Array,
    sender: Sender,
    target: SpanTarget,
    limits: BodyLimits,
  ) {
    this.#pass = pass;
    this.#sender = sender;
    this.#target = target;
    this.#oldest_high = highOf(limits.oldest_ns);
    this.#oldest_low = lowOf(limits.oldest_ns);
    this.#latest_high = highOf(limits.latest_ns);
    this.#latest_low = lowOf(limits.latest_ns);
    this.#limits = limits;
    this.scanner = new TraceScanner(body, pass.shapes, pass.wire);
  }

  /** Adds what comes next somewhere else. */
  turnTo(target: SpanTarget): void {
    this.#target = target;
  }

  /**
   * Goes on for at most that many spans, and until the rows are of that many bytes. "more" when there
   * are more, "done" at the end, "odd" when the body has to go as objects; its rows are then to be taken back. Throws what refuses it.
   */
  step(max_spans: number, max_bytes: number): "more" | "done" | "odd" {
    const { scanner } = this;
    this.#pass.resume(scanner);
    try {
      for (let span = 0; span < max_spans; span += 1) {
        if (this.#target.rows.size() > max_bytes) return "more";
        const found = scanner.next();
        if (found === FOUND_END) {
          scanner.end();
          // Whether a body without a span is one of another signal only the other way can tell.
          return this.counts.rows + this.counts.foreign === 0 ? "odd" : "done";
        }
        if (found === FOUND_ODD_BODY) return "odd";
        if (!this.#addSpan(found === FOUND_SPAN)) return "odd";
      }
    } catch (error) {
      // The other way finds it again, and knows what to say of it.
      if (error instanceof PermanentError) return "odd";
      throw error;
    }
    return "more";
  }

  #addSpan(is_plain: boolean): boolean {
    const { scanner, counts } = this;
    if (this.#known === null || this.#envelope !== scanner.envelope) {
      this.#known = this.#pass.contextOf(scanner, this.#sender);
      this.#envelope = scanner.envelope;
      this.#is_foreign = !maySend(this.#sender, this.#known.context.service_name);
    }
    if (this.#is_foreign) {
      counts.foreign += 1;
      return true;
    }
    const { context, resource_size } = this.#known;
    counts.resource_size += resource_size;
    if (counts.resource_size > this.#limits.max_resource_size) return false;
    if (!is_plain || !this.#addPlain(context)) this.#addObject(context, is_plain);
    return true;
  }

  #addPlain(context: Context): boolean {
    const { view, start_time_at } = this.#pass.wire;
    if (start_time_at === NOWHERE) return false;
    const high = view.getUint32(start_time_at + 4, true);
    const low = view.getUint32(start_time_at, true);
    if (high < this.#oldest_high || high > this.#latest_high) return false;
    if (high === this.#oldest_high && low < this.#oldest_low) return false;
    if (high === this.#latest_high && low > this.#latest_low) return false;
    if (!this.#pass.addInPlace(context, high, low, this.#target.rows)) return false;
    this.counts.rows += 1;
    if (this.#pass.forms.span_class === "billable") this.counts.calls += 1;
    this.#target.addTime(this.#sender.project_id, secondsOf(high, low));
    return true;
  }

  #addObject(context: Context, is_plain: boolean): void {
    const span = this.#pass.makeSpan(this.scanner, context, is_plain);
    if (span === undefined) return;
    if (!addSpan(span, this.#target, this.#limits, this.counts)) this.refused.push(span);
  }
}

/** Whether the key of a sender may send telemetry of a service. */
export function maySend({ allowed_service_name }: Sender, service_name: string): boolean {
  return allowed_service_name === null || allowed_service_name === service_name;
}

/** Adds a span that is an object; false, with nothing added, when its start is no time. */
export function addSpan(
  span: Span,
  target: SpanTarget,
  { oldest_ns, latest_ns }: BodyLimits,
  counts: BodyCounts,
): boolean {
  const { start_ns, project_id } = span;
  if (start_ns < oldest_ns || start_ns > latest_ns) return false;
  target.rows.appendSpan(span);
  counts.rows += 1;
  if (span.span_class === "billable") counts.calls += 1;
  target.addTime(project_id, Number(start_ns / NANOSECONDS_PER_SECOND));
  target.noteObject?.();
  return true;
}

/** Characters of the keys and texts of attributes: about the bytes they take in a block. */
export function measureAttributes({ keys, values }: Attributes): number {
  let size = 0;
  for (let index = 0; index < keys.length; index += 1) {
    const value = values[index];
    size += (keys[index] as string).length + (typeof value === "string" ? value.length : 8);
  }
  return size;
}

/** The upper and the lower 32 bits of 64, unsigned. */
function highOf(time_ns: bigint): number {
  return Number(BigInt.asUintN(32, time_ns >> 32n));
}
function lowOf(time_ns: bigint): number {
  return Number(BigInt.asUintN(32, time_ns));
}

/** Whole seconds of a Unix time in ns, exactly: a double alone is off by up to 256 ns. */
function secondsOf(high: number, low: number): number {
  const seconds = Math.floor((high * 0x1_0000_0000 + low) / 1e9);
  // The rest is small, so its lower 32 bits tell it with its sign.
  const rest = (low - Math.imul(seconds, 1_000_000_000)) | 0;
  if (rest < 0) return seconds - 1;
  return rest >= 1_000_000_000 ? seconds + 1 : seconds;
}
