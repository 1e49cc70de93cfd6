/** The position of an error in JSON. Not all runtimes tell it, and those that do quote the text beside it. */

const SPACES = /[ \t\r\n]*/y;
const STRING = /"(?:[ !#-[\]-\uffff]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"/y;
const NUMBER_OR_WORD = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;
const [ARRAY, END_OF_ARRAY, OBJECT, END_OF_OBJECT, COLON, COMMA] = [/\[/y, /\]/y, /\{/y, /\}/y, /:/y, /,/y];

/** Returns the index of the first token that makes a text invalid JSON; the end of the text, if something is missing there. */
export function jsonErrorAt(text: string): number {
  let at = 0;
  const read = (token: RegExp): boolean => {
    for (const pattern of [SPACES, token]) {
      pattern.lastIndex = at;
      if (!pattern.test(text)) return false;
      at = pattern.lastIndex;
    }
    return true;
  };
  const readItems = (readItem: () => boolean, end: RegExp): boolean => {
    if (read(end)) return true;
    do if (!readItem()) return false;
    while (read(COMMA));
    return read(end);
  };
  const readMember = (): boolean => read(STRING) && read(COLON) && readValue();
  const readValue = (): boolean => {
    if (read(ARRAY)) return readItems(readValue, END_OF_ARRAY);
    if (read(OBJECT)) return readItems(readMember, END_OF_OBJECT);
    return read(STRING) || read(NUMBER_OR_WORD);
  };
  if (readValue()) read(SPACES);
  return at;
}
