import { inspect, isDeepStrictEqual } from "node:util";
import type { Subject } from "./reference.ts";

/** Calls of adapters as data, and what they answer. */

export interface Call {
  /** Whose adapter is called: 0, 1, 2. */
  readonly agent: number;
  readonly method: string;
  /** May have values that the database makes, as arguments or as members of them. */
  readonly args: readonly unknown[];
}

export interface Answer {
  readonly value: unknown;
  /** `null`: the call was not rejected. */
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly hasChangedArguments: boolean;
}

/** A value that the database makes: it is another one in each, and is asked for before the call. */
class Made {
  readonly #name: string;
  readonly find: (subject: Subject) => Promise<unknown>;

  constructor(name: string, find: (subject: Subject) => Promise<unknown>) {
    this.#name = name;
    this.find = find;
  }

  [inspect.custom](): string {
    return `<${this.#name}>`;
  }
}

interface NumberedLog {
  readonly id: string;
  readonly body: { readonly n?: number };
  readonly createdAt: Date;
}

async function logOf(subject: Subject, n: number): Promise<NumberedLog | undefined> {
  const logs = (await subject["getLogs"]?.({ count: 100_000 })) as NumberedLog[];
  return logs.find(({ body }) => body.n === n);
}

const NO_ID = "00000000-0000-4000-8000-00000000dead";

/** The id of the log whose body has this number; of none: an id that is not there. */
export function idOfLog(n: number): Made {
  return new Made(`id of log ${n}`, async (subject) => (await logOf(subject, n))?.id ?? NO_ID);
}

/** When the log was made whose body has this number, in milliseconds, and more of them; of none: 0. */
export function timeOfLog(n: number, more = 0): Made {
  const name = `time of log ${n}${more === 0 ? "" : ` + ${more}`}`;
  return new Made(name, async (subject) => ((await logOf(subject, n))?.createdAt.getTime() ?? 0) + more);
}

/** The id of an agent's relationship. */
export function idOfRelationship(agentId: string, source: string, target: string): Made {
  return new Made(`id of relationship ${source} to ${target} of ${agentId}`, async (subject) => {
    const all = (await subject["getRelationships"]?.({ entityId: source })) as Readonly<Record<string, string>>[];
    const isWanted = (one: Readonly<Record<string, string>>) =>
      one["agentId"] === agentId && one["sourceEntityId"] === source && one["targetEntityId"] === target;
    return all.find(isWanted)?.["id"] ?? NO_ID;
  });
}

/** Methods before which an adapter stores its logs that wait. */
const LOG_METHODS = ["log", "getLogs", "deleteLog", "getAgentRunSummaries"];

/** Makes calls of the adapters of some agents. */
export class Caller {
  readonly #subjects: readonly Subject[];
  /** Adapters that may have logs which are not stored yet: ours store many at once, after some milliseconds. */
  readonly #logging = new Set<number>();

  constructor(subjects: readonly Subject[]) {
    this.#subjects = subjects;
  }

  /** Makes a call, with a copy of its arguments. */
  async answer({ agent, method, args }: Call): Promise<Answer> {
    await this.#storeLogs(LOG_METHODS.includes(method) ? agent : null);
    if (method === "log") this.#logging.add(agent);
    const subject = this.#subjects[agent] as Subject;
    const given: unknown[] = await Promise.all(args.map((arg) => resolve(subject, arg)));
    const passed = structuredClone(given);
    if (storesTime(method, given[0])) await nextTimes();
    const answer = await answerOf(subject, method, passed);
    return { ...answer, hasChangedArguments: !isDeepStrictEqual(passed, given) };
  }

  /** Has adapters store their logs, but for the one that is about to do so by itself. */
  async #storeLogs(except: number | null): Promise<void> {
    for (const agent of [...this.#logging].filter((one) => one !== except)) {
      this.#logging.delete(agent);
      await this.#subjects[agent]?.["getLogs"]?.({ count: 0 });
    }
  }
}

async function resolve(subject: Subject, value: unknown): Promise<unknown> {
  if (value instanceof Made) return await value.find(subject);
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  const copy: Record<string, unknown> = { ...value };
  for (const [name, member] of Object.entries(copy)) {
    if (member instanceof Made) copy[name] = await member.find(subject);
  }
  return copy;
}

/** Whether a call stores its time, which other answers are in the order of. */
function storesTime(method: string, given: unknown): boolean {
  return method === "log" || (method === "createMemory" && !(given as { readonly createdAt?: number }).createdAt);
}

/** Lets two milliseconds begin: what is stored before, and what after, differ by more than a database rounds. */
async function nextTimes(): Promise<void> {
  for (const until = Date.now() + 2; Date.now() < until; ) await new Promise((next) => setImmediate(next));
}

async function answerOf(
  subject: Subject,
  method: string,
  args: unknown[],
): Promise<Omit<Answer, "hasChangedArguments">> {
  try {
    const value = subject[method];
    return { value: typeof value === "function" ? await value.apply(subject, args) : value, error: null };
  } catch (error) {
    const { code, message } = error as { readonly code?: unknown; readonly message: string };
    return { value: undefined, error: { code: String(code), message } };
  }
}

/** Returns a call as a text for people. */
export function describeCall({ agent, method, args }: Call): string {
  return `adapters[${agent}].${method}(${args.map(describeValue).join(", ")})`;
}

/** Returns a value as a text for people: vectors and long texts are shortened. */
export function describeValue(value: unknown): string {
  const text = inspect(value, { depth: 10, breakLength: 140, maxArrayLength: 100, maxStringLength: 500 });
  return text.replaceAll(
    /\[\s*(-?[\d.e-]+),(?:\s*-?[\d.e-]+,)+\s*\.\.\. (\d+) more items\s*\]/g,
    "[$1, and $2 + 99 more]",
  );
}

const UUIDS = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/gi;

/** Collects the ids that calls name, in lower case. */
export function idsOf(calls: readonly Call[]): Set<string> {
  return new Set(calls.flatMap((call) => describeCall(call).match(UUIDS) ?? []).map((id) => id.toLowerCase()));
}
