import { databases } from "./databases.ts";
import { describeValidation } from "./validation.ts";

for (const kind of databases) describeValidation(kind);
