/**
 * URLs and paths of databases: the one place of core that names dialects and their options. A URL or a path has to be matched with
 * a package before any package is loaded, so the packages cannot say it themselves. A new dialect adds its schemes here. Another author's package is found by
 * its name, `waymark-<scheme>`, and exports its schemes.
 */

/** Types of storage by the scheme of a URL. */
export const URL_SCHEMES: ReadonlyMap<string, string> = new Map([
  ["postgres", "postgres"],
  ["postgresql", "postgres"],
  ["mysql", "mysql"],
  ["mariadb", "mysql"],
  ["file", "sqlite"],
  ["sqlite", "sqlite"],
]);

/** Environment variables that name a database, in order of precedence. All but the first are shared with other programs. */
export const URL_VARIABLES = ["WAYMARK_URL", "DATABASE_URL", "POSTGRES_URL", "MYSQL_URL"] as const;

/** Environment variables that name a folder or a file, read after those with URLs: each with the type and the option that it sets. */
export const PATH_VARIABLES: ReadonlyMap<string, { readonly type: string; readonly option: string }> = new Map([
  ["PGLITE_DATA_DIR", { type: "postgres", option: "pgliteDataDir" }],
]);

/** Options of all dialects that are paths. A relative one is relative to the folder of the config. */
export const PATH_OPTIONS: ReadonlyMap<string, "file" | "folder"> = new Map([
  ["databasePath", "file"],
  ["pgliteDataDir", "folder"],
]);

/** Values of these options for a database in memory: two of them are not the same database. */
export const IN_MEMORY: ReadonlySet<unknown> = new Set([":memory:", "memory://"]);

/** The type whose database is a file: the default where no URL is given. */
export const FILE_TYPE = "sqlite";
