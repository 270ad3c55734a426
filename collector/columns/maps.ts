/**
 * The map columns of a block, Map(LowCardinality(String), String): the keys as numbers of a
 * dictionary, the values as texts, and the running ends of the rows.
 *
 * Invariant: `ends` has one entry for each row (or event) that was ended.
 */
import type { Attributes } from "../../schemas/span.ts";
import { writeDictionary } from "./common.ts";
import { Dictionary, Texts, Words } from "./growing.ts";
import { type Sink, writeBytes } from "./sink.ts";
import { formatAttribute } from "./text.ts";

/** One map column. */
export class Maps {
  readonly dictionary = new Dictionary();
  readonly keys = new Words();
  readonly texts = new Texts();
  readonly ends = new Words();

  clear(): void {
    this.dictionary.clear();
    this.keys.size = 0;
    this.texts.size = 0;
    this.ends.size = 0;
  }

  /** Ends the map of a row. */
  end(): void {
    this.ends.pushCount(this.keys.size);
  }

  /** Adds all attributes; of a key sent twice the last (OTLP D11). */
  pushAttributes({ keys, values }: Attributes): void {
    for (let index = 0; index < keys.length; index += 1) {
      const key = keys[index] as string;
      if (keys.indexOf(key, index + 1) !== -1) continue;
      this.keys.push(this.dictionary.number(key));
      this.texts.pushText(formatAttribute(values[index] ?? null));
    }
  }

  /** The column after its prefix. */
  writeData(sink: Sink): void {
    writeBytes(sink, this.ends.bytes());
    writeDictionary(sink, this.dictionary, this.keys.values, this.keys.size);
    writeBytes(sink, this.texts.bytes.subarray(0, this.texts.size));
  }
}
