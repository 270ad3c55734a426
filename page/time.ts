/**
 * Ranges, steps and zones of time. Ranges of days are whole days of the zone, so that they are the same
 * for who opens the link an hour later, and so that rollups answer them.
 *
 * Invariant: what is asked of the API is what is written above the charts.
 */

export const DEFAULT_RANGE = "30d";
/** Bills of providers are by UTC days, and links must mean the same everywhere. */
export const DEFAULT_ZONE = "UTC";

/** The steps of the API. */
export const STEPS = ["15m", "hour", "day", "week", "month"] as const;
export type Step = (typeof STEPS)[number];

interface NamedRange {
  readonly title: string;
  /** Minutes back from now, up to the end of this quarter of an hour. */
  readonly minutes?: number;
  /** Days with today. */
  readonly days?: number;
  /** Days that end so many days before today. */
  readonly ended?: number;
  /** Months back from this one: 0 is this month. */
  readonly month?: number;
}

/** Ranges that have a name. */
export const RANGES = {
  "1h": { title: "Last hour", minutes: 60 },
  "6h": { title: "Last 6 hours", minutes: 360 },
  "24h": { title: "Last 24 hours", minutes: 1440 },
  today: { title: "Today", days: 1 },
  yesterday: { title: "Yesterday", days: 1, ended: 1 },
  "7d": { title: "Last 7 days", days: 7 },
  "30d": { title: "Last 30 days", days: 30 },
  "90d": { title: "Last 90 days", days: 90 },
  month: { title: "This month", month: 0 },
  last_month: { title: "Last month", month: 1 },
} as const satisfies Record<string, NamedRange>;
export type RangeName = keyof typeof RANGES;
export const RANGE_NAMES = Object.keys(RANGES) as RangeName[];

export interface Range {
  /** As the API takes it: RFC 3339, or a day of the zone. */
  readonly from: string;
  readonly to: string;
  readonly tz: string;
  /** The name in the address; null for a range of its own. */
  readonly name: RangeName | null;
  readonly title: string;
  /** About how long it is, hours: what chooses the step. */
  readonly hours: number;
}

const QUARTER_MS = 900_000;
const DAY_MS = 86_400_000;

/** The day of a zone at an instant, as YYYY-MM-DD. */
export function dayIn(tz: string, unix_ms: number): string {
  return new Intl.DateTimeFormat("en-CA", { timeZone: tz, dateStyle: "short" }).format(unix_ms);
}

function addDays(day: string, days: number): string {
  return new Date(Date.parse(day) + days * DAY_MS).toISOString().slice(0, 10);
}

function addMonths(day: string, months: number): string {
  const date = new Date(`${day.slice(0, 7)}-01`);
  date.setUTCMonth(date.getUTCMonth() + months);
  return date.toISOString().slice(0, 10);
}

function isZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone !== "";
  } catch {
    return false; // the constructor throws for zones it does not know
  }
}

/** The zone in the address; UTC when it names none that there is. */
export function zoneOf(params: URLSearchParams): string {
  const name = params.get("tz") ?? DEFAULT_ZONE;
  return isZone(name) ? name : DEFAULT_ZONE;
}

function hoursBetween(from: string, to: string): number {
  return (Date.parse(to) - Date.parse(from)) / 3_600_000;
}

/** The range in the address. */
export function rangeOf(params: URLSearchParams, now_ms: number): Range {
  const tz = zoneOf(params);
  const [from, to] = [params.get("from"), params.get("to")];
  if (from !== null && to !== null && hoursBetween(from, to) > 0) {
    const title = `${showEnd(from)} to ${showEnd(to)}`;
    return { from, to, tz, name: null, title, hours: hoursBetween(from, to) };
  }
  const asked = params.get("range");
  const name = RANGE_NAMES.find((known) => known === asked) ?? DEFAULT_RANGE;
  const range: NamedRange = RANGES[name];
  const common = { tz, name, title: range.title };
  if (range.minutes !== undefined) {
    const end_ms = Math.ceil(now_ms / QUARTER_MS) * QUARTER_MS;
    const start_ms = end_ms - Math.ceil((range.minutes * 60_000) / QUARTER_MS) * QUARTER_MS;
    return {
      ...common,
      from: new Date(start_ms).toISOString(),
      to: new Date(end_ms).toISOString(),
      hours: range.minutes / 60,
    };
  }
  const today = dayIn(tz, now_ms);
  const [first, last] =
    range.days === undefined
      ? [addMonths(today, -(range.month ?? 0)), addMonths(today, 1 - (range.month ?? 0))]
      : [
          addDays(today, 1 - range.days - (range.ended ?? 0)),
          addDays(today, 1 - (range.ended ?? 0)),
        ];
  return { ...common, from: first, to: last, hours: hoursBetween(first, last) };
}

function showEnd(text: string): string {
  return text.length <= 10
    ? text
    : text.replace("T", " ").replace(/(:\d\d)(?::00(?:\.0+)?)?Z$/, "$1 UTC");
}

/** The step that gives a chart of the range between a few and about a hundred points. */
export function stepOf({ hours }: Range): Step {
  if (hours <= 26) return "15m";
  if (hours <= 24 * 8) return "hour";
  return hours <= 24 * 200 ? "day" : hours <= 24 * 800 ? "week" : "month";
}

const STEP_MS: Readonly<Partial<Record<Step, number>>> = { "15m": QUARTER_MS, hour: 3_600_000 };
/** Steps that a chart draws; a question with more has a longer step. */
const MAX_STEPS = 1_000;

/** The first instant of a day in a zone, Unix ms. */
export function startOfDay(day: string, tz: string): number {
  const midnight_ms = Date.parse(`${day}T00:00:00Z`);
  // Two looks: the offset at the first guess may be the one on the other side of a change of clocks.
  const first_ms = midnight_ms - offsetAt(midnight_ms, tz);
  return midnight_ms - offsetAt(first_ms, tz);
}

/** What the clocks of a zone are ahead of UTC at an instant, ms. */
function offsetAt(unix_ms: number, tz: string): number {
  const parts = formatOf(tz, "offset", {
    hourCycle: "h23",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
  }).formatToParts(unix_ms);
  const part = (type: string) => parts.find((item) => item.type === type)?.value ?? "00";
  const local = `${part("year")}-${part("month")}-${part("day")}T${part("hour")}:${part("minute")}:${part("second")}Z`;
  return Date.parse(local) - Math.floor(unix_ms / 1000) * 1000;
}

/** An end of a range as Unix ms. */
export function endToMs(text: string, tz: string): number {
  return text.length <= 10 ? startOfDay(text, tz) : Date.parse(text);
}

/**
 * Instants of all steps of a range, ms, those given among them: a step without calls has no row, and a
 * chart must not hide the gap. Weeks and months are only those given.
 */
export function fillSteps(times_ms: readonly number[], step: Step, range: Range): number[] {
  const all = new Set(times_ms);
  const { from, to, tz } = range;
  const [from_ms, to_ms] = [endToMs(from, tz), endToMs(to, tz)];
  const step_ms = STEP_MS[step];
  if (step_ms !== undefined) {
    // Hours of some zones begin at half past: the rows that there are tell.
    const phase_ms = (times_ms[0] ?? from_ms) % step_ms;
    const first_ms = Math.ceil((from_ms - phase_ms) / step_ms) * step_ms + phase_ms;
    for (let at = first_ms; at < to_ms && all.size < MAX_STEPS; at += step_ms) all.add(at);
  } else if (step === "day") {
    const last = dayIn(tz, to_ms - 1);
    let day = dayIn(tz, from_ms);
    while (day <= last && all.size < MAX_STEPS) {
      all.add(Math.max(startOfDay(day, tz), 0));
      day = addDays(day, 1);
    }
  }
  return [...all].sort((a, b) => a - b);
}

const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(tz: string, kind: string, options: Intl.DateTimeFormatOptions) {
  const key = `${tz}\n${kind}`;
  const format = formats.get(key) ?? new Intl.DateTimeFormat("en-GB", { timeZone: tz, ...options });
  formats.set(key, format);
  return format;
}

/** An instant with its day, in the zone: "21 Nov 2026, 15:04:05". */
export function showInstant(unix_ms: number, tz: string): string {
  const options = { dateStyle: "medium", timeStyle: "medium" } as const;
  return formatOf(tz, "instant", options).format(unix_ms);
}

/** A step, as short as tells it apart: "14:15", "21 Nov", "Nov 2026". */
export function showStep(unix_ms: number, step: Step, tz: string): string {
  if (step === "15m" || step === "hour") {
    const options = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" } as const;
    return formatOf(tz, "minute", options).format(unix_ms);
  }
  const options =
    step === "month"
      ? ({ month: "short", year: "numeric" } as const)
      : ({ weekday: "short", day: "numeric", month: "short", year: "numeric" } as const);
  return formatOf(tz, step, options).format(unix_ms);
}

/** A label of a time axis. */
export function showTick(unix_ms: number, step: Step, tz: string): string {
  if (step === "15m" || step === "hour") {
    const time = formatOf(tz, "tick", { hour: "2-digit", minute: "2-digit" }).format(unix_ms);
    if (time !== "00:00") return time;
  }
  if (step === "month") return showStep(unix_ms, step, tz);
  return formatOf(tz, "day-tick", { day: "numeric", month: "short" }).format(unix_ms);
}

/** How long ago, for people: "12 s ago". */
export function showAge(unix_ms: number, now_ms: number): string {
  const seconds = Math.max(0, Math.round((now_ms - unix_ms) / 1000));
  if (seconds < 90) return `${seconds} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  return seconds < 129_600
    ? `${Math.round(seconds / 3600)} h ago`
    : `${Math.round(seconds / 86_400)} d ago`;
}
