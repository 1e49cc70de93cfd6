import { isDeepStrictEqual } from "node:util";
import type { Subject } from "./reference.ts";

/** Calls of adapters as data, and what they answer. */

export interface Call {
  /** Whose adapter is called: 0, 1, 2. */
  readonly agent: number;
  readonly method: string;
  /** May have {@link Made} values, as arguments or as members of them. */
  readonly args: readonly unknown[];
}

export interface Answer {
  readonly value: unknown;
  /** `null`: the call was not rejected. */
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly hasChangedArguments: boolean;
}

/** A value that the database makes: it is another one in each, and is asked for before the call. */
export class Made {
  readonly #name: string;
  readonly find: (subject: Subject) => Promise<unknown>;

  constructor(name: string, find: (subject: Subject) => Promise<unknown>) {
    this.#name = name;
    this.find = find;
  }

  toJSON(): string {
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

/** Methods that may store the time of the call, which other answers are in the order of. */
const TIMED = ["createMemory", "log"];

/** Makes a call, with a copy of its arguments. */
export async function perform(subjects: readonly Subject[], { agent, method, args }: Call): Promise<Answer> {
  const subject = subjects[agent] as Subject;
  const given = await Promise.all(args.map((arg) => resolve(subject, arg)));
  const passed = structuredClone(given);
  if (TIMED.includes(method)) await nextTimes();
  const answer = await answerOf(subject, method, passed);
  return { ...answer, hasChangedArguments: !isDeepStrictEqual(passed, given) };
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

/** Lets two milliseconds begin: what is stored before, and what after, differ by more than a database rounds. */
async function nextTimes(): Promise<void> {
  for (const until = Date.now() + 2; Date.now() < until; ) await new Promise((next) => setImmediate(next));
}

async function answerOf(subject: Subject, method: string, args: readonly unknown[]): Promise<Omit<Answer, "hasChangedArguments">> {
  try {
    const value = subject[method];
    return { value: typeof value === "function" ? await value.apply(subject, args) : value, error: null };
  } catch (error) {
    const { code, message } = error as { readonly code?: unknown; readonly message: string };
    return { value: undefined, error: { code: String(code), message } };
  }
}

/** Returns a call as a text for people: long lists of numbers are shortened. */
export function describeCall({ agent, method, args }: Call): string {
  return `adapters[${agent}].${method}(${args.map(describeValue).join(", ")})`;
}

export function describeValue(value: unknown): string {
  const text = JSON.stringify(value, (_, member: unknown) => {
    if (member instanceof Set) return { set: [...member] };
    const isLong = Array.isArray(member) && member.length > 100 && typeof member[0] === "number";
    return isLong ? `${member.length} numbers: ${member.slice(0, 3).join(", ")}, …` : member;
  });
  return text ?? String(value);
}
