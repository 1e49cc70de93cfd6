import { execFile } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual, promisify } from "node:util";
import { type CheckpointStorage, createReplicatedStorage } from "@waymark/core";
import { createMySQLStorage } from "@waymark/mysql";
import { createPostgresStorage } from "@waymark/postgres";
import { type Conversation, generateConversation, growLive, type State, stateAfter } from "../conversation.ts";
import { type Database, openDatabase, type Place } from "../databases.ts";
import { bytes, figure } from "../print.ts";
import { randomOf } from "../random.ts";
import type { Context, Failure, Goal, Outcome, Table, Workload } from "../report.ts";
import { median, timed } from "../statistics.ts";
import { present } from "../systems/system.ts";
import { openWaymark } from "../systems/waymark.ts";

/** The cost of a backup for an agent that stores in main: of one that is down, and of one that gets everything. */
export const backup: Workload = {
  id: "backup",
  title: "main with a backup",
  runsOn: (database) => database !== "sqlite-normal" && database !== "postgres-vector",
  run,
};

/** Rounds in each repetition. A way takes a tenth of a second in each, so that the machine's drift is the same for all. */
const ROUNDS = 20;
const QUICK_ROUNDS = 3;
const TURNS = 30;
/** Number of states that are read back and compared, of each way and of its backup; half of them are latest ones. */
const COMPARED = 200;
const BACKLOG_ROWS = 20_000;
const QUICK_BACKLOG_ROWS = 1_000;
/** Timeout of closing a storage whose backup is down, and gets nothing any more. */
const CLOSE_MS = 100;
const CAUGHT_UP_WITHIN_MS = 60_000;

/** Agents that store at once, each one turn after another, and the time that they think in between. */
interface Shape {
  readonly id: string;
  readonly title: string;
  readonly agents: number;
  readonly turns: number;
  readonly thinkMs: number;
}

function shapes(turns: number): Shape[] {
  return [
    { id: "one", title: "one agent", agents: 1, turns, thinkMs: 0 },
    { id: "thinking", title: "one agent that thinks for 10 ms", agents: 1, turns: Math.ceil(turns / 3), thinkMs: 10 },
    { id: "many", title: "16 agents at once", agents: 16, turns: Math.ceil(turns / 5), thinkMs: 0 },
  ];
}

/** The places of backups, and the addresses of those that are down. */
interface Backups {
  readonly files: Database;
  readonly mysql: Database | null;
  /** Ports of this machine: on the first nobody listens, on the second somebody does who never answers. */
  readonly closedPort: number;
  readonly silentPort: number;
}

type Backup = "none" | "refuses" | "silent" | "given up" | "sqlite" | "mysql";

interface Way {
  readonly id: string;
  readonly title: string;
  readonly backup: Backup;
  readonly replication: "async" | "required";
  /** Greatest median that is good enough, relative to main alone. */
  readonly goal: number | null;
}

function isDown({ backup: kind }: Way): boolean {
  return kind === "refuses" || kind === "silent" || kind === "given up";
}

function waysOn({ name }: Database, { mysql }: Backups): Way[] {
  const all: Way[] = [
    { id: "alone", title: "main alone", backup: "none", replication: "async", goal: null },
    { id: "again", title: "main alone, once more: the noise", backup: "none", replication: "async", goal: null },
    { id: "refuses", title: "backup down: refuses", backup: "refuses", replication: "async", goal: 1.05 },
    { id: "silent", title: "backup down: never answers", backup: "silent", replication: "async", goal: 1.05 },
    { id: "given-up", title: "backup down for long", backup: "given up", replication: "async", goal: 1.05 },
    { id: "async", title: "backup in SQLite", backup: "sqlite", replication: "async", goal: 1.25 },
    { id: "async-mysql", title: "backup in MySQL", backup: "mysql", replication: "async", goal: 1.25 },
    { id: "required", title: "backup in SQLite, required", backup: "sqlite", replication: "required", goal: null },
  ];
  return all.filter((way) => way.backup !== "mysql" || (name === "postgres" && mysql !== null));
}

/** A way that is under way, in a database of its own. */
interface Running {
  readonly way: Way;
  readonly place: Place;
  readonly backupPlace: Place | null;
  readonly storage: CheckpointStorage;
  readonly stored: Talk[];
  /** By shape: each round's median, in milliseconds, and that of main alone beside it. */
  readonly medians: Map<string, Compared[]>;
}

interface Compared {
  readonly own: number;
  readonly alone: number;
}

interface WayFigures {
  readonly id: string;
  readonly title: string;
  readonly shape: string;
  /** Medians over the rounds, in milliseconds, and what each round had. */
  readonly p50: number;
  readonly p50s: readonly number[];
  /** Of each round's median to that of main alone in the same round. */
  readonly ratio: number;
  readonly goal: number | null;
}

/** The output of backup-child.ts; bytes, after collecting the garbage. */
export interface BacklogFigures {
  readonly before: number;
  readonly peak: number;
  readonly final: number;
  readonly rows: number;
  readonly storedBytes: number;
  readonly pending: number | null;
  readonly pendingBytes: number | null;
}

async function run(context: Context): Promise<Outcome> {
  const { database, options } = context;
  const failures: Failure[] = [];
  const { backups, stop } = await openBackups(database, context);
  try {
    const all = shapes(options.turns?.[0] ?? TURNS);
    const rounds = options.repetitions * (options.quick ? QUICK_ROUNDS : ROUNDS);
    const ways = await measure(context, backups, all, rounds, failures);
    const results = all.flatMap((shape) => figuresOf(ways, shape));
    const backlog = await measureBacklog(context, backups, failures);
    return {
      results: { stores: results, backlog },
      tables: [...all.map((shape) => table(shape, results, rounds)), ...(backlog === null ? [] : [ofBacklog(backlog)])],
      goals: [...(options.quick ? [] : goals(results)), ...(backlog === null ? [] : backlogGoals(backlog))],
      charts: [],
      failures,
    };
  } finally {
    await stop();
  }
}

/**
 * Opens all ways at once, and lets them take turns. So a backup that is down is so from the first round to the last: it is
 * tried, and then given up. Main alone and the ways whose backup is down store one turn after the other's. Each of the others has
 * a whole round for itself, until its backup has everything, and is compared with main alone in the same round.
 */
async function measure(
  { database, progress }: Context,
  backups: Backups,
  all: readonly Shape[],
  rounds: number,
  failures: Failure[],
): Promise<Running[]> {
  const open: Running[] = [];
  const attempt: Attempt = async (one, work) => {
    try {
      return await work();
    } catch (error) {
      open.splice(open.indexOf(one), 1);
      const reason = error instanceof Error ? error.message : String(error);
      failures.push({ system: one.way.id, reason: reason.split("\n")[0] ?? "" });
      progress(`${one.way.id} FAILED: ${error instanceof Error ? error.stack : error}`);
      one.storage.close({ timeoutMs: CLOSE_MS }).catch(() => {});
      return null;
    }
  };
  const running: Running[] = [];
  try {
    for (const way of waysOn(database, backups)) running.push(await start(way, await database.createPlace(), backups));
    open.push(...running);
    // The first round warms up, and does not count.
    for (let round = 0; round <= rounds; round += 1) {
      await database.settle();
      const begin = performance.now();
      globalThis.gc?.();
      for (const shape of all) await takeTurns(open, shape, round, attempt);
      const seconds = ((performance.now() - begin) / 1_000).toFixed(1);
      progress(`round ${round} of ${rounds} (${seconds} s)`);
    }
    for (const one of [...open]) await attempt(one, () => finish(one));
    return open;
  } finally {
    for (const { place, backupPlace } of running) {
      await place.drop();
      await backupPlace?.drop();
    }
  }
}

async function openBackups(main: Database, { progress }: Context) {
  const files = await openDatabase("sqlite-full");
  let mysql: Database | null = null;
  if (main.name === "postgres") {
    try {
      mysql = await openDatabase("mysql");
    } catch (error) {
      progress(`! a backup in MySQL is left out: ${error instanceof Error ? error.message : error}`);
    }
  }
  const sockets = new Set<Socket>();
  const silent = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    socket.resume();
  });
  const closed = createServer();
  for (const server of [silent, closed]) await once(server.listen(0, "127.0.0.1"), "listening");
  const portOf = (server: typeof silent) => (server.address() as AddressInfo).port;
  const backups: Backups = { files, mysql, silentPort: portOf(silent), closedPort: portOf(closed) };
  await promisify(closed.close.bind(closed))();
  const stop = async () => {
    for (const socket of sockets) socket.destroy();
    silent.close();
    await Promise.all([files.stop(), mysql?.stop()]);
  };
  return { backups, stop };
}

/** On PostgreSQL a backup that is down is one of MySQL, elsewhere one of PostgreSQL. */
export function openDown(main: Place["kind"], port: number, givesUpAtOnce: boolean): CheckpointStorage {
  const quick = givesUpAtOnce ? { retry: { maxRetries: 0 }, circuit: { failureThreshold: 1 } } : {};
  return main === "postgres"
    ? createMySQLStorage({ connectionString: `mysql://root@127.0.0.1:${port}/waymark`, ...quick })
    : createPostgresStorage({ connectionString: `postgres://postgres@127.0.0.1:${port}/waymark`, ...quick });
}

async function start(way: Way, place: Place, backups: Backups): Promise<Running> {
  const backupPlace = await createBackupPlace(way, backups);
  const storage = open(way, place, backupPlace, backups);
  await storage.listCheckpoints({ limit: 1 });
  if (way.backup === "given up") await until(async () => (await circuitOf(storage)) !== "closed", "an open circuit");
  return { way, place, backupPlace, storage, stored: [], medians: new Map() };
}

/** Works for one way. `null`: it failed, and takes part no more. */
type Attempt = <Result>(one: Running, work: () => Promise<Result>) => Promise<Result | null>;

async function takeTurns(open: readonly Running[], shape: Shape, round: number, attempt: Attempt): Promise<void> {
  const isAlone = ({ way }: Running) => way.id === "alone";
  const note = (figures: ReadonlyMap<Running, number>, isNoted: (one: Running) => boolean) => {
    const alone = [...figures].find(([one]) => isAlone(one))?.[1];
    if (round === 0 || alone === undefined) return; // the first round warms up
    for (const [one, own] of figures) {
      if (isNoted(one)) one.medians.set(shape.id, [...(one.medians.get(shape.id) ?? []), { own, alone }]);
    }
  };
  const together = open.filter(({ way }) => way.backup === "none" || isDown(way));
  note(await turnByTurn(together, shape, round, attempt), () => true);
  const apart = open.filter((one) => isAlone(one) || !together.includes(one));
  const figures = new Map<Running, number>();
  for (const one of rotated(apart, round)) {
    const own = await attempt(one, () => takeTurn(one, shape, round));
    if (own !== null) figures.set(one, own);
  }
  note(figures, (one) => !together.includes(one));
}

/** Stores a turn of all agents in each way, then the next turn in each. Returns the medians of the ways that came to the end. */
async function turnByTurn(all: readonly Running[], shape: Shape, round: number, attempt: Attempt) {
  const underWay = new Map(
    all.map((one) => [one, { talks: talksOf(shape, `${round}-together`), latencies: [] as number[] }]),
  );
  for (let turn = 0; turn < shape.turns; turn += 1) {
    for (const one of rotated([...underWay.keys()], turn)) {
      const { talks, latencies } = present(underWay.get(one), "talks");
      const ofTurn = await attempt(one, () => Promise.all(talks.map((talk) => next(one.storage, shape, talk))));
      if (ofTurn === null) underWay.delete(one);
      else latencies.push(...ofTurn);
    }
  }
  const figures = new Map<Running, number>();
  for (const [one, { talks, latencies }] of underWay) {
    one.stored.push(...talks);
    figures.set(one, median(latencies));
  }
  return figures;
}

function talksOf(shape: Shape, round: string): Talk[] {
  return Array.from({ length: shape.agents }, (_, index) => begin(shape, round, index));
}

function rotated<One>(all: readonly One[], by: number): One[] {
  return all.map((_, index) => all[(index + by) % all.length] as One);
}

async function takeTurn({ storage, stored, backupPlace }: Running, shape: Shape, round: number): Promise<number> {
  const talks = talksOf(shape, `${round}`);
  const ofAgents = await Promise.all(
    talks.map(async (talk) => {
      const latencies: number[] = [];
      for (let turn = 0; turn < shape.turns; turn += 1) latencies.push(await next(storage, shape, talk));
      return latencies;
    }),
  );
  stored.push(...talks);
  if (backupPlace !== null) await until(async () => (await pendingIn(storage)) === 0, "a backup that keeps up");
  return median(ofAgents.flat());
}

/** Reads back, and checks that nothing was lost: it is in the backup, or pending in main. */
async function finish({ way, storage, stored, backupPlace }: Running): Promise<void> {
  await readBack(storage, stored);
  if (isDown(way)) await expectAllPending(storage, stored);
  await storage.close(isDown(way) ? { timeoutMs: CLOSE_MS } : {});
  if (backupPlace !== null) await expectAllIn(backupPlace, stored);
}

async function createBackupPlace({ backup: kind }: Way, { files, mysql }: Backups): Promise<Place | null> {
  if (kind === "sqlite") return await files.createPlace();
  return kind === "mysql" && mysql !== null ? await mysql.createPlace() : null;
}

function open({ backup: kind, replication }: Way, place: Place, backupPlace: Place | null, backups: Backups) {
  const main = openWaymark(place);
  if (kind === "none") return main;
  const port = kind === "silent" ? backups.silentPort : backups.closedPort;
  const other = backupPlace === null ? openDown(place.kind, port, kind === "given up") : openWaymark(backupPlace);
  return createReplicatedStorage({ main, backup: other, replication });
}

/** The conversation that one agent stores, and the ids of the states that it has stored. */
interface Talk {
  readonly agentId: string;
  readonly conversation: Conversation;
  readonly states: Iterator<{ readonly state: State }>;
  readonly ids: string[];
}

function begin({ id, turns }: Shape, round: string, index: number): Talk {
  const conversation = generateConversation(turns, index + 1);
  return { agentId: `${id}-${round}-${index}`, conversation, states: growLive(conversation), ids: [] };
}

/** Stores the next turn; returns the milliseconds that it took. */
async function next(storage: CheckpointStorage, { thinkMs }: Shape, { agentId, states, ids }: Talk): Promise<number> {
  const { state } = present(states.next().value as { state: State } | undefined, "a turn");
  if (thinkMs > 0) await delay(thinkMs);
  const checkpoint = { agentId, name: `turn ${state.turn}`, state, createdAt: Date.now() };
  const [milliseconds, id] = await timed(() => storage.storeCheckpoint(checkpoint));
  ids.push(id);
  return milliseconds;
}

async function readBack(storage: CheckpointStorage, stored: readonly Talk[]): Promise<void> {
  const random = randomOf(11);
  for (let compared = 0; compared < COMPARED; compared += 1) {
    const { agentId, conversation, ids } = random.pick(stored);
    const turn = compared % 2 === 0 ? ids.length : 1 + random.below(ids.length);
    const found = await storage.retrieveCheckpoint(ids[turn - 1] as string);
    if (!isDeepStrictEqual(found?.state, stateAfter(conversation, turn))) {
      throw new Error(`expected the state of ${agentId} after turn ${turn} as it was stored, got another one`);
    }
  }
}

/** Checks that main knows of every row that the backup lacks. */
async function expectAllPending(storage: CheckpointStorage, stored: readonly Talk[]): Promise<void> {
  const [rows, expected] = [await pendingIn(storage), count(stored)];
  if (rows !== expected) throw new Error(`expected ${expected} rows to be pending in main, got ${rows}`);
}

async function expectAllIn(place: Place, stored: readonly Talk[]): Promise<void> {
  const storage = openWaymark(place);
  try {
    const listed = new Set<string>();
    for await (const { id } of storage.iterateCheckpoints()) listed.add(id);
    const missing = stored.flatMap(({ ids }) => ids.filter((id) => !listed.has(id)));
    if (missing.length > 0 || listed.size !== count(stored)) {
      throw new Error(
        `expected the backup to have ${count(stored)} rows, got ${listed.size}; ${missing.length} missing`,
      );
    }
    await readBack(storage, stored);
  } finally {
    await storage.close();
  }
}

function count(stored: readonly Talk[]): number {
  return stored.reduce((total, { ids }) => total + ids.length, 0);
}

async function pendingIn(storage: CheckpointStorage): Promise<number | null> {
  return (await storage.status()).providers["main"]?.backlog?.rows ?? null;
}

async function circuitOf(storage: CheckpointStorage): Promise<string | undefined> {
  return (await storage.status()).providers["backup"]?.circuit;
}

/** Waits. @throws if it does not come in time */
async function until(isSo: () => Promise<boolean>, what: string): Promise<void> {
  const late = performance.now() + CAUGHT_UP_WITHIN_MS;
  while (!(await isSo())) {
    if (performance.now() > late) throw new Error(`expected ${what} within ${CAUGHT_UP_WITHIN_MS} ms`);
    await delay(20);
  }
}

function figuresOf(ways: readonly Running[], shape: Shape): WayFigures[] {
  return ways.map(({ way: { id, title, goal }, medians }) => {
    const rounds = medians.get(shape.id) ?? [];
    const p50s = rounds.map(({ own }) => own);
    const ratio = median(rounds.map(({ own, alone }) => own / alone));
    return { id, title, shape: shape.id, p50: median(p50s), p50s, ratio, goal };
  });
}

function table({ id, title, agents, turns }: Shape, results: readonly WayFigures[], rounds: number): Table {
  return {
    title: `Median store latency: ${title}, ${agents * turns} stores, ${rounds} rounds`,
    head: ["main", "ms", "relative to main alone", "goal"],
    rows: results
      .filter(({ shape }) => shape === id)
      .map((way) => [way.title, figure(way.p50), figure(way.ratio), way.goal === null ? "–" : `${way.goal}`]),
  };
}

function goals(results: readonly WayFigures[]): Goal[] {
  return results.flatMap(({ title, shape, ratio, goal }): Goal[] =>
    goal === null ? [] : [{ what: `${title} / main alone, ${shape}`, measured: ratio, bound: "at most", goal }],
  );
}

interface Backlogs {
  readonly alone: BacklogFigures;
  readonly down: BacklogFigures;
}

/** Measures the heap of a process that stores, alone and with a backup that is down. */
async function measureBacklog(
  { database, options, progress }: Context,
  { closedPort }: Backups,
  failures: Failure[],
): Promise<Backlogs | null> {
  const rows = options.quick ? QUICK_BACKLOG_ROWS : BACKLOG_ROWS;
  const script = fileURLToPath(new URL("backup-child.js", import.meta.url));
  const child = async (port: number): Promise<BacklogFigures> => {
    const place = await database.createPlace();
    try {
      const args = ["--expose-gc", script, JSON.stringify(place), String(port), String(rows)];
      const { stdout } = await promisify(execFile)(process.execPath, args);
      const figures = JSON.parse(stdout) as BacklogFigures;
      progress(`${rows} rows, ${port === 0 ? "main alone" : "backup down"}: peak ${bytes(figures.peak)} of heap`);
      return figures;
    } finally {
      await place.drop();
    }
  };
  try {
    return { alone: await child(0), down: await child(closedPort) };
  } catch (error) {
    const reason = error instanceof Error ? (error.message.trim().split("\n").at(-1) ?? "") : String(error);
    failures.push({ system: "backlog", reason });
    return null;
  }
}

function ofBacklog({ alone, down }: Backlogs): Table {
  const row = (title: string, { before, peak, final, pending, pendingBytes }: BacklogFigures) => [
    title,
    bytes(peak - before),
    bytes(final - before),
    pending === null ? "–" : `${pending}, ${bytes(pendingBytes ?? 0)}`,
  ];
  return {
    title: `Growth of heap and buffers of a process that stores ${down.rows} rows`,
    head: ["main", "peak", "final", "pending in main"],
    rows: [
      row("main alone", alone),
      row("backup down", down),
      ["difference", bytes(down.peak - alone.peak), bytes(down.final - alone.final), ""],
    ],
  };
}

function backlogGoals({ alone, down }: Backlogs): Goal[] {
  const more = (down.peak - alone.peak) / 1e6;
  return [{ what: "MB of heap more with the backup down, peak", measured: more, bound: "at most", goal: 32 }];
}
