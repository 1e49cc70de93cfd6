import { CheckpointError, type CheckpointStorage, type NamedAgentCheckpoint } from "@waymark/sqlite";
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { HTTPException } from "hono/http-exception";
import { z } from "zod";
import { type Model, newState, parseState, type State, takeTurn } from "./agent.ts";

/** `after`: id of the checkpoint that the user sees; `null`: none yet. Another tab may have stored a newer one. */
const turnRequest = z.object({ text: z.string().min(1).max(10_000), after: z.uuid().nullable() });
const restoreRequest = z.object({ id: z.string(), after: z.uuid().nullable() });
const historyRequest = z.object({
  limit: z.coerce.number().int().min(1).max(100).default(20),
  before: z.uuid().optional(),
});

export interface AppOptions {
  readonly storage: CheckpointStorage;
  /** Returns the user of a request, by a session or a token; `null`: unknown. */
  authenticate(request: Request): string | null | Promise<string | null>;
  readonly model: Model;
}

/** Creates a server with an agent for each user. */
export function createApp({ storage, authenticate, model }: AppOptions) {
  const app = new Hono<{ Variables: { agentId: string } }>();
  app.use(bodyLimit({ maxSize: 64 * 1_024 }));

  app.use(async (context, next) => {
    const user = await authenticate(context.req.raw);
    if (user === null) throw new HTTPException(401, { message: "expected a user" });
    context.set("agentId", `user:${user}`); // the only place where an agent is chosen
    await next();
  });

  app.post("/turns", async (context) => {
    const { text, after } = await body(context, turnRequest);
    const agentId = context.get("agentId");
    const latest = await storage.retrieveLatestCheckpoint(agentId);
    if ((latest?.id ?? null) !== after) throw new Outdated(latest?.id ?? null); // before paying for the model
    const state = await takeTurn(latest === null ? newState() : parseState(latest.state), text, model);
    const id = await store(agentId, { name: `turn ${state.messages.length / 2}`, state, parentId: after }, after);
    return context.json({ id, answer: state.messages.at(-1)?.content });
  });

  app.get("/history", async (context) => {
    const { limit, before } = checked(historyRequest, context.req.query());
    const agentId = context.get("agentId");
    const latest = await storage.retrieveLatestCheckpoint(agentId);
    const query = { agentId, limit, ...(before === undefined ? {} : { before }) };
    const checkpoints = (await storage.listCheckpoints(query)).map(({ agentId: _, ...shown }) => shown);
    const { messages } = latest === null ? newState() : parseState(latest.state);
    return context.json({ latest: latest?.id ?? null, messages, checkpoints });
  });

  app.post("/restore", async (context) => {
    const { id, after } = await body(context, restoreRequest);
    const agentId = context.get("agentId");
    // Another user's checkpoint is NOT_FOUND, as one that does not exist: so ids cannot be probed.
    return context.json({
      id: await guarded(agentId, () => storage.restoreCheckpoint(id, { agentId, ifLatest: after })),
    });
  });

  app.delete("/agent", async (context) => {
    return context.json({ deleted: await storage.deleteAgent(context.get("agentId")) });
  });

  /** Stores a turn. */
  async function store(
    agentId: string,
    { parentId, ...turn }: Pick<NamedAgentCheckpoint, "name"> & { state: State; parentId: string | null },
    ifLatest: string | null,
  ): Promise<string> {
    const parent = parentId === null ? {} : { parentId };
    const checkpoint = { agentId, ...turn, ...parent, createdAt: Date.now() };
    return await guarded(agentId, () => storage.storeCheckpoint(checkpoint, { ifLatest }));
  }

  /** Runs a store with `ifLatest`. Of several requests after the same checkpoint exactly one is stored. */
  async function guarded(agentId: string, store: () => Promise<string>): Promise<string> {
    try {
      return await store();
    } catch (error) {
      if (!(error instanceof CheckpointError && error.code === "CONFLICT")) throw error;
      throw new Outdated((await storage.retrieveLatestCheckpoint(agentId))?.id ?? null);
    }
  }

  app.onError(toResponse);
  return app;
}

/** Another tab, or another server, has stored a newer turn. */
class Outdated extends Error {
  readonly latest: string | null;
  constructor(latest: string | null) {
    super("another request was stored first: load the history and try again");
    this.latest = latest;
  }
}

async function body<Schema extends z.ZodType>(context: Context, schema: Schema): Promise<z.infer<Schema>> {
  const text = await context.req.text();
  try {
    return checked(schema, JSON.parse(text));
  } catch (error) {
    if (error instanceof SyntaxError) throw new HTTPException(400, { message: "expected JSON" });
    throw error;
  }
}

function checked<Schema extends z.ZodType>(schema: Schema, value: unknown): z.infer<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new HTTPException(400, { message: z.prettifyError(result.error) });
}

function toResponse(error: Error, context: Context): Response {
  if (error instanceof Outdated) return context.json({ error: error.message, latest: error.latest }, 409);
  if (error instanceof HTTPException) return context.json({ error: error.message }, error.status);
  if (error instanceof CheckpointError && error.code === "NOT_FOUND") {
    return context.json({ error: "there is no such checkpoint" }, 404);
  }
  if (error instanceof CheckpointError && error.retryable) {
    return context.json({ error: "the storage is unreachable, try again" }, 503, { "retry-after": "1" });
  }
  console.error(error);
  return context.json({ error: "something went wrong" }, 500);
}
