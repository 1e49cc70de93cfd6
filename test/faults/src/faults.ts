import { type Direction, exhaustConnections, killConnections, setReadOnly } from "waymark-test-servers";
import type { Arena } from "./arena.ts";
import { scale } from "./scale.ts";
import type { Fault } from "./scenario.ts";

/** What happens to main. */
export interface FaultKind {
  readonly title: string;
  /** Needs processes that reach main through a proxy. */
  readonly viaProxy?: "all" | "first";
  /** Is nothing without a backup that the processes share. */
  readonly oneBackup?: true;
  /** Needs a server of its own, with a small disk. */
  readonly smallDisk?: true;
  on(arena: Arena): Omit<Fault, "title">;
}

const { operationTimeoutMs, serverKills, connectionKills, cuts } = scale;
/** Goes when the agents have got on meanwhile, as with a backup they do, or after some time. */
const aWhile = [0, operationTimeoutMs * 1.5] as const;
const longerThanTheDeadline = [operationTimeoutMs * 1.3, operationTimeoutMs * 1.3] as const;
const aMoment = [0, 0] as const;
const nothing = async () => {};

/** Cuts what goes to the client and what goes to the server, by turns. */
function inTurns(cut: (direction: Direction) => void): Omit<Fault, "title"> {
  let time = 0;
  return {
    times: cuts,
    lastsMs: aMoment,
    begin: async () => {
      time += 1;
      cut(time % 2 === 0 ? "to-server" : "to-client");
    },
    end: nothing,
  };
}

export const faults: readonly FaultKind[] = [
  {
    title: `main SIGKILLed and started again, ${serverKills} times`,
    on: ({ server }) => ({ times: serverKills, lastsMs: aWhile, begin: server.kill, end: server.start }),
  },
  {
    title: `main's connections killed, ${connectionKills} times`,
    on: ({ server, database }) => ({
      times: connectionKills,
      lastsMs: aMoment,
      begin: async () => void (await killConnections(server.url, database.name)),
      end: nothing,
    }),
  },
  {
    title: "main stopped (SIGSTOP) for longer than the deadline",
    on: ({ server }) => ({ times: 1, lastsMs: longerThanTheDeadline, begin: server.pause, end: server.resume }),
  },
  {
    title: "main refuses connections",
    viaProxy: "all",
    on: ({ proxy }) => ({
      times: 1,
      lastsMs: aWhile,
      begin: async () => {
        await proxy?.refuse(true);
        proxy?.dropAll();
      },
      end: async () => await proxy?.refuse(false),
    }),
  },
  {
    title: "main answers read-only",
    on: ({ server }) => ({
      times: 1,
      lastsMs: aWhile,
      begin: () => setReadOnly(server.url, true),
      end: () => setReadOnly(server.url, false),
    }),
  },
  {
    title: "main is out of connections",
    on: ({ server, database }) => {
      let giveBack = nothing;
      return {
        times: 1,
        lastsMs: aWhile,
        begin: async () => {
          giveBack = await exhaustConnections(server.url, { evict: database.name });
        },
        end: async () => await giveBack(),
      };
    },
  },
  {
    title: "main's disk full",
    smallDisk: true,
    on: ({ server }) => ({ times: 1, lastsMs: aWhile, begin: server.fillDisk, end: server.freeDisk }),
  },
  {
    title: "the network cuts one of the processes off from main",
    viaProxy: "first",
    oneBackup: true,
    on: ({ proxy }) => ({
      times: 1,
      lastsMs: aWhile,
      begin: async () => {
        await proxy?.refuse(true);
        proxy?.dropAll();
      },
      end: async (crew) => {
        // The other process has main, and must know of what this one has given to the backup.
        await crew.handOver();
        await proxy?.refuse(false);
      },
    }),
  },
  {
    title: `the network cuts main off, ${cuts} times`,
    viaProxy: "all",
    on: ({ proxy }) => ({ times: cuts, lastsMs: aMoment, begin: async () => proxy?.dropAll(), end: nothing }),
  },
  {
    title: "the network drops all that is sent, for longer than the deadline",
    viaProxy: "all",
    on: ({ proxy }) => ({
      times: 1,
      lastsMs: longerThanTheDeadline,
      begin: async () => proxy?.blackhole(true),
      end: async () => proxy?.blackhole(false),
    }),
  },
  {
    title: "the network is late, by up to more than the deadline",
    viaProxy: "all",
    on: ({ proxy }) => {
      const delays = [30, operationTimeoutMs * 0.6, operationTimeoutMs * 1.2];
      return {
        times: delays.length,
        lastsMs: [operationTimeoutMs * 0.6, operationTimeoutMs],
        begin: async () => proxy?.delay(delays.shift() as number),
        end: async () => proxy?.delay(0),
      };
    },
  },
  {
    title: `the network cuts answers and statements in half, ${cuts} times`,
    viaProxy: "all",
    on: ({ proxy }) => inTurns((direction) => void proxy?.truncate(direction)),
  },
  {
    title: `the network closes connections by half, ${cuts} times`,
    viaProxy: "all",
    on: ({ proxy }) => inTurns((direction) => proxy?.halfClose(direction)),
  },
];

/** Processes are killed, by turns one of them and all at once. */
export const clientKills: FaultKind = {
  title: `clients SIGKILLed, ${scale.clientKills} times`,
  on: () => {
    let time = 0;
    const chosen = (size: number) => {
      const places = Array.from({ length: size }, (_, place) => place);
      return time % 2 === 0 ? places : [places[(time >> 1) % size] as number];
    };
    return {
      times: scale.clientKills,
      lastsMs: aMoment,
      begin: async (crew) => {
        time += 1;
        await Promise.all(chosen(crew.size).map((place) => crew.killWorker(place)));
      },
      end: async (crew) => void (await Promise.all(chosen(crew.size).map((place) => crew.startWorker(place)))),
    };
  },
};

/** Both at once: what the clients had not sent to the backup, and what main had not told the clients. */
export const clientAndServerKills: FaultKind = {
  title: `clients and main SIGKILLed, ${scale.serverKills} times`,
  on: (arena) => {
    const clients = clientKills.on(arena);
    return {
      times: scale.serverKills,
      lastsMs: aWhile,
      begin: async (crew) => {
        await arena.server.kill();
        await clients.begin(crew);
        await clients.end(crew);
      },
      end: arena.server.start,
    };
  },
};
