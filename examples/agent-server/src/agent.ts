import { z } from "zod";

/** State of an agent: the conversation with its user. */
const state = z.object({ messages: z.array(z.object({ role: z.enum(["user", "assistant"]), content: z.string() })) });
export type State = z.infer<typeof state>;

export const newState = (): State => ({ messages: [] });

/** @throws ZodError for a state of another program, or of an older version of this one */
export const parseState = (stored: unknown): State => state.parse(stored);

/** Any function that answers a conversation: a call of an API, or a script. */
export type Model = (messages: State["messages"]) => Promise<string>;

/** Takes one turn: the user's message, and the model's answer. */
export async function takeTurn({ messages }: State, content: string, model: Model): Promise<State> {
  const asked: State["messages"] = [...messages, { role: "user", content }];
  return { messages: [...asked, { role: "assistant", content: await model(asked) }] };
}
