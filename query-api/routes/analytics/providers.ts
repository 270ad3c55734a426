/** `GET /v1/analytics/providers`: how fast, how reliable and how dear providers and models are. */
import {
  PROVIDER_MEASURES,
  ProvidersAnswer,
  ProvidersQuery,
} from "../../../schemas/api-analytics.ts";
import { DEFAULT_ANALYTICS_ROWS } from "../../../schemas/api-analytics-parts.ts";
import { TOKEN_CLASSES } from "../../../schemas/tokens.ts";
import { formatUsd } from "../../../schemas/units.ts";
import { divideHalfEven, type Sums } from "../../measures.ts";
import { defineRoute, type Route } from "../../route.ts";
import { askSets, totalOf } from "../../usage-sets.ts";
import {
  describeRange,
  keyOf,
  makeReader,
  measure,
  otherOf,
  readAsked,
  type Source,
} from "./question.ts";

const MILLION = 1_000_000n;

/** Cost of the tokens that have a price, for each million of them. */
function costPerMillion(sums: Sums): string | null {
  let cost = 0n;
  let tokens = -sums.count("tokens_unpriced");
  for (const name of TOKEN_CLASSES) {
    cost += sums.count(`cost_${name}`);
    tokens += sums.count(`tokens_${name}`);
  }
  return tokens === 0n ? null : formatUsd(divideHalfEven(cost * MILLION, tokens));
}

function performanceOf(sums: Sums) {
  return {
    ...measure(sums, PROVIDER_MEASURES),
    cost_per_million_tokens_usd: costPerMillion(sums),
  };
}

/** Answers how providers and their models compare. */
export async function answerProviders(
  source: Source,
  project_id: string,
  query: ProvidersQuery,
  now_ms: number,
): Promise<ProvidersAnswer> {
  const asked = readAsked(query, now_ms);
  const limit = query.limit ?? DEFAULT_ANALYTICS_ROWS;
  const reader = await makeReader(source, project_id, asked);
  const [total, providers = [], models = []] = await askSets(reader, {
    ...asked,
    project_id,
    interval: "none",
    measures: PROVIDER_MEASURES,
    sets: [[], ["provider"], ["provider", "model"]],
    limit,
  });
  const totals = performanceOf(totalOf(total));
  const listed = models.map((row) => ({
    provider: keyOf(row, "provider"),
    model: keyOf(row, "model"),
    ...performanceOf(row.sums),
  }));
  return {
    ...describeRange(asked),
    tz: query.tz ?? asked.tz,
    totals,
    providers: providers.map((row) => {
      const provider = keyOf(row, "provider");
      const performance = performanceOf(row.sums);
      return {
        provider,
        ...performance,
        calls_share: totals.calls === 0 ? null : performance.calls / totals.calls,
        models: listed
          .filter((model) => model.provider === provider)
          .map(({ provider: _provider, ...model }) => model),
      };
    }),
    other_models: otherOf(totals, listed),
    coverage: totals.coverage,
  };
}

/** Providers side by side. */
export const PROVIDER_ROUTES: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/analytics/providers",
    summary: "Providers and models side by side: latency, errors, cost of a million tokens",
    description:
      "Latencies are quantiles of all calls, failed ones included, within 2.2 %. Filter by `operation` to compare like with like.",
    tag: "Analytics",
    action: "usage:read",
    of: "project",
    query: ProvidersQuery,
    answer: ProvidersAnswer,
    cache: "ledger",
    examples: [{ summary: "Chats", path: "/v1/analytics/providers?operation=chat" }],
    handle: ({ services, project_id, query, now_ms }) =>
      answerProviders(services, project_id, query, now_ms),
  }),
];
