import { type Earlier, isSame, type Normal, normalize } from "./answers.ts";
import { type Answer, type Call, Caller, describeCall, describeValue, idsOf } from "./calls.ts";
import { CHANGED_ARGUMENTS, DIFFERENCES } from "./differences/all.ts";
import type { Difference } from "./differences/difference.ts";
import type { Round } from "./plan.ts";
import type { Subject } from "./reference.ts";

/** A round with the answers of plugin-sql. */
export interface RecordedRound extends Round {
  readonly answers: readonly Answer[];
  /** Ids that the calls name. */
  readonly known: ReadonlySet<string>;
}

export async function recordRounds(rounds: readonly Round[], subjects: readonly Subject[]): Promise<RecordedRound[]> {
  const caller = new Caller(subjects);
  const recorded: RecordedRound[] = [];
  for (const round of rounds) {
    const answers: Answer[] = [];
    for (const call of round.calls) answers.push(await caller.answer(call));
    recorded.push({ ...round, answers, known: idsOf(round.calls) });
  }
  return recorded;
}

/** Codes of errors that arguments cause. */
const EXPECTED_CODES = ["INVALID_ARGUMENT", "NOT_FOUND", "CONFLICT"];

/** Earlier calls about the same that a failure prints. */
const PRINTED_CALLS = 12;

/** Compares answers of adapters with recorded ones. */
export class Comparison {
  readonly #caller: Caller;
  readonly #differences: readonly Difference[];
  readonly #earlier: Earlier[] = [];
  /** Names of differences that were met. */
  readonly met = new Set<string>();

  /** @param database name of the database */
  constructor(subjects: readonly Subject[], database: string) {
    this.#caller = new Caller(subjects);
    this.#differences = DIFFERENCES.filter(({ maybeOn = database }) => maybeOn === database);
  }

  /** Makes the calls of a round, and returns a text about the first answer that differs without being meant to; `null`: none does. */
  async faultIn(round: RecordedRound): Promise<string | null> {
    for (const [at, call] of round.calls.entries()) {
      const theirs = round.answers[at] as Answer;
      const ours = await this.#caller.answer(call);
      const fault = this.#faultOf(call, theirs, ours, round.known);
      if (fault === null) continue;
      const about = idsOf([call]);
      const before = round.calls.slice(0, at).filter((one) => [...idsOf([one])].some((id) => about.has(id)));
      return [
        `${round.name}, call ${at + 1}: ${fault}`,
        `    ${describeCall(call)}`,
        `plugin-sql: ${describeAnswer(theirs)}`,
        `ours:       ${describeAnswer(ours)}`,
        "calls before about the same ids:",
        ...before.slice(-PRINTED_CALLS).map((one) => `    ${describeCall(one)}`),
      ].join("\n");
    }
    return null;
  }

  #faultOf(call: Call, theirs: Answer, ours: Answer, known: ReadonlySet<string>): string | null {
    if (ours.error !== null && !EXPECTED_CODES.includes(ours.error.code)) return "it is rejected, not as a refusal";
    if (ours.hasChangedArguments) return "it has changed its arguments";
    if (theirs.hasChangedArguments) this.met.add(CHANGED_ARGUMENTS.what);
    const [one, other] = [normalize(call, theirs, known), normalize(call, ours, known)];
    const fault = isSame(call, one, other) ? null : this.#unmeant(call, one, other);
    this.#earlier.push({ call, ours: other });
    return fault;
  }

  #unmeant(call: Call, theirs: Normal, ours: Normal): string | null {
    const difference = this.#differences.find(({ applies }) => applies(call, theirs, ours, this.#earlier));
    if (difference === undefined) return "it is answered in another way";
    this.met.add(difference.what);
    return null;
  }
}

function describeAnswer({ value, error }: Answer): string {
  return error === null ? describeValue(value) : `rejected with ${error.code}: ${error.message.slice(0, 500)}`;
}
