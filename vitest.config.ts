import { defineConfig } from 'vitest/config'

// Native code is tested in processes of its own: a crash takes one file with it, and every process has its own team
// of threads.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    // Some files spend their time waiting for programs that they start.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
