// The program of backup.ts, in a process of its own: node --expose-gc backup-child.js PLACE PORT ROWS
// On PORT nobody listens: a backup that is down. 0: main alone.

import { createReplicatedStorage } from "@waymark/core";
import type { Place } from "../databases.ts";
import { BASE64, randomOf } from "../random.ts";
import { openWaymark } from "../systems/waymark.ts";
import { type BacklogFigures, openDown } from "./backup.ts";

const WRITERS = 16;
const AGENTS = 200;
/** Small enough not to be cached; and random, so that rows cannot share what is held of them in memory. */
const STATE_CHARACTERS = 3_500;
const SAMPLE_EVERY = 500;

const [placeText = "", portText, rowsText] = process.argv.slice(2);
const place = JSON.parse(placeText) as Place;
const [port, rows] = [Number(portText), Number(rowsText)];

const main = openWaymark(place);
const storage =
  port === 0
    ? main
    : createReplicatedStorage({ main, backup: openDown(place.kind, port, false), replication: "async" });
await storage.listCheckpoints({ limit: 1 });

const before = held();
let peak = before;
let next = 0;
const random = randomOf(5);
const write = async () => {
  for (let index = next++; index < rows; index = next++) {
    const state = { step: index, text: random.text(STATE_CHARACTERS, BASE64) };
    await storage.storeCheckpoint({ agentId: `agent-${index % AGENTS}`, name: "", state, createdAt: Date.now() });
    if (index % SAMPLE_EVERY === 0) peak = Math.max(peak, held());
  }
};
await Promise.all(Array.from({ length: WRITERS }, write));
const final = held();
const backlog = port === 0 ? null : ((await storage.status()).providers["main"]?.backlog ?? null);
const { checkpoints, storedBytes } = await main.stats();
if (checkpoints !== rows) throw new Error(`expected ${rows} rows in main, got ${checkpoints}`);
if (backlog !== null && backlog.rows !== rows) throw new Error(`expected ${rows} rows pending, got ${backlog.rows}`);
const pending = { pending: backlog?.rows ?? null, pendingBytes: backlog?.bytes ?? null };
const figures: BacklogFigures = { before, peak: Math.max(peak, final), final, rows, storedBytes, ...pending };
console.log(JSON.stringify(figures));
await storage.close({ timeoutMs: 100 });

/** Measures the memory that is still held when the garbage has been collected. */
function held(): number {
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
