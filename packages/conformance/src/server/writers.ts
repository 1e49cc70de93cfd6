import { expect, it } from "vitest";
import { newCheckpoint, ServerBench } from "./bench.ts";
import type { ServerTarget } from "./target.ts";

/** Program of a process with eight writers. Each line that it is sent is the latest checkpoint, after which all of them store. */
const STORE_AFTER_LATEST = `
  const storage = createCheckpointStorage({ connectionString: args[0], poolSize: 8 });
  await storage.listAgents();
  console.log("ready");
  for (let latest = await nextLine(); latest !== "end"; latest = await nextLine()) {
    const ifLatest = latest === "none" ? null : latest;
    const stores = Array.from({ length: 8 }, () =>
      storage.storeCheckpoint({ agentId: "agent", name: "turn", state: 1, createdAt: 0 }, { ifLatest }));
    const results = await Promise.allSettled(stores);
    console.log(JSON.stringify(results.map(({ value, reason }) => value ?? reason.code)));
  }
  await storage.close();`;

/** Registers the test of writers in several processes that store after the same checkpoint. */
export function describeWriters(target: ServerTarget): void {
  const bench = new ServerBench(target);

  it(`${target.name}: exactly one of 32 writers in four processes stores after the latest, each time`, async () => {
    const { url } = await bench.createDatabase();
    const children = Array.from({ length: 4 }, () => bench.startNode(STORE_AFTER_LATEST, url));
    await Promise.all(children.map((child) => child.nextLine()));

    const storage = bench.open({ connectionString: url });
    let latest = "none";
    for (let round = 1; round <= 25; round++) {
      for (const child of children) child.send(latest);
      const texts = await Promise.all(children.map((child) => child.nextLine()));
      const outcomes = texts.flatMap((text) => JSON.parse(text) as string[]);
      const winners = outcomes.filter((outcome) => outcome !== "CONFLICT");
      expect(winners).toEqual([expect.stringMatching(/^[0-9a-f-]{36}$/)]);
      expect(outcomes).toHaveLength(32);
      latest = winners[0] as string;
      expect((await storage.retrieveLatestCheckpoint("agent"))?.id).toBe(latest);
    }
    for (const child of children) child.send("end");
    expect((await Promise.all(children.map((child) => child.exit))).map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    expect(await storage.listCheckpoints()).toHaveLength(25);
    expect(await storage.storeCheckpoint(newCheckpoint(), { ifLatest: latest })).toEqual(expect.any(String));
  });
}
