import { type Direction, exhaustConnections, killConnections, setReadOnly } from "waymark-test-servers";
import type { Arena } from "./arena.ts";
import { scale } from "./scale.ts";
import type { Fault } from "./scenario.ts";

/** A kind of fault. */
export interface FaultKind {
  readonly title: string;
  /** Processes that must connect to main through a proxy. */
  readonly viaProxy?: "all" | "first";
  /** Set if the fault only makes sense with a shared backup. */
  readonly oneBackup?: true;
  /** Set if the fault needs a server of its own with a small disk. */
  readonly smallDisk?: true;
  on(arena: Arena): Omit<Fault, "title">;
}

const { operationTimeoutMs, serverKills, connectionKills, cuts } = scale;
/** Ends when the agents have made progress, as they do with a backup, and after this time at the latest. */
const untilProgress = [0, operationTimeoutMs * 1.5] as const;
const longerThanTheDeadline = [operationTimeoutMs * 1.3, operationTimeoutMs * 1.3] as const;
const momentary = [0, 0] as const;
const doNothing = async () => {};

/** Cuts the data to the client and the data to the server, alternately. */
function cutAlternately(cut: (direction: Direction) => void): Omit<Fault, "title"> {
  let time = 0;
  return {
    times: cuts,
    lastsMs: momentary,
    begin: async () => {
      time += 1;
      cut(time % 2 === 0 ? "to-server" : "to-client");
    },
    end: doNothing,
  };
}

export const faults: readonly FaultKind[] = [
  {
    title: `main SIGKILLed and started again, ${serverKills} times`,
    on: ({ server }) => ({ times: serverKills, lastsMs: untilProgress, begin: server.kill, end: server.start }),
  },
  {
    title: `main's connections killed, ${connectionKills} times`,
    on: ({ server, database }) => ({
      times: connectionKills,
      lastsMs: momentary,
      begin: async () => void (await killConnections(server.url, database.name)),
      end: doNothing,
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
      lastsMs: untilProgress,
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
      lastsMs: untilProgress,
      begin: () => setReadOnly(server.url, true),
      end: () => setReadOnly(server.url, false),
    }),
  },
  {
    title: "main is out of connections",
    on: ({ server, database }) => {
      let giveBack = doNothing;
      return {
        times: 1,
        lastsMs: untilProgress,
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
    on: ({ server }) => ({ times: 1, lastsMs: untilProgress, begin: server.fillDisk, end: server.freeDisk }),
  },
  {
    title: "the network cuts one of the processes off from main",
    viaProxy: "first",
    oneBackup: true,
    on: ({ proxy }) => ({
      times: 1,
      lastsMs: untilProgress,
      begin: async () => {
        await proxy?.refuse(true);
        proxy?.dropAll();
      },
      end: async (crew) => {
        // The other process reaches main. It must see what this process has stored in the backup.
        await crew.handOver();
        await proxy?.refuse(false);
      },
    }),
  },
  {
    title: `the network cuts main off, ${cuts} times`,
    viaProxy: "all",
    on: ({ proxy }) => ({ times: cuts, lastsMs: momentary, begin: async () => proxy?.dropAll(), end: doNothing }),
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
    title: "the network delays all data, by up to more than the deadline",
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
    on: ({ proxy }) => cutAlternately((direction) => void proxy?.truncate(direction)),
  },
  {
    title: `the network closes connections by half, ${cuts} times`,
    viaProxy: "all",
    on: ({ proxy }) => cutAlternately((direction) => proxy?.halfClose(direction)),
  },
];

/** Kills processes: alternately one of them, and all at once. */
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
      lastsMs: momentary,
      begin: async (crew) => {
        time += 1;
        await Promise.all(chosen(crew.size).map((place) => crew.killWorker(place)));
      },
      end: async (crew) => void (await Promise.all(chosen(crew.size).map((place) => crew.startWorker(place)))),
    };
  },
};

/** Kills main and processes together: rows are unsent, and answers of main have not reached the processes. */
export const clientAndServerKills: FaultKind = {
  title: `clients and main SIGKILLed, ${scale.serverKills} times`,
  on: (arena) => {
    const clients = clientKills.on(arena);
    return {
      times: scale.serverKills,
      lastsMs: untilProgress,
      begin: async (crew) => {
        await arena.server.kill();
        await clients.begin(crew);
        await clients.end(crew);
      },
      end: arena.server.start,
    };
  },
};
