import { isDeepStrictEqual } from "node:util";
import type { AgentCheckpointListItem } from "@waymark/core";
import { expect } from "vitest";
import type { Checkpoint, Contents } from "../src/steps.mjs";
import type { Storage } from "./old-process.ts";

/** Expects a storage to give back just this, by each of its methods that read. */
export async function expectContents(storage: Storage, { checkpoints, writes, deleted }: Contents): Promise<void> {
  const all = [...checkpoints.values()].sort(newestFirst);
  expect(await storage.listCheckpoints()).toStrictEqual(all.map(itemOf));
  expect(await storage.listAgents()).toStrictEqual([...new Set(all.map(({ agentId }) => agentId))].sort(byBytes));

  await eachOf(linesOf(all), async (line) => {
    const [{ agentId, namespace = "" }] = line;
    expect(await storage.listCheckpoints({ agentId, namespace })).toStrictEqual(line.map(itemOf));
    expectEqual(await storage.retrieveLatestCheckpoint(agentId, { namespace }), line[0], agentId);
  });
  await eachOf(all, async (checkpoint) => {
    const { id } = checkpoint;
    const [found, foundWrites] = await Promise.all([storage.retrieveCheckpoint(id), storage.listWrites(id)]);
    expectEqual(found, checkpoint, id);
    expectEqual(foundWrites, writes.get(id) ?? [], id);
  });
  await eachOf(leavesOf(all), async (leaf) => {
    const found: AgentCheckpointListItem[] = [];
    for await (const item of storage.iterateAncestors(leaf.id)) found.push(item);
    expect(found, leaf.id).toStrictEqual(ancestorsOf(leaf, checkpoints).map(itemOf));
  });
  await eachOf([...deleted], async (id) => {
    expect(await storage.retrieveCheckpoint(id), id).toBeNull();
    expect(await storage.listWrites(id), id).toStrictEqual([]);
  });
}

/** Does the work for some at once: on a busy machine most of the time is waiting for an answer. */
async function eachOf<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  for (let at = 0; at < items.length; at += 16) await Promise.all(items.slice(at, at + 16).map(work));
}

/** As `toStrictEqual`, which tells where two states differ, and is slow where they do not. */
function expectEqual(found: unknown, expected: unknown, what: string): void {
  if (isDeepStrictEqual(found, expected)) return;
  expect(found, what).toStrictEqual(expected);
  expect.fail(`${what} differs by what toStrictEqual does not look at`);
}

export function itemOf({ state: _, ...item }: Checkpoint): AgentCheckpointListItem {
  return item;
}

export function newestFirst(one: Checkpoint, other: Checkpoint): number {
  return one.id < other.id ? 1 : -1;
}

function byBytes(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}

/** Those of each agent and namespace. */
function linesOf(all: readonly Checkpoint[]): [Checkpoint, ...Checkpoint[]][] {
  const lines = new Map<string, [Checkpoint, ...Checkpoint[]]>();
  for (const checkpoint of all) {
    const key = `${checkpoint.agentId}\0${checkpoint.namespace ?? ""}`;
    const line = lines.get(key);
    if (line === undefined) lines.set(key, [checkpoint]);
    else line.push(checkpoint);
  }
  return [...lines.values()];
}

function leavesOf(all: readonly Checkpoint[]): Checkpoint[] {
  const parents = new Set(all.map(({ parentId }) => parentId));
  return all.filter(({ id, parentId }) => parentId !== undefined && !parents.has(id));
}

/** As far as they are there. */
function ancestorsOf(leaf: Checkpoint, checkpoints: Contents["checkpoints"]): Checkpoint[] {
  const ancestors: Checkpoint[] = [];
  for (let at: Checkpoint | undefined = leaf; at !== undefined; at = checkpoints.get(at.parentId ?? ""))
    ancestors.push(at);
  return ancestors;
}
