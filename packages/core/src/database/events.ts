/** A typed event emitter. */
export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<(event: never) => void>>();

  /** Subscribes to an event and returns an unsubscribe function. The same function subscribed twice is called twice. */
  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void {
    const own = (event: Events[Name]) => listener(event);
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    listeners.add(own);
    return () => void listeners.delete(own);
  }

  hasListener(name: keyof Events): boolean {
    return (this.#listeners.get(name)?.size ?? 0) > 0;
  }

  /** Calls the listeners of an event. Their errors are ignored: a listener must not fail the call that it hears of. */
  emit<Name extends keyof Events>(name: Name, event: Events[Name]): void {
    for (const listener of (this.#listeners.get(name) ?? []) as Iterable<(event: Events[Name]) => void>) {
      try {
        const result: unknown = listener(event);
        if (result instanceof Promise) result.catch(() => {});
      } catch {
        // the listener's own affair
      }
    }
  }
}
