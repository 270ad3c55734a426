/** Columns that many tables have, each with its unit in the title and its raw value for the CSV. */
import type { Coverage } from "../schemas/api-parts.ts";
import {
  showChange,
  showCount,
  showDuration,
  showRate,
  showShare,
  showShort,
  showUsd,
} from "./format.ts";
import { NO_VALUE } from "./filters.ts";
import { html, type VNode } from "./html.ts";
import { isNothing } from "./money.ts";
import type { Column, Value } from "./table.ts";
import { showInstant } from "./time.ts";
import { linkTo, type Patch, type ViewName } from "./url.ts";

type Read<Row, Kind> = (row: Row) => Kind | null | undefined;

/**
 * A cost as far as anything is known of it: null when it is nothing only because calls have no price. Calls
 * that were refused cost nothing, so that a group of unpriced calls may well add up to zero.
 */
export function knownUsd(
  usd: string | null | undefined,
  coverage?: Pick<Coverage, "calls_unpriced"> | null,
): string | null {
  return isNothing(usd) && (coverage?.calls_unpriced ?? 0) > 0 ? null : (usd ?? null);
}

/** A cost with a mark when calls behind it have no whole price; all digits are its tooltip. */
export function showCost(usd: string | null | undefined, coverage?: Coverage | null): VNode {
  const unpriced = coverage?.calls_unpriced ?? 0;
  if (unpriced === 0) return html`<span title=${usd}>${showUsd(usd)}</span>`;
  const words = `${showCount(unpriced)} of ${showCount(coverage?.calls)} calls have no whole price`;
  const known = knownUsd(usd, coverage);
  return html`<span title=${`${known ?? "not known"}; ${words}`}
    ><span class="unpriced" role="img" aria-label=${words}>▲</span> ${showUsd(known)}</span
  >`;
}

export interface UsdOptions<Row> {
  /** The largest value of all rows: draws bars behind the cells. */
  readonly most?: number;
  /** How far the cost can be trusted: marks what has no whole price. */
  readonly coverage?: (row: Row) => Coverage | null | undefined;
}

/** Exact money. */
export function usdColumn<Row>(
  key: string,
  title: string,
  read: Read<Row, string>,
  { most = 0, coverage }: UsdOptions<Row> = {},
): Column<Row> {
  const bar = (row: Row) => Number(read(row) ?? 0) / most;
  return {
    key,
    title,
    value: read,
    show: (row) => showCost(read(row), coverage?.(row) ?? null),
    is_number: true,
    ...(most === 0 ? {} : { bar }),
  };
}

/** The largest cost of rows, for bars behind cells. */
export function mostUsd<Row>(rows: readonly Row[], read: Read<Row, string>): number {
  return Math.max(0, ...rows.map((row) => Number(read(row) ?? 0)));
}

function numberColumn<Row>(show: (value: number | null | undefined) => string) {
  return (key: string, title: string, read: Read<Row, number>): Column<Row> => ({
    key,
    title,
    value: read,
    show: (row) => show(read(row)),
    is_number: true,
  });
}

/** A whole number with all its digits. */
export function countColumn<Row>(key: string, title: string, read: Read<Row, number>): Column<Row> {
  return numberColumn<Row>(showCount)(key, title, read);
}

/** A number that is shown short: 1.2M. */
export function shortColumn<Row>(key: string, title: string, read: Read<Row, number>): Column<Row> {
  return numberColumn<Row>(showShort)(key, title, read);
}

/** A share of one, shown as per cent. */
export function shareColumn<Row>(key: string, title: string, read: Read<Row, number>): Column<Row> {
  return numberColumn<Row>(showShare)(key, title, read);
}

/** Nanoseconds, shown in the unit that people would say. */
export function durationColumn<Row>(
  key: string,
  title: string,
  read: Read<Row, number>,
): Column<Row> {
  return numberColumn<Row>(showDuration)(key, title, read);
}

/** A rate or a mean, in the unit of the title. */
export function rateColumn<Row>(key: string, title: string, read: Read<Row, number>): Column<Row> {
  return numberColumn<Row>(showRate)(key, title, read);
}

/** A change as a share of what was before. */
export function changeColumn<Row>(
  key: string,
  title: string,
  read: Read<Row, number>,
): Column<Row> {
  return numberColumn<Row>(showChange)(key, title, read);
}

/** Text; a dash when it is not known. */
export function textColumn<Row>(
  key: string,
  title: string,
  read: (row: Row) => Value,
): Column<Row> {
  return { key, title, value: read };
}

/** An instant of the API (RFC 3339), shown in the zone of the view. */
export function instantColumn<Row>(
  key: string,
  title: string,
  read: Read<Row, string>,
  tz: string,
): Column<Row> {
  const show = (row: Row) => {
    const text = read(row);
    return text === null || text === undefined ? "–" : showInstant(Date.parse(text), tz);
  };
  return { key, title: `${title} (${tz})`, value: read, show };
}

/** A value of a dimension that leads to a view filtered by it; null is filtered by too. */
export function linkColumn<Row>(
  key: string,
  title: string,
  read: Read<Row, string>,
  to: { readonly view: ViewName; readonly patch: (row: Row) => Patch },
): Column<Row> {
  return {
    key,
    title,
    value: read,
    show: (row) => html`<a href=${linkTo(to.view, to.patch(row))}>${read(row) ?? NO_VALUE}</a>`,
  };
}
