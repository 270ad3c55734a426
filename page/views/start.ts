/** How to send spans, and whether any have come. */
import { FilterBar } from "../filters.ts";
import { type EverCalls, useEverCalls } from "../figures/first-call.ts";
import { StartGuide } from "../figures/start-guide.ts";
import { showCount } from "../format.ts";
import { html, type VNode } from "../html.ts";
import { linkTo } from "../url.ts";

/** The view. */
export function StartView(): VNode {
  const ever = useEverCalls(true);
  return html`<${Waiting} ...${ever} /> <${StartGuide} />`;
}

/** What stands in the place of the overview until there is a call. */
export function StartInPlace(): VNode {
  return html`<${FilterBar} has_filters=${false} />
    <${Waiting} calls=${0} is_loading=${false} />
    <${StartGuide} />`;
}

function Waiting({ calls, is_loading }: EverCalls): VNode | null {
  // Who may not ask is not told to wait.
  if (calls === null && !is_loading) return null;
  return html`<p class="waiting card" role="status" aria-busy=${is_loading}>
    ${
      calls === null
        ? html`<span class="hidden">Looking for calls</span>`
        : calls === 0
          ? html`<i class="pulse" aria-hidden="true"></i> Waiting for the first call. This page
              shows it by itself, about two seconds after it was sent.`
          : html`Calls arrive: ${showCount(calls)} so far.
              <a href=${linkTo("overview")}>Look at them</a>`
    }
  </p>`;
}
