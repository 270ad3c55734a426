/** How well calls are told, by who tells of them: `GET /v1/analytics/quality`. */
import type { QualityAnswer } from "../../schemas/api-quality.ts";
import { type Asked, useAnswer } from "../answers.ts";
import { countColumn, instantColumn, textColumn } from "../columns.ts";
import { Figure } from "../figure.ts";
import { showCount } from "../format.ts";
import { html, useCallback, type VNode } from "../html.ts";
import type { TableData } from "../table.ts";

type Source = QualityAnswer["sources"][number];

/** Sources that are listed. */
const MAX_SOURCES = 50;

function listSources({ sources }: QualityAnswer, tz: string): TableData<Source> {
  return {
    columns: [
      textColumn("dialect", "Read as", ({ dialect }) => dialect),
      textColumn("scope_name", "Instrumentation", ({ scope_name }) => scope_name),
      textColumn("scope_versions", "Versions", (row) => row.scope_versions.join(", ")),
      textColumn("services", "Services", ({ services }) => services.join(", ")),
      countColumn("calls", "Calls", ({ calls }) => calls),
      countColumn("calls_missing_usage", "No usage", (row) => row.calls_missing_usage),
      countColumn("calls_estimated", "Estimated", (row) => row.calls_estimated),
      countColumn("calls_unpriced", "No whole price", (row) => row.calls_unpriced),
      countColumn(
        "calls_suspected_duplicate",
        "Perhaps twice",
        (row) => row.calls_suspected_duplicate,
      ),
      countColumn("calls_clock_skewed", "Wrong clock", (row) => row.calls_clock_skewed),
      countColumn("duplicate_reports", "Reported more than once", (row) => row.duplicate_reports),
      instantColumn("last_seen", "Last call", ({ last_seen }) => last_seen, tz),
    ],
    rows: sources,
  };
}

/** The figure; it asks by itself. */
export function QualityFigure({ asked }: { readonly asked: Asked }): VNode {
  const { tz } = asked.range;
  const answer = useAnswer<QualityAnswer>("/v1/analytics/quality", {
    ...asked.query,
    limit: MAX_SOURCES,
  });
  const table = useCallback((data: QualityAnswer) => listSources(data, tz), [tz]);
  return html`<${Figure}
    title="Quality of what is sent"
    subtitle="Calls by what tells of them; a call may have several faults"
    width="full"
    answer=${answer}
    file="quality"
    table=${table}
    coverage=${({ coverage }: QualityAnswer) => coverage}
    when_empty="No call in this range."
    footer=${({ totals, truncated }: QualityAnswer) =>
      html`<span
        >${showCount(totals.calls)} calls; ${showCount(totals.duplicate_reports)} more reports of
        them are not counted${truncated ? `; the first ${MAX_SOURCES} sources` : ""}</span
      >`}
  />`;
}
