/**
 * Decodes what is the same in the protobuf requests of all signals: resources, scopes in them, and
 * items in those. An item is a span, a log record or a metric.
 *
 * Fields may come in any order, repeated messages merge, and of a repeated scalar the last one
 * counts. Invariant: every byte of the body is either decoded or checked and skipped, except inside
 * what a limit drops.
 */
import { PermanentError } from "../../schemas/errors.ts";
import type { Scope } from "../../schemas/span.ts";
import { Attributes } from "../../schemas/span.ts";
import { countEnvelope } from "./limits.ts";
import { REQUEST, RESOURCE, RESOURCE_ENVELOPE, SCOPE, SCOPE_ENVELOPE } from "./messages.ts";
import { addWarning, createNotes, WARNINGS } from "./notes.ts";
import type { Request, Scoped } from "./results.ts";
import type { SignalName } from "./signals.ts";
import { findOtherSignal } from "./signals.ts";
import type { ValueDecoding } from "./values.ts";
import { decodeAttribute } from "./values.ts";
import type { WireReader } from "./wire.ts";
import { createReader, readEnd, readField, readText, skipValue } from "./wire.ts";

/** The state of decoding one protobuf body. */
export interface Decoding extends ValueDecoding {
  envelope_count: number;
}

/** Decodes the item up to `end`; undefined when nothing of it is kept, which it says in the notes. */
export type DecodeItem<Item> = (decoding: Decoding, end: number) => Item | undefined;

/**
 * Decodes the body of an OTLP export of the signal. An empty body is a valid, empty request. The
 * result holds nothing of the body. Throws PermanentError `wrong_signal` when the body is one of
 * another signal (P24), `invalid_protobuf` when it cannot be decoded and `too_many_objects` when it
 * exceeds a limit; nothing else.
 */
export function decodeRequest<Item>(
  signal: SignalName,
  body: Uint8Array,
  decodeItem: DecodeItem<Item>,
): Request<Item> {
  let request;
  try {
    request = decodeResources(body, decodeItem);
  } catch (error) {
    const isMalformed = error instanceof PermanentError && error.code === "invalid_protobuf";
    throw (isMalformed ? findOtherSignal(signal, body) : undefined) ?? error;
  }
  if (request.scoped.length === 0 && request.notes.rejected_count > 0) {
    const refusal = findOtherSignal(signal, body);
    if (refusal !== undefined) throw refusal;
  }
  return request;
}

function decodeResources<Item>(body: Uint8Array, decodeItem: DecodeItem<Item>): Request<Item> {
  const reader = createReader(body);
  const notes = createNotes();
  const decoding = { reader, notes, envelope_count: 0, value_count: 0 };
  const scoped: Scoped<Item>[] = [];
  while (reader.pos < body.length) {
    const field = readField(reader, body.length, REQUEST);
    if (field === 1) decodeScopes(decoding, readEnd(reader, body.length), decodeItem, scoped);
    else skipValue(reader, field, body.length);
  }
  if (reader.has_invalid_text) addWarning(notes, WARNINGS.invalid_text);
  return { scoped, notes };
}

/** Nothing is made for an empty envelope here and below: a million of them fit in 2 MB. */
function decodeScopes<Item>(
  decoding: Decoding,
  end: number,
  decodeItem: DecodeItem<Item>,
  into: Scoped<Item>[],
): void {
  const { reader } = decoding;
  countEnvelope(decoding);
  // One object for all scopes, so that a resource that comes after them still reaches them.
  let resource: Attributes | undefined;
  while (reader.pos < end) {
    const field = readField(reader, end, RESOURCE_ENVELOPE);
    if (field === 1) {
      resource ??= new Attributes();
      decodeResource(decoding, readEnd(reader, end), resource);
    } else if (field === 2) {
      const scoped = decodeItems(decoding, readEnd(reader, end), decodeItem);
      if (scoped === undefined) continue;
      resource ??= new Attributes();
      into.push({ resource, ...scoped });
    } else {
      skipValue(reader, field, end);
    }
  }
}

/** Decodes a Resource up to `end` into the list. */
export function decodeResource(decoding: Decoding, end: number, into: Attributes): void {
  const { reader } = decoding;
  while (reader.pos < end) {
    const field = readField(reader, end, RESOURCE);
    if (field === 1) decodeAttribute(decoding, readEnd(reader, end), 1, into);
    else skipValue(reader, field, end);
  }
}

/** Undefined when no item of the scope is left. */
function decodeItems<Item>(
  decoding: Decoding,
  end: number,
  decodeItem: DecodeItem<Item>,
): Omit<Scoped<Item>, "resource"> | undefined {
  const { reader } = decoding;
  countEnvelope(decoding);
  let scope: Scope | undefined;
  let items: Item[] | undefined;
  while (reader.pos < end) {
    const field = readField(reader, end, SCOPE_ENVELOPE);
    if (field === 1) {
      scope ??= { name: "", version: "" };
      decodeScope(reader, readEnd(reader, end), scope);
    } else if (field === 2) {
      countEnvelope(decoding);
      const item = decodeItem(decoding, readEnd(reader, end));
      if (item === undefined) continue;
      if (items === undefined) items = [item];
      else items.push(item);
    } else {
      skipValue(reader, field, end);
    }
  }
  return items === undefined ? undefined : { scope: scope ?? { name: "", version: "" }, items };
}

/** Decodes an InstrumentationScope up to `end`; a repeated one merges. */
export function decodeScope(reader: WireReader, end: number, into: Scope): void {
  while (reader.pos < end) {
    const field = readField(reader, end, SCOPE);
    if (field === 1) into.name = readText(reader, readEnd(reader, end));
    else if (field === 2) into.version = readText(reader, readEnd(reader, end));
    else skipValue(reader, field, end);
  }
}
