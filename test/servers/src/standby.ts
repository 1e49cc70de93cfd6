import { dirname, join } from "node:path";
import { execute } from "./client.ts";
import { createEnclosure } from "./enclosure.ts";
import { postgres } from "./engines/postgres.ts";
import { fetchProgram } from "./fetch.ts";
import { serveIn, withArgs } from "./own-server.ts";
import { findProgram } from "./programs.ts";
import { retryUntilReady } from "./readiness.ts";
import type { Server } from "./server.ts";

export interface Standby extends Server {
  /** Promotes the standby to a primary, whether the first primary still runs or not, and waits until it takes writes. */
  promote(): Promise<void>;
}

export interface StandbyOptions {
  /** Makes the primary wait with each commit until the standby has written it too. Default: `false`. */
  readonly synchronous?: boolean;
  /** Environment. Default: `process.env`. */
  readonly env?: NodeJS.ProcessEnv;
}

/**
 * Starts a hot standby of a PostgreSQL that this package runs, and waits until it streams. It has the same data, and takes only
 * reads. `stop` also removes it from the primary's configuration, if that answers: commits would wait for a synchronous one.
 */
export async function startStandby(primary: Server, options: StandbyOptions = {}): Promise<Standby> {
  const { synchronous = false, env = process.env } = options;
  if (primary.kind !== "postgres" || !primary.canBeKilled) {
    throw new Error(
      `start standby: expected a PostgreSQL of the origin program or archive, got ${primary.kind} of the origin ` +
        `${primary.origin}; start it with { from: killable }`,
    );
  }
  const program =
    primary.origin === "program"
      ? await findProgram(postgres.program, "/", env["PATH"])
      : await fetchProgram(postgres.program, env);
  if (!program || "absent" in program || program.version !== primary.version) {
    const found = program && "version" in program ? program.version : "none";
    throw new Error(`start standby: expected the program of PostgreSQL ${primary.version}, found ${found}`);
  }

  const enclosure = await createEnclosure("standby", postgres.cleanUp);
  // Name of the slot and of the application: unique, and without characters that need quotes.
  const name = enclosure.folder.replace(/.*-/, "standby_").toLowerCase();
  const { hostname, port } = new URL(primary.url);
  const connection = `host=${hostname} port=${port} user=postgres application_name=${name}`;
  try {
    const dataFolder = join(enclosure.folder, "data");
    const backup = ["-d", connection, "-D", dataFolder, "--checkpoint=fast", "--no-sync", "--wal-method=stream"];
    // With a slot the primary keeps its log until the standby has it, however long the standby is down.
    const follow = ["--write-recovery-conf", "--create-slot", `--slot=${name}`];
    await enclosure.run({ program: join(dirname(program.path), "pg_basebackup"), args: [...backup, ...follow] });
    // With the primary's setting it would wait for a standby of its own after its promotion.
    const configuration = join(dataFolder, "postgresql.auto.conf");
    await enclosure.run({
      program: "/bin/sh",
      args: ["-c", `echo "synchronous_standby_names = ''" >> "$0"`, configuration],
    });

    const args = ["-c", "wal_retrieve_retry_interval=100ms"];
    const server = await serveIn(enclosure, {
      engine: postgres,
      program,
      origin: primary.origin,
      command: (folder, port) => withArgs(postgres.serve(program, folder, port), args),
      async expectReady() {},
    });
    await retryUntilReady(() => expectState(primary, name, ["async", "quorum", "sync", "potential"]));
    if (synchronous) {
      await nameSynchronous(primary, name);
      await retryUntilReady(() => expectState(primary, name, ["sync"]));
    }
    return {
      ...server,
      async promote() {
        await execute(server.url, "select pg_promote(true, 60)");
        await retryUntilReady(async () => {
          const [row] = await execute(server.url, "select pg_is_in_recovery() as standby");
          if (row?.["standby"] !== false)
            throw new Error("promote PostgreSQL: expected a primary, but it is still a standby");
        });
      },
      async stop() {
        await server.stop();
        await forget(primary, name).catch(() => {}); // the primary does not run any more
      },
    };
  } catch (error) {
    await enclosure.remove();
    throw error;
  }
}

async function expectState(primary: Server, name: string, states: readonly string[]): Promise<void> {
  const of = `from pg_stat_replication where application_name = '${name}' and state = 'streaming'`;
  const [row] = await execute(primary.url, `select sync_state ${of}`);
  const state = String(row?.["sync_state"]);
  if (!states.includes(state)) throw new Error(`start standby: expected it to be ${states.join(" or ")}, got ${state}`);
}

async function nameSynchronous(primary: Server, name: string): Promise<void> {
  await execute(primary.url, `alter system set synchronous_standby_names = '${name}'`);
  await execute(primary.url, "select pg_reload_conf()");
}

async function forget(primary: Server, name: string): Promise<void> {
  const [row] = await execute(primary.url, "show synchronous_standby_names");
  if (row?.["synchronous_standby_names"] === name) await nameSynchronous(primary, "");
  const slots = `from pg_replication_slots where slot_name = '${name}'`;
  // The primary may take a moment to notice that the standby has ended. Until then the slot is in use.
  await retryUntilReady(() => execute(primary.url, `select pg_drop_replication_slot(slot_name) ${slots}`));
}
