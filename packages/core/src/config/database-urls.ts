/**
 * URLs of databases: the one place of core that names dialects. A URL has to be matched with a package before any package is
 * loaded, so the packages cannot say it themselves. A new dialect adds its schemes here. Another author's package is found by
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

/** The type whose database is a file: the default where no URL is given. */
export const FILE_TYPE = "sqlite";
