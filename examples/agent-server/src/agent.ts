import { z } from "zod";

/** All that an agent knows of its user. */
const state = z.object({ messages: z.array(z.object({ role: z.enum(["user", "assistant"]), content: z.string() })) });
export type State = z.infer<typeof state>;

export const newState = (): State => ({ messages: [] });

/** @throws ZodError for a state that another program has stored, or an older version of this one */
export const parseState = (stored: unknown): State => state.parse(stored);

/** Any function that answers a conversation: a call of an API, or a script. */
export type Model = (messages: State["messages"]) => Promise<string>;

/** One turn: what the user says, and what the model answers. */
export async function takeTurn({ messages }: State, content: string, model: Model): Promise<State> {
  const asked: State["messages"] = [...messages, { role: "user", content }];
  return { messages: [...asked, { role: "assistant", content: await model(asked) }] };
}
