/**
 * The page bench: how long a person waits for the overview, in a real browser, over the ledger of one
 * project. Each visit is a browser that was never here (nothing kept, nothing in its cache) and a range
 * that was not asked before, so that the program has no answer ready.
 *
 * `painted` is when all tiles, tables and charts of the overview stand there and a frame was drawn after
 * it; `answered` is the time of the dashboard's question alone, asked without a browser: what no page
 * could be faster than.
 *
 * Not measured: a network between the two, a cold page cache of the engine.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { type Browser, chromium, type Response } from "playwright-core";
import { type BenchOptions, type BenchResult, summarizeLatencies } from "./measure.ts";
import { startProgram } from "./processes.ts";
import { DAY_S, LAST_DAY_END_S } from "./query-data.ts";
import { startFill } from "./query.ts";

const SIZES = { full: { spans: 5_000_000, visits: 12 }, small: { spans: 60_000, visits: 2 } };
const PROJECT = "p000";
/** Days of the data; visits go back by a day each. */
const DAYS = 60;
const RANGE_DAYS = 30;
/** Debian's; another by SPANLEDGER_CHROMIUM. */
const CHROMIUM = process.env["SPANLEDGER_CHROMIUM"] ?? "/usr/bin/chromium";
/** Charts of the overview. */
const CHARTS = 4;
const MAX_WAIT_MS = 60_000;

/** What is noted in the browser. */
interface Seen {
  painted_ms: number;
  first_paint_ms: number;
  /** Sum of the layout shifts. */
  shift: number;
}

/** What of a browser is used: the types here are those of Node. */
interface BrowserGlobals {
  seen: Seen;
  readonly document: {
    querySelectorAll(selector: string): { readonly length: number };
    querySelector(selector: string): object | null;
  };
  readonly PerformanceObserver: new (
    note: (list: { getEntries(): { name: string; startTime: number; value: number }[] }) => void,
  ) => { observe(options: { type: string; buffered: boolean }): void };
  requestAnimationFrame(draw: () => void): void;
}

/** Runs in the browser before the page: notes when the view is whole, and what moved. */
function watchPage(charts: number): void {
  const browser = globalThis as unknown as BrowserGlobals;
  const seen = { painted_ms: 0, shift: 0, first_paint_ms: 0 };
  browser.seen = seen;
  new browser.PerformanceObserver((list) => {
    for (const { value } of list.getEntries()) seen.shift += value;
  }).observe({ type: "layout-shift", buffered: true });
  new browser.PerformanceObserver((list) => {
    for (const { name, startTime } of list.getEntries()) {
      if (name === "first-contentful-paint") seen.first_paint_ms = startTime;
    }
  }).observe({ type: "paint", buffered: true });
  const look = () => {
    const is_whole =
      browser.document.querySelectorAll("canvas").length >= charts &&
      browser.document.querySelector('.skeleton, [aria-busy="true"]') === null;
    if (is_whole) browser.requestAnimationFrame(() => (seen.painted_ms = performance.now()));
    else browser.requestAnimationFrame(look);
  };
  browser.requestAnimationFrame(look);
}

/** Runs in the browser: what was seen, once the view is whole. */
function readSeen(): Seen | null {
  const { seen } = globalThis as unknown as BrowserGlobals;
  return seen.painted_ms > 0 ? seen : null;
}

interface Visit extends Seen {
  readonly largest_answer_bytes: number;
  readonly loaded_bytes: number;
}

function rangeOf(number: number): string {
  const day = (time_s: number) => new Date(time_s * 1000).toISOString().slice(0, 10);
  const end_s = LAST_DAY_END_S - number * DAY_S;
  return `from=${day(end_s - RANGE_DAYS * DAY_S)}&to=${day(end_s)}`;
}

async function bytesOf(response: Response): Promise<number> {
  const { responseBodySize } = await response.request().sizes();
  return responseBodySize;
}

async function visit(browser: Browser, url: string): Promise<Visit> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  try {
    const page = await context.newPage();
    await page.addInitScript(watchPage, CHARTS);
    const responses: Response[] = [];
    page.on("response", (response) => responses.push(response));
    await page.goto(url, { waitUntil: "commit" });
    const handle = await page.waitForFunction(readSeen, null, { timeout: MAX_WAIT_MS });
    const seen = (await handle.jsonValue()) as Seen;
    const answers = responses.filter((response) =>
      new URL(response.url()).pathname.startsWith("/v1/"),
    );
    const sizes = await Promise.all(answers.map(bytesOf));
    const all = await Promise.all(responses.map(bytesOf));
    return {
      ...seen,
      largest_answer_bytes: Math.max(...sizes),
      loaded_bytes: all.reduce((sum, bytes) => sum + bytes, 0),
    };
  } finally {
    await context.close();
  }
}

/** Runs the bench. Throws when the overview does not come. */
export async function runPage(options: BenchOptions): Promise<BenchResult> {
  const size = SIZES[options.small ? "small" : "full"];
  const spans = options.spans ?? size.spans;
  const directory = join(options.directory, "data");
  options.tell(`page: making ${spans} spans`);
  const filled = await startFill({
    directory,
    spans,
    days: DAYS,
    projects_made: 1,
    projects: [PROJECT],
    traces: 1,
  });
  const program = await startProgram("serve", directory, { SPANLEDGER_LOG_LEVEL: "warn" });
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
  });
  try {
    const base = `http://${program.addresses["http"]}`;
    const answered: number[] = [];
    const visits: Visit[] = [];
    for (let number = 0; number < size.visits; number += 1) {
      options.tell(`page: visit ${number + 1}/${size.visits}`);
      visits.push(await visit(browser, `${base}/?project=${PROJECT}&${rangeOf(number * 2)}`));
      const started_ms = performance.now();
      const path = `/v1/analytics/dashboard?project=${PROJECT}&${rangeOf(number * 2 + 1)}`;
      const answer = await fetch(base + path);
      await answer.arrayBuffer();
      if (!answer.ok) throw new Error(`the dashboard answered ${answer.status}`);
      answered.push(performance.now() - started_ms);
    }
    const painted = visits.map(({ painted_ms }) => painted_ms);
    const first = visits.map(({ first_paint_ms }) => first_paint_ms);
    const row = (name: string, times: readonly number[]) => ({
      name,
      ...summarizeLatencies(times),
    });
    return {
      name: "page",
      clickhouse: filled.clickhouse,
      facts: {
        spans,
        days: DAYS,
        calls_of_range: filled.truth[0]?.calls ?? 0,
        visits: size.visits,
        first_visit_painted_ms: Math.round(painted[0] ?? 0),
        largest_answer_bytes: Math.max(...visits.map((one) => one.largest_answer_bytes)),
        loaded_bytes: Math.max(...visits.map((one) => one.loaded_bytes)),
        layout_shift_max: Math.max(...visits.map(({ shift }) => Number(shift.toFixed(4)))),
      },
      groups: [],
      tables: [
        {
          name: "times of a browser that was never here, ms",
          rows: [
            row("first paint", first),
            row("overview painted", painted),
            row("dashboard answered, no browser", answered),
          ],
        },
      ],
    };
  } finally {
    await browser.close();
    await program.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}
