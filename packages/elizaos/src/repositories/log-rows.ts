import { checkText } from "@waymark/core/records";
import { checkObject, checkUuid } from "../checks.ts";
import type { Log, NewLog, UUID } from "../contract.ts";
import { newId } from "../ids.ts";
import { fromJson } from "../json.ts";
import { lenientJson } from "../lenient-json.ts";
import type { LOGS, LogRow } from "../tables.ts";

/** Logs as rows, and rows as logs. */

/** Returns the row of a log that is made now. What JSON has not is stored as far as possible. */
export function newLogRow(log: NewLog, agent: UUID): LogRow {
  const { body, entityId, roomId, type } = checkObject("log", log);
  return {
    id: newId(),
    agent,
    entity: checkUuid("log.entityId", entityId),
    room: checkUuid("log.roomId", roomId),
    type: checkLogType("log.type", type),
    run: textThatFits(member(body, "runId"), 255),
    status: textThatFits(member(body, "status"), 64),
    failed: String(member(member(body, "result"), "success")) === "false" ? 1 : 0,
    prompts: countOf(member(body, "promptCount")),
    createdAt: Date.now(),
    body: lenientJson(body ?? {}),
  };
}

export function checkLogType(field: string, value: unknown): string {
  return checkText(field, value, 1, 255);
}

/** Reads a member of any value; `undefined` if that throws. */
function member(value: unknown, name: string): unknown {
  try {
    return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
  } catch {
    return undefined;
  }
}

function textThatFits(value: unknown, maxBytes: number): string | null {
  if (typeof value !== "string" || value === "") return null;
  const fits = Buffer.byteLength(value) <= maxBytes && !value.includes("\0") && value.isWellFormed();
  return fits ? value : null;
}

function countOf(value: unknown): number {
  const count = Number(typeof value === "string" ? value : typeof value === "number" ? value : 0);
  return Number.isSafeInteger(count) ? count : 0;
}

/** Columns of a log. */
export const LOG_COLUMNS = [
  "id",
  "entity",
  "room",
  "type",
  "createdAt",
  "body",
] as const satisfies readonly (keyof (typeof LOGS)["columns"])[];

export function logOf(row: Pick<LogRow, (typeof LOG_COLUMNS)[number]>): Log {
  return {
    id: row.id as UUID,
    entityId: row.entity as UUID,
    roomId: row.room as UUID,
    type: row.type,
    body: fromJson(row.body),
    createdAt: new Date(row.createdAt),
  };
}
