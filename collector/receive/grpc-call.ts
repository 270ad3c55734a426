/**
 * One gRPC call, from its head to its answer: who may send, how much, for how long, and the bytes it
 * holds meanwhile.
 *
 * Invariant: every call gives back what it holds exactly once, when it has been answered and nothing
 * works on its body any more; nothing is held for it after that.
 *
 * grpc-js reads and inflates a message by itself and tells of it when it is whole. So that bytes count
 * when they are there, as over HTTP, this file leans on two things that grpc-js keeps to itself: the
 * stream of a call and its `decompressMessage`. The version is pinned, and tests fail when they move.
 */
import { constants, type ServerHttp2Stream } from "node:http2";
import { createGunzip, createInflate, createZstdDecompress } from "node:zlib";
import {
  Metadata,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  ServerInterceptingCall,
  status,
} from "@grpc/grpc-js";
import { PermanentError } from "../../schemas/errors.ts";
import {
  type Authenticate,
  DEFAULT_SENDER,
  PROJECT_HEADER,
  type Sender,
} from "../../schemas/sender.ts";
import { inflateBody, type MakeInflater } from "./body.ts";
import { grpcStatus, httpStatusOf } from "./grpc-status.ts";
import type { Hold } from "./in-flight.ts";
import type { OtlpSignal } from "./reply.ts";
import { DEFAULT_TIMEOUTS, type ReceiveTimeouts } from "./timeouts.ts";

export interface GrpcCallOptions {
  /** Largest message, bytes, as sent and inflated. */
  readonly max_body_bytes: number;
  /** Opens the hold of one request on the limit that all receivers share. */
  readonly openHold: () => Hold;
  /** The sender of a call by its headers; throws what refuses it. */
  readonly authenticate: Authenticate;
  /** Throws RetryableError while no more can be taken: asked before the message is. */
  readonly checkLoad?: () => void;
  /** Told of every answer, for metrics; the HTTP status is the one that tells the same. */
  readonly observe: (signal: OtlpSignal | "", status: number, body_bytes: number) => void;
  readonly timeouts?: ReceiveTimeouts;
}

/** A message that was let in, as handlers get it. */
export interface GrpcMessage {
  readonly body: Uint8Array;
  /** Of calls that take telemetry. */
  readonly sender: Sender;
  /**
   * Runs work on the body, which counts as held until the work is done. Rejects with what the work
   * rejects with, and with "deadline_exceeded" when the sender does not wait any more.
   */
  readonly work: <Result>(run: () => Promise<Result>) => Promise<Result>;
}

/** What grpc-js 1.14.7 keeps to itself of a call. */
interface InnerCall extends ServerInterceptingCallInterface {
  readonly stream: ServerHttp2Stream;
  decompressMessage: (message: Buffer, encoding: string) => Uint8Array | Promise<Uint8Array>;
}

type SentStatus = Parameters<ServerInterceptingCallInterface["sendStatus"]>[0];

/** Compressions by grpc-encoding; they run on the thread pool. */
const INFLATERS: ReadonlyMap<string, MakeInflater> = new Map<string, MakeInflater>([
  ["gzip", createGunzip],
  ["deflate", createInflate],
  ["zstd", createZstdDecompress],
]);
const ACCEPTED_ENCODINGS = ["identity", ...INFLATERS.keys()].join(",");

/** Bytes in front of a message: a flag and its length. */
const FRAME_HEAD_BYTES = 5;
/** Largest message of a call that needs no key, bytes: the name of a service. */
const MAX_OPEN_MESSAGE_BYTES = 1_024;

/** The headers that tell who sends. */
const KEY_HEADERS = ["authorization", "x-api-key", PROJECT_HEADER] as const;

/**
 * Guards every call. `signals` names the paths that take telemetry; the others need no key, and their
 * messages are short.
 */
export function makeCallGuard(
  signals: ReadonlyMap<string, OtlpSignal>,
  options: GrpcCallOptions,
): ServerInterceptor {
  return (method, call) => {
    const guard = new CallGuard(call as InnerCall, signals.get(method.path) ?? null, options);
    return new ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata, pass) {
            if (guard.admit(metadata)) pass(metadata);
          },
          onReceiveMessage(body: Uint8Array, pass) {
            pass(guard.messageOf(body));
          },
          onCancel: () => guard.end(),
        });
      },
      sendMetadata(metadata, pass) {
        metadata.set("grpc-accept-encoding", ACCEPTED_ENCODINGS);
        pass(metadata);
      },
    });
  };
}

class CallGuard {
  readonly #call: InnerCall;
  readonly #signal: OtlpSignal | null;
  readonly #options: GrpcCallOptions;
  readonly #timeouts: ReceiveTimeouts;
  readonly #hold: Hold;
  #timer: NodeJS.Timeout;
  #sender: Sender = DEFAULT_SENDER;
  #sent_bytes = 0;
  #is_working = false;
  #is_ended = false;

  constructor(call: InnerCall, signal: OtlpSignal | null, options: GrpcCallOptions) {
    this.#call = call;
    this.#signal = signal;
    this.#options = options;
    this.#timeouts = options.timeouts ?? DEFAULT_TIMEOUTS;
    this.#hold = options.openHold();
    this.#timer = setTimeout(() => this.#refuse(tooSlow()), this.#timeouts.request_ms);
    // Before grpc-js keeps the bytes, so that it does not keep those that are refused.
    call.stream.prependListener("data", (piece: Uint8Array) => this.#take(piece.length));
    call.stream.once("close", () => clearTimeout(this.#timer));
    call.decompressMessage = (message, encoding) => this.#inflate(message, encoding);
    const send = call.sendStatus.bind(call);
    call.sendStatus = (sent) => {
      if (!this.#is_ended) this.#answer(sent, send);
    };
  }

  /** Decides by the head alone; a call that is not let in has been answered. */
  admit(metadata: Metadata): boolean {
    if (this.#signal === null) return true;
    const { authenticate, checkLoad } = this.#options;
    try {
      this.#sender = authenticate(keyHeadersOf(metadata));
      this.#hold.check(0);
      checkLoad?.();
      return true;
    } catch (error) {
      this.#refuse(error);
      return false;
    }
  }

  messageOf(body: Uint8Array): GrpcMessage {
    return { body, sender: this.#sender, work: (run) => this.#work(run) };
  }

  /** The call is over: it was answered, or the sender has gone. */
  end(): void {
    if (this.#is_ended) return;
    this.#is_ended = true;
    clearTimeout(this.#timer);
    if (!this.#is_working) this.#hold.release();
  }

  async #work<Result>(run: () => Promise<Result>): Promise<Result> {
    if (this.#is_ended) throw new PermanentError("aborted", "The sender has gone.");
    clearTimeout(this.#timer);
    this.#is_working = true;
    try {
      const result = await run();
      // The sender counts this export as failed and repeats it: an answer now would be none.
      if (Number(this.#call.getDeadline()) < Date.now()) throw deadlineExceeded();
      return result;
    } finally {
      this.#is_working = false;
      this.#hold.release();
      this.#closeAfter(this.#timeouts.request_ms, constants.NGHTTP2_CANCEL);
    }
  }

  /** An answer is not offered for ever, and what a refused sender still sends is not waited for. */
  #closeAfter(wait_ms: number, code: number): void {
    clearTimeout(this.#timer);
    const { stream } = this.#call;
    if (!stream.destroyed) this.#timer = setTimeout(() => stream.close(code), wait_ms);
  }

  #take(byteCount: number): void {
    if (this.#is_ended) return;
    this.#sent_bytes += byteCount;
    try {
      if (this.#signal === null && this.#sent_bytes > MAX_OPEN_MESSAGE_BYTES) {
        throw tooLarge(MAX_OPEN_MESSAGE_BYTES);
      }
      this.#hold.add(byteCount);
    } catch (error) {
      this.#refuse(error);
    }
  }

  /** The message without its head, inflated when it says so; rejects with the status to send. */
  async #inflate(message: Buffer, encoding: string): Promise<Uint8Array> {
    const bytes = message.subarray(FRAME_HEAD_BYTES);
    if (message[0] === 0) return bytes;
    const make = INFLATERS.get(encoding);
    const { max_body_bytes } = this.#options;
    try {
      if (make === undefined) throw unsupportedEncoding(encoding);
      // A call that is over holds nothing any more, so nothing may be added for it.
      return await inflateBody(bytes, make, max_body_bytes, (byteCount) => {
        if (this.#is_ended) throw new PermanentError("aborted", "The call is over.");
        this.#hold.add(byteCount);
      });
    } catch (error) {
      // grpc-js sends what it catches here as the status of the call.
      // oxlint-disable-next-line no-throw-literal
      throw grpcStatus(error);
    }
  }

  #refuse(error: unknown): void {
    this.#call.sendStatus(grpcStatus(error));
  }

  #answer(sent: SentStatus, send: (sent: SentStatus) => void): void {
    const answer = this.#amend(sent);
    const { stream } = this.#call;
    const was_gone = stream.destroyed;
    const is_early = !stream.readableEnded && answer.code !== status.OK;
    send(answer);
    this.end();
    if (was_gone) return;
    this.#options.observe(this.#signal ?? "", httpStatusOf(answer.code), this.#sent_bytes);
    if (is_early) this.#closeAfter(0, constants.NGHTTP2_NO_ERROR);
    else this.#closeAfter(this.#timeouts.request_ms, constants.NGHTTP2_CANCEL);
  }

  /** The statuses that grpc-js makes by itself, as they should be told. */
  #amend(sent: SentStatus): SentStatus {
    if (sent.metadata != null) return withEncodings(sent);
    return sent.code === status.RESOURCE_EXHAUSTED
      ? grpcStatus(tooLarge(this.#options.max_body_bytes))
      : sent;
  }
}

function withEncodings(sent: SentStatus): SentStatus {
  if (sent.code === status.UNIMPLEMENTED) {
    sent.metadata?.set("grpc-accept-encoding", ACCEPTED_ENCODINGS);
  }
  return sent;
}

function keyHeadersOf(metadata: Metadata): Readonly<Record<string, string>> {
  return Object.fromEntries(
    KEY_HEADERS.flatMap((name) => {
      const [value] = metadata.get(name);
      return value === undefined ? [] : [[name, String(value)]];
    }),
  );
}

function tooLarge(max_bytes: number): PermanentError {
  return new PermanentError(
    "body_too_large",
    `The message is larger than ${max_bytes} bytes, as sent or decompressed. ` +
      "Export smaller batches or raise SPANLEDGER_MAX_BODY_BYTES.",
  );
}

function unsupportedEncoding(encoding: string): PermanentError {
  return new PermanentError(
    "unsupported_encoding",
    `grpc-encoding "${encoding.slice(0, 40)}" is not supported; use one of ${ACCEPTED_ENCODINGS}.`,
  );
}

function tooSlow(): PermanentError {
  return new PermanentError(
    "request_timeout",
    "The message did not come in time; send it again over a faster connection or in smaller batches.",
  );
}

function deadlineExceeded(): PermanentError {
  return new PermanentError("request_timeout", "The deadline of the call has passed.");
}
