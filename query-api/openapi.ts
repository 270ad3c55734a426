/**
 * The OpenAPI document, made from the table of routes and the schemas that the routes validate with.
 *
 * Invariant: a shape stands in the document once, as a component; what a route answers and takes refers
 * to it.
 */
import { z } from "zod";
import { LiveFrame } from "../schemas/api-live.ts";
import { TraceRow } from "../schemas/api-traces.ts";
import { MeasureValues } from "../schemas/api-usage.ts";
import { Coverage, ErrorAnswer } from "../schemas/api.ts";
import { ACTIONS } from "../schemas/access.ts";
import { CallRow } from "../schemas/call.ts";
import type { Route } from "./route.ts";

/** A JSON value of the document. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Shapes that many answers have a part of. */
const SHARED: Readonly<Record<string, z.ZodType>> = {
  Call: CallRow,
  CallCost: CallRow.shape.cost,
  CallTokens: CallRow.shape.tokens,
  CostByClass: MeasureValues.shape.cost.unwrap(),
  Coverage,
  Error: ErrorAnswer,
  Latency: MeasureValues.shape.duration.unwrap(),
  LiveFrame,
  Measures: MeasureValues,
  TokensByClass: MeasureValues.shape.tokens.unwrap(),
  Trace: TraceRow,
};

/** What the bodies of media types that are not JSON hold, where that can be said. */
const STREAMED: Readonly<Record<string, string>> = { "/v1/live": "LiveFrame" };

/** What each status of an error means. */
export const ERROR_STATUSES: Readonly<Record<number, string>> = {
  400: "A parameter or field is wrong or unknown; `details` names it",
  401: "No valid key",
  403: "The key, or the role of its member, does not allow it",
  404: "There is no such thing, or it is of another",
  405: "The route does not answer this method",
  406: "No media type that the request accepts",
  409: "It was changed in the meantime, or is in use",
  410: "It is gone",
  413: "The body is too large",
  415: "The body is not JSON",
  422: "It cannot be done as asked",
  429: "Too much at once; `Retry-After` says when to come again",
  500: "An error of the server; its log says more",
  502: "Another server did not take it",
  503: "The storage does not answer; come again",
  504: "The question takes too long; ask for a shorter range",
};

/** Statuses of errors that a route may answer with, by what it is. */
export function errorStatuses(route: Route): number[] {
  const statuses = new Set([403, 500, ...(route.errors ?? [])]);
  if (route.action !== null) for (const status of [400, 401, 429, 503]) statuses.add(status);
  if (route.action !== null && route.of !== "installation") statuses.add(404);
  if (route.action === "usage:read") statuses.add(504);
  if (route.body !== undefined) for (const status of [413, 415]) statuses.add(status);
  return [...statuses].toSorted((a, b) => a - b);
}

/** The name of an operation, such as `getUsage` or `deleteBudgetsByBudgetId`. */
export function operationId({ method, path }: Pick<Route, "method" | "path">): string {
  const words = path.split("/").filter((part) => part !== "" && part !== "v1");
  const name = words.map((part) => {
    const word = part.startsWith("{") ? `by_${part.slice(1, -1)}` : part;
    return word.replaceAll(/(?:^|[^a-z0-9]+)([a-z0-9])/gi, (_all, letter: string) =>
      letter.toUpperCase(),
    );
  });
  return `${method.toLowerCase()}${name.join("")}`;
}

/** The components of the shapes that routes answer and take: name by schema, and all of them. */
interface Components {
  readonly names: ReadonlyMap<z.ZodType, string>;
  readonly schemas: Readonly<Record<string, JsonObject>>;
}

function collectComponents(routes: readonly Route[]): Components {
  const answers = new Map<z.ZodType, string>();
  const bodies = new Map<z.ZodType, string>();
  for (const [name, schema] of Object.entries(SHARED)) answers.set(schema, name);
  for (const route of routes) {
    const id = operationId(route);
    const name = `${id[0]?.toUpperCase() ?? ""}${id.slice(1)}`;
    const { answer, body } = route;
    if (answer !== null && !answers.has(answer)) answers.set(answer, `${name}Answer`);
    if (body !== undefined && !bodies.has(body)) bodies.set(body, `${name}Body`);
    for (const [status, schema] of Object.entries(route.also ?? {})) {
      if (!answers.has(schema)) answers.set(schema, `${name}Answer${status}`);
    }
  }
  return {
    names: new Map([...answers, ...bodies]),
    schemas: { ...writeSchemas(answers, "output"), ...writeSchemas(bodies, "input") },
  };
}

function writeSchemas(
  schemas: ReadonlyMap<z.ZodType, string>,
  io: "input" | "output",
): Record<string, JsonObject> {
  const registry = z.registry<{ id: string }>();
  for (const [schema, id] of schemas) registry.add(schema, { id });
  const written = z.toJSONSchema(registry, {
    io,
    unrepresentable: "any",
    uri: (id) => `#/components/schemas/${id}`,
  });
  return Object.fromEntries(
    Object.entries(written.schemas).map(([id, schema]) => {
      const { $schema: _dialect, $id: _id, ...rest } = schema as Record<string, unknown>;
      return [id, rest];
    }),
  );
}

function refer(schema: z.ZodType, { names }: Components): JsonObject {
  return { $ref: `#/components/schemas/${names.get(schema) ?? ""}` };
}

function schemaOfParameter(schema: z.ZodType): { description?: string; json: JsonObject } {
  const { $schema: _dialect, ...written } = z.toJSONSchema(schema, {
    io: "input",
    unrepresentable: "any",
  });
  const { description, ...json } = written as { description?: string };
  return description === undefined ? { json } : { description, json };
}

const PROJECT_PARAMETER = {
  name: "project",
  in: "query",
  required: false,
  description: "The project, for keys of an organization; a key of a project has only its own",
  schema: { type: "string" },
};

/** Whether a route takes the parameter `project` beside its own. */
function takesProject(route: Route): boolean {
  const in_path = route.path.includes("{project_id}");
  const in_query = route.query !== undefined && "project" in route.query.shape;
  return route.action !== null && route.of === "project" && !in_path && !in_query;
}

/** Values of the path of the first example, by name of the parameter. */
function exampleValues(route: Route): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  const path = route.examples?.[0]?.path;
  if (path === undefined) return values;
  const url = new URL(path, "http://localhost");
  for (const [name, value] of url.searchParams) values.set(name, value);
  const given = url.pathname.split("/");
  for (const [index, part] of route.path.split("/").entries()) {
    const value = given[index];
    if (part.startsWith("{") && value !== undefined) {
      values.set(part.slice(1, -1), decodeURIComponent(value));
    }
  }
  return values;
}

/** Parameters whose name goes on with the key of a tag; a handler gets keys and values. */
export const TAG_PARAMETERS: ReadonlySet<string> = new Set(["tag", "not_tag"]);

function parameters(route: Route): JsonObject[] {
  const examples = exampleValues(route);
  const exampleOf = (name: string, is_list = false) => {
    const value = examples.get(name);
    return value === undefined ? {} : { example: is_list ? [value] : value };
  };
  const names = [...route.path.matchAll(/\{(\w+)\}/g)].map((match) => match[1] as string);
  const inPath = names.map((name) => ({
    name,
    in: "path",
    required: true,
    ...describe(route.path_parameters?.[name]),
    schema: { type: "string" },
    ...exampleOf(name),
  }));
  const inQuery = Object.entries(route.query?.shape ?? {}).map(([name, schema]) => {
    const is_tag = TAG_PARAMETERS.has(name);
    const { description, json } = schemaOfParameter(schema as z.ZodType);
    return {
      name: is_tag ? `${name}.<key>` : name,
      in: "query",
      required: !(schema as z.ZodType).safeParse(undefined).success,
      ...describe(description),
      schema: is_tag ? { type: "array", items: { type: "string" } } : json,
      ...exampleOf(name, json["type"] === "array"),
    };
  });
  return [...inPath, ...inQuery, ...(takesProject(route) ? [PROJECT_PARAMETER] : [])];
}

function describe(description: string | undefined): { description?: string } {
  return description === undefined ? {} : { description };
}

function contents(route: Route, components: Components): JsonObject {
  const streamed = STREAMED[route.path];
  const other =
    streamed === undefined ? {} : { schema: { $ref: `#/components/schemas/${streamed}` } };
  return {
    ...(route.answer === null
      ? {}
      : { "application/json": { schema: refer(route.answer, components) } }),
    ...Object.fromEntries((route.media_types ?? []).map((media_type) => [media_type, other])),
  };
}

function responses(route: Route, components: Components): JsonObject {
  const status = route.status ?? 200;
  const has_body = status !== 204;
  const answers: Record<string, JsonObject> = {
    [status]: { description: "OK", ...(has_body ? { content: contents(route, components) } : {}) },
  };
  for (const code of errorStatuses(route)) {
    answers[code] = { $ref: `#/components/responses/Error${code}` };
  }
  for (const [code, schema] of Object.entries(route.also ?? {})) {
    const content = { "application/json": { schema: refer(schema, components) } };
    answers[code] = { description: "Not OK", content };
  }
  return answers;
}

function requestBody(route: Route, components: Components): JsonObject {
  if (route.body === undefined) return {};
  const examples = (route.examples ?? []).flatMap(({ summary, body }, index) =>
    body === undefined ? [] : [[`example${index + 1}`, { summary, value: body }]],
  );
  const content = {
    schema: refer(route.body, components),
    ...(examples.length === 0 ? {} : { examples: Object.fromEntries(examples) as JsonObject }),
  };
  return { requestBody: { required: true, content: { "application/json": content } } };
}

/** What a route needs of the key, in words. */
export function describeRights({ action }: Pick<Route, "action">): string {
  if (action === null) return "Needs no key.";
  const { scope, role, description } = ACTIONS[action];
  const of_member = role === null ? "" : `; a key of a member also the role \`${role}\``;
  return `Needs the scope \`${scope}\`${of_member}. Action \`${action}\`: ${description}`;
}

function describeOperation(
  route: Route,
  components: Components,
  shared: SharedParameters,
): JsonObject {
  const description = [route.description, describeRights(route)];
  return {
    operationId: operationId(route),
    tags: [route.tag],
    summary: route.summary,
    description: description.filter((text) => text !== undefined).join("\n\n"),
    parameters: parameters(route).map((parameter) => shared.refer(parameter)),
    ...requestBody(route, components),
    responses: responses(route, components),
    security: securityOf(route),
  };
}

const SCHEMES = {
  bearer: { type: "http", scheme: "bearer" },
  header: { type: "apiKey", in: "header", name: "x-api-key" },
  basic: { type: "http", scheme: "basic", description: "The key as the password" },
} as const;

/** Any of the ways to send a key; none is needed on an installation without keys. */
function securityOf({ action }: Route): readonly JsonObject[] {
  if (action === null) return [];
  const scopes = [ACTIONS[action].scope];
  return [...Object.keys(SCHEMES).map((scheme) => ({ [scheme]: scopes })), {}];
}

/** Parameters that several routes have alike, by name, and what stands in their place. */
class SharedParameters {
  readonly components: Record<string, JsonObject> = {};
  readonly #names = new Map<string, string>();
  readonly #uses = new Map<string, number>();

  constructor(lists: Iterable<readonly JsonObject[]>) {
    for (const list of lists) {
      for (const parameter of list) {
        const text = JSON.stringify(parameter);
        this.#uses.set(text, (this.#uses.get(text) ?? 0) + 1);
      }
    }
  }

  refer(parameter: JsonObject): JsonObject {
    const text = JSON.stringify(parameter);
    if ((this.#uses.get(text) ?? 0) < 2) return parameter;
    let name = this.#names.get(text);
    if (name === undefined) {
      const wanted = String(parameter["name"]).replaceAll(/[^\w.-]/g, "");
      name = wanted;
      for (let number = 2; name in this.components; number += 1) name = `${wanted}${number}`;
      this.#names.set(text, name);
      this.components[name] = parameter;
    }
    return { $ref: `#/components/parameters/${name}` };
  }
}

/** The document of these routes for this version. */
export function makeOpenApi(routes: readonly Route[], version: string): JsonObject {
  const components = collectComponents(routes);
  const shared = new SharedParameters(routes.map((route) => parameters(route)));
  const paths: Record<string, Record<string, JsonObject>> = {};
  const codes = new Set(routes.flatMap((route) => errorStatuses(route)));
  for (const route of routes) {
    const path = (paths[route.path] ??= {});
    path[route.method.toLowerCase()] = describeOperation(route, components, shared);
  }
  const error = { "application/json": { schema: refer(ErrorAnswer, components) } };
  return {
    openapi: "3.1.0",
    info: {
      title: "Spanledger query API",
      version,
      description:
        "Usage and spend of LLM calls. Unknown parameters and fields are an error. Errors have one shape.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    tags: [...new Set(routes.map(({ tag }) => tag))].map((name) => ({ name })),
    paths,
    components: {
      schemas: components.schemas,
      parameters: shared.components,
      responses: Object.fromEntries(
        [...codes].map((code) => [
          `Error${code}`,
          { description: ERROR_STATUSES[code] ?? "Error", content: error },
        ]),
      ),
      securitySchemes: SCHEMES,
    },
  };
}
