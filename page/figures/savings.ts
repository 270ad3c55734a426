/** What could be saved: by caching, by batches, by another model; with what each figure rests on. */
import type { SavingsAnswer } from "../../schemas/api-savings.ts";
import { type Asked, useAnswer } from "../answers.ts";
import { countColumn, linkColumn, textColumn, usdColumn } from "../columns.ts";
import { Figure, Tile } from "../figure.ts";
import { showCount, showShare, showShort, showUsd } from "../format.ts";
import { html, useCallback, useRef, type VNode } from "../html.ts";
import type { Column, TableData } from "../table.ts";
import { setParams, useParams } from "../url.ts";
import { CLASS_TITLES } from "./usage.ts";

type Model = SavingsAnswer["models"][number];

function savingsTable({ models, target }: SavingsAnswer): TableData<Model> {
  const columns: Column<Model>[] = [
    linkColumn("model", "Model", ({ model }) => model, {
      view: "calls",
      patch: ({ model }) => ({ model: model ?? "" }),
    }),
    textColumn("provider", "Provider", ({ provider }) => provider),
    countColumn("calls", "Calls", ({ calls }) => calls),
    usdColumn("cost_usd", "Cost, USD", ({ cost_usd }) => cost_usd),
    usdColumn("cache_saved_usd", "Cache saved, USD", (row) => row.cache_saved_usd),
    usdColumn(
      "cache_could_save_at_most_usd",
      "Caching could save at most, USD",
      (row) => row.cache_could_save_at_most_usd,
    ),
    usdColumn(
      "batch_could_save_usd",
      "Batches could save at most, USD",
      (row) => row.batch_could_save_usd,
    ),
  ];
  if (target !== null) {
    const title = `On ${target.model} less, USD`;
    columns.push(usdColumn("target_saving_usd", title, (row) => row.target_saving_usd));
  }
  return { columns, rows: models };
}

/** The answer in tiles; the table of models is behind them. */
function drawSavings({ cache, batch, target }: SavingsAnswer): VNode {
  const known =
    cache.tokens_not_judged === 0
      ? ""
      : `; ${showShort(cache.tokens_not_judged)} tokens not judged`;
  return html`<div class="tiles savings-tiles">
      <${Tile}
        title="Saved by caching"
        value=${showUsd(cache.saved_usd)}
        exact=${cache.saved_usd ?? undefined}
        note=${`${showUsd(cache.read_saved_usd)} by reading, less ${showUsd(cache.write_surcharge_usd)} for writing${known}`}
      />
      <${Tile}
        title="Caching could save, at most"
        value=${showUsd(cache.could_save_at_most_usd)}
        exact=${cache.could_save_at_most_usd ?? undefined}
        note=${cache.reason ?? `if all ${showShort(cache.uncached_tokens)} uncached prompt tokens repeated`}
      />
      <${Tile}
        title="Batches could save, at most"
        value=${showUsd(batch.could_save_usd)}
        exact=${batch.could_save_usd ?? undefined}
        note=${
          batch.reason ??
          `at most: of ${showUsd(batch.cost_of_candidates_usd)}, counting every call with a batch price, interactive chat too, which cannot wait; ${showCount(batch.calls_already_batch)} are batches already`
        }
      />
      ${target !== null && html`<${TargetTile} target=${target} />`}
    </div>
    <${Assumptions} answer=${{ cache, batch, target }} />`;
}

function TargetTile({ target }: { readonly target: NonNullable<SavingsAnswer["target"]> }): VNode {
  const { compared, model, substituted } = target;
  const words = substituted.map(
    ({ token_class, priced_as }) =>
      `${CLASS_TITLES[token_class]} is priced as ${CLASS_TITLES[priced_as]}`,
  );
  return html`<${Tile}
    title=${`On ${model} it would cost`}
    value=${showUsd(compared.target_cost_usd)}
    exact=${compared.target_cost_usd}
    note=${html`<span title=${words.join("\n")}
      >for ${showUsd(compared.cost_usd)}: ${showUsd(compared.saving_usd)} less, of
      ${" "}${showShare(compared.tokens_share)} of the tokens</span
    >`}
  />`;
}

interface AssumptionsProps {
  readonly answer: Pick<SavingsAnswer, "cache" | "batch" | "target">;
}

function Assumptions({ answer: { cache, batch, target } }: AssumptionsProps): VNode {
  const lines = [...cache.assumptions, ...batch.assumptions, ...(target?.assumptions ?? [])];
  return html`<details class="assumptions">
    <summary>What these figures rest on</summary>
    <ul>
      ${lines.map((line) => html`<li>${line}</li>`)}
    </ul>
  </details>`;
}

/** A model to hold all calls against; the parameter is `target`. */
function TargetChoice({ models }: { readonly models: readonly Model[] }): VNode {
  const params = useParams();
  const input = useRef<HTMLInputElement>(null);
  const apply = (event: Event) => {
    event.preventDefault();
    const target = (input.current?.value ?? "").trim();
    setParams({ target: target === "" ? null : target });
  };
  return html`<form class="custom-range" onSubmit=${apply}>
    <label
      ><span class="hidden">Another model, as provider/model</span
      ><input
        ref=${input}
        list="savings-models"
        maxlength="512"
        placeholder="What if: provider/model"
        value=${params.get("target") ?? ""}
    /></label>
    <datalist id="savings-models">
      ${models.map(({ provider, model }) => html`<option value=${`${provider}/${model}`}></option>`)}
    </datalist>
    <button>Compare</button>
  </form>`;
}

/** The figure; it asks by itself. */
export function SavingsFigure({ asked }: { readonly asked: Asked }): VNode {
  const params = useParams();
  const answer = useAnswer<SavingsAnswer>("/v1/analytics/savings", {
    ...asked.query,
    target: params.get("target"),
  });
  const table = useCallback(savingsTable, []);
  return html`<${Figure}
    title="What was saved, and what could be"
    subtitle="US dollars in the range"
    width="full"
    answer=${answer}
    file="savings"
    height=${116}
    table=${table}
    draw=${drawSavings}
    coverage=${(data: SavingsAnswer) => data.coverage}
    aside=${html`<${TargetChoice} models=${answer.data?.models ?? []} />`}
    isEmpty=${({ calls }: SavingsAnswer) => calls === 0}
  />`;
}
