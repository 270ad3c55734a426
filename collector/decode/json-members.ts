/**
 * Reads the objects and lists of a JSON text in place, and steps over values that nobody reads.
 *
 * Every function begins at a value, not at the white space before it, and gives false for what
 * JSON.parse would refuse and for what only the tolerant decoder can judge. Invariant: the recursion is
 * bounded, by the messages of OTLP and by MAX_SKIPPED_DEPTH, and no name takes memory.
 */
import {
  BACKSLASH,
  closeMessage,
  type JsonCursor,
  openMessage,
  QUOTE,
  SHORT_SIZE,
  skipSpace,
} from "./json-cursor.ts";
import { readNumber } from "./json-numbers.ts";
import { copyText } from "./json-string.ts";

/** Levels of lists and objects inside a value that nobody reads; deeper is left to JSON.parse. */
const MAX_SKIPPED_DEPTH = 64;

const COMMA = 0x2c;
const COLON = 0x3a;
const UNDERSCORE = 0x5f;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const FIRST_OF_NULL = 0x6e;
const FIRST_OF_TRUE = 0x74;
const FIRST_OF_FALSE = 0x66;

const NULL = Buffer.from("null");
const TRUE = Buffer.from("true");
const FALSE = Buffer.from("false");

/** Reads the value of a member that has a name of the table, by the number of the name. */
export type ReadField = (cursor: JsonCursor, field: number) => boolean;

/** Reads an item of a list into a field with that tag. */
export type ReadItem = (cursor: JsonCursor, tag: number) => boolean;

const UNKNOWN_NAME = -1;
const BROKEN = -2;

/**
 * The names that members of a message may have, at most 31. Senders write them in the same order for
 * ever, so each is predicted from the one before; no result depends on the prediction.
 */
export class Members {
  /** With the closing quote, so that no name is the beginning of another. */
  readonly names: readonly Buffer[];
  /** Whether at most one of them may be there. */
  readonly is_oneof: boolean;
  /** What came after each name last time; the entry after the last name is what came first. */
  readonly next: Uint8Array;

  constructor(names: readonly string[], is_oneof = false) {
    this.names = names.map((name) => Buffer.from(`${name}"`));
    this.is_oneof = is_oneof;
    this.next = Uint8Array.from([...names.keys(), -1], (index) => (index + 1) % names.length);
  }
}

/**
 * Reads an object: its members with a name of the table by `readField`, the others not at all. Null
 * is absent. False for a name that is there twice, and for one that may be a known one in disguise:
 * in snake_case, or with an escape.
 */
export function readMembers(cursor: JsonCursor, members: Members, readField: ReadField): boolean {
  if (cursor.bytes[cursor.pos] !== OPEN_OBJECT) return false;
  cursor.container_count += 1;
  cursor.pos += 1;
  if (skipSpace(cursor) === CLOSE_OBJECT) {
    cursor.pos += 1;
    return true;
  }
  let seen = 0;
  let last = members.names.length;
  for (;;) {
    const field = readName(cursor, members, last);
    if (field === BROKEN) return false;
    if (field === UNKNOWN_NAME) {
      if (!skipValue(cursor, 0)) return false;
    } else {
      const bits = members.is_oneof ? -1 : 1 << field;
      if ((seen & bits) !== 0) return false;
      seen |= bits;
      last = field;
      const isNull = cursor.bytes[cursor.pos] === FIRST_OF_NULL;
      if (!(isNull ? skipWord(cursor, NULL) : readField(cursor, field))) return false;
    }
    const byte = skipSpace(cursor);
    cursor.pos += 1;
    if (byte === CLOSE_OBJECT) return true;
    if (byte !== COMMA) return false;
    skipSpace(cursor);
  }
}

/** Reads a name up to its value; the number of the name, UNKNOWN_NAME or BROKEN. */
function readName(cursor: JsonCursor, members: Members, last: number): number {
  const { bytes, pos } = cursor;
  const { names, next } = members;
  if (bytes[pos] !== QUOTE) return BROKEN;
  let field = next[last] as number;
  if (!startsWith(cursor, pos + 1, names[field] as Buffer)) {
    field = findName(cursor, pos + 1, names);
    if (field !== UNKNOWN_NAME) next[last] = field;
  }
  if (field !== UNKNOWN_NAME) cursor.pos = pos + 1 + (names[field] as Buffer).length;
  else if (!skipText(cursor) || isDisguised(cursor, pos + 1)) return BROKEN;
  if (skipSpace(cursor) !== COLON) return BROKEN;
  cursor.pos += 1;
  skipSpace(cursor);
  return field;
}

function findName(cursor: JsonCursor, start: number, names: readonly Uint8Array[]): number {
  for (let field = 0; field < names.length; field += 1) {
    if (startsWith(cursor, start, names[field] as Uint8Array)) return field;
  }
  return UNKNOWN_NAME;
}

function startsWith(cursor: JsonCursor, start: number, word: Uint8Array): boolean {
  const { bytes, end } = cursor;
  if (end - start < word.length) return false;
  for (let index = 0; index < word.length; index += 1) {
    if (bytes[start + index] !== word[index]) return false;
  }
  return true;
}

/** Whether the name that ends at `pos` could be a known one. */
function isDisguised({ bytes, pos }: JsonCursor, start: number): boolean {
  for (let index = start; index < pos; index += 1) {
    if (bytes[index] === UNDERSCORE || bytes[index] === BACKSLASH) return true;
  }
  return false;
}

/** What a list holds. */
export interface ListRule {
  /** More are left to the tolerant decoder, which drops them with a warning. */
  readonly max_items: number;
  /** Whether null is an item, written as an empty message; otherwise it is none (OTLP J08). */
  readonly keeps_null: boolean;
}

/** Reads a list whose items become fields with that tag. */
export function readList(
  cursor: JsonCursor,
  tag: number,
  { max_items, keeps_null }: ListRule,
  readItem: ReadItem,
): boolean {
  if (cursor.bytes[cursor.pos] !== OPEN_LIST) return false;
  cursor.container_count += 1;
  cursor.pos += 1;
  if (skipSpace(cursor) === CLOSE_LIST) {
    cursor.pos += 1;
    return true;
  }
  for (let count = 0; ;) {
    if (cursor.bytes[cursor.pos] !== FIRST_OF_NULL) {
      count += 1;
      if (count > max_items || !readItem(cursor, tag)) return false;
    } else {
      if (!skipWord(cursor, NULL)) return false;
      if (keeps_null) {
        closeMessage(cursor, openMessage(cursor, tag, SHORT_SIZE), SHORT_SIZE);
        // In protobuf it counts as any other.
        cursor.container_count += 1;
      }
    }
    const byte = skipSpace(cursor);
    cursor.pos += 1;
    if (byte === CLOSE_LIST) return true;
    if (byte !== COMMA) return false;
    skipSpace(cursor);
  }
}

/** Reads true or false into `number`, as 1 or 0. */
export function readFlag(cursor: JsonCursor): boolean {
  cursor.number = cursor.bytes[cursor.pos] === FIRST_OF_TRUE ? 1 : 0;
  return skipWord(cursor, cursor.number === 1 ? TRUE : FALSE);
}

function skipWord(cursor: JsonCursor, word: Uint8Array): boolean {
  if (!startsWith(cursor, cursor.pos, word)) return false;
  cursor.pos += word.length;
  return true;
}

/** Checks the string at hand, its opening quote first, and writes nothing. */
function skipText(cursor: JsonCursor): boolean {
  const { at } = cursor;
  cursor.pos += 1;
  const isText = copyText(cursor);
  cursor.at = at;
  return isText;
}

/** Checks a value that nobody reads. `depth` is the number of values around it that nobody reads. */
export function skipValue(cursor: JsonCursor, depth: number): boolean {
  switch (cursor.bytes[cursor.pos]) {
    case QUOTE:
      return skipText(cursor);
    case OPEN_OBJECT:
      return depth < MAX_SKIPPED_DEPTH && skipItems(cursor, depth, CLOSE_OBJECT);
    case OPEN_LIST:
      return depth < MAX_SKIPPED_DEPTH && skipItems(cursor, depth, CLOSE_LIST);
    case FIRST_OF_NULL:
      return skipWord(cursor, NULL);
    case FIRST_OF_TRUE:
    case FIRST_OF_FALSE:
      return readFlag(cursor);
    default:
      return readNumber(cursor);
  }
}

function skipItems(cursor: JsonCursor, depth: number, close: number): boolean {
  cursor.container_count += 1;
  cursor.pos += 1;
  if (skipSpace(cursor) === close) {
    cursor.pos += 1;
    return true;
  }
  for (;;) {
    if (close === CLOSE_OBJECT) {
      if (cursor.bytes[cursor.pos] !== QUOTE || !skipText(cursor)) return false;
      if (skipSpace(cursor) !== COLON) return false;
      cursor.pos += 1;
      skipSpace(cursor);
    }
    if (!skipValue(cursor, depth + 1)) return false;
    const byte = skipSpace(cursor);
    cursor.pos += 1;
    if (byte === close) return true;
    if (byte !== COMMA) return false;
    skipSpace(cursor);
  }
}
