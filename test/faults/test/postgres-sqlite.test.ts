import { describePair } from "../src/pair.ts";

describePair({ name: "postgres-sqlite", main: "postgres", backup: "sqlite" });
