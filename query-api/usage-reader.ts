/**
 * Opens what a usage question is read from: the tables that cost least for its range, and the prices.
 *
 * Invariant: the tables answer for every period that the question looks at, the one before too.
 */
import { chooseTables } from "./reading.ts";
import type { Services } from "./route.ts";
import type { UsageQuestion, UsageReader } from "./usage-question.ts";
import { periodsOf } from "./usage.ts";

/** The reader of a question. Throws what the engine throws. */
export async function openReader(
  { engine, prices, ledger }: Pick<Services, "engine" | "prices" | "ledger">,
  question: UsageQuestion,
): Promise<UsageReader> {
  const { from_ms, to_ms, previous } = periodsOf(question);
  const range = {
    from_ms: Math.min(from_ms, previous?.from_ms ?? from_ms),
    to_ms: Math.max(to_ms, previous?.to_ms ?? to_ms),
  };
  const tables = await chooseTables(engine, question.project_id, range, ledger);
  return { engine, tables, ...(prices === undefined ? {} : { prices: prices.priceOf }) };
}
