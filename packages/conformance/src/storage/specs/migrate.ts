import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent } from "../bench.ts";
import { refusal } from "../errors.ts";

export function describeMigrate(bench: Bench): void {
  describe("migrate", () => {
    it("finds nothing to do on a store that is open", async () => {
      await bench.storage.health();
      expect(await bench.storage.migrate()).toStrictEqual([]);
      expect(await bench.storage.migrate("apply")).toStrictEqual([]);
      expect(await bench.storage.migrate("verify")).toStrictEqual([]);
      expect(await bench.storage.migrate("sql")).toStrictEqual([]);
    });

    it("brings an empty store up to date before anything else is called, and can be repeated", async () => {
      const store = await bench.createStore();
      const storage = bench.open({}, store);
      await storage.migrate();
      expect(await storage.migrate("verify")).toStrictEqual([]);
      const verifying = bench.open({ migrate: "verify" }, store);
      const id = await verifying.storeCheckpoint(checkpointOf(newAgent()));
      expect(await bench.open({ migrate: "off" }, store).retrieveCheckpoint(id)).toMatchObject({ id });
    });

    it("refuses a mode that is not known", async () => {
      await refusal(bench.storage.migrate("force" as never), "INVALID_ARGUMENT");
    });
  });
}
