/**
 * `spanledger explain [--json] FILE...`: the ledger rows that OTLP bodies make, and why, without a
 * server. All files are one arrival.
 */
import { readFile } from "node:fs/promises";
import { inspect } from "node:util";
import { loadPriceBook, type PriceBook, readSpans } from "../collector/pipeline.ts";
import type { CallRow } from "../schemas/call.ts";
import { callOfSpan, formatId } from "../schemas/call-of-span.ts";
import { messageOf, PermanentError } from "../schemas/errors.ts";
import { DEFAULT_PROJECT } from "../schemas/keys.ts";
import type { Span } from "../schemas/span.ts";

/** What the bodies make. */
export interface Explanation {
  readonly calls: CallRow[];
  /** Spans that do not count, each once. */
  readonly others: Span[];
  readonly rejected_spans: number;
  /** What senders should know: reasons of rejections and warnings. */
  readonly notes: string[];
}

/** A body and what to call it in messages. */
export interface NamedBody {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/**
 * Explains bodies as one arrival: a span sent twice is one, its last version counts. The encoding is
 * told by the first byte, as an OTLP message never begins with a brace or white space. A body of
 * another signal is noted and passed over; one that cannot be read throws PermanentError.
 */
export function explainBodies(bodies: readonly (Uint8Array | NamedBody)[]): Explanation {
  const book = loadPriceBook();
  const spans = new Map<string, Span>();
  const notes = new Set<string>();
  let rejected_spans = 0;
  for (const body of bodies) {
    const { name, bytes } = body instanceof Uint8Array ? { name: "body", bytes: body } : body;
    const read = readBody(name, bytes, book, notes);
    if (read === null) continue;
    rejected_spans += read.decoded.rejected_spans;
    for (const note of [...read.decoded.rejections, ...read.decoded.warnings]) notes.add(note);
    for (const span of read.spans) {
      // The identity of a span in the ledger: its start is part of it.
      spans.set(`${span.start_ns} ${formatId(span.trace_id)} ${formatId(span.span_id)}`, span);
    }
  }
  const ordered = [...spans.values()].sort((a, b) => Number(a.start_ns - b.start_ns));
  return {
    calls: ordered.filter((span) => span.span_class === "billable").map((span) => callOfSpan(span)),
    others: ordered.filter((span) => span.span_class !== "billable"),
    rejected_spans,
    notes: [...notes],
  };
}

function readBody(name: string, bytes: Uint8Array, book: PriceBook, notes: Set<string>) {
  const encoding = looksLikeJson(bytes) ? "json" : "protobuf";
  try {
    return readSpans(bytes, encoding, book, {
      project_id: DEFAULT_PROJECT,
      capture_content: false,
    });
  } catch (error) {
    if (!(error instanceof PermanentError)) throw error;
    if (error.code !== "wrong_signal") {
      throw new PermanentError(error.code, `${name}: ${error.message}`, { cause: error });
    }
    notes.add(`${name}: ${error.message}`);
    return null;
  }
}

function looksLikeJson(body: Uint8Array): boolean {
  const first = body.find((byte) => byte !== 0x20 && byte !== 0x0a && byte !== 0x0d);
  return first === 0x7b || first === 0x5b || first === 0xef;
}

const USAGE = `usage: spanledger explain [--json] FILE...

Reads OTLP export bodies (JSON or protobuf, traces) and prints the ledger rows they make.
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
      bodies.push({ name: file, bytes: await readFile(file) });
    } catch (error) {
      throw new PermanentError("unreadable_file", `cannot read ${file}: ${messageOf(error)}`);
    }
  }
  const explanation = explainBodies(bodies);
  if (options.includes("--json")) {
    process.stdout.write(`${JSON.stringify(explanation.calls, null, 2)}\n`);
  } else {
    process.stdout.write(formatExplanation(explanation));
  }
  for (const note of explanation.notes) process.stderr.write(`note: ${note}\n`);
  if (explanation.rejected_spans > 0) {
    process.stderr.write(`${explanation.rejected_spans} spans were rejected\n`);
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
  ["COST USD", (call) => call.cost_usd ?? call.cost_status],
  ["USAGE", (call) => call.usage_status],
  ["WHY IT COUNTS", (call) => call.reason],
];

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

function formatExplanation({ calls, others }: Explanation): string {
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
  const rest = others.map((span) => `  ${printable(span.name)}: ${printable(span.reason)}`);
  const title = rest.length === 0 ? [] : ["", "Spans that are no calls:", ...rest];
  return `${[...(calls.length === 0 ? ["No model calls."] : lines), ...title].join("\n")}\n`;
}
