/** Prices: what has none, what the price book says, and which row priced what. */
import type { UnpricedAnswer } from "../../schemas/api-lists.ts";
import type { PricesAnswer } from "../../schemas/api-prices.ts";
import type { UsageAnswer, UsageRow } from "../../schemas/api-usage.ts";
import { type Answer, type Asked, nowMs, useAnswer, useAsked } from "../answers.ts";
import { knownUsd, mostUsd, shareColumn, shortColumn, textColumn, usdColumn } from "../columns.ts";
import { Figure, Tile } from "../figure.ts";
import { bookQuery, PriceBookFigure } from "../figures/price-book.ts";
import { UnpricedFigure } from "../figures/unpriced.ts";
import { FilterBar, NO_VALUE } from "../filters.ts";
import { showCount, showShare, showShort, UNKNOWN } from "../format.ts";
import { html, useCallback, type VNode } from "../html.ts";
import { shareOfUsd } from "../money.ts";
import type { TableData } from "../table.ts";
import { showAge, showStep } from "../time.ts";
import { linkTo, useParams } from "../url.ts";

/** Models without a price that are asked for. */
const MAX_UNPRICED = 100;
/** Prices that are told of a range. */
const MAX_APPLIED = 200;

/** The view. */
export function PricesView(): VNode {
  const asked = useAsked();
  const params = useParams();
  const unpriced = useAnswer<UnpricedAnswer>("/v1/analytics/models/unpriced", {
    ...asked.query,
    limit: MAX_UNPRICED,
  });
  const book = useAnswer<PricesAnswer>("/v1/prices", bookQuery(params, nowMs()));
  // What stands below waits for the lists above it, so that they push nothing down.
  const is_settled = unpriced.data !== null || unpriced.problem !== null;
  return html`<${FilterBar} />
    <${Tiles} unpriced=${unpriced} book=${book} />
    <div class="grid">
      <${UnpricedFigure} answer=${unpriced} />
      ${
        is_settled &&
        html`<${AppliedFigure} asked=${asked} /> <${PriceBookFigure} answer=${book} />`
      }
    </div>`;
}

interface TilesProps {
  readonly unpriced: Answer<UnpricedAnswer>;
  readonly book: Answer<PricesAnswer>;
}

/** What a tile shows of an answer: null while it is loading, a dash when it failed. */
function textOf<Data>(
  { data, problem }: Answer<Data>,
  show: (data: Data) => string,
): string | null {
  if (data !== null) return show(data);
  return problem === null ? null : UNKNOWN;
}

function Tiles({ unpriced, book }: TilesProps): VNode {
  const day = book.data?.evidence_date ?? null;
  const age = day === null ? "" : `${showAge(Date.parse(day), nowMs())}, the newest of the book`;
  const tokens = (models: UnpricedAnswer["models"]) =>
    models.reduce((sum, { tokens_unpriced }) => sum + tokens_unpriced, 0);
  return html`<div class="tiles four">
    <${Tile}
      title="Calls without a whole price"
      value=${textOf(unpriced, ({ calls_unpriced }) => showCount(calls_unpriced))}
      note=${textOf(unpriced, ({ calls }) => `of ${showCount(calls)} in the range`)}
    />
    <${Tile}
      title="Tokens with a price"
      value=${textOf(unpriced, ({ coverage }) => showShare(coverage.tokens_priced_share))}
      exact=${unpriced.data?.coverage.tokens_priced_share?.toString()}
      note=${textOf(unpriced, ({ models }) => `${showShort(tokens(models))} tokens have none`)}
    />
    <${Tile}
      title="Calls without usage"
      value=${textOf(unpriced, ({ coverage }) => showCount(coverage.calls_missing_usage))}
      note="no price can be told for them"
    />
    <${Tile}
      title="Prices were read"
      value=${textOf(book, () => (day === null ? UNKNOWN : showStep(Date.parse(day), "day", "UTC").replace(/^\w+, /, "")))}
      exact=${day ?? undefined}
      note=${age}
    />
  </div>`;
}

/** Which price applied to what in the range. */
function AppliedFigure({ asked }: { readonly asked: Asked }): VNode {
  const answer = useAnswer<UsageAnswer>("/v1/usage", {
    ...asked.query,
    group_by: "price_id,provider,model",
    measures: "cost_usd,calls,input_total,output_total",
    order_by: "cost_usd",
    limit: MAX_APPLIED,
  });
  const table = useCallback(({ rows, totals }: UsageAnswer): TableData<UsageRow> => {
    const readCost = ({ cost_usd }: UsageRow) => cost_usd;
    return {
      columns: [
        {
          ...textColumn<UsageRow>("price_id", "Price", (row) => row.price_id ?? "(no price)"),
          hint: "(no price): calls without one, and refused calls, which need none and cost nothing",
        },
        textColumn("model", "Model of the calls", (row) => row.model ?? NO_VALUE),
        textColumn("provider", "Provider", (row) => row.provider),
        usdColumn("cost_usd", "Cost, USD", readCost, {
          most: mostUsd(rows, readCost),
          coverage: ({ coverage }) => coverage,
        }),
        shareColumn("cost_share", "Share", ({ cost_usd, coverage }) =>
          shareOfUsd(knownUsd(cost_usd, coverage), totals.cost_usd),
        ),
        {
          key: "calls",
          title: "Calls",
          value: ({ calls }) => calls,
          is_number: true,
          show: ({ calls, price_id, model }) =>
            html`<a href=${linkTo("calls", { price_id: price_id ?? "", model: model ?? "" })}
              >${showCount(calls)}</a
            >`,
        },
        shortColumn("input_total", "Tokens in", ({ input_total }) => input_total),
        shortColumn("output_total", "Tokens out", ({ output_total }) => output_total),
      ],
      rows,
    };
  }, []);
  return html`<${Figure}
    title="Which price applied"
    subtitle="Rows of the price book by what they priced in the range; “(no price)” counts refused calls too, which cost nothing and need none"
    width="full"
    answer=${answer}
    file="applied-prices"
    table=${table}
    coverage=${({ coverage }: UsageAnswer) => coverage}
    footer=${
      answer.data?.truncated === true
        ? () => html`<span>The dearest ${showCount(MAX_APPLIED)}; there are more.</span>`
        : undefined
    }
  />`;
}
