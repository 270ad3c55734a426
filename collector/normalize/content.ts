/**
 * Keeps prompts, answers and tool arguments out of everything that is stored, before the WAL
 * (DESIGN section 1 point 6). With capture on, the same attributes stay.
 *
 * A table of keys cannot be complete, so a key that speaks of content, long text, JSON objects and
 * nested values count as content too. In doubt it is dropped: whoever wants it turns capture on.
 * That takes some harmless values along (`db.query.text`, `llm.invocation_parameters`, which also
 * holds system prompts). Dialects read a span before this, so no number of a call is lost by it.
 */
import {
  Attributes,
  type AttributeValue,
  type SpanEvent,
  type SpanLink,
} from "../../schemas/span.ts";
import { judgeKey, type KeyVerdict } from "./content-keys.ts";

/** Longest text kept under any key, and of all texts of a list together, characters. */
export const MAX_PLAIN_TEXT_LENGTH = 256;

/** Longest text of counts and amounts as JSON, characters. */
const MAX_NUMBERS_LENGTH = 1024;

/** Longest list kept; embeddings are longer. */
const MAX_PLAIN_LIST_LENGTH = 32;

/** Verdicts remembered; the keys of all known emitters together are about 400. */
const MAX_VERDICTS = 4096;

/** Verdicts by key as sent. Whoever sends ever new keys only makes them be judged again. */
const verdicts = new Map<string, KeyVerdict>();

/** The verdict on a key, remembered. */
export function verdictOf(key: string): KeyVerdict {
  const known = verdicts.get(key);
  if (known !== undefined) return known;
  const verdict = judgeKey(key);
  if (verdicts.size < MAX_VERDICTS) verdicts.set(key, verdict);
  return verdict;
}

/** Whether a JSON text holds names and numbers and no other text. */
function isNumbersJson(text: string): boolean {
  if (text.length > MAX_NUMBERS_LENGTH) return false;
  return /^[\s{}[\],:\d.eE+-]*$/.test(text.replace(/"[\w.-]{1,64}"\s*:|null/g, ""));
}

/** The value that may be stored under the key, or undefined when it is content. */
export function keepValue(key: string, value: AttributeValue): AttributeValue | undefined {
  const verdict = verdictOf(key);
  if (verdict === "content") return undefined;
  switch (typeof value) {
    case "string":
      return verdict === "suspect" ? undefined : keepText(verdict, value);
    case "object": {
      if (value === null) return value;
      const kept = verdict !== "suspect" && Array.isArray(value) && isPlainList(value);
      return kept ? value : undefined;
    }
    default:
      return value;
  }
}

function keepText(verdict: KeyVerdict, text: string): string | undefined {
  if (verdict === "numbers") return isNumbersJson(text) ? text : undefined;
  const path = verdict === "url" || text.includes("://") ? cutUrls(text) : text;
  return isPlainText(path) ? path : undefined;
}

/** How text begins that is a document, an image or JSON. */
const STRUCTURED_TEXT = /^\s*(\{|\[\s*[[{]|<|data:)/;

/** Whether a text under an unsuspicious key may stay. */
function isPlainText(text: string): boolean {
  return text.length <= MAX_PLAIN_TEXT_LENGTH && !STRUCTURED_TEXT.test(text);
}

/** Cuts what follows the path, which may carry anything, and the password from URLs. */
function cutUrls(text: string): string {
  // Only the beginning of a long text is kept, so only that is searched.
  const start = text.slice(0, MAX_PLAIN_TEXT_LENGTH + 1);
  const end = start.search(/[?#]/);
  const path = end === -1 ? start : start.slice(0, end);
  return path.replace(/:\/\/[^/@\s]*@/g, "://");
}

function isPlainList(list: readonly AttributeValue[]): boolean {
  if (list.length > MAX_PLAIN_LIST_LENGTH) return false;
  let textLength = 0;
  for (const item of list) {
    if (typeof item === "object" && item !== null) return false;
    if (typeof item !== "string") continue;
    textLength += item.length;
    if (textLength > MAX_PLAIN_TEXT_LENGTH || item.includes("://") || !isPlainText(item)) {
      return false;
    }
  }
  return true;
}

/** The attributes without content; the same object when there was none. */
export function withoutContent(attributes: Attributes): Attributes {
  const { keys, values } = attributes;
  let kept: Attributes | null = null;
  for (let index = 0; index < keys.length; index += 1) {
    const key = keys[index] as string;
    const value = values[index] as AttributeValue;
    const keep = keepValue(key, value);
    if (keep !== value) kept ??= new Attributes(keys.slice(0, index), values.slice(0, index));
    if (keep !== undefined) kept?.add(key, keep);
  }
  return kept ?? attributes;
}

/** A name of a span or event; empty when it is so long that it is text. */
export function withoutLongName(name: string): string {
  return name.length > MAX_PLAIN_TEXT_LENGTH ? "" : name;
}

/** The events without content. The events stay, with their times and names: they are structure. */
export function withoutEventContent(events: readonly SpanEvent[]): SpanEvent[] {
  return events.map((event) => ({
    ...event,
    name: withoutLongName(event.name),
    attributes: withoutContent(event.attributes),
  }));
}

/** The links without content. */
export function withoutLinkContent(links: readonly SpanLink[]): SpanLink[] {
  return links.map((link) => ({ ...link, attributes: withoutContent(link.attributes) }));
}
