// The table of dialects, for all scripts.

/**
 * Dialects by the name of their package's folder. `drivers`: npm packages that the dialect may import. `words`: names that no
 * other code may mention. `servers`: kinds of servers that its tests need, see test/servers.
 */
export const DIALECTS = {
  sqlite: { drivers: ["better-sqlite3"], words: ["sqlite"], servers: [] },
  postgres: { drivers: ["postgres"], words: ["postgres"], servers: ["postgres"] },
  mysql: { drivers: ["mysql2", "mysql2/**"], words: ["mysql", "mariadb"], servers: ["mysql", "mariadb"] },
};

/** Kinds of database servers that every test of several databases needs, with their display names. */
export const SERVERS = { postgres: "PostgreSQL", mysql: "MySQL", mariadb: "MariaDB" };

/** Kinds of servers with vectors, with their display names. They start only for folders whose vitest.config.ts names them. */
export const VECTOR_SERVERS = {
  "postgres-vector": "PostgreSQL with pgvector",
  "mariadb-vector": "MariaDB with vectors",
};
