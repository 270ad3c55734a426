/**
 * Draws the preview of a dashboard in a page of its own, which is no part of the product.
 *
 * Invariant: runs in the browser as it stands, so it imports types alone.
 */
import type { Drawn } from "./panels.ts";

/** Pixels of a row and gap of the grid, as Grafana has them. */
const STYLE = `
  body { margin: 0; padding: 12px; background: #f4f5f5; color: #24292e; font: 13px system-ui, "DejaVu Sans", sans-serif; }
  h1 { margin: 0; font-size: 18px; }
  .label { margin: 2px 0 10px; color: #5a6068; }
  .grid { display: grid; grid-template-columns: repeat(24, 1fr); grid-auto-rows: 30px; gap: 8px; }
  .panel { background: #fff; border: 1px solid #dfe1e5; border-radius: 2px; display: flex; flex-direction: column; min-width: 0; overflow: hidden; padding: 6px 8px; }
  .panel h2 { margin: 0 0 4px; font-size: 13px; font-weight: 500; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
  .panel h2 small { color: #8a9099; font-weight: 400; }
  .body { flex: 1; min-height: 0; overflow: hidden; }
  .stat { display: flex; flex-wrap: wrap; align-items: center; justify-content: space-around; height: 100%; gap: 8px; }
  .stat b { font-size: 26px; white-space: nowrap; }
  .stat span { display: block; color: #5a6068; font-size: 12px; }
  table { width: 100%; border-collapse: collapse; }
  th, td { text-align: left; padding: 3px 6px; white-space: nowrap; max-width: 220px; overflow: hidden; text-overflow: ellipsis; border-bottom: 1px solid #eceef0; font-weight: 400; }
  th { color: #5a6068; }
  .number { text-align: right; font-variant-numeric: tabular-nums; }
  .bar-row { display: grid; grid-template-columns: 30% 1fr 90px; gap: 6px; align-items: center; margin: 2px 0; }
  .bar-row span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
  .bar-row i { height: 14px; border-radius: 2px; }
  .none { color: #8a9099; text-align: center; padding-top: 20px; }
`;

/** The style of the page. */
export function previewDocument(): string {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><style>${STYLE}</style></head><body></body></html>`;
}

/** What the function gets. */
export interface Preview {
  readonly title: string;
  readonly label: string;
  readonly panels: readonly Drawn[];
}

/** Draws; `echarts` is a global of the page. */
export function drawPreview({ title, label, panels }: Preview): void {
  type Charts = {
    init: (frame: Element, theme: null, more: object) => { setOption: (option: object) => void };
  };
  const { echarts } = globalThis as unknown as { echarts: Charts };
  const add = (parent: Element, tag: string, css = "", text = "") => {
    const element = document.createElement(tag);
    element.className = css;
    element.textContent = text;
    parent.append(element);
    return element;
  };

  const drawTable = (body: Element, drawn: Extract<Drawn, { kind: "table" }>) => {
    const table = add(body, "table");
    const head = add(add(table, "thead"), "tr");
    drawn.titles.forEach((words, index) =>
      add(head, "th", drawn.rows[0]?.[index]?.is_number === true ? "number" : "", words),
    );
    const rows = add(table, "tbody");
    for (const cells of drawn.rows) {
      const row = add(rows, "tr");
      for (const { text, color, share, is_painted, is_number } of cells) {
        const cell = add(row, "td", is_number ? "number" : "", text);
        cell.title = text;
        if (is_painted) cell.style.background = `color-mix(in srgb, ${color} 35%, white)`;
        if (share !== null) {
          cell.style.background = `linear-gradient(90deg, color-mix(in srgb, ${color} 40%, white) ${share * 100}%, transparent 0)`;
        }
      }
    }
  };

  const drawSeries = (body: Element, drawn: Extract<Drawn, { kind: "series" }>) => {
    const axes = drawn.ticks.map((ticks, index) => ({
      type: "value",
      position: index === 0 ? "left" : "right",
      show: ticks.length > 0,
      min: 0,
      ...(ticks.length > 1
        ? { max: ticks.at(-1)?.value, interval: (ticks[1]?.value ?? 1) - (ticks[0]?.value ?? 0) }
        : {}),
      splitLine: { show: index === 0, lineStyle: { color: "#eceef0" } },
      axisLabel: {
        fontSize: 11,
        color: "#5a6068",
        formatter: (value: number) =>
          ticks.find((tick) => Math.abs(tick.value - value) <= Math.abs(value) * 1e-9)?.text ?? "",
      },
    }));
    const [from_ms, to_ms] = drawn.range;
    echarts.init(body, null, { renderer: "canvas" }).setOption({
      animation: false,
      useUTC: true,
      grid: { left: 4, right: 8, top: 8, bottom: 26, containLabel: true },
      legend: {
        type: "scroll",
        bottom: 4,
        itemHeight: 14,
        itemWidth: 12,
        textStyle: { fontSize: 11 },
      },
      xAxis: {
        type: "time",
        min: from_ms,
        max: to_ms,
        axisLabel: { fontSize: 11, color: "#5a6068", hideOverlap: true },
        splitLine: { show: false },
      },
      yAxis: axes,
      series: drawn.series.map(({ name, color, is_bar, is_dashed, is_right, points }) => ({
        name,
        type: is_bar ? "bar" : "line",
        color,
        symbol: "none",
        yAxisIndex: is_right ? 1 : 0,
        ...(drawn.is_stacked ? { stack: "all" } : {}),
        ...(is_bar
          ? { barMaxWidth: 30 }
          : { lineStyle: { width: 1.5, type: is_dashed ? "dashed" : "solid" } }),
        data: points,
      })),
    });
  };

  add(document.body, "h1", "", title);
  add(document.body, "p", "label", label);
  const grid = add(document.body, "div", "grid");
  for (const drawn of panels) {
    const { x, y, w, h } = drawn.place;
    const panel = add(grid, "section", "panel");
    panel.style.gridColumn = `${x + 1} / span ${w}`;
    panel.style.gridRow = `${y + 1} / span ${h}`;
    const heading = add(panel, "h2", "", drawn.title);
    if (drawn.note !== "") add(heading, "small", "", ` (${drawn.note})`);
    const body = add(panel, "div", "body");
    if (drawn.kind === "series" && drawn.series.length > 0) drawSeries(body, drawn);
    else if (drawn.kind === "table" && drawn.rows.length > 0) drawTable(body, drawn);
    else if (drawn.kind === "stat" && drawn.values.length > 0) {
      const stat = add(body, "div", "stat");
      for (const { name, text, color } of drawn.values) {
        const value = add(stat, "div");
        add(value, "b", "", text).style.color = color;
        if (name !== "") add(value, "span", "", name);
      }
    } else if (drawn.kind === "bars" && drawn.bars.length > 0) {
      for (const { name, text, color, share } of drawn.bars) {
        const row = add(body, "div", "bar-row");
        add(row, "span", "", name);
        const bar = add(row, "i");
        bar.style.width = `${share * 100}%`;
        bar.style.background = color;
        add(row, "span", "number", text);
      }
    } else add(body, "div", "none", "Nothing in this range");
  }
}
