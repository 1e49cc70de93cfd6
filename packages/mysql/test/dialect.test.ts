import { setTimeout as delay } from "node:timers/promises";
import { describeDialect, describeDomains, describeErasure, describeWriters } from "@waymark/conformance";
import { createReplicatedStorage, endReplication } from "@waymark/mysql";
import { createDatabase } from "waymark-test-servers";
import { createCheckpointDialect } from "../src/checkpoints/dialect.ts";
import { databaseOn, shareConnection } from "../src/database.ts";
import { resolveOptions } from "../src/options.ts";
import { connect, createDialect, emptyDatabase, run, servers } from "./on-server.ts";

/** Resolves as soon as a transaction on a database waits for a lock. */
async function untilBlocked(url: string): Promise<void> {
  const admin = await connect(url);
  const isBlocked = async () => {
    await delay(150); // the server gives the same answer for 100 ms
    const [found] = await admin.query(
      `select 1 from information_schema.innodb_trx as t join information_schema.processlist as p on p.id = t.trx_mysql_thread_id
       where t.trx_state = 'LOCK WAIT' and p.db = database()`,
    );
    return (found as unknown[]).length > 0;
  };
  while (!(await isBlocked()));
}

/** Removes all rows of a database but the history of migrations. */
async function clearTables(url: string): Promise<void> {
  const tables = await run(
    url,
    "select table_name as name from information_schema.tables where table_schema = database() and table_name <> 'waymark_migrations'",
  );
  await run(url, "set foreign_key_checks = 0", ...tables.map(({ name }) => `delete from ${name}`));
}

async function begin(url: string) {
  const connection = await connect(url);
  await connection.beginTransaction();
  return { run: (sql: string) => connection.query(sql), commit: () => connection.commit() };
}

for (const { title, url: serverUrl, target } of servers) {
  describeDialect({
    name: title,
    create: async () => {
      const { url, drop } = await createDatabase(serverUrl);
      return {
        createDialect: () => createDialect({ connectionString: url }),
        begin: () => begin(url),
        untilBlocked: () => untilBlocked(url),
        clear: () => clearTables(url),
        dispose: drop,
      };
    },
    literal: target.literal,
  });

  describeDomains({
    name: title,
    quote: "`",
    create: async () => {
      const database = await createDatabase(serverUrl);
      return {
        share: (schema, prefixes) => {
          const options = (tablePrefix: string) => resolveOptions({ connectionString: database.url, tablePrefix });
          const connection = shareConnection(options(""));
          return {
            checkpoints: createCheckpointDialect(connection.share(), options(prefixes.checkpoints)),
            second: databaseOn(connection.share(), schema, options(prefixes.second)),
            isConnected: async () => (await target.countConnections(database)) > 0,
          };
        },
        dispose: database.drop,
      };
    },
  });

  describeWriters(target);

  describeErasure({
    name: title,
    core: { createReplicatedStorage, endReplication },
    module: target.module,
    open: target.open,
    create: async () => [
      { connectionString: (await emptyDatabase(serverUrl)).url },
      { connectionString: (await emptyDatabase(serverUrl)).url },
    ],
  });
}
