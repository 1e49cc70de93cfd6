import type { CheckpointConfig, StorageStatus, StoredAgentCheckpoint } from "@waymark/core";
import { becomesTrue, waitUntil } from "./conditions.ts";
import type { Defect } from "./faulty-storage.ts";
import { type Entry, readJournal } from "./journal.ts";
import { type Habit, journalOf, namespaceOf } from "./order.ts";
import { AGENTS_PER_PROCESS, full, PROCESSES } from "./scale.ts";
import { startWorker, type Worker } from "./workers.ts";

/** Longest time that an agent repeats a store: far longer than any fault lasts. */
const PATIENCE_MS = 90_000;
const REACHED_WITHIN_MS = 120_000;
const DRAINED_WITHIN_MS = 90_000;
const ENDS_WITHIN_MS = 30_000;

export interface CrewOptions {
  /** Configuration of each process. */
  readonly configs: readonly CheckpointConfig[];
  /** Folder of the journals. */
  readonly folder: string;
  readonly seed: number;
  readonly defect?: Defect;
}

/** Processes of a scenario, and the agents in them. */
export class Crew {
  readonly #options: CrewOptions;
  readonly #workers: Worker[] = [];
  /** Agents that work in each process. */
  readonly #agents = Array.from({ length: PROCESSES }, (_, place) => namesOf("agent", place));
  /** All agents that have ever worked. */
  readonly #everyAgent = new Set<string>();
  #turns = 0;
  #notify: () => void = () => {};
  #changed = Promise.resolve();

  constructor(options: CrewOptions) {
    this.#options = options;
    this.#renewChange();
  }

  static readonly agents = PROCESSES * AGENTS_PER_PROCESS;

  async start(): Promise<void> {
    await Promise.all(Array.from({ length: PROCESSES }, (_, place) => this.startWorker(place)));
  }

  get size(): number {
    return this.#workers.length;
  }

  /** Number of acknowledged turns of all agents. */
  get acknowledged(): number {
    return this.#workers.reduce((sum, worker) => sum + worker.acknowledged, 0);
  }

  /** Sets the number of turns that each agent may make in total, and its habit. */
  allow(turns: number, habit: Habit = "random"): void {
    this.#turns = turns;
    for (const worker of this.#workers) if (worker.isRunning) worker.allow(turns, habit);
  }

  /** Moves half of each process's agents to the next process, as if their next request had reached another machine. */
  async handOver(): Promise<void> {
    const leaving = this.#agents.map((agents) => agents.filter((_, place) => place % 2 === 0));
    await this.#release(leaving);
    for (const [place, agents] of leaving.entries()) this.#take((place + 1) % this.#workers.length, agents);
  }

  /** Waits until all agents have finished their turn and have stopped. */
  async rest(): Promise<void> {
    await this.#release(this.#agents);
  }

  /** Starts the agents of each process again, after `rest`. */
  resume(): void {
    for (const place of this.#workers.keys()) this.#take(place, namesOf("agent", place));
  }

  /** Starts other agents, in place of the first ones. */
  startNewAgents(turns: number): void {
    this.allow(turns);
    for (const place of this.#workers.keys()) this.#take(place, namesOf("later", place));
  }

  async #release(agents: readonly (readonly string[])[]): Promise<void> {
    const of = this.#workers.map((worker, place) => ({ worker, names: [...(agents[place] ?? [])] }));
    for (const { worker, names } of of) worker.release(names);
    const isDone = () => of.every(({ worker, names }) => names.every((name) => worker.released.has(name)));
    await waitUntil(REACHED_WITHIN_MS, isDone, () => "an agent does not finish its turn");
    for (const [place, { names }] of of.entries()) {
      this.#agents[place] = (this.#agents[place] as string[]).filter((agent) => !names.includes(agent));
    }
  }

  #take(place: number, agents: readonly string[]): void {
    this.#agents[place]?.push(...agents);
    for (const agent of agents) this.#everyAgent.add(agent);
    this.#workers[place]?.take(agents);
  }

  /** Reads the latest checkpoint of each of the first agents, in its process, with `allowStale`. */
  async readLatest(): Promise<Map<string, StoredAgentCheckpoint | null>> {
    const found = new Map<string, StoredAgentCheckpoint | null>();
    for (const [place, worker] of this.#workers.entries()) {
      for (const agent of namesOf("agent", place)) {
        const query = { namespace: namespaceOf(agent), allowStale: true };
        found.set(agent, await this.#retry(() => worker.retrieveLatest(agent, query)));
      }
    }
    return found;
  }

  async startWorker(place: number): Promise<void> {
    const { folder, seed, defect = null, configs } = this.#options;
    const agents = this.#agents[place] as string[];
    for (const agent of agents) this.#everyAgent.add(agent);
    const checkpoint = configs[place] as CheckpointConfig;
    const order = { checkpoint, agents, journals: folder, seed, turns: this.#turns, patienceMs: PATIENCE_MS, defect };
    this.#workers[place] = await startWorker(order, () => this.#notify());
  }

  /** Kills all processes and starts them again: what they had in memory is lost. */
  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }

  async killWorker(place: number): Promise<void> {
    await this.#workers[place]?.kill();
  }

  /** Waits until so many turns are acknowledged. @throws if that takes too long */
  async waitForTurns(turns: number): Promise<void> {
    if (await this.reachesTurns(turns, REACHED_WITHIN_MS)) return;
    const statuses = JSON.stringify(await this.statuses());
    throw new Error(`the agents make no progress: ${this.acknowledged} turns instead of ${turns}; ${statuses}`);
  }

  /** Waits until so many turns are acknowledged. Returns `false` if time runs out. @throws if an agent is stuck */
  async reachesTurns(turns: number, withinMs: number): Promise<boolean> {
    const deadline = performance.now() + withinMs;
    for (;;) {
      const stuck = this.#workers.find((worker) => worker.stuck !== null)?.stuck;
      if (stuck) throw new Error(stuck);
      if (this.acknowledged >= turns) return true;
      const left = deadline - performance.now();
      if (left <= 0) return false;
      await this.#waitForChange(left);
    }
  }

  /**
   * Waits until main and backup have delivered their rows to each other, then reconciles them. In the small run it reconciles at
   * once, and does not wait until other processes take over the rows of a killed one.
   * @param endStrays ends statements that still run in the databases although their callers have given them up. It is called when
   * the processes have reached their databases again: from then on nothing changes that is compared or counted
   * @returns problems, as sentences
   */
  async settle(endStrays: () => Promise<void>): Promise<string[]> {
    const problems: string[] = [];
    const hasBackup = this.#options.configs.some(({ providers }) => providers.backup);
    if (hasBackup) await this.#waitForStatus(full ? isDrained : isReached);
    await endStrays();
    if (!hasBackup) return problems;
    // If each process has its own backup, rows that one process brings to main reach the other backup in the next round.
    for (const _ of this.#workers) {
      for (const worker of this.#workers) await this.#retry(() => worker.reconcile());
    }
    await (full ? this.waitUntilDrained() : this.#emptyOutboxes());
    for (const [place, worker] of this.#workers.entries()) {
      const result = await this.#retry(() => worker.reconcile());
      const { copiedToBackup, copiedToMain, deleted, conflicts, damaged } = result;
      if (copiedToBackup + copiedToMain + deleted + conflicts + damaged > 0) {
        const found = JSON.stringify({ copiedToBackup, copiedToMain, deleted, conflicts, damaged });
        problems.push(`process ${place}: a further reconcile() still found differences: ${found}`);
      }
    }
    return problems;
  }

  /** Waits until both outboxes are empty and main answers. */
  async waitUntilDrained(): Promise<void> {
    await this.#waitForStatus(isDrained);
  }

  /**
   * Empties the outboxes with `reconcile()`, which also sends rows that other processes have leased. A call that exceeds the
   * deadline, which is short because of the faults, is repeated.
   */
  async #emptyOutboxes(): Promise<void> {
    await this.#waitForStatus(isSent, async () => {
      for (const worker of this.#workers) await this.#retry(() => worker.reconcile());
    });
  }

  statuses(): Promise<StorageStatus[]> {
    return Promise.all(this.#workers.map((worker) => worker.status()));
  }

  /** Closes the storages and ends the processes. @returns problems, as sentences */
  async close(): Promise<string[]> {
    const problems: string[] = [];
    await Promise.all(
      this.#workers.map(async (worker, place) => {
        const { unsent } = await worker.close();
        // `null`: unknown, since a database did not answer in time. The pending rows of the databases are counted later anyway.
        if ((unsent?.toBackup ?? 0) > 0 || (unsent?.toMain ?? 0) > 0) {
          problems.push(`process ${place}: close() left rows unsent: ${JSON.stringify(unsent)}`);
        }
        const leaving = worker.leave();
        if (!(await becomesTrue(ENDS_WITHIN_MS, () => !worker.isRunning))) {
          problems.push(`process ${place} does not end after its storage was closed`);
          await worker.kill();
        }
        const code = await leaving;
        if (code !== 0) problems.push(`process ${place} ended with ${code}`);
      }),
    );
    return problems;
  }

  async kill(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.kill()));
  }

  journals(): Map<string, Entry[]> {
    return new Map([...this.#everyAgent].map((agent) => [agent, readJournal(journalOf(this.#options.folder, agent))]));
  }

  /** Repeats a call until it succeeds: on a busy machine it may exceed the deadline, which is short because of the faults. */
  async #retry<Result>(call: () => Promise<Result>): Promise<Result> {
    const deadline = performance.now() + DRAINED_WITHIN_MS;
    for (;;) {
      try {
        return await call();
      } catch (error) {
        if ((error as { retryable?: boolean }).retryable !== true || performance.now() > deadline) throw error;
      }
    }
  }

  async #waitForStatus(condition: (status: StorageStatus) => boolean, work = async () => {}): Promise<void> {
    let statuses: StorageStatus[] = [];
    const ask = async () => {
      statuses = await this.statuses();
      if (statuses.every(condition)) return true;
      await work();
      return false;
    };
    await waitUntil(DRAINED_WITHIN_MS, ask, () => `the backlog does not drain: ${JSON.stringify(statuses)}`);
  }

  #renewChange(): void {
    this.#changed = new Promise((resolve) => {
      this.#notify = () => {
        this.#renewChange();
        resolve();
      };
    });
  }

  async #waitForChange(withinMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, withinMs);
    });
    await Promise.race([this.#changed, timeout]);
    clearTimeout(timer);
  }
}

function namesOf(word: string, place: number): string[] {
  return Array.from({ length: AGENTS_PER_PROCESS }, (_, agent) => `${word}-${place}-${agent}`);
}

function isReached({ providers }: StorageStatus): boolean {
  return Object.values(providers).every(({ backlog }) => backlog !== null);
}

function isSent({ providers }: StorageStatus): boolean {
  return Object.values(providers).every(({ backlog }) => backlog?.rows === 0);
}

function isDrained(status: StorageStatus): boolean {
  return status.mode === "main" && isSent(status);
}
