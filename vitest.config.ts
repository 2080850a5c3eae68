import { defaultServerConditions } from "vite";
import { defineConfig } from "vitest/config";

// Tests run the sources, not dist: one edit, one run.
const conditions = ["source", ...defaultServerConditions];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ["packages/*/src/**/*.test.ts", "packages/*/test/**/*.test.ts", "test/**/*.test.ts"],
    testTimeout: 60_000,
    // Kernel tests make namespaces and threads of their own: one process a file keeps them apart.
    pool: "forks",
  },
});
