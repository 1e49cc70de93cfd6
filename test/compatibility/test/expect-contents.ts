import { isDeepStrictEqual } from "node:util";
import type { AgentCheckpointListItem } from "@waymark/core";
import { expect } from "vitest";
import type { Checkpoint, Contents } from "../src/steps.mjs";
import type { Storage } from "./old-process.ts";

/** Expects each reading method of a storage to return exactly these contents. */
export async function expectContents(storage: Storage, { checkpoints, writes, deleted }: Contents): Promise<void> {
  const all = [...checkpoints.values()].sort(newestFirst);
  expect(await storage.listCheckpoints()).toStrictEqual(all.map(itemOf));
  expect(await storage.listAgents()).toStrictEqual([...new Set(all.map(({ agentId }) => agentId))].sort(byBytes));

  await forEachOf(timelinesOf(all), async (timeline) => {
    const [{ agentId, namespace = "" }] = timeline;
    expect(await storage.listCheckpoints({ agentId, namespace })).toStrictEqual(timeline.map(itemOf));
    expectEqual(await storage.retrieveLatestCheckpoint(agentId, { namespace }), timeline[0], agentId);
  });
  await forEachOf(all, async (checkpoint) => {
    const { id } = checkpoint;
    const [found, foundWrites] = await Promise.all([storage.retrieveCheckpoint(id), storage.listWrites(id)]);
    expectEqual(found, checkpoint, id);
    expectEqual(foundWrites, writes.get(id) ?? [], id);
  });
  await forEachOf(leavesOf(all), async (leaf) => {
    const found: AgentCheckpointListItem[] = [];
    for await (const item of storage.iterateAncestors(leaf.id)) found.push(item);
    expect(found, leaf.id).toStrictEqual(ancestorsOf(leaf, checkpoints).map(itemOf));
  });
  await forEachOf([...deleted], async (id) => {
    expect(await storage.retrieveCheckpoint(id), id).toBeNull();
    expect(await storage.listWrites(id), id).toStrictEqual([]);
  });
}

/** Does the work for 16 items at a time: on a busy machine, most of the time is spent waiting for answers. */
async function forEachOf<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  for (let at = 0; at < items.length; at += 16) await Promise.all(items.slice(at, at + 16).map(work));
}

/** Expects two values to be equal. `toStrictEqual` shows where they differ, but is slow for equal values: it comes second. */
function expectEqual(found: unknown, expected: unknown, what: string): void {
  if (isDeepStrictEqual(found, expected)) return;
  expect(found, what).toStrictEqual(expected);
  expect.fail(`${what} differs in a way that toStrictEqual does not see`);
}

export function itemOf({ state: _, ...item }: Checkpoint): AgentCheckpointListItem {
  return item as AgentCheckpointListItem;
}

export function newestFirst(one: Checkpoint, other: Checkpoint): number {
  return one.id < other.id ? 1 : -1;
}

function byBytes(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}

/** Groups checkpoints by agent and namespace. */
function timelinesOf(all: readonly Checkpoint[]): [Checkpoint, ...Checkpoint[]][] {
  const timelines = new Map<string, [Checkpoint, ...Checkpoint[]]>();
  for (const checkpoint of all) {
    const key = `${checkpoint.agentId}\0${checkpoint.namespace ?? ""}`;
    const timeline = timelines.get(key);
    if (timeline === undefined) timelines.set(key, [checkpoint]);
    else timeline.push(checkpoint);
  }
  return [...timelines.values()];
}

function leavesOf(all: readonly Checkpoint[]): Checkpoint[] {
  const parents = new Set(all.map(({ parentId }) => parentId));
  return all.filter(({ id, parentId }) => parentId !== undefined && !parents.has(id));
}

/** Returns a leaf and its ancestors, as far as they exist. */
function ancestorsOf(leaf: Checkpoint, checkpoints: Contents["checkpoints"]): Checkpoint[] {
  const ancestors: Checkpoint[] = [];
  for (let at: Checkpoint | undefined = leaf; at !== undefined; at = checkpoints.get(at.parentId ?? ""))
    ancestors.push(at);
  return ancestors;
}
