/**
 * Bodies that a fuzzer, or somebody who read the code, found to be read wrongly once.
 *
 * Invariant: each stands for one mistake, with what it was; the bytes are the smallest found.
 */

/** A body in hex, and those that have to come before it. */
export interface Regression {
  readonly what: string;
  readonly hex: string;
  readonly before?: readonly string[];
  readonly capture?: boolean;
}

/** A span with ids and a start, 37 bytes: 0a 10 (16 bytes) 12 08 (8 bytes) 39 (8 bytes). */
const SPAN = `0a10${"01".repeat(16)}1208${"02".repeat(8)}390108020304050607`;

const sizeOf = (hex: string): string => (hex.length / 2).toString(16).padStart(2, "0");
const within = (tag: string, ...parts: string[]): string => {
  const inside = parts.join("");
  return `${tag}${sizeOf(inside)}${inside}`;
};
const request = (...spans: string[]): string =>
  within("0a", within("12", ...spans.map((span) => within("12", span))));

/** Bodies of trace exports in protobuf. */
export const TRACE_REGRESSIONS: readonly Regression[] = [
  {
    what: "an attribute of one byte at the end of the body is not read on into the next bytes",
    hex: request("4a010a"),
  },
  {
    what: "a dropped count of more than 64 bits refuses the body also in a span of a known form",
    hex: request(`${SPAN}5005`, `${SPAN}50ffffffffffffffffff7f`),
  },
  {
    what: "a broken resource without spans refuses the body",
    hex: `${within("0a", within("0a", "0a7f"))}${request(SPAN)}`,
  },
  {
    what: "a broken scope without spans refuses the body",
    hex: `${within("0a", within("12", within("0a", "0a7f")))}${request(SPAN)}`,
  },
];

/** Bodies of trace exports in JSON. */
export const JSON_REGRESSIONS: readonly { readonly what: string; readonly text: string }[] = [
  { what: "an object without members is an empty request", text: "{}" },
];
