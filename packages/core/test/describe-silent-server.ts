import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import type { CheckpointStorage, CommonStorageOptions } from "../src/contract/checkpoints.ts";
import { isLate } from "./lateness.ts";

const CALLS = 1_000;
const AT_ONCE = 100;
const DEADLINE_MS = 250;
/** Within it a driver has let go of its connections after `close`, its own timeouts included. */
const RELEASE_MS = 30_000;
/** For all of it, on a busy machine. */
const TIMEOUT_MS = 180_000;

export type SilentOptions = Pick<CommonStorageOptions, "operationTimeoutMs" | "circuit">;

/** What stands in for the database, in this process. */
export interface SilentServer {
  /** How many clients are connected. */
  readonly connections: number;
  stop(): Promise<void>;
}

/** A server that accepts connections and never says anything. */
export async function startSilentServer(): Promise<SilentServer & { readonly port: number }> {
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

/**
 * That a database which accepts connections and never answers costs no call more than its deadline, and the process
 * nothing. Each situation opens a storage on one.
 */
export function describeSilentServer(
  situations: Readonly<
    Record<string, (options: SilentOptions) => Promise<{ storage: CheckpointStorage; server: SilentServer }>>
  >,
): void {
  const circuits = { "is left alone": {}, "is tried by every call": { failureThreshold: 1_000_000 } };
  for (const [situation, open] of Object.entries(situations)) {
    for (const [treatment, circuit] of Object.entries(circuits)) {
      describe(`a server that ${situation}, and ${treatment}`, () => {
        it(`ends each of ${CALLS} calls within its deadline, and leaves nothing behind`, {
          timeout: TIMEOUT_MS,
        }, async () => {
          const unhandled: unknown[] = [];
          const note = (reason: unknown) => unhandled.push(reason);
          process.on("unhandledRejection", note);
          onTestFinished(() => void process.off("unhandledRejection", note));

          const before = sockets();
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
          await storage.close().catch((error: { code?: string }) => expect(error.code).toBe("TIMEOUT"));
          while (server.connections > 0 && performance.now() - closing < RELEASE_MS) await turn();
          expect(server.connections).toBe(0);
          await server.stop();
          while (sockets() > before && performance.now() - closing < RELEASE_MS) await turn();
          expect(sockets()).toBeLessThanOrEqual(before);
          expect(unhandled).toEqual([]);
        });
      });
    }
  }
}

function call(storage: CheckpointStorage, index: number): Promise<unknown> {
  const calls = [
    () => storage.storeCheckpoint({ agentId: "agent", name: "turn", state: { index }, createdAt: index }),
    () => storage.retrieveLatestCheckpoint("agent"),
    () => storage.listCheckpoints(),
    () => storage.deleteAgent("agent"),
  ];
  return (calls[index % calls.length] as () => Promise<unknown>)();
}

/** Those that hold the process, and what is on the way to one. */
function sockets(): number {
  const kinds = new Set(["TCPSocketWrap", "TCPConnectWrap", "TLSWrap", "GetAddrInfoReqWrap"]);
  return process.getActiveResourcesInfo().filter((kind) => kinds.has(kind)).length;
}
