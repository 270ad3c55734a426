/** `/v1/erasures`: erase a user from a project, follow it, and fetch the receipt. */
import { describeJob, ErasureAnswer, ErasureRequest, type Job } from "../../schemas/jobs.ts";
import { PermanentError } from "../../schemas/errors.ts";
import { requestErasure } from "../../rights/erase.ts";
import { ApiError } from "../errors.ts";
import { type ApiRequest, defineRoute, type Route } from "../route.ts";
import { cancelJob, findJob } from "./jobs.ts";

const TAG = "Data rights";
const ERASURE_ID = { erasure_id: "Id of the erasure, which is that of its job" };

/** Begins an erasure. The id of the user goes nowhere but into a keyed hash. */
export async function beginErasure(
  request: Pick<
    ApiRequest,
    "services" | "project_id" | "organization_id" | "actor" | "now_ms" | "audit"
  >,
  body: ErasureRequest,
): Promise<ErasureAnswer> {
  const { services, project_id, organization_id, actor, now_ms } = request;
  const scope = { project_id, organization_id, requested_by: actor.name };
  const tools = { engine: services.engine, state: services.state, now_ms: () => now_ms };
  const job = await requestErasure(tools, scope, body).catch((error: unknown): never => {
    if (!(error instanceof PermanentError) || error.code !== "too_many_erasures") throw error;
    throw new ApiError(409, "conflict", error.message);
  });
  const subject = services.state.find("erasure", job.job_id)?.body.subject;
  await request.audit({
    object_kind: "user",
    object_id: job.job_id,
    detail: {
      subject_hash: subject?.hash,
      traces: body.traces ?? false,
      late_days: body.late_days ?? null,
    },
  });
  return describeErasure(job, now_ms);
}

function describeErasure(job: Job, now_ms: number): ErasureAnswer {
  const receipt = job.work.kind === "erasure" ? job.work.receipt : null;
  return { job: describeJob(job, now_ms), receipt };
}

export const ERASURE_ROUTES: readonly Route[] = [
  defineRoute({
    method: "POST",
    path: "/v1/erasures",
    summary: "Erase a user from a project",
    description:
      "Removes every span with this user, by its own column, by what was decided of the call or by an " +
      "attribute, other reports of the same calls, and the user's sums; with `traces` also the rest of " +
      "the traces. Sums of the project are computed again without them, but where only sums are left " +
      "they stay: they name nobody. Exports of the project are removed. What still comes of the user is " +
      "removed for `late_days`.",
    tag: TAG,
    action: "data:erase",
    of: "project",
    body: ErasureRequest,
    status: 202,
    answer: ErasureAnswer,
    errors: [409],
    handle: async (request) => beginErasure(request, request.body),
  }),
  defineRoute({
    method: "GET",
    path: "/v1/erasures/{erasure_id}",
    summary: "How far an erasure is, and its receipt",
    tag: TAG,
    action: "data:erase",
    of: "project",
    path_parameters: ERASURE_ID,
    answer: ErasureAnswer,
    handle: async (request) => {
      const job = findJob(request, request.path["erasure_id"], "erasure");
      return describeErasure(job, request.now_ms);
    },
  }),
  defineRoute({
    method: "DELETE",
    path: "/v1/erasures/{erasure_id}",
    summary: "Call off an erasure that has removed nothing yet",
    tag: TAG,
    action: "data:erase",
    of: "project",
    path_parameters: ERASURE_ID,
    answer: ErasureAnswer,
    errors: [409],
    handle: async (request) => {
      const job = findJob(request, request.path["erasure_id"], "erasure");
      return { job: await cancelJob(request, job), receipt: null };
    },
  }),
];
