import { defineConfig } from "drizzle-kit";

export default defineConfig({
  dialect: "sqlite",
  schema: "./src/checkpoints/schema.ts",
  out: "./migrations",
  dbCredentials: { url: "./agent_state.db" },
});
