// USER and WORKDIR. The names are the numbers and sentences of the list of behaviours (all.test.ts).

import { expect, test } from 'vitest';
import { buildImage } from '../support/built-image.ts';

test('40. USER with only uid: gid comes from passwd if the uid is listed, else 0; `uid:gid` numeric needs no files.', async () => {
  const ids = 'sh -c "echo $(id -u):$(id -g)"';
  const lines = ['RUN echo "me:x:1001:2002::/home/me:/bin/sh" >> /etc/passwd', 'USER 1001', `RUN ${ids} > /tmp/listed`];
  const numbers = [
    'USER 4711',
    `RUN ${ids} > /tmp/unlisted`,
    'USER 0',
    'RUN rm /etc/passwd /etc/group',
    'USER 5:6',
    `RUN ${ids} > /tmp/bare`,
  ];
  const { text, config } = await buildImage(`FROM busybox\n${[...lines, ...numbers].join('\n')}`);
  expect([text('/tmp/listed'), text('/tmp/unlisted'), text('/tmp/bare')]).toEqual(['1001:2002', '4711:0', '5:6']);
  expect(config.User).toBe('5:6');
});

test('41. WORKDIR under non-root USER is owned by that user, and so are newly created parents.', async () => {
  const { stat } = await buildImage(
    'FROM busybox\nUSER www-data:users\nWORKDIR /a/b\nUSER 1234\nWORKDIR c\nUSER 7:8\nWORKDIR /x/y',
  );
  expect([stat('/a'), stat('/a/b')]).toEqual(['755 33:100', '755 33:100']);
  expect(stat('/a/b/c')).toBe('755 1234:1234');
  expect([stat('/x'), stat('/x/y')]).toEqual(['755 7:8', '755 7:8']);
});

test("42. WORKDIR on an existing dir doesn't alter its owner/mode.", async () => {
  const { stat } = await buildImage('FROM busybox\nRUN mkdir -m 711 /d && chown 5:6 /d\nUSER 33\nWORKDIR /d\nWORKDIR /root');
  expect([stat('/d'), stat('/root')]).toEqual(['711 5:6', '700 0:0']);
});

test("43. `WORKDIR $HOME/x` uses Dockerfile env, not the shell's HOME.", async () => {
  const { config, files } = await buildImage('FROM busybox\nUSER www-data\nWORKDIR $HOME/x\nENV HOME=/h\nWORKDIR ${HOME}/y');
  expect(config.WorkingDir).toBe('/h/y');
  expect([files.has('x'), files.has('h/y'), files.has('var/www/x')]).toEqual([true, true, false]);
});
