import type { CheckpointStorage } from "@waymark/core";
import { it } from "vitest";

/** Rows of the table that query plans are tested on, tombstones aside. */
export const PLAN_ROWS = 100_000;

/** The id of a row of that table, in their order. */
export function planId(number: number): string {
  const hex = (1_700_000_000_000 + number).toString(16).padStart(12, "0");
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-${String(Math.abs(number)).padStart(12, "0")}`;
}

/**
 * A table with {@link PLAN_ROWS} rows, their ids by {@link planId} from 1 on. Agent `early` has the oldest tenth of them, in the
 * namespace `""`, so that its latest row is far from all new ones. Of the others agent `big` has those with even numbers, in the
 * namespaces `namespace 0`, `namespace 2`, `namespace 4` and `namespace 6` (the number modulo 8), and fifty agents have the rest,
 * in the namespace `""`: `agent 1`, `agent 3` and so on (the number modulo 100).
 */
export interface ListPlanTarget {
  /** A storage on the table. Called within tests. */
  storage(): CheckpointStorage;
  /**
   * Makes a call, and expects that the plans of its statements use these indexes of `agent_checkpoints` and no others, do not
   * sort, and read no more than this many rows.
   */
  expectIndexed(call: () => Promise<unknown>, rows: number, indexes: readonly string[]): Promise<void>;
  /** Names of the indexes of `agent_checkpoints`. */
  readonly indexes: { readonly byId: string; readonly byAgent: string; readonly byNamespace: string };
}

/** Registers the tests of the query plans of lists without filters. */
export function describeListPlans({ storage, expectIndexed, indexes }: ListPlanTarget): void {
  const byId = [indexes.byId];
  const byAgent = [indexes.byAgent];
  const byNamespace = [indexes.byNamespace];
  const list = (query: Parameters<CheckpointStorage["listCheckpoints"]>[0]) => () => storage().listCheckpoints(query);
  const middle = planId(PLAN_ROWS / 2);

  it("lists an agent's checkpoints by an index, and reads no more than the page", async () => {
    await expectIndexed(list({ agentId: "big" }), 1_000, byAgent);
    await expectIndexed(list({ agentId: "agent 1", limit: 10 }), 10, byAgent);
    await expectIndexed(list({ agentId: "early", limit: 10 }), 10, byAgent);
  });

  it("lists an agent's namespace by an index, and reads no more than the page", async () => {
    await expectIndexed(list({ agentId: "big", namespace: "namespace 2" }), 1_000, byNamespace);
    await expectIndexed(list({ agentId: "early", namespace: "", limit: 10 }), 10, byNamespace);
  });

  it("pages through an agent's checkpoints by an index, from either side", async () => {
    await expectIndexed(list({ agentId: "big", before: middle, limit: 50 }), 50, byAgent);
    await expectIndexed(list({ agentId: "big", since: middle, limit: 50 }), 50, byAgent);
    const between = { agentId: "big", since: middle, before: planId(PLAN_ROWS / 2 + 1_000) };
    await expectIndexed(list(between), 500, byAgent);
    await expectIndexed(list({ agentId: "big", namespace: "namespace 4", before: middle, limit: 50 }), 50, byNamespace);
  });

  it("lists all agents' checkpoints by the primary key", async () => {
    await expectIndexed(list({ limit: 100 }), 100, byId);
    await expectIndexed(list({ before: middle, limit: 100 }), 100, byId);
    await expectIndexed(list({ since: middle, limit: 100 }), 100, byId);
  });
}
