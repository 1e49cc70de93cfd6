import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent } from "../bench.ts";

export function describeMigrate(bench: Bench): void {
  describe("migrate", () => {
    it("finds no missing migration on a store that is open", async () => {
      await bench.storage.health();
      expect(await bench.storage.migrate()).toStrictEqual([]);
      expect(await bench.storage.migrate("apply")).toStrictEqual([]);
      expect(await bench.storage.migrate("verify")).toStrictEqual([]);
      expect(await bench.storage.migrate("sql")).toStrictEqual([]);
    });

    it("migrates an empty store before anything else is called", async () => {
      const store = await bench.createStore();
      const storage = bench.open({}, store);
      await storage.migrate();
      expect(await storage.migrate("verify")).toStrictEqual([]);
      const verifying = bench.open({ migrate: "verify" }, store);
      const id = await verifying.storeCheckpoint(checkpointOf(newAgent()));
      expect(await bench.open({ migrate: "off" }, store).retrieveCheckpoint(id)).toMatchObject({ id });
    });

    it("runs once when several storages open an empty store at the same moment", async () => {
      const store = await bench.createStore();
      const storages = Array.from({ length: 8 }, () => bench.open({}, store));
      const ids = await Promise.all(storages.map((storage) => storage.storeCheckpoint(checkpointOf(newAgent()))));
      const listed = await storages[0]?.listCheckpoints();
      expect(new Set(listed?.map(({ id }) => id))).toStrictEqual(new Set(ids));
    });
  });
}
