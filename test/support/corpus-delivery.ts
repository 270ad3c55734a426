/**
 * The corpus as a sender that spares a server nothing: torn into single spans, records and points, in
 * both encodings, shuffled, some of it twice.
 *
 * Invariant: everything comes from the random source, so a seed is the whole of a delivery.
 */
import type { CallsAnswer } from "../../schemas/api.ts";
import type { CallRow } from "../../schemas/call.ts";
import { type CorpusCase, readCorpus } from "./corpus.ts";
import {
  type CorpusSignal,
  encodeJson,
  encodeProtobuf,
  parseBody,
  splitRecords,
} from "./corpus-bodies.ts";
import type { Program } from "./program.ts";
import type { Random } from "./random.ts";

/** One export request. */
export interface Piece {
  readonly signal: CorpusSignal;
  readonly bytes: Uint8Array;
  readonly content_type: string;
}

/** All bodies of the corpus as they were captured. */
export function readCapturedBodies(
  cases: readonly CorpusCase[] = readCorpus(),
): { signal: CorpusSignal; bytes: Uint8Array }[] {
  return cases.flatMap((one) => one.bodies.map(({ signal, bytes }) => ({ signal, bytes })));
}

/** The bodies in single items, in a random order, a part of them twice. */
export function tearBodies(
  bodies: readonly { signal: CorpusSignal; bytes: Uint8Array }[],
  random: Random,
  redelivered_share: number,
): Piece[] {
  const pieces = bodies.flatMap(({ signal, bytes }) =>
    splitRecords(signal, parseBody(signal, bytes)).map((record): Piece => {
      const is_json = random.chance(0.5);
      return {
        signal,
        bytes: is_json ? encodeJson(record) : encodeProtobuf(signal, record),
        content_type: is_json ? "application/json" : "application/x-protobuf",
      };
    }),
  );
  const deliveries = [...pieces, ...pieces.filter(() => random.chance(redelivered_share))];
  for (let index = deliveries.length - 1; index > 0; index -= 1) {
    const other = random.whole(index + 1);
    const piece = deliveries[index] as Piece;
    deliveries[index] = deliveries[other] as Piece;
    deliveries[other] = piece;
  }
  return deliveries;
}

/** Sends a piece; whether it was acknowledged. */
export async function sendPiece(program: Program, piece: Piece): Promise<boolean> {
  try {
    const response = await fetch(`${program.otlp}/v1/${piece.signal}`, {
      method: "POST",
      headers: { "content-type": piece.content_type },
      body: Buffer.from(piece.bytes),
      signal: AbortSignal.timeout(10_000),
    });
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false; // the connection ended with the process
  }
}

/** The whole ledger through the API, page by page, by call id. */
export async function readLedger(program: Program): Promise<CallRow[]> {
  const rows: CallRow[] = [];
  let cursor: string | null = null;
  do {
    const query: string = cursor === null ? "" : `&cursor=${cursor}`;
    const response = await fetch(`${program.api}/v1/calls?from=2026-01-01&limit=500${query}`);
    const page = (await response.json()) as CallsAnswer;
    rows.push(...page.calls);
    cursor = page.next_cursor;
  } while (cursor !== null);
  return sortCalls(rows);
}

export function sortCalls(rows: readonly CallRow[]): CallRow[] {
  return rows.toSorted((a, b) => (a.call_id < b.call_id ? -1 : 1));
}
