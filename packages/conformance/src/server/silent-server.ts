import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import type { CheckpointStorage, CommonStorageOptions } from "@waymark/core";
import { describe, expect, it, onTestFinished } from "vitest";
import { ServerBench } from "./bench.ts";
import { isLate } from "./lateness.ts";
import type { ServerTarget } from "./target.ts";
import { untilDone } from "./until-done.ts";

const CALLS = 1_000;
const AT_ONCE = 100;
const DEADLINE_MS = 250;
/** A text that deflate makes little smaller: MySQL asks for another connection if a row of this size breaks one. */
const LARGE_TEXT = randomBytes(300_000).toString("base64");
/** One of so many calls stores the large text. */
const LARGE_EVERY = 80;
/** Time after `close` within which a driver has let go of its connections, its own timeouts included. */
const RELEASE_MS = 30_000;
/** Time for a whole test, on a busy machine. */
const TEST_TIMEOUT_MS = 180_000;

type SilentOptions = Pick<CommonStorageOptions, "operationTimeoutMs" | "circuit">;

/** A server that accepts connections and does not answer, in this process. */
interface SilentServer {
  /** Number of clients that are connected. */
  readonly connections: number;
  stop(): Promise<void>;
}

/** The default circuit leaves a failing server alone; the other one never opens. */
const CIRCUITS = { "a circuit that opens": {}, "a circuit that never opens": { failureThreshold: 1_000_000 } };

/**
 * Registers the tests of a server that accepts connections and does not answer: no call takes longer than its deadline, and
 * nothing is left in the process.
 */
export function describeSilentServer(target: ServerTarget): void {
  const bench = new ServerBench(target);

  async function openOnServerThatNeverAnswers(options: SilentOptions) {
    const server = await startSilentServer();
    const url = new URL(target.url);
    url.host = `127.0.0.1:${server.port}`;
    url.pathname = "/waymark";
    return { storage: target.open({ connectionString: url.href, ...options }), server };
  }

  async function openOnServerThatFallsSilent(options: SilentOptions) {
    const { url } = await bench.createDatabase();
    const first = bench.open({ connectionString: url });
    await first.migrate(); // it may take longer than the deadline below
    await first.close();
    const proxy = await bench.startProxy(url);
    const storage = target.open({ connectionString: proxy.url, ...options });
    await untilDone(() => storage.listAgents());
    proxy.blackhole(true);
    return { storage, server: proxy };
  }

  const situations = {
    "has never answered": openOnServerThatNeverAnswers,
    "answers no more": openOnServerThatFallsSilent,
  };
  for (const [situation, open] of Object.entries(situations)) {
    for (const [kind, circuit] of Object.entries(CIRCUITS)) {
      describe(`${target.name}: a storage with ${kind}, on a server that ${situation}`, () => {
        it(`ends each of ${CALLS} calls by its deadline, and leaves nothing behind`, {
          timeout: TEST_TIMEOUT_MS,
        }, async () => {
          const unhandled: unknown[] = [];
          const note = (reason: unknown) => unhandled.push(reason);
          process.on("unhandledRejection", note);
          onTestFinished(() => void process.off("unhandledRejection", note));

          const before = countSockets();
          const { storage, server } = await open({ operationTimeoutMs: DEADLINE_MS, circuit });
          onTestFinished(async () => void (await storage.close().catch(() => {})));
          const codes = new Map<string, number>();
          let late = 0;
          for (let done = 0; done < CALLS; done += AT_ONCE) {
            await Promise.all(
              Array.from({ length: AT_ONCE }, async (_, index) => {
                const failing = call(storage, done + index);
                if (await isLate(failing, DEADLINE_MS)) late += 1;
                const code = await failing.then(
                  () => "(no error)",
                  (error: { code?: string }) => error.code ?? String(error),
                );
                codes.set(code, (codes.get(code) ?? 0) + 1);
              }),
            );
          }
          expect([...codes.keys()].filter((code) => code !== "TIMEOUT" && code !== "UNAVAILABLE")).toEqual([]);
          expect([...codes.values()].reduce((sum, count) => sum + count)).toBe(CALLS);
          expect(late).toBe(0);
          expect(await storage.health()).toMatchObject({ ok: false });

          const closing = performance.now();
          await storage.close();
          while (server.connections > 0 && performance.now() - closing < RELEASE_MS) await turn();
          expect(server.connections).toBe(0);
          await server.stop();
          while (countSockets() > before && performance.now() - closing < RELEASE_MS) await turn();
          expect(countSockets()).toBeLessThanOrEqual(before);
          expect(unhandled).toEqual([]);
        });
      });
    }
  }
}

/** Starts a server that accepts connections and never says anything. */
async function startSilentServer(): Promise<SilentServer & { readonly port: number }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on("error", () => {}).resume());
    socket.on("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return sockets.size;
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

function call(storage: CheckpointStorage, index: number): Promise<unknown> {
  const text = index % LARGE_EVERY === 0 ? LARGE_TEXT : "";
  const calls = [
    () => storage.storeCheckpoint({ agentId: "agent", name: "turn", state: { index, text }, createdAt: index }),
    () => storage.retrieveLatestCheckpoint("agent"),
    () => storage.listCheckpoints(),
    () => storage.deleteAgent("agent"),
  ];
  return (calls[index % calls.length] as () => Promise<unknown>)();
}

/** Counts the sockets that keep this process alive, and the attempts to make one. */
function countSockets(): number {
  const kinds = new Set(["TCPSocketWrap", "TCPConnectWrap", "TLSWrap", "GetAddrInfoReqWrap"]);
  return process.getActiveResourcesInfo().filter((kind) => kinds.has(kind)).length;
}
