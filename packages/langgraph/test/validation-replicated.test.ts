import { pairs } from "./databases.ts";
import { describeValidation } from "./validation.ts";

for (const kind of pairs) describeValidation(kind);
