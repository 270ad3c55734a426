/**
 * `spanledger demo`: sends plausible traffic through the OpenTelemetry SDK to a running collector.
 *
 * Invariant: exit code 0 means that the collector acknowledged every span.
 */
import { messageOf, PermanentError, RetryableError } from "../../schemas/errors.ts";
import { sendLive } from "./live.ts";
import { DEMO_HELP, type DemoOptions, parseOptions } from "./options.ts";
import { loadOpenTelemetry } from "./packages.ts";
import { probeCollector } from "./probe.ts";
import { formatCount, formatFailure, formatReport, type SentWindow } from "./report.ts";
import { type SendTarget, TraceSender } from "./sender.ts";
import { Totals } from "./totals.ts";
import { generateTraffic } from "./traffic.ts";

/** Where the demo writes: the report to `out`, all else to `err`. */
export interface DemoOutput {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

const TERMINAL: DemoOutput = {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
};

/** Longest pause between two lines of progress, ms. */
const PROGRESS_MS = 2_000;
/** Flushes in a row of which nothing arrived, until the rest is not tried. */
const MAX_VAIN_FLUSHES = 2;

/**
 * Runs the command; resolves with the exit code: 0 all arrived, 1 not all did, 2 wrong options.
 * Of the environment only SPANLEDGER_API_KEY is read.
 */
export async function runDemo(
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  output: DemoOutput = TERMINAL,
): Promise<number> {
  const parsed = parseOptions(argv);
  if (parsed.kind === "help") {
    output.out(DEMO_HELP);
    return 0;
  }
  if (parsed.kind === "problem") {
    output.err(`${parsed.problem}; see "spanledger demo --help".\n`);
    return 2;
  }
  const { options } = parsed;
  const api_key = environment["SPANLEDGER_API_KEY"] ?? "";
  const target = { endpoint: options.endpoint, api_key: api_key === "" ? null : api_key };
  try {
    return await sendDemo(options, target, output);
  } catch (error) {
    if (!(error instanceof PermanentError || error instanceof RetryableError)) throw error;
    output.err(`spanledger demo: ${messageOf(error)}\n`);
    return 1;
  }
}

async function sendDemo(
  options: DemoOptions,
  target: SendTarget,
  output: DemoOutput,
): Promise<number> {
  const otel = await loadOpenTelemetry();
  await probeCollector(target, output.err);
  const sender = new TraceSender(otel, target);
  const totals = new Totals();
  const send = options.live ? sendUntilStopped : sendHistory;
  let window: SentWindow;
  try {
    window = await send(options, sender, totals, output);
  } finally {
    await sender.close();
  }
  const failure = formatFailure(sender.outcome);
  const facts = { has_key: target.api_key !== null, all_arrived: failure === null };
  output.out(formatReport(totals, window, options, facts));
  if (failure === null) return 0;
  output.err(failure);
  return 1;
}

async function sendHistory(
  options: DemoOptions,
  sender: TraceSender,
  totals: Totals,
  { err }: DemoOutput,
): Promise<SentWindow> {
  const end_ms = Date.now();
  const start_ms = end_ms - options.minutes * 60_000;
  let told_ms = performance.now();
  let vain_flushes = 0;
  for (const trace of generateTraffic({ ...options, end_ms })) {
    sender.send(trace);
    totals.add(trace);
    if (!sender.is_full) continue;
    const before = sender.outcome.acknowledged_spans;
    await sender.flush();
    vain_flushes = sender.outcome.acknowledged_spans === before ? vain_flushes + 1 : 0;
    if (vain_flushes === MAX_VAIN_FLUSHES) {
      err("nothing arrives any more: the rest is not sent\n");
      break;
    }
    if (performance.now() - told_ms < PROGRESS_MS) continue;
    told_ms = performance.now();
    err(`${formatCount(totals.all.calls)} of ${formatCount(options.calls)} calls\n`);
  }
  return { start_ms, end_ms };
}

async function sendUntilStopped(
  options: DemoOptions,
  sender: TraceSender,
  totals: Totals,
  { err }: DemoOutput,
): Promise<SentWindow> {
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  // Once: a second Ctrl-C ends the process although the last flush hangs.
  process.once("SIGINT", onSignal);
  process.once("SIGTERM", onSignal);
  err(`sending ${formatCount(options.calls)} calls a minute; stop with Ctrl-C\n`);
  const start_ms = Date.now();
  try {
    await sendLive({ options, sender, totals, tell: err, signal: stop.signal });
  } finally {
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
  }
  return { start_ms, end_ms: Date.now() };
}
