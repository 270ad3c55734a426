/**
 * Lines to be copied: a command, a piece of a file.
 *
 * Invariant: what is copied is what is shown.
 */
import { html, useEffect, useState, type VNode } from "../html.ts";

/** For how long a copy is said to be made, ms. */
const COPIED_MS = 2_000;

export interface CopyBlockProps {
  /** What it is, for screen readers: "Copy price file". */
  readonly name: string;
  readonly text: string;
}

/** Lines with a button that copies them. */
export function CopyBlock({ name, text }: CopyBlockProps): VNode {
  const [words, setWords] = useState("");
  useEffect(() => {
    if (words === "") return undefined;
    const timer = setTimeout(() => setWords(""), COPIED_MS);
    return () => clearTimeout(timer);
  }, [words]);
  // Browsers give no clipboard to pages that came over plain HTTP from afar: there it is selected by hand.
  const clipboard = navigator.clipboard as Clipboard | undefined;
  const copy = () =>
    clipboard?.writeText(text).then(
      () => setWords("Copied"),
      () => setWords("Not allowed"),
    );
  return html`<div class="copy-block">
    <pre tabindex="0" aria-label=${name}>${text}</pre>
    ${
      clipboard !== undefined &&
      html`<button type="button" aria-label=${`Copy ${name}`} onClick=${copy}>
        ${words === "" ? "Copy" : words}
      </button>`
    }
    <span class="hidden" role="status">${words}</span>
  </div>`;
}
