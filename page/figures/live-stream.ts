/**
 * The stream of `GET /v1/live`, opened again whenever it breaks, from where it was.
 *
 * Invariant: no more than one connection is open; after `stop` none is, and nothing is called back.
 */
import type { LiveFrame } from "../../schemas/api-live.ts";
import { addressOf, authHeaders, Problem, send } from "../api.ts";

/** First wait before a broken stream is opened again, ms; doubled each time up to the limit. */
const FIRST_WAIT_MS = 1_000;
const MAX_WAIT_MS = 30_000;
/** Wait when all places of listeners are taken, ms: what the server asks for. */
const FULL_WAIT_MS = 10_000;
/** Longest silence of a stream, ms: the server gives a sign of life every ten seconds. */
const MAX_SILENCE_MS = 35_000;
/** Longest line, characters: a frame has at most 50 calls. */
const MAX_LINE_CHARS = 4_000_000;

/** How the stream is. */
export type LiveState =
  | { readonly kind: "connecting" }
  | { readonly kind: "connected" }
  /** It broke, or all places are taken; opened again by itself at the instant, Unix ms. */
  | { readonly kind: "waiting"; readonly words: string; readonly until_ms: number }
  /** It is not opened again by itself. */
  | { readonly kind: "refused"; readonly words: string };

export interface LiveOptions {
  readonly project: string | null;
  /** Where to go on: the id of the last frame that was read. */
  readonly last_id: string | null;
  readonly onFrame: (frame: LiveFrame) => void;
  readonly onState: (state: LiveState) => void;
}

/** How long to wait after so many failures in a row, ms. */
export function waitAfter(failures: number): number {
  return Math.min(FIRST_WAIT_MS * 2 ** Math.max(0, failures - 1), MAX_WAIT_MS);
}

/** Splits text that comes in pieces into lines; what is behind the last end of a line waits. */
export class LineSplitter {
  #rest = "";

  /** The lines that the piece ends, empty ones left out. Throws RangeError for a line without end. */
  add(piece: string): string[] {
    const lines = (this.#rest + piece).split("\n");
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length > MAX_LINE_CHARS)
      throw new RangeError("A line of the stream has no end.");
    return lines.filter((line) => line.trim() !== "");
  }
}

/** Follows the ledger; returns what stops that. */
export function followLive(options: LiveOptions): () => void {
  const stopped = new AbortController();
  const follower = new Follower(options, stopped.signal);
  void follower.run();
  return () => stopped.abort();
}

/** Why a stream came to its end. */
type Ending = "broken" | "not_allowed";

class Follower {
  readonly #options: LiveOptions;
  readonly #stopped: AbortSignal;
  #last_id: string | null;
  #failures = 0;

  constructor(options: LiveOptions, stopped: AbortSignal) {
    this.#options = options;
    this.#stopped = stopped;
    this.#last_id = options.last_id;
  }

  async run(): Promise<void> {
    while (!this.#stopped.aborted) {
      this.#tell({ kind: "connecting" });
      const next = await this.#follow();
      if (this.#stopped.aborted) return;
      this.#tell(next);
      if (next.kind !== "waiting") return;
      await this.#sleep(next.until_ms - Date.now());
    }
  }

  #tell(state: LiveState): void {
    if (!this.#stopped.aborted) this.#options.onState(state);
  }

  /** Reads one connection to its end; answers what to do then. */
  async #follow(): Promise<LiveState> {
    const silence = new AbortController();
    const signal = AbortSignal.any([this.#stopped, silence.signal]);
    try {
      const ending = await this.#read(signal, silence);
      if (ending === "not_allowed") {
        return { kind: "refused", words: "The key may no longer follow this project." };
      }
      return this.#waiting("The stream ended.");
    } catch (error) {
      if (error instanceof Problem) return this.#afterProblem(error);
      return this.#waiting(
        silence.signal.aborted ? "The server fell silent." : "The stream broke.",
      );
    } finally {
      silence.abort();
    }
  }

  async #read(signal: AbortSignal, silence: AbortController): Promise<Ending> {
    let timer = setTimeout(() => silence.abort(), MAX_SILENCE_MS);
    try {
      const { project } = this.#options;
      const address = addressOf("/v1/live", { project, last_event_id: this.#last_id });
      const headers = { accept: "application/x-ndjson", ...authHeaders() };
      const response = await send(address, { headers, signal }, true);
      this.#tell({ kind: "connected" });
      const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
      const splitter = new LineSplitter();
      for (;;) {
        const { value, done } = (await reader?.read()) ?? { value: undefined, done: true };
        if (done || value === undefined) return "broken";
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), MAX_SILENCE_MS);
        for (const line of splitter.add(value)) {
          const ending = this.#take(JSON.parse(line) as LiveFrame);
          if (ending !== null) return ending;
        }
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #take(frame: LiveFrame): Ending | null {
    if (this.#stopped.aborted) return "broken";
    this.#failures = 0;
    this.#last_id = frame.id;
    if (frame.kind === "end") return frame.reason === "not_allowed" ? "not_allowed" : "broken";
    this.#options.onFrame(frame);
    return null;
  }

  #waiting(words: string, least_ms = 0): LiveState {
    this.#failures += 1;
    const wait_ms = Math.max(least_ms, waitAfter(this.#failures));
    return { kind: "waiting", words, until_ms: Date.now() + wait_ms };
  }

  #afterProblem({ status, message }: Problem): LiveState {
    if (status === 429) return this.#waiting(message, FULL_WAIT_MS);
    if (status === 0 || status >= 500) return this.#waiting(message);
    return { kind: "refused", words: message };
  }

  #sleep(wait_ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, wait_ms);
      const stop = () => {
        clearTimeout(timer);
        resolve();
      };
      this.#stopped.addEventListener("abort", stop, { once: true });
    });
  }
}
