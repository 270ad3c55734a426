/** `GET /v1/schema`: the measures and dimensions that usage can be asked by, and what they mean. */
import { MAX_FILTER_VALUES, MAX_RANGE_S } from "../../schemas/api-parts.ts";
import {
  MAX_GROUP_NAMES,
  MAX_TOP_GROUPS,
  MAX_USAGE_ROWS,
  SchemaAnswer,
} from "../../schemas/api-usage.ts";
import { fieldsOfMeasure } from "../../schemas/measures.ts";
import {
  DIMENSION_ALIASES,
  DIMENSION_NAMES,
  DIMENSIONS,
  INTERVALS,
  MEASURE_NAMES,
  MEASURES,
  RANK_NAMES,
} from "../../schemas/usage.ts";
import { defineRoute, type Route } from "../route.ts";

/** What can be asked: the same for every project. */
export function describeSchema(): SchemaAnswer {
  return {
    measures: MEASURE_NAMES.map((name) => {
      const { unit, description, null_when, is_default } = MEASURES[name];
      return {
        name,
        unit,
        fields: [...fieldsOfMeasure(name)],
        description,
        null_when,
        is_default,
        ranks: RANK_NAMES.includes(name),
      };
    }),
    dimensions: [
      ...DIMENSION_NAMES.map((name) => ({
        name: name as string,
        aliases: Object.keys(DIMENSION_ALIASES).filter(
          (alias) => DIMENSION_ALIASES[alias] === name,
        ),
        description: DIMENSIONS[name].description,
        null_when: DIMENSIONS[name].null_when,
      })),
      {
        name: "tag.<key>",
        aliases: [],
        description: "The value of a tag, such as `tag.team`.",
        null_when: "the call has no such tag",
      },
    ],
    intervals: [...INTERVALS],
    limits: {
      rows_of_a_page: MAX_USAGE_ROWS,
      top_groups: MAX_TOP_GROUPS,
      group_by_names: MAX_GROUP_NAMES,
      values_of_a_filter: MAX_FILTER_VALUES,
      range_s: MAX_RANGE_S,
    },
  };
}

/** The semantic layer. */
export const SCHEMA_ROUTES: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/schema",
    summary: "The measures and dimensions of usage, their units, and when they are null",
    tag: "Usage",
    action: "usage:read",
    of: "project",
    answer: SchemaAnswer,
    examples: [{ summary: "What can be asked", path: "/v1/schema" }],
    handle: async () => describeSchema(),
  }),
];
