/**
 * A ledger held against what its senders know: which items they were told are stored, which of them
 * may be, and what the groups of every view and every rollup must then be.
 *
 * Invariant: the truth comes from the senders' items alone; of the ledger only which items are stored.
 */
import type { GroupedBy, Groups, LedgerDump } from "./ledger-dump.ts";
import type { ItemTruth, Parcel } from "./traffic.ts";

/** Items and groups named in a judgement, at most. */
const DIFFERENCES_SHOWN = 10;

/** What is wrong with a ledger; empty lists when nothing is. */
export interface Judgement {
  /** Acknowledged and not in the ledger. */
  readonly lost: readonly string[];
  readonly twice: readonly string[];
  readonly never_sent: readonly string[];
  /** Requests never acknowledged of which only some items are there. */
  readonly half: readonly string[];
  /** What differs between the groups of a source and the truth. */
  readonly differences: readonly string[];
}

export const NOTHING_WRONG: Judgement = {
  lost: [],
  twice: [],
  never_sent: [],
  half: [],
  differences: [],
};

/** Holds a ledger against what its senders know. */
export function judge(
  dump: LedgerDump,
  acknowledged: readonly Parcel[],
  given_up: readonly Parcel[],
): Judgement {
  const sent = new Map<string, ItemTruth>();
  for (const { items } of [...acknowledged, ...given_up]) {
    for (const { truth } of items) sent.set(keyOf(truth), truth);
  }
  const stored = new Set<string>();
  const twice: string[] = [];
  for (const [signal, ids] of Object.entries(dump.items)) {
    for (const id of ids) {
      const key = `${signal} ${id}`;
      if (stored.has(key)) twice.push(key);
      stored.add(key);
    }
  }
  const isStored = ({ truth }: { truth: ItemTruth }) => stored.has(keyOf(truth));
  const lost = acknowledged.flatMap(({ items }) =>
    items.filter((item) => !isStored(item)).map(({ truth }) => keyOf(truth)),
  );
  const half = given_up.filter(
    ({ items }) => items.some((item) => isStored(item)) && !items.every((item) => isStored(item)),
  );
  const truths = [...stored].flatMap((key) => sent.get(key) ?? []);
  return {
    lost: lost.slice(0, DIFFERENCES_SHOWN),
    twice: twice.slice(0, DIFFERENCES_SHOWN),
    never_sent: [...stored].filter((key) => !sent.has(key)).slice(0, DIFFERENCES_SHOWN),
    half: half.map(({ items }) =>
      items
        .map(({ truth }) => keyOf(truth))
        .join(" ")
        .slice(0, 200),
    ),
    differences: compareGroups(dump, truths),
  };
}

function keyOf({ signal, id }: ItemTruth): string {
  return `${signal} ${id}`;
}

/** By what each source tells its groups apart, as in `ledger-dump.ts`. */
const GROUP_KEYS: Readonly<Record<GroupedBy, (truth: ItemTruth) => string[]>> = {
  calls: (truth) => [
    bucketOf(truth),
    truth.provider,
    truth.model,
    truth.environment,
    truth.service_name,
    truth.agent_name,
    truth.user_id,
  ],
  usage_15m: (truth) => [bucketOf(truth), truth.provider, truth.model, truth.environment],
  usage_day: (truth) => [
    dayOf(truth),
    truth.provider,
    truth.model,
    truth.environment,
    truth.service_name,
    truth.agent_name,
  ],
  usage_user_day: (truth) => [dayOf(truth), truth.user_id],
};

function bucketOf({ start_ns }: ItemTruth): string {
  const start_s = start_ns / 1_000_000_000n;
  return String(start_s - (start_s % 900n));
}

function dayOf({ start_ns }: ItemTruth): string {
  return new Date(Number(start_ns / 1_000_000n)).toISOString().slice(0, 10);
}

/** The groups that the calls make. */
export function groupTruth(truths: readonly ItemTruth[], by: GroupedBy): Groups {
  const groups = new Map<string, bigint[]>();
  for (const truth of truths) {
    if (!truth.is_counted) continue;
    const key = GROUP_KEYS[by](truth).join("|");
    const values = [
      1n,
      truth.cost_pd === null ? 1n : 0n,
      truth.input_uncached,
      truth.cache_read,
      truth.output_text,
      0n,
      truth.cost_pd ?? 0n,
      ...(by === "usage_user_day" ? [] : [truth.duration_ns]),
    ];
    const known = groups.get(key);
    groups.set(
      key,
      known === undefined ? values : known.map((sum, at) => sum + (values[at] ?? 0n)),
    );
  }
  return Object.fromEntries([...groups].map(([key, values]) => [key, values.map(String)]));
}

function compareGroups(dump: LedgerDump, truths: readonly ItemTruth[]): string[] {
  const differences: string[] = [];
  const tell = (difference: string) => {
    if (differences.length < DIFFERENCES_SHOWN) differences.push(difference);
  };
  const compare = (name: string, found: Groups, by: GroupedBy) => {
    const wanted = groupTruth(truths, by);
    for (const key of new Set([...Object.keys(wanted), ...Object.keys(found)])) {
      const [want, got] = [wanted[key]?.join(" "), found[key]?.join(" ")];
      if (want !== got) tell(`${name} ${key}: ${got ?? "nothing"} instead of ${want ?? "nothing"}`);
    }
  };
  for (const [name, sources] of Object.entries({
    live: dump.live,
    clean: dump.clean,
    rollup: dump.rollups,
  })) {
    for (const [by, groups] of Object.entries(sources)) {
      compare(`${name} ${by}`, groups, by as GroupedBy);
    }
  }
  const points = truths.filter(({ signal }) => signal === "metrics");
  const total = points.reduce((sum, point) => sum + point.input_uncached, 0n);
  if (String(total) !== dump.point_sum) tell(`points: ${dump.point_sum} instead of ${total}`);
  if (dump.dirty > 0) tell(`${dump.dirty} buckets stay dirty`);
  return differences;
}
