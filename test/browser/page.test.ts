/**
 * The built-in page in a real browser, over a real server: what people see is what the API answers, every
 * view can be linked to, and nothing leaves this machine.
 *
 * One server and one browser serve all tests, in order: first the empty installation, then the demo's
 * traffic, last the first key, which closes the door for who has none.
 */
import { execFile } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { stderr } from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Browser, BrowserContext, Locator, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { CallsAnswer, UsageAnswer } from "../../schemas/api.ts";
import { eventually, makeDataDirectory, type Program, startServe } from "../support/program.ts";
import {
  keepFiles,
  launchBrowser,
  missingBrowser,
  openContext,
  type OpenOptions,
  openVisit,
  type Saved,
  type Visit,
} from "./browser.ts";
import {
  DEMO_CALLS,
  HOSTILE,
  makeHostileBody,
  sendDemo,
  sendJson,
  TRAFFIC_DAYS,
} from "./traffic.ts";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** What a page may move after it was first painted; Google calls up to 0.1 good. */
const MAX_SHIFT = 0.02;
/** Bytes of one answer over the wire. */
const MAX_ANSWER_BYTES = 300_000;
const DAY_MS = 86_400_000;
/** Elements that the keyboard stops at on the way to one. */
const MAX_TABS = 150;

/** Views of the navigation: name, heading. */
const NAVIGATION = [
  ["overview", "Overview"],
  ["costs", "Costs"],
  ["performance", "Performance"],
  ["calls", "Calls"],
  ["traces", "Traces"],
  ["sessions", "Sessions"],
  ["errors", "Errors"],
  ["live", "Live"],
  ["budgets", "Budgets"],
  ["prices", "Prices"],
  ["collector", "Collector"],
  ["start", "Send spans"],
] as const;
/** Views that are reached by links to one thing. */
const DETAILS = [
  ["call", "Call"],
  ["trace", "Trace"],
] as const;
const ALL_VIEWS = [...NAVIGATION, ...DETAILS];
/** Lists of many rows: a day of them is enough to look at. */
const LONG_VIEWS: ReadonlySet<string> = new Set(["calls", "traces", "sessions"]);

const missing = missingBrowser();
if (missing !== null) stderr.write(`Tests of the page are skipped. ${missing}\n`);

const data = makeDataDirectory();
let program: Program;
let browser: Browser;
/** Of all visits without a key: the files of the page are loaded once. */
let context: BrowserContext;
/** A call and a trace of the demo, and the trace with hostile names. */
const known = { call_id: "", trace_id: "", hostile_trace_id: "", hostile_call_id: "" };
const visits: Visit[] = [];

/** Opens a page whose problems fail the test that opened it. */
async function open(path: string, options: OpenOptions = {}): Promise<Visit> {
  const visit = await openVisit(context, program.api, options);
  visits.push(visit);
  await visit.go(path);
  return visit;
}

/** The address of a view over all of the traffic. */
function pathOf(view: string, more: Readonly<Record<string, string>> = {}): string {
  const params = new URLSearchParams({
    ...(view === "overview" ? {} : { view }),
    ...(LONG_VIEWS.has(view) ? { range: "24h" } : {}),
    ...(view === "call" ? { call_id: known.call_id } : {}),
    ...(view === "trace" ? { trace_id: known.trace_id } : {}),
    ...more,
  });
  return `/?${params}`;
}

/** Runs a command to its end; rejects with what it said when it fails. */
async function runCommand(name: string, words: readonly string[]): Promise<void> {
  await promisify(execFile)(name, words, { timeout: 20_000 });
}

async function ask<Answer>(path: string): Promise<Answer> {
  const response = await fetch(program.api + path);
  expect(response.status, path).toBe(200);
  return (await response.json()) as Answer;
}

/** Calls that the ledger has of these days. */
async function countCalls(): Promise<number> {
  const params = new URLSearchParams({ ...wholeRange(), measures: "calls" });
  const { totals } = await ask<UsageAnswer>(`/v1/usage?${params}`);
  return totals.calls ?? 0;
}

/** Days that hold all of the traffic, as the API takes them. */
function wholeRange(): { readonly from: string; readonly to: string } {
  const dayOf = (unix_ms: number) => new Date(unix_ms).toISOString().slice(0, 10);
  return { from: dayOf(Date.now() - (TRAFFIC_DAYS + 1) * DAY_MS), to: dayOf(Date.now() + DAY_MS) };
}

/** What pages complained about must be nothing. */
function checkProblems(problems: readonly string[]): void {
  expect(problems, "what the page complained about").toEqual([]);
}

/** Makes a key that reads the project. */
async function makeKey(): Promise<string> {
  const response = await fetch(`${program.api}/v1/keys`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name: "reader", scopes: ["read"] }),
  });
  const made = (await response.json()) as { key: string };
  expect(response.status, JSON.stringify(made)).toBe(201);
  return made.key;
}

/** Goes to an address as a link of the page does. */
async function follow({ page, settle }: Visit, path: string): Promise<void> {
  await page.evaluate((href) => {
    history.pushState(null, "", href);
    dispatchEvent(new PopStateEvent("popstate"));
  }, path);
  // Preact draws in the next frame; what is asked then is under way in the one after it.
  await page.evaluate(
    () =>
      new Promise((resolve) => {
        requestAnimationFrame(() => setTimeout(resolve, 50));
      }),
  );
  await settle();
}

/** A figure by its title. */
function figure({ page }: Visit, title: string): Locator {
  return page.getByRole("region", { name: title, exact: true }).filter({ has: page.locator("h2") });
}

beforeAll(async () => {
  if (missing !== null) return;
  [program, browser] = await Promise.all([startServe(data.path), launchBrowser()]);
  context = await openContext(browser);
});
afterEach(async () => {
  const done = visits.splice(0);
  const problems = done.flatMap((visit) => visit.problems);
  await Promise.all(done.map((visit) => visit.close()));
  checkProblems(problems);
});
afterAll(async () => {
  if (missing === null) {
    await browser.close();
    await program.end("SIGTERM");
  }
  data.remove();
});

describe.skipIf(missing !== null)("the browser of these tests", () => {
  test("reaches nothing beyond this machine, and tells who tries", async () => {
    const visit = await openVisit(context, program.api, { expected: [/net::ERR_/, /CORS/] });
    const outside = ["http://192.0.2.1/", "http://spanledger.example/"];
    const reached = await visit.page.evaluate(
      (addresses) =>
        Promise.all(
          addresses.map((address) =>
            fetch(address).then(
              () => true,
              () => false,
            ),
          ),
        ),
      outside,
    );
    expect(reached).toEqual([false, false]);
    expect(visit.problems).toEqual(outside.map((address) => `beyond the loopback: ${address}`));
    await visit.close();
  });
});

describe.skipIf(missing !== null)("an empty installation", () => {
  test("shows how to send spans, and becomes the overview by itself when one arrives", async () => {
    const { page, settle } = await open("/?client=curl");
    const waiting = page.getByRole("status").filter({ hasText: "Waiting for the first call" });
    await waiting.waitFor();
    const command = (await page.getByRole("region", { name: "In a shell" }).textContent()) ?? "";
    expect(command).toContain(`${program.otlp}/v1/traces`);
    // The command as it stands on the page.
    await runCommand("bash", ["-c", command]);
    await page.locator(".tiles").waitFor();
    await settle();
    expect(await waiting.count()).toBe(0);
    expect(await page.locator("h1").textContent()).toBe("Overview");
    expect(await page.locator('.tile-value[data-exact="1"]').count()).toBe(1);
    // gpt-4o-mini: $0.15 in and $0.60 out a million; 1,000 * 0.15 + 200 * 0.60 = 270 a million.
    expect(await page.locator('.tile-value[data-exact="0.00027"]').count()).toBeGreaterThan(0);
  });

  test("says on the view of its own that calls arrive, and the program for Node sends one", async () => {
    const { page } = await open("/?view=start");
    await page.getByRole("status").filter({ hasText: "Calls arrive: 1 so far" }).waitFor();
    const code = (await page.getByRole("region", { name: "Save as app.mjs" }).textContent()) ?? "";
    expect(code).toContain(`${program.otlp}/v1/traces`);
    // Beside the packages that it imports.
    const file = fileURLToPath(new URL(`./.app-${process.pid}.mjs`, import.meta.url));
    writeFileSync(file, code);
    try {
      await runCommand(process.execPath, [file]);
    } finally {
      rmSync(file);
    }
    const { answer } = await eventually(
      () => ask<UsageAnswer>("/v1/usage?service_name=my-app&measures=calls,cost_usd"),
      ({ totals }) => totals.calls === 1,
      10_000,
    );
    expect(answer.totals.cost_usd).toBe("0.00027");
  });

  test("has something to copy for every client, with the addresses of this installation", async () => {
    const { page, context } = await open("/?view=start");
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    for (const client of [
      "Node",
      "Python",
      "Claude Code",
      "Codex",
      "Gemini CLI",
      "Any OTLP",
      "curl",
      "Demo",
    ]) {
      await page.getByRole("listitem").getByRole("link", { name: client, exact: true }).click();
      const text = (await page.locator(".guide pre").allTextContents()).join("");
      expect(text, client).toContain(program.otlp);
      expect(text, client).not.toContain("YOUR_KEY");
      const copy = page.getByRole("button", { name: /^Copy: / }).first();
      await copy.click();
      await page.getByRole("status").filter({ hasText: "Copied" }).waitFor();
      const copied = await page.evaluate(() => navigator.clipboard.readText());
      expect(copied, client).toBe(await page.locator(".guide pre").first().textContent());
    }
    expect(page.url()).toContain("client=demo");
  });
});

describe.skipIf(missing !== null)("with the demo's traffic", () => {
  beforeAll(async () => {
    const hostile = makeHostileBody();
    const before = await countCalls();
    await Promise.all([sendDemo(program.otlp), sendJson(program.otlp, hostile.body)]);
    const range = new URLSearchParams({ ...wholeRange(), limit: "200" }).toString();
    const { answer } = await eventually(
      () => ask<CallsAnswer>(`/v1/calls?${range}`),
      ({ calls }) => calls.some(({ trace_id }) => trace_id === hostile.trace_id),
      20_000,
    );
    const hostile_call = answer.calls.find(({ trace_id }) => trace_id === hostile.trace_id);
    const call = answer.calls.find(
      ({ trace_id, status }) => trace_id !== hostile.trace_id && status === "ok",
    );
    known.call_id = call?.call_id ?? "";
    known.trace_id = call?.trace_id ?? "";
    known.hostile_trace_id = hostile.trace_id;
    known.hostile_call_id = hostile_call?.call_id ?? "";
    await eventually(countCalls, (calls) => calls === before + DEMO_CALLS + 1, 30_000);
  });

  test("the overview shows what the API answers, to the last digit", async () => {
    const visit = await open(pathOf("overview", wholeRange()));
    const params = new URLSearchParams({
      ...wholeRange(),
      measures:
        "cost_usd,cost_per_call_usd,calls,errors,error_rate,input_total,output_total,duration,ttft,cache_hit_share",
    });
    const { totals } = await ask<UsageAnswer>(`/v1/usage?${params}`);
    const shown = await visit.page
      .locator(".tile")
      .evaluateAll((tiles) =>
        tiles.map((tile) => [
          tile.querySelector(".tile-title")?.textContent?.trim(),
          tile.querySelector("[data-exact]")?.getAttribute("data-exact"),
        ]),
      );
    expect(Object.fromEntries(shown)).toEqual({
      Spend: totals.cost_usd,
      Calls: String(totals.calls),
      "Cost of a call": totals.cost_per_call_usd,
      Tokens: `${totals.input_total} in, ${totals.output_total} out`,
      "Failed calls": String(totals.error_rate),
      "Duration, p95": String(totals.duration?.p95_ns),
      "First token, p95": String(totals.ttft?.p95_ns),
      "Read from cache": String(totals.cache_hit_share),
    });
    expect(Number(totals.cost_usd)).toBeGreaterThan(0);
  });

  describe.each(ALL_VIEWS)("the view %s", (view, title) => {
    // One visit for all that only looks; each test leaves it as it found it.
    let visit: Visit;
    beforeAll(async () => {
      visit = await openVisit(context, program.api);
      await visit.go(pathOf(view));
    });
    afterEach(() => {
      checkProblems(visit.problems.splice(0));
    });
    afterAll(() => visit.close());

    test("opens by its address, with heading and title, and nothing moves", async () => {
      const { page } = visit;
      expect((await page.locator("h1").first().textContent())?.trim()).toBe(title);
      expect(await page.title()).toBe(`${title} · Spanledger`);
      expect(await page.getByRole("alert").allTextContents()).toEqual([]);
      const shifts = await visit.readShifts();
      const sum = shifts.reduce((total, { value }) => total + value, 0);
      expect(sum, JSON.stringify(shifts, null, 1)).toBeLessThan(MAX_SHIFT);
      const answers = [...visit.sizes].filter(([path]) => !path.startsWith("/page/"));
      expect(answers.length).toBeGreaterThan(0);
      expect(answers.filter(([, bytes]) => bytes > MAX_ANSWER_BYTES)).toEqual([]);
    });

    test("has no serious fault for assistive technology, light and dark", async () => {
      await runAxeScript(visit);
      expect(await findFaults(visit, null)).toEqual([]);
      await visit.page.emulateMedia({ colorScheme: "dark" });
      // Only colours differ.
      expect(await findFaults(visit, ["color-contrast"])).toEqual([]);
      await visit.page.emulateMedia({ colorScheme: "light" });
    });

    test("fits a phone: the page does not scroll sideways", async () => {
      await visit.page.setViewportSize({ width: 390, height: 844 });
      const too_wide = await visit.page.evaluate(() => {
        const { scrollWidth, clientWidth } = document.documentElement;
        if (scrollWidth <= clientWidth) return [];
        return [...document.querySelectorAll("body *")]
          .filter((element) => element.getBoundingClientRect().right > clientWidth)
          .map((element) => element.outerHTML.slice(0, 120));
      });
      expect(too_wide).toEqual([]);
      await visit.page.setViewportSize({ width: 1280, height: 900 });
    });

    test("every table is saved as it is shown", async () => {
      await visit.page.evaluate(keepFiles);
      for (const sheet of await readSheets(visit)) checkSheet(sheet);
    });

    test("is not broken by a range without a call", async () => {
      const { page } = visit;
      await follow(visit, pathOf(view, { from: "2019-01-01", to: "2019-01-02" }));
      expect((await page.locator("h1").first().textContent())?.trim()).toBe(title);
      expect(await page.getByRole("alert").allTextContents()).toEqual([]);
    });
  });

  test("every view is reached by its link, and the way back and forth works", async () => {
    const { page } = await open(pathOf("overview", { range: "7d", tz: "Europe/Berlin" }));
    for (const [view, title] of NAVIGATION.slice(1)) {
      await page.getByRole("navigation").getByRole("link", { name: title, exact: true }).click();
      await page.locator("h1").filter({ hasText: title }).waitFor();
      expect(await page.title()).toBe(`${title} · Spanledger`);
      // The range goes along.
      expect(Object.fromEntries(new URL(page.url()).searchParams)).toEqual({
        view,
        range: "7d",
        tz: "Europe/Berlin",
      });
      const current = page.locator('nav [aria-current="page"]');
      expect(await current.allTextContents()).toEqual([title]);
    }
    await page.goBack();
    await page.locator("h1").filter({ hasText: "Collector" }).waitFor();
    await page.goBack();
    await page.locator("h1").filter({ hasText: "Prices" }).waitFor();
    await page.goForward();
    await page.locator("h1").filter({ hasText: "Collector" }).waitFor();
  });

  test("filters, range and grouping go into the address, and a reload shows the same", async () => {
    const { page, settle } = await open("/");
    await page.getByLabel("Range of time").selectOption("90d");
    await page.getByLabel("Time zone").selectOption("Asia/Tokyo");
    await page.getByLabel("group by", { exact: true }).selectOption("provider");
    await page.getByLabel("Add a filter").selectOption("service_name");
    await page.getByLabel("Service", { exact: true }).fill("support-chat");
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await settle();
    expect(Object.fromEntries(new URL(page.url()).searchParams)).toEqual({
      range: "90d",
      tz: "Asia/Tokyo",
      group_by: "provider",
      service_name: "support-chat",
    });
    const readTiles = () => page.locator(".tile-value").allTextContents();
    const before = await readTiles();
    await page.reload();
    await settle();
    expect(await readTiles()).toEqual(before);
    expect(await page.getByLabel("Range of time").inputValue()).toBe("90d");
    expect(await page.locator(".chip").textContent()).toContain("Service: support-chat");
    await page.getByRole("button", { name: /^Remove filter Service/ }).click();
    await settle();
    expect(new URL(page.url()).searchParams.has("service_name")).toBe(false);
    expect(await readTiles()).not.toEqual(before);
  });

  test("a filter that nothing passes shows empty figures, not how to send spans", async () => {
    const { page } = await open(pathOf("overview", { model: "nobody-uses-this" }));
    expect(await page.getByText("Nothing in this range.").count()).toBeGreaterThan(2);
    expect(await page.getByText("Waiting for the first call").count()).toBe(0);
  });

  test("a chart becomes its table and back", async () => {
    const visit = await open(pathOf("overview"));
    const cost = figure(visit, "Cost");
    await cost.getByRole("img").waitFor();
    await cost.getByRole("button", { name: "Table", exact: true }).click();
    expect(await cost.locator("tbody tr").count()).toBeGreaterThan(3);
    await cost.getByRole("button", { name: "Table", exact: true }).click();
    await cost.getByRole("img").waitFor();
  });

  test("a click on a bar leads to the calls that were made in its step", async () => {
    const visit = await open(pathOf("overview", wholeRange()));
    const { page } = visit;
    const chart = figure(visit, "Calls").getByRole("img");
    await chart.locator("canvas").waitFor();
    const box = await chart.boundingBox();
    if (box === null) throw new Error("the chart has no place");
    // Just above the axis, from the right: the days without a call have no bar to click on.
    for (let x = box.width - 16; x > 40 && !page.url().includes("view="); x -= 3) {
      await page.mouse.click(box.x + x, box.y + box.height - 30);
    }
    const params = new URL(page.url()).searchParams;
    expect(params.get("view")).toBe("calls");
    const hours =
      (Date.parse(params.get("to") ?? "") - Date.parse(params.get("from") ?? "")) / 3_600_000;
    expect([0.25, 1, 24]).toContain(hours);
    await visit.settle();
    const rows = figure(visit, "Calls").locator("tbody tr");
    expect(await rows.count()).toBeGreaterThan(0);
  });

  test("a CSV is downloaded with the name of what it holds", async () => {
    const visit = await open(pathOf("overview"));
    const [download] = await Promise.all([
      visit.page.waitForEvent("download"),
      figure(visit, "Models").getByRole("button", { name: "CSV" }).click(),
    ]);
    expect(download.suggestedFilename()).toBe("models.csv");
    const [head] = parseCsv(readFileSync(await download.path(), "utf8"));
    expect(head?.slice(0, 3)).toEqual(["model", "provider", "cost_usd"]);
  });

  test("what cannot be trusted wholly says how far, in the figures of the API", async () => {
    const visit = await open(pathOf("overview", wholeRange()));
    const params = new URLSearchParams({ ...wholeRange(), measures: "cost_usd" });
    const { coverage } = await ask<UsageAnswer>(`/v1/usage?${params}`);
    expect(coverage.calls_unpriced).toBeGreaterThan(0);
    const badge = figure(visit, "Cost").locator(".coverage");
    expect(await badge.getAttribute("aria-label")).toContain(
      `of ${coverage.calls} calls ${coverage.calls_unpriced} without a whole price`,
    );
  });

  test("a question that fails leaves the rest, and can be asked again", async () => {
    const visit = await openVisit(context, program.api, { expected: [/net::ERR_FAILED/] });
    visits.push(visit);
    const isCost = (url: URL) => url.pathname === "/v1/usage" && url.searchParams.has("top");
    await visit.page.route(isCost, (route) => route.abort());
    await visit.go(pathOf("overview", wholeRange()));
    const cost = figure(visit, "Cost");
    const problem = cost.getByRole("alert");
    expect(await problem.textContent()).toContain("The server cannot be reached");
    expect(await visit.page.locator('.tile-value:not([data-exact=""])').count()).toBe(8);
    await visit.page.unroute(isCost);
    await problem.getByRole("button", { name: "Try again" }).click();
    await cost.getByRole("img").waitFor();
  });

  test("light and dark follow the device until one is chosen, which is kept", async () => {
    const own = await openContext(browser);
    const visit = await openVisit(own, program.api, { scheme: "dark" });
    visits.push(visit);
    await visit.go("/?view=start");
    const { page } = visit;
    const readGround = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const dark = await readGround();
    await page.emulateMedia({ colorScheme: "light" });
    const light = await readGround();
    expect(light).not.toBe(dark);
    const button = page.getByRole("button", { name: /; change to/ });
    await button.click(); // light
    await button.click(); // dark
    expect(await readGround()).toBe(dark);
    await page.reload();
    await visit.settle();
    expect(await readGround()).toBe(dark);
    await own.close();
  });

  test("the keyboard alone is enough: to the content, to a view, to the order of a table", async () => {
    const { page, settle } = await open(pathOf("overview", wholeRange()));
    await page.keyboard.press("Tab");
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe("To the content");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    expect(await page.evaluate(() => document.activeElement?.closest("main") !== null)).toBe(true);
    const title = page
      .getByRole("region", { name: "Models" })
      .getByRole("button", { name: "Calls" });
    await pressUntil(page, title);
    await page.keyboard.press("Enter");
    await page.keyboard.press("Enter");
    const heading = page
      .getByRole("columnheader", { name: "Calls" })
      .and(page.locator("[aria-sort]"));
    expect(await heading.getAttribute("aria-sort")).toBe("ascending");
    const rows = await page.locator('section[aria-label="Models"] tbody tr').all();
    const calls = await Promise.all(rows.map((row) => row.locator("td").nth(2).textContent()));
    const numbers = calls.map((text) => Number(text?.replaceAll(",", "")));
    expect(numbers.length).toBeGreaterThan(3);
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    await page.reload();
    await settle();
    await pressUntil(page, page.getByRole("navigation").getByRole("link", { name: "Errors" }));
    const outline = await page.evaluate(
      () => getComputedStyle(document.activeElement ?? document.body).outlineStyle,
    );
    expect(outline).toBe("solid");
    await page.keyboard.press("Enter");
    await page.locator("h1").filter({ hasText: "Errors" }).waitFor();
  });

  test("hostile names are text, wherever they are shown", async () => {
    const visit = await open(pathOf("overview", { service_name: HOSTILE.service, range: "24h" }));
    const { page } = visit;
    for (const [view, more] of [
      ["overview", {}],
      ["costs", { group_by: "model" }],
      ["costs", { group_by: "user_id" }],
      ["costs", { group_by: "agent_name" }],
      ["performance", {}],
      ["calls", {}],
      ["traces", {}],
      ["sessions", {}],
      ["errors", {}],
      ["prices", {}],
      ["collector", {}],
      ["call", { call_id: known.hostile_call_id }],
      ["trace", { trace_id: known.hostile_trace_id }],
    ] as const) {
      const filters = { service_name: HOSTILE.service, user_id: HOSTILE.user, range: "24h" };
      await follow(visit, pathOf(view, { ...filters, ...more }));
      const words = JSON.stringify({ view, ...more }).slice(0, 100);
      expect(await page.getByRole("alert").allTextContents(), words).toEqual([]);
      expect(
        await page.locator("main img, main svg[onload], main script, [onerror]").count(),
        words,
      ).toBe(0);
      expect(await page.title(), words).not.toBe("broken");
      const wide = await page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      expect(wide, words).toBeLessThanOrEqual(0);
    }
    await follow(visit, pathOf("calls", { model: HOSTILE.model, range: "24h" }));
    expect(await page.locator("main table").first().textContent()).toContain(HOSTILE.model);
  });
});

describe.skipIf(missing !== null)("once there is a key", () => {
  const KEY_WANTED = [/status of 401/];
  let key: string;

  beforeAll(async () => {
    key = await makeKey();
  });

  test("the page asks for it, tells a wrong one, takes a right one and forgets it", async () => {
    const own = await openContext(browser);
    const visit = await openVisit(own, program.api, { expected: KEY_WANTED });
    visits.push(visit);
    await visit.go("/");
    const { page } = visit;
    const field = page.getByLabel("Key", { exact: true });
    await field.waitFor();
    let asked = 0;
    page.on("request", () => (asked += 1));
    await page.waitForTimeout(500);
    expect(asked, "questions while a key is waited for").toBe(0);
    expect(await page.locator(".figure").count()).toBe(0);
    await field.fill("wrong-key-of-enough-characters");
    await page.getByRole("button", { name: "Show", exact: true }).click();
    await page.getByRole("alert").filter({ hasText: "The key was not accepted" }).waitFor();
    await field.fill(key);
    await page.getByRole("button", { name: "Show", exact: true }).click();
    await page.locator(".tiles").waitFor();
    await visit.settle();
    expect(await page.locator(".tile-value[data-exact]").count()).toBeGreaterThan(5);
    await page.getByRole("navigation").getByRole("link", { name: "Calls" }).click();
    await visit.settle();
    // Neither in the address nor where it would outlive the tab.
    const kept = await page.evaluate(() => JSON.stringify([location.href, localStorage]));
    expect(kept).not.toContain(key);
    expect([...visit.sizes.keys()].filter((path) => path.includes(key))).toEqual([]);
    await page.goBack();
    expect(page.url()).not.toContain(key);
    // A second tab has no key of its own.
    await page.getByRole("button", { name: "Forget key" }).click();
    await field.waitFor();
    await page.reload();
    await field.waitFor();
    await own.close();
  });

  test("a key that reads one project is shown it, and told what is not for it", async () => {
    const own = await openContext(browser);
    const visit = await openVisit(own, program.api, { expected: [/status of 40[13]/] });
    visits.push(visit);
    await visit.page.addInitScript((value) => sessionStorage.setItem("spanledger.key", value), key);
    await visit.go("/?view=collector");
    const { page } = visit;
    await page.getByRole("note").filter({ hasText: "Not for this key" }).first().waitFor();
    expect(
      await figure(visit, "Quality of what is sent").locator("tbody tr").count(),
    ).toBeGreaterThan(0);
    await visit.go("/?view=start");
    expect(await page.locator(".guide pre").nth(1).textContent()).toContain(
      '"x-api-key": "YOUR_KEY"',
    );
    expect(await page.content()).not.toContain(key);
    await own.close();
  });
});

/** Presses Tab until something has the focus. */
async function pressUntil(page: Page, target: Locator): Promise<void> {
  const wanted = await target.first().elementHandle();
  for (let presses = 0; presses < MAX_TABS; presses += 1) {
    await page.keyboard.press("Tab");
    if (await page.evaluate((element) => document.activeElement === element, wanted)) return;
  }
  throw new Error(`not reached by ${MAX_TABS} times Tab: ${String(target)}`);
}

/** Adds axe by the protocol of the developer tools: the policy of the page forbids scripts of others. */
async function runAxeScript({ page, context }: Visit): Promise<void> {
  const tools = await context.newCDPSession(page);
  await tools.send("Runtime.evaluate", { expression: AXE });
  await tools.detach();
}

/** Serious and critical violations that axe finds, by all rules or by those named. */
function findFaults({ page }: Visit, rules: readonly string[] | null): Promise<string[]> {
  return page.evaluate(async (only) => {
    const { axe } = globalThis as unknown as { axe: typeof import("axe-core") };
    const { violations } = await axe.run(document, {
      resultTypes: ["violations"],
      ...(only === null ? {} : { runOnly: { type: "rule", values: [...only] } }),
    });
    return violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 200)).join(" | ")}`);
  }, rules);
}

/** What a figure shows as a table, and what it saves. */
interface Sheet {
  readonly title: string;
  readonly titles: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Rows that a button would show. */
  readonly left: number;
  readonly name: string;
  readonly csv: string;
}

/** Shows every figure of the page as its table, and saves it. */
function readSheets({ page }: Visit): Promise<Sheet[]> {
  return page.evaluate(async () => {
    const { spanledger_saved: saved } = globalThis as unknown as { spanledger_saved: Saved[] };
    const textsOf = (parent: ParentNode, selector: string) =>
      [...parent.querySelectorAll(selector)].map((cell) => cell.textContent.trim());
    const sheets: Sheet[] = [];
    for (const figure of document.querySelectorAll("main section.figure")) {
      const buttons = [...figure.querySelectorAll<HTMLButtonElement>("header button.tool")];
      const [csv, toggle] = ["CSV", "Table"].map((words) =>
        buttons.find((button) => button.textContent.trim() === words),
      );
      if (csv === undefined || csv.disabled) continue;
      toggle?.click();
      await new Promise((resolve) => {
        requestAnimationFrame(() => setTimeout(resolve));
      });
      csv.click();
      const file = saved.at(-1);
      sheets.push({
        title: figure.getAttribute("aria-label") ?? "",
        titles: textsOf(figure, "thead th"),
        rows: [...figure.querySelectorAll("tbody tr")].map((row) => textsOf(row, "th, td")),
        left: Number(/\((\d+) left\)/.exec(textsOf(figure, "button.more").join(""))?.[1] ?? 0),
        name: file?.name ?? "",
        csv: (await file?.text) ?? "",
      });
      toggle?.click();
    }
    return sheets;
  });
}

/** Holds what a figure saves against the table that it shows. */
function checkSheet({ title, titles, rows, left, name, csv }: Sheet): void {
  expect(name, title).toMatch(/^[a-z0-9_-]+\.csv$/);
  const [head, ...saved] = parseCsv(csv);
  expect(head, title).toHaveLength(titles.length);
  expect(saved.length, title).toBe(rows.length + left);
  for (const [place, cells] of rows.entries()) {
    for (const [index, text] of cells.entries()) {
      // Whole numbers are the same; others are shown rounded, and have all digits in the file.
      const exact = saved[place]?.[index] ?? "";
      const is_whole = /^\d+$/.test(exact) && /^[\d,]+$/.test(text);
      if (is_whole) expect(exact, title).toBe(text.replaceAll(",", ""));
    }
  }
}

/** Cells of a CSV (RFC 4180). */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [[]];
  const cell = /("(?:[^"]|"")*"|[^",\r\n]*)(,|\r\n|$)/y;
  while (cell.lastIndex < text.length) {
    const [, raw = "", end] = cell.exec(text) ?? [];
    rows.at(-1)?.push(raw.startsWith('"') ? raw.slice(1, -1).replaceAll('""', '"') : raw);
    if (end === "\r\n") rows.push([]);
  }
  return rows.filter((row) => row.length > 0);
}
