import { resolve } from "node:path";
import { CheckpointError } from "../contract/errors.ts";
import type { DomainSchema } from "../database/migrations.ts";
import type { RecordStore } from "../record-store/store.ts";
import { PATH_VARIABLES } from "./database-urls.ts";
import { creating, type Provider } from "./define.ts";
import { knownProviderOfUrl, unknownUrl } from "./environment.ts";
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
  /** Where `options` stand, for messages: "options.database". Default: "options". */
  readonly optionsField?: string;
  readonly schemas: RecordSchemas;
  /** Folder of relative paths. Default: `process.cwd()`. */
  readonly cwd?: string;
  /** More paths from which dialect packages are resolved: that of the package which has the tables. */
  readonly from?: readonly string[];
}

/** A provider whose type has a schema. */
type KnownProvider = Provider & { readonly type: string };

/**
 * Opens the tables. Does not connect: the first call does.
 * @throws CheckpointError `INVALID_CONFIG`
 */
export async function openRecordStore(options: OpenRecordsOptions): Promise<RecordStore> {
  const { source, schemas, optionsField = "options", from = [] } = options;
  const cwd = resolve(options.cwd ?? ".");
  const known = providerOf(options, cwd);
  const provider = { ...withPathsFrom(cwd, known), type: known.type, optionsField };
  const factory = await recordsFactoryOf(source, provider, [...resolvePathsOf(cwd, cwd), ...from]);
  return creating(source, provider, () => factory(provider.options as never, schemas[known.type] as DomainSchema));
}

function providerOf(
  { source, field, url = "", pgliteDataDir, options = {}, schemas }: OpenRecordsOptions,
  cwd: string,
): KnownProvider {
  const hasSchema = (provider: Provider): provider is KnownProvider => Object.hasOwn(schemas, provider.type as string);
  if (pgliteDataDir !== undefined) {
    const { type, option } = PATH_VARIABLES.get("PGLITE_DATA_DIR") as { type: string; option: string };
    const provider = {
      name: "main",
      field,
      fieldOption: option,
      type,
      options: { ...options, [option]: pgliteDataDir },
    };
    if (hasSchema(provider)) return provider;
    const known = Object.keys(schemas).join(", ");
    throw new CheckpointError("INVALID_CONFIG", `${source}: ${field}: expected a database of ${known}, got ${type}`);
  }
  const provider = knownProviderOfUrl(source, field, url, cwd, undefined);
  if (provider === null || !hasSchema(provider)) throw unknownUrl(source, field, url, Object.keys(schemas));
  return { ...provider, options: { ...options, ...provider.options } };
}
