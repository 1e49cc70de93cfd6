import { resolve } from "node:path";
import { CheckpointError } from "../contract/errors.ts";
import type { DomainSchema } from "../database/migrations.ts";
import type { RecordStore } from "../record-store/store.ts";
import { PATH_VARIABLES } from "./database-urls.ts";
import { creating, type Provider } from "./define.ts";
import { providerOfUrl } from "./environment.ts";
import { withPathsFrom } from "./open.ts";
import { recordsFactoryOf, resolvePathsOf } from "./packages.ts";

/** Opening the tables of other packages, in a database that a URL or a folder names. */

/** A domain's schema for each dialect: its tables are the same in all, its migrations are not. */
export type RecordSchemas = Readonly<Record<string, DomainSchema>>;

export interface OpenRecordsOptions {
  /** Beginning of messages: "open ElizaOS database". */
  readonly source: string;
  /** Where the URL or folder stands, for messages: "url", or the name of a variable. */
  readonly field: string;
  /** URL of a database, as `WAYMARK_URL` takes it; or `pgliteDataDir`. */
  readonly url?: string;
  /** Folder of a PGlite database, in place of a URL. */
  readonly pgliteDataDir?: string;
  /** More options of the dialect: pool size, TLS, deadlines. */
  readonly options?: Readonly<Record<string, unknown>>;
  readonly schemas: RecordSchemas;
  /** Folder of relative paths. Default: `process.cwd()`. */
  readonly cwd?: string;
  /** More paths from which dialect packages are resolved: that of the package which has the tables. */
  readonly from?: readonly string[];
}

/**
 * Opens the tables. Does not connect: the first call does.
 * @throws CheckpointError `INVALID_CONFIG`
 */
export async function openRecordStore(options: OpenRecordsOptions): Promise<RecordStore> {
  const { source, schemas, from = [] } = options;
  const cwd = resolve(options.cwd ?? ".");
  const provider = withPathsFrom(cwd, providerOf(options, cwd));
  const { type } = provider;
  const schema = typeof type === "string" ? schemas[type] : undefined;
  if (typeof type !== "string" || schema === undefined) {
    const known = Object.keys(schemas).join(", ");
    throw new CheckpointError("INVALID_CONFIG", `${source}: expected a database of ${known}, got ${String(type)}`);
  }
  const factory = await recordsFactoryOf(source, { ...provider, type }, [...resolvePathsOf(cwd, cwd), ...from]);
  return creating(source, provider, () => factory(provider.options as never, schema));
}

function providerOf({ source, field, url, pgliteDataDir, options = {} }: OpenRecordsOptions, cwd: string): Provider {
  if (pgliteDataDir !== undefined) {
    const { type } = PATH_VARIABLES.get("PGLITE_DATA_DIR") as { type: string };
    return { name: "main", field, isVariable: true, type, options: { ...options, pgliteDataDir } };
  }
  const provider = providerOfUrl(source, field, url ?? "", cwd, undefined);
  return { ...provider, options: { ...options, ...provider.options } };
}
