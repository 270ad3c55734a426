/**
 * Memory for request bodies that is used again. Bodies lie outside V8's heap, and each new one brings
 * its next collection nearer: made anew they cost a third of the collector's CPU in collections
 * (bench/README.md).
 *
 * Invariant: memory that was given back is nobody's: who gives a body back has no view of it any more.
 */

/** Largest body that is pooled, bytes; larger ones are rare and get memory of their own. */
const SLAB_BYTES = 1024 ** 2;
/** Free slabs kept. */
const MAX_FREE_SLABS = 32;

/** Memory for bodies. */
export class BodyPool {
  readonly #free: ArrayBuffer[] = [];
  /** Slabs that are in use; one that is never given back is V8's to collect. */
  readonly #used = new WeakSet<ArrayBufferLike>();

  /**
   * The pieces as one, in memory of the pool where they fit; their own memory is let go, where a piece
   * is all of it or `is_owned` says that nobody else has any of it.
   */
  join(pieces: readonly Uint8Array[], is_owned = false): Uint8Array {
    const size = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const whole = this.#take(size);
    let at = 0;
    for (const piece of pieces) {
      whole.set(piece, at);
      at += piece.length;
    }
    // Only now: pieces may share their memory with each other.
    for (const piece of pieces) letGo(piece, is_owned);
    return whole;
  }

  #take(size: number): Uint8Array {
    if (size > SLAB_BYTES) return new Uint8Array(Buffer.allocUnsafeSlow(size).buffer);
    const slab = this.#free.pop() ?? new ArrayBuffer(SLAB_BYTES);
    this.#used.add(slab);
    return new Uint8Array(slab, 0, size);
  }

  /** Takes a body back, if it is of the pool. */
  give(body: Uint8Array): void {
    const { buffer } = body;
    if (!this.#used.delete(buffer) || this.#free.length >= MAX_FREE_SLABS) return;
    this.#free.push(buffer as ArrayBuffer);
  }
}

/** Frees the memory of a piece that is all of it, now and not when V8 finds it out. */
function letGo({ buffer, byteLength }: Uint8Array, is_owned: boolean): void {
  if (!(buffer instanceof ArrayBuffer) || buffer.detached) return;
  // A socket's memory that holds more than the piece may hold another request.
  if (is_owned || buffer.byteLength === byteLength) buffer.transfer(0);
}
