/**
 * Charts by Apache ECharts, loaded when the first one is drawn. What a chart shows is also a table: screen
 * readers get that one, and a sentence of what the chart is.
 *
 * Invariant: a chart has its height before its data, so that nothing on the page moves.
 */
import type { ECharts, EChartsCoreOption } from "echarts";
import { html, useEffect, useRef, useState, type VNode } from "./html.ts";
import { readVariable } from "./colors.ts";

export type Option = EChartsCoreOption;

type Module = typeof import("echarts");
let loading: Promise<Module> | undefined;

/** The package, loaded once. */
export function loadCharts(): Promise<Module> {
  loading ??= import("echarts");
  return loading;
}

/** What all charts have in common, in the colours of the page as they are now. */
export function baseOption(): Option {
  const text = readVariable("--text");
  const faint = readVariable("--text-faint");
  const line = readVariable("--line");
  const axis = {
    axisLine: { lineStyle: { color: line } },
    axisTick: { show: false },
    axisLabel: { color: faint, fontSize: 11, hideOverlap: true },
    splitLine: { lineStyle: { color: line } },
  };
  return {
    animation: false,
    textStyle: { fontFamily: "system-ui, sans-serif", color: text },
    grid: { left: 8, right: 12, top: 12, bottom: 4, containLabel: true },
    xAxis: axis,
    yAxis: axis,
    aria: { enabled: false },
  };
}

/** Options of which later ones win; axes and the grid are merged. */
export function mergeOptions(...options: readonly Option[]): Option {
  const merged: Record<string, unknown> = {};
  for (const option of options) {
    for (const [name, value] of Object.entries(option)) {
      const before = merged[name];
      const can_merge = isPlain(before) && isPlain(value);
      merged[name] = can_merge ? mergeOptions(before as Option, value as Option) : value;
    }
  }
  return merged;
}

function isPlain(value: unknown): boolean {
  return (
    typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Node)
  );
}

export interface ChartProps {
  /** Made when it is drawn, so that colours are those of now. */
  readonly makeOption: () => Option;
  /** A sentence that says what there is to see. */
  readonly label: string;
  /** CSS pixels. */
  readonly height?: number;
  /** Called with what was clicked. */
  readonly onPick?: (picked: {
    readonly name: string;
    readonly series: string;
    readonly index: number;
  }) => void;
}

/** Height of a chart that says none, CSS pixels. */
export const CHART_HEIGHT = 240;

/** A chart that follows its frame, its data, and the colours of the page. */
export function Chart({ makeOption, label, height = CHART_HEIGHT, onPick }: ChartProps): VNode {
  const frame = useRef<HTMLDivElement>(null);
  const chart = useRef<ECharts | null>(null);
  const pick = useRef(onPick);
  const [module, setModule] = useState<Module | null>(null);
  const theme = useTheme();
  pick.current = onPick;
  useEffect(() => void loadCharts().then((loaded) => setModule(() => loaded)), []);
  useEffect(() => {
    if (module === null || frame.current === null) return undefined;
    const drawn = module.init(frame.current, null, { renderer: "canvas" });
    chart.current = drawn;
    drawn.on("click", ({ name, seriesName, dataIndex }) => {
      pick.current?.({ name, series: seriesName ?? "", index: dataIndex });
    });
    const observer = new ResizeObserver(() => drawn.resize());
    observer.observe(frame.current);
    return () => {
      observer.disconnect();
      drawn.dispose();
      chart.current = null;
    };
  }, [module]);
  useEffect(() => {
    chart.current?.setOption(mergeOptions(baseOption(), makeOption()), { notMerge: true });
  }, [module, makeOption, theme]);
  const css = onPick === undefined ? "chart" : "chart can-pick";
  return html`<div
    class=${css}
    ref=${frame}
    role="img"
    aria-label=${label}
    style=${{ height: `${height}px` }}
  ></div>`;
}

/** Changes when the page becomes light or dark. */
function useTheme(): number {
  const [count, setCount] = useState(0);
  useEffect(() => {
    const next = () => setCount((before) => before + 1);
    const media = matchMedia("(prefers-color-scheme: dark)");
    const observer = new MutationObserver(next);
    observer.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    media.addEventListener("change", next);
    return () => {
      observer.disconnect();
      media.removeEventListener("change", next);
    };
  }, []);
  return count;
}
