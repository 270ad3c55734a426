/**
 * Looks of kinds of failures: all of them red, told apart by shade, by pattern and by name.
 *
 * Invariant: what does not fail never has one of these.
 */
import { readVariable } from "../colors.ts";

export interface Red {
  /** Of a bar. */
  readonly color: string;
  /** Its pattern (`itemStyle.decal` of ECharts). */
  readonly decal: object;
  /** The same as a background of CSS, for legends. */
  readonly background: string;
}

/** Mixes two colours written `#rrggbb`; 0 is the first one, 1 the second. Others stay as they are. */
export function mixColors(first: string, second: string, share: number): string {
  const [a, b] = [first, second].map((text) => /^#([0-9a-f]{6})$/i.exec(text)?.[1]);
  if (a === undefined || b === undefined) return first;
  const channels = [0, 2, 4].map((at) => {
    const [from, to] = [a, b].map((text) => Number.parseInt(text.slice(at, at + 2), 16));
    return Math.round((from ?? 0) + ((to ?? 0) - (from ?? 0)) * share);
  });
  return `#${channels.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}

const PLAIN = { symbol: "none" } as const;

interface Look {
  /** How much of the ground, or when below zero of the text, is mixed in. */
  readonly ground: number;
  readonly decal: object;
  readonly background: (color: string, mark: string) => string;
}

const stripes = (angle: number) => (color: string, mark: string) =>
  `repeating-linear-gradient(${angle}deg, ${color} 0 3px, ${mark} 3px 4.5px)`;
const lines = (rotation: number) => ({
  symbol: "rect",
  dashArrayX: [1, 0],
  dashArrayY: [2, 5],
  rotation,
});

const LOOKS: readonly Look[] = [
  { ground: 0, decal: PLAIN, background: (color) => color },
  { ground: 0.45, decal: PLAIN, background: (color) => color },
  { ground: 0.1, decal: lines(-Math.PI / 4), background: stripes(45) },
  { ground: -0.4, decal: PLAIN, background: (color) => color },
  {
    ground: 0.3,
    decal: { symbol: "circle", dashArrayX: [[4, 6]], dashArrayY: [4, 4], symbolSize: 0.8 },
    background: (color, mark) =>
      `radial-gradient(circle at 50% 50%, ${mark} 0 2px, ${color} 2.5px 10px)`,
  },
  { ground: -0.2, decal: lines(Math.PI / 4), background: stripes(-45) },
];

/** The look of the kind at a place; of more kinds than there are looks some share one. */
export function redOf(place: number): Red {
  const look = LOOKS[place % LOOKS.length];
  const [red, card, text] = ["--color-errors", "--card", "--text"].map(readVariable) as [
    string,
    string,
    string,
  ];
  const ground = look?.ground ?? 0;
  const color = ground < 0 ? mixColors(red, text, -ground) : mixColors(red, card, ground);
  return {
    color,
    decal: { ...(look?.decal ?? PLAIN), color: card },
    background: look?.background(color, card) ?? color,
  };
}
