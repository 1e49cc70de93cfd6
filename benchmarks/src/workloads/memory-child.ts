// The program of memory.ts, in a process of its own: node memory-child.js storing|idle PATH TURNS

import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { generateConversation, type State, stateAfter } from "../conversation.ts";
import { openWaymark } from "../systems/waymark.ts";
import type { MemoryFigures } from "./memory.ts";

const AGENTS = 50;
/** The turns of 1.7 kB that an agent keeps, 1 MB in all. */
const WINDOW = 590;
const SAMPLES = 50;
/** Number of different turns, which are added in a circle. It is a prime, so that no agent gets the same one again soon. */
const POOL = 997;

const [mode, path = "", turnsText] = process.argv.slice(2);
const turns = Number(turnsText);
const nowhere = { bytesOnDisk: async () => 0, drop: async () => {} };
const storage =
  mode === "storing" ? openWaymark({ kind: "sqlite", path, synchronous: "NORMAL", ...nowhere }) : undefined;

const agents = Array.from({ length: AGENTS }, (_, index): State => {
  return stateAfter(generateConversation(WINDOW, index + 1), WINDOW);
});
const pool = generateConversation(POOL, 1_000).turns;
const start = performance.now();
const samples: number[] = [];
const latest = new Map<number, string>();
for (let turn = 0; turn < turns; turn += 1) {
  const index = turn % AGENTS;
  const state = agents[index] as State;
  const added = structuredClone(pool[turn % POOL] ?? []);
  state.turn += 1;
  state.messages.splice(0, added.length);
  state.messages.push(...added);
  if (storage) {
    const checkpoint = { agentId: `agent-${index}`, name: `turn ${state.turn}`, state, createdAt: Date.now() };
    latest.set(index, await storage.storeCheckpoint(checkpoint));
  } else {
    await new Promise((resolve) => setImmediate(resolve)); // the turn ends here too
  }
  if (turn % Math.max(1, Math.floor(turns / SAMPLES)) === 0) samples.push(process.memoryUsage.rss());
}
const figures: Omit<MemoryFigures, "compared"> = {
  peak: peak(),
  final: process.memoryUsage.rss(),
  seconds: (performance.now() - start) / 1_000,
  samples,
};
let compared = 0;
for (const [index, id] of latest) {
  if (!isDeepStrictEqual((await storage?.retrieveCheckpoint(id))?.state, agents[index])) {
    throw new Error(`expected the latest state of agent ${index} as it was stored, got another one`);
  }
  compared += 1;
}
await storage?.close();
console.log(JSON.stringify({ ...figures, compared }));

/** The most resident memory so far. Linux's rusage would count the process that started this one too. */
function peak(): number {
  try {
    const [, kilobytes] = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
    if (kilobytes !== undefined) return Number(kilobytes) * 1_024;
  } catch {} // not Linux
  return process.resourceUsage().maxRSS * 1_024;
}
