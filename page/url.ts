/**
 * What is looked at stands in the address, all of it: a link shows a colleague the same view.
 *
 * Invariant: the address is the only state of a view; what is not in it is lost on reload, and may be.
 */
import { useEffect, useState } from "./html.ts";

/** The views, in the order of the navigation; `trace`, `call` and `session` are reached by links. */
export const VIEW_NAMES = [
  "overview",
  "costs",
  "performance",
  "calls",
  "traces",
  "sessions",
  "errors",
  "live",
  "budgets",
  "prices",
  "collector",
  "call",
  "trace",
  "start",
] as const;
export type ViewName = (typeof VIEW_NAMES)[number];

/** Dimensions that the bar of filters has; the parameters are those of the API. */
export const FILTER_NAMES = [
  "model",
  "request_model",
  "provider",
  "service_name",
  "environment",
  "user_id",
  "agent_name",
  "operation",
  "session_id",
  "price_id",
  "error_type",
] as const;
export type FilterName = (typeof FILTER_NAMES)[number];

/** Parameters that go along from view to view; all others belong to the view that set them. */
const SHARED_NAMES: ReadonlySet<string> = new Set([
  "project",
  "range",
  "from",
  "to",
  "tz",
  "refresh",
  ...FILTER_NAMES,
]);

/** A change of the address: null and the empty list take a parameter away. */
export type Patch = Readonly<Record<string, string | readonly string[] | null | undefined>>;

const listeners = new Set<() => void>();

/** The view that is shown; the overview when the address names none that there is. */
export function viewOf(params: URLSearchParams): ViewName {
  const name = params.get("view");
  return VIEW_NAMES.find((known) => known === name) ?? "overview";
}

/** The parameters now. */
export function readParams(): URLSearchParams {
  return new URLSearchParams(location.search);
}

function applyPatch(params: URLSearchParams, patch: Patch): URLSearchParams {
  for (const [name, value] of Object.entries(patch)) {
    params.delete(name);
    for (const item of typeof value === "string" ? [value] : (value ?? [])) {
      params.append(name, item);
    }
  }
  return params;
}

function toHref(params: URLSearchParams): string {
  const query = params.toString();
  return query === "" ? "/" : `/?${query}`;
}

/** The address of a view, with what is shared between views and the changes given. */
export function linkTo(view: ViewName, patch: Patch = {}): string {
  const params = new URLSearchParams();
  if (view !== "overview") params.set("view", view);
  for (const [name, value] of readParams()) if (SHARED_NAMES.has(name)) params.append(name, value);
  return toHref(applyPatch(params, patch));
}

/** The address of this view with the changes given. */
export function linkWith(patch: Patch): string {
  return toHref(applyPatch(readParams(), patch));
}

/** Goes to an address of the page; `replace` leaves no step for the way back. */
export function goTo(href: string, options: { readonly replace?: boolean } = {}): void {
  if (options.replace === true) history.replaceState(null, "", href);
  else history.pushState(null, "", href);
  for (const listener of listeners) listener();
}

/** Changes parameters of this view. */
export function setParams(patch: Patch, options: { readonly replace?: boolean } = {}): void {
  goTo(linkWith(patch), options);
}

/** The parameters, again whenever they change. */
export function useParams(): URLSearchParams {
  const [params, setState] = useState(readParams);
  useEffect(() => {
    const listener = () => setState(readParams());
    listeners.add(listener);
    listener();
    return () => void listeners.delete(listener);
  }, []);
  return params;
}

/** Links of the page change the view without loading it again; all others are the browser's. */
export function followLinks(): void {
  addEventListener("popstate", () => {
    for (const listener of listeners) listener();
  });
  addEventListener("click", (event) => {
    const link = (event.target as Element | null)?.closest?.("a");
    const is_plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey;
    if (link == null || !is_plain || event.defaultPrevented) return;
    if (link.origin !== location.origin || link.pathname !== "/" || link.target !== "") return;
    if (link.hash !== "") return;
    event.preventDefault();
    const before = viewOf(readParams());
    goTo(link.pathname + link.search);
    if (viewOf(readParams()) !== before) scrollTo(0, 0);
  });
}
