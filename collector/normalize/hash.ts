/**
 * A hash of text for identities that nobody sent: of log records, which have no id, and of metric
 * series. Not for secrets.
 *
 * Invariant: the same text gives the same bytes in every version: a redelivery after an upgrade must
 * meet its own row.
 */

/** Odd constants that spread bits (those of MurmurHash3 and of the golden ratio). */
const LANES = [0x85ebca6b, 0xc2b2ae35, 0x27d4eb2f, 0x9e3779b1] as const;

function mix(lane: number): number {
  let value = lane;
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return value ^ (value >>> 16);
}

/** 16 bytes of the text's UTF-16 units; never all zero. */
export function hashText(text: string): Uint8Array {
  const lanes: [number, number, number, number] = [1, 2, 3, 4];
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    for (let lane = 0; lane < 4; lane += 1) {
      const value = (lanes[lane] as number) ^ Math.imul(unit + index, LANES[lane] as number);
      lanes[lane] = Math.imul((value << 13) | (value >>> 19), 5) + 0x52dce729;
    }
  }
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  for (let lane = 0; lane < 4; lane += 1) {
    const neighbour = lanes[(lane + 1) % 4] as number;
    view.setUint32(lane * 4, mix((lanes[lane] as number) ^ mix(neighbour + text.length)));
  }
  bytes[0] = (bytes[0] as number) | 1;
  bytes[8] = (bytes[8] as number) | 1;
  return bytes;
}
