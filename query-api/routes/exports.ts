/** `/v1/exports`: everything of a project as files. */
import { listExportFiles, requestExport } from "../../rights/export.ts";
import type { ExportFiles } from "../../rights/export-files.ts";
import { saveJob } from "../../rights/job.ts";
import { PermanentError } from "../../schemas/errors.ts";
import { describeJob, ExportAnswer, FINAL_STATES, type Job } from "../../schemas/jobs.ts";
import { notFound } from "../answer.ts";
import { ApiError } from "../errors.ts";
import { type ApiRequest, defineRoute, type Route } from "../route.ts";
import { cancelJob, findJob } from "./jobs.ts";

const TAG = "Data rights";
const EXPORT_ID = { export_id: "Id of the export, which is that of its job" };

/** An export as it is told, with its files when they are there. */
export async function describeExport(
  job: Job,
  exports: ExportFiles | undefined,
  now_ms: number,
): Promise<ExportAnswer> {
  const { work } = job;
  const bytes = work.kind === "export" ? work.bytes : 0;
  const expires_at = work.kind === "export" ? work.expires_at : null;
  const is_there = work.kind === "export" && job.state === "done" && !work.is_removed;
  const files =
    is_there && exports !== undefined ? await listExportFiles(exports, job.job_id) : null;
  return { job: describeJob(job, now_ms), files: [...(files ?? [])], bytes, expires_at };
}

/** Begins an export; 409 when the project has too many. */
export async function beginExport(
  request: Pick<
    ApiRequest,
    "services" | "project_id" | "organization_id" | "actor" | "now_ms" | "audit"
  >,
): Promise<ExportAnswer> {
  const { services, project_id, organization_id, actor, now_ms } = request;
  try {
    const tools = { state: services.state, now_ms: () => now_ms };
    const job = await requestExport(tools, { project_id, organization_id }, actor.name);
    await request.audit({ object_kind: "export", object_id: job.job_id });
    return await describeExport(job, services.exports, now_ms);
  } catch (error) {
    if (!(error instanceof PermanentError) || error.code !== "too_many_exports") throw error;
    throw new ApiError(409, "conflict", error.message);
  }
}

/** Sends a file of a finished export; its name is one of the manifest. */
export async function sendExportFile(
  request: Pick<ApiRequest, "services" | "project_id" | "audit">,
  job: Job,
  name: string,
): Promise<Response> {
  const { exports } = request.services;
  if (job.work.kind !== "export" || job.state !== "done" || job.work.is_removed) throw notFound();
  const file = (await exports?.open(job.job_id, name)) ?? null;
  if (file === null) throw notFound();
  await request.audit({ object_kind: "export", object_id: job.job_id, detail: { file: name } });
  return new Response(file.stream, {
    headers: {
      "content-type": name.endsWith(".gz") ? "application/gzip" : "application/json",
      "content-length": String(file.bytes),
      "content-disposition": `attachment; filename="${name}"`,
    },
  });
}

/** Removes the files of an export, or ends one that is being made. */
export async function removeExport(
  request: Pick<ApiRequest, "services" | "project_id" | "now_ms" | "actor" | "audit">,
  job: Job,
): Promise<ExportAnswer> {
  const { services, now_ms } = request;
  if (!FINAL_STATES.has(job.state)) await cancelJob(request, job);
  else if (job.work.kind === "export") {
    await services.exports?.remove(job.job_id);
    await saveJob(services.state, { ...job, work: { ...job.work, is_removed: true } });
    await request.audit({
      object_kind: "export",
      object_id: job.job_id,
      detail: { removed: true },
    });
  }
  return describeExport(findJob(request, job.job_id, "export"), services.exports, now_ms);
}

export const EXPORT_ROUTES: readonly Route[] = [
  defineRoute({
    method: "POST",
    path: "/v1/exports",
    summary: "Export everything of a project",
    tag: TAG,
    action: "data:export",
    of: "project",
    status: 202,
    answer: ExportAnswer,
    errors: [409],
    handle: async (request) => beginExport(request),
  }),
  defineRoute({
    method: "GET",
    path: "/v1/exports/{export_id}",
    summary: "How far an export is, and its files",
    tag: TAG,
    action: "data:export",
    of: "project",
    path_parameters: EXPORT_ID,
    answer: ExportAnswer,
    handle: async (request) => {
      const job = findJob(request, request.path["export_id"], "export");
      return describeExport(job, request.services.exports, request.now_ms);
    },
  }),
  defineRoute({
    method: "GET",
    path: "/v1/exports/{export_id}/files/{name}",
    summary: "A file of an export: lines of JSON, compressed with gzip, or the manifest",
    tag: TAG,
    action: "data:export",
    of: "project",
    path_parameters: { ...EXPORT_ID, name: "As the manifest names it" },
    answer: null,
    media_types: ["application/gzip", "application/json"],
    handle: async (request) => {
      const job = findJob(request, request.path["export_id"], "export");
      return sendExportFile(request, job, request.path["name"] ?? "");
    },
  }),
  defineRoute({
    method: "DELETE",
    path: "/v1/exports/{export_id}",
    summary: "Remove the files of an export, or end one that is being made",
    tag: TAG,
    action: "data:export",
    of: "project",
    path_parameters: EXPORT_ID,
    answer: ExportAnswer,
    errors: [409],
    handle: async (request) => {
      return removeExport(request, findJob(request, request.path["export_id"], "export"));
    },
  }),
];
