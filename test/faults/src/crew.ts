import type { CheckpointConfig, StorageStatus, StoredAgentCheckpoint } from "@waymark/core";
import { until, within } from "./conditions.ts";
import { type Entry, readJournal } from "./journal.ts";
import type { Lie } from "./liar.ts";
import { type Habit, journalOf, namespaceOf } from "./order.ts";
import { AGENTS_PER_PROCESS, full, PROCESSES } from "./scale.ts";
import { startWorker, type Worker } from "./workers.ts";

/** Far longer than any fault lasts: an agent that does not get on for so long never will. */
const PATIENCE_MS = 90_000;
const REACHED_WITHIN_MS = 120_000;
const DRAINED_WITHIN_MS = 90_000;
const ENDS_WITHIN_MS = 30_000;

export interface CrewOptions {
  /** What each process is configured with. */
  readonly configs: readonly CheckpointConfig[];
  /** For the journals. */
  readonly folder: string;
  readonly seed: number;
  readonly lie?: Lie;
}

/** The processes of a scenario, and the agents in them. */
export class Crew {
  readonly #options: CrewOptions;
  readonly #workers: Worker[] = [];
  /** Those that are at work in each process. */
  readonly #agents = Array.from({ length: PROCESSES }, (_, place) => namesOf("agent", place));
  /** All that ever were. */
  readonly #known = new Set<string>();
  #turns = 0;
  #notify: () => void = () => {};
  #changed = Promise.resolve();

  constructor(options: CrewOptions) {
    this.#options = options;
    this.#renew();
  }

  static readonly agents = PROCESSES * AGENTS_PER_PROCESS;

  async start(): Promise<void> {
    await Promise.all(Array.from({ length: PROCESSES }, (_, place) => this.startWorker(place)));
  }

  get size(): number {
    return this.#workers.length;
  }

  /** Turns of all agents. */
  get acknowledged(): number {
    return this.#workers.reduce((sum, worker) => sum + worker.acknowledged, 0);
  }

  /** From now on each agent may make so many turns, in this way. */
  allow(turns: number, habit: Habit = "as it comes"): void {
    this.#turns = turns;
    for (const worker of this.#workers) if (worker.isRunning) worker.allow(turns, habit);
  }

  /** Some agents of each process go on in the next one, as if a request had come to another machine. */
  async handOver(): Promise<void> {
    const leaving = this.#agents.map((agents) => agents.filter((_, place) => place % 2 === 0));
    await this.#release(leaving);
    for (const [place, agents] of leaving.entries()) this.#take((place + 1) % this.#workers.length, agents);
  }

  /** All agents finish their turn, and are at work no more. */
  async rest(): Promise<void> {
    await this.#release(this.#agents);
  }

  /** Those that rest go on where they were. */
  goOn(): void {
    for (const place of this.#workers.keys()) this.#take(place, namesOf("agent", place));
  }

  /** Other agents are at work from now on. */
  newAgents(turns: number): void {
    this.allow(turns);
    for (const place of this.#workers.keys()) this.#take(place, namesOf("later", place));
  }

  async #release(agents: readonly (readonly string[])[]): Promise<void> {
    const of = this.#workers.map((worker, place) => ({ worker, names: [...(agents[place] ?? [])] }));
    for (const { worker, names } of of) worker.release(names);
    const isDone = () => of.every(({ worker, names }) => names.every((name) => worker.released.has(name)));
    await until(REACHED_WITHIN_MS, isDone, () => "an agent does not come to the end of its turn");
    for (const [place, { names }] of of.entries()) {
      this.#agents[place] = (this.#agents[place] as string[]).filter((agent) => !names.includes(agent));
    }
  }

  #take(place: number, agents: readonly string[]): void {
    this.#agents[place]?.push(...agents);
    for (const agent of agents) this.#known.add(agent);
    this.#workers[place]?.take(agents);
  }

  /** The latest checkpoints of the first agents, as their processes are told them, an old one too. */
  async latest(): Promise<Map<string, StoredAgentCheckpoint | null>> {
    const found = new Map<string, StoredAgentCheckpoint | null>();
    for (const [place, worker] of this.#workers.entries()) {
      for (const agent of namesOf("agent", place)) {
        const query = { namespace: namespaceOf(agent), allowStale: true };
        found.set(agent, await this.#insist(() => worker.retrieveLatest(agent, query)));
      }
    }
    return found;
  }

  async startWorker(place: number): Promise<void> {
    const { folder, seed, lie = null, configs } = this.#options;
    const agents = this.#agents[place] as string[];
    for (const agent of agents) this.#known.add(agent);
    const checkpoint = configs[place] as CheckpointConfig;
    const order = { checkpoint, agents, journals: folder, seed, turns: this.#turns, patienceMs: PATIENCE_MS, lie };
    this.#workers[place] = await startWorker(order, () => this.#notify());
  }

  /** As if their machine had gone down: what they had in memory is gone. */
  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }

  async killWorker(place: number): Promise<void> {
    await this.#workers[place]?.kill();
  }

  /** Until so many turns are acknowledged. @throws if that takes too long */
  async reach(turns: number): Promise<void> {
    if (await this.reaches(turns, REACHED_WITHIN_MS)) return;
    const statuses = JSON.stringify(await this.statuses());
    throw new Error(`the agents do not get on: ${this.acknowledged} turns instead of ${turns}; ${statuses}`);
  }

  /** Until so many turns are acknowledged. @returns `false` if they are not in time @throws if an agent does not get on */
  async reaches(turns: number, withinMs: number): Promise<boolean> {
    const deadline = performance.now() + withinMs;
    for (;;) {
      const stuck = this.#workers.find((worker) => worker.stuck !== null)?.stuck;
      if (stuck) throw new Error(stuck);
      if (this.acknowledged >= turns) return true;
      const left = deadline - performance.now();
      if (left <= 0) return false;
      await this.#change(left);
    }
  }

  /**
   * Until what each of the two lacks has come to it, and then a comparison of both. The small run does not wait until what
   * a process has left behind is taken over by others, but compares at once.
   * @param endStrays ends what is under way in the databases though nobody waits for it any more; called when the processes have
   * found their databases again by themselves, so that nothing changes any more behind what is compared and counted from then on
   * @returns what should not be, in words
   */
  async settle(endStrays: () => Promise<void>): Promise<string[]> {
    const problems: string[] = [];
    const hasBackup = this.#options.configs.some(({ providers }) => providers.backup);
    if (hasBackup) await this.#status(full ? isDrained : isReached);
    await endStrays();
    if (!hasBackup) return problems;
    // With backups of their own, what one has brought to main the others lack until the next time.
    for (const _ of this.#workers) {
      for (const worker of this.#workers) await this.#insist(() => worker.reconcile());
    }
    await (full ? this.drained() : this.#send());
    for (const [place, worker] of this.#workers.entries()) {
      const result = await this.#insist(() => worker.reconcile());
      const { copiedToBackup, copiedToMain, deleted, conflicts, damaged } = result;
      if (copiedToBackup + copiedToMain + deleted + conflicts + damaged > 0) {
        const found = JSON.stringify({ copiedToBackup, copiedToMain, deleted, conflicts, damaged });
        problems.push(`process ${place}: one more reconcile found something left to do: ${found}`);
      }
    }
    return problems;
  }

  /** Until nothing waits to be sent, either way. */
  async drained(): Promise<void> {
    await this.#status(isDrained);
  }

  /**
   * Sends all that waits, also what others have the lease of, which is what a comparison ends with. If that runs into the deadline,
   * which is short for the sake of the faults, the next one does it.
   */
  async #send(): Promise<void> {
    await this.#status(isSent, async () => {
      for (const worker of this.#workers) await this.#insist(() => worker.reconcile());
    });
  }

  statuses(): Promise<StorageStatus[]> {
    return Promise.all(this.#workers.map((worker) => worker.status()));
  }

  /** @returns what should not be, in words */
  async close(): Promise<string[]> {
    const problems: string[] = [];
    await Promise.all(
      this.#workers.map(async (worker, place) => {
        const { unsent } = await worker.close();
        // `null`: it could not be told in time. What waits in the databases is counted in any case.
        if ((unsent?.toBackup ?? 0) > 0 || (unsent?.toMain ?? 0) > 0) {
          problems.push(`process ${place}: close left unsent ${JSON.stringify(unsent)}`);
        }
        const leaving = worker.leave();
        if (!(await within(ENDS_WITHIN_MS, () => !worker.isRunning))) {
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
    return new Map([...this.#known].map((agent) => [agent, readJournal(journalOf(this.#options.folder, agent))]));
  }

  /** Until a call is done: on a busy machine it may run into the deadline, which is short for the sake of the faults. */
  async #insist<Result>(call: () => Promise<Result>): Promise<Result> {
    const deadline = performance.now() + DRAINED_WITHIN_MS;
    for (;;) {
      try {
        return await call();
      } catch (error) {
        if ((error as { retryable?: boolean }).retryable !== true || performance.now() > deadline) throw error;
      }
    }
  }

  async #status(condition: (status: StorageStatus) => boolean, work = async () => {}): Promise<void> {
    let statuses: StorageStatus[] = [];
    const ask = async () => {
      statuses = await this.statuses();
      if (statuses.every(condition)) return true;
      await work();
      return false;
    };
    await until(DRAINED_WITHIN_MS, ask, () => `the backlog does not drain: ${JSON.stringify(statuses)}`);
  }

  #renew(): void {
    this.#changed = new Promise((resolve) => {
      this.#notify = () => {
        this.#renew();
        resolve();
      };
    });
  }

  async #change(withinMs: number): Promise<void> {
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
