import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { killable, type Server, startServer } from "waymark-test-servers";
import { type Arena, type ArenaOptions, openArena, type Pair, startMain } from "./arena.ts";
import { destroyWhenAsync, destroyWhenRequired } from "./destroyed.ts";
import { clientAndServerKills, clientKills, faults } from "./faults.ts";
import { full } from "./scale.ts";
import { runScenario, type ScenarioOptions, under } from "./scenario.ts";
import { isNeeded } from "./servers.ts";
import { type Result, report } from "./table.ts";

const SMALL_DISK = 512 * 1024 * 1024;

/** Describes all faults, with this pair of databases as main and backup. */
export function describePair(pair: Pair): void {
  const kinds = pair.backup === "sqlite" ? [pair.main] : [pair.main, pair.backup];

  describe.skipIf(!isNeeded(...kinds))(`${pair.name}: nothing that was acknowledged is lost`, () => {
    let server: Server;
    let backups: Server | null = null;
    const results: Result[] = [];
    let planned = 2; // the two tests at the end

    beforeAll(async () => {
      [server, backups] = await Promise.all([
        startMain(pair.main),
        pair.backup === "sqlite" ? null : startServer(pair.backup, { from: killable }),
      ]);
    });
    afterAll(async () => {
      await Promise.all([server, backups].map((each) => each?.stop()));
      report(pair.name, results, planned);
    });

    const run = async (
      title: string,
      on: Server,
      { replication, ...options }: ArenaOptions & { replication: "async" | "required" },
      work: (arena: Arena, title: string) => ScenarioOptions["work"],
    ) => {
      const arena = await openArena(on, backups, options);
      try {
        const words = `${title} (${options.ownBackups ? "a backup each" : "one backup"}, ${replication})`;
        const policy = { replication, failover: "automatic", staleReads: "refuse" } as const;
        const { stores, direct } = arena;
        const result = await runScenario({ title: words, stores, direct, policy, work: work(arena, words) });
        results.push(result);
        expect(result.problems).toStrictEqual([]);
      } finally {
        await arena.dispose();
      }
    };

    for (const [place, kind] of [...faults, clientKills, clientAndServerKills].entries()) {
      for (const [turn, ownBackups] of [false, true].entries()) {
        // Of the four combinations the small run takes one, the full run two: each fault with both kinds of backup and replication.
        if (kind.oneBackup ? ownBackups : !full && place % 2 !== turn) continue;
        planned += 1;
        const replication = (place >> 1) % 2 === turn ? "async" : "required";
        it(`${kind.title}: ${ownBackups ? "a backup for each process" : "one backup"}, ${replication}`, async () => {
          const own = kind.smallDisk ? await startMain(pair.main, SMALL_DISK) : null;
          const options = { ownBackups, replication, viaProxy: kind.viaProxy ?? "none" } as const;
          try {
            await run(kind.title, own ?? server, options, (arena, title) =>
              // An agent cannot move to a process that does not see this process's backup.
              under({ title, ...kind.on(arena) }, { handOver: !ownBackups }),
            );
          } finally {
            await own?.stop();
          }
        });
      }
    }

    it("main destroyed with its data and replaced by an empty one: nothing is lost, since the backup is required", async () => {
      const options = { ownBackups: false, viaProxy: "all", replication: "required" } as const;
      await run("main destroyed with its data", server, options, destroyWhenRequired);
    });

    it("main destroyed with its data and replaced by an empty one: only what status() reported as unsent is lost", async () => {
      // The backup stays locked for long. While SQLite waits for the lock, its process is blocked and cannot read main's answers.
      const options = { ownBackups: false, viaProxy: "all", replication: "async", busyTimeoutMs: 0 } as const;
      await run("main destroyed with its data", server, options, destroyWhenAsync);
    });
  });
}
