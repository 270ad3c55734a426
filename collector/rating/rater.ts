/**
 * What pricing stored calls again asks of a price book, and the answers as parameters of
 * `select_repriced_calls.sql`.
 *
 * Invariant: an answer is passed on as it is, in whole picodollars; nothing is computed here.
 */
import type { Params } from "../../clickhouse/engine.ts";

/** What a price depends on beside the time and the prompt size of a call. */
export interface RatingQuestion {
  readonly project_id: string;
  readonly provider: string;
  readonly request_model: string;
  readonly response_model: string;
  readonly service_tier: string;
  readonly region: string;
}

/** Unit prices of calls; `PriceAnswer` of collector/price/book.ts says what the fields are. */
export interface RatingAnswer {
  readonly price_id: string;
  readonly picodollars_per_token: readonly (bigint | null)[];
  readonly picodollars_per_unit: ReadonlyMap<string, bigint>;
}

/** Unit prices from a time and above a prompt size on; see `listSteps` of collector/price/choose.ts. */
export interface RatingStep {
  readonly valid_from_ns: bigint;
  readonly input_tokens_over: number;
  readonly answer: RatingAnswer | null;
}

/** A price book. */
export interface Rater {
  /** Changes when the book prices a call otherwise, hex. */
  readonly fingerprint: string;
  /** Every answer to calls of the question, ascending in time, then in size; at least one. */
  listSteps(question: RatingQuestion): readonly RatingStep[];
  /** The clause that pricing appends to the reason of an unpriced call of the question. */
  complaintOf(question: RatingQuestion): string;
}

/** Questions of one statement at most. */
export const MAX_BATCH_QUESTIONS = 2_000;
/** Text of the questions of one statement, characters; a longer question goes alone. */
const MAX_BATCH_CHARS = 1 << 20;

function textLength(question: RatingQuestion): number {
  return Object.values(question).reduce((sum, text: string) => sum + text.length, 0);
}

/** Cuts questions into lists that one statement can take. */
export function* cutQuestions(questions: readonly RatingQuestion[]): Generator<RatingQuestion[]> {
  let batch: RatingQuestion[] = [];
  let chars = 0;
  for (const question of questions) {
    const length = textLength(question);
    const is_full = batch.length >= MAX_BATCH_QUESTIONS || chars + length > MAX_BATCH_CHARS;
    if (is_full && batch.length > 0) {
      yield batch;
      batch = [];
      chars = 0;
    }
    batch.push(question);
    chars += length;
  }
  if (batch.length > 0) yield batch;
}

/** Answers by number; 0 is that the book has no price. */
class AnswerList {
  readonly #numbers = new Map<RatingAnswer, number>();

  numberOf(answer: RatingAnswer | null): number {
    if (answer === null) return 0;
    const known = this.#numbers.get(answer);
    if (known !== undefined) return known;
    const number = this.#numbers.size + 1;
    this.#numbers.set(answer, number);
    return number;
  }

  bind(): Params {
    const answers = [...this.#numbers.keys()];
    const fees = answers.map((answer) => [...answer.picodollars_per_unit]);
    return {
      price_ids: ["", ...answers.map((answer) => answer.price_id)],
      price_masks: [0, ...answers.map((answer) => maskOf(answer.picodollars_per_token))],
      unit_prices: [
        [],
        ...answers.map((answer) => answer.picodollars_per_token.map((price) => price ?? 0n)),
      ],
      fee_kinds: [[], ...fees.map((list) => list.map(([kind]) => kind))],
      fee_prices: [[], ...fees.map((list) => list.map(([, price]) => price))],
    };
  }
}

/** Bit i is set when class i has a price. */
function maskOf(prices: readonly (bigint | null)[]): number {
  return prices.reduce((mask, price, index) => (price === null ? mask : mask | (1 << index)), 0);
}

/** The questions with all their answers, as parameters. */
export function bindQuestions(rater: Rater, questions: readonly RatingQuestion[]): Params {
  const answers = new AnswerList();
  const steps = questions.map((question) => rater.listSteps(question));
  return {
    projects: questions.map((question) => question.project_id),
    providers: questions.map((question) => question.provider),
    request_models: questions.map((question) => question.request_model),
    response_models: questions.map((question) => question.response_model),
    service_tiers: questions.map((question) => question.service_tier),
    regions: questions.map((question) => question.region),
    complaints: questions.map((question) => rater.complaintOf(question)),
    step_times: steps.map((list) => list.map((step) => step.valid_from_ns)),
    step_sizes: steps.map((list) => list.map((step) => step.input_tokens_over)),
    step_answers: steps.map((list) => list.map((step) => answers.numberOf(step.answer))),
    ...answers.bind(),
  };
}
