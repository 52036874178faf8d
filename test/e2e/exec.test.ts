// exec and port: more commands in a container that runs, and the ports of the host that lead to it.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { freshStore } from '../support/stores.ts';
import { tbuild as run, tbuildOk as runOk } from '../support/tbuild.ts';

let store: string;
const NONE = '--network=none';
beforeAll(async () => {
  store = freshStore();
  const script =
    'mkdir -p /etc; echo app:x:70:70::/home/app:/bin/sh >>/etc/passwd; trap "exit 0" TERM; touch /ready; while :; do sleep 0.1; done';
  await runOk(['run', '-d', '--name', 'web', NONE, '-e', 'A=image', '-w', '/tmp', 'busybox', 'sh', '-c', script], { store });
  // A loop that ends when it is there, in the container itself.
  await runOk(['exec', 'web', 'sh', '-c', 'until [ -e /ready ]; do sleep 0.1; done'], { store });
});
afterAll(() => runOk(['rm', '-f', 'web'], { store }));

const exec = (...args: string[]) => run(['exec', ...args], { store });

test.for([
  ['its environment and directory', ['web', 'sh', '-c', 'echo $A $PWD'], 'image /tmp\n'],
  ['what is given', ['-e', 'A=b', '-w', '/usr', 'web', 'sh', '-c', 'echo $A $PWD'], 'b /usr\n'],
  ['a user that it made itself', ['-u', 'app', 'web', 'sh', '-c', 'id -un; echo $HOME'], 'app\n/home/app\n'],
  ['a user by number', ['-u', '7:8', 'web', 'sh', '-c', 'id -u; id -g'], '7\n8\n'],
  ['no capabilities but its own', ['web', 'grep', 'CapEff', '/proc/self/status'], 'CapEff:\t00000000a80425fb\n'],
  ['a terminal', ['-t', 'web', 'sh', '-c', '[ -t 1 ] && echo $TERM'], 'xterm\r\n'],
] as const)('a command has %s', async ([, args, stdout]) => {
  expect(await exec(...args)).toMatchObject({ code: 0, stdout });
});

test('it exits as the command does, reads what it is given, and may be left alone', async () => {
  expect(await exec('web', 'sh', '-c', 'echo out; echo err >&2; exit 5')).toMatchObject({
    code: 5,
    stdout: 'out\n',
    stderr: 'err\n',
  });
  expect(await run(['exec', '-i', 'web', 'cat'], { store, input: 'given' })).toMatchObject({ code: 0, stdout: 'given' });
  expect(await exec('-d', 'web', 'touch', '/made')).toMatchObject({ code: 0, stdout: '' });
  await expect.poll(async () => (await exec('web', 'ls', '/made')).code).toBe(0);
});

test('what cannot be executed is said with the statuses of docker', async () => {
  expect(await exec('web', 'nosuch')).toMatchObject({
    code: 127,
    stderr: expect.stringContaining("nosuch is not in the container's PATH"),
  });
  expect((await exec('web', '/etc/passwd')).code).toBe(126);
  expect(await exec('nobody', 'true')).toMatchObject({ code: 1, stderr: 'error: No such container: nobody\n' });
  expect((await exec('-u', 'nobody-here', 'web', 'true')).stderr).toContain('unable to find user nobody-here');
  await runOk(['pause', 'web'], { store });
  const paused = await exec('web', 'true');
  await runOk(['unpause', 'web'], { store });
  expect(paused).toMatchObject({ code: 1, stderr: 'error: container web is paused, unpause the container before exec\n' });
});

test('one without published ports has none to show', async () => {
  expect(await run(['port', 'web'], { store })).toMatchObject({ code: 0, stdout: '' });
  expect(await run(['port', 'web', '80'], { store })).toMatchObject({
    code: 1,
    stderr: "error: no public port '80/tcp' published for web\n",
  });
});
