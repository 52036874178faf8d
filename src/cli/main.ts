// The entry: argv in, exit code out. Loads as little as it can: start-up is part of every command's time.

endWithStream(process.stdout);
endWithStream(process.stderr);
process.once('uncaughtException', reportBug);

Promise.all([import('./dispatch.ts'), import('./library/connected.ts')])
  .then(([{ dispatch }, { library }]) => {
    const { stdout, stderr, env } = process;
    return dispatch(process.argv.slice(2), { stdin: () => process.stdin, stdout, stderr, env, library });
  })
  .then((exitCode) => {
    // Not process.exit: what is still on its way to a pipe gets there.
    process.exitCode = exitCode;
  });

/** `tbuild images | head -1` ends as any other filter does: quietly, as if SIGPIPE had ended it. */
function endWithStream(stream: NodeJS.WriteStream): void {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(141);
    if (stream === process.stdout) process.stderr.write(`error: cannot write to standard output: ${error.message}\n`);
    process.exit(1);
  });
}

/** What no command caught: a promise nobody waits for, or an event. */
async function reportBug(error: unknown): Promise<void> {
  const [{ exitCodeOf }, { reportError }] = await Promise.all([import('../base/error-object.ts'), import('./report-error.ts')]);
  const { stderr, env, argv } = process;
  reportError(error, { stderr, env, isDebug: argv.includes('--debug') || argv.includes('-D') });
  process.exit(exitCodeOf(error));
}
