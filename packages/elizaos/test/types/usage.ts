// Compiled by types.test.ts, as a program that uses ElizaOS does: its declarations need the resolution of bundlers.

import type { Character, IAgentRuntime, IDatabaseAdapter, Plugin } from "@elizaos/core";
import { AgentRuntime } from "@elizaos/core";
import { type WaymarkAdapter, waymark } from "@waymark/elizaos";

declare const adapter: WaymarkAdapter;
declare const character: Character;
declare const runtime: IAgentRuntime;

adapter satisfies IDatabaseAdapter;
waymark({ url: "sqlite:./agents.db" }) satisfies Plugin;
runtime.registerDatabaseAdapter(waymark.adapter({}, runtime.agentId));

export const agents = [
  new AgentRuntime({ character, plugins: [waymark()] }),
  new AgentRuntime({ character, adapter: waymark.adapter({ url: "mysql://localhost/agents" }, runtime.agentId) }),
];
