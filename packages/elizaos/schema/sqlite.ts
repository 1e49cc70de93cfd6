import { tableOf } from "@waymark/sqlite/records";
import * as tables from "../src/tables.ts";

/** Drizzle's tables, for drizzle-kit, which generates the migrations from them. */

const place = "";

export const agents = tableOf(tables.AGENTS, place);
export const entities = tableOf(tables.ENTITIES, place);
export const worlds = tableOf(tables.WORLDS, place);
export const rooms = tableOf(tables.ROOMS, place);
export const components = tableOf(tables.COMPONENTS, place);
export const memories = tableOf(tables.MEMORIES, place);
export const participants = tableOf(tables.PARTICIPANTS, place);
export const relationships = tableOf(tables.RELATIONSHIPS, place);
export const tasks = tableOf(tables.TASKS, place);
export const cache = tableOf(tables.CACHE, place);
export const logs = tableOf(tables.LOGS, place);
