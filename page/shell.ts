/**
 * What stands around every view: name, navigation, project, light or dark, and the question for a key.
 *
 * Invariant: a view is drawn only when the server would answer it.
 */
import type { WhoamiAnswer } from "../schemas/api-tenancy.ts";
import { useAnswer } from "./answers.ts";
import { isKeyWanted, keepKey, onKeyChange, readKey } from "./api.ts";
import { valueOf } from "./filters.ts";
import { h, html, useEffect, useRef, useState, type VNode } from "./html.ts";
import { linkTo, setParams, useParams, viewOf, type ViewName } from "./url.ts";
import { type ViewComponent, VIEWS } from "./views.ts";

/** Views of the navigation, in groups. */
const NAVIGATION: readonly (readonly [name: ViewName, title: string])[] = [
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
];

/** The whole page. */
export function Shell(): VNode {
  const params = useParams();
  const view = viewOf(params);
  const wants_key = useKeyWanted();
  const { title } = VIEWS[view];
  const heading = useRef<HTMLHeadingElement>(null);
  const before = useRef(view);
  useEffect(() => {
    document.title = `${title} · Spanledger`;
    // Who reads by ear hears where a link led; at the first view the browser says it.
    if (before.current !== view) heading.current?.focus({ preventScroll: true });
    before.current = view;
    // On a phone the navigation is a strip: what one looks at must be in sight.
    const link = document.querySelector("nav [aria-current]");
    link?.scrollIntoView({ block: "nearest", inline: "center" });
  }, [view]);
  return html`<a class="skip" href="#content">To the content</a>
    <header class="top">
      <a class="brand" href=${linkTo("overview")}>Spanledger</a>
      <${ProjectChoice} />
      <span class="spring"></span>
      <a class="tool" href="/docs">API</a>
      <${KeyButton} />
      <${ThemeButton} />
    </header>
    <nav aria-label="Views">
      ${NAVIGATION.map(
        ([name, words]) =>
          html`<a
            href=${linkTo(name)}
            aria-current=${name === (PARENTS[view] ?? view) ? "page" : undefined}
            >${words}</a
          >`,
      )}
    </nav>
    <main id="content" tabindex="-1">
      <h1 ref=${heading} tabindex="-1">${title}</h1>
      ${wants_key ? html`<${KeyForm} />` : html`<${LoadedView} key=${view} view=${view} />`}
    </main>`;
}

/** Views below another one of the navigation. */
const PARENTS: Readonly<Partial<Record<ViewName, ViewName>>> = { call: "calls", trace: "traces" };

const loaded = new Map<ViewName, ViewComponent>();

/** Draws a view as soon as it is loaded. */
function LoadedView({ view }: { readonly view: ViewName }): VNode {
  const [component, setComponent] = useState<ViewComponent | null>(
    () => VIEWS[view].component ?? loaded.get(view) ?? null,
  );
  const [has_failed, setFailed] = useState(false);
  useEffect(() => {
    if (component !== null) return;
    VIEWS[view].load().then(
      (found) => {
        loaded.set(view, found);
        setComponent(() => found);
      },
      () => setFailed(true),
    );
  }, [view]);
  if (has_failed) {
    return html`<div class="problem" role="alert">
      <strong>This view could not be loaded</strong>
      <p>The server has another version by now, or cannot be reached.</p>
      <button onClick=${() => location.reload()}>Load the page again</button>
    </div>`;
  }
  return component === null ? html`<p class="hidden" role="status">Loading</p>` : h(component, {});
}

function useKeyWanted(): boolean {
  const [is_wanted, setWanted] = useState(isKeyWanted);
  useEffect(() => onKeyChange(() => setWanted(isKeyWanted())), []);
  return is_wanted;
}

/** Asks for a key of this installation. */
function KeyForm(): VNode {
  const input = useRef<HTMLInputElement>(null);
  const on_device = useRef<HTMLInputElement>(null);
  const had_key = readKey() !== null;
  useEffect(() => input.current?.focus(), []);
  const give = (event: Event) => {
    event.preventDefault();
    const key = (input.current?.value ?? "").trim();
    if (key !== "") keepKey(key, on_device.current?.checked === true);
  };
  return html`<form class="card key-form" onSubmit=${give}>
    <h2>A key, please</h2>
    ${had_key && html`<p class="problem-line" role="alert">The key was not accepted: it is wrong, expired or revoked.</p>`}
    <p>
      This installation answers to who has a key with the scope <code>read</code>. Whoever runs it
      makes one with <code>spanledger keys create</code>.
    </p>
    <label
      >Key <input ref=${input} type="password" autocomplete="off" spellcheck=${false} required
    /></label>
    <label class="check"
      ><input ref=${on_device} type="checkbox" /> Keep it on this device (otherwise until this tab
      is closed)</label
    >
    <button class="primary">Show</button>
  </form>`;
}

function KeyButton(): VNode | null {
  const [, setCount] = useState(0);
  useEffect(() => onKeyChange(() => setCount((count) => count + 1)), []);
  if (readKey() === null) return null;
  return html`<button class="tool" onClick=${() => keepKey(null)}>Forget key</button>`;
}

/** The projects that the key may see, when there are several. */
function ProjectChoice(): VNode | null {
  const params = useParams();
  const { data } = useAnswer<WhoamiAnswer>("/v1/whoami");
  const projects = data?.projects ?? [];
  if (projects.length < 2) return null;
  const chosen = params.get("project") ?? projects[0]?.project_id ?? "";
  return html`<label class="field"
    ><span class="hidden">Project</span>
    <select
      value=${chosen}
      onChange=${(event: Event) => setParams({ project: valueOf(event), cursor: null })}
    >
      ${projects.map(({ project_id, name }) => html`<option value=${project_id}>${name}</option>`)}
    </select></label
  >`;
}

const THEME_NAME = "spanledger.theme";
const THEMES = ["auto", "light", "dark"] as const;

/** Applies the choice of light or dark that was kept. */
export function applyTheme(): void {
  const kept = localStorage.getItem(THEME_NAME);
  document.documentElement.dataset["theme"] = THEMES.find((name) => name === kept) ?? "auto";
}

function ThemeButton(): VNode {
  const [theme, setTheme] = useState(document.documentElement.dataset["theme"] ?? "auto");
  const next = THEMES[(THEMES.findIndex((name) => name === theme) + 1) % THEMES.length] ?? "auto";
  const change = () => {
    localStorage.setItem(THEME_NAME, next);
    applyTheme();
    setTheme(next);
  };
  return html`<button
    class="tool"
    onClick=${change}
    title=${`Colours: ${theme}. Change to ${next}`}
  >
    Theme: ${theme}<span class="hidden">; change to ${next}</span>
  </button>`;
}
