/**
 * One who listens to live frames: a queue with an end, and the stream that empties it.
 *
 * Invariant: a listener holds at most MAX_WAITING_BYTES; who reads too slowly misses frames and is told
 * how many calls, and who does not read at all is cut off. Nobody waits for a listener.
 */
import type { LiveFrame } from "../schemas/api-live.ts";

/** Frames that wait for one listener, bytes. */
const MAX_WAITING_BYTES = 512 * 1024;
/** How long frames may wait without any of them being read, ms. */
const MAX_STALL_MS = 30_000;

/** How frames are written: server-sent events, or one line of JSON each. */
export type LiveFormat = "events" | "lines";

/** A frame with its text, made once for all who listen. */
export class EncodedFrame {
  readonly frame: LiveFrame;
  readonly json: string;
  readonly #texts = new Map<LiveFormat, Uint8Array>();

  constructor(frame: LiveFrame) {
    this.frame = frame;
    this.json = JSON.stringify(frame);
  }

  /** The bytes of the frame; they are shared and must not be changed. */
  encode(format: LiveFormat): Uint8Array {
    let bytes = this.#texts.get(format);
    if (bytes === undefined) {
      const { id, kind } = this.frame;
      const text =
        format === "lines" ? `${this.json}\n` : `id: ${id}\nevent: ${kind}\ndata: ${this.json}\n\n`;
      bytes = Buffer.from(text);
      this.#texts.set(format, bytes);
    }
    return bytes;
  }
}

export interface ListenerOptions {
  readonly format: LiveFormat;
  readonly now_ms: () => number;
  /** Whether the one who listens still may. */
  readonly isAllowed: () => boolean;
  /** Called once, when the stream is over for whatever reason. */
  readonly onClose: () => void;
}

/** A comment that opens the stream, so that headers are sent at once, and the pause of reconnects, ms. */
const OPENING = "retry: 3000\n\n";

export class LiveListener {
  readonly stream: ReadableStream<Uint8Array>;
  readonly #options: ListenerOptions;
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  readonly #waiting: EncodedFrame[] = [];
  #waiting_bytes = 0;
  /** Calls of frames that were left out since the last one that was not. */
  #skipped = 0;
  #isUnsure = false;
  #wake: (() => void) | null = null;
  /** Since when frames wait unread, ms; null when none do. */
  #stalled_ms: number | null = null;
  #is_over = false;
  #is_ending = false;
  /** When the last frame was offered, ms. */
  offered_ms: number;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.offered_ms = options.now_ms();
    this.stream = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
          if (options.format === "events") controller.enqueue(Buffer.from(OPENING));
        },
        pull: () => this.#pull(),
        cancel: () => this.#finish(),
      },
      { highWaterMark: 0 },
    );
  }

  /** Gives a frame, or leaves frames out when too many wait. */
  offer(encoded: EncodedFrame): void {
    if (this.#is_over || this.#is_ending) return;
    const { now_ms } = this.#options;
    this.offered_ms = now_ms();
    const { kind } = encoded.frame;
    // Of sums and signs of life only the last is worth anything.
    if (kind === "totals" || kind === "heartbeat") this.#drop((other) => other.frame.kind === kind);
    this.#push(encoded);
    while (this.#waiting_bytes > MAX_WAITING_BYTES && this.#waiting.length > 1) {
      const [first] = this.#waiting;
      this.#drop((other) => other === first);
    }
    this.#stalled_ms ??= this.#waiting.length > 0 ? now_ms() : null;
  }

  /** Ends the stream behind a last frame. */
  end(encoded: EncodedFrame): void {
    if (this.#is_over || this.#is_ending) return;
    this.#drop(() => true);
    this.#push(encoded);
    this.#is_ending = true;
    this.#stalled_ms = this.#options.now_ms();
  }

  /** Looks whether the one who listens still reads and still may. */
  check(): "well" | "stalled" | "not_allowed" {
    const { now_ms, isAllowed } = this.#options;
    if (this.#stalled_ms !== null && now_ms() - this.#stalled_ms > MAX_STALL_MS) return "stalled";
    return isAllowed() ? "well" : "not_allowed";
  }

  /** Cuts the connection: nothing more would be read. */
  abort(): void {
    if (this.#is_over) return;
    this.#controller?.error(new Error("the listener does not read"));
    this.#finish();
  }

  #push(encoded: EncodedFrame): void {
    this.#waiting.push(encoded);
    this.#waiting_bytes += encoded.json.length;
    this.#wake?.();
  }

  /** Takes frames out unread, and remembers what of calls is missed by it. */
  #drop(test: (encoded: EncodedFrame) => boolean): void {
    for (let index = this.#waiting.length - 1; index >= 0; index -= 1) {
      const encoded = this.#waiting[index];
      if (encoded === undefined || !test(encoded)) continue;
      this.#waiting.splice(index, 1);
      this.#waiting_bytes -= encoded.json.length;
      const { frame } = encoded;
      if (frame.kind !== "calls") continue;
      this.#skipped += frame.calls.length + frame.withdrawn.length + (frame.left_out ?? 0);
      this.#isUnsure ||= frame.left_out === null;
    }
  }

  async #pull(): Promise<void> {
    while (this.#waiting.length === 0 && !this.#is_over) {
      this.#stalled_ms = null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = null;
    }
    const encoded = this.#waiting.shift();
    if (encoded === undefined || this.#is_over) return;
    this.#waiting_bytes -= encoded.json.length;
    this.#stalled_ms = this.#waiting.length > 0 ? this.#options.now_ms() : null;
    this.#controller?.enqueue(this.#withSkipped(encoded).encode(this.#options.format));
    if (encoded.frame.kind !== "end") return;
    this.#controller?.close();
    this.#finish();
  }

  /** The frame, with what was left out before it when it tells of calls. */
  #withSkipped(encoded: EncodedFrame): EncodedFrame {
    const { frame } = encoded;
    if (frame.kind !== "calls" || (this.#skipped === 0 && !this.#isUnsure)) return encoded;
    const known = frame.left_out === null || this.#isUnsure ? null : frame.left_out + this.#skipped;
    this.#skipped = 0;
    this.#isUnsure = false;
    return new EncodedFrame({ ...frame, left_out: known });
  }

  #finish(): void {
    if (this.#is_over) return;
    this.#is_over = true;
    this.#drop(() => true);
    this.#wake?.();
    this.#options.onClose();
  }
}
