/**
 * The words behind `spanledger demo`.
 *
 * Invariant: an option that is not understood is an error, never ignored; nobody sends a million
 * calls by a typing mistake.
 */

/** What to send and where to. */
export interface DemoOptions {
  /** Base URL of OTLP/HTTP, without a slash at the end. */
  readonly endpoint: string;
  readonly minutes: number;
  readonly calls: number;
  readonly seed: number;
  readonly live: boolean;
}

/** Longest history, minutes: a year. */
export const MAX_MINUTES = 366 * 24 * 60;
/** Most calls of one run (with --live: a minute). */
export const MAX_CALLS = 1_000_000;
const MAX_SEED = 2 ** 32 - 1;

const DEFAULTS: DemoOptions = {
  endpoint: "http://127.0.0.1:4318",
  minutes: 60,
  calls: 1_000,
  seed: 1,
  live: false,
};

/** The help text of the command. */
export const DEMO_HELP = `usage: spanledger demo [options]

Sends plausible traffic of GenAI applications through the OpenTelemetry SDK, prints what it sent,
and where to look at it. Start the collector first: npm start

  --endpoint URL   OTLP/HTTP of the collector (${DEFAULTS.endpoint})
  --minutes N      history to lay down: the past N minutes up to now (${DEFAULTS.minutes})
  --calls N        model calls to send; with --live, a minute (${DEFAULTS.calls})
  --seed N         the same seed gives the same calls (${DEFAULTS.seed})
  --live           send in real time until Ctrl-C, instead of the past
  --help           print this text

A key is taken from SPANLEDGER_API_KEY.
`;

/** Options, a wish for help, or what is wrong, in words. */
export type ParsedOptions =
  | { readonly kind: "options"; readonly options: DemoOptions }
  | { readonly kind: "help" }
  | { readonly kind: "problem"; readonly problem: string };

type Changes = { -readonly [Name in keyof DemoOptions]?: DemoOptions[Name] };

/** Parses the words; `--name value` and `--name=value` are the same. */
export function parseOptions(argv: readonly string[]): ParsedOptions {
  const changes: Changes = {};
  const words = [...argv];
  while (words.length > 0) {
    const word = words.shift() as string;
    if (word === "--help" || word === "-h") return { kind: "help" };
    if (word === "--live") {
      changes.live = true;
      continue;
    }
    const equals = word.indexOf("=");
    const name = equals === -1 ? word : word.slice(0, equals);
    const read = READERS.get(name);
    if (read === undefined) return refuse(`"${word}" is not an option of demo`);
    const value = equals === -1 ? words.shift() : word.slice(equals + 1);
    if (value === undefined) return refuse(`${name} needs a value`);
    const problem = read(value, changes);
    if (problem !== null) return refuse(`${name} ${problem}`);
  }
  if (changes.live === true && changes.minutes !== undefined) {
    return refuse("--minutes lays down history, which --live does not");
  }
  return { kind: "options", options: { ...DEFAULTS, ...changes } };
}

function refuse(problem: string): ParsedOptions {
  return { kind: "problem", problem };
}

type Reader = (value: string, changes: Changes) => string | null;

const READERS: ReadonlyMap<string, Reader> = new Map<string, Reader>([
  ["--endpoint", readEndpoint],
  ["--minutes", readInteger("minutes", 1, MAX_MINUTES)],
  ["--calls", readInteger("calls", 1, MAX_CALLS)],
  ["--seed", readInteger("seed", 0, MAX_SEED)],
]);

function readInteger(name: "minutes" | "calls" | "seed", low: number, high: number): Reader {
  return (value, changes) => {
    const number = /^\d{1,10}$/.test(value) ? Number(value) : Number.NaN;
    if (!(number >= low && number <= high)) return `must be a whole number from ${low} to ${high}`;
    changes[name] = number;
    return null;
  };
}

function readEndpoint(value: string, changes: Changes): string | null {
  const url = URL.canParse(value) ? new URL(value) : null;
  if (url === null || !["http:", "https:"].includes(url.protocol)) {
    return "must be a URL such as http://127.0.0.1:4318";
  }
  if (url.search !== "" || url.hash !== "" || url.username !== "" || url.password !== "") {
    return "must be a plain URL; a key goes into SPANLEDGER_API_KEY";
  }
  // People paste the whole path of the signal; the SDK would append it again.
  changes.endpoint = url.href.replace(/\/v1\/traces\/?$/, "").replace(/\/+$/, "");
  return null;
}
