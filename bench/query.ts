/**
 * The query bench: the real program over the data of `query-data.ts`, asked over HTTP what a person at a
 * dashboard asks, one question after the other and sixteen at once, and the answers checked against sums
 * over the spans.
 *
 * Each request is one that was not asked before (another range, another trace), so that nothing comes
 * from what the program keeps; `again` is the same request each time.
 *
 * Not measured: inserts beside the questions, a cold page cache, many API processes.
 */
import { fork } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type BenchOptions, type BenchResult, summarizeLatencies } from "./measure.ts";
import { type Program, readCpu, readMemory, startProgram } from "./processes.ts";
import { DAY_S, LAST_DAY_END_S, PROJECTS } from "./query-data.ts";
import { DASHBOARD_DAYS, type Filled, type FillPlan, type ProjectTruth } from "./query-plan.ts";

const SIZES = {
  full: { spans: 5_000_000, days: 90, alone: 40, at_once: 160, traces: 200 },
  small: { spans: 60_000, days: 3, alone: 2, at_once: 16, traces: 20 },
};
/** The largest project, the one in the middle, and some between for those that ask at once. */
const LARGEST = "p000";
const MIDDLE = "p500";
const ASKED = [LARGEST, "p001", "p010", "p100", "p250", MIDDLE, "p750", "p999"];
/** Requests under way at once. */
const AT_ONCE = 16;
/** A row takes no longer than this, ms, once it has the least number of requests: a machine may be busy. */
const MAX_ROW_MS = 15_000;
const MIN_REQUESTS = 8;
/** Days by which the end of a range goes back, one after the other: no request comes twice. */
const SHIFTS = 50;

const SETTINGS = {
  SPANLEDGER_LOG_LEVEL: "warn",
  // The bench is one key, and no question of it is refused for being many.
  SPANLEDGER_API_REQUESTS_PER_SECOND: "100000",
  SPANLEDGER_API_QUERIES_WAITING: "1000",
};

interface Ask {
  readonly path: string;
  /** Sent by POST. */
  readonly body?: unknown;
}

interface Question {
  readonly name: string;
  /** What it may take at the 95th percentile, ms: alone, and sixteen at once. */
  readonly target_ms: readonly [alone: number, at_once: number] | null;
  /** The request of a number; all differ. */
  readonly ask: (project: ProjectTruth, number: number) => Ask;
}

/** A range of days that ends so many before the last; `hours` moves both ends off the day. */
function range(number: number, hours = 0): string {
  const end_s = LAST_DAY_END_S - (number % SHIFTS) * DAY_S - hours * 3600;
  const instant = (time_s: number) => new Date(time_s * 1000).toISOString();
  return `from=${instant(end_s - DASHBOARD_DAYS * DAY_S)}&to=${instant(end_s)}`;
}

const of = ({ project_id }: ProjectTruth) => `project=${project_id}`;

const QUESTIONS: readonly Question[] = [
  {
    name: "dashboard",
    target_ms: [25, 150],
    ask: (project, n) => ({ path: `/v1/analytics/dashboard?${of(project)}&${range(n)}` }),
  },
  {
    name: "dashboard, Berlin",
    target_ms: [25, 150],
    ask: (project, n) => ({
      path: `/v1/analytics/dashboard?${of(project)}&${range(n, 2)}&tz=Europe/Berlin`,
    }),
  },
  {
    name: "dashboard, odd minutes",
    target_ms: null,
    ask: (project, n) => ({
      path: `/v1/analytics/dashboard?${of(project)}&${range(n, 1 / 7)}`,
    }),
  },
  {
    name: "costs",
    target_ms: [100, 100],
    ask: (project, n) => ({ path: `/v1/analytics/costs?${of(project)}&${range(n)}` }),
  },
  {
    name: "usage by model and day",
    target_ms: [25, 150],
    ask: (project, n) => ({
      path: `/v1/usage?${of(project)}&${range(n)}&group_by=model&interval=day&measures=calls,cost_usd`,
    }),
  },
  {
    name: "usage, top 10 users",
    target_ms: [25, 150],
    ask: (project, n) => ({
      path: `/v1/usage?${of(project)}&${range(n)}&group_by=user_id&top=10&measures=calls,cost_usd`,
    }),
  },
  {
    name: "providers",
    target_ms: [100, 100],
    ask: (project, n) => ({ path: `/v1/analytics/providers?${of(project)}&${range(n)}` }),
  },
  {
    name: "roi-calculator",
    target_ms: [50, 50],
    ask: (project, n) => {
      const [from, to] = range(n)
        .split("&")
        .map((text) => text.replace(/^\w+=/, ""));
      const path = `/v1/analytics/roi-calculator?${of(project)}`;
      return {
        path,
        body: { measured: { from, to }, minutes_saved_per_task: "4", hourly_cost_usd: "60" },
      };
    },
  },
  {
    name: "trace",
    target_ms: [40, 150],
    ask: (project, n) => ({
      path: `/v1/traces/${project.trace_ids[n % project.trace_ids.length]}?${of(project)}`,
    }),
  },
  {
    name: "dashboard, again",
    target_ms: [25, 150],
    ask: (project) => ({ path: `/v1/analytics/dashboard?${of(project)}&${range(0)}` }),
  },
];

type Row = Readonly<Record<string, string | number>>;

/** Runs the bench. Throws when an answer is not what the spans say, or a route is refused. */
export async function runQuery(options: BenchOptions): Promise<BenchResult> {
  const size = SIZES[options.small ? "small" : "full"];
  const spans = options.spans ?? size.spans;
  const directory = join(options.directory, "data");
  options.tell(`query: making ${spans} spans`);
  const started_ms = performance.now();
  const filled = await startFill({
    directory,
    spans,
    days: size.days,
    projects: ASKED,
    traces: size.traces,
  });
  const fill_s = Math.round((performance.now() - started_ms) / 1000);
  const program = await startProgram("serve", directory, SETTINGS);
  try {
    const started_mb = memoryOf(program).rss_mb;
    await checkAnswers(program, filled.truth);
    const rows: Row[] = [];
    // The smallest have nothing when there are few spans.
    const projects = filled.truth.filter(({ trace_ids }) => trace_ids.length > 0);
    for (const question of QUESTIONS) {
      if (!(await isThere(program, question, filled.truth))) {
        options.tell(`query: there is no route for ${question.name}`);
        continue;
      }
      options.tell(`query: ${question.name}`);
      for (const project_id of [MIDDLE, LARGEST]) {
        const project = projects.filter((one) => one.project_id === project_id);
        if (project.length === 0)
          throw new Error(`${project_id} has no traces: ask for more spans`);
        rows.push(await measureQuestion(program, question, project, size.alone, 1));
      }
      rows.push(await measureQuestion(program, question, projects, size.at_once, AT_ONCE));
    }
    const { peak_mb } = memoryOf(program);
    const { truth, clickhouse, ...facts } = filled;
    return {
      name: "query",
      clickhouse,
      facts: {
        spans,
        projects: PROJECTS,
        days: size.days,
        calls_of_largest: truth.find(({ project_id }) => project_id === LARGEST)?.all_calls ?? 0,
        calls_of_middle: truth.find(({ project_id }) => project_id === MIDDLE)?.all_calls ?? 0,
        ...facts,
        fill_s,
        program_started_mb: started_mb,
        program_peak_mb: peak_mb,
      },
      groups: [],
      tables: [{ name: "questions, times of the client", rows }],
    };
  } finally {
    await program.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Makes the data in a process of its own. */
export function startFill(plan: FillPlan): Promise<Filled> {
  const file = fileURLToPath(new URL("./query-fill.ts", import.meta.url));
  return new Promise((resolve, reject) => {
    let filled: Filled | null = null;
    const child = fork(file, [JSON.stringify(plan)], { stdio: ["ignore", 2, 2, "ipc"] });
    child.on("message", (message) => (filled = message as Filled));
    child.on("error", reject);
    child.on("exit", () => {
      if (filled === null) reject(new Error("the data could not be made"));
      else resolve(filled);
    });
  });
}

function memoryOf({ pid }: Program): { rss_mb: number; peak_mb: number } {
  const { rss_bytes, peak_rss_bytes } = readMemory(pid);
  return { rss_mb: Math.round(rss_bytes / 1e6), peak_mb: Math.round(peak_rss_bytes / 1e6) };
}

async function send(
  program: Program,
  { path, body }: Ask,
): Promise<{ status: number; text: string }> {
  const post = {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "content-type": "application/json" },
  };
  const url = `http://${program.addresses["http"]}${path}`;
  const answer = await fetch(url, body === undefined ? {} : post);
  return { status: answer.status, text: await answer.text() };
}

/** The bench goes on without what this version of the program does not have. */
async function isThere(
  program: Program,
  question: Question,
  truth: readonly ProjectTruth[],
): Promise<boolean> {
  const { path, body } = question.ask(truth[0] as ProjectTruth, 0);
  const { status, text } = await send(program, { path, body });
  return !(status === 404 && text.includes("There is no such route"));
}

interface Sums {
  readonly totals: { readonly calls: number; readonly cost_usd: string };
}

async function checkAnswers(program: Program, truth: readonly ProjectTruth[]): Promise<void> {
  const paths = (project: ProjectTruth) => [
    `/v1/usage?${of(project)}&${range(0)}`,
    `/v1/usage?${of(project)}&${range(0)}&group_by=user_id&limit=1`,
    `/v1/usage?${of(project)}&${range(0)}&group_by=model&interval=15m&limit=1`,
    `/v1/analytics/dashboard?${of(project)}&${range(0)}`,
  ];
  for (const project of truth) {
    for (const path of paths(project)) {
      const { status, text } = await send(program, { path });
      if (status === 404 && text.includes("There is no such route")) continue;
      if (status !== 200) throw new Error(`${path}: ${status} ${text.slice(0, 300)}`);
      const { totals } = JSON.parse(text) as Sums;
      const is_cost = samePrice(totals.cost_usd, project.cost_usd);
      if (totals.calls === project.calls && (is_cost || project.calls === 0)) continue;
      const expected = `${project.calls} calls for ${project.cost_usd}`;
      throw new Error(`${path}: ${totals.calls} calls for ${totals.cost_usd}, not ${expected}`);
    }
  }
}

/** Decimal texts that differ in zeros at the end at most. */
function samePrice(left: string | null, right: string): boolean {
  const bare = (text: string | null) => (text ?? "").replace(/\.?0+$/, "");
  return bare(left) === bare(right);
}

async function measureQuestion(
  program: Program,
  question: Question,
  projects: readonly ProjectTruth[],
  count: number,
  at_once: number,
): Promise<Row> {
  const latencies_ms: number[] = [];
  const deadline_ms = performance.now() + MAX_ROW_MS;
  let bytes = 0;
  let next = 0;
  const worker = async () => {
    while (next < count && (next < MIN_REQUESTS || performance.now() < deadline_ms)) {
      const number = next;
      next += 1;
      const project = projects[number % projects.length] as ProjectTruth;
      const ask = question.ask(project, Math.floor(number / projects.length) + at_once);
      const start_ms = performance.now();
      const { status, text } = await send(program, ask);
      latencies_ms.push(performance.now() - start_ms);
      bytes += text.length;
      if (status !== 200) throw new Error(`${ask.path}: ${status} ${text.slice(0, 300)}`);
    }
  };
  const cpu_us = readCpu(program.pid);
  await Promise.all(Array.from({ length: at_once }, worker));
  const used_us = readCpu(program.pid) - cpu_us;
  const sorted = latencies_ms.toSorted((left, right) => left - right);
  const { p50, max } = summarizeLatencies(latencies_ms) ?? { p50: 0, max: 0 };
  const target = question.target_ms?.[at_once === 1 ? 0 : 1];
  return {
    question: question.name,
    project: at_once === 1 ? (projects[0]?.project_id ?? "") : `${projects.length} projects`,
    at_once,
    requests: sorted.length,
    p50_ms: p50,
    p95_ms: Number((sorted[Math.ceil(0.95 * sorted.length) - 1] ?? 0).toPrecision(4)),
    max_ms: max,
    target_ms: target ?? "",
    cpu_ms: Number((used_us / 1000 / sorted.length).toPrecision(3)),
    kb: Number((bytes / 1000 / sorted.length).toPrecision(3)),
  };
}
