import type { CheckpointStorage } from "@waymark/sqlite";
import {
  consumeStream,
  convertToModelMessages,
  createIdGenerator,
  type LanguageModel,
  safeValidateUIMessages,
  streamText,
  type UIMessage,
} from "ai";
import { z } from "zod";
import { type Chat, createChats, isId } from "./chats.ts";

const chatId = z.string().refine(isId, "expected an id of up to 255 bytes");

/** The request of `useChat` if `prepareSendMessagesRequest` makes it send the last message only: see the README. */
const request = z.discriminatedUnion("trigger", [
  z.object({ trigger: z.literal("submit-message"), id: chatId, message: z.unknown() }),
  z.object({
    trigger: z.literal("regenerate-message"),
    id: chatId,
    messageId: z.string().optional(),
  }),
]);

/** Creates the handlers of a route, for example `/api/chat`: they use the web's `Request` and `Response`, and need no particular server. */
export function createChatRoute(storage: CheckpointStorage, model: LanguageModel) {
  const { loadChat, loadChatToAnswer, saveChat } = createChats(storage);

  return {
    /** The messages of a chat, for `useChat({ messages })`. */
    async GET({ url }: Request): Promise<Response> {
      const id = chatId.safeParse(new URL(url).searchParams.get("id"));
      if (!id.success) return refused(400, "expected the parameter id, of up to 255 bytes");
      return Response.json((await loadChat(id.data)).messages);
    },

    /** Streams the answer to a message, or another answer to the message before it. */
    async POST(incoming: Request): Promise<Response> {
      const body = request.safeParse(await incoming.json().catch(() => undefined));
      if (!body.success) return refused(400, z.prettifyError(body.error));
      const { id } = body.data;

      let chat: Chat | null;
      if (body.data.trigger === "submit-message") {
        const message = await safeValidateUIMessages({ messages: [body.data.message] });
        const [said] = message.success ? message.data : [];
        if (said?.role !== "user" || !isId(said.id)) {
          return refused(400, "expected message to be a UI message of the user, with an id of up to 255 bytes");
        }
        const { messages, checkpointId } = await loadChat(id);
        // Before the model is asked: a crash meanwhile loses the answer, never what the user has said.
        const asked = [...messages, said];
        chat = {
          messages: asked,
          checkpointId: await saveChat({ chatId: id, messages: asked, parentId: checkpointId }),
        };
      } else {
        chat = await loadChatToAnswer(id, body.data.messageId);
        if (chat === null) return refused(404, "the chat has no such message");
      }

      const { messages, checkpointId } = chat;
      const result = streamText({ model, messages: await convertToModelMessages(messages) });
      return result.toUIMessageStreamResponse<UIMessage>({
        originalMessages: messages,
        generateMessageId: createIdGenerator({ prefix: "msg", size: 16 }),
        consumeSseStream: ({ stream }) => consumeStream({ stream }), // to its end, also when the browser goes away
        // Before the stream ends: a browser that has all of the answer knows that it is saved.
        onFinish: async ({ messages, outcome }) => {
          if (outcome.status === "completed") await saveChat({ chatId: id, messages, parentId: checkpointId });
        },
      });
    },
  };
}

function refused(status: number, error: string): Response {
  return Response.json({ error }, { status });
}
