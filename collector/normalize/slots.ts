/**
 * Which attribute keys the dialects read, and their values for the span at hand.
 *
 * Every key any dialect names is registered once and gets a slot number; a span's attributes are
 * walked once, and a dialect then reads by slot. A key nobody registered costs one map miss.
 */
import type { AttributeValue, Attributes } from "../../schemas/span.ts";

/** A value that is present: the empty AnyValue counts as absent. */
export type PresentValue = Exclude<AttributeValue, null>;

const SLOTS = new Map<string, number>();

/** Registers attribute keys, in priority order, and returns their slots. Called while loading. */
export function registerKeys(...keys: string[]): readonly number[] {
  return keys.map((key) => {
    const known = SLOTS.get(key);
    if (known !== undefined) return known;
    const slot = SLOTS.size;
    SLOTS.set(key, slot);
    return slot;
  });
}

/** The slot of a key, or -1 when no dialect reads it. */
export function findSlot(key: string): number {
  return SLOTS.get(key) ?? -1;
}

/**
 * Which attributes a span was understood by. Whatever was made of it depends on the values of `words`
 * and, through a known function each, on those of `places`; of all others on their being there.
 */
export class Reads {
  readonly words = new Set<number>();
  /** Slots by what their value becomes: a count, an id, a delay. */
  readonly places = new Map<string, number>();
  /** A payload was read: more than these values decided. */
  has_payload = false;

  clear(): void {
    this.words.clear();
    this.places.clear();
    this.has_payload = false;
  }
}

/** The registered attributes of one span; reused from span to span. */
export class SlotValues {
  #values: (PresentValue | undefined)[] = [];
  #filled: number[] = [];
  /** Where reads are remembered; null when nobody asks. */
  reads: Reads | null = null;

  /**
   * Takes the registered attributes of a span. A key sent twice keeps its last value (OTLP D11). An
   * empty text says nothing: it is absent, and the next key of a list is tried.
   */
  fill(attributes: Attributes): void {
    for (const slot of this.#filled) this.#values[slot] = undefined;
    this.#filled.length = 0;
    const { keys, values } = attributes;
    for (let index = 0; index < keys.length; index += 1) {
      const slot = SLOTS.get(keys[index] as string);
      if (slot === undefined) continue;
      const value = values[index] ?? "";
      this.#values[slot] = value === "" ? undefined : value;
      this.#filled.push(slot);
    }
  }

  /** The first present value among the slots, in their order. */
  first(slots: readonly number[]): PresentValue | undefined {
    for (const slot of slots) {
      const value = this.#values[slot];
      if (value === undefined) continue;
      this.reads?.words.add(slot);
      return value;
    }
    return undefined;
  }

  /** The same, of a value that becomes what the place names and decides nothing else. */
  firstFor(place: string, slots: readonly number[]): PresentValue | undefined {
    for (const slot of slots) {
      const value = this.#values[slot];
      if (value === undefined) continue;
      this.reads?.places.set(place, slot);
      return value;
    }
    return undefined;
  }

  has(slots: readonly number[]): boolean {
    return slots.some((slot) => this.#values[slot] !== undefined);
  }
}
