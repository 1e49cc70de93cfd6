/** Forwarding of methods, so that a wrapper lists the names and writes only what it changes. */

type Method = (...args: never[]) => unknown;

/** Makes an object with the named methods, each of which calls the target's. */
export function forward<Target extends object, const Name extends keyof Target>(
  target: Target,
  names: readonly Name[],
): Pick<Target, Name> {
  return methods(names, (name, args) => (target[name] as Method)(...args)) as Pick<Target, Name>;
}

/** Methods of a target as they are when each gets an abort signal as its last argument. */
export type WithSignal<Target, Name extends keyof Target> = {
  [N in Name]: Target[N] extends (...args: infer Args) => infer Result
    ? (...args: [...Args, signal: AbortSignal]) => Promise<Awaited<Result>>
    : never;
};

/**
 * Makes an object with the named methods, each of which calls that of the target that `use` provides: a connection of a pool,
 * for example. The last argument, an abort signal, is for `use`.
 */
export function forwardThrough<Target extends object, const Name extends keyof Target>(
  use: (signal: AbortSignal, work: (target: Target) => Promise<unknown>) => Promise<unknown>,
  names: readonly Name[],
): WithSignal<Target, Name> {
  return methods(names, (name, args) => {
    const rest = args.slice(0, -1);
    return use(args.at(-1) as unknown as AbortSignal, async (target) => (target[name] as Method).apply(target, rest));
  }) as WithSignal<Target, Name>;
}

function methods<Name extends PropertyKey>(
  names: readonly Name[],
  call: (name: Name, args: readonly never[]) => unknown,
): Record<Name, Method> {
  return Object.fromEntries(names.map((name) => [name, (...args: never[]) => call(name, args)])) as Record<
    Name,
    Method
  >;
}
