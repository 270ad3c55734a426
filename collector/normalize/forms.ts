/**
 * Normalizes spans in place. Which dialect speaks, whether a span counts, and every word in its row
 * follow from a few words of the span; spans with the same words are of one form. The first span of a
 * form is normalized as an object, with its reads remembered (`Reads`); of the next ones only ids,
 * times and counts are read.
 *
 * Invariant: a span in place gives the row that `normalizeScope` would give. What a form cannot
 * promise that for is odd, and goes there.
 */
import { ByteTable } from "../../schemas/byte-table.ts";
import type { DecodedSpan, Span, SpanClass } from "../../schemas/span.ts";
import { SpanRow, STORE_BYTES, type StoredTag } from "../../schemas/span-row.ts";
import { MAX_TOKENS_PER_CLASS, TOKEN_CLASSES } from "../../schemas/tokens.ts";
import { NOWHERE, WIRE_TEXT, type WireSpan } from "../../schemas/wire-span.ts";
import { MAX_PLAIN_TEXT_LENGTH } from "./content.ts";
import type { Dialect } from "./dialect.ts";
import { explainsClass, type Form, makeForm, settleChecks, type Variant } from "./form.ts";
import { FormKey } from "./form-key.ts";
import { Known, type KnownOptions } from "./known.ts";
import { type Context, MAX_DURATION_NS, understandSpan } from "./normalize.ts";
import type { ShapeFacts } from "./shape-facts.ts";
import { Reads } from "./slots.ts";
import { isAscii, StoredValues, type ValueReader } from "./stored-values.ts";
import { makeSent, makeUsage, resetSent, splitCounts, type UsageName } from "./usage.ts";
import { MAX_TEXT_LENGTH } from "./values.ts";

/** Forms known at once. */
const MAX_FORMS = 32_768;
const MAX_FORM_TABLE_BYTES = 16 * 1024 ** 2;
/** Misses after which a shape is given up that misses more often than it hits. */
const MAX_MISSES = 256;
/** Notes on usage; there are some twenty. */
const MAX_NOTE_TEXTS = 256;
/** Outcomes of a form known at once: statuses, notes and prices. */
const MAX_VARIANTS = 64;

const NO_TOKENS: readonly null[] = TOKEN_CLASSES.map(() => null);
/** `[` begins placeholders, and `ai` and `req_` begin ids that are none: `SCRUBBED`, `OTHER_ID`. */
const BRACKET = 0x5b;
const AI = 0x6961;
const REQ_ = 0x5f716572;

export interface FormOptions extends ValueReader, KnownOptions {}

/** The forms met so far. `row` is the row of the span read last. */
export class SpanForms<Pricing> {
  readonly row: SpanRow;
  /** The form of that row, and what it is to the ledger. */
  form!: Form<Pricing>;
  span_class: SpanClass = "other";
  readonly #capture_content: boolean;
  readonly #values: StoredValues;
  readonly #known: Known;
  readonly #key: FormKey;
  readonly #table: ByteTable;
  readonly #forms: Form<Pricing>[] = [];
  readonly #reads = new Reads();
  readonly #sent = makeSent();
  readonly #usage = makeUsage();
  #has_usage = false;
  #notes = "";
  readonly #note_texts = new Map<string, string>();

  constructor(options: FormOptions, wire: WireSpan) {
    const { capture_content, seed } = options;
    this.#capture_content = capture_content;
    this.#values = new StoredValues(options, capture_content, seed);
    this.#known = new Known(options);
    this.#key = new FormKey(this.#known, capture_content);
    this.#table = new ByteTable(MAX_FORMS, MAX_FORM_TABLE_BYTES, seed);
    this.row = new SpanRow(wire);
  }

  /** Whether what comes next may find no room. */
  isFull(): boolean {
    return this.#table.isFull() || this.#known.isFull();
  }

  /** Forgets everything; with the shapes. */
  clear(): void {
    this.#known.clear();
    this.#table.clear();
    this.#forms.length = 0;
  }

  /** Reads the span in place into `row`; false when it has to be read as an object. */
  read(context: Context): boolean {
    const { row } = this;
    const { wire } = row;
    const facts = this.#known.factsOf(wire.shape);
    if (facts.is_odd) return false;
    const name = this.#known.nameAt(wire, wire.name_at, wire.name_size);
    if (name === undefined || !this.#key.write(row, facts, context)) return false;
    const number = this.#table.find(this.#key.view, 0, this.#key.size);
    if (number === -1) {
      facts.misses += 1;
      if (facts.misses > MAX_MISSES && facts.misses > facts.hits) facts.is_odd = true;
      return false;
    }
    facts.hits += 1;
    row.context = context;
    row.keys = facts.keys;
    row.name = name;
    const form = this.#forms[number] as Form<Pricing>;
    this.form = form;
    return (
      this.#readTimes(form) &&
      this.#storeValues(form, facts) &&
      this.#readIds(form) &&
      this.#checkTags(facts) &&
      this.#readUsage(form)
    );
  }

  /** After the values: what is stored as it is needs no second look. */
  #readIds(form: Form<Pricing>): boolean {
    const { row } = this;
    const { wire } = row;
    const { response_id, user_id, session_id } = form;
    row.response_id_at = NOWHERE;
    row.user_id_at = NOWHERE;
    row.session_id_at = NOWHERE;
    if (response_id !== NOWHERE) {
      if (!this.#isPlain(response_id, MAX_TEXT_LENGTH) || isNoResponseId(wire, response_id)) {
        return false;
      }
      row.response_id_at = wire.value_at[response_id] as number;
      row.response_id_size = wire.value_size[response_id] as number;
    }
    if (user_id !== NOWHERE) {
      if (!this.#isPlain(user_id, MAX_TEXT_LENGTH)) return false;
      row.user_id_at = wire.value_at[user_id] as number;
      row.user_id_size = wire.value_size[user_id] as number;
    }
    if (session_id !== NOWHERE) {
      if (!this.#isPlain(session_id, MAX_TEXT_LENGTH)) return false;
      row.session_id_at = wire.value_at[session_id] as number;
      row.session_id_size = wire.value_size[session_id] as number;
    }
    return true;
  }

  /** Whether the text is ASCII, and neither blank nor a placeholder. */
  #isPlain(position: number, max_size: number): boolean {
    const { wire, stores } = this.row;
    if (stores[position] === STORE_BYTES && !this.#capture_content) return true;
    const at = wire.value_at[position] as number;
    const size = wire.value_size[position] as number;
    const first = wire.view.getUint8(at);
    if (size > max_size || first <= 0x20 || first === BRACKET) return false;
    return isAscii(wire.view, at, size);
  }

  #readTimes(form: Form<Pricing>): boolean {
    const { row } = this;
    const { wire } = row;
    row.duration_ns = durationOf(wire);
    row.ttft_ns = -1;
    if (form.ttft === NOWHERE) return true;
    const sent = wire.numbers[form.ttft] as number;
    // As `readSeconds` and `readMilliseconds` have it.
    const seconds = form.ttft_in_ms ? sent / 1000 : sent;
    if (!(seconds > 0 && seconds <= 86_400)) return false;
    row.ttft_ns = Math.round(seconds * 1e9);
    return row.ttft_ns > 0;
  }

  /** Text that is blank or too long is no tag. */
  #checkTags({ keys: { tags } }: ShapeFacts): boolean {
    for (let index = 0; index < tags.length; index += 1) {
      const { position, type } = tags[index] as StoredTag;
      if (type === WIRE_TEXT && !this.#isPlain(position, MAX_PLAIN_TEXT_LENGTH)) return false;
    }
    return true;
  }

  #storeValues(form: Form<Pricing>, facts: ShapeFacts): boolean {
    const { row } = this;
    const { wire } = row;
    row.stores = form.stores;
    row.stored_texts = form.texts;
    if (!this.#values.check(wire, facts, form.checks, 0, form)) return false;
    let first = wire.attribute_count;
    for (let event = 0; event < wire.event_count; event += 1) {
      const event_facts = this.#known.factsOf(wire.event_shape[event] as number);
      const { stores, texts } = row.events;
      stores.set(event_facts.stores, first);
      for (let position = 0; position < event_facts.stores.length; position += 1) {
        texts[first + position] = "";
      }
      if (!this.#values.check(wire, event_facts, event_facts.checks, first, row.events)) {
        return false;
      }
      first = wire.event_stop[event] as number;
    }
    return true;
  }

  #readUsage(form: Form<Pricing>): boolean {
    const { row } = this;
    row.tokens = NO_TOKENS;
    row.priced_mask = 0;
    this.#notes = "";
    this.#has_usage = false;
    this.span_class = form.without_usage.span_class;
    if (form.rules === null) return true;
    const sent = this.#sent;
    const { numbers } = row.wire;
    resetSent(sent);
    for (let index = 0; index < form.count_names.length; index += 1) {
      const count = numbers[form.count_positions[index] as number] as number;
      if (count > MAX_TOKENS_PER_CLASS) return false;
      sent[form.count_names[index] as UsageName] = count;
    }
    sent.doubt = form.doubt;
    sent.has_failed = form.span.status === "error";
    const usage = this.#usage;
    splitCounts(sent, form.rules, usage);
    if (usage.web_searches > 0) return false;
    this.#has_usage = usage.status !== "missing";
    if (this.#has_usage) this.span_class = form.with_usage.span_class;
    if (this.span_class !== "billable" && this.span_class !== "aggregate") return true;
    row.tokens = usage.tokens;
    if (usage.status === "missing") {
      usage.notes.push(sent.has_failed ? "it failed without usage" : "nobody reported its usage");
    }
    if (usage.notes.length > 0) this.#notes = this.#joinNotes(usage.notes);
    return true;
  }

  /** The notes as the end of a reason; the same text for the same single note. */
  #joinNotes(notes: readonly string[]): string {
    if (notes.length > 1) return `; ${notes.join("; ")}`;
    const note = notes[0] as string;
    let text = this.#note_texts.get(note);
    if (text === undefined) {
      text = `; ${note}`;
      if (this.#note_texts.size < MAX_NOTE_TEXTS) this.#note_texts.set(note, text);
    }
    return text;
  }

  /** Sets the variant of the row, with what pricing made of it; for what is no call that is "none". */
  settle(cost_status: Span["cost_status"], price_id: string, complaint: string): void {
    const { form } = this;
    const has_usage = this.#has_usage;
    const usage_status = this.#usageStatus();
    const { variants }: { variants: Variant[] } = form;
    for (let index = 0; index < variants.length; index += 1) {
      const variant = variants[index] as Variant;
      if (
        variant.has_usage === has_usage &&
        variant.usage_status === usage_status &&
        variant.price_id === price_id &&
        variant.cost_status === cost_status &&
        variant.notes === this.#notes &&
        variant.complaint === complaint
      ) {
        this.row.variant = variant.variant;
        return;
      }
    }
    const { span_class, reason } = has_usage ? form.with_usage : form.without_usage;
    const span: Span = {
      ...form.span,
      span_class,
      reason: reason + this.#notes + complaint,
      usage_status,
      provider_calls: span_class === "billable" ? 1 : null,
      cost_status,
      price_id,
    };
    const variant = { span, block: 0, number: 0 };
    this.row.variant = variant;
    if (variants.length === MAX_VARIANTS) return;
    const notes = this.#notes;
    variants.push({
      variant,
      has_usage,
      usage_status,
      notes,
      cost_status,
      price_id,
      complaint,
    });
  }

  #usageStatus(): Span["usage_status"] {
    if (this.span_class === "aggregate") return "aggregate";
    return this.span_class === "billable" ? this.#usage.status : "none";
  }

  /**
   * Normalizes a span as an object. Where the next one like it can be read in place, that is
   * remembered: `is_plain` says that the record of the wire stands for all of the span.
   */
  learn(decoded: DecodedSpan, context: Context, is_plain: boolean): Span {
    const reads = this.#reads;
    reads.clear();
    const understood = understandSpan(decoded, context, reads);
    const { span, dialect } = understood;
    const facts = is_plain ? this.#known.factsOf(this.row.wire.shape) : null;
    if (facts === null || facts.is_odd) return span;
    const is_readable =
      !reads.has_payload && span.fee_units.length === 0 && this.#learnReads(facts, dialect);
    const form = is_readable ? makeForm<Pricing>(understood, decoded, facts, reads) : null;
    if (form === null) facts.is_odd = true;
    else this.#learnForm(form, span, facts, context);
    return span;
  }

  /** Keeps the form when it gives what the object gave. */
  #learnForm(form: Form<Pricing>, span: Span, facts: ShapeFacts, context: Context): void {
    if (
      !explainsClass(form, span) ||
      !this.#key.write(this.row, facts, context) ||
      !this.#readTimes(form) ||
      !this.#storeValues(form, facts) ||
      !this.#readIds(form)
    ) {
      return;
    }
    settleChecks(form, facts);
    const number = this.#table.intern(this.#key.view, 0, this.#key.size);
    if (number !== -1) this.#forms[number] = form;
  }

  /** Takes over which values decided; false when a form cannot stand for such spans. */
  #learnReads(facts: ShapeFacts, dialect: Dialect | undefined): boolean {
    const { words } = this.#reads;
    // Such a time says nothing without the start of its span.
    if (dialect?.fields.first_token_at.some((slot) => words.has(slot)) === true) return false;
    const positions = new Set(facts.words);
    for (const slot of words) {
      const position = facts.positions_of_slots.get(slot);
      if (position === undefined) return false;
      positions.add(position);
    }
    const reads_name = facts.reads_name || dialect?.names_agent_by_span === true;
    if (positions.size > facts.words.length || reads_name !== facts.reads_name) {
      facts.words = [...positions].toSorted((a, b) => a - b);
      facts.reads_name = reads_name;
      facts.version += 1;
    }
    return true;
  }
}

/** Whether the id is one that names no answer: `nameResponseId`. */
function isNoResponseId({ view, value_at, value_size }: WireSpan, position: number): boolean {
  const at = value_at[position] as number;
  const size = value_size[position] as number;
  if (size >= 2 && view.getUint16(at, true) === AI) return true;
  return size >= 4 && view.getInt32(at, true) === REQ_;
}

/** The duration, ns; 0 where the clock went back or the end is none. */
function durationOf({ view, start_time_at, end_time_at }: WireSpan): number {
  if (start_time_at === NOWHERE || end_time_at === NOWHERE) return 0;
  const high = view.getUint32(end_time_at + 4, true) - view.getUint32(start_time_at + 4, true);
  const low = view.getUint32(end_time_at, true) - view.getUint32(start_time_at, true);
  const duration_ns = high * 0x1_0000_0000 + low;
  return duration_ns > 0 && duration_ns <= LONGEST_NS ? duration_ns : 0;
}

const LONGEST_NS = Number(MAX_DURATION_NS);
