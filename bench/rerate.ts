/**
 * The bench of pricing stored calls again: a ledger of calls priced by one book, and
 *
 * - `rebuild`: every call priced by the corrected book in memory, encoded and inserted into an empty
 *   table. It is cheaper than any real rebuild, which would read and decode the calls first;
 * - `rerate_all`: re-rating when every price was corrected;
 * - `rerate_one_model`: when the prices of one model were;
 * - `rerate_nothing`: when none was.
 *
 * Both of the first two must end with the same totals, to the last digit. Not measured: recomputing the
 * rollups afterwards (`ledger` has that) and inserts at the same time.
 */
import { join } from "node:path";
import type { Engine } from "../clickhouse/engine.ts";
import { type BlockWriter, makeBlockWriter } from "../collector/columns/block.ts";
import {
  compilePrices,
  makeRater,
  MAX_BLOCK_SPANS,
  type PriceBook,
  READERS,
} from "../collector/pipeline.ts";
import { priceSpan } from "../collector/price/cost.ts";
import type { Rater } from "../collector/rating/rater.ts";
import { rerate } from "../collector/rating/rerate.ts";
import { SPAN_COLUMNS } from "../schemas/columns.ts";
import { readPriceFiles } from "../schemas/price-files.ts";
import type { ModelPrices, PriceFile } from "../schemas/prices.ts";
import type { Span } from "../schemas/span.ts";
import { TOKEN_CLASSES } from "../schemas/tokens.ts";
import { makeBodies } from "./bodies.ts";
import { openBenchEngine, readVersion } from "./engine.ts";
import { type BenchOptions, type BenchResult, hashOf, measure, type Variant } from "./measure.ts";

const SIZES = {
  full: { calls: 1_000_000, days: 10 },
  small: { calls: 5_000, days: 1 },
};
const PROJECTS = 50;
const FIRST_START_NS = BigInt(Date.UTC(2026, 9, 1)) * 1_000_000n;
const DAY_NS = 86_400_000_000_000n;
/** Bodies from which the calls are copied. */
const TEMPLATE_BODIES = 16;
/** Blocks of one INSERT: as many rows as the insert loop sends at most, about. */
const BLOCKS_PER_INSERT = 4;

/** A price book as both ways of pricing need it. */
interface Book {
  readonly book: PriceBook;
  readonly rater: Rater;
}

interface Bench {
  readonly engine: Engine;
  readonly size: { readonly calls: number; readonly days: number };
  readonly templates: readonly Span[];
}

/** Runs the bench. Throws when re-rating ends with other totals than the rebuild. */
export async function runRerate(options: BenchOptions): Promise<BenchResult> {
  const size = SIZES[options.small ? "small" : "full"];
  const engine = await openBenchEngine(join(options.directory, "clickhouse"));
  try {
    const bench = { engine, size, templates: readTemplates() };
    const books = makeBooks();
    options.tell(`rerate: inserting ${size.calls} calls`);
    await insertCalls(bench, books.stored, "spans");
    await engine.command("CREATE TABLE spans_rebuilt AS spans");
    const group = await measure(makeVariants(bench, books), {
      name: "rerate",
      unit: "span",
      runs: options.small ? 1 : 3,
      sample_ms: 1, // one pass, which takes seconds at full size
      baseline: "rebuild",
      tell: options.tell,
    });
    const facts = { ...size, projects: PROJECTS };
    return { name: "rerate", clickhouse: await readVersion(engine), facts, groups: [group] };
  } finally {
    await engine.close();
  }
}

/** Model calls as the bodies of the ingest bench make them, not priced. */
function readTemplates(): Span[] {
  const nothing = compilePrices([]).book;
  const options = { project_id: "", capture_content: false };
  return makeBodies(TEMPLATE_BODIES)
    .flatMap((body) => READERS.traces(body, "protobuf", nothing, options).spans)
    .filter((span) => span.span_class === "billable")
    .map((span) => ({ ...span, reason: span.reason.replace(/; the price book has no .*$/, "") }));
}

interface Books {
  /** The one that the calls are stored with. */
  readonly stored: Book;
  /** Every price is another, and one model more has one. */
  readonly corrected: Book;
  /** Like `corrected` but for one model. */
  readonly one_more: Book;
}

/** The model of the last correction: one of eleven. */
const ONE_MODEL = "gpt-4o-mini";

function makeBooks(): Books {
  const list = readPriceFiles();
  const own: PriceFile = {
    provider: "vllm",
    currency: "USD",
    models: [
      {
        model: "house-tuned-8b",
        aliases: [],
        other_regions: "same",
        prices: [
          {
            valid_from: null,
            tier: "standard",
            regions: [],
            input_tokens_over: 0,
            usd_per_million: { input_uncached: "0.02", cache_read: "0.01", output_text: "0.05" },
            usd_per_thousand: {},
            source: "bench",
            evidence_date: "2026-10-01",
          },
        ],
      },
    ],
  };
  const corrected = correctPrices(list, () => true);
  const one_more = correctPrices(corrected, ({ model }) => model === ONE_MODEL);
  return {
    stored: makeBook(list, []),
    corrected: makeBook(corrected, [own]),
    one_more: makeBook(one_more, [own]),
  };
}

function makeBook(list: readonly PriceFile[], negotiated: readonly PriceFile[]): Book {
  const prices = compilePrices(list, negotiated);
  return { book: prices.book, rater: makeRater(prices) };
}

/** The same prices, those of some models a millionth of a dollar higher. */
function correctPrices(
  files: readonly PriceFile[],
  isWrong: (model: ModelPrices) => boolean,
): PriceFile[] {
  return files.map((file) => ({
    ...file,
    models: file.models.map((model) =>
      isWrong(model) ? { ...model, prices: model.prices.map(raiseRow) } : model,
    ),
  }));
}

function raiseRow(row: ModelPrices["prices"][number]): ModelPrices["prices"][number] {
  const raised = Object.entries(row.usd_per_million).map(([name, usd]) => {
    const [whole = "", fraction = ""] = String(usd).split(".");
    const millionths = String(BigInt(whole + fraction.padEnd(6, "0")) + 1n).padStart(7, "0");
    return [name, `${millionths.slice(0, -6)}.${millionths.slice(-6)}`];
  });
  return { ...row, usd_per_million: Object.fromEntries(raised) };
}

/** The call of a number, the same in every run: spread evenly over the days and the projects. */
function makeCall({ templates, size }: Bench, number: number): Span {
  const template = templates[number % templates.length] as Span;
  const trace_id = new Uint8Array(16);
  const span_id = new Uint8Array(8);
  new DataView(trace_id.buffer).setUint32(0, Math.imul(number + 1, 0x9e3779b1) >>> 0);
  new DataView(span_id.buffer).setUint32(4, number + 1);
  return {
    ...template,
    project_id: `p${number % PROJECTS}`,
    start_ns: FIRST_START_NS + (DAY_NS * BigInt(size.days) * BigInt(number)) / BigInt(size.calls),
    trace_id,
    span_id,
  };
}

/** Prices every call by a book and inserts it. */
async function insertCalls(bench: Bench, { book }: Book, table: string): Promise<void> {
  const writer = makeBlockWriter();
  let blocks: Uint8Array[] = [];
  for (let from = 0; from < bench.size.calls; from += MAX_BLOCK_SPANS) {
    blocks.push(encodeCalls(bench, book, writer, from));
    const is_last = from + MAX_BLOCK_SPANS >= bench.size.calls;
    if (blocks.length < BLOCKS_PER_INSERT && !is_last) continue;
    await bench.engine.insertNative(table, SPAN_COLUMNS, blocks);
    blocks = [];
  }
}

function encodeCalls(
  bench: Bench,
  book: PriceBook,
  writer: BlockWriter<Span>,
  from: number,
): Uint8Array {
  const count = Math.min(MAX_BLOCK_SPANS, bench.size.calls - from);
  const spans = Array.from({ length: count }, (_, index) => makeCall(bench, from + index));
  for (const span of spans) priceSpan(book, span);
  return writer.encode(spans, { ingest_seq: from + 1, ingested_ms: Date.UTC(2026, 10, 1) });
}

/** Totals of a table by model and price, as one hash. */
async function hashTotals(engine: Engine, table: string): Promise<string> {
  const sums = [...TOKEN_CLASSES, "fees"].map((name) => `sum(cost_${name})`);
  const rows = await engine.query(
    `SELECT project_id, provider, request_model, response_model, price_id, toString(cost_status),
       toString(reason), count(), sum(priced_mask), sum(fees_priced), ${sums.join(", ")}
     FROM ${table} FINAL GROUP BY ALL ORDER BY ALL`,
  );
  return hashOf(rows.map((row) => JSON.stringify(row)));
}

const CORRECTED = "totals by the corrected book";

/** The table `spans` as one price book or another has it. */
class RatedTable {
  readonly #engine: Engine;
  #current: Book;

  constructor(engine: Engine, stored: Book) {
    this.#engine = engine;
    this.#current = stored;
  }

  /** Re-rates; returns how many rows changed. */
  async price(book: Book): Promise<number> {
    const report = await rerate(this.#engine, book.rater, {
      filter: { from: null, to: null, provider: null, model: null, project_id: null },
      dry_run: false,
      now_ms: Date.now,
      tell: () => {},
    });
    this.#current = book;
    return report.spans_changed;
  }

  /** Brings the prices of a book, as after some hours: replaced rows are gone. */
  async restore(book: Book): Promise<void> {
    if (this.#current !== book) await this.price(book);
    await this.#engine.command("OPTIMIZE TABLE spans FINAL");
  }
}

function rebuildVariant(bench: Bench, book: Book): Variant {
  const { engine, size } = bench;
  return {
    name: "rebuild",
    description: "every call priced in memory and inserted into an empty table",
    prepare: () => engine.command("TRUNCATE TABLE spans_rebuilt"),
    async verify() {
      await insertCalls(bench, book, "spans_rebuilt");
      return { hash: await hashTotals(engine, "spans_rebuilt"), agrees_on: CORRECTED };
    },
    async run() {
      await insertCalls(bench, book, "spans_rebuilt");
      return { units: size.calls, bytes: 0, figures: { changed_calls: size.calls } };
    },
  };
}

function makeVariants(bench: Bench, { stored, corrected, one_more }: Books): Variant[] {
  const { engine, size } = bench;
  const table = new RatedTable(engine, stored);
  const ratingVariant = (
    name: string,
    description: string,
    pass: { readonly from: Book; readonly to: Book; readonly agrees_on: string },
  ): Variant => ({
    name,
    description,
    prepare: () => table.restore(pass.from),
    async verify() {
      await table.price(pass.to);
      return { hash: await hashTotals(engine, "spans"), agrees_on: pass.agrees_on };
    },
    async run() {
      const changed_calls = await table.price(pass.to);
      return { units: size.calls, bytes: 0, figures: { changed_calls } };
    },
  });
  return [
    rebuildVariant(bench, corrected),
    ratingVariant("rerate_all", "every price was corrected", {
      from: stored,
      to: corrected,
      agrees_on: CORRECTED,
    }),
    ratingVariant("rerate_nothing", "no price was corrected", {
      from: corrected,
      to: corrected,
      agrees_on: CORRECTED,
    }),
    ratingVariant("rerate_one_model", "the prices of one model of eleven were corrected", {
      from: corrected,
      to: one_more,
      agrees_on: "totals by one more correction",
    }),
  ];
}
