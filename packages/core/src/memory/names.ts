import { checkText } from "../contract/checks.ts";

/** Checks of names that users give to what they keep. */

export function checkOwner(field: string, value: unknown): string {
  return checkText(field, value, 1, 255);
}

export function checkCollectionName(field: string, value: unknown): string {
  return checkText(field, value, 1, 1_024);
}

export function checkThreadId(field: string, value: unknown): string {
  return checkText(field, value, 1, 255);
}

export function checkModel(field: string, value: unknown): string {
  return checkText(field, value, 1, 255);
}
