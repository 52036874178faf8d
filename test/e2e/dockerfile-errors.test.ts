// What a user sees of every mistake in a Dockerfile: message, place, caret, and what may have been meant. Each through the command, compared whole
// with test/golden/dockerfile-errors.txt, which is also the place to read them in (`vitest run -u` rewrites it).

// biome-ignore-all lint/suspicious/noTemplateCurlyInString: they are variables of Dockerfiles

import { expect, it } from 'vitest';
import { makeContext } from '../support/contexts.ts';
import { freshStore } from '../support/stores.ts';
import { tbuild } from '../support/tbuild.ts';

/** Dockerfiles, after `FROM busybox` where they have no FROM of their own; or with further arguments. */
const mistakes: readonly (string | readonly [string, ...string[]])[] = [
  // The file as a whole.
  '',
  '# only a comment\n',
  'RUN true\nFROM busybox',
  'ARG only=1\nARG args\n#FROM',
  `FROM busybox\nRUN echo ${'x'.repeat(70_000)}`,
  // Directives.
  '# escape=x\nFROM busybox',
  '# escape=`\n# escape=`\nFROM busybox',
  '# check=skip=NoSuchRule\n# check=skip=All\nFROM busybox',
  '# syntax=example.com/other/frontend:1\nFROM busybox',
  '// syntax=other\nFROM busybox',
  ['FROM busybox', '--build-arg', 'BUILDKIT_SYNTAX=other:2'],
  // Instructions.
  'RNU echo hello',
  'copy . .\ncpoy . .',
  'EXPSE 80',
  'make all',
  'RUN true\n  CDM ["x"]',
  // FROM.
  'FROM',
  'FROM busybox build',
  'FROM busybox ASS build',
  'FROM busybox AS 1st',
  'ARG VERSION=1\nFROM busybox:$VERSON',
  'FROM $BASE',
  'ARG BASE=${UNCLOSED\nFROM $BASE',
  'FROM --platfrom=linux/amd64 busybox',
  'FROM --platform=linux/amd46/v8/x busybox',
  'FROM --platform=$BILDPLATFORM busybox',
  'FROM --platform=linx busybox',
  'FROM Busybox',
  'FROM no/such:image',
  'FROM busybox AS build\nFROM biuld',
  'FROM a AS b\nFROM b AS a',
  'FROM busybox AS a\nCOPY --from=b / /\nFROM busybox AS b\nCOPY --from=a / /',
  ['FROM busybox AS build\nFROM busybox AS test', '--target', 'biuld'],
  ['FROM busybox AS build\nFROM busybox AS test', '--target', 'release'],
  // Flags.
  'RUN --mont=type=cache,target=/x true',
  'RUN --network=hots true',
  'RUN --security=sandboxed true',
  'RUN --network true',
  'COPY --from=a --from=b x /',
  'COPY --link=maybe x /',
  'COPY --chown x /',
  'COPY "--chwon=1:2" x /',
  'CMD --flag=1 true',
  'WORKDIR --link /x',
  'HEALTHCHECK --interval=5 CMD true',
  'HEALTHCHECK --interval=1us CMD true',
  'HEALTHCHECK --retries=x CMD true',
  // Mounts.
  'RUN --mount=type=bnd,target=/x true',
  'RUN --mount=type=cache,traget=/x true',
  'RUN --mount=type=cache,target=/x,sharing=lock true',
  'RUN --mount=type=cache,target=/x,mode=rwx true',
  'RUN --mount=type=tmpfs,target=/x,size=big true',
  'RUN --mount=type=tmpfs,target=/x,mode=0700 true',
  'RUN --mount=type=bind,target true',
  'RUN --mount=type=cache,target=/x \\\n  --mount=type=secret,id=a,sharing=locked \\\n  true',
  'RUN --mount=type=secret,required=maybe,id=a true',
  'RUN --mount=type=bind,from=$stage,target=/x true',
  'FROM busybox AS build\nRUN true\nFROM busybox\nRUN --mount=from=biuld,target=/x true',
  'RUN --mount="type=cache,target=/x,\\"a" true',
  'RUN --mount=type=cache,target=/ true',
  'RUN --mount=type=cache,target=${X:?} true',
  // Where COPY and ADD take from, and what.
  'FROM busybox AS build\nFROM busybox\nCOPY --from=biuld /x /',
  'COPY --from=3 /x /',
  'COPY --from=$stage /x /',
  'FROM busybox\nCOPY --from=later /x /\nFROM busybox AS later\nFROM busybox\nCOPY --from=0 / /',
  'COPY x',
  'COPY',
  'COPY x <<EOF\nEOF',
  'COPY <<EOF /x\nno end',
  'RUN <<-EOF cat\n\tno end',
  'COPY --chmod=999 x /',
  'COPY --chmod=u+z x /',
  'COPY --exclude=[a x /',
  'COPY [a /x',
  'COPY https://example.com/x /',
  'ADD --checksum=sha256:1 x /',
  'COPY missing /',
  // Variables and words.
  'ENV a=${VERSON:?}',
  'ENV a=1 \\\n  b="two ${VERSION:?is not given}" \\\n  c=3',
  'ENV a=${b',
  'ENV a=${}',
  'ENV a=${b,,}',
  'ENV a=${b:0:2}',
  'ENV a="unclosed',
  "LABEL a='unclosed",
  'ENV a=${b/x}',
  'ENV a=${b#x\\y}',
  'ENV VERSION=1\nARG ok=1 bad=${VERSON?no version}',
  'COPY ${from:?} /',
  'COPY x ${to:?}',
  'COPY --chown=${who:?} x /',
  'USER ${who:?}',
  'WORKDIR /a/${where:?}',
  'VOLUME ["/a", "/b${c:?}"]',
  'COPY <<EOF /x\nfirst\n  second ${line:?}\nEOF',
  `ENV a=${'${a:-'.repeat(300)}${'}'.repeat(300)}`,
  // Arguments.
  'ENV a',
  'ENV a=1 b',
  'ENV =1',
  'LABEL a=1 =2',
  'ARG =1',
  'ARG',
  'WORKDIR',
  'USER',
  'SHELL /bin/sh -c',
  'RUN ["a", 1]',
  'VOLUME ["/a", ""]',
  'EXPOSE 80 http',
  'EXPOSE 80/tpc',
  'EXPOSE 90-80',
  'EXPOSE 70000',
  'STOPSIGNAL SIGTREM',
  'HEALTHCHECK NONE x',
  'HEALTHCHECK CMD',
  'HEALTHCHECK RUN true',
  'ONBUILD',
  'ONBUILD ONBUILD RUN true',
  'ONBUILD FROM busybox',
  'FROM busybox AS base\nONBUILD RNU true\nFROM base',
];

it('is said in full', async () => {
  const context = makeContext({ x: '' });
  const said: string[] = [];
  // What it holds is what hints name.
  const store = freshStore();
  for (const mistake of mistakes) {
    const [text, ...args] = typeof mistake === 'string' ? [mistake] : mistake;
    const dockerfile = /^(?:FROM|ARG|#|\/\/|RUN true\nFROM)|^$/.test(text) ? text : `FROM busybox\n${text}`;
    const { code, stderr } = await tbuild(['build', '--progress=plain', ...args, '-f', '-', context], {
      store,
      input: dockerfile,
      // Images that are not here are asked for; whether anything answers is not for the machine to decide.
      env: { https_proxy: 'http://127.0.0.1:1', no_proxy: '' },
    });
    expect(code, text).not.toBe(0);
    expect(stderr).not.toMatch(/this is a bug|^\s+at /m);
    const shown = dockerfile.length > 500 ? `${dockerfile.slice(0, 60)}… (${dockerfile.length} characters)` : dockerfile;
    const error = stderr.slice(Math.max(0, stderr.search(/^error: /m)));
    said.push(
      [...shown.split('\n').map((line) => `    ${line}`), ...args.map((arg) => `(${arg})`), '', withoutLog(error)].join('\n'),
    );
  }
  await expect(`${said.join(`\n${'='.repeat(80)}\n\n`)}`).toMatchFileSnapshot('../golden/dockerfile-errors.txt');
}, 240_000);

const withoutLog = (text: string): string => text.replace(/^log:? .*\n/gm, '').replaceAll(/\n{3,}/g, '\n\n');
