/**
 * Walks the frames of one segment file in order through a small window, and finds the next good
 * frame after a bad one. It judges bytes; it neither counts nor copies nor cuts anything.
 *
 * Invariant: no step reads more than the window, except into a payload whose header, and with it
 * whose length, was proved by its checksum and lies within the segment.
 */

import type { DiskFile } from "./disk.ts";
import {
  FRAME_HEADER_BYTES,
  checksumPayload,
  decodeFrameHeader,
  findFrameHeader,
} from "./record.ts";
import type { FrameHeader } from "./record.ts";
import { SEGMENT_HEADER_BYTES } from "./segment.ts";
import type { Segment } from "./segment.ts";

/** Most bytes of a segment held in memory while walking it, payloads given out aside. */
export const SCAN_WINDOW_BYTES = 256 * 1024;

/** First read after a jump, in bytes: hopping over large payloads reads little more than headers. */
const SCAN_FIRST_READ_BYTES = 4096;

/** A frame whose header is good; its payload is not looked at yet. Offsets are in the file. */
export interface FrameStep {
  readonly kind: "frame";
  readonly start: number;
  readonly end: number;
  readonly header: FrameHeader;
}

/** Bytes that are no good frame: damaged, or a torn tail that a crash left. */
export interface GapStep {
  readonly kind: "damaged" | "torn";
  readonly start: number;
  readonly end: number;
  readonly reason: string;
}

export type ScanStep = FrameStep | GapStep | { readonly kind: "end" };

/** A walk over one segment. `window` is scratch memory that nobody else uses meanwhile. */
export class SegmentScanner {
  /** Offset of the next byte to judge. */
  position: number;
  readonly #file: DiskFile;
  readonly #segment: Segment;
  readonly #window: Uint8Array;
  #end: number;
  #window_start = 0;
  #window_bytes = 0;
  #read_bytes = SCAN_FIRST_READ_BYTES;

  /** Walks from `position` to the end of the segment as it is now. */
  constructor(file: DiskFile, segment: Segment, window: Uint8Array, position: number) {
    this.#file = file;
    this.#segment = segment;
    this.#window = window;
    this.#end = segment.end;
    this.position = Math.max(position, SEGMENT_HEADER_BYTES);
  }

  /**
   * Judges what stands at `position`. A frame is not passed: read, verify or skip it. A gap is
   * passed; ranges already known as damaged are passed without a word.
   */
  async next(): Promise<ScanStep> {
    for (let end = this.#known(); end !== undefined; end = this.#known()) this.position = end;
    if (this.position >= this.#end) return { kind: "end" };
    const start = this.position;
    const header = decodeFrameHeader(
      await this.#fill(start, FRAME_HEADER_BYTES),
      0,
      this.#segment.prefix,
    );
    const end = start + FRAME_HEADER_BYTES + (header?.payload_bytes ?? 0);
    if (header !== null && end <= this.#end) return { kind: "frame", start, end, header };
    const found = await this.#findFrom(start + 1);
    this.position = found ?? this.#end;
    if (found === null && (await this.#isTorn(start, header !== null))) {
      return { kind: "torn", start, end: this.#end, reason: "the last write was cut short" };
    }
    const reason = header === null ? "no valid frame header" : "the payload is cut short";
    return { kind: "damaged", start, end: this.position, reason };
  }

  /** Passes a frame without reading its payload. */
  skip(frame: FrameStep): void {
    this.position = frame.end;
  }

  /** Reads the payload and passes the frame; null, and nothing passed, when it is damaged. */
  async readPayload(frame: FrameStep): Promise<Uint8Array | null> {
    const payload = Buffer.allocUnsafeSlow(frame.header.payload_bytes);
    const held = this.#held(frame.start + FRAME_HEADER_BYTES).subarray(0, payload.byteLength);
    payload.set(held);
    if (held.byteLength < payload.byteLength) {
      const wanted = payload.subarray(held.byteLength);
      const offset = frame.start + FRAME_HEADER_BYTES + held.byteLength;
      if ((await this.#file.read(wanted, offset)) < wanted.byteLength) return null;
    }
    if (checksumPayload(payload) !== frame.header.payload_crc32) return null;
    this.position = frame.end;
    return payload;
  }

  /** Like readPayload, through the window and without keeping the payload. */
  async verifyPayload(frame: FrameStep): Promise<boolean> {
    let offset = frame.start + FRAME_HEADER_BYTES;
    let checksum = checksumPayload(new Uint8Array(0));
    while (offset < frame.end) {
      const piece = (await this.#fill(offset, 1)).subarray(0, frame.end - offset);
      if (piece.byteLength === 0) return false;
      checksum = checksumPayload(piece, checksum);
      offset += piece.byteLength;
    }
    if (checksum !== frame.header.payload_crc32) return false;
    this.position = frame.end;
    return true;
  }

  /** Passes a frame whose payload is damaged, up to the next good frame. */
  async passDamaged(frame: FrameStep): Promise<GapStep> {
    this.position = (await this.#findFrom(frame.start + 1)) ?? this.#end;
    const reason = `checksum of the payload is wrong, sequence ${frame.header.sequence}`;
    return { kind: "damaged", start: frame.start, end: this.position, reason };
  }

  #known(): number | undefined {
    return this.#segment.damage.get(this.position);
  }

  /** The part of the window from `offset` on; empty when the window does not hold it. */
  #held(offset: number): Uint8Array {
    const index = offset - this.#window_start;
    if (index < 0 || index >= this.#window_bytes) return this.#window.subarray(0, 0);
    return this.#window.subarray(index, this.#window_bytes);
  }

  /** At least `want` bytes from `offset` on, or all there are. */
  async #fill(offset: number, want: number): Promise<Uint8Array> {
    const held = this.#held(offset);
    const available = Math.min(this.#end - offset, this.#window.byteLength);
    if (held.byteLength >= Math.min(want, available)) return held;
    const follows = held.byteLength > 0 || offset === this.#window_start + this.#window_bytes;
    this.#read_bytes = follows ? this.#read_bytes * 2 : SCAN_FIRST_READ_BYTES;
    this.#read_bytes = Math.min(this.#read_bytes, this.#window.byteLength);
    const target = this.#window.subarray(0, Math.min(this.#read_bytes, this.#end - offset));
    this.#window_bytes = 0;
    const count = await this.#file.read(target, offset);
    this.#window_start = offset;
    this.#window_bytes = count;
    // Someone cut the file after it was opened: what is not there is judged as a torn tail.
    if (count < target.byteLength) this.#end = offset + count;
    return this.#window.subarray(0, count);
  }

  /** Offset of the first good header at or after `offset`; null when there is none. */
  async #findFrom(offset: number): Promise<number | null> {
    let from = offset;
    while (this.#end - from >= FRAME_HEADER_BYTES) {
      const bytes = await this.#fill(from, FRAME_HEADER_BYTES);
      const index = findFrameHeader(bytes, this.#segment.prefix);
      if (index >= 0) return from + index;
      if (bytes.byteLength < FRAME_HEADER_BYTES) return null;
      // A header may lie across the border of two windows.
      from += bytes.byteLength - (FRAME_HEADER_BYTES - 1);
    }
    return null;
  }

  /**
   * A crash in the middle of a write leaves a cut header, a good header without its whole
   * payload, or zeros. Anything else at the end may be an acknowledged record gone bad.
   */
  async #isTorn(start: number, header_is_good: boolean): Promise<boolean> {
    if (header_is_good || this.#end - start < FRAME_HEADER_BYTES) return true;
    for (let offset = start; offset < this.#end;) {
      const bytes = await this.#fill(offset, 1);
      if (bytes.byteLength === 0) return true;
      for (let index = 0; index < bytes.byteLength; index++) {
        if (bytes[index] !== 0) return false;
      }
      offset += bytes.byteLength;
    }
    return true;
  }
}
