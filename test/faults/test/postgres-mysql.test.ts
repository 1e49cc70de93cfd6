import { describePair } from "../src/pair.ts";

describePair({ name: "postgres-mysql", main: "postgres", backup: "mysql" });
