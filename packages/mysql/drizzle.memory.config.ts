import { defineConfig } from "drizzle-kit";

export default defineConfig({
  dialect: "mysql",
  schema: "./src/memory/schema.ts",
  out: "./memory-migrations",
  dbCredentials: { url: process.env["DATABASE_URL"] ?? "mysql://root@127.0.0.1:3306/test" },
});
