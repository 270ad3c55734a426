/**
 * Content for the bodies of the benches: what is asked and answered, and what tools are given and give.
 *
 * Invariant: the random numbers alone decide the text.
 */
import type { OtlpKeyValue } from "../test/support/otlp-proto.ts";
import type { Random } from "../test/support/random.ts";

/** Where content stands: the keys of what goes in and of what comes out. */
export const CHAT_CONTENT = ["gen_ai.input.messages", "gen_ai.output.messages"] as const;
export const TOOL_CONTENT = ["gen_ai.tool.call.arguments", "gen_ai.tool.call.result"] as const;

const WORDS = (
  "the order was sent on Tuesday and the customer asks where it is now please answer in two sentences " +
  "größer Maße données über naïve 注文 文書 документ заказ"
).split(" ");
const PHRASE_WORDS = 8;

/** Text of about that many bytes as the messages of a chat, some of it not ASCII. */
function makeContent(random: Random, size: number): string {
  let content = "";
  while (content.length < size) {
    const from = random.chance(0.9) ? random.whole(8) : random.whole(WORDS.length - PHRASE_WORDS);
    content += `${WORDS.slice(from, from + PHRASE_WORDS).join(" ")}. `;
  }
  return JSON.stringify([{ role: "user", parts: [{ type: "text", content }] }]);
}

/** Attributes with content of that many bytes together, three quarters of it going in; none of 0. */
export function makeContents(
  random: Random,
  size: number,
  [input, output]: readonly [string, string],
): OtlpKeyValue[] {
  if (size === 0) return [];
  return [
    { key: input, value: { stringValue: makeContent(random, size * 0.75) } },
    { key: output, value: { stringValue: makeContent(random, size * 0.25) } },
  ];
}
