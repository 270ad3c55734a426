/**
 * Which unit prices apply to a call: the one mechanism behind pricing a span and pricing stored calls
 * again.
 *
 * Invariant: the answer depends on the book and the question only, and nothing falls back to a price
 * for other calls: an unknown tier, a region with an unknown premium and a day before the first row
 * have none.
 */
import type { PriceAnswer, PriceBook, PricedModel, PriceLayer, PricePeriod } from "./book.ts";
import { matchModel } from "./match.ts";

/** What a price depends on; the fields are those of a span. */
export interface PriceQuestion {
  readonly project_id: string;
  readonly provider: string;
  readonly request_model: string;
  readonly response_model: string;
  readonly service_tier: string;
  readonly region: string;
  /** Start of the call, Unix ns. */
  readonly start_ns: bigint;
  /** Prompt tokens of all classes together; null counts as a prompt below every step. */
  readonly input_total: number | null;
}

/** A question about calls of every time and prompt size. */
export type StepQuestion = Omit<PriceQuestion, "start_ns" | "input_total">;

/** Unit prices from a time and above a prompt size on; see `listSteps`. */
export interface ListedStep {
  /** Unix ns; 0 for since ever. */
  readonly valid_from_ns: bigint;
  /** The step is for prompts of more tokens than this; 0 also for those of none. */
  readonly input_tokens_over: number;
  /** Null where such calls are unpriced. */
  readonly answer: PriceAnswer | null;
}

/** The entries of `listSteps` that a start can reach, for `findStep`. */
export interface StepTable {
  /** When each period begins, as halves of 32 bits, unsigned; ascending, the first since ever. */
  readonly starts_high: readonly number[];
  readonly starts_low: readonly number[];
  /** Prompt sizes of every period: those of `input_tokens_over`, ascending, the first 0. */
  readonly sizes: readonly number[];
  /** By period, then by size. */
  readonly answers: readonly (PriceAnswer | null)[];
}

/** Texts of `service_tier` that mean another tier than they say; all others mean themselves. */
const TIERS: ReadonlyMap<string, string> = new Map([
  ["", "standard"],
  ["auto", "standard"],
  ["default", "standard"],
  ["standard", "standard"],
  // Vertex AI calls it a traffic type.
  ["on_demand", "standard"],
  ["on_demand_flex", "flex"],
  ["on_demand_priority", "priority"],
]);

/** Texts of `region` that name none. */
const NO_REGIONS: ReadonlySet<string> = new Set(["", "not_available"]);

/**
 * The unit prices of a call, or null when the book has none.
 *
 * The model is the response model, or the request model when no layer knows that one. Of the layers of
 * the project (its own negotiated prices, those of everyone, the list) the first with a row for the
 * tier, the region and the day answers, and in the period in force that day the step of the prompt
 * size, which prices the whole call. A region that the id names (`eu.` of a Bedrock profile) counts
 * before that of the call.
 */
export function choosePrice(book: PriceBook, call: PriceQuestion): PriceAnswer | null {
  const layers = book.projects.get(call.project_id) ?? book.layers;
  const answer = askLayers(layers, call, call.response_model);
  return answer === undefined ? (askLayers(layers, call, call.request_model) ?? null) : answer;
}

/** The first answer of the layers to a model; undefined when none of them knows it. */
function askLayers(
  layers: readonly PriceLayer[],
  call: PriceQuestion,
  model: string,
): PriceAnswer | null | undefined {
  let answer: null | undefined;
  for (const layer of layers) {
    const periods = findPeriods(layer, call, model);
    if (periods === null) continue;
    const period = periods.find(({ valid_from_ns }) => valid_from_ns <= call.start_ns);
    const size = call.input_total ?? 0;
    const step = period?.steps.find(({ input_tokens_over: over }) => over === 0 || over < size);
    if (step !== undefined) return step;
    answer = null;
  }
  return answer;
}

const NO_PERIODS: readonly PricePeriod[] = [];

/** The periods of a layer for a model in the call's tier and region; null when the layer lacks it. */
function findPeriods(
  layer: PriceLayer,
  call: StepQuestion,
  model: string,
): readonly PricePeriod[] | null {
  const match = matchModel(layer, call.provider, model);
  if (match === null) return null;
  let region = match.region;
  // A client may strip the geography from the response model and keep it in the request model.
  if (region === "" && model !== call.request_model && call.request_model !== "") {
    region = matchModel(layer, call.provider, call.request_model)?.region ?? "";
  }
  if (region === "" && !NO_REGIONS.has(call.region)) region = call.region.toLowerCase();
  return periodsOf(match.model, nameTier(call.service_tier), region) ?? NO_PERIODS;
}

/** The tier as the book names it. */
export function nameTier(service_tier: string): string {
  const known = TIERS.get(service_tier);
  if (known !== undefined) return known;
  const lower = service_tier.toLowerCase();
  return TIERS.get(lower) ?? lower;
}

function periodsOf(
  model: PricedModel,
  tier: string,
  region: string,
): readonly PricePeriod[] | undefined {
  const regions = model.tiers.get(tier);
  if (regions === undefined || region === "") return regions?.get("");
  const own = regions.get(region);
  if (own !== undefined) return own;
  if (region === "global") return regions.get("");
  return regions.get("regional") ?? (model.other_regions === "same" ? regions.get("") : undefined);
}

/**
 * Every answer that `choosePrice` can give to calls of the question, for whatever start and prompt
 * size, so that many calls can be priced at once: a call's answer is that of the entry with the latest
 * `valid_from_ns` not after its start and, of these, the largest `input_tokens_over` below its prompt
 * size (0 is below every size). Entries ascend in both. The first is valid since ever.
 */
export function listSteps(book: PriceBook, question: StepQuestion): ListedStep[] {
  const times = new Set([0n]);
  const sizes = new Set([0]);
  for (const layer of book.projects.get(question.project_id) ?? book.layers) {
    for (const model of [question.response_model, question.request_model]) {
      for (const period of findPeriods(layer, question, model) ?? NO_PERIODS) {
        times.add(period.valid_from_ns);
        for (const step of period.steps) sizes.add(step.input_tokens_over);
      }
    }
  }
  const ascending_times = [...times].sort((a, b) => (a < b ? -1 : 1));
  const ascending_sizes = [...sizes].sort((a, b) => a - b);
  return ascending_times.flatMap((valid_from_ns) =>
    ascending_sizes.map((input_tokens_over) => {
      const input_total = input_tokens_over === 0 ? 0 : input_tokens_over + 1;
      const call = { ...question, start_ns: valid_from_ns, input_total };
      return { valid_from_ns, input_tokens_over, answer: choosePrice(book, call) };
    }),
  );
}

/** Starts of calls are unsigned numbers of so many bits (OTLP fixed64), Unix ns. */
const START_BITS = 64;

/** Puts the entries of `listSteps` into the form in which one is found without a bigint. */
export function compileSteps(steps: readonly ListedStep[]): StepTable {
  const reached = steps.filter(
    ({ valid_from_ns }) => BigInt.asUintN(START_BITS, valid_from_ns) === valid_from_ns,
  );
  const sizes = [...new Set(reached.map((step) => step.input_tokens_over))];
  const starts = [...new Set(reached.map((step) => step.valid_from_ns))];
  return {
    starts_high: starts.map((start_ns) => Number(start_ns >> 32n)),
    starts_low: starts.map((start_ns) => Number(BigInt.asUintN(32, start_ns))),
    sizes,
    answers: reached.map((step) => step.answer),
  };
}

/**
 * The position in `answers` of what `choosePrice` says of a call, to the nanosecond. The start is given
 * as the upper and lower 32 bits of its Unix ns, unsigned; the prompt size is 0 where it is unknown.
 */
export function findStep(
  { starts_high, starts_low, sizes }: StepTable,
  start_high: number,
  start_low: number,
  input_total: number,
): number {
  let period = starts_high.length - 1;
  for (; period > 0; period -= 1) {
    const high = starts_high[period] as number;
    if (start_high > high) break;
    if (start_high === high && start_low >= (starts_low[period] as number)) break;
  }
  let size = sizes.length - 1;
  while (size > 0 && (sizes[size] as number) >= input_total) size -= 1;
  return period * sizes.length + size;
}
