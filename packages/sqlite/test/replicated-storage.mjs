// Storage of a worker process of the conformance suite: a main and a backup in SQLite, from the built packages.
import { createReplicatedStorage, createSQLiteStorage } from "../dist/index.js";

export function createCheckpointStorage({ main, backup, replication, ...common }) {
  return createReplicatedStorage({
    main: createSQLiteStorage({ databasePath: main, ...common }),
    backup: createSQLiteStorage({ databasePath: backup, ...common }),
    replication,
    reconcile: false,
  });
}
