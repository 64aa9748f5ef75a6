import { defineConfig } from 'vitest/config'

// Native code is tested in processes of its own: a crash takes one file with it, and every process has its own team
// of threads.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
