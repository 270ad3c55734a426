/**
 * `spanledger explain [--json] FILE...`: the ledger rows that OTLP bodies make, and why, without a
 * server. All files are one arrival.
 */
import { readFile } from "node:fs/promises";
import { inspect } from "node:util";
import { gunzipSync } from "node:zlib";
import {
  countCalls,
  loadPriceBook,
  type PriceBook,
  type ReadResult,
  READERS,
} from "../collector/pipeline.ts";
import type { CallRow } from "../schemas/call.ts";
import {
  callOfSpan,
  candidateOfSpan,
  isCounted,
  keyOfSpan,
  reasonOf,
} from "../schemas/call-of-span.ts";
import { messageOf, PermanentError } from "../schemas/errors.ts";
import { DEFAULT_PROJECT_ID } from "../schemas/state.ts";
import type { Span } from "../schemas/span.ts";
import { readSettings } from "./config.ts";

/** A span or event that is no row, and why. */
export interface UncountedSpan {
  readonly name: string;
  readonly reason: string;
  /** The call that is counted in its place; null when there is none. */
  readonly counted_by: string | null;
}

/** What the bodies make. */
export interface Explanation {
  readonly calls: CallRow[];
  /** Spans and events that do not count, each once. */
  readonly others: UncountedSpan[];
  /** Data points kept for reconciliation; they are never part of the ledger. */
  readonly metric_points: number;
  /** Log records and data points that are no business of the ledger. */
  readonly ignored_items: number;
  readonly rejected_items: number;
  /** What senders should know: reasons of rejections and warnings. */
  readonly notes: string[];
}

/** A body and what to call it in messages. */
export interface NamedBody {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/**
 * Explains bodies as one arrival of traces that have settled: a span sent twice is one, its last
 * version counts. The encoding is told by the first byte, as an OTLP message never begins with a
 * brace or white space; the signal by the content. A body that cannot be read throws PermanentError.
 */
export function explainBodies(
  bodies: readonly (Uint8Array | NamedBody)[],
  prices_file: string | null = null,
): Explanation {
  const book = loadPriceBook(prices_file);
  const spans = new Map<string, Span>();
  const points = new Set<string>();
  const notes = new Set<string>();
  let rejected_items = 0;
  let ignored_items = 0;
  for (const body of bodies) {
    const { name, bytes } = body instanceof Uint8Array ? { name: "body", bytes: body } : body;
    const read = readBody(name, bytes, book);
    rejected_items += read.rejected_items;
    ignored_items += read.ignored_items;
    for (const note of read.notes) notes.add(note);
    for (const span of read.spans) spans.set(keyOfSpan(span), span);
    for (const point of read.points) points.add(`${point.series} ${point.time_ns}`);
  }
  const decisions = countCalls(
    [...spans.values()].map((span) => candidateOfSpan(span)),
    () => true,
  );
  const ordered = [...spans.values()].sort((a, b) => Number(a.start_ns - b.start_ns));
  const decided = ordered.map((span) => ({ span, decision: decisions.get(keyOfSpan(span)) }));
  return {
    calls: decided.flatMap(({ span, decision }) =>
      isCounted(span, decision) ? callOfSpan(span, decision) : [],
    ),
    others: decided.flatMap(({ span, decision }) =>
      isCounted(span, decision)
        ? []
        : {
            name: span.name,
            reason: reasonOf(span, decision),
            counted_by: decision?.counted_by || null,
          },
    ),
    metric_points: points.size,
    ignored_items,
    rejected_items,
    notes: [...notes],
  };
}

/** Reads a body as the first signal that it is. */
function readBody(name: string, bytes: Uint8Array, book: PriceBook): ReadResult {
  const encoding = looksLikeJson(bytes) ? "json" : "protobuf";
  const options = { project_id: DEFAULT_PROJECT_ID, capture_content: false };
  for (const read of [READERS.traces, READERS.logs, READERS.metrics]) {
    try {
      return read(bytes, encoding, book, options);
    } catch (error) {
      if (!(error instanceof PermanentError)) throw error;
      if (error.code === "wrong_signal" && read !== READERS.metrics) continue;
      throw new PermanentError(error.code, `${name}: ${error.message}`, { cause: error });
    }
  }
  throw new PermanentError("unreadable_body", `${name}: neither traces nor logs nor metrics`);
}

/**
 * Whether the body is JSON. An OTLP message in protobuf begins with a line feed (the tag of field 1)
 * and a length, which may be a brace: after a line feed only reading it tells.
 */
function looksLikeJson(body: Uint8Array): boolean {
  const first = body.find((byte) => byte !== 0x20 && byte !== 0x0a && byte !== 0x0d);
  const may_be = first === 0x7b || first === 0x5b || first === 0xef;
  if (!may_be || body[0] !== 0x0a) return may_be;
  try {
    JSON.parse(new TextDecoder().decode(body));
    return true;
  } catch {
    return false;
  }
}

/** Largest body that is made of a compressed file, bytes. */
const MAX_INFLATED_BYTES = 1 << 30;

/**
 * The bodies of a file: one, or one a line as the file exporter of the OpenTelemetry Collector writes
 * them; also compressed by gzip.
 */
function readBodies(file: string, content: Uint8Array): NamedBody[] {
  const is_gzip = content[0] === 0x1f && content[1] === 0x8b;
  const bytes = is_gzip ? gunzipSync(content, { maxOutputLength: MAX_INFLATED_BYTES }) : content;
  const end = bytes.indexOf(0x0a);
  if (bytes[0] !== 0x7b || end === -1) return [{ name: file, bytes }];
  const text = new TextDecoder().decode(bytes);
  try {
    JSON.parse(text.slice(0, text.indexOf("\n")));
  } catch {
    return [{ name: file, bytes }]; // one body on several lines
  }
  const encoder = new TextEncoder();
  return text
    .split("\n")
    .map((line, index) => ({ name: `${file}:${index + 1}`, bytes: encoder.encode(line) }))
    .filter((body) => body.bytes.length > 0);
}

const USAGE = `usage: spanledger explain [--json] FILE...

Reads OTLP export bodies (JSON or protobuf; traces, logs, metrics; also gzip, also one JSON body a line),
all as one arrival, and prints the ledger rows they make.
  --json   print the rows as one JSON array, the same as GET /v1/calls
`;

/** Runs the command; resolves with the exit code. */
export async function runExplain(argv: readonly string[]): Promise<number> {
  const files = argv.filter((word) => !word.startsWith("-"));
  const options = argv.filter((word) => word.startsWith("-"));
  if (options.includes("--help")) {
    process.stdout.write(USAGE);
    return 0;
  }
  if (files.length === 0 || options.some((option) => option !== "--json")) {
    process.stderr.write(USAGE);
    return 2;
  }
  const bodies: NamedBody[] = [];
  for (const file of files) {
    try {
      bodies.push(...readBodies(file, await readFile(file)));
    } catch (error) {
      throw new PermanentError("unreadable_file", `cannot read ${file}: ${messageOf(error)}`);
    }
  }
  const explanation = explainBodies(bodies, readSettings().SPANLEDGER_PRICES_FILE);
  if (options.includes("--json")) {
    process.stdout.write(`${JSON.stringify(explanation.calls, null, 2)}\n`);
  } else {
    process.stdout.write(formatExplanation(explanation));
  }
  for (const note of explanation.notes) process.stderr.write(`note: ${note}\n`);
  if (explanation.rejected_items > 0) {
    process.stderr.write(`${explanation.rejected_items} items were rejected\n`);
  }
  return 0;
}

const COLUMNS: readonly (readonly [string, (call: CallRow) => string])[] = [
  ["START", (call) => call.start_time.slice(0, 23)],
  ["PROVIDER", (call) => call.provider ?? "-"],
  ["MODEL", (call) => call.response_model ?? call.request_model ?? "-"],
  ["STATUS", (call) => call.status],
  ["INPUT", (call) => countText(call.input_total)],
  ["CACHED", (call) => countText(call.tokens.cache_read)],
  ["OUTPUT", (call) => countText(call.output_total)],
  ["COST USD", costText],
  ["USAGE", (call) => call.usage_status],
  ["WHY IT COUNTS", (call) => call.reason],
];

/** The cost, with what is wrong with it. */
function costText({ cost_usd, cost_status }: CallRow): string {
  if (cost_usd === null) return cost_status;
  return cost_status === "partial" ? `${cost_usd} partial` : cost_usd;
}

function countText(value: number | null): string {
  return value === null ? "?" : String(value);
}

/** Characters that change how a terminal shows what follows: marks of direction and separators. */
const INVISIBLE = /[\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** Text of telemetry for a terminal: control characters are shown, not obeyed, and lines stay one. */
function printable(text: string): string {
  return inspect(text, { breakLength: Infinity, maxStringLength: 200 })
    .slice(1, -1)
    .replaceAll("\\'", "'")
    .replace(INVISIBLE, (character) => {
      const code = character.charCodeAt(0).toString(16).padStart(4, "0");
      return `\\u${code}`;
    });
}

/** Each line once, with how often it came: a client may send hundreds of spans of one kind. */
function countLines(lines: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const line of lines) counts.set(line, (counts.get(line) ?? 0) + 1);
  return [...counts].map(([line, count]) => (count === 1 ? `  ${line}` : `  ${count} x ${line}`));
}

function formatExplanation(explanation: Explanation): string {
  const { calls, others, metric_points, ignored_items } = explanation;
  const rows = calls.map((call) => COLUMNS.map(([, read]) => printable(read(call))));
  const table = [COLUMNS.map(([title]) => title), ...rows];
  const widths = COLUMNS.map((_column, index) =>
    Math.max(...table.map((row) => row[index]?.length ?? 0)),
  );
  const lines = table.map((row) =>
    row
      .map((text, index) => text.padEnd(widths[index] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  const rest = countLines(
    others.map(({ name, reason, counted_by }) => {
      const instead = counted_by === null ? "" : ` (counted: ${counted_by})`;
      return `${printable(name)}: ${printable(reason)}${instead}`;
    }),
  );
  const title = rest.length === 0 ? [] : ["", "Spans and events that are no rows:", ...rest];
  const kept =
    metric_points === 0
      ? []
      : ["", `${metric_points} metric points, kept for reconciliation alone.`];
  const ignored =
    ignored_items === 0
      ? []
      : ["", `${ignored_items} log records or data points say nothing of calls.`];
  const text = [
    ...(calls.length === 0 ? ["No model calls."] : lines),
    ...title,
    ...kept,
    ...ignored,
  ];
  return `${text.join("\n")}\n`;
}
