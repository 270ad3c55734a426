/**
 * A statement as Grafana's ClickHouse plugin stores it in a panel, a variable, an annotation or an alert:
 * the SDK knows no query of this plugin.
 *
 * Invariant: the data source is the one that the dashboard's variable names, never a fixed one.
 */
import type { Builder, Dataquery } from "@grafana/grafana-foundation-sdk/cog";

/** Version of the plugin whose queries these are; docker-compose.yml installs it. */
export const PLUGIN_VERSION = "4.20.0";
export const PLUGIN_TYPE = "grafana-clickhouse-datasource";
/** The data source of grafana/provisioning: alerts, which have no variables, name it. */
export const DATASOURCE_UID = "spanledger-clickhouse";
/** The data source that the reader picked. */
export const PICKED_DATASOURCE = { type: PLUGIN_TYPE, uid: "${datasource}" } as const;

/** How an answer becomes frames, by the numbers of the plugin. */
export const FORMATS = { timeseries: 0, table: 1, logs: 2, traces: 3 } as const;
export type Format = keyof typeof FORMATS;

/** A query of the plugin in its stored shape. */
export interface ClickHouseTarget extends Dataquery {
  readonly refId: string;
  readonly datasource: { readonly type: string; readonly uid: string };
  readonly editorType: "sql";
  readonly queryType: Format;
  readonly format: (typeof FORMATS)[Format];
  readonly rawSql: string;
  readonly pluginVersion: string;
}

/** What a panel asks: a statement, and how its answer is read. */
export interface Target {
  readonly sql: string;
  /**
   * `timeseries`: a column `time` first, ascending, then texts, which name series, and numbers. `table`
   * is anything else.
   */
  readonly format: Format;
  /** A, B, ... in their order when it is not given. */
  readonly ref_id?: string;
}

/** A statement whose rows are a table. */
export function table(sql: string): Target {
  return { sql, format: "table" };
}

/** A statement whose rows are points of series. */
export function series(sql: string): Target {
  return { sql, format: "timeseries" };
}

/** Makes the stored shape of a target for the SDK. */
export class ClickHouseQuery implements Builder<ClickHouseTarget> {
  readonly #target: Target;
  readonly #ref_id: string;

  constructor(target: Target, ref_id: string) {
    this.#target = target;
    this.#ref_id = target.ref_id ?? ref_id;
  }

  build(): ClickHouseTarget {
    const { sql, format } = this.#target;
    const target: Omit<ClickHouseTarget, keyof Dataquery> = {
      refId: this.#ref_id,
      datasource: PICKED_DATASOURCE,
      editorType: "sql",
      queryType: format,
      format: FORMATS[format],
      rawSql: sql,
      pluginVersion: PLUGIN_VERSION,
    };
    return target as ClickHouseTarget;
  }
}
