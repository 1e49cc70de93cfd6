import { access } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Engine } from "./engine.ts";
import { postgres } from "./postgres.ts";

/** PostgreSQL in which `create extension vector` works. */
export const postgresVector: Engine = {
  ...postgres,
  kind: "postgres-vector",
  title: "PostgreSQL with pgvector",
  package: "postgresql-17-pgvector",
  program: {
    ...postgres.program,
    isComplete: hasPgvector,
    archive: {
      // Stable releases, not sid, whose versions vanish from the archive. Older ones have no pgvector, or one before 0.8.
      debian: { suite: "trixie", package: "postgresql-17-pgvector" },
      ubuntu: { suite: "resolute", package: "postgresql-18-pgvector" },
    },
  },
  container: { ...postgres.container, image: "pgvector/pgvector:pg17" },
  versionQuery:
    "select concat(current_setting('server_version'), ' pgvector ' || default_version) as version " +
    "from (select 1) as one left join pg_available_extensions on name = 'vector'",
  isVersion: (version) => version.includes("pgvector"),
};

/** True if the files of the extension belong to the installation of this `postgres`. */
async function hasPgvector(path: string): Promise<boolean> {
  const prefix = dirname(dirname(path));
  const folders = [
    join(prefix, "../../../share/postgresql", basename(prefix)), // Debian: /usr/lib/postgresql/17 and /usr/share/postgresql/17
    join(prefix, "share/postgresql"),
    join(prefix, "share"),
  ];
  const files = folders.map((folder) => access(join(folder, "extension/vector.control")));
  return Promise.any(files).then(
    () => true,
    () => false,
  );
}
