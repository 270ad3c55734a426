/**
 * Bodies of OTLP in protobuf as trees that can be changed anywhere and written again, rightly, oddly or
 * wrongly: what the fuzzers make their bodies with.
 *
 * Invariant: the tree of a body that protobufjs wrote gives its bytes again when nothing is changed.
 */
import type { Random } from "../support/random.ts";

/** A field as it is on the wire. */
export interface Field {
  number: number;
  /** 0 varint, 1 of eight bytes, 2 delimited, 5 of four bytes; others are broken. */
  wire_type: number;
  /** Name of the message inside, when it is one. */
  message: string | null;
  /** Of a message. */
  fields: Field[];
  /** Of anything else, after tag and length. */
  bytes: Uint8Array;
  /** Bytes that tag and length take more than they need. */
  tag_padding: number;
  length_padding: number;
  /** Bytes cut off the end of what is inside, with a length that fits. */
  cut: number;
  /** What the length says too much, or too little. */
  lie: number;
}

type Children = Readonly<Record<number, string>>;

const POINTS: Children = { 1: "point" };

/** Messages by name: the messages in their fields. */
const MESSAGES: Readonly<Record<string, Children>> = {
  traces: { 1: "resource_spans" },
  resource_spans: { 1: "resource", 2: "scope_spans" },
  scope_spans: { 1: "scope", 2: "span" },
  span: { 9: "pair", 11: "event", 13: "link", 15: "status" },
  event: { 3: "pair" },
  link: { 4: "pair" },
  status: {},
  logs: { 1: "resource_logs" },
  resource_logs: { 1: "resource", 2: "scope_logs" },
  scope_logs: { 1: "scope", 2: "log" },
  log: { 5: "value", 6: "pair" },
  metrics: { 1: "resource_metrics" },
  resource_metrics: { 1: "resource", 2: "scope_metrics" },
  scope_metrics: { 1: "scope", 2: "metric" },
  metric: { 5: "points", 7: "points", 9: "histogram", 10: "exponential", 11: "points" },
  points: POINTS,
  histogram: { 1: "histogram_point" },
  exponential: { 1: "exponential_point" },
  point: { 7: "pair" },
  histogram_point: { 9: "pair" },
  exponential_point: { 1: "pair" },
  resource: { 1: "pair" },
  scope: { 3: "pair" },
  pair: { 2: "value" },
  value: { 5: "list", 6: "pairs" },
  list: { 1: "value" },
  pairs: { 1: "pair" },
};

export type Signal = "traces" | "logs" | "metrics";

/** A field with its content, written as usual. */
export function makeField(number: number, wire_type: number, bytes: Uint8Array): Field {
  return {
    number,
    wire_type,
    message: null,
    fields: [],
    bytes,
    tag_padding: 0,
    length_padding: 0,
    cut: 0,
    lie: 0,
  };
}

/** The fields of a body that is right. */
export function parseFields(bytes: Uint8Array, message: string): Field[] {
  const children = MESSAGES[message] as Children;
  const fields: Field[] = [];
  let pos = 0;
  const readVarint = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[pos++] as number;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
  };
  while (pos < bytes.length) {
    const tag = readVarint();
    const [number, wire_type] = [Math.floor(tag / 8), tag % 8];
    const start = pos;
    if (wire_type === 0) readVarint();
    const size = wire_type === 2 ? readVarint() : wire_type === 1 ? 8 : wire_type === 5 ? 4 : 0;
    const from = wire_type === 2 ? pos : start;
    pos += size;
    const field = makeField(number, wire_type, bytes.subarray(from, pos));
    const inner = wire_type === 2 ? children[number] : undefined;
    if (inner !== undefined) {
      field.message = inner;
      field.fields = parseFields(field.bytes, inner);
    }
    fields.push(field);
  }
  return fields;
}

/** A varint with bytes more than it needs. */
export function padVarint(value: number, padding: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  bytes.push(rest);
  for (let more = 0; more < padding; more += 1) {
    bytes[bytes.length - 1] = (bytes.at(-1) as number) | 0x80;
    bytes.push(0);
  }
  return bytes;
}

/** The bytes of the fields. */
export function writeFields(fields: readonly Field[]): Buffer {
  const parts: Uint8Array[] = [];
  for (const field of fields) {
    const { number, wire_type, cut, lie } = field;
    parts.push(Uint8Array.from(padVarint(number * 8 + wire_type, field.tag_padding)));
    const whole = field.message === null ? field.bytes : writeFields(field.fields);
    const inside = cut === 0 ? whole : whole.subarray(0, Math.max(0, whole.length - cut));
    if (wire_type === 2) {
      const length = Math.max(0, inside.length + lie);
      parts.push(Uint8Array.from(padVarint(length, field.length_padding)));
    }
    parts.push(inside);
  }
  return Buffer.concat(parts);
}

/** Lists of fields of a tree with the name of their message. */
function listMessages(fields: Field[], message: string): [fields: Field[], message: string][] {
  const found: [Field[], string][] = [[fields, message]];
  for (const field of fields) {
    if (field.message !== null) found.push(...listMessages(field.fields, field.message));
  }
  return found;
}

function listFields(fields: readonly Field[]): Field[] {
  return fields.flatMap((field) => [field, ...listFields(field.fields)]);
}

/** Text and numbers that mean something to somebody. */
const WORDS: readonly string[] = [
  "",
  " ",
  "a",
  "alice ",
  "req_1",
  "ai-1",
  "[x]",
  '{"a":1}',
  "<p>",
  "data:x",
  "chat",
  "execute_tool",
  "gpt-4o-mini",
  "openai",
  "https://u:p@host/a?q=1#f",
  "host/a@b?c",
  "modèle",
  "\uFEFFx",
  "\u0000",
  "a\u0000b",
  "429 x",
  "x".repeat(127),
  "x".repeat(128),
  "x".repeat(255),
  "x".repeat(256),
  "x".repeat(257),
  "é".repeat(128),
  "__proto__",
  "exception",
  "exception.type",
  "exception.message",
  "gen_ai.usage.input_tokens",
  "gen_ai.usage.output_tokens",
  "gen_ai.request.model",
  "gen_ai.operation.name",
  "gen_ai.provider.name",
  "gen_ai.prompt",
  "user.id",
  "session.id",
  "spanledger.tag.team",
  "service.name",
  "deployment.environment",
];

const VARINTS: readonly (readonly number[])[] = [
  [0],
  [1],
  [0x7f],
  [0x80, 0x01],
  [0x85, 0x00],
  [0x80, 0x80, 0x00],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f],
  [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
  [0xff, 0xff, 0xff, 0xff, 0x0f],
];

const DOUBLES: readonly number[] = [
  0,
  -0,
  1,
  -1,
  0.5,
  1e-9,
  1e21,
  2 ** 53,
  NaN,
  Infinity,
  -Infinity,
];

function makeScalar(wire_type: number, random: Random): Uint8Array {
  if (wire_type === 0) return Uint8Array.from(random.pick(VARINTS));
  if (wire_type === 5) return random.bytes(4);
  if (wire_type === 1) {
    const bytes = Buffer.alloc(8);
    const roll = random.next();
    if (roll < 0.5) bytes.writeDoubleLE(random.pick(DOUBLES));
    else if (roll < 0.75) bytes.writeBigUInt64LE(1_795_225_706_123_456_789n);
    else bytes.set(random.bytes(8));
    return bytes;
  }
  const roll = random.next();
  if (roll < 0.7) return Buffer.from(random.pick(WORDS));
  if (roll < 0.8) return random.bytes(random.pick([8, 16]));
  return random.bytes(random.whole(40));
}

/** A field that OTLP does not know, of any wire type. */
function makeUnknown(random: Random): Field {
  const wire_type = random.pick([0, 1, 2, 5, 3, 4, 6, 7]);
  const number = random.pick([16, 17, 900, 1 << 20, 0]);
  if (wire_type === 3) {
    const group = Buffer.concat([
      Uint8Array.from([0x08, 0x01]),
      Uint8Array.from(padVarint(number * 8 + 4, 0)),
    ]);
    return makeField(number, 3, group);
  }
  return makeField(number, wire_type, makeScalar(wire_type > 5 ? 0 : wire_type, random));
}

type Change = (fields: Field[], message: string, random: Random, other: Field[]) => void;

const at = (fields: readonly Field[], random: Random): number => random.whole(fields.length);
const pad = (random: Random): number => random.pick([1, 2, 3, 5, 8]);

/** Changes of one message. */
const CHANGES: readonly Change[] = [
  (fields, _message, random) => void fields.splice(at(fields, random), 1),
  (fields, _message, random) => {
    fields.splice(at(fields, random), 0, structuredClone(random.pick(fields)));
  },
  (fields, _message, random) => {
    const [moved] = fields.splice(at(fields, random), 1);
    if (moved !== undefined) fields.splice(random.whole(fields.length + 1), 0, moved);
  },
  (fields, _message, random) => void (random.pick(fields).tag_padding = pad(random)),
  (fields, _message, random) => void (random.pick(fields).length_padding = pad(random)),
  (fields, _message, random) => void (random.pick(fields).cut = 1 + random.whole(4)),
  (fields, _message, random) =>
    void (random.pick(fields).lie = random.pick([-1, 1, 2, 127, 1e9, 2 ** 32])),
  (fields, _message, random) => void (random.pick(fields).number = random.whole(17)),
  (fields, _message, random) => void (random.pick(fields).wire_type = random.whole(8)),
  (fields, _message, random) => void fields.splice(at(fields, random), 0, makeUnknown(random)),
  (fields, _message, random) => void (fields.length = at(fields, random)),
  (fields) => void fields.reverse(),
  (fields, message, random, other) => {
    const same = listMessages(other, message).filter(([, name]) => name === message);
    if (same.length > 0) fields.push(...structuredClone(random.pick(same)[0]).slice(0, 40));
  },
  (fields, message, random) => {
    if (message !== "span" && message !== "resource") return;
    const count = random.pick([30, 255, 256, 257, 513]);
    const pairs = Array.from({ length: count }, (_, index): Field => {
      const key = makeField(1, 2, Buffer.from(`k${index}`));
      return {
        ...makeField(message === "span" ? 9 : 1, 2, key.bytes),
        message: "pair",
        fields: [key],
      };
    });
    fields.push(...pairs);
  },
  (fields, message, random) => {
    if (message !== "span") return;
    const event = fields.find((field) => field.message === "event");
    const empty: Field = { ...makeField(11, 2, new Uint8Array()), message: "event" };
    for (let more = random.pick([2, 15, 16, 17]); more > 0; more -= 1) {
      fields.push(structuredClone(event ?? empty));
    }
  },
];

/** Values are what most of a body is, so they are what is changed most. */
function changeValue(root: Field[], random: Random): void {
  const leaves = listFields(root).filter(({ message }) => message === null);
  if (leaves.length === 0) return;
  const leaf = random.pick(leaves);
  leaf.bytes = makeScalar(leaf.wire_type, random);
}

function changeBytes(body: Buffer, random: Random): Buffer {
  for (let more = random.whole(4); more >= 0 && body.length > 0; more -= 1) {
    body[random.whole(body.length)] = random.pick([
      0,
      1,
      0x0a,
      0x12,
      0x7f,
      0x80,
      0xff,
      random.whole(256),
    ]);
  }
  return random.chance(0.3) ? body.subarray(0, random.whole(body.length + 1)) : body;
}

/** A body made of another by a few changes; `other` lends parts. */
export function mutate(
  signal: Signal,
  seed_body: Uint8Array,
  other: Uint8Array,
  random: Random,
): Buffer {
  const root = parseFields(seed_body, signal);
  const lender = parseFields(other, signal);
  for (let more = random.pick([0, 0, 1, 2, 5]); more >= 0; more -= 1) {
    if (random.chance(0.55)) {
      changeValue(root, random);
      continue;
    }
    const messages = listMessages(root, signal).filter(([fields]) => fields.length > 0);
    if (messages.length === 0) break;
    // Messages deep inside are many, so the few at the top get a share of their own.
    const chosen = random.chance(0.3) ? messages.slice(0, 6) : messages;
    const [fields, message] = random.pick(chosen);
    random.pick(CHANGES)(fields, message, random, lender);
  }
  const body = writeFields(root);
  return random.chance(0.15) ? changeBytes(body, random) : body;
}
