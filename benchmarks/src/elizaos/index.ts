import type { DatabaseName } from "../databases.ts";
import { homeOn, pgliteHome, preparedHomeOn, sqliteHome } from "./homes.ts";
import { pluginSql } from "./plugin-sql.ts";
import type { ElizaSystem, KnownSystem } from "./system.ts";
import { waymark } from "./waymark.ts";

/** Engines of the databases that a run is about. */
const ENGINES: Partial<Record<DatabaseName, string>> = {
  "sqlite-full": "SQLite",
  "postgres-vector": "PostgreSQL",
  mysql: "MySQL",
  mariadb: "MariaDB",
};

/** In the order of the tables. What is embedded runs beside PostgreSQL too, so that one run has all that are compared. */
const SYSTEMS: readonly KnownSystem[] = [
  {
    ...{ id: "plugin-sql", product: pluginSql, engine: null, createHome: homeOn },
    runsOn: (database) => database === "postgres-vector",
  },
  {
    ...{ id: "plugin-sql-pglite", product: pluginSql, engine: "PGlite", createHome: pgliteHome },
    // PGlite 0.3 has fsync on, and its file system has none.
    remark: "never synced",
    runsOn: hasEmbedded,
  },
  { ...{ id: "waymark", product: waymark, engine: null, createHome: homeOn }, runsOn: elizaRunsOn },
  {
    ...{ id: "waymark-prepared", product: waymark, engine: null, createHome: preparedHomeOn, peer: "plugin-sql" },
    ...{ remark: "`prepare: true`", runsOn: (database) => database === "postgres-vector" },
  },
  {
    ...{ id: "waymark-pglite", product: waymark, engine: "PGlite", createHome: pgliteHome, peer: "plugin-sql-pglite" },
    runsOn: hasEmbedded,
  },
  {
    ...{ id: "waymark-sqlite", product: waymark, engine: "SQLite", createHome: sqliteHome, peer: "plugin-sql-pglite" },
    runsOn: (database) => database === "postgres-vector",
  },
];

function hasEmbedded(database: DatabaseName): boolean {
  return database === "sqlite-full" || database === "postgres-vector";
}

export function elizaRunsOn(database: DatabaseName): boolean {
  return ENGINES[database] !== undefined;
}

export const ELIZA_SYSTEM_IDS = SYSTEMS.map(({ id }) => id);

export function isElizaPeer(id: string): boolean {
  return SYSTEMS.some((system) => system.id === id && system.product === pluginSql);
}

export function elizaSystemsOn(database: DatabaseName, chosen: readonly string[]): ElizaSystem[] {
  return SYSTEMS.filter(({ id, runsOn }) => chosen.includes(id) && runsOn(database)).map((system) => {
    const engine = system.engine ?? ENGINES[database] ?? database;
    const name = system.product === pluginSql ? "plugin-sql" : "Waymark";
    const remark = system.remark === undefined ? "" : ` (${system.remark})`;
    return { ...system, ...peerOf(system, database), engine, title: `${name} on ${engine}${remark}` };
  });
}

/** Ours on the database of the run is compared with plugin-sql there; on SQLite with what plugin-sql has in its place. */
function peerOf({ id }: KnownSystem, database: DatabaseName): Pick<ElizaSystem, "peer"> {
  if (id !== "waymark" || !hasEmbedded(database)) return {};
  return { peer: database === "sqlite-full" ? "plugin-sql-pglite" : "plugin-sql" };
}
