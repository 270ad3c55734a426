/** `/v1/jobs`: long work on the data of a project, how far it is, and how to end it. */
import type { z } from "zod";
import {
  describeJob,
  type Job,
  JobAnswer,
  type JobKind,
  JobsAnswer,
  JobsQuery,
} from "../../schemas/jobs.ts";
import { isCancelable } from "../../rights/jobs.ts";
import { formatInstant } from "../../rights/job.ts";
import { notFound } from "../answer.ts";
import { ApiError } from "../errors.ts";
import { type ApiRequest, defineRoute, type Route } from "../route.ts";

const DEFAULT_LIMIT = 50;

/** The job of a project; 404 when it has no such job, also when another project has. */
export function findJob(
  { services, project_id }: Pick<ApiRequest, "services" | "project_id">,
  job_id: string | undefined,
  kind?: JobKind,
): Job {
  const job = services.state.find("job", job_id ?? "")?.body;
  if (job === undefined || job.project_id !== project_id) throw notFound();
  if (kind !== undefined && job.work.kind !== kind) throw notFound();
  return job;
}

/** Jobs of a project, the newest first. */
export function listJobs(
  { services, project_id, now_ms }: Pick<ApiRequest, "services" | "project_id" | "now_ms">,
  { kind, limit = DEFAULT_LIMIT, cursor }: JobsQuery,
): z.infer<typeof JobsAnswer> {
  const placeOf = (job: Job) => `${job.created_at} ${job.job_id}`;
  const jobs = services.state
    .list("job", { project_id })
    .map(({ body }) => body)
    .filter((job) => kind === undefined || job.work.kind === kind)
    .toSorted((a, b) => (placeOf(a) < placeOf(b) ? 1 : -1))
    .filter((job) => cursor === undefined || placeOf(job) < cursor);
  const page = jobs.slice(0, limit);
  const last = page.at(-1);
  return {
    jobs: page.map((job) => describeJob(job, now_ms)),
    next_cursor: last === undefined || jobs.length <= limit ? null : placeOf(last),
  };
}

/** Ends a job that has removed nothing yet; 409 when it is over or too far on. */
export async function cancelJob(
  request: Pick<ApiRequest, "services" | "project_id" | "now_ms" | "actor" | "audit">,
  job: Job,
): Promise<z.infer<typeof JobAnswer>> {
  if (!isCancelable(job)) {
    const message = "The job is over, or has begun to remove data and goes on to its end.";
    throw new ApiError(409, "not_cancelable", message);
  }
  const { services, project_id, now_ms, actor } = request;
  await services.state.put(
    "cancellation",
    job.job_id,
    { organization_id: job.organization_id, project_id },
    {
      job_id: job.job_id,
      project_id,
      requested_at: formatInstant(now_ms),
      requested_by: actor.name,
    },
  );
  await request.audit({ object_kind: "job", object_id: job.job_id, detail: { canceled: true } });
  return describeJob(job, now_ms);
}

const TAG = "Data rights";
const JOB_ID = { job_id: "Id of the job" };

export const JOB_ROUTES: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/jobs",
    summary: "Exports, erasures and retentions of a project, the newest first",
    tag: TAG,
    action: "settings:read",
    of: "project",
    query: JobsQuery,
    answer: JobsAnswer,
    handle: async (request) => listJobs(request, request.query),
  }),
  defineRoute({
    method: "GET",
    path: "/v1/jobs/{job_id}",
    summary: "How far a job is",
    tag: TAG,
    action: "settings:read",
    of: "project",
    path_parameters: JOB_ID,
    answer: JobAnswer,
    handle: async (request) => {
      return describeJob(findJob(request, request.path["job_id"]), request.now_ms);
    },
  }),
];
