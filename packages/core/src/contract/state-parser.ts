import type { StoredAgentCheckpoint } from "./checkpoints.ts";
import { CheckpointError, formatPath, invalidArgument, property, quoted, withoutValues } from "./errors.ts";

/** Parsers of states: what gives a stored state its type, and checks it when it is read. */

/** A schema of Zod, Valibot, ArkType or any library that implements https://standardschema.dev. */
export interface StandardSchema<Output> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined;
  };
}

type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

interface StandardIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** A schema, or a function that returns the state, as it is or converted, and throws if it is not as it should be. */
export type StateParser<State> = StandardSchema<State> | ((state: unknown) => State | Promise<State>);

const MAX_SHOWN_PATHS = 8;

/** Checks the option `parse`; `null`: there is none. @throws CheckpointError `INVALID_ARGUMENT` */
export function resolveParser(value: unknown): StateParser<unknown> | null {
  if (value === undefined) return null;
  const parser = value as StateParser<unknown>;
  if (isSchema(parser) || typeof value === "function") return parser;
  throw invalidArgument("options.parse", "a function, or a schema with ~standard.validate", value);
}

/** Replaces the state of a checkpoint that was read by the parsed one. @throws CheckpointError `STATE_MISMATCH` */
export async function parseState<State>(
  parser: StateParser<State> | null,
  checkpoint: StoredAgentCheckpoint | null,
): Promise<StoredAgentCheckpoint<State> | null> {
  if (parser === null || checkpoint === null) return checkpoint as StoredAgentCheckpoint<State> | null;
  // Assigned: a copy would not have `source`, which is not enumerable.
  return Object.assign(checkpoint, { state: await parse(parser, checkpoint) });
}

async function parse<State>(parser: StateParser<State>, checkpoint: StoredAgentCheckpoint): Promise<State> {
  try {
    if (!isSchema(parser)) return await parser(checkpoint.state);
    const result = await parser["~standard"].validate(checkpoint.state);
    if (result.issues === undefined) return result.value;
    throw mismatch(checkpoint, result.issues);
  } catch (error) {
    if (error instanceof CheckpointError) throw error;
    throw mismatch(checkpoint, property(error, "issues"), error);
  }
}

/** Names the members that do not match; an issue's message may quote the state. */
function mismatch({ id, agentId }: StoredAgentCheckpoint, issues: unknown, error?: unknown): CheckpointError {
  const paths = Array.isArray(issues) ? [...new Set(issues.map((issue) => pathOf(property(issue, "path"))))] : [];
  const shown = paths.length > MAX_SHOWN_PATHS ? [...paths.slice(0, MAX_SHOWN_PATHS), "…"] : paths;
  const where = shown.length === 0 ? "" : `: ${shown.join(", ")}`;
  const message = `the state of checkpoint ${id} of agent ${quoted(agentId)} does not match options.parse${where}`;
  return new CheckpointError("STATE_MISMATCH", message, error === undefined ? {} : { cause: withoutValues(error) });
}

function pathOf(path: unknown): string {
  const keys: unknown[] = Array.isArray(path) ? path.map((step) => property(step, "key") ?? step) : [];
  return `state${formatPath(keys.map((key) => (typeof key === "number" ? key : String(key))))}`;
}

function isSchema<State>(parser: StateParser<State>): parser is StandardSchema<State> {
  // A schema of ArkType is a function.
  const standard = typeof parser === "function" ? Reflect.get(parser, "~standard") : property(parser, "~standard");
  return typeof property(standard, "validate") === "function";
}
