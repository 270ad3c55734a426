/**
 * `/`: the built-in page and its files, from this server alone.
 *
 * Invariant: the document runs scripts of this server only, and no text of the ledger becomes HTML.
 */
import { notFound } from "../answer.ts";
import { type PageFiles, readPageFiles } from "../page-files.ts";
import { type ApiRequest, defineRoute, type Route } from "../route.ts";

/** How long a file that never changes may be kept, seconds: a year. */
const IMMUTABLE_S = 31_536_000;

function makePolicy(script_hash: string): string {
  return [
    "default-src 'none'",
    `script-src 'self' '${script_hash}'`,
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}

function acceptsGzip({ raw }: ApiRequest): boolean {
  return /\bgzip\b(?!\s*;\s*q=0(?:\.0+)?(?:,|\s|$))/.test(raw.headers.get("accept-encoding") ?? "");
}

async function answerFile(name: string, { files }: PageFiles, request: ApiRequest) {
  const file = files.get(name);
  if (file === undefined) throw notFound();
  const is_zipped = acceptsGzip(request);
  const bytes = is_zipped ? await file.gzip() : file.bytes;
  return new Response(bytes as Uint8Array<ArrayBuffer>, {
    headers: {
      "content-type": file.media_type,
      "content-length": String(bytes.length),
      "cache-control": `public, max-age=${IMMUTABLE_S}, immutable`,
      vary: "accept-encoding",
      ...(is_zipped ? { "content-encoding": "gzip" } : {}),
    },
  });
}

/** The routes of the page; its files are read when it is first asked for. */
export function makePageRoutes(): Route[] {
  let page: PageFiles | undefined;
  const readPage = () => (page ??= readPageFiles());
  const common = { tag: "Page", of: "installation", action: null, answer: null } as const;
  const path_parameters = {
    version: "Hash of the files, as the page has it",
    file: "Name of the file",
  };
  const readVersion = ({ path }: ApiRequest) => {
    const files = readPage();
    if (path["version"] !== files.version) throw notFound();
    return files;
  };
  return [
    defineRoute({
      ...common,
      method: "GET",
      path: "/",
      summary: "The built-in page",
      // What is looked at stands in the address, and is read by the page.
      ignores_query: true,
      media_types: ["text/html"],
      examples: [{ summary: "The page in a browser", path: "/" }],
      handle: async () => {
        const { html, script_hash } = readPage();
        return new Response(html, {
          headers: {
            "content-type": "text/html; charset=utf-8",
            "content-security-policy": makePolicy(script_hash),
            "cache-control": "no-cache",
            "referrer-policy": "no-referrer",
          },
        });
      },
    }),
    defineRoute({
      ...common,
      method: "GET",
      is_asset: true,
      path: "/page/{version}/{file}",
      summary: "A file of the page",
      path_parameters,
      media_types: ["text/javascript", "text/css", "image/svg+xml"],
      errors: [404],
      handle: async (request) =>
        answerFile(request.path["file"] ?? "", readVersion(request), request),
    }),
    defineRoute({
      ...common,
      method: "GET",
      is_asset: true,
      path: "/page/{version}/{folder}/{file}",
      summary: "A file of a folder of the page",
      path_parameters: { ...path_parameters, folder: "Name of the folder" },
      media_types: ["text/javascript"],
      errors: [404],
      handle: async (request) => {
        const { folder = "", file = "" } = request.path;
        return answerFile(`${folder}/${file}`, readVersion(request), request);
      },
    }),
  ];
}
