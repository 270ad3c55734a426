/**
 * A real browser for tests: Debian's Chromium driven by Playwright, which sees this machine alone.
 *
 * Invariant: a page that asks for anything beyond the loopback, writes an error to its console or breaks
 * its security policy is a failed test, unless the test said before that it would.
 */
import { existsSync } from "node:fs";
import { getuid } from "node:process";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";

/** Where Chromium is; Debian's, unless told otherwise. */
export const CHROMIUM = process.env["SPANLEDGER_TEST_CHROMIUM"] ?? "/usr/bin/chromium";
/** Whether a machine without Chromium fails these tests; else it skips them. */
const IS_REQUIRED = process.env["SPANLEDGER_TEST_BROWSER"] === "required";
/** A page is at rest when it was so this many times in a row, that far apart in ms: an answer may ask more. */
const LOOKS_AT_REST = 3;
const LOOK_MS = 40;
/** Longest wait for one thing on the page of a busy machine, ms. */
const WAIT_MS = 30_000;

/** Why there is no browser, in words; null when there is one. */
export function missingBrowser(): string | null {
  if (existsSync(CHROMIUM)) return null;
  const words =
    `No Chromium at ${CHROMIUM}: install Debian's package chromium, ` +
    "or name another one in SPANLEDGER_TEST_CHROMIUM.";
  if (IS_REQUIRED) throw new Error(words);
  return words;
}

/** Starts the browser. Names of other hosts lead nowhere, and none of its own services are asked. */
export function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: CHROMIUM,
    // Chromium refuses to run as root with its sandbox.
    chromiumSandbox: getuid?.() !== 0,
    args: [
      // Names lead nowhere, and addresses beyond the loopback to a proxy that is not there.
      "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
      "--proxy-server=http://127.0.0.1:9",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--no-first-run",
      "--force-color-profile=srgb",
    ],
  });
}

export interface OpenOptions {
  /** CSS pixels. */
  readonly width?: number;
  readonly height?: number;
  readonly scheme?: "light" | "dark";
  /** Console lines and errors that the test means to see. */
  readonly expected?: readonly RegExp[];
}

/** A page with what it did. */
export interface Visit {
  readonly page: Page;
  readonly context: BrowserContext;
  /** What is wrong so far, in words; empty when all is well. */
  readonly problems: string[];
  /** Bytes of answers as they came over the wire, by path and query. */
  readonly sizes: Map<string, number>;
  /** Goes to a path of the server and waits until every figure has its answer. */
  readonly go: (path: string) => Promise<void>;
  /** Waits until nothing on the page is loading. */
  readonly settle: () => Promise<void>;
  /** What moved without being asked to since the page was opened; not what follows an input. */
  readonly readShifts: () => Promise<readonly Shift[]>;
  readonly close: () => Promise<void>;
}

/** A movement of the layout that nobody asked for. */
export interface Shift {
  /** Share of the window that moved, times how far. */
  readonly value: number;
  /** What moved, and from where to where. */
  readonly moved: readonly string[];
}

/** Notes shifts of the layout from the first moment on; runs in the page. */
function watchPage(): void {
  const shifts: Shift[] = [];
  (globalThis as unknown as { spanledger_shifts: Shift[] }).spanledger_shifts = shifts;
  interface Source {
    readonly node: Node | null;
    readonly previousRect: DOMRectReadOnly;
    readonly currentRect: DOMRectReadOnly;
  }
  interface LayoutShift {
    readonly value: number;
    readonly hadRecentInput: boolean;
    readonly sources: readonly Source[];
  }
  const show = ({ x, y, width, height }: DOMRectReadOnly) => `${x},${y} ${width}x${height}`;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries() as unknown as readonly LayoutShift[]) {
      if (entry.hadRecentInput) continue;
      const moved = entry.sources.map(({ node, previousRect, currentRect }) => {
        const words = node instanceof Element ? node.outerHTML : (node?.textContent ?? "");
        return `${words.slice(0, 100)}: ${show(previousRect)} to ${show(currentRect)}`;
      });
      shifts.push({ value: entry.value, moved });
    }
  }).observe({ type: "layout-shift", buffered: true });
}

/** Keeps files that the page saves, in place of a download; to be run in the page. */
export function keepFiles(): void {
  const kept: Saved[] = [];
  (globalThis as unknown as { spanledger_saved: Saved[] }).spanledger_saved = kept;
  let blob = new Blob();
  URL.createObjectURL = (object) => {
    blob = object as Blob;
    return "blob:kept";
  };
  HTMLAnchorElement.prototype.click = function keepOrClick(this: HTMLAnchorElement) {
    if (this.download === "") this.dispatchEvent(new MouseEvent("click", { bubbles: true }));
    else kept.push({ name: this.download, text: blob.text() });
  };
}

/** A file that the page saved. */
export interface Saved {
  readonly name: string;
  readonly text: Promise<string>;
}

function isLoopback(url: URL): boolean {
  return url.hostname === "127.0.0.1" || ["data:", "blob:", "about:"].includes(url.protocol);
}

/** A profile of its own: what is kept on the device, and the cache. */
export async function openContext(browser: Browser): Promise<BrowserContext> {
  const context = await browser.newContext({ acceptDownloads: true });
  context.setDefaultTimeout(WAIT_MS);
  await context.addInitScript(watchPage);
  return context;
}

/** Opens an empty page. */
export async function openVisit(
  context: BrowserContext,
  base: string,
  options: OpenOptions = {},
): Promise<Visit> {
  const { width = 1280, height = 900, scheme = "light", expected = [] } = options;
  const page = await context.newPage();
  await page.setViewportSize({ width, height });
  await page.emulateMedia({ colorScheme: scheme });
  const problems: string[] = [];
  const sizes = new Map<string, number>();
  const complain = (words: string) => {
    if (!expected.some((pattern) => pattern.test(words))) problems.push(words);
  };
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complain(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) =>
    complain(`error: ${error.name} ${error.message} ${error.stack ?? ""}`),
  );
  // It cannot get there: see the arguments of the browser.
  page.on("request", (request) => {
    if (!isLoopback(new URL(request.url()))) problems.push(`beyond the loopback: ${request.url()}`);
  });
  page.on("requestfinished", (request) => {
    const { pathname, search } = new URL(request.url());
    void request.sizes().then(
      ({ responseBodySize }) => sizes.set(pathname + search, responseBodySize),
      () => {}, // the page was closed meanwhile
    );
  });
  const settle = () =>
    settlePage(page).catch((error: unknown) => {
      // Why a page never came to rest stands in its console.
      throw new Error(`${String(error)}\n${problems.join("\n")}`, { cause: error });
    });
  return {
    page,
    context,
    problems,
    sizes,
    settle,
    async go(path) {
      await page.goto(base + path, { waitUntil: "load" });
      await settle();
    },
    readShifts: () =>
      page.evaluate(
        () => (globalThis as unknown as { spanledger_shifts: Shift[] }).spanledger_shifts,
      ),
    close: () => page.close(),
  };
}

async function settlePage(page: Page): Promise<void> {
  await page.locator("main h1").filter({ hasText: /\S/ }).first().waitFor();
  await page.evaluate(() => {
    (globalThis as unknown as { spanledger_rest?: number }).spanledger_rest = 0;
  });
  await page.waitForFunction(
    (needed) => {
      const main = document.querySelector("main");
      const is_at_rest =
        // A view is loaded when it is first opened, and stands below its heading.
        (main?.childElementCount ?? 0) > 1 &&
        main?.children[1]?.textContent !== "Loading" &&
        document.querySelector('main [aria-busy="true"], main .skeleton') === null &&
        // A chart has been drawn when it has its canvas.
        [...document.querySelectorAll("main .chart")].every((chart) => chart.firstChild !== null);
      const seen = globalThis as unknown as { spanledger_rest?: number };
      seen.spanledger_rest = is_at_rest ? (seen.spanledger_rest ?? 0) + 1 : 0;
      return seen.spanledger_rest >= needed;
    },
    LOOKS_AT_REST,
    { polling: LOOK_MS },
  );
}
