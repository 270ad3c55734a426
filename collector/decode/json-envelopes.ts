/**
 * Decodes what is the same in the OTLP/JSON requests of all signals: resources, scopes in them, and
 * items in those. An item is a span, a log record or a metric.
 *
 * It is the proto3 JSON mapping with hex ids and integer enums, read leniently where leniency loses
 * nothing, and with a warning where the sender is wrong. A broken envelope refuses the body, a broken
 * record refuses that record, a broken attribute is dropped. Invariant: names from the body are only
 * compared with known ones, never used to build an object; a key such as `__proto__` is a string like
 * any other.
 */
import type { Attributes, Scope } from "../../schemas/span.ts";
import type { JsonDecoding, JsonObject } from "./json-fields.ts";
import { isObject, readField, readList, readNamedField, readString } from "./json-fields.ts";
import { invalidJson, parseJson } from "./json-text.ts";
import { decodeAttributes } from "./json-values.ts";
import { countEnvelope } from "./limits.ts";
import { addRejection, addWarning, createNotes, WARNINGS } from "./notes.ts";
import type { Request, Scoped } from "./results.ts";
import type { Names, SignalName, SignalNames } from "./signals.ts";
import { findOtherJsonSignal, SIGNALS } from "./signals.ts";

/** Decodes an item; undefined when nothing of it is kept. Sets `problem` when it is to be refused. */
export type DecodeJsonItem<Item> = (decoding: JsonDecoding, raw: JsonObject) => Item | undefined;

/**
 * Decodes the body of an OTLP/JSON export of the signal, at most 512 MB. Throws PermanentError
 * `invalid_json`, `wrong_signal` for a body of another signal, and `too_many_objects`; nothing else.
 */
export function decodeJsonRequest<Item>(
  signal: SignalName,
  body: Uint8Array,
  decodeItem: DecodeJsonItem<Item>,
): Request<Item> {
  const notes = createNotes();
  const decoding: JsonDecoding = { notes, envelope_count: 0, problem: undefined };
  const { root, has_invalid_text } = parseJson(body);
  if (has_invalid_text) addWarning(notes, WARNINGS.invalid_text);
  if (!isObject(root)) throw invalidJson("the body must be a JSON object");
  checkSignal(decoding, root, signal);
  const names = SIGNALS[signal];
  const scoped: Scoped<Item>[] = [];
  for (const item of readEnvelopes(decoding, root, names.resources)) {
    decodeScopes(decoding, item, names, decodeItem, scoped);
  }
  return { scoped, notes };
}

/** An empty object is an empty request; one without the list is most likely meant to be another. */
function checkSignal(decoding: JsonDecoding, root: JsonObject, signal: SignalName): void {
  const hasName = (name: string) => Object.hasOwn(root, name);
  const names = SIGNALS[signal];
  if (names.resources.some(hasName)) return;
  const refusal = findOtherJsonSignal(signal, hasName);
  if (refusal !== undefined) throw refusal;
  if (Object.keys(root).length > 0) addWarning(decoding.notes, names.missing_warning);
}

function decodeScopes<Item>(
  decoding: JsonDecoding,
  raw: JsonObject,
  names: SignalNames,
  decodeItem: DecodeJsonItem<Item>,
  into: Scoped<Item>[],
): void {
  let resource: Attributes | undefined;
  for (const envelope of readEnvelopes(decoding, raw, names.scopes)) {
    const list = readNamedField(decoding, envelope, ...names.items);
    const items = decodeItems(decoding, list, names.items[0], decodeItem);
    if (items.length === 0) continue;
    resource ??= decodeResource(decoding, readField(raw, "resource"));
    const scope = decodeScope(decoding, readField(envelope, "scope"));
    into.push({ resource, scope, items });
  }
}

function decodeResource(decoding: JsonDecoding, raw: unknown): Attributes {
  const resource = readEnvelope(raw, "resource");
  return decodeAttributes(decoding, readField(resource, "attributes"), 1);
}

function decodeScope(decoding: JsonDecoding, raw: unknown): Scope {
  const scope = readEnvelope(raw, "scope");
  decoding.problem = undefined;
  const name = readString(decoding, readField(scope, "name"), "scope.name");
  const version = readString(decoding, readField(scope, "version"), "scope.version");
  if (decoding.problem !== undefined) throw invalidJson(decoding.problem);
  return { name, version };
}

function decodeItems<Item>(
  decoding: JsonDecoding,
  list: unknown,
  name: string,
  decodeItem: DecodeJsonItem<Item>,
): Item[] {
  decoding.problem = undefined;
  const rawItems = readList(decoding, list, name);
  if (decoding.problem !== undefined) throw invalidJson(decoding.problem);
  return decodeList(decoding, rawItems, name, decodeItem);
}

/** Decodes a list of records; null is none (J08), and what is broken or no object is rejected. */
export function decodeList<Item>(
  decoding: JsonDecoding,
  list: readonly unknown[],
  name: string,
  decodeItem: DecodeJsonItem<Item>,
): Item[] {
  const items: Item[] = [];
  for (const raw of list) {
    if (raw === null) continue;
    countEnvelope(decoding);
    decoding.problem = isObject(raw) ? undefined : `${name} must be objects`;
    const item = isObject(raw) ? decodeItem(decoding, raw) : undefined;
    if (decoding.problem !== undefined) addRejection(decoding.notes, decoding.problem);
    else if (item !== undefined) items.push(item);
  }
  return items;
}

/** Reads an object around records; absent is empty, another type refuses the body. */
function readEnvelope(value: unknown, name: string): JsonObject {
  if (value === undefined) return {};
  if (isObject(value)) return value;
  throw invalidJson(`${name} must be an object`);
}

/** Yields the objects of a list around records, each counted; null is none (J08). */
function* readEnvelopes(
  decoding: JsonDecoding,
  object: JsonObject,
  names: Names,
): Generator<JsonObject, void> {
  const [name] = names;
  const list = readNamedField(decoding, object, ...names);
  if (list === undefined) return;
  if (!Array.isArray(list)) throw invalidJson(`${name} must be an array`);
  for (const item of list as unknown[]) {
    if (item === null) continue;
    countEnvelope(decoding);
    yield readEnvelope(item, `${name}[]`);
  }
}
