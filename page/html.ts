/**
 * The one door to the packages that draw: Preact by templates (htm), without a build step.
 *
 * Invariant: text in a template is text. Nothing of the page makes HTML of strings.
 */
import htm from "htm";
import { type ComponentChildren, h, type VNode } from "preact";

export { h, render } from "preact";
export { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
export type { ComponentChildren, VNode };

/** A template as elements; components stand in it as `<${Component} name=${value} />`. */
export const html = htm.bind(h) as (strings: TemplateStringsArray, ...values: unknown[]) => VNode;
