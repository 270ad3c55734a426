/**
 * What a use of models brings against what it costs: value, cost, net, return, payback and break-even.
 *
 * Invariant: pure, and in exact decimals rounded at the twelfth place; what cannot be divided is null
 * and says why, and everything that was assumed is said in the answer.
 */
import { divide, fromWhole, multiply, ONE, writeDecimal } from "./decimal.ts";

/** What the calculator works with; decimals as in `decimal.ts`, amounts in picodollars. */
export interface RoiInput {
  readonly tasks_per_month: bigint;
  readonly value_per_task: bigint;
  /** Share of the tasks whose result is of use. */
  readonly success_share: bigint;
  /** What the models cost in a month at `tasks_per_month`. */
  readonly model_cost_per_month: bigint;
  /** What is paid each month whatever the number of tasks. */
  readonly fixed_cost_per_month: bigint;
  /** What is paid once, before the first month. */
  readonly setup_cost: bigint;
  /** By which tasks, and with them the cost of models, grow each month. */
  readonly growth_per_month: bigint;
  readonly months: number;
}

export interface RoiMonth {
  readonly month: number;
  readonly tasks: string;
  readonly value_usd: string;
  readonly cost_usd: string;
  readonly net_usd: string;
  /** Since the beginning, the setup cost included. */
  readonly cumulative_net_usd: string;
}

export interface RoiResult {
  readonly tasks: string;
  readonly value_usd: string;
  readonly cost_usd: string;
  readonly cost: {
    readonly model_usd: string;
    readonly fixed_usd: string;
    readonly setup_usd: string;
  };
  readonly net_usd: string;
  readonly roi_percent: string | null;
  readonly cost_per_task_usd: string | null;
  readonly model_cost_per_task_usd: string | null;
  readonly net_per_task_usd: string | null;
  readonly payback_months: string | null;
  readonly break_even_tasks_per_month: string | null;
  readonly break_even_value_per_task_usd: string | null;
  /** What the return would be if tasks were worth another share of the value given. */
  readonly sensitivity: readonly {
    readonly value_share: string;
    readonly net_usd: string;
    readonly roi_percent: string | null;
  }[];
  readonly by_month: readonly RoiMonth[];
  /** Why a field of this answer is null. */
  readonly reasons: readonly { readonly field: string; readonly reason: string }[];
}

const HUNDRED = 100n;
/** Places of percentages and months. */
const RATIO_PLACES = 4;
/** Shares of the value given that the return is worked out for too. */
const SENSITIVITY_SHARES: readonly bigint[] = [ONE / 2n, (3n * ONE) / 4n, (5n * ONE) / 4n];

interface Month {
  readonly tasks: bigint;
  readonly value: bigint;
  readonly model_cost: bigint;
  readonly cost: bigint;
}

interface Totals {
  readonly tasks: bigint;
  readonly value: bigint;
  readonly model_cost: bigint;
  readonly cost: bigint;
}

function listMonths(input: RoiInput): Month[] {
  const months: Month[] = [];
  let size = ONE;
  for (let month = 1; month <= input.months; month += 1) {
    const tasks = multiply(input.tasks_per_month, size);
    const useful = multiply(tasks, input.success_share);
    const model_cost = multiply(input.model_cost_per_month, size);
    months.push({
      tasks,
      value: multiply(useful, input.value_per_task),
      model_cost,
      cost: model_cost + input.fixed_cost_per_month,
    });
    size = multiply(size, ONE + input.growth_per_month);
  }
  return months;
}

function addMonths(months: readonly Month[], setup_cost: bigint): Totals {
  const sum = (read: (month: Month) => bigint) =>
    months.reduce((total, month) => total + read(month), 0n);
  return {
    tasks: sum(({ tasks }) => tasks),
    value: sum(({ value }) => value),
    model_cost: sum(({ model_cost }) => model_cost),
    cost: sum(({ cost }) => cost) + setup_cost,
  };
}

function percentOf(net: bigint, cost: bigint): string | null {
  const share = divide(net * HUNDRED, cost);
  return share === null ? null : writeDecimal(share, RATIO_PLACES);
}

/** Months until what came back is what was paid, the last one in part; null when it never is. */
function findPayback(months: readonly Month[], setup_cost: bigint): bigint | null {
  let balance = -setup_cost;
  for (const [index, { value, cost }] of months.entries()) {
    const net = value - cost;
    if (balance + net >= 0n) {
      // A month that pays for itself from its first day needs no time.
      const part = balance >= 0n ? 0n : divide(-balance, net);
      return fromWhole(index) + (part ?? 0n);
    }
    balance += net;
  }
  return null;
}

/** Works out what the input comes to. */
export function computeRoi(input: RoiInput): RoiResult {
  const reasons: { field: string; reason: string }[] = [];
  const explain = <Value>(field: string, value: Value | null, reason: string): Value | null => {
    if (value === null) reasons.push({ field, reason });
    return value;
  };
  const months = listMonths(input);
  const total = addMonths(months, input.setup_cost);
  const net = total.value - total.cost;
  const fixed = total.cost - total.model_cost - input.setup_cost;
  const perTask = (field: string, amount: bigint) =>
    explain(field, write(divide(amount, total.tasks)), "there are no tasks");
  const value_per_task = multiply(input.value_per_task, input.success_share);
  const break_even = findBreakEven(input, value_per_task);
  return {
    tasks: writeDecimal(total.tasks),
    value_usd: writeDecimal(total.value),
    cost_usd: writeDecimal(total.cost),
    cost: {
      model_usd: writeDecimal(total.model_cost),
      fixed_usd: writeDecimal(fixed),
      setup_usd: writeDecimal(input.setup_cost),
    },
    net_usd: writeDecimal(net),
    roi_percent: explain("roi_percent", percentOf(net, total.cost), "nothing is paid"),
    cost_per_task_usd: perTask("cost_per_task_usd", total.cost),
    model_cost_per_task_usd: perTask("model_cost_per_task_usd", total.model_cost),
    net_per_task_usd: perTask("net_per_task_usd", net),
    payback_months: explain(
      "payback_months",
      write(findPayback(months, input.setup_cost), RATIO_PLACES),
      `what is paid does not come back within ${input.months} months`,
    ),
    break_even_tasks_per_month: explain(
      "break_even_tasks_per_month",
      write(break_even.tasks),
      break_even.reason,
    ),
    break_even_value_per_task_usd: explain(
      "break_even_value_per_task_usd",
      write(divide(total.cost, multiply(total.tasks, input.success_share))),
      "no task has a result that is of use",
    ),
    sensitivity: SENSITIVITY_SHARES.map((share) => {
      const value = multiply(total.value, share);
      return {
        value_share: writeDecimal(share),
        net_usd: writeDecimal(value - total.cost),
        roi_percent: percentOf(value - total.cost, total.cost),
      };
    }),
    by_month: writeMonths(months, input.setup_cost),
    reasons,
  };
}

/** Tasks of the first month's cost that pay for what is fixed, the setup spread over all months. */
function findBreakEven(
  { tasks_per_month, model_cost_per_month, fixed_cost_per_month, setup_cost, months }: RoiInput,
  value_per_task: bigint,
): { readonly tasks: bigint | null; readonly reason: string } {
  const model_cost = divide(model_cost_per_month, tasks_per_month);
  if (model_cost === null) return { tasks: null, reason: "there are no tasks" };
  if (value_per_task <= model_cost) {
    return { tasks: null, reason: "a task is worth no more than the models that it needs" };
  }
  const setup = divide(setup_cost, fromWhole(months)) ?? 0n;
  return { tasks: divide(fixed_cost_per_month + setup, value_per_task - model_cost), reason: "" };
}

function write(value: bigint | null, places?: number): string | null {
  return value === null ? null : writeDecimal(value, places);
}

function writeMonths(months: readonly Month[], setup_cost: bigint): RoiMonth[] {
  let balance = -setup_cost;
  return months.map(({ tasks, value, cost }, index) => {
    balance += value - cost;
    return {
      month: index + 1,
      tasks: writeDecimal(tasks),
      value_usd: writeDecimal(value),
      cost_usd: writeDecimal(cost),
      net_usd: writeDecimal(value - cost),
      cumulative_net_usd: writeDecimal(balance),
    };
  });
}
