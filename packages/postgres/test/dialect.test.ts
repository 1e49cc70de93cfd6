import {
  type DialectDatabase,
  describeDialect,
  describeDomains,
  describeErasure,
  describeWriters,
  newRow,
} from "@waymark/conformance";
import { createReplicatedStorage, endReplication } from "@waymark/postgres";
import { expect, it, onTestFinished } from "vitest";
import { createDatabase } from "waymark-test-servers";
import { createCheckpointDialect } from "../src/checkpoints/dialect.ts";
import { databaseOn, shareConnection } from "../src/database.ts";
import { resolveOptions } from "../src/options.ts";
import { clearTables } from "./clear-tables.ts";
import { connect, createDialect, emptyDatabase, run, sharedServer, target } from "./on-server.ts";

const { signal } = new AbortController();

/** Resolves as soon as a transaction on a database waits for a lock. */
async function untilBlocked(url: string): Promise<void> {
  const admin = connect(url);
  const isBlocked = async () => {
    const [row] = await admin`select count(*)::int as count from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`;
    return Number(row?.["count"]) > 0;
  };
  while (!(await isBlocked()));
}

async function begin(url: string) {
  const client = connect(url);
  await client`begin`;
  return { run: (sql: string) => client.unsafe(sql), commit: () => client`commit` };
}

// With prepared statements in `npm run test:all`: the texts are the same.
for (const prepare of process.env["WAYMARK_TEST_ALL"] ? [false, true] : [false]) {
  describeDialect({
    name: `PostgreSQL with prepare: ${prepare}`,
    create: async (): Promise<DialectDatabase> => {
      const { url, drop } = await createDatabase(sharedServer());
      return {
        createDialect: () => createDialect({ connectionString: url, prepare }),
        begin: () => begin(url),
        untilBlocked: () => untilBlocked(url),
        clear: async () => void (await run(url, clearTables("public"))),
        dispose: drop,
      };
    },
    literal: target.literal,
  });
}

describeDomains({
  name: "PostgreSQL",
  quote: '"',
  create: async () => {
    const database = await createDatabase(sharedServer());
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
  name: "PostgreSQL",
  core: { createReplicatedStorage, endReplication },
  module: target.module,
  open: target.open,
  create: async () => [
    { connectionString: (await emptyDatabase()).url },
    { connectionString: (await emptyDatabase()).url },
  ],
});

// MySQL's check of the foreign key takes the tombstone for the base.
it("keeps out a row that waited while its base was replaced by a tombstone, though it does not name its base", async () => {
  const { url } = await emptyDatabase();
  const dialect = createDialect({ connectionString: url });
  onTestFinished(() => dialect.close());
  await dialect.open(signal);
  const [base, delta] = [newRow(1), newRow(2, { baseId: newRow(1).id })];
  await dialect.commit({ insert: [base] }, signal);
  const transaction = await begin(url);
  await transaction.run(`delete from agent_checkpoints where id = '${base.id}'`);
  await transaction.run(
    `insert into agent_checkpoints (id, agent_id, namespace, name, created_at, encoding, state_bytes, digest, state)
     values ('${base.id}', '', '', '', 0, 'tombstone', 0, '', '')`,
  );
  const outcome = dialect.commit({ insert: [delta] }, signal).then(
    (done) => (done ? "done" : "guard missed"),
    (error: unknown) => dialect.classify(error),
  );
  await untilBlocked(url);
  await transaction.commit();
  expect(await outcome).toMatch(/^(guard missed|foreign-key)$/);
  const rows = await run(url, "select id::text, base_id, agent_id from agent_checkpoints");
  expect(rows).toEqual([{ id: base.id, base_id: null, agent_id: "" }]);
});
