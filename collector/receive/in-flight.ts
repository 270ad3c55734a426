/**
 * How many bytes of request bodies the collector holds at once, as sent and inflated.
 *
 * Invariant: bytes are counted when they are there, never when they are announced: a sender that
 * declares a large body and sends it slowly takes no room from the others.
 */
import { RetryableError } from "../../schemas/errors.ts";

/** The bytes that one request holds. */
export interface Hold {
  /** Throws RetryableError("overloaded") when this many more bytes would be too many. */
  readonly check: (byteCount: number) => void;
  /** Counts bytes that are now in memory; throws as `check` does, and then counts nothing. */
  readonly add: (byteCount: number) => void;
  /** Gives back all that was added; called once, however the request ends. */
  readonly release: () => void;
}

/**
 * Makes the limit of one server and returns what opens a request's hold. A request that holds all
 * there is goes on: refused, it would come back and never fit.
 */
export function makeInFlightLimit(max_bytes: number): () => Hold {
  let total_bytes = 0;
  return () => {
    let held_bytes = 0;
    const check = (byteCount: number) => {
      const others_bytes = total_bytes - held_bytes;
      if (others_bytes > 0 && total_bytes + byteCount > max_bytes) {
        throw new RetryableError("overloaded", "Too many requests at once; send this one again.");
      }
    };
    return {
      check,
      add(byteCount) {
        check(byteCount);
        total_bytes += byteCount;
        held_bytes += byteCount;
      },
      release() {
        total_bytes -= held_bytes;
        held_bytes = 0;
      },
    };
  };
}
