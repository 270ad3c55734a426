/**
 * Takes the pictures of the documents: `npm run screenshots`. Every view of the page over the demo's
 * traffic, and previews of the Grafana dashboards, into `docs/images/`.
 *
 * Invariant: what is shown was sent to a real server and asked of it; nothing leaves this machine.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { stderr } from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import type { Browser, Page } from "playwright-core";
import { runDemo } from "../cli/demo/demo.ts";
import { openEmbedded } from "../clickhouse/embedded.ts";
import { DEFAULT_ENGINE_LIMITS } from "../clickhouse/engine.ts";
import type { TracesAnswer } from "../schemas/api-traces.ts";
import type { CallsAnswer, UsageAnswer } from "../schemas/api.ts";
import {
  launchBrowser,
  openContext,
  openVisit,
  type OpenOptions,
} from "../test/browser/browser.ts";
import {
  eventually,
  makeDataDirectory,
  type Program,
  startServe,
} from "../test/support/program.ts";
import { drawPreview, previewDocument } from "./screenshots/draw.ts";
import { type DashboardJson, readPanel, variablesOf } from "./screenshots/panels.ts";

const IMAGES = new URL("./images/", import.meta.url);
const DASHBOARDS = new URL("../grafana/dashboards/json/", import.meta.url);
/** Twice what is shown, so that the change on the time before is a real one. */
const DAYS = 60;
const CALLS = 9_000;
const SEED = 7;
const DAY_MS = 86_400_000;
/** How old the example of a trace may be, ms: the explorer opens with the last six hours. */
const EXAMPLE_MS = 5.5 * 3_600_000;
/** A picture larger than this is cut shorter, bytes. */
const MAX_BYTES = 200_000;
/** Heights that are tried, CSS pixels. */
const HEIGHTS = [1_500, 1_200, 960, 760, 600] as const;
const LABEL =
  "Preview of the panels, drawn by Spanledger, not by Grafana; values in words by Grafana's own formats";

const QUIET = { out: () => {}, err: () => {} };

function tell(words: string): void {
  stderr.write(`${words}\n`);
}

async function sendDemo(otlp: string, minutes: number, calls: number): Promise<void> {
  const words = [
    "--endpoint",
    otlp,
    "--minutes",
    `${minutes}`,
    "--calls",
    `${calls}`,
    "--seed",
    `${SEED}`,
  ];
  const code = await runDemo(words, {}, QUIET);
  if (code !== 0) throw new Error(`the demo ended with ${code}`);
}

async function ask<Answer>(program: Program, path: string, body?: object): Promise<Answer> {
  const headers = { "content-type": "application/json" };
  const told = body === undefined ? {} : { method: "POST", headers, body: JSON.stringify(body) };
  const response = await fetch(program.api + path, told);
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as Answer;
}

/** Sends the traffic, makes a budget, and waits until all of it is summed up. */
async function fill(program: Program): Promise<void> {
  await sendDemo(program.otlp, DAYS * 1440, CALLS);
  const budget = { period: "month", tz: "UTC" };
  await ask(program, "/v1/budgets", { ...budget, name: "All of it, a month", amount: "60.00" });
  await ask(program, "/v1/budgets", {
    ...budget,
    name: "Support, a month",
    amount: "5.00",
    filters: { service_name: ["support-chat"] },
  });
  const from = new Date(Date.now() - (DAYS + 1) * DAY_MS).toISOString();
  await eventually(
    () => ask<UsageAnswer>(program, `/v1/usage?measures=calls&from=${from}`),
    ({ totals }) => totals.calls === CALLS,
    60_000,
  );
}

/** What is linked to by its id: the trace of the most calls of the last hours, and its first call. */
async function findExamples(program: Program) {
  const range = new URLSearchParams({ from: new Date(Date.now() - EXAMPLE_MS).toISOString() });
  const { traces } = await ask<TracesAnswer>(program, `/v1/traces?${range}&order_by=calls&limit=1`);
  const trace_id = traces[0]?.trace_id ?? "";
  const { calls } = await ask<CallsAnswer>(
    program,
    `/v1/calls?${range}&trace_id=${trace_id}&limit=1`,
  );
  return { trace_id, call_id: calls[0]?.call_id ?? "" };
}

/** Saves a picture of the top of a page, as high as fits into the bytes. */
async function savePicture(page: Page, name: string, width: number): Promise<void> {
  const full = await page.evaluate(() => document.documentElement.scrollHeight);
  for (const most of HEIGHTS) {
    const height = Math.min(full, most);
    const bytes = await page.screenshot({ fullPage: true, clip: { x: 0, y: 0, width, height } });
    if (bytes.length > MAX_BYTES && most !== HEIGHTS.at(-1)) continue;
    writeFileSync(new URL(`${name}.png`, IMAGES), bytes);
    tell(`${name}.png: ${width} x ${height}, ${Math.round(bytes.length / 1000)} kB`);
    return;
  }
}

interface Picture extends OpenOptions {
  readonly name: string;
  readonly path: string;
  /** Done when the page is open. */
  readonly prepare?: (program: Program) => Promise<void>;
}

function listPictures(ids: Awaited<ReturnType<typeof findExamples>>): readonly Picture[] {
  return [
    { name: "page-overview", path: "/" },
    { name: "page-overview-dark", path: "/", scheme: "dark" },
    { name: "page-overview-phone", path: "/", width: 390, height: 844 },
    { name: "page-costs", path: "/?view=costs" },
    { name: "page-performance", path: "/?view=performance" },
    { name: "page-calls", path: "/?view=calls" },
    { name: "page-call", path: `/?view=call&call_id=${ids.call_id}` },
    { name: "page-traces", path: "/?view=traces&order_by=cost" },
    { name: "page-trace", path: `/?view=trace&trace_id=${ids.trace_id}` },
    { name: "page-sessions", path: "/?view=sessions" },
    { name: "page-errors", path: "/?view=errors" },
    {
      name: "page-live",
      path: "/?view=live",
      prepare: async (program) => {
        await sendDemo(program.otlp, 1, 40);
        await sleep(8_000);
      },
    },
    { name: "page-budgets", path: "/?view=budgets" },
    { name: "page-prices", path: "/?view=prices" },
    { name: "page-collector", path: "/?view=collector&range=1h" },
    { name: "page-start", path: "/?view=start" },
  ];
}

async function takePage(browser: Browser, program: Program): Promise<void> {
  const context = await openContext(browser);
  for (const picture of listPictures(await findExamples(program))) {
    const visit = await openVisit(context, program.api, picture);
    await visit.go(picture.path);
    await picture.prepare?.(program);
    await visit.settle();
    await savePicture(visit.page, picture.name, picture.width ?? 1280);
    for (const problem of visit.problems) tell(`${picture.name}: ${problem}`);
    await visit.close();
  }
  await context.close();
}

const UNIT_MS: Readonly<Record<string, number>> = { h: 3_600_000, d: DAY_MS };

/** The range that a dashboard opens with, ending now. */
function rangeOf({ time }: DashboardJson) {
  const [, count = "7", unit = "d"] = /^now-(\d+)([hd])$/.exec(time.from) ?? [];
  const to_ms = Date.now();
  return {
    from_ms: to_ms - Number(count) * (UNIT_MS[unit] ?? DAY_MS),
    to_ms,
    words: `last ${count} ${unit}`,
  };
}

async function takeDashboards(
  browser: Browser,
  directory: string,
  ids: Readonly<Record<string, string>>,
): Promise<void> {
  const engine = await openEmbedded({
    directory: join(directory, "clickhouse"),
    database: "spanledger",
    limits: DEFAULT_ENGINE_LIMITS,
    memory_bytes: 2 * 1024 ** 3,
    read_sessions: 2,
  });
  const charts = createRequire(import.meta.url).resolve("echarts/dist/echarts.min.js");
  const context = await browser.newContext({ viewport: { width: 1440, height: 1000 } });
  for (const name of readdirSync(DASHBOARDS).filter((file) => file.endsWith(".json"))) {
    const json = JSON.parse(readFileSync(new URL(name, DASHBOARDS), "utf8")) as DashboardJson;
    const { words, ...range } = rangeOf(json);
    const values = variablesOf(json, ids);
    const panels = [];
    for (const panel of json.panels) {
      if (panel.type === "row" || (panel.targets ?? []).length === 0) continue;
      panels.push(await readPanel(engine, panel, values, range));
    }
    const page = await context.newPage();
    await page.setContent(previewDocument());
    await page.addScriptTag({ path: charts });
    await page.evaluate(drawPreview, { title: `${json.title}, ${words}`, label: LABEL, panels });
    await savePicture(page, `grafana-${json.uid.replace("spanledger-", "")}`, 1440);
    await page.close();
  }
  await context.close();
  await engine.close();
}

async function main(): Promise<void> {
  mkdirSync(IMAGES, { recursive: true });
  const data = makeDataDirectory();
  const program = await startServe(data.path, { SPANLEDGER_SAMPLES_INTERVAL_S: "2" });
  const browser = await launchBrowser();
  try {
    await fill(program);
    const ids = await findExamples(program);
    await takePage(browser, program);
    // The embedded engine is one program's at a time.
    await program.end("SIGTERM");
    await takeDashboards(browser, data.path, { trace_id: ids.trace_id });
  } finally {
    await browser.close();
    await program.end("SIGTERM");
    data.remove();
  }
}

await main();
