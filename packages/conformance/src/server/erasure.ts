import type { CheckpointStorage, createReplicatedStorage, endReplication } from "@waymark/core";
import { expect, it, onTestFinished } from "vitest";
import { newCheckpoint } from "./bench.ts";
import { startNode } from "./node.ts";

/** Describes storages on one engine to the test of what is deleted behind an application's back. */
export interface ErasureTarget<Options extends object> {
  /** For the test report. */
  readonly name: string;
  /** URL of a module that plain Node can import, and that exports `createCheckpointStorage`. */
  readonly module: string;
  /** The functions of core, as the package exports them. */
  readonly core: {
    readonly createReplicatedStorage: typeof createReplicatedStorage;
    readonly endReplication: typeof endReplication;
  };
  /** Makes a storage. The test closes it. */
  open(options: Options): CheckpointStorage;
  /** Makes two empty databases, until the test is over, and returns the options to open them with. */
  create(): Promise<readonly [Options, Options]>;
}

/**
 * Program of a job that opens each database alone. Each line that it is sent says where to do what to which agent; it answers
 * whether the database is replicated.
 */
const JOB = `
  const alive = setInterval(() => {}, 60_000); // a file keeps no process alive that waits for its next line
  const alone = { main: createCheckpointStorage(args[0]), backup: createCheckpointStorage(args[1]) };
  for (let line = await nextLine(); line !== "end"; line = await nextLine()) {
    const [name, call, agentId] = line.split(" ");
    const storage = alone[name];
    if (call === "prune") await storage.pruneCheckpoints({ agentId, keepLast: 1 });
    else await storage.deleteAgent(agentId);
    console.log((await storage.status()).providers.main.replicated);
  }
  for (const storage of Object.values(alone)) await storage.close();
  clearInterval(alive);`;

/** Registers the test of agents that a job in another process deletes, in main or in the backup alone. */
export function describeErasure<Options extends object>(target: ErasureTarget<Options>): void {
  it(`${target.name}: what a job deletes in main or backup alone stays deleted, whether the application runs or not`, async () => {
    const { createReplicatedStorage: replicate, endReplication: end } = target.core;
    const [main, backup] = await target.create();
    const open = (options: Options) => {
      const storage = target.open(options);
      onTestFinished(async () => void (await storage.close()));
      return storage;
    };
    const start = () => {
      const storage = replicate({ main: open(main), backup: open(backup) });
      onTestFinished(async () => void (await storage.close()));
      return storage;
    };
    const fill = async (storage: CheckpointStorage, agentId: string) => {
      for (const turn of [1, 2, 3]) await storage.storeCheckpoint(newCheckpoint({ agentId, state: { turn } }));
    };
    const expectAgents = async (storage: CheckpointStorage, ...agents: string[]) => {
      for (const each of [storage, open(main), open(backup)]) expect(await each.listAgents()).toEqual(agents);
    };
    const job = startNode(target.module, JOB, main, backup);
    const tell = async (line: string) => {
      job.send(line);
      return await job.nextLine();
    };

    // Before there is a backup.
    await fill(open(main), "early");
    expect(await tell("main delete early")).toBe("false");
    expect(await tell("backup delete early")).toBe("false");

    // The application has filled its backup, and is down. The job has seen both databases without replication.
    const first = start();
    for (const agentId of ["inBackup", "inMain", "pruned", "running"]) await fill(first, agentId);
    expect(await first.close()).toEqual({ unsent: { toBackup: 0, toMain: 0 } });
    await expectAgents(open(main), "inBackup", "inMain", "pruned", "running");
    expect(await tell("main delete inMain")).toBe("true");
    expect(await tell("backup delete inBackup")).toBe("true");

    // It starts again, and compares; then the job goes on beside it.
    const second = start();
    expect(await second.reconcile()).toMatchObject({ copiedToMain: 0, copiedToBackup: 0, conflicts: 0 });
    await expectAgents(second, "pruned", "running");
    expect(await tell("main delete running")).toBe("true");
    expect(await tell("main prune pruned")).toBe("true");
    expect((await second.status()).providers).toMatchObject({
      main: { replicated: true },
      backup: { replicated: true },
    });
    expect(await second.close()).toEqual({ unsent: { toBackup: 0, toMain: 0 } });
    await expectAgents(open(main), "pruned");

    const third = start();
    expect(await third.reconcile()).toMatchObject({ copiedToMain: 0, copiedToBackup: 0, deleted: 0 });
    await expectAgents(third, "pruned");
    expect(await third.listCheckpoints()).toHaveLength(1);
    await third.close();

    // There is no backup any more.
    expect(await end(open(main))).toBe(11);
    expect(await tell("main delete pruned")).toBe("false");
    job.send("end");
    expect((await job.exit).code).toBe(0);
    expect(await end(open(main))).toBe(0);
  });
}
