/**
 * The reference of the API as people read it, taken from the OpenAPI document: operations under their
 * tags, fields in words. `/docs` shows it as a page, `docs/generate.ts` writes it as `docs/reference/api.md`.
 *
 * Invariant: nothing is said here that the document does not say.
 */
import type { JsonObject } from "./openapi.ts";

/** A field of a body or an answer; the name has the path, as `rows[].cost_usd`. */
export interface Field {
  readonly name: string;
  readonly type: string;
  readonly is_required: boolean;
  readonly description: string;
}

export interface Parameter {
  readonly name: string;
  readonly place: "path" | "query";
  readonly type: string;
  readonly is_required: boolean;
  readonly description: string;
}

export interface Operation {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly summary: string;
  /** Paragraphs. */
  readonly description: readonly string[];
  readonly parameters: readonly Parameter[];
  readonly body: readonly Field[] | null;
  readonly status: string;
  readonly media_types: readonly string[];
  readonly answer: readonly Field[];
  readonly errors: readonly { readonly status: string; readonly description: string }[];
}

export interface Reference {
  readonly version: string;
  readonly tags: readonly { readonly name: string; readonly operations: readonly Operation[] }[];
  /** Shapes that fields refer to by name. */
  readonly shapes: readonly {
    readonly name: string;
    readonly description: string;
    readonly fields: readonly Field[];
  }[];
}

/** How deep fields of fields are told; the shapes of answers are not deeper. */
const MAX_DEPTH = 6;

function object(value: unknown): JsonObject {
  return typeof value === "object" && value !== null ? (value as JsonObject) : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** Rows that differ in nothing but their name as one, when they follow each other: filters are many. */
export function mergeAlike<Row extends { readonly name: string }>(
  rows: readonly Row[],
): {
  readonly names: readonly string[];
  readonly row: Row;
}[] {
  const merged: { names: string[]; row: Row; text: string }[] = [];
  for (const row of rows) {
    const alike = JSON.stringify({ ...row, name: "" });
    const last = merged.at(-1);
    if (last?.text === alike) last.names.push(row.name);
    else merged.push({ names: [row.name], row, text: alike });
  }
  return merged;
}

/** Reads the document. */
export function readReference(document: JsonObject): Reference {
  return new Reader(document).read();
}

class Reader {
  readonly #document: JsonObject;
  readonly #components: JsonObject;
  /** Shapes that were referred to by name, in that order. */
  readonly #named = new Set<string>();

  constructor(document: JsonObject) {
    this.#document = document;
    this.#components = object(document["components"]);
  }

  read(): Reference {
    const operations = Object.entries(object(this.#document["paths"])).flatMap(([path, methods]) =>
      Object.entries(object(methods)).map(([method, operation]) => ({
        tag: text(list(object(operation)["tags"])[0]),
        operation: this.#readOperation(method.toUpperCase(), path, object(operation)),
      })),
    );
    const tags = list(this.#document["tags"]).map((tag) => {
      const name = text(object(tag)["name"]);
      const own = operations.filter((entry) => entry.tag === name);
      return { name, operations: own.map(({ operation }) => operation) };
    });
    return {
      version: text(object(this.#document["info"])["version"]),
      tags,
      shapes: this.#readShapes(),
    };
  }

  #readOperation(method: string, path: string, operation: JsonObject): Operation {
    const responses = Object.entries(object(operation["responses"]));
    const good = responses.find(([status]) => status.startsWith("2"));
    const content = object(object(good?.[1])["content"]);
    const body = object(object(operation["requestBody"])["content"]);
    const body_schema = object(body["application/json"])["schema"];
    return {
      id: text(operation["operationId"]),
      method,
      path,
      summary: text(operation["summary"]),
      description: text(operation["description"]).split("\n\n"),
      parameters: list(operation["parameters"]).map((one) => this.#readParameter(object(one))),
      body: body_schema === undefined ? null : this.#fieldsOf(this.#resolve(object(body_schema))),
      status: good?.[0] ?? "",
      media_types: Object.keys(content),
      answer: this.#fieldsOf(this.#resolve(object(object(Object.values(content)[0])["schema"]))),
      errors: responses
        .filter(([status]) => !status.startsWith("2"))
        .map(([status, response]) => ({
          status,
          description: text(this.#resolve(object(response))["description"]),
        })),
    };
  }

  #readParameter(given: JsonObject): Parameter {
    const parameter = this.#resolve(given);
    return {
      name: text(parameter["name"]),
      place: parameter["in"] === "path" ? "path" : "query",
      type: this.#typeOf(object(parameter["schema"])),
      is_required: parameter["required"] === true,
      description: text(parameter["description"]),
    };
  }

  /** What a reference leads to; anything else is itself. */
  #resolve(value: JsonObject): JsonObject {
    const [, kind = "", name = ""] = /^#\/components\/(\w+)\/(.+)$/.exec(text(value["$ref"])) ?? [];
    return name === "" ? value : object(object(this.#components[kind])[name]);
  }

  #readShapes(): Reference["shapes"] {
    const shapes: Reference["shapes"][number][] = [];
    // Shapes refer to further shapes, which join the set while it is walked.
    for (const name of this.#named) {
      const schema = object(object(this.#components["schemas"])[name]);
      const description = text(schema["description"]);
      shapes.push({ name, description, fields: this.#fieldsOf(schema) });
    }
    return shapes.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** The fields of a shape: of objects, of items of lists, of every variant. */
  #fieldsOf(schema: JsonObject, prefix = "", depth = 0): Field[] {
    if (depth > MAX_DEPTH || schema["$ref"] !== undefined) return [];
    const variants = [...list(schema["anyOf"]), ...list(schema["oneOf"])];
    if (variants.length > 0) {
      return variants.flatMap((variant) => this.#fieldsOf(object(variant), prefix, depth + 1));
    }
    if (schema["items"] !== undefined) {
      return this.#fieldsOf(object(schema["items"]), `${prefix}[]`, depth + 1);
    }
    const required = list(schema["required"]);
    const dot = prefix === "" ? "" : ".";
    return Object.entries(object(schema["properties"])).flatMap(([key, value]) => {
      const property = object(value);
      const name = `${prefix}${dot}${key}`;
      const field = {
        name,
        type: this.#typeOf(property),
        is_required: required.includes(key),
        description: this.#describe(property),
      };
      return [field, ...this.#fieldsOf(property, name, depth + 1)];
    });
  }

  /** The description of a field, or of what it is a list or a variant of. */
  #describe(schema: JsonObject): string {
    if (typeof schema["description"] === "string") return schema["description"];
    const inner = [...list(schema["anyOf"]), ...list(schema["oneOf"]), schema["items"]];
    for (const one of inner) {
      const description = one === undefined ? "" : this.#describe(object(one));
      if (description !== "") return description;
    }
    return "";
  }

  /** The type in words; a shape of the document by its name. */
  #typeOf(schema: JsonObject): string {
    const reference = /^#\/components\/schemas\/(.+)$/.exec(text(schema["$ref"]))?.[1];
    if (reference !== undefined) {
      this.#named.add(reference);
      return reference;
    }
    if (schema["const"] !== undefined) return JSON.stringify(schema["const"]);
    const values = list(schema["enum"]);
    if (values.length > 0) return values.map((value) => JSON.stringify(value)).join(" or ");
    const variants = [...list(schema["anyOf"]), ...list(schema["oneOf"])];
    if (variants.length > 0) {
      const types = variants.map((variant) => this.#typeOf(object(variant)));
      return [...new Set(types)].join(" or ");
    }
    if (Array.isArray(schema["type"])) return schema["type"].join(" or ");
    if (schema["type"] === "array") return `list of ${this.#typeOf(object(schema["items"]))}`;
    if (schema["type"] === "object" && schema["properties"] === undefined) return "map";
    return text(schema["type"]) === "" ? "any" : text(schema["type"]);
  }
}
