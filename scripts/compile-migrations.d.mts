export function compileMigrations(packageFolder: string, domain?: "checkpoints" | "memory"): string;
