/**
 * Sizes of the tests that take longer the more they try: full with `WAYMARK_TEST_ALL` in the environment, else smaller. The
 * small ones are enough to show what the titles say; the full ones find what happens rarely.
 */
interface Scale {
  /** Random sequences of operations, where the target does not set a number. */
  readonly modelRuns: number;
  /** Processes that open an empty store at the same moment. */
  readonly openers: number;
  /** Processes that store large states after the same checkpoint. */
  readonly rivals: number;
  /** Times that two processes hand an agent to each other. */
  readonly handOvers: number;
  /** Rounds in which several processes store after the same checkpoint. */
  readonly races: number;
  /** The same with large states. */
  readonly largeRaces: number;
  /** Turns that each agent takes beside a process that prunes. */
  readonly turnsBesidePruning: number;
  /** Checkpoints of an agent that is pruned, one an hour. */
  readonly prunedTurns: number;
  /** Processes killed while they store, one after the other. */
  readonly killsWhileStoring: number;
  /** Processes killed while they prune. */
  readonly killsWhilePruning: number;
}

const FULL: Scale = {
  modelRuns: 400,
  openers: 16,
  rivals: 9,
  handOvers: 2_000,
  races: 25,
  largeRaces: 8,
  turnsBesidePruning: 40,
  prunedTurns: 48,
  killsWhileStoring: 10,
  killsWhilePruning: 6,
};

const SMALL: Scale = {
  modelRuns: 50,
  openers: 5,
  rivals: 4,
  handOvers: 200,
  races: 8,
  largeRaces: 3,
  turnsBesidePruning: 20,
  prunedTurns: 24,
  killsWhileStoring: 3,
  killsWhilePruning: 2,
};

/** `true`: every part of the suite runs, at full numbers. */
export const TEST_ALL = Boolean(process.env["WAYMARK_TEST_ALL"]);

export const SCALE: Scale = TEST_ALL ? FULL : SMALL;

/** Number of processes that open an empty database at once: each takes half a second of a core to start. */
export const OPENERS = SCALE.openers;

/** Returns all of these with `WAYMARK_TEST_ALL` in the environment; else every fifth, and the last. */
export function sampled<Step>(steps: readonly Step[]): Step[] {
  return steps.filter((_, at) => TEST_ALL || at % 5 === 0 || at === steps.length - 1);
}
