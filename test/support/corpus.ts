/**
 * The captured telemetry in `test/captures`: which cases there are, their bodies, and the ground truth
 * from the fake provider's own log.
 *
 * Invariant: the truth is only ever read from `<case>.expect.json`, never from what we make of a body.
 */
import { readdirSync, readFileSync } from "node:fs";
import type { CorpusSignal } from "./corpus-bodies.ts";

const CAPTURES = new URL("../captures/", import.meta.url);

/** Token counts of a call as the provider billed them; `input_total` includes the cache classes. */
export interface TrueTokens {
  readonly input_total: number;
  readonly input_uncached: number;
  readonly cache_read: number;
  readonly cache_write: number;
  readonly cache_write_5m: number;
  readonly cache_write_1h: number;
  readonly output_total: number;
  readonly reasoning_output: number;
}

/** One HTTP call that the provider saw; `tokens` is null for one that was refused. */
export interface TrueCall {
  readonly seq: number;
  readonly provider: string;
  readonly api: string;
  readonly request_model: string;
  readonly response_model: string | null;
  readonly response_id: string | null;
  readonly streaming: boolean;
  readonly http_status: number | null;
  readonly finish_reason: string | null;
  /** Present where the API has no finish reason of its own. */
  readonly finish_reason_note?: string;
  readonly service_tier?: string;
  readonly billable: boolean;
  readonly tokens: TrueTokens | null;
  /** Whether the number occurs in the bodies; a heuristic, and absent where nobody looked. */
  readonly evidence_in_telemetry?: Readonly<Record<string, boolean | null>>;
}

/** The ground truth of a case: `<case>.expect.json`. */
export interface Truth {
  readonly client: string;
  readonly case: string;
  readonly description: string;
  readonly context: Readonly<Record<string, unknown>>;
  readonly billable_calls: number;
  readonly failed_http_calls: number;
  readonly calls: readonly TrueCall[];
  readonly files: readonly { readonly file: string; readonly signal: CorpusSignal }[];
  readonly notes: string;
}

/** A body as the client sent it. */
export interface CorpusBody {
  /** File name in the folder of the client. */
  readonly name: string;
  readonly signal: CorpusSignal;
  readonly bytes: Uint8Array;
}

export interface CorpusCase {
  /** `client/case`. */
  readonly id: string;
  readonly client: string;
  readonly name: string;
  readonly truth: Truth;
  /** In the order of the truth's list; empty when the client sent nothing. */
  readonly bodies: readonly CorpusBody[];
}

function readCase(client: string, file: string): CorpusCase {
  const folder = new URL(`${client}/`, CAPTURES);
  const truth = JSON.parse(readFileSync(new URL(file, folder), "utf8")) as Truth;
  const name = file.replace(/\.expect\.json$/, "");
  return {
    id: `${client}/${name}`,
    client,
    name,
    truth,
    bodies: truth.files.map(({ file: body, signal }) => ({
      name: body,
      signal,
      bytes: new Uint8Array(readFileSync(new URL(body, folder))),
    })),
  };
}

/** Every case, by client and name. */
export function readCorpus(): CorpusCase[] {
  return readdirSync(CAPTURES, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort()
    .flatMap((client) =>
      readdirSync(new URL(`${client}/`, CAPTURES))
        .filter((file) => file.endsWith(".expect.json"))
        .sort()
        .map((file) => readCase(client, file)),
    );
}
